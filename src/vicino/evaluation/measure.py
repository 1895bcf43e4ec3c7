"""One retriever on one task: what it finds, how fast, and at what size. Kept by content, so that nothing is done twice."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, progress
from vicino.data import splits
from vicino.data.records import Document, Hits, Recipe
from vicino.encoders.base import Truncation
from vicino.errors import ArtifactError, InputError, InvalidVectors, SpaceMismatch, VicinoError
from vicino.evaluation.provenance import made_with
from vicino.evaluation.tasks import RetrievalTask, documents_id
from vicino.metrics import Metric
from vicino.retrieval import RETRIEVERS, Retriever, from_recipe, load
from vicino.retrieval.dense import Dense
from vicino.retrieval.fused import Fused, Pool, combine, metric_by_weights, pool, weight_grid
from vicino.spaces import fingerprint

__all__ = ["Bench", "Built", "Measurement", "Tuning"]

log = logging.getLogger(__name__)

_TIMED_QUERIES = 100  # asked one at a time
_TIMED_K = 10


@dataclass(frozen=True)
class Tuning:
    """How fusion weights were learnt: `final` on all queries; `folds` are what the scored answers used, none of which saw
    its own queries."""

    metric: str
    final: tuple[float, ...]
    folds: tuple[tuple[float, ...], ...]

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Tuning:
        return cls(plain["metric"], tuple(plain["final"]), tuple(tuple(weights) for weights in plain["folds"]))

    @property
    def fuses(self) -> bool:
        """False where the tuner's answer is a single part: do not fuse."""
        return max(self.final) < 1


@dataclass(frozen=True, eq=False)
class Measurement:
    """What one retriever did. `hits` are (queries, depth); `query_ms` are single queries at k = 10, in milliseconds.

    `usage` says what servers were asked for. Their answers are kept: the times of queries are those of answers that were known.
    """

    recipe: Recipe
    hits: Hits
    build_seconds: float
    query_ms: NDArray[np.float64]
    index_bytes: int
    truncation: Truncation | None = None
    tuning: Tuning | None = None
    arithmetic: str = ""
    usage: str = ""
    cached: bool = False


@dataclass(frozen=True)
class Built:
    """A retriever over the task's documents, the seconds that building it took, and whether that was in an earlier run."""

    retriever: Retriever
    seconds: float
    recalled: bool = False


