"""Are two the same? How well a similarity tells pairs of one identity from pairs of two, as with faces and voices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vicino.errors import InputError
from vicino.metrics.values import Values, as_paired_values, as_values

__all__ = ["Roc", "roc", "tar_at_far", "threshold_at_far"]


class Roc(NamedTuple):
    """At each threshold, highest first, what share of different pairs and of same pairs has at least that score."""

    far: Values
    tar: Values
    thresholds: Values


def roc(same: ArrayLike, scores: ArrayLike) -> Roc:
    """The curve of false and true acceptance over all thresholds: (n,) of 0 or 1, and (n,) scores -> three of (t,).

    It begins where nothing is accepted, at a threshold of infinity. Raises InputError where one side is empty, and what
    `vicino.metrics.values.as_paired_values` raises.

    >>> [each.tolist() for each in roc([1, 0, 1, 0], [0.9, 0.8, 0.8, 0.1])]
    [[0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0], [inf, 0.9, 0.8, 0.1]]
    """
    truth, values = as_paired_values(same, scores)
    if not np.isin(truth, (0, 1)).all() or len(np.unique(truth)) < 2:
        raise InputError("the pairs are not of both kinds, 0 and 1", mend="give pairs of one identity and of two")
    order = np.argsort(-values, kind="stable")
    last = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))  # equal scores are accepted together
    accepted, right = last + 1, np.cumsum(truth[order])[last]
    positives = truth.sum()
    far, tar = (accepted - right) / (len(truth) - positives), right / positives
    return Roc(np.append(0.0, far), np.append(0.0, tar), np.append(np.inf, values[order][last]))


def threshold_at_far(different: ArrayLike, far: float) -> float:
    """The lowest score that at most a share `far` of the different pairs reaches or exceeds: of their (n,) scores.

    Raises InputError for a share outside [0, 1] or so small that these pairs cannot tell it, and what `as_values` raises.

    >>> threshold_at_far([0.1, 0.2, 0.3, 0.4], 0.5) > 0.2
    True
    """
    values = np.sort(as_values(different))[::-1]
    if not 0 <= far <= 1 or 0 < far * len(values) < 1:
        raise InputError(
            f"{len(values):,} different pairs cannot tell a share of {far:g}", mend="give more pairs, or a larger share"
        )
    allowed = int(far * len(values) + 1e-9)
    # the first that must not be accepted; whatever is above it, be it by rounding alone, is
    return float(np.nextafter(values[allowed], np.inf)) if allowed < len(values) else float(values[-1])


def tar_at_far(same: ArrayLike, scores: ArrayLike, far: float = 1e-3) -> float:
    """The share of same pairs that is accepted where at most a share `far` of different ones is, in [0, 1].

    (n,) of 0 or 1, and (n,) scores, which may be cosines. As NIST evaluates recognition of faces (there: 1 - FNMR at an FMR).
    Raises what `roc` and `threshold_at_far` raise.

    >>> tar_at_far([1, 1, 0, 0], [0.9, 0.3, 0.5, 0.1], far=0.5), tar_at_far([1, 1, 0, 0], [0.9, 0.3, 0.5, 0.1], far=0)
    (1.0, 0.5)
    """
    truth, values = as_paired_values(same, scores)
    if not np.isin(truth, (0, 1)).all() or len(np.unique(truth)) < 2:
        raise InputError("the pairs are not of both kinds, 0 and 1", mend="give pairs of one identity and of two")
    return float((values[truth == 1] >= threshold_at_far(values[truth == 0], far)).mean())
