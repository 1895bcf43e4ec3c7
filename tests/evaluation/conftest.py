"""A retriever whose answers are written down, so that what an evaluation says can be worked out by hand."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino import artifacts, errors
from vicino.catalog import Entry
from vicino.data.records import Document, Hits, Judgement, Query, Recipe
from vicino.errors import VicinoError
from vicino.evaluation import compare as ladder
from vicino.evaluation.cures import Cure, Target
from vicino.evaluation.diagnosis import Diagnosis
from vicino.evaluation.doctor import Finding
from vicino.evaluation.gate import Check
from vicino.evaluation.measure import Bench
from vicino.evaluation.tasks import RetrievalTask, judged
from vicino.metrics.significance import Interval
from vicino.retrieval import RETRIEVERS, Retriever


class Fixed(Retriever):
    """Answers each query with its written {document: score}; may fail, and costs what it says."""

    family = "fixed"
    built = searched = 0  # how often, over all instances

    def __init__(
        self,
        *,
        answers: Mapping[str, Mapping[str, float]],
        plain: bool = False,
        fail: str = "",
        milliseconds: float = 1.0,
    ) -> None:
        self.answers = answers
        self.plain = plain
        self.fail = fail
        self.milliseconds = milliseconds

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.family, self.get_params())

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Fixed:
        return cls.of(**recipe.params)

    @property
    def simple(self) -> bool:
        return self.plain

    def _build(self, documents: Sequence[Document]) -> None:
        type(self).built += 1
        if self.fail:
            kind = getattr(errors, self.fail, None) or getattr(builtins, self.fail)
            raise kind("told to fail", mend="do not") if issubclass(kind, VicinoError) else kind("told to fail")

    def _search(self, queries: list[str], k: int, explain: bool, allow: object = None) -> Hits:
        type(self).searched += 1
        ids = np.full((len(queries), k), None, dtype=object)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for row, text in enumerate(queries):
            ranked = sorted(self.answers.get(text, {}).items(), key=lambda pair: -pair[1])[:k]
            for place, (name, score) in enumerate(ranked):
                ids[row, place], scores[row, place] = name, score
        return Hits(ids, scores)

    def _write(self, folder: Path) -> None:
        artifacts.write(folder, kind="retriever", data=self._data(), arrays={"ids": list(self._require_built())})

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Fixed:
        retriever = cls.from_recipe(Recipe.from_json(saved.data["recipe"]))
        retriever.ids_ = np.array(saved.arrays["ids"], dtype=object)
        return retriever

    @property
    def nbytes(self) -> int:
        return 100


@pytest.fixture
def fixed(monkeypatch) -> Callable[..., Recipe]:
    """Recipes of Fixed retrievers; a query takes the milliseconds that its recipe says."""
    monkeypatch.setitem(RETRIEVERS._entries, "fixed", Entry(f"{Fixed.__module__}:Fixed", "answers as written"))
    monkeypatch.setattr(Fixed, "built", 0)
    monkeypatch.setattr(Fixed, "searched", 0)

    def time(bench: Bench, retriever: Retriever) -> np.ndarray:
        return np.full(3, float(getattr(retriever, "milliseconds", 5.0)))

    monkeypatch.setattr(Bench, "_time", time)

    def recipe(answers: Mapping[str, Mapping[str, float]], **more: Any) -> Recipe:
        return Fixed(answers=answers, **more).recipe

    recipe.calls = lambda: (Fixed.built, Fixed.searched)  # type: ignore[attr-defined]
    return recipe


@pytest.fixture
def climb(monkeypatch) -> Callable[..., ladder.Comparison]:
    """`compare` over recipes by name instead of short names."""

    def run(task: RetrievalTask, recipes: Mapping[str, Recipe], **options: Any) -> ladder.Comparison:
        monkeypatch.setattr(ladder, "parse", lambda name, analyzer: recipes[name])
        return ladder.compare(task, candidates=list(recipes), **options)[0]

    return run


def task_of(
    relevant: Mapping[str, Mapping[str, int] | str], documents: Sequence[str] = (), name: str = "by hand"
) -> RetrievalTask:
    """A task whose queries are "q1", ..., each with its grades, or with the one document that answers it."""
    grades = {query: {found: 1} if isinstance(found, str) else dict(found) for query, found in relevant.items()}
    names = dict.fromkeys([*documents, *(each for row in grades.values() for each in row)])
    return judged(
        name,
        [Document(each, f"text of {each}") for each in names],
        [Query(query, query) for query in grades],
        [Judgement(query, each, grade) for query, row in grades.items() for each, grade in row.items()],
    )


@pytest.fixture(scope="session")
def by_hand() -> Callable[..., RetrievalTask]:
    return task_of


@pytest.fixture
def diagnosis() -> Diagnosis:
    """A look at an encoder, made by hand: a problem, a fine sign, a reliability of three bins, two cures."""
    names = ("predicted", "observed", "low", "high", "count")
    bins = [(0.1, 0.1, 0.05, 0.15, 120), (0.5, 0.5, 0.4, 0.6, 120), (0.9, 0.7, 0.6, 0.8, 120)]
    numbers = {"error": 0.067, "bins": [dict(zip(names, one, strict=True)) for one in bins]}
    threshold = {"precision": 0.9, "score": 0.43, "pairs": 20, "relevant": 18, "of": 30}
    numbers |= {"auc_within": 0.9, "auc_across": 0.8, "threshold": threshold}
    findings = (
        Finding("lengths", "ok", "0 of 90 are odd", threshold="none", reference="Leys et al. 2013"),
        Finding("direction", "problem", "mean cosine .8", "vicino doctor model DATA --fix", "under .5", "anisotropy"),
        Finding("scores", "ok", "off by .067", threshold="under .1", numbers=numbers),
    )
    target = Target("minilm", "vicino migrate notes --to ENCODER")
    signs = {"mean cosine": (0.8, 0.01), "effective rank": (20.0, 200.0)}
    gain = Check("nDCG@10 with whitening", 50, 0.5, 0.6, Interval(0.1, 0.05, 0.15), 0.04)
    none = Check("nDCG@10 with centring", 50, 0.5, 0.5, Interval(0.0, -0.05, 0.05), 0.04)
    return Diagnosis(findings, (Cure("whitening", gain, 0.001, signs, target), Cure("centring", none, 0.5, signs, target)))
