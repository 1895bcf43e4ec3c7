"""How good the answers of an index are, and what they cost: recall against exact search, each question asked alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError
from vicino.indexes.base import Index
from vicino.indexes.exact import Exact

__all__ = ["Judge", "Measured", "as_near", "least_effort", "lower_bound", "require_goal"]

_FIRST = 100  # questions
_TIMED = 20  # searches from which the time of an exact one is known
_TIE = 1e-5  # scores so near, beside the largest there could be, count as equal: vectors may be there twice
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """Recall (mean over the questions, and its lower bound) and the seconds of one question, asked alone."""

    effort: int | None
    value: float
    lower: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As plain data, recalls to five digits."""
        recalls = {"value": round(self.value, 5), "lower": round(self.lower, 5)}
        return {**recalls, "effort": self.effort, "seconds": self.seconds}


def require_goal(recall: float, k: int) -> None:
    """Raise InputError for what nobody can ask of an index."""
    if not 0 < recall <= 1:
        raise InputError(f"a recall of {recall} cannot be had", mend="give a share, such as 0.97")
    if k < 1:
        raise InputError(f"k is {k}", mend="ask for at least one answer")


def lower_bound(values: NDArray[Any]) -> float:
    """Where the mean of recalls (q,) surely lies above: one-sided, 95 %.

    The normal bound, as if one more question had found nothing at all, so that a perfect score is no proof either: 0 of 500
    missed gives .995, as by the rule of three (Hanley and Lippman-Hand 1983).

    >>> round(lower_bound(np.ones(500)), 3), round(lower_bound(np.ones(20)), 3)
    (0.995, 0.874)
    """
    seen = np.append(np.asarray(values, dtype=np.float64), 0.0)
    return max(0.0, float(seen.mean() - 1.645 * seen.std(ddof=1) / math.sqrt(len(seen))))


def as_near(worst: NDArray[Any], queries: Float32, longest: float, similarity: str) -> NDArray[Any]:
    """The score from which an answer is as near as the k-th nearest of its question, which has the score `worst`, (q,).

    `queries` are (q, d), and no vector is longer than `longest`; all have unit length where the similarity is cosine.
    """
    lengths = np.linalg.norm(queries, axis=1)
    largest = lengths * longest
    if similarity == "euclidean":
        largest = np.abs(worst) + 0.003 * lengths  # of two equal vectors the distance may be a little more than 0
    return np.asarray(worst - _TIE * largest)


class Judge:
    """Questions (q, d) to checked vectors (n, d), unit rows where the similarity is cosine; `measure` says how an index does.

    An answer counts if it is as near as the k-th nearest: of vectors that are there twice, either will do.
    """

    def __init__(self, vectors: Float32, queries: Float32, k: int, similarity: str) -> None:
        self.vectors, self.queries, self.k = vectors, queries, min(k, len(vectors))
        self.exact = Exact(similarity=similarity)
        self.exact._build(vectors)
        worst = self.exact._search(queries, self.k, None, None)[1][:, -1]
        longest = math.sqrt(np.einsum("ij,ij->i", vectors, vectors).max())
        self.worst = as_near(worst, queries, longest, similarity)

    def measure(self, index: Index, effort: int | None, row: Mapping[str, int], goal: float = 0.0) -> Measured:
        """Ask each question alone, as a user does; `row` says where in the vectors each id is.

        Where the first hundred show that `goal` is out of reach, the others are not asked.
        """
        values, seconds = np.zeros(len(self.queries)), np.zeros(len(self.queries))
        for number, query in enumerate(self.queries):
            if number == _FIRST and values[:_FIRST].mean() + 4 * values[:_FIRST].std() / math.sqrt(_FIRST) < goal:
                values, seconds = values[:_FIRST], seconds[:_FIRST]
                break
            began = time.perf_counter()
            hits = index.search(query[None], self.k, effort=effort)
            seconds[number] = time.perf_counter() - began
            found = [row[name] for name in hits.ids[0] if name is not None]
            scores = self.exact._scores(query[None], self.vectors[found])[0]
            values[number] = np.count_nonzero(scores >= self.worst[number]) / self.k
        if "exact" in index.capabilities:
            return Measured(None, 1.0, 1.0, float(np.median(seconds)))
        return Measured(effort, float(values.mean()), lower_bound(values), float(np.median(seconds)))

    def seconds(self, rows: NDArray[np.int64] | None = None) -> float:
        """One exact search, over these rows or all."""
        spent = []
        for query in self.queries[:_TIMED]:
            began = time.perf_counter()
            self.exact._search(query[None], self.k, rows, None)
            spent.append(time.perf_counter() - began)
        return float(np.median(spent))


def least_effort(
    measure: Callable[[int | None], Measured], index: Index, goal: float, start: int, enough: float
) -> Measured | None:
    """The least effort whose recall surely is `goal`: doubled from `start` until it is, then halved between, three times."""
    if "effort" not in index.capabilities:
        once = measure(None)
        return once if once.lower >= goal else None
    low, high, found = 0, start, measure(start)
    while found.lower < goal:
        if high >= len(index._require_built()) or found.seconds > enough:
            return None
        low, high = high, 2 * high
        found = measure(high)
    for _ in range(3):
        between = round(math.sqrt(low * high))
        if low < start or not low < between < high:
            break
        less = measure(between)
        if less.lower >= goal:
            high, found = between, less
        else:
            low = between
    return found
