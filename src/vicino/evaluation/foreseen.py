"""What a comparison will be able to tell, said before it runs: how many queries speak for themselves, and the smallest true
difference that they would show."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, median

import numpy as np
from numpy.typing import NDArray

from vicino.data.near_duplicates import same_text
from vicino.data.splits import groups
from vicino.evaluation.tasks import RetrievalTask
from vicino.metrics.significance import detectable_difference

__all__ = ["SPREAD", "Foreseen", "announce", "foresee", "hanging_together"]

log = logging.getLogger(__name__)

SPREAD = 0.3  # of one query's differences between unlike retrievers, nDCG@10: BM25 and MiniLM .20 on Cranfield, .33 on CACM
POWER = 0.8
LEVEL = 0.05


@dataclass(frozen=True)
class Foreseen:
    """The smallest true `difference` of the first metric that would be detected four times in five, whichever two of the
    `candidates` it lies between.

    `queries` were judged, of which `units` speak for themselves; `spread` is the standard deviation of one query's differences
    that was reckoned with, and `source` says where it is from.
    """

    difference: float
    queries: int
    units: int
    candidates: int
    spread: float
    source: str

    @property
    def sentence(self) -> str:
        """In words."""
        if not math.isfinite(self.difference):
            return f"{self.queries:,} {'query' if self.queries == 1 else 'queries'} can show no difference at all."
        return (
            f"Before the run: these {self.queries:,} queries would show a true difference of {self.difference:.3f} four times in "
            f"five, and smaller ones less often (spread {self.spread:.2f}: {self.source})."
        )


def announce(told: Foreseen) -> None:
    """Say it, before the work: a face that shows what this module logs shows it in time."""
    log.info(told.sentence)


def foresee(units: NDArray[np.intp], candidates: int, known: Mapping[str, NDArray[np.float64]] | None = None) -> Foreseen:
    """What n queries in their `units` (n,) will tell of so many candidates.

    `known` holds the values of candidates that were measured before: the spread is then the median over their pairs. Otherwise
    it is `SPREAD`, and the queries of a unit are taken to succeed and fail as one. The level is corrected for all pairs, as by
    Bonferroni: a little more careful than the test itself.

    >>> foresee(np.arange(400), 2).difference  # (1.960 + 0.842) · 0.3 / √400
    0.042...
    """
    n, sizes = len(units), np.bincount(units)
    count = int(np.count_nonzero(sizes))
    level = LEVEL / max(1, candidates * (candidates - 1) // 2)
    pairs = [a - b for a, b in combinations((known or {}).values(), 2)]
    told = [difference for difference in pairs if np.ptp(difference) > 0]
    if count < 2:
        return Foreseen(math.inf, n, count, candidates, SPREAD, "nothing was measured yet")
    if told:
        expected = median(detectable_difference(each, groups=units, level=level, power=POWER) for each in told)
        spread = median(float(each.std(ddof=1)) for each in told)
        source = "of 1 pair that was measured before" if len(told) == 1 else f"of {len(told)} pairs that were measured before"
        return Foreseen(expected, n, count, candidates, spread, source)
    normal = NormalDist()
    error = SPREAD * math.sqrt(float(np.square(sizes).sum())) / n
    expected = (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(POWER)) * error
    return Foreseen(expected, n, count, candidates, SPREAD, "usual between unlike retrievers")


def hanging_together(task: RetrievalTask) -> NDArray[np.intp]:
    """The number of each query's unit, (n,): queries share one that nearly repeat each other, or whose relevant documents are
    half the same or more (Jaccard).

    `RetrievalTask.groups` hang together by any document, over any number of queries: right for a split, where nothing may leak,
    but it makes one group of 164 of Cranfield's 225 queries, which succeed and fail on their own for all that.
    """
    answers = [frozenset(name for name, grade in row.items() if grade > 0) for row in task.rows]
    return groups(_links(answers), alike=same_text([query.text for query in task.queries]).tolist())


def _links(answers: Sequence[frozenset[str]]) -> list[set[str]]:
    """For each query the names of the links that it has a part in; those that share a link hang together."""
    from scipy.sparse import csr_array

    kinds = {answer: number for number, answer in enumerate(dict.fromkeys(answers))}
    places: dict[str, int] = {}
    pairs = [(number, places.setdefault(name, len(places))) for answer, number in kinds.items() for name in answer]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    table = csr_array((np.ones(len(pairs), dtype=np.int64), (rows, columns)), shape=(len(kinds), len(places)))
    shared = (table @ table.T).tocoo()
    sizes = np.array([len(answer) for answer in kinds])
    near = 2 * shared.data >= sizes[shared.row] + sizes[shared.col] - shared.data  # Jaccard of half or more
    links: list[set[str]] = [{str(number)} for number in range(len(kinds))]
    for row, column in zip(shared.row[near].tolist(), shared.col[near].tolist(), strict=True):
        links[row].add(f"{min(row, column)}-{max(row, column)}")
    return [links[kinds[answer]] for answer in answers]
