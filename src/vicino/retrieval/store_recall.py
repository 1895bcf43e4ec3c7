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

__all__ = ["Found", "measure"]

_ASKED: Final = 200
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """What was measured over so many `rows`: of an effort that has the recall, else of the most that the index knows."""

    prepared: Prepared
    measured: Measured
    rows: int
    asked: str

    def to_json(self, k: int, target: float) -> dict[str, Any]:
        """As the manifest of an index that is kept here."""
        recall = {**self.measured.to_json(), "k": k, "target": target, "rows": self.rows, "asked": self.asked}
        return {"vectors": self.rows, "fresh": 0, "recall": recall}


def measure(
    store: Store,
    space: Space,
    *,
    tenant: str | None,
    k: int,
    goal: float = 0.0,
    start: int = 0,
    queries: Float32 | None = None,
    seed: int = 0,
) -> Found | None:
    """The least effort, from `start` on, whose recall@k surely is `goal`: doubled until it is, or is the most there is.

    `queries` (q, dim) are what will be asked. None where the store compares all, or holds nothing. Raises what its `search` does.
    """
    prepared = store.prepared(space)
    keys = [] if prepared is None else [key for batch in store.scan(["key"], tenant=tenant) for key in batch["key"].to_pylist()]
    if prepared is None or len(keys) < 2:
        return None
    if queries is not None and len(queries):
        questions, asked = _Questions([None] * len(queries), queries), "given questions"
    else:
        sample = np.random.default_rng(seed).permutation(np.array(keys, dtype=object))[:_ASKED]
        questions, asked = _own(store, space, tenant, sample), "vectors of its own"
    judge = _Judge(store, space, tenant, min(k, len(keys) - 1), questions, len(keys))
    found = judge.measure(start)
    while found.lower < goal and (found.effort or 0) < prepared.most:
        found = judge.measure(min(max(prepared.least, 2 * (found.effort or 0)), prepared.most))
    return Found(prepared, found, len(keys), f"{len(questions.vectors)} {asked}")


@dataclass(frozen=True, eq=False)
class _Questions:
    """Vectors (q, dim), and the key of each that is a row's own."""

    own: Sequence[str | None]
    vectors: Float32


def _own(store: Store, space: Space, tenant: str | None, keys: NDArray[np.object_]) -> _Questions:
    names: list[str | None] = []
    parts = []
    for batch in store.scan(["key"], where=In("key", tuple(keys)), tenant=tenant, space=space):
        names += batch["key"].to_pylist()
        parts.append(_vectors(batch, space))
    return _Questions(names, np.concatenate(parts))


def _vectors(batch: Any, space: Space) -> Float32:
    found: Float32 = batch["vector"].flatten().to_numpy(zero_copy_only=False).reshape(-1, space.dim)
    return found


class _Judge:
    """Knows how near the k-th nearest of each question is: an answer counts that is as near."""

    def __init__(self, store: Store, space: Space, tenant: str | None, k: int, questions: _Questions, rows: int) -> None:
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
        return Measured(effort or None, float(values.mean()), lower_bound(values), float(np.median(seconds)))
