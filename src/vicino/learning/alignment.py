"""Maps from one space into another, learnt from the two vectors of the same things.

A row x of the one becomes `x @ weights + shift`. Both centre the rows first, so that `shift` takes up what all have in common.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vicino.errors import DimensionMismatch, EmptyInput

__all__ = ["Alignment", "linear", "orthogonal"]

Float = NDArray[np.float32]

_RIDGES = 10.0 ** np.arange(-5, 2)  # shares of the mean variance
_HELD_OUT = 5  # one row in five tells which ridge is best


class Alignment(NamedTuple):
    """`weights` (from, to) and `shift` (to,)."""

    weights: Float
    shift: Float

    def __call__(self, rows: Float) -> Float:
        """(n, from) -> (n, to)."""
        return np.asarray(rows @ self.weights + self.shift, dtype=np.float32)


def orthogonal(source: Float, target: Float) -> Alignment:
    """The turn (and mirroring) that brings `source` (n, from) nearest to `target` (n, to): angles and lengths stay.

    Between spaces of two widths it is the nearest map with orthonormal rows or columns. Schönemann, "A generalized solution of
    the orthogonal Procrustes problem", Psychometrika 31, 1966. Raises DimensionMismatch, EmptyInput.

    >>> turned = orthogonal(np.eye(2), np.array([[0.0, 1.0], [-1.0, 0.0]]))
    >>> (turned(np.array([[2.0, 0.0]])).round(3) + 0.0).tolist()
    [[0.0, 2.0]]
    """
    x, y, middle, centre = _centred(source, target)
    left, _, right = np.linalg.svd(x.T @ y, full_matrices=False)
    return _alignment(left @ right, middle, centre)


def linear(source: Float, target: Float) -> Alignment:
    """The linear map with the least squared error on `source` (n, from) -> `target` (n, to), held small by a ridge.

    The ridge is that of a few with the least error on every fifth row when it learns from the others. Hoerl and Kennard, "Ridge
    regression: biased estimation for nonorthogonal problems", Technometrics 12(1), 1970. Raises DimensionMismatch, EmptyInput.

    >>> doubled = linear(np.arange(10.0)[:, None], 2 * np.arange(10.0)[:, None] + 1)
    >>> doubled(np.array([[3.0]])).round(2).tolist()
    [[7.0]]
    """
    x, y, middle, centre = _centred(source, target)
    held = np.arange(len(x)) % _HELD_OUT == 0
    ridge = _RIDGES[0]
    if held.sum() and (~held).sum():
        solved = _solutions(x[~held], y[~held])
        ridge = _RIDGES[int(np.argmin([float(np.square(x[held] @ weights - y[held]).sum()) for weights in solved]))]
    return _alignment(_solutions(x, y, [ridge])[0], middle, centre)


def _solutions(x: NDArray[np.float64], y: NDArray[np.float64], ridges: object = None) -> list[NDArray[np.float64]]:
    """The weights for each ridge, from one decomposition."""
    values, vectors = np.linalg.eigh(x.T @ x)
    inner = vectors.T @ (x.T @ y)
    scale = max(float(values.mean()), np.finfo(np.float64).tiny)
    wanted = _RIDGES if ridges is None else np.asarray(ridges, dtype=np.float64)
    return [vectors @ (inner / (np.maximum(values, 0) + ridge * scale)[:, None]) for ridge in wanted]


def _centred(
    source: Float, target: Float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if len(x) != len(y):
        raise DimensionMismatch(f"{len(x)} vectors there and {len(y)} here", mend="give both vectors of the same things")
    if not len(x):
        raise EmptyInput("there are no vectors to learn a map from", mend="give some hundreds")
    middle, centre = x.mean(axis=0), y.mean(axis=0)
    return x - middle, y - centre, middle, centre


def _alignment(weights: NDArray[np.float64], middle: NDArray[np.float64], centre: NDArray[np.float64]) -> Alignment:
    return Alignment(weights.astype(np.float32), (centre - middle @ weights).astype(np.float32))
