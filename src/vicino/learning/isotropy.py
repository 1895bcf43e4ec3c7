"""Cures for vectors that all point one way: centring, taking the top directions out, whitening.

Each is learnt from (n, d) rows, or from the `Moments` of rows that came block by block, and is then one affine map,
x -> (x - mean) @ matrix, for these and for new ones alike. Whether it helps is a matter of the task: measure it there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, EmptyInput, InputError
from vicino.vectors import as_vectors

__all__ = ["CURES", "Affine", "Moments", "all_but_the_top", "centring", "whitening"]

_LEAST = 1e-6  # of the largest variance: a direction with less is rounding, and is not blown up
_ROUNDING = 1e-12  # of the squared mean: rows that vary by less are one and the same


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


class Moments:
    """The mean (d,) and the covariance (d, d) of rows that come block by block, in float64.

    Blocks are joined as in Chan, Golub and LeVeque, "Algorithms for computing the sample variance", The American Statistician 37,
    1983: nothing is kept of the rows themselves.

    >>> some = Moments().add([[1.0, 2.0], [3.0, 2.0]]).add([[5.0, 2.0]])
    >>> some.n, some.mean.tolist(), some.covariance[0, 0].round(3).item()
    (3, [3.0, 2.0], 2.667)
    """

    def __init__(self) -> None:
        self.n = 0
        self._mean: NDArray[np.float64] | None = None
        self._scatter: NDArray[np.float64] | None = None

    def add(self, vectors: ArrayLike) -> Self:
        """(n, d) more rows. Raises DimensionMismatch for another width, InvalidVectors."""
        rows = as_vectors(vectors, dim=None if self._mean is None else len(self._mean)).astype(np.float64)
        if not len(rows):
            return self
        mean = rows.mean(axis=0)
        rows -= mean
        scatter = rows.T @ rows
        if self._mean is None or self._scatter is None:
            self.n, self._mean, self._scatter = len(rows), mean, scatter
            return self
        whole, apart = self.n + len(rows), mean - self._mean
        self._scatter += scatter + np.outer(apart, apart) * (self.n * len(rows) / whole)
        self._mean = self._mean + apart * (len(rows) / whole)
        self.n = whole
        return self

    @property
    def mean(self) -> NDArray[np.float64]:
        """Raises EmptyInput before any row came."""
        if self._mean is None:
            raise EmptyInput("there are no vectors", mend="give at least two")
        return self._mean

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Raises EmptyInput before any row came."""
        if self._scatter is None:
            raise EmptyInput("there are no vectors", mend="give at least two")
        return self._scatter / self.n

    @property
    def vary(self) -> bool:
        """Whether the rows differ by more than rounding."""
        return bool(self.covariance.diagonal().max() > _ROUNDING * (self.mean**2).max())


def centring(vectors: ArrayLike | Moments) -> Affine:
    """Takes the mean away.

    >>> centring([[1.0, 2.0], [3.0, 2.0]])([[3.0, 3.0]]).tolist()
    [[1.0, 1.0]]
    """
    mean = vectors.mean if isinstance(vectors, Moments) else as_vectors(vectors).mean(axis=0, dtype=np.float64)
    return Affine(mean.astype(np.float32), np.eye(len(mean), dtype=np.float32))


def all_but_the_top(vectors: ArrayLike | Moments, *, directions: int | None = None) -> Affine:
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


def whitening(vectors: ArrayLike | Moments, *, dim: int | None = None) -> Affine:
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


def _principal(vectors: ArrayLike | Moments) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The mean (d,), the variances (d,), descending, and their directions as columns (d, d)."""
    moments = vectors if isinstance(vectors, Moments) else Moments().add(vectors)
    variances, axes = np.linalg.eigh(moments.covariance)
    return moments.mean, np.clip(variances[::-1], 0, None), axes[:, ::-1]


CURES: Mapping[str, Callable[[ArrayLike | Moments], Affine]] = {
    "centring": centring,
    "all-but-the-top": all_but_the_top,
    "whitening": whitening,
}