class Bench:
    """A task, and the folder in which built and measured things are kept by content (None: in memory only)."""

    def __init__(
        self,
        task: RetrievalTask,
        metric: Metric,
        *,
        cache: Path | None = None,
        depth: int = 200,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        if folds < 2:
            raise InputError(f"{folds} folds leave nothing to learn from", mend="give 2 folds or more; 5 is usual")
        self.task, self.metric, self.cache = task, metric, cache
        self.depth, self.folds, self.seed = depth, folds, seed
        self._built: dict[str, Built] = {}
        self._measured: dict[str, Measurement] = {}

    def measure(self, recipe: Recipe) -> Measurement:
        """Build, search and time; or recall what was measured before over the same content."""
        found = self.recall(recipe)
        if found is None:
            found = self._measure_fused(recipe) if recipe.retriever == Fused.family else self._measure_one(recipe)
            self._keep(self._key(recipe), found)
            self._measured[self._key(recipe)] = found
        return found

    def recall(self, recipe: Recipe) -> Measurement | None:
        """What was measured before over the same content, in this run or an earlier one; None where nothing was."""
        key = self._key(recipe)
        if key not in self._measured and (found := self._recall(key)) is not None:
            self._measured[key] = found
        return self._measured.get(key)

    def retriever(self, recipe: Recipe) -> Retriever:
        """The built retriever: from memory, from the cache, or built now."""
        return self._build(recipe).retriever

    def _key(self, recipe: Recipe) -> str:
        made_of = [from_recipe(recipe).identity(), self.task.fingerprint, made_with()]
        return fingerprint([*made_of, self.metric.name, self.depth, self.folds, self.seed])

    # Measuring ------------------------------------------------------------------------------------------------------

    def _measure_one(self, recipe: Recipe) -> Measurement:
        built = self._build(recipe)
        hits = built.retriever.search(self.task.queries, self.depth)
        unordered = int(np.isnan(hits.scores).any(axis=1).sum())
        if unordered:
            raise InvalidVectors(f"its scores are NaN on {unordered:,} of {len(hits):,} queries", mend="vicino doctor")
        cut = built.retriever.truncation(self.task.documents)
        return Measurement(
            built.retriever.recipe,
            hits,
            built.seconds,
            self._time(built.retriever),
            built.retriever.nbytes,
            cut,
            arithmetic=built.retriever.arithmetic,
            usage=built.retriever.usage,
            cached=built.recalled,
        )

    def _measure_fused(self, recipe: Recipe) -> Measurement:
        parts = [self.measure(part) for part in recipe.parts]
        params, tuning = dict(recipe.params), None
        method, weights = params.get("method", "rrf"), params.get("weights")
        depth = Fused.defaults()["depth"]
        if self.depth > depth:  # what is scored must be what the recipe then does
            params.setdefault("depth", self.depth)
        depth = params.get("depth", depth)
        floors = [from_recipe(part).floor for part in recipe.parts]
        pools = pool([_cut(part.hits, depth) for part in parts], method, floors=floors, rrf_k=params.get("rrf_k", 60))
        if method == "convex" and (weights is None or params.get("learnt_on") == self.task.fingerprint):
            tuning, weights = self._tune(pools, len(parts))
            params |= {"weights": list(tuning.final), "learnt_on": self.task.fingerprint}
        hits = combine(pools, np.ones(len(parts)) if weights is None else np.asarray(weights, dtype=np.float64), self.depth)
        final = replace(recipe, params=params)
        if tuning is not None and not tuning.fuses:  # what is used, and paid for, is a single part
            chosen = int(np.argmax(tuning.final))
            final, parts = recipe.parts[chosen], [parts[chosen]]
        return Measurement(
            from_recipe(final).recipe,
            hits,
            build_seconds=sum(part.build_seconds for part in parts),
            query_ms=self._time(self.retriever(final)),
            index_bytes=sum(part.index_bytes for part in parts),
            truncation=next((part.truncation for part in parts if part.truncation), None),
            tuning=tuning,
            arithmetic=next((part.arithmetic for part in parts if part.arithmetic), ""),
            cached=any(part.cached for part in parts),
        )

    def _tune(self, pools: list[Pool], parts: int) -> tuple[Tuning, NDArray[np.float64]]:
        """Cross-fitted weights (queries, parts): each query's are the best of the other folds.

        Queries with the same answers share a fold, so that no weight saw its query, nor its query's twin.
        """
        grid = weight_grid(parts)
        table = metric_by_weights(pools, self.task.rows, self.metric, grid, depth=self.depth)
        answers = [{repr(sorted(name for name, grade in row.items() if grade > 0))} for row in self.task.rows]
        groups = len(set().union(*answers))
        if groups < 2:
            raise InputError("weights cannot be learnt: all queries have the same answers", mend="bring more judged queries")
        fold = splits.folds(answers, min(self.folds, groups), seed=self.seed)
        chosen = [int(table[fold != number].mean(axis=0).argmax()) for number in range(fold.max() + 1)]
        final = int(table.mean(axis=0).argmax())
        tuning = Tuning(self.metric.name, tuple(grid[final].tolist()), tuple(tuple(grid[best].tolist()) for best in chosen))
        return tuning, grid[np.array(chosen)[fold]]

    def _time(self, retriever: Retriever) -> NDArray[np.float64]:
        """Milliseconds of single queries, after a few that warm the caches."""
        texts = [query.text for query in self.task.queries[:_TIMED_QUERIES]]
        for text in texts[:3]:
            retriever.search(text, _TIMED_K)
        spent = []
        for text in progress.track(texts, "Timing queries", unit="queries"):
            began = time.perf_counter()
            retriever.search(text, _TIMED_K)
            spent.append(1000 * (time.perf_counter() - began))
        return np.array(spent)

    # Building and keeping -------------------------------------------------------------------------------------------

    def _build(self, recipe: Recipe, held: Sequence[Document] | None = None) -> Built:
        """The retriever over the task's documents, or over `held`, such as their pieces."""
        documents = self.task.documents if held is None else held
        held_id = self.task.documents_fingerprint if held is None else documents_id(documents)
        fresh = from_recipe(recipe)
        key = fingerprint([fresh.identity(), held_id, made_with()])
        if key not in self._built:
            made = self._assembled(recipe, documents) if recipe.parts else self._open(key)
            self._built[key] = made or self._build_now(key, fresh, documents, self._encoded(fresh, held_id))
        return self._built[key]

    def _assembled(self, recipe: Recipe, documents: Sequence[Document]) -> Built:
        """Of parts that are built, or were, each by itself."""
        parts: list[Built] = []
        elsewhere = 0.0

        def build(part: Recipe, held: Sequence[Document]) -> Retriever:
            nonlocal elsewhere
            left = time.perf_counter()
            parts.append(self._build(part, None if held is self.task.documents else held))
            elsewhere += time.perf_counter() - left
            return parts[-1].retriever

        began = time.perf_counter()
        made = RETRIEVERS[recipe.retriever].assemble(recipe, documents, build)
        own = time.perf_counter() - began - elsewhere
        return Built(made, own + sum(part.seconds for part in parts), any(part.recalled for part in parts))

    def _encoded(self, retriever: Retriever, held_id: str) -> Built | None:
        """Of what another index is made: the same encoder's vectors of the same documents, where they are there."""
        if not isinstance(retriever, Dense) or retriever.index == "exact":
            return None
        plain = Dense(encoder=retriever.encoder, encoder_params=retriever.encoder_params)
        key = fingerprint([plain.identity(), held_id, made_with()])
        return self._built.get(key) or self._open(key)

    def _build_now(self, key: str, retriever: Retriever, documents: Sequence[Document], encoded: Built | None) -> Built:
        retriever.warm_up()
        began = time.perf_counter()
        if encoded is not None and isinstance(retriever, Dense):
            retriever.build_again(cast(Dense, encoded.retriever))
        else:
            retriever.build(documents)
        seconds = time.perf_counter() - began + (encoded.seconds if encoded else 0.0)
        if self.cache is not None:
            parts = {"retriever": retriever.save}
            self._write("built", key, kind="built", data={"seconds": seconds}, parts=parts)
        return Built(retriever, seconds)

    def _open(self, key: str) -> Built | None:
        folder = None if self.cache is None else self.cache / "built" / key
        if folder is None or not folder.is_dir():
            return None
        try:
            return Built(load(folder / "retriever"), artifacts.read(folder, kind="built").data["seconds"], recalled=True)
        except (ArtifactError, SpaceMismatch) as error:
            return self._forget(folder, error)

    def _keep(self, key: str, found: Measurement) -> None:
        if self.cache is None:
            return
        places = {document.id: place for place, document in enumerate(self.task.documents)}
        rows = [[-1 if name is None else places[name] for name in answers] for answers in found.hits.ids]
        data = {
            "recipe": found.recipe.to_json(),
            "build_seconds": found.build_seconds,
            "index_bytes": found.index_bytes,
            "truncation": asdict(found.truncation) if found.truncation else None,
            "tuning": asdict(found.tuning) if found.tuning else None,
            "arithmetic": found.arithmetic,
            "usage": found.usage,
        }
        arrays = {"rows": np.array(rows, dtype=np.int64), "scores": found.hits.scores, "query_ms": found.query_ms}
        self._write("measured", key, kind="measurement", data=data, arrays=arrays)

    def _write(self, shelf: str, key: str, **what: Any) -> None:
        """Keep something; a full disk or a folder that cannot be written costs the next run time, not this one its result."""
        if self.cache is None:
            return
        try:
            artifacts.write(self.cache / shelf / key, **what)
        except ArtifactError as error:
            log.warning("not kept for the next run: %s", error.what)

    def _recall(self, key: str) -> Measurement | None:
        folder = None if self.cache is None else self.cache / "measured" / key
        if folder is None or not folder.is_dir():
            return None
        try:
            saved = artifacts.read(folder, kind="measurement")
        except ArtifactError as error:
            return self._forget(folder, error)
        names = np.array([document.id for document in self.task.documents], dtype=object)
        data, arrays = saved.data, saved.arrays
        return Measurement(
            Recipe.from_json(data["recipe"]),
            Hits.of_rows(names, arrays["rows"], arrays["scores"]),
            data["build_seconds"],
            arrays["query_ms"],
            data["index_bytes"],
            Truncation.from_json(data["truncation"]) if data["truncation"] else None,
            Tuning.from_json(data["tuning"]) if data["tuning"] else None,
            data["arithmetic"],
            data["usage"],
            cached=True,
        )

    @staticmethod
    def _forget(folder: Path, error: VicinoError) -> None:
        log.warning("doing again what the cache lost: %s", error.what)
        shutil.rmtree(folder, ignore_errors=True)


def _cut(hits: Hits, depth: int) -> Hits:
    return Hits(hits.ids[:, :depth], hits.scores[:, :depth])
