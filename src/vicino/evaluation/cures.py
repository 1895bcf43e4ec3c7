"""Cures for vectors that all point one way, tried on a copy: what they do to the vectors, and what to the task.

A cure is told to help only where the task's metric rises beyond chance, by a paired test corrected for all cures that were tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vicino import metrics
from vicino.evaluation.gate import Check, check_means
from vicino.evaluation.tasks import RetrievalTask
from vicino.indexes.exact import Exact
from vicino.learning.isotropy import Affine, all_but_the_top, centring, whitening
from vicino.metrics import geometry
from vicino.metrics.ranking import judge
from vicino.metrics.significance import holm, randomisation_test
from vicino.metrics.values import Values
from vicino.vectors import Similarity

__all__ = ["CURES", "Cure", "Ranked", "try_cures"]

CURES: Mapping[str, Callable[[NDArray[np.float32]], Affine]] = {
    "centring": centring,
    "all-but-the-top": all_but_the_top,
    "whitening": whitening,
}
_LEVEL = 0.05
_K = 10

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Cure:
    """One cure on a copy: the task's metric before and after, p (corrected for all that were tried), and the signs.

    `signs` maps "mean cosine", "effective rank" and "hubness" to what they were and became.
    """

    name: str
    check: Check
    p: float
    signs: Mapping[str, tuple[float, float]]

    @property
    def decision(self) -> Literal["better", "worse", "not told apart"]:
        if self.p >= _LEVEL:
            return "not told apart"
        return "better" if self.check.difference.mean > 0 else "worse"

    def __str__(self) -> str:
        p = "< .001" if self.p < 0.001 else f"= {self.p:.3f}"
        signs = "; ".join(f"{name} {before:.3g} -> {after:.3g}" for name, (before, after) in self.signs.items())
        return f"{self.check}, p {p}: {self.decision}; {signs}"

    def to_json(self) -> dict[str, Any]:
        """The numbers, as JSON can say them."""
        signs = {name: {"before": before, "after": after} for name, (before, after) in self.signs.items()}
        return {"cure": self.name, **self.check.to_json(), "p": self.p, "decision": self.decision, "signs": signs}


@dataclass(frozen=True, eq=False)
class Ranked:
    """The ten best documents of each query of a task."""

    ids: NDArray[np.object_]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, documents: Vectors, queries: Vectors, task: RetrievalTask, similarity: Similarity) -> Ranked:
        """By exact search."""
        index = Exact(similarity=similarity).build(documents, [document.id for document in task.documents])
        hits = index.search(queries, min(_K, len(documents)))
        return cls(hits.ids, hits.scores)

    def values(self, metric: str, task: RetrievalTask) -> Values:
        """The metric of each query."""
        return metrics.parse(metric)(judge(self.ids, task.rows))

    def relevant(self, task: RetrievalTask) -> Values:
        """For each place whether what stands there is relevant, 1 or 0."""
        rows = zip(self.ids.tolist(), task.rows, strict=True)
        return np.array([[row.get(name, 0) > 0 for name in ids] for ids, row in rows], np.float64)


def try_cures(
    documents: Vectors, queries: Vectors, task: RetrievalTask, similarity: Similarity, *, metric: str = "nDCG@10", seed: int = 0
) -> tuple[Cure, ...]:
    """Each of `CURES` learnt from the documents (n, d) of a task, and tried on them and on its queries (q, d).

    >>> from vicino.data.records import Document, Judgement, Query
    >>> from vicino.evaluation.tasks import judged
    >>> random = np.random.default_rng(0)
    >>> rows = random.normal(size=(60, 8)).astype(np.float32)
    >>> task = judged(
    ...     "made",
    ...     [Document(f"d{n}", f"text {n}") for n in range(60)],
    ...     [Query(f"q{n}", f"query {n}") for n in range(60)],
    ...     [Judgement(f"q{n}", f"d{n}", 1) for n in range(60)],
    ... )
    >>> cures = try_cures(rows + 5, rows, task, "cosine")
    >>> [cure.name for cure in cures]
    ['centring', 'all-but-the-top', 'whitening']
    """
    before = Ranked.of(documents, queries, task, similarity).values(metric, task)
    tried = []
    for name, learn in CURES.items():
        made = learn(documents)
        cured = made(documents)
        after = Ranked.of(cured, made(queries), task, similarity).values(metric, task)
        check = check_means(f"{metric} with {name}", before, after, groups=task.groups, seed=seed)
        tried.append(
            (name, check, randomisation_test(after, before, groups=task.groups, seed=seed), _signs(documents, cured, seed))
        )
    ps = holm([p for _, _, p, _ in tried])
    return tuple(Cure(name, check, p, signs) for (name, check, _, signs), p in zip(tried, ps, strict=True))


def _signs(before: Vectors, after: Vectors, seed: int) -> dict[str, tuple[float, float]]:
    k = min(10, len(before) - 1)
    measures: dict[str, Callable[[Vectors], float]] = {
        "mean cosine": geometry.mean_cosine,
        "effective rank": lambda rows: geometry.spectrum(rows, centred=True).effective_rank,
        "hubness": lambda rows: geometry.hubness(rows, k=k, seed=seed, sample=5000).skewness,
    }
    return {name: (float(measure(before)), float(measure(after))) for name, measure in measures.items()}
