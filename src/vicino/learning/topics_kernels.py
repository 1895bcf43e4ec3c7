"""The compiled half of topics: what the documents hold given the words, and what the words hold given the documents.

Both halves read one sparse matrix of counts, by its rows and by its columns, so that each writes only its own row: threads
share nothing, and their number changes no digit. With c the count of word w in document d, and weights a (d, k) and b (w, k),

    r(d, w, k) = a(d, k) · b(w, k) / z,   z = Σ_k a(d, k) · b(w, k)

is the share of those c that topic k has. It is never stored: sums of c · r over words, or over documents, are all that is needed.
Rows are a multiple of 16 wide, padded with zeros, so that loops over topics run in whole registers.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["Sparse", "exp_digamma", "gather", "infer", "log_likelihood"]

_ZERO = np.float32(0)
_LOOSE = {"reassoc", "contract", "arcp", "nsz"}  # sums in any order, but infinities are meant

Array = NDArray[Any]

compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath=_LOOSE)
inlined = njit(cache=True, nogil=True, error_model="numpy", fastmath=_LOOSE, inline="always")


class Sparse(NamedTuple):
    """Row i has `counts[starts[i]:starts[i + 1]]` in the columns `columns[starts[i]:starts[i + 1]]`."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    counts: NDArray[np.float32]


@compiled
def infer(
    documents: Sparse,
    span: tuple[int, int],
    words: Array,
    alpha: Array,
    gamma: Array,
    variational: bool,
    sweeps: int,
    tolerance: float,
) -> None:
    """Change the rows of a span of `gamma`, the Dirichlet parameters of the documents' mixtures: gamma = alpha + Σ_w c · r.

    At most `sweeps` times over a document, or until a sweep moves less than the share `tolerance` of its tokens. `words` are
    the weights b; a is gamma itself, or with `variational` the exponent of its digamma.
    """
    starts, columns, counts = documents
    n = alpha.size
    weights, sums = np.empty(n, np.float32), np.empty(n, np.float32)
    for row in range(span[0], span[1]):
        own = gamma[row]
        begin, end = starts[row], starts[row + 1]
        tokens = _ZERO
        for at in range(begin, end):
            tokens += counts[at]
        for _ in range(sweeps):
            for k in range(n):
                weights[k] = _exp_digamma(own[k]) if variational else own[k]
                sums[k] = _ZERO
            for at in range(begin, end):
                _share(weights, words[columns[at]], counts[at], sums)
            moved = _ZERO
            for k in range(n):
                new = alpha[k] + weights[k] * sums[k]
                moved += abs(new - own[k])
                own[k] = new
            if moved <= tolerance * tokens:
                break


@compiled
def gather(by_word: Sparse, span: tuple[int, int], weights: Array, words: Array, into: Array) -> float:
    """Write the expected counts Σ_d c · r of a span of words to the rows of `into`; returns Σ c · ln z.

    `weights` are the documents' weights a, `words` the words' weights b.
    """
    starts, columns, counts = by_word
    sums = np.empty(words.shape[1], np.float32)
    total = 0.0
    for row in range(span[0], span[1]):
        sums[:] = _ZERO
        for at in range(starts[row], starts[row + 1]):
            z = _share(words[row], weights[columns[at]], counts[at], sums)
            total += counts[at] * math.log(z)
        for k in range(sums.size):
            into[row, k] = words[row, k] * sums[k]
    return total


@compiled
def log_likelihood(documents: Sparse, mixtures: Array, words: Array) -> float:
    """Σ c · ln Σ_k mixture(d, k) · word(w, k), -inf where a word is in no topic."""
    starts, columns, counts = documents
    total = 0.0
    for row in range(starts.size - 1):
        for at in range(starts[row], starts[row + 1]):
            total += counts[at] * math.log(_dot(mixtures[row], words[columns[at]]))
    return total


@compiled
def exp_digamma(values: Array, into: Array) -> None:
    """exp(ψ(x)) of each of (n, k) numbers, 0 for 0."""
    for row in range(values.shape[0]):
        for k in range(values.shape[1]):
            into[row, k] = _exp_digamma(values[row, k])


@inlined
def _share(weights: Array, others: Array, count: Any, sums: Array) -> Any:
    """Add count · others / z to the sums; returns z = weights · others. A word that no topic holds adds nothing."""
    z = _dot(weights, others)
    if z > 0:
        share = count / z
        for k in range(sums.size):
            sums[k] += share * others[k]
    return z


@inlined
def _dot(left: Array, right: Array) -> Any:
    z = _ZERO
    for k in range(left.size):
        z += left[k] * right[k]
    return z


@inlined
def _exp_digamma(x: Any) -> Any:
    """exp(ψ(x)): Bernardo 1976, "Algorithm AS 103"; x is raised above 6, where four terms give eight digits."""
    y, below = np.float64(x), 0.0
    if y <= 0:
        return _ZERO
    while y < 6:
        below += 1 / y
        y += 1
    i = 1 / (y * y)
    return np.float32(math.exp(math.log(y) - 0.5 / y - i * (1 / 12 - i * (1 / 120 - i / 252)) - below))
