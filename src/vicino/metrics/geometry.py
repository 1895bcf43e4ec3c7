"""The shape of a cloud of vectors: what silently ruins nearest neighbours shows in it.

Every function takes (n, d) rows and makes no difference between modalities. What looks at all pairs draws at most `sample` rows
under a seed first. Raises what `vicino.vectors.as_vectors` raises, and InputError for fewer rows than it can tell from.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import InputError
from vicino.metrics.values import Values
from vicino.vectors import as_vectors, normalise, top_k

__all__ = ["Hubness", "Spectrum", "dead_dimensions", "hubness", "mean_cosine", "occurrences", "odd_norms", "spectrum"]

_SAMPLE = 10_000
_BLOCK = 1024  # queries whose cosines are in memory at once
_MAD = 1.4826  # the median distance from the median, times this, estimates a standard deviation

Vectors = NDArray[np.float32]


class Spectrum(NamedTuple):
    """Where the vectors point: `shares` (d,) of the mean square along each principal direction of the uncentred rows, descending.

    `effective_rank` is the exponential of their entropy: d for a sphere, 1 for a line.
    """

    shares: Values
    effective_rank: float


class Hubness(NamedTuple):
    """How unevenly neighbours are chosen.

    The `skewness` of how often each row is among the k nearest of another (0 to 1 is usual, and above 2 a few rows answer
    everything), the `top_share` of all answers that the most frequent 1 % of rows are, and the share of `orphans`, which nobody
    finds.
    """

    skewness: float
    top_share: float
    orphans: float


def mean_cosine(vectors: ArrayLike) -> float:
    """The mean cosine of two different rows: near 0 where vectors point everywhere, near 1 where all share a direction.

    Exact over all pairs, in one pass: (|Σu|² - n) / (n² - n) of the unit rows u. Ethayarajh, "How contextual are contextualized
    word representations?", EMNLP 2019.

    >>> mean_cosine([[1, 0], [0, 1], [-1, 0], [0, -1]])  # four directions: -1/3 by their opposites
    -0.3333333333333333
    """
    units = _units(vectors, 2)
    n = len(units)
    total = units.sum(axis=0, dtype=np.float64)
    lengths = float((units.astype(np.float64) ** 2).sum())  # n, less the rows that are zero
    return (float(total @ total) - lengths) / (n * n - n)


def spectrum(vectors: ArrayLike, *, centred: bool = False) -> Spectrum:
    """The shares of the principal directions of the unit rows, and how many directions that amounts to.

    Roy and Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007.

    >>> found = spectrum([[1, 0], [0, 1], [-1, 0], [0, -1]])
    >>> found.shares.tolist(), round(found.effective_rank, 6)
    ([0.5, 0.5], 2.0)
    """
    units = _units(vectors, 2).astype(np.float64)
    if centred:
        units -= units.mean(axis=0)
    values = np.clip(np.linalg.eigvalsh(units.T @ units)[::-1], 0, None)
    if not values.sum() > 0:
        raise InputError("all vectors are the same", mend="look at what made them: the training may have collapsed")
    shares = values / values.sum()
    there = shares[shares > 0]
    return Spectrum(shares, float(math.exp(-(there * np.log(there)).sum())))


def occurrences(vectors: ArrayLike, *, k: int = 10, sample: int = _SAMPLE, seed: int = 0) -> NDArray[np.int64]:
    """How often each row (of at most `sample`) is among the k nearest others of another, by cosine: (m,) that sum to m k.

    >>> occurrences([[1, 0], [1, 0.1], [1, -0.1], [0.9, 0]], k=1).tolist()
    [3, 0, 0, 1]
    """
    units = _units(_drawn(vectors, sample, seed), 3)
    n = len(units)
    if not 1 <= k < n:
        raise InputError(f"k={k} for {n} vectors", mend=f"give a k from 1 to {n - 1}")
    times = np.zeros(n, np.int64)
    for begin in range(0, n, _BLOCK):
        scores = units[begin : begin + _BLOCK] @ units.T
        scores[np.arange(len(scores)), np.arange(begin, begin + len(scores))] = -np.inf
        times += np.bincount(top_k(scores, k)[0].ravel(), minlength=n)
    return times


def hubness(vectors: ArrayLike, *, k: int = 10, sample: int = _SAMPLE, seed: int = 0) -> Hubness:
    """The skewness of `occurrences`, the share of all answers that the most frequent 1 % of rows take, and of rows never found.

    Radovanović, Nanopoulos and Ivanović, "Hubs in space: popular nearest neighbors in high-dimensional data", JMLR 11, 2010.

    >>> hubness([[1, 0], [1, 0.1], [1, -0.1], [0.9, 0]], k=1).orphans
    0.5
    """
    times = occurrences(vectors, k=k, sample=sample, seed=seed).astype(np.float64)
    spread = times.std()
    skewness = float((((times - times.mean()) / spread) ** 3).mean()) if spread else 0.0
    top = np.sort(times)[::-1][: max(1, len(times) // 100)]
    return Hubness(skewness, float(top.sum() / times.sum()), float((times == 0).mean()))


def dead_dimensions(vectors: ArrayLike, *, share: float = 1e-4) -> NDArray[np.int64]:
    """The dimensions that hardly vary: whose variance is under `share` of the mean variance of all.

    >>> dead_dimensions([[1, 5, 0], [2, 5, 1], [3, 5, 0]]).tolist()
    [1]
    """
    variances = as_vectors(vectors).var(axis=0, dtype=np.float64)
    return np.flatnonzero(variances <= share * variances.mean())


def odd_norms(vectors: ArrayLike, *, times: float = 8.0) -> NDArray[np.int64]:
    """The rows whose length lies more than so many robust standard deviations from the median, and those of length 0.

    A thousandth of the median length is the least spread that is assumed, so that unit rows are not told apart by rounding.

    >>> odd_norms([[1.0], [1.1], [0.9], [1.0], [40.0], [0.0]]).tolist()
    [4, 5]
    """
    lengths = np.linalg.norm(as_vectors(vectors).astype(np.float64), axis=1)
    middle = float(np.median(lengths))
    spread = max(_MAD * float(np.median(np.abs(lengths - middle))), 1e-3 * middle)
    return np.flatnonzero((np.abs(lengths - middle) > times * spread) | (lengths == 0))


def _drawn(vectors: ArrayLike, sample: int, seed: int) -> Vectors:
    rows = as_vectors(vectors)
    if len(rows) <= sample:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), sample, replace=False))]


def _units(vectors: ArrayLike, least: int) -> Vectors:
    rows = as_vectors(vectors)
    if len(rows) < least:
        raise InputError(f"{len(rows)} vectors have no shape", mend=f"give at least {least}, better thousands")
    return normalise(rows)
