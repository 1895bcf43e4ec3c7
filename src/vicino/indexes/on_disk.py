"""What indexes that lie in files share: exact search among rows that are read block by block, and what their files are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.indexes.exact import Exact
from vicino.vectors import top_k

__all__ = ["BLOCK", "among", "digests"]

BLOCK = 1 << 14  # rows read or written at a time


def among(
    queries: NDArray[np.float32],
    k: int,
    rows: NDArray[np.int64],
    similarity: str,
    read: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of `rows` (ascending) by brute force, rows (q, k') and scores (q, k'): `read` gives the vectors of a block.

    >>> vectors = np.eye(3, dtype=np.float32)
    >>> among(vectors[:1], 1, np.array([0, 2]), "dot", lambda block: vectors[block])[0].tolist()
    [[0]]
    """
    exact = Exact(similarity="dot" if similarity == "cosine" else similarity)  # of unit rows the same
    found = np.empty((len(queries), 0), dtype=np.int64)
    scores = np.empty((len(queries), 0), dtype=np.float32)
    for begin in range(0, len(rows), BLOCK):
        block = rows[begin : begin + BLOCK]
        exact.vectors_ = read(block)
        near, near_scores = exact._search(queries, k, None, None)
        found = np.concatenate([found, block[near]], axis=1)
        best, scores = top_k(np.concatenate([scores, near_scores], axis=1), k)
        found = np.take_along_axis(found, best, axis=1)
    return found, scores


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file, by its path in the folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): artifacts.file_digest(file) for file in files}
