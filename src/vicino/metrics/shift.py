"""Are two sets of vectors of one kind? What a collection holds now beside what it held, or what is asked beside what is kept.

Both tests give a p of "one distribution"; neither assumes a form. Raises what `vicino.vectors.as_vectors` raises, and InputError
for sets too small to tell from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, InputError
from vicino.metrics.values import Values
from vicino.vectors import as_vectors

__all__ = ["Shift", "classifier_shift", "mmd_shift"]

_LEAST = 20  # vectors on each side
_FOLDS = 5


class Shift(NamedTuple):
    """How far apart two sets are, and p of "not at all". `scores` (m,): for each of the second, how unlike the first it is."""

    distance: float
    p: float
    scores: Values


def classifier_shift(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> Shift:
    """Can a classifier tell them apart? `distance` is its AUC on rows that it did not learn from: .5 where it cannot.

    A logistic regression over standardised dimensions, by five folds. p is twice the median of the folds' Mann-Whitney tests: the
    scores of all folds hang together, and one test of them raised two or three times as many false alarms as it should. `scores`
    are probabilities of being of the second set. Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017;
    Meinshausen, Meier and Bühlmann, "p-values for high-dimensional regression", JASA 104, 2009.

    >>> random = np.random.default_rng(0)
    >>> found = classifier_shift(random.normal(size=(200, 4)), random.normal(1, 1, size=(200, 4)))
    >>> found.distance > 0.8, found.p < 0.001
    (True, True)
    """
    from scipy.stats import mannwhitneyu
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    both, n = _both(first, second)
    of = np.repeat([0, 1], [n, len(both) - n])
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200, class_weight="balanced"))
    told = cross_val_predict(model, both, of, cv=folds, method="predict_proba")[:, 1]
    area = mannwhitneyu(told[of == 1], told[of == 0]).statistic / (n * (len(both) - n))
    held_out = [(told[rows], of[rows]) for _, rows in folds.split(both, of)]
    ps = [mannwhitneyu(scores[side == 1], scores[side == 0], alternative="greater").pvalue for scores, side in held_out]
    return Shift(float(area), min(1.0, 2 * float(np.median(ps))), told[of == 1].astype(np.float64))


def mmd_shift(first: ArrayLike, second: ArrayLike, *, rounds: int = 500, sample: int = 1000, seed: int = 0) -> Shift:
    """Maximum mean discrepancy with a Gaussian kernel whose width is the median distance; p by permutation of the rows.

    `distance` is the unbiased estimate of MMD², near 0 for one distribution. `scores` are how much nearer each of the second is
    to its own than to the first. At most `sample` rows of each are looked at. Gretton et al., "A kernel two-sample test", JMLR
    13, 2012.

    >>> random = np.random.default_rng(0)
    >>> mmd_shift(random.normal(size=(100, 3)), random.normal(size=(100, 3))).p > 0.05
    True
    """
    if rounds < 1:
        raise InputError(f"rounds is {rounds}", mend="give at least 1; 500 is usual")
    random = np.random.default_rng(seed)
    drawn = [_drawn(as_vectors(side), sample, random) for side in (first, second)]
    both, n = _both(*drawn)
    kernel = _gaussian(both)
    m = len(both) - n
    observed = _mmd(kernel, np.repeat([1.0, 0.0], [n, m])[None])[0]
    signs = np.stack([random.permutation(np.repeat([1.0, 0.0], [n, m])) for _ in range(rounds)])
    extreme = int((_mmd(kernel, signs) >= observed - 1e-12).sum())
    own = (kernel[n:, n:].sum(axis=1) - 1) / (m - 1)
    return Shift(float(observed), (1 + extreme) / (1 + rounds), own - kernel[n:, :n].mean(axis=1))


def _mmd(kernel: NDArray[np.float64], firsts: NDArray[np.float64]) -> Values:
    """MMD², unbiased, of divisions (r, n + m) with 1 for a row of the first: (r,). The kernel has ones on its diagonal."""
    n = firsts.sum(axis=1)
    m = firsts.shape[1] - n
    with_first = firsts @ kernel
    inside = (with_first * firsts).sum(axis=1) - n
    across = (with_first * (1 - firsts)).sum(axis=1)
    outside = kernel.sum() - 2 * across - inside - n - m
    found: Values = inside / (n * (n - 1)) + outside / (m * (m - 1)) - 2 * across / (n * m)
    return found


def _gaussian(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial.distance import pdist, squareform

    distances = pdist(rows, "sqeuclidean")
    width = float(np.median(distances))
    kernel: NDArray[np.float64] = squareform(np.exp(-distances / (width or 1.0)))
    np.fill_diagonal(kernel, 1.0)
    return kernel


def _drawn(rows: NDArray[np.float32], sample: int, random: np.random.Generator) -> NDArray[np.float32]:
    return rows if len(rows) <= sample else rows[random.choice(len(rows), sample, replace=False)]


def _both(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], int]:
    one, two = as_vectors(first), as_vectors(second)
    if one.shape[1] != two.shape[1]:
        raise DimensionMismatch(f"{one.shape[1]} dimensions beside {two.shape[1]}", mend="encode both with the same model")
    if min(len(one), len(two)) < _LEAST:
        raise InputError(f"{min(len(one), len(two))} vectors tell nothing", mend=f"give at least {_LEAST} of each")
    return np.concatenate([one, two]).astype(np.float64), len(one)
