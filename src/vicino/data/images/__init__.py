"""Images that come in: one opened, many read from wherever they lie, all of them prepared as one array.

Whatever an image is given as, it becomes (h, w, c) uint8 with c = 1 (grey) or 3 (red, green, blue).
"""

from __future__ import annotations

from vicino.data.images.arrays import part_of
from vicino.data.images.collection import Images
from vicino.data.images.opening import MAX_PIXELS, as_size, open_image, resized
from vicino.data.images.preparing import Prepared, prepared, readable, told
from vicino.data.images.sources import read_images, splits_of

__all__ = [
    "MAX_PIXELS",
    "Images",
    "Prepared",
    "as_size",
    "open_image",
    "part_of",
    "prepared",
    "read_images",
    "readable",
    "resized",
    "splits_of",
    "told",
]
