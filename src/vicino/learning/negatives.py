"""Hard negatives: what a retriever ranks high for a query and is no answer.

The best ranked wrong documents teach most, and among them are right ones that nobody judged. So candidates come from a range of
ranks, and go where they score nearly as high as the answer (de Souza P. Moreira et al. 2024, "NV-Retriever": no more than 95 % of
the positive's score), where another model takes them for an answer (Qu et al. 2021, "RocketQA"), and where they are the answer's
own text again. `mine` sees numbers only: who searched, with what, is the caller's affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vicino.errors import DimensionMismatch, InputError

__all__ = ["Mined", "Mining", "mine"]

NOBODY = -1

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Mining:
    """How to choose: `per_query` negatives from the ranks `first` to `last` (from 0 on, `last` excluded).

    `relative` is the share of the positive's score that a candidate may reach, None for any; it is for scores that are positive,
    such as cosines of related texts and BM25's, and where the positive's is not, nothing is kept. `judged_relative` is the same
    for another model's scores. `choice` takes the highest ranked or, by `seed`, any. Raises InputError where a value cannot be.
    """

    per_query: int = 1
    first: int = 0
    last: int = 100
    relative: float | None = 0.95
    judged_relative: float | None = 0.95
    choice: Literal["top", "random"] = "random"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_query < 1 or not 0 <= self.first < self.last:
            mend = "give per_query=1, first=0, last=100, or so"
            raise InputError(f"{self.per_query} negatives of the ranks {self.first} to {self.last} cannot be", mend=mend)
        if self.choice not in ("top", "random"):
            raise InputError(f"choice={self.choice!r} cannot be", mend="give top or random")
        for name in ("relative", "judged_relative"):
            if (share := getattr(self, name)) is not None and not share > 0:
                raise InputError(f"{name}={share} cannot be", mend="give a share such as 0.95, or None")


@dataclass(frozen=True, eq=False)
class Mined:
    """`negatives` (q, per_query): rows of documents, -1 where there were not enough; `ranks` (q, per_query) where they stood.

    `removed` counts candidates within the ranks by what removed them first; `without` counts queries that got none.
    """

    negatives: Rows
    ranks: Rows
    candidates: int
    removed: Mapping[str, int]
    without: int

    def __str__(self) -> str:
        """The statistics as a sentence."""
        n = int((self.negatives >= 0).sum())
        rank = f" (median rank {np.median(self.ranks[self.negatives >= 0]) + 1:.0f})" if n else ""
        gone = ", ".join(f"{count:,} {why}" for why, count in self.removed.items() if count) or "none"
        return (
            f"{n:,} negatives{rank} for {len(self.negatives):,} queries, {self.without:,} without any; "
            f"of {self.candidates:,} candidates removed: {gone}"
        )


def mine(
    found: Rows,
    scores: NDArray[np.floating],
    positives: Sequence[Sequence[int]],
    mining: Mining | None = None,
    *,
    own_scores: NDArray[np.floating] | None = None,
    judged: NDArray[np.floating] | None = None,
    own_judged: NDArray[np.floating] | None = None,
    groups: Rows | None = None,
) -> Mined:
    """Choose negatives for q queries from what a retriever found.

    `found` and `scores` (q, k) are documents (rows; -1 for none) and their scores, best first. `positives` are each query's
    answers, `own_scores` (q,) the score of its best one, taken from `found` where it is not given: an answer that was not found
    scores below all that was, and then no candidate is known to be worse. `judged` (q, k) and `own_judged` (q,) are another
    model's. `groups` (documents,) gives documents that are the same text, or nearly so, the same number.

    Raises DimensionMismatch for shapes that do not meet.

    >>> found, scores = np.array([[4, 7, 2, 9]]), np.array([[0.9, 0.89, 0.7, 0.5]])
    >>> mined = mine(found, scores, [[4]], Mining(per_query=2, choice="top"))
    >>> mined.negatives.tolist(), dict(mined.removed)
    ([[2, 9]], {'positive': 1, 'same text': 0, 'near the positive': 1, 'taken for an answer': 0})
    """
    mining = mining or Mining()
    _require(found, scores, positives, own_scores, judged, own_judged)
    span = slice(mining.first, mining.last)
    there = found >= 0
    own = np.zeros(found.shape, dtype=bool)
    same = np.zeros(found.shape, dtype=bool)
    for query, answers in enumerate(positives):
        own[query] = np.isin(found[query], answers)
        if groups is not None:
            same[query] = np.isin(groups[found[query]], groups[list(answers)]) & there[query]
    best = _best_own(scores, own) if own_scores is None else own_scores
    reasons = {
        "positive": own,
        "same text": same,
        "near the positive": _near(scores, best, mining.relative),
        "taken for an answer": np.zeros_like(own) if judged is None else _near(judged, own_judged, mining.judged_relative),
    }
    left, removed = there[:, span].copy(), {}
    for why, gone in reasons.items():
        removed[why] = int((left & gone[:, span]).sum())
        left &= ~gone[:, span]
    negatives, ranks = _chosen(found[:, span], left, mining)
    without = int((negatives < 0).all(axis=1).sum())
    return Mined(negatives, ranks, int(there[:, span].sum()), removed, without)


def _best_own(scores: NDArray[np.floating], own: NDArray[np.bool_]) -> NDArray[np.floating]:
    return np.asarray(np.where(own, scores, -np.inf).max(axis=1, initial=-np.inf))


def _near(scores: NDArray[np.floating], own: NDArray[np.floating] | None, relative: float | None) -> NDArray[np.bool_]:
    """Whether each score is above the share of the own one that it may reach."""
    if relative is None or own is None:
        return np.zeros(scores.shape, dtype=bool)
    limit = np.where(own > 0, own * relative, -np.inf)
    return np.asarray(scores > limit[:, None])


def _chosen(found: Rows, left: NDArray[np.bool_], mining: Mining) -> tuple[Rows, Rows]:
    """Of the candidates that are left, `per_query` a query, and their ranks."""
    order = np.where(left, np.arange(found.shape[1], dtype=np.float64), np.inf)
    if mining.choice == "random":
        order = np.where(left, np.random.default_rng(mining.seed).random(found.shape), np.inf)
    places = np.argsort(order, axis=1, kind="stable")[:, : mining.per_query]
    taken = np.take_along_axis(left, places, axis=1)
    negatives = np.full((len(found), mining.per_query), NOBODY, dtype=np.int64)
    ranks = negatives.copy()
    negatives[:, : places.shape[1]] = np.where(taken, np.take_along_axis(found, places, axis=1), NOBODY)
    ranks[:, : places.shape[1]] = np.where(taken, places + mining.first, NOBODY)
    return negatives, ranks


def _require(
    found: Rows, scores: NDArray[np.floating], positives: Sequence[Sequence[int]], *more: NDArray[np.floating] | None
) -> None:
    own_scores, judged, own_judged = more
    meets = found.ndim == 2 and found.shape == scores.shape and len(positives) == len(found)
    meets &= own_scores is None or own_scores.shape == (len(found),)
    meets &= (judged is None) == (own_judged is None)
    meets &= judged is None or (judged.shape == found.shape and own_judged is not None and own_judged.shape == (len(found),))
    if not meets:
        raise DimensionMismatch(
            f"{found.shape} found with {scores.shape} scores for {len(positives)} queries do not meet",
            mend="give found and scores (q, k), positives of q queries, and own scores (q,)",
        )
