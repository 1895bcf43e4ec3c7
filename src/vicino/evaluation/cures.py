"""Cures for vectors that all point one way, tried on a copy: what they do to the vectors, and what to the task.

A cure is told to help only where the task's metric rises beyond chance, by a paired test corrected for all cures that were tried.
What applies it then is the encoder `isotropic`, which learns the same map.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vicino import metrics
from vicino.catalog import spell
from vicino.evaluation.gate import Check, check_means
from vicino.evaluation.tasks import RetrievalTask
from vicino.indexes.exact import Exact
from vicino.learning.isotropy import CURES
from vicino.metrics import geometry
from vicino.metrics.ranking import judge
from vicino.metrics.significance import holm, randomisation_test
from vicino.metrics.values import Values
from vicino.vectors import Similarity

__all__ = ["UNNAMED", "Cure", "Ranked", "Target", "advice", "try_cures"]

_LEVEL = 0.05
_K = 10

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Target:
    """Whose vectors are cured: the encoder as one types it, and the command that takes another, which stands for ENCODER."""

    encoder: str = "ENCODER"
    command: str = "vicino ingest DATA --collection NAME --encoder ENCODER"

    def cured(self, cure: str) -> str:
        """The command that takes the encoder with this cure.

        >>> Target("minilm", "vicino migrate notes --to ENCODER").cured("whitening")
        "vicino migrate notes --to 'isotropic(encoder=minilm, cure=whitening)'"
        """
        before, _, after = self.command.rpartition("ENCODER")
        return before + shlex.quote(spell("isotropic", {"encoder": self.encoder, "cure": cure})) + after


UNNAMED = Target()


@dataclass(frozen=True)
class Cure:
    """One cure on a copy: the task's metric before and after, p (corrected for all that were tried), and the signs.

    `signs` maps "mean cosine", "effective rank" and "hubness" to what they were and became.
    """

    name: str
    check: Check
    p: float
    signs: Mapping[str, tuple[float, float]]
    target: Target = UNNAMED

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
        told = {"cure": self.name, "encoder": self.target.encoder, **self.check.to_json(), "p": self.p, "decision": self.decision}
        return {**told, "signs": signs, "apply": self.target.cured(self.name)}


def advice(cures: Sequence[Cure]) -> tuple[str, ...]:
    """For each encoder whose vectors were cured: the command that applies the best cure, or that none is worth applying."""
    told = []
    for target in dict.fromkeys(cure.target for cure in cures):
        better = [cure for cure in cures if cure.target == target and cure.decision == "better"]
        if better:
            best = max(better, key=lambda cure: cure.check.difference.mean)
            told.append(f"{best.name} is worth applying to {target.encoder}: {target.cured(best.name)}")
        else:
            told.append(f"no cure is worth applying to {target.encoder}: none was better beyond chance")
    return tuple(told)


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
    documents: Vectors,
    queries: Vectors,
    task: RetrievalTask,
    similarity: Similarity,
    *,
    target: Target = UNNAMED,
    metric: str = "nDCG@10",
    seed: int = 0,
) -> tuple[Cure, ...]:
    """Each of `vicino.learning.isotropy.CURES` learnt from the documents (n, d) of a task, and tried on them and on its queries
    (q, d). `target` says whose vectors they are.

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
    return tuple(Cure(name, check, p, signs, target) for (name, check, _, signs), p in zip(tried, ps, strict=True))


def _signs(before: Vectors, after: Vectors, seed: int) -> dict[str, tuple[float, float]]:
    k = min(10, len(before) - 1)
    measures: dict[str, Callable[[Vectors], float]] = {
        "mean cosine": geometry.mean_cosine,
        "effective rank": lambda rows: geometry.spectrum(rows, centred=True).effective_rank,
        "hubness": lambda rows: geometry.hubness(rows, k=k, seed=seed, sample=5000).skewness,
    }
    return {name: (float(measure(before)), float(measure(after))) for name, measure in measures.items()}
