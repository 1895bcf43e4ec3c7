"""What compiled code believes: it checks no bound, so arrays are held against each other here, before it reads and writes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError

__all__ = ["LANES", "require_dimensions", "require_members", "require_offsets", "require_rows", "require_same_places"]

LANES = 16  # numbers in the widest register: rows are that aligned, and a multiple of it long
_WIDEST = 1 << 16  # dimensions


def require_dimensions(dim: int) -> None:
    """Raise InputError where vectors cannot be so long: 1 to 65536."""
    if not isinstance(dim, int) or not 1 <= dim <= _WIDEST:
        raise InputError(
            f"vectors of {dim!r} dimensions cannot be", mend=f"give a whole number from 1 to {_WIDEST}, such as vector_size=100"
        )


def require_offsets(offsets: NDArray[Any], size: int) -> None:
    """Raise InputError unless `offsets` lead from 0 to `size` and never back.

    >>> require_offsets(np.array([0, 2, 2, 5]), 5)
    """
    whole = offsets.ndim == 1 and len(offsets) and offsets.dtype.kind in "iu" and offsets[0] == 0 and offsets[-1] == size
    if not whole or (offsets[1:] < offsets[:-1]).any():
        raise InputError(
            f"the offsets do not lead from 0 to {size:,} without a step back",
            mend="give where each begins, and last where all end",
        )


def require_members(ids: NDArray[Any], n: int, kind: str = "words") -> None:
    """Raise InputError unless `ids` are whole numbers in 0 to n - 1.

    >>> require_members(np.array([2, 0]), 3)
    """
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise InputError(f"an array {ids.shape} of {ids.dtype} holds no ids", mend="give one row of whole numbers")
    if len(ids) and (ids.min() < 0 or ids.max() >= n):
        raise InputError(f"ids reach from {ids.min()} to {ids.max()}, of {n} {kind}", mend="give ids from 0 to n - 1")


def require_rows(table: NDArray[Any], rows: int, width: int, name: str) -> None:
    """Raise InputError unless `table` has so many rows, or more, of that width, as `vicino.learning.skipgram.aligned` makes them.

    >>> require_rows(np.zeros((3, 16), np.float32), 2, 16, "inputs")
    """
    made = table.ndim == 2 and table.dtype == np.float32 and table.flags.c_contiguous and table.shape[1] % LANES == 0
    if not made or len(table) < rows or table.shape[1] != width:
        raise InputError(
            f"{name} {table.shape} of {table.dtype} are no {rows:,} rows of {width}",
            mend="make the embedding with new_embedding, for as many vectors and by the same recipe",
        )


def require_same_places(embedding: NDArray[np.int64], tiles: NDArray[np.int64]) -> None:
    """Raise InputError unless an embedding has the rows that tiles were cut for."""
    if not np.array_equal(embedding, tiles):
        raise InputError(
            f"an embedding of {len(embedding):,} words, and tiles of {len(tiles):,} others",
            mend="make it by the place of the tiles",
        )
