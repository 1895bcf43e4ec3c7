"""Many small pictures in few: sheets of thumbnails as `data:` URIs, for a page that asks nothing of any other place."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.errors import MissingExtra

__all__ = ["ACROSS", "sheets"]

ACROSS = 32  # thumbnails in a row of a sheet, and rows in a sheet


def sheets(thumbnails: NDArray[np.uint8]) -> list[str]:
    """Sheets of `ACROSS` by `ACROSS` thumbnails, (n, side, side, 3) uint8: i is on sheet i // ACROSS², rows first.

    A sheet is PNG or JPEG, whichever is smaller. Raises MissingExtra without Pillow.

    >>> [uri[:11] for uri in sheets(np.zeros((2000, 4, 4, 3), np.uint8))]
    ['data:image/', 'data:image/']
    """
    each = ACROSS * ACROSS
    begins = range(0, len(thumbnails), each)
    return [_sheet(thumbnails[begin : begin + each]) for begin in progress.track(begins, "Drawing thumbnails", unit="sheets")]


def _sheet(thumbnails: NDArray[np.uint8]) -> str:
    n, side = thumbnails.shape[:2]
    across, down = min(ACROSS, n), -(-n // ACROSS)
    places = np.zeros((down * across, side, side, 3), dtype=np.uint8)
    places[:n] = thumbnails
    whole = places.reshape(down, across, side, side, 3).swapaxes(1, 2).reshape(down * side, across * side, 3)
    return min(_encoded(whole), key=len)


def _encoded(sheet: NDArray[np.uint8]) -> Iterator[str]:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra.named("images", needed_by="maps of images") from error
    grey = bool((sheet == sheet[:, :, :1]).all())
    image = Image.fromarray(np.ascontiguousarray(sheet[:, :, 0]) if grey else sheet)
    kinds: dict[str, dict[str, Any]] = {"png": {"optimize": True}, "jpeg": {"quality": 82}}
    for kind, options in kinds.items():
        held = io.BytesIO()
        image.save(held, kind, **options)
        yield f"data:image/{kind};base64,{base64.b64encode(held.getvalue()).decode()}"
