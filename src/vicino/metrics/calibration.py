"""From a score to a probability: how far a score can be trusted, and where to cut for a wanted precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vicino.errors import InputError
from vicino.metrics.values import Values, as_paired_values

__all__ = ["LEVEL", "Calibration", "Reliability", "calibrate", "reliability", "require_precision", "threshold_for"]

LEVEL = 0.95  # of the intervals of shares


class Calibration(NamedTuple):
    """A rising step function: from `scores` (m,), ascending, on, the probability is `probabilities` (m,)."""

    scores: Values
    probabilities: Values

    def __call__(self, scores: ArrayLike) -> Values:
        """(n,) scores -> (n,) probabilities; scores below all known ones have the lowest."""
        rows = np.searchsorted(self.scores, np.asarray(scores, np.float64), side="right") - 1
        return self.probabilities[np.maximum(rows, 0)]


class Reliability(NamedTuple):
    """By bins of probability: the mean `predicted`, the share that was true, and how many; `error` is their weighted distance.

    `low` and `high` bound the shares: Wilson's interval of each, at 95 %, which takes the things in a bin for independent.
    """

    predicted: Values
    observed: Values
    counts: Values
    error: float
    low: Values
    high: Values


def calibrate(scores: ArrayLike, relevant: ArrayLike) -> Calibration:
    """The best rising map from scores to probabilities of relevance: (n,) each, `relevant` of 0 and 1. Isotonic regression.

    Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002. Raises
    InputError where all or none are relevant, and what `as_paired_values` raises.

    >>> made = calibrate([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1])
    >>> made([0.05, 0.25, 0.9]).tolist()
    [0.0, 0.5, 1.0]
    """
    from sklearn.isotonic import IsotonicRegression

    values, truth = _checked(scores, relevant)
    order = np.argsort(values, kind="stable")
    fitted = IsotonicRegression(y_min=0, y_max=1).fit_transform(values[order], truth[order])
    first = np.flatnonzero(np.append(True, np.diff(fitted) > 0))
    return Calibration(values[order][first], fitted[first].astype(np.float64))


def reliability(probabilities: ArrayLike, relevant: ArrayLike, *, bins: int = 10) -> Reliability:
    """How well probabilities hold, by bins of equal counts. `error` is the expected calibration error.

    Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; intervals: Wilson,
    "Probable inference, the law of succession, and statistical inference", JASA 22, 1927. Raises InputError for what is
    not 0 or 1 in `relevant`.

    >>> reliability([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 1], bins=2).error.__round__(3)
    0.1
    """
    if bins < 1:
        raise InputError(f"bins is {bins}", mend="give at least one; 10 is usual")
    from scipy.stats import binomtest

    values, truth = as_paired_values(probabilities, relevant)
    if not np.isin(truth, (0, 1)).all():
        raise InputError("what is relevant is told by 0 and 1", mend="give 1 where it is, 0 where not")
    parts = [part for part in np.array_split(np.argsort(values, kind="stable"), bins) if len(part)]
    predicted = np.array([values[part].mean() for part in parts])
    observed = np.array([truth[part].mean() for part in parts])
    counts = np.array([len(part) for part in parts], np.float64)
    error = float((np.abs(predicted - observed) * counts).sum() / counts.sum())
    tests = [binomtest(int(truth[part].sum()), len(part)) for part in parts]
    ends = np.array([test.proportion_ci(LEVEL, method="wilson") for test in tests], np.float64)
    return Reliability(predicted, observed, counts, error, ends[:, 0], ends[:, 1])


def threshold_for(scores: ArrayLike, relevant: ArrayLike, precision: float) -> tuple[float, float] | None:
    """The lowest score from which on the share of relevant ones is `precision`, and the recall there; None where none is.

    >>> threshold_for([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], 0.6)
    (0.2, 1.0)
    """
    require_precision(precision)
    values, truth = _checked(scores, relevant)
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(truth[order])
    last = np.append(np.diff(values[order]) != 0, True)  # equal scores pass together
    good = np.flatnonzero(last & (hits / np.arange(1, len(hits) + 1) >= precision))
    return None if not len(good) else (float(values[order][good[-1]]), float(hits[good[-1]] / hits[-1]))


def require_precision(precision: float) -> None:
    """Raise InputError for what is no share that can be wanted; ask before the work, not after it."""
    if not 0 < precision <= 1:
        raise InputError(f"a precision of {precision} cannot be", mend="give a share such as 0.9")


def _checked(scores: ArrayLike, relevant: ArrayLike) -> tuple[Values, Values]:
    values, truth = as_paired_values(scores, relevant)
    if not np.isin(truth, (0, 1)).all() or truth.min() == truth.max():
        raise InputError("scores of relevant and of other documents are needed", mend="give 0 and 1, some of each")
    return values, truth
