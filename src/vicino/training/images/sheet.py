"""Images side by side in one picture, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vicino.data.images.opening import Pixels

__all__ = ["write_sheet"]

_GAP = 2  # white pixels between images


def write_sheet(path: Path, rows: Sequence[Pixels]) -> Path:
    """Write rows of as many images each, (n, h, w, c) uint8 of one size, as a PNG. Raises OSError.

    >>> import tempfile
    >>> file = write_sheet(Path(tempfile.mkdtemp()) / "two.png", [np.zeros((3, 4, 4, 1), np.uint8)] * 2)
    >>> from vicino.data.images import open_image
    >>> open_image(file).shape
    (14, 20, 1)
    """
    from PIL import Image

    n, height, width, channels = rows[0].shape
    sheet = np.full((len(rows) * (height + _GAP) + _GAP, n * (width + _GAP) + _GAP, channels), 255, np.uint8)
    for down, row in enumerate(rows):
        for right, image in enumerate(row):
            top, left = _GAP + down * (height + _GAP), _GAP + right * (width + _GAP)
            sheet[top : top + height, left : left + width] = image
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(path, format="PNG")
    return path
