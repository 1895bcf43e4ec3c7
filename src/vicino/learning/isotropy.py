"""Cures for vectors that all point one way: centring, taking the top directions out, whitening.

Each is learnt from (n, d) rows and is then one affine map, x -> (x - mean) @ matrix, for these and for new ones alike. Whether it
helps is a matter of the task: measure it there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, InputError
from vicino.vectors import as_vectors

__all__ = ["Affine", "all_but_the_top", "centring", "whitening"]

_LEAST = 1e-6  # of the largest variance: a direction with less is rounding, and is not blown up


class Affine(NamedTuple):
    """x -> (x - mean) @ matrix: `mean` (d,), `matrix` (d, e), float32."""

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]

    def __call__(self, vectors: ArrayLike) -> NDArray[np.float32]:
        """(n, d) -> (n, e). Raises DimensionMismatch, InvalidVectors."""
        rows = as_vectors(vectors)
        if rows.shape[1] != len(self.mean):
            raise DimensionMismatch(f"vectors of {rows.shape[1]} dimensions for a map of {len(self.mean)}", mend="use its model")
        return np.asarray((rows - self.mean) @ self.matrix, np.float32)


def centring(vectors: ArrayLike) -> Affine:
    """Takes the mean away.

    >>> centring([[1.0, 2.0], [3.0, 2.0]])([[3.0, 3.0]]).tolist()
    [[1.0, 1.0]]
    """
    rows = as_vectors(vectors)
    return Affine(rows.mean(axis=0, dtype=np.float64).astype(np.float32), np.eye(rows.shape[1], dtype=np.float32))


def all_but_the_top(vectors: ArrayLike, *, directions: int | None = None) -> Affine:
    """Takes the mean and the strongest directions away, by default a hundredth of all dimensions.

    Mu and Viswanath, "All-but-the-top: simple and effective postprocessing for word representations", ICLR 2018. Raises
    InputError where nothing would be left.

    >>> rows = [[9.0, 0.1], [-9.0, -0.1], [9.0, -0.1], [-9.0, 0.1]]
    >>> bool(abs(all_but_the_top(rows, directions=1)(rows)).max() < 0.2)
    True
    """
    mean, _, axes = _principal(vectors)
    many = max(1, len(mean) // 100) if directions is None else directions
    if not 0 < many < len(mean):
        raise InputError(f"{many} of {len(mean)} directions cannot be taken away", mend=f"give 1 to {len(mean) - 1}")
    top = axes[:, :many]
    return Affine(mean.astype(np.float32), (np.eye(len(mean)) - top @ top.T).astype(np.float32))


def whitening(vectors: ArrayLike, *, dim: int | None = None) -> Affine:
    """Gives every direction variance 1, keeping the strongest `dim`.

    Su, Cao, Liu and Ou, "Whitening sentence representations for better semantics and faster retrieval", 2021. Directions without
    variance are left out. Raises InputError for more dimensions than there are, and where nothing varies.

    >>> rows = np.array([[4.0, 1.0], [-4.0, -1.0], [4.0, -1.0], [-4.0, 1.0]])
    >>> abs(whitening(rows)(rows)).round(3).tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    mean, variances, axes = _principal(vectors)
    there = int((variances > _LEAST * variances[0]).sum()) if variances[0] > 0 else 0
    if not there:
        raise InputError("all vectors are the same", mend="look at what made them")
    if dim is not None and not 0 < dim <= len(mean):
        raise InputError(f"{dim} of {len(mean)} dimensions", mend=f"give 1 to {len(mean)}")
    kept = min(there, dim or there)
    return Affine(mean.astype(np.float32), (axes[:, :kept] / np.sqrt(variances[:kept])).astype(np.float32))


def _principal(vectors: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The mean (d,), the variances (d,), descending, and their directions as columns (d, d)."""
    rows = as_vectors(vectors).astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    variances, axes = np.linalg.eigh(rows.T @ rows / len(rows))
    return mean, np.clip(variances[::-1], 0, None), axes[:, ::-1]
