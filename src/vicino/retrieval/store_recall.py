"""How much of what is nearest the index of a collection's store finds (index=store), and the effort that finds enough.

A store holds its index: nothing can be left out of it to ask with. Questions are those given, else vectors of its own, none of
which is counted among its own neighbours. The truth is one pass over all vectors, a batch of them in memory at a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.data.filters import In
from vicino.indexes.recall import Measured, as_near, lower_bound
from vicino.spaces import Space
from vicino.store.base import Prepared, Store
from vicino.vectors import normalise, similarity

__all__ = ["Found", "measure", "provable"]

_ASKED: Final = 500  # vectors of its own, at most
_FEW: Final = 2000  # rows that are compared in a moment: no index is asked for them
_TIMED: Final = 20
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """What was measured over so many `rows`: of an effort that has the recall, else of the most that the index knows.

    The effort None compares all. `sample` are keys of some rows: as many as are gone later have gone of all.
    """

    prepared: Prepared
    measured: Measured
    rows: int
    asked: str
    sample: tuple[str, ...]

    def to_json(self, k: int, target: float) -> dict[str, Any]:
        """As the manifest of an index that is kept here."""
        recall = {**self.measured.to_json(), "k": k, "target": target, "rows": self.rows, "asked": self.asked}
        return {"vectors": self.rows, "fresh": 0, "recall": recall}


def measure(
    store: Store,
    space: Space,
    *,
    tenant: str,
    k: int,
    goal: float = 0.0,
    start: int = 0,
    queries: Float32 | None = None,
    seed: int = 0,
) -> Found | None:
    """The least effort, from `start` on, whose recall@k surely is `goal`: doubled until it is, or is the most there is.

    `queries` (q, dim) are what will be asked. Of few rows all are compared. None where no index stands in the store. Raises what
    its `search` does.
    """
    prepared, rows = store.prepared(space, k), store.count(tenant=tenant)
    if prepared is None or not rows:
        return None
    sample = _sample(store, tenant, rows, seed)
    if queries is not None and len(queries):
        questions, asked = _Questions([None] * len(queries), queries), "given questions"
    else:
        questions, asked = _own(store, space, tenant, sample), "vectors of its own"
    if rows <= _FEW:
        began, some = time.perf_counter(), questions.vectors[:_TIMED]
        store.search(some, k, space=space, tenant=tenant)
        whole = Measured(None, 1.0, 1.0, (time.perf_counter() - began) / max(1, len(some)))
        return Found(prepared, whole, rows, "nothing, for all are compared", sample)
    judge = _Judge(store, space, tenant, k, questions, rows)
    effort = min(max(start, prepared.least), prepared.most)
    found = judge.measure(effort)
    while found.lower < goal <= provable(len(questions.vectors)) and effort < prepared.most:
        effort = min(2 * effort, prepared.most)
        found = judge.measure(effort)
    return Found(prepared, found, rows, f"{len(questions.vectors)} {asked}", sample)


def provable(questions: int) -> float:
    """The highest recall that so many questions can tell surely, were all answered without a miss."""
    return lower_bound(np.ones(questions))


@dataclass(frozen=True, eq=False)
class _Questions:
    """Vectors (q, dim), and the key of each that is a row's own."""

    own: Sequence[str | None]
    vectors: Float32


def _sample(store: Store, tenant: str, rows: int, seed: int) -> tuple[str, ...]:
    """Keys of some rows, whichever these are."""
    wanted = np.sort(np.random.default_rng(seed).permutation(rows)[:_ASKED])
    names: list[str] = []
    seen = 0
    for batch in store.scan(["key"], tenant=tenant):
        here = wanted[(wanted >= seen) & (wanted < seen + len(batch))] - seen
        names += batch["key"].take(here).to_pylist()
        seen += len(batch)
    return tuple(names)


def _own(store: Store, space: Space, tenant: str, keys: tuple[str, ...]) -> _Questions:
    names: list[str | None] = []
    parts = [np.empty((0, space.dim), dtype=np.float32)]
    for batch in store.scan(["key"], where=In("key", keys), tenant=tenant, space=space):
        names += batch["key"].to_pylist()
        parts.append(_vectors(batch, space))
    return _Questions(names, np.concatenate(parts))


def _vectors(batch: Any, space: Space) -> Float32:
    found: Float32 = batch["vector"].flatten().to_numpy(zero_copy_only=False).reshape(-1, space.dim)
    return found


class _Judge:
    """Knows how near the k-th nearest of each question is: an answer counts that is as near."""

    def __init__(self, store: Store, space: Space, tenant: str, k: int, questions: _Questions, rows: int) -> None:
        self.search = partial(store.search, space=space, tenant=tenant)
        self.questions, self.k = questions, k
        row_of = {name: row for row, name in enumerate(questions.own) if name is not None}
        best = np.full((len(questions.vectors), k), -np.inf, dtype=np.float32)
        longest = 0.0
        with progress.task("Comparing all", total=rows, unit="vectors") as bar:
            for batch in store.scan(["key"], tenant=tenant, space=space):
                vectors = _vectors(batch, space)
                scores = similarity(questions.vectors, vectors, space.similarity)
                for place, name in enumerate(batch["key"].to_pylist()):
                    if name in row_of:
                        scores[row_of[name], place] = -np.inf
                best = -np.partition(-np.hstack([best, scores]), k - 1, axis=1)[:, :k]
                longest = max(longest, float(np.linalg.norm(vectors, axis=1).max()))
                bar.advance(len(vectors))
        unit = space.similarity == "cosine"
        asked = normalise(questions.vectors) if unit else questions.vectors
        self.worst = as_near(best.min(axis=1), asked, 1.0 if unit else longest, space.similarity)

    def measure(self, effort: int) -> Measured:
        """Each question asked alone."""
        values, seconds = np.zeros(len(self.worst)), np.zeros(len(self.worst))
        for row, (own, vector) in enumerate(zip(self.questions.own, self.questions.vectors, strict=True)):
            began = time.perf_counter()
            hits = self.search(vector[None], self.k + (own is not None), effort=effort)
            seconds[row] = time.perf_counter() - began
            scores = [score for name, score in hits.top(0) if name != own][: self.k]
            values[row] = np.count_nonzero(np.array(scores) >= self.worst[row]) / self.k
        return Measured(effort, float(values.mean()), lower_bound(values), float(np.median(seconds)))
