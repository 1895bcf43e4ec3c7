"""How well similarities follow people's grades, as in STS tasks: cosines of sentence pairs against graded pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vicino.errors import InputError
from vicino.metrics.values import Values, as_paired_values
from vicino.vectors import as_vectors, normalise

__all__ = ["paired_cosine", "pearson", "spearman"]


def pearson(a: ArrayLike, b: ArrayLike) -> float:
    """Linear correlation of n pairs, in [-1, 1]: cov(a, b) / (sd(a) · sd(b)).

    Raises InputError where all values of a side are equal (a single pair too), for then there is no correlation;
    otherwise what `as_paired_values` raises.

    >>> round(pearson([1, 2, 3], [1, 2, 6]), 4)
    0.9449
    """
    left, right = as_paired_values(a, b)
    return float(np.clip(_standardised(left) @ _standardised(right), -1.0, 1.0))


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Rank correlation of n pairs, in [-1, 1]: Pearson's of the ranks, equal values sharing their mean rank.

    The headline figure of STS tasks. Errors as `pearson`. Spearman, "The proof and measurement of association between
    two things", American Journal of Psychology 15(1), 1904.

    >>> round(spearman([1, 2, 3, 4], [10, 30, 20, 40]), 4)  # 1 - 6 · (0 + 1 + 1 + 0) / (4 · 15)
    0.8
    """
    left, right = as_paired_values(a, b)
    return pearson(_mean_ranks(left), _mean_ranks(right))


def paired_cosine(a: ArrayLike, b: ArrayLike) -> Values:
    """Cosine of row i of `a` with row i of `b`: (n, d), (n, d) -> (n,) float64; 0 where a row is all zeros.

    Raises what `vicino.vectors.as_vectors` raises, and InputError where the numbers of rows differ.

    >>> paired_cosine([[1, 0], [3, 4]], [[0, 2], [6, 8]]).round(6)
    array([0., 1.])
    """
    left = as_vectors(a)
    right = as_vectors(b, dim=left.shape[1])
    if len(left) != len(right):
        raise InputError(f"{len(left)} rows cannot be paired with {len(right)}", mend="give both sides of every pair")
    cosines: Values = np.einsum("nd,nd->n", normalise(left), normalise(right), dtype=np.float64)
    return cosines


def _mean_ranks(values: Values) -> Values:
    """Ranks from 1; equal values get the mean of the ranks that they fill."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Values = counts.cumsum() - (counts - 1) / 2
    return ranks[inverse]


def _standardised(values: Values) -> Values:
    """`values` shifted to mean 0 and scaled to length 1."""
    if np.ptp(values) == 0:
        raise InputError(
            f"all {len(values)} values are {values[0]:g}: nothing can correlate with them",
            mend="give pairs whose values differ; equal similarities often mean that an encoder returns a constant",
        )
    centred = values - values.mean()
    centred /= np.abs(centred).max()  # so that squares neither overflow nor vanish
    unit: Values = centred / np.linalg.norm(centred)
    return unit
