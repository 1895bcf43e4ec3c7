"""The compiled half of alternating least squares: the factors of some rows, those of the columns held fixed.

For a row with entries of confidence 1 + e over columns with factors y, the normal equations are A x = b with
A = G + Σ e y yᵀ and b = Σ (1 + e) y, where G = YᵀY + λI is the same for all rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["cholesky", "conjugate_gradients"]

Array = NDArray[Any]

# Sums may be taken in any order, in lanes; NaN and infinity keep their meaning.
compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})

_NOTHING = np.float32(1e-20)  # a squared residual as good as none


@compiled
def _dot(a: Array, row: int, b: Array, other: int) -> Any:
    """a[row] · b[other]; rows are told by number, since each view of an array would cost as much as a short product."""
    total = np.float32(0)
    for i in range(a.shape[1]):
        total += a[row, i] * b[other, i]
    return total


@compiled
def _add(to: Array, row: int, scale: float, a: Array, other: int) -> None:
    """to[row] += scale · a[other]"""
    for i in range(to.shape[1]):
        to[row, i] += scale * a[other, i]


@compiled
def conjugate_gradients(
    starts: Array, columns: Array, extra: Array, fixed: Array, gram: Array, found: Array, first: int, last: int, steps: int
) -> None:
    """Bring `found[first:last]` nearer to A⁻¹b, from where they are, by so many steps. All are float32 but starts and columns.

    The rows go in step, so that G meets all of them in one product of matrices.

    Takács, Pilászy and Tikk 2011, "Applications of the conjugate gradient method for implicit feedback collaborative filtering".
    """
    rows, one = last - first, np.float32(1)
    x = found[first:last]
    residual = -np.dot(x, gram)
    square = np.empty(rows, np.float32)
    for row in range(rows):
        for at in range(starts[first + row], starts[first + row + 1]):
            _add(residual, row, one + extra[at] - extra[at] * _dot(fixed, columns[at], x, row), fixed, columns[at])
        square[row] = _dot(residual, row, residual, row)
    direction = residual.copy()
    for _ in range(steps):
        product = np.dot(direction, gram)
        for row in range(rows):
            if square[row] < _NOTHING:
                continue
            for at in range(starts[first + row], starts[first + row + 1]):
                _add(product, row, extra[at] * _dot(fixed, columns[at], direction, row), fixed, columns[at])
            step = square[row] / _dot(direction, row, product, row)
            _add(x, row, step, direction, row)
            _add(residual, row, -step, product, row)
            smaller = _dot(residual, row, residual, row)
            ratio, square[row] = smaller / square[row], smaller
            for i in range(gram.shape[0]):
                direction[row, i] = residual[row, i] + ratio * direction[row, i]


@compiled
def cholesky(starts: Array, columns: Array, extra: Array, fixed: Array, gram: Array, found: Array, first: int, last: int) -> None:
    """`found[first:last]` = A⁻¹b, computed in float64."""
    width = gram.shape[0]
    a, b = np.empty((width, width)), np.empty(width)
    for row in range(first, last):
        a[:] = gram
        b[:] = 0
        for at in range(starts[row], starts[row + 1]):
            y = fixed[columns[at]]
            for i in range(width):
                scaled = extra[at] * y[i]
                for j in range(i + 1):
                    a[i, j] += scaled * y[j]
                b[i] += (1 + extra[at]) * y[i]
        for i in range(width):  # A = L Lᵀ, L in place of the lower half; then both triangles are solved
            for j in range(i + 1):
                total = a[i, j]
                for k in range(j):
                    total -= a[i, k] * a[j, k]
                a[i, j] = np.sqrt(total) if i == j else total / a[j, j]
        for i in range(width):
            for k in range(i):
                b[i] -= a[i, k] * b[k]
            b[i] /= a[i, i]
        for i in range(width - 1, -1, -1):
            for k in range(i + 1, width):
                b[i] -= a[k, i] * b[k]
            b[i] /= a[i, i]
        found[row] = b
