"""One window of predicting, compiled: some inputs meet some targets, and both learn.

With X (n, d) the inputs and O (m, d) the outputs as they were before the window,

    G = alpha · (labels - sigmoid(X Oᵀ)),   O += Gᵀ X,   X += G O

`fetch` or `average` make X, `fetch` O, `multiply` and `grade` G, and `teach_targets` with `teach_rows` or `teach_average` give
back. G is flat, with `stride` numbers an input: the number of targets, rounded up to threes.

Indices are unsigned where a loop is hot, for numba would test signed ones for being negative. Loops take two or three rows at a
time, because a row that stays in a register need not be fetched again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vicino.learning.draw_kernels import Array, compiled

__all__ = ["average", "cross_entropy", "fetch", "grade", "multiply", "teach_average", "teach_rows", "teach_targets"]

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_STEEP = np.float32(6)  # where tanh is 1 to five digits
_NOUGHT = np.zeros(1, np.uint32)


@compiled
def fetch(matrix: Array, rows: Array, n: int, into: Array) -> None:
    """Copy the first n `rows` of a matrix."""
    for i in range(n):
        row = rows[i]
        for k in range(matrix.shape[1]):
            into[i, k] = matrix[row, k]


@compiled
def average(inputs: Array, rows: Array, n: int, X: Array, mean: bool) -> None:
    """The mean (or sum) of the rows, in X[0]."""
    share = np.float32(1 / n) if mean else _ONE
    X[0] = 0
    for i in range(n):
        row = rows[i]
        for k in range(inputs.shape[1]):
            X[0, k] += inputs[row, k] * share


@compiled
def multiply(X: Array, n: int, O: Array, G: Array, stride: int) -> None:  # noqa: E741
    """G = X Oᵀ, two rows by three targets at a time."""
    for t in range(0, stride, 3):
        for i in range(0, n - 1, 2):
            a0 = a1 = a2 = b0 = b1 = b2 = _ZERO
            for k in range(X.shape[1]):
                a, b = X[i, k], X[i + 1, k]
                a0 += a * O[t, k]
                a1 += a * O[t + 1, k]
                a2 += a * O[t + 2, k]
                b0 += b * O[t, k]
                b1 += b * O[t + 1, k]
                b2 += b * O[t + 2, k]
            at = i * stride + t
            G[at], G[at + 1], G[at + 2] = a0, a1, a2
            at += stride
            G[at], G[at + 1], G[at + 2] = b0, b1, b2
        if n % 2:
            a0 = a1 = a2 = _ZERO
            for k in range(X.shape[1]):
                a = X[n - 1, k]
                a0 += a * O[t, k]
                a1 += a * O[t + 1, k]
                a2 += a * O[t + 2, k]
            at = (n - 1) * stride + t
            G[at], G[at + 1], G[at + 2] = a0, a1, a2


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
    for t in range(m):
        target = targets[t]
        for i in range(0, n - 1, 2):
            g, h = G[i * stride + t], G[(i + 1) * stride + t]
            for k in range(X.shape[1]):
                outputs[target, k] += g * X[i, k] + h * X[i + 1, k]
        if n % 2:
            g = G[(n - 1) * stride + t]
            for k in range(X.shape[1]):
                outputs[target, k] += g * X[n - 1, k]


@compiled
def teach_rows(inputs: Array, rows: Array, n: int, O: Array, G: Array, stride: int) -> None:  # noqa: E741
    """X += G O, where the inputs live."""
    for i in range(n):
        row = rows[i]
        for t in range(0, stride, 3):
            f, g, h = G[i * stride + t], G[i * stride + t + 1], G[i * stride + t + 2]
            for k in range(O.shape[1]):
                inputs[row, k] += f * O[t, k] + g * O[t + 1, k] + h * O[t + 2, k]


@compiled
def teach_average(inputs: Array, rows: Array, n: int, O: Array, G: Array, stride: int, X: Array, mean: bool) -> None:  # noqa: E741
    """Give each word of the context what the average should change by.

    As word2vec.c and gensim do it: whole where the words were averaged, and in equal parts where they were summed.
    """
    X[0] = 0
    teach_rows(X, _NOUGHT, 1, O, G, stride)
    share = _ONE if mean else np.float32(1 / n)
    for i in range(n):
        row = rows[i]
        for k in range(inputs.shape[1]):
            inputs[row, k] += X[0, k] * share
