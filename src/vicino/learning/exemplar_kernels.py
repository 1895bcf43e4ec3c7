"""Sums over the rows that count, compiled: each row is read once, where a product of matrices would copy it first."""

from __future__ import annotations

import numpy as np

from vicino.learning.draw_kernels import Array, compiled

__all__ = ["curve", "gather"]

_BLOCK = 512  # rows summed in float32 before they are added up in float64


@compiled
def curve(vectors: Array, rows: Array, direction: Array, shift: float, into: Array) -> float:
    """into = the sum over `rows` of (x · direction + shift) x; gives the sum of those numbers."""
    dim = vectors.shape[1]
    part = np.zeros(dim, np.float32)
    into[:] = 0
    whole = 0.0
    for begin in range(0, len(rows), _BLOCK):
        part[:] = 0
        for i in range(begin, min(begin + _BLOCK, len(rows))):
            row = rows[i]
            product = np.float32(shift)
            for k in range(dim):
                product += vectors[row, k] * direction[k]
            for k in range(dim):
                part[k] += product * vectors[row, k]
            whole += float(product)
        for k in range(dim):
            into[k] += part[k]
    return whole


@compiled
def gather(vectors: Array, rows: Array, shares: Array, into: Array) -> None:
    """into = the sum over `rows` of share · x, in float64: the gradient, by which it is told whether the end is reached."""
    into[:] = 0
    for i in range(len(rows)):
        row, share = rows[i], shares[i]
        for k in range(vectors.shape[1]):
            into[k] += share * vectors[row, k]
