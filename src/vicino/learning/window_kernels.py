"""One window of predicting, compiled: some inputs meet some targets, and both learn.

With X (n, d) the inputs and O (m, d) the outputs as they were before the window,

    G = alpha · (labels - sigmoid(X Oᵀ)),   O += Gᵀ X,   X += G O

`fetch` or `average` make X, `fetch` O, `multiply` and `grade` G, and `teach_targets` with `teach_rows` or `teach_average` give
back. G is flat, with `stride` numbers an input: the number of targets, rounded up to threes.

Rows are a multiple of `LANES` long. Loops take two or three of them at a time, because what stays in a register need not be
fetched again; indices of rows are unsigned, for numba would test signed ones for being negative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vicino.learning.draw_kernels import Array, compiled
from vicino.learning.lane_kernels import LANES, add, fma, load, spread, store, times, total

__all__ = ["average", "cross_entropy", "fetch", "grade", "multiply", "teach_average", "teach_rows", "teach_targets"]

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_STEEP = np.float32(6)  # where tanh is 1 to five digits


@compiled
def fetch(matrix: Array, rows: Array, n: int, into: Array) -> None:
    """Copy the first n `rows` of a matrix."""
    for i in range(n):
        row = rows[i]
        for k in range(0, matrix.shape[1], LANES):
            store(into, i, k, load(matrix, row, k))


@compiled
def average(inputs: Array, rows: Array, n: int, shares: Array, X: Array) -> None:
    """The sum of the rows, each times its share, in X[0]."""
    for k in range(0, inputs.shape[1], LANES):
        x = spread(_ZERO)
        for i in range(n):
            x = fma(spread(shares[i]), load(inputs, rows[i], k), x)
        store(X, 0, k, x)


@compiled
def multiply(X: Array, n: int, O: Array, G: Array, stride: int) -> None:  # noqa: E741
    """G = X Oᵀ, two rows by three targets at a time."""
    for t in range(0, stride, 3):
        for i in range(0, n - 1, 2):
            a0 = a1 = a2 = b0 = b1 = b2 = spread(_ZERO)
            for k in range(0, X.shape[1], LANES):
                a, b = load(X, i, k), load(X, i + 1, k)
                x, y, z = load(O, t, k), load(O, t + 1, k), load(O, t + 2, k)
                a0, a1, a2 = fma(a, x, a0), fma(a, y, a1), fma(a, z, a2)
                b0, b1, b2 = fma(b, x, b0), fma(b, y, b1), fma(b, z, b2)
            at = i * stride + t
            G[at], G[at + 1], G[at + 2] = total(a0), total(a1), total(a2)
            at += stride
            G[at], G[at + 1], G[at + 2] = total(b0), total(b1), total(b2)
        if n % 2:
            a0 = a1 = a2 = spread(_ZERO)
            for k in range(0, X.shape[1], LANES):
                a = load(X, n - 1, k)
                a0, a1, a2 = fma(a, load(O, t, k), a0), fma(a, load(O, t + 1, k), a1), fma(a, load(O, t + 2, k), a2)
            at = (n - 1) * stride + t
            G[at], G[at + 1], G[at + 2] = total(a0), total(a1), total(a2)


@compiled
def cross_entropy(G: Array, labels: Array, n: int, m: int, stride: int) -> float:
    """The cross entropy of all pairs: ln(1 + e^z) - label · z."""
    loss = 0.0
    for i in range(n):
        for t in range(m):
            z = np.float64(G[i * stride + t])
            loss += max(z, 0.0) + np.log1p(np.exp(-abs(z))) - labels[t] * z
    return loss


@compiled
def grade(G: Array, labels: Array, n: int, m: int, stride: int, rate: Any) -> None:
    """G = rate · (labels - sigmoid(G)), zeros past the last target.

    sigmoid(z) = ½ + ½ tanh(z / 2), and tanh by nine terms of Lambert's continued fraction, to 1e-6: no table, no branch, so
    that sixteen are made at a time.
    """
    for i in range(n * stride):
        x = min(max(G[i] * _HALF, -_STEEP), _STEEP)
        q = x * x
        above = np.float32(34459425) + q * (np.float32(4729725) + q * (np.float32(135135) + q * (np.float32(990) + q)))
        below = np.float32(34459425) + q * (
            np.float32(16216200) + q * (np.float32(945945) + q * (np.float32(13860) + q * np.float32(45)))
        )
        G[i] = -rate * (_HALF + _HALF * x * above / below)
    for t in range(stride):
        if t >= m:
            for i in range(n):
                G[i * stride + t] = _ZERO
        elif labels[t]:
            for i in range(n):
                G[i * stride + t] += rate * labels[t]


@compiled
def teach_targets(outputs: Array, targets: Array, m: int, X: Array, n: int, G: Array, stride: int) -> None:
    """O += Gᵀ X, where the outputs live."""
    for t in range(0, m, 3):
        one, two, three = targets[t], targets[min(t + 1, m - 1)], targets[min(t + 2, m - 1)]  # G past the last is zero
        for i in range(0, n - 1, 2):
            at = i * stride + t
            a0, a1, a2 = spread(G[at]), spread(G[at + 1]), spread(G[at + 2])
            at += stride
            b0, b1, b2 = spread(G[at]), spread(G[at + 1]), spread(G[at + 2])
            for k in range(0, X.shape[1], LANES):
                x, y = load(X, i, k), load(X, i + 1, k)
                add(outputs, one, k, fma(a0, x, times(b0, y)))
                add(outputs, two, k, fma(a1, x, times(b1, y)))
                add(outputs, three, k, fma(a2, x, times(b2, y)))
        if n % 2:
            at = (n - 1) * stride + t
            a0, a1, a2 = spread(G[at]), spread(G[at + 1]), spread(G[at + 2])
            for k in range(0, X.shape[1], LANES):
                x = load(X, n - 1, k)
                add(outputs, one, k, times(a0, x))
                add(outputs, two, k, times(a1, x))
                add(outputs, three, k, times(a2, x))


@compiled
def teach_rows(inputs: Array, rows: Array, n: int, O: Array, G: Array, stride: int) -> None:  # noqa: E741
    """X += G O, where the inputs live."""
    for i in range(0, n - 1, 2):
        one, two = rows[i], rows[i + 1]
        for t in range(0, stride, 3):
            at = i * stride + t
            a0, a1, a2 = spread(G[at]), spread(G[at + 1]), spread(G[at + 2])
            at += stride
            b0, b1, b2 = spread(G[at]), spread(G[at + 1]), spread(G[at + 2])
            for k in range(0, O.shape[1], LANES):
                x, y, z = load(O, t, k), load(O, t + 1, k), load(O, t + 2, k)
                add(inputs, one, k, fma(a0, x, fma(a1, y, times(a2, z))))
                add(inputs, two, k, fma(b0, x, fma(b1, y, times(b2, z))))
    if n % 2:
        for t in range(0, stride, 3):
            at = (n - 1) * stride + t
            a0, a1, a2 = spread(G[at]), spread(G[at + 1]), spread(G[at + 2])
            for k in range(0, O.shape[1], LANES):
                x, y, z = load(O, t, k), load(O, t + 1, k), load(O, t + 2, k)
                add(inputs, rows[n - 1], k, fma(a0, x, fma(a1, y, times(a2, z))))


@compiled
def teach_average(inputs: Array, rows: Array, n: int, O: Array, G: Array, stride: int, share: Any) -> None:  # noqa: E741
    """Give each row of the context a share of what their average should change by.

    As word2vec.c and gensim do it: the whole where they were averaged, and equal parts where they were summed.
    """
    for k in range(0, O.shape[1], LANES):
        change = spread(_ZERO)
        for t in range(stride):
            change = fma(spread(G[t]), load(O, t, k), change)
        change = times(spread(share), change)
        for i in range(n):
            add(inputs, rows[i], k, change)
