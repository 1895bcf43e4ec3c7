"""The compiled half of Swivel: what is not a product of matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vicino.learning.tiles_kernels import Cells

__all__ = ["Confidence", "grade", "step"]

JUDGED = 16  # one row in so many tells the loss of what was not observed

_HALF, _STEEP = np.float32(0.5), np.float32(6)  # where tanh is 1 to five digits

Array = NDArray[Any]

compiled = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")


class Confidence(NamedTuple):
    """f(x) = base + scale · x^exponent, by which the errors of observed pairs count."""

    base: float
    scale: float
    exponent: float


@compiled
def grade(P: Array, cells: Cells, tile: tuple[int, int], expected: tuple[Array, Array], confidence: Confidence, seed: int) -> Any:
    """From the products P of a tile's vectors to the gradient of the loss by them, in place; returns the loss.

    `expected` are the logarithms of what each row and each column of the whole matrix leads one to expect: their sum is
    ln(x_i* · x_*j / |D|). The loss of unobserved pairs is estimated from one row in 16.
    """
    top, left = cells.firsts[tile[0]], cells.firsts[tile[1]]
    at = cells.starts[tile[0] * (cells.firsts.size - 1) + tile[1]]
    end = cells.starts[tile[0] * (cells.firsts.size - 1) + tile[1] + 1]
    columns = expected[1][left : left + P.shape[1]]
    found = np.empty(P.shape[1], np.float32)
    loss, unobserved, judged = 0.0, 0.0, 0
    for i in range(P.shape[0]):
        row = expected[0][top + i]
        first = at
        while at < end and cells.rows[at] == i:
            j = cells.columns[at]
            x = np.float64(cells.values[at])
            off = np.float64(P[i, j]) + row + columns[j] - np.log(x)
            weighed = off * (confidence.base + confidence.scale * x**confidence.exponent)
            loss += 0.5 * weighed * off
            found[at - first] = weighed
            at += 1
        if (i + seed) % JUDGED == 0 or P.shape[0] < JUDGED:
            judged += 1
            for j in range(P.shape[1]):
                z = np.float64(P[i, j] + row + columns[j])
                unobserved += max(z, 0.0) + np.log1p(np.exp(-abs(z)))
            for seen in range(first, at):
                z = np.float64(P[i, cells.columns[seen]] + row + columns[cells.columns[seen]])
                unobserved -= max(z, 0.0) + np.log1p(np.exp(-abs(z)))
        # sigmoid(z) = ½ + ½ tanh(z / 2), and tanh by nine terms of Lambert's continued fraction, to 1e-6: sixteen at a time
        for j in range(P.shape[1]):
            x = min(max((P[i, j] + row + columns[j]) * _HALF, -_STEEP), _STEEP)
            q = x * x
            above = np.float32(34459425) + q * (np.float32(4729725) + q * (np.float32(135135) + q * (np.float32(990) + q)))
            below = np.float32(34459425) + q * (
                np.float32(16216200) + q * (np.float32(945945) + q * (np.float32(13860) + q * np.float32(45)))
            )
            P[i, j] = _HALF + _HALF * x * above / below
        for seen in range(first, at):
            P[i, cells.columns[seen]] = found[seen - first]
    return loss + unobserved * (P.shape[0] / max(judged, 1))


@compiled
def step(vectors: Array, squares: Array, gradient: Array, share: float, rate: float) -> None:
    """One step of AdaGrad, by `share` times the gradient; all arrays (m, d)."""
    part, eta = np.float32(share), np.float32(rate)
    for i in range(vectors.shape[0]):
        for d in range(vectors.shape[1]):
            g = part * gradient[i, d]
            squares[i, d] += g * g
            vectors[i, d] -= eta * g / np.sqrt(squares[i, d])
