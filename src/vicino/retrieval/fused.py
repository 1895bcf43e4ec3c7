"""Fused retrieval: several rankings of the same documents made into one.

Two methods. "rrf" adds 1 / (k + rank) (Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion"). "convex" adds weighted
scores, each list scaled to 0..1 between the lowest score that is possible and the highest that was found (Bruch, Gai and
Ingber 2023, "An analysis of fusion functions for hybrid retrieval": TM2C2); its weights are learnt, and a weight of one on a
single part means: do not fuse.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.records import Document, Hits, Recipe
from vicino.errors import InputError, UnknownName
from vicino.metrics import Metric
from vicino.metrics.ranking import judge
from vicino.retrieval.base import Passages, Retriever
from vicino.spaces import fingerprint

__all__ = ["Fused", "Pool", "combine", "metric_by_weights", "pool", "weight_grid"]

METHODS = ("rrf", "convex")
Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pool:
    """All candidates of one query: `ids` (m,), each part's `ranks` (m, parts; 0 = not found), `scores` (m, parts; NaN = not
    found) and `shares` (m, parts), what a part of weight 1 adds to the fused score."""

    ids: NDArray[np.object_]
    ranks: NDArray[np.int64]
    scores: Float
    shares: Float


def pool(parts: Sequence[Hits], method: str, *, floors: Sequence[float | None] | None = None, rrf_k: int = 60) -> list[Pool]:
    """Bring the hits of several retrievers together, one `Pool` a query.

    `floors` are the lowest scores that the parts can give (see `Retriever.floor`); for "convex" a list is scaled from its
    floor to its highest score, or from its lowest score where there is no floor. A document that a part did not find gets
    nothing from it by rank, and by score what the last one that it found gets (or the floor, where it found all it could).

    >>> a = Hits(np.array([["x", "y"]], dtype=object), np.array([[2.0, 1.0]], dtype=np.float32))
    >>> b = Hits(np.array([["y", "z"]], dtype=object), np.array([[0.9, 0.5]], dtype=np.float32))
    >>> [p.shares.tolist() for p in pool([a, b], "convex")]
    [[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]]
    """
    if method not in METHODS:
        raise UnknownName.among(method, METHODS, kind="fusion method")
    if len({len(hits) for hits in parts}) != 1:
        raise InputError("the parts answered different numbers of queries", mend="ask every part the same queries")
    lows = [None] * len(parts) if floors is None else floors
    widths = [hits.ids.shape[1] for hits in parts]
    pools = []
    for row in range(len(parts[0])):
        lists = [hits.top(row) for hits in parts]
        ids, ranks, scores = _together(lists)
        if method == "rrf":
            shares = np.where(ranks > 0, 1 / (rrf_k + np.maximum(ranks, 1)), 0.0)
        else:
            more = [len(found) == width for found, width in zip(lists, widths, strict=True)]
            scaled = [_scaled(scores[:, part], lows[part], more[part]) for part in range(len(parts))]
            shares = np.stack(scaled, axis=1)
        pools.append(Pool(ids, ranks, scores, shares))
    return pools


def _together(lists: Sequence[list[tuple[str, float]]]) -> tuple[NDArray[np.object_], NDArray[np.int64], Float]:
    """The ids, ranks and scores of a `Pool`."""
    places = {name: place for place, name in enumerate(dict.fromkeys(name for found in lists for name, _ in found))}
    ranks = np.zeros((len(places), len(lists)), dtype=np.int64)
    scores = np.full((len(places), len(lists)), np.nan)
    for part, found in enumerate(lists):
        rows = [places[name] for name, _ in found]
        ranks[rows, part] = np.arange(1, len(found) + 1)
        scores[rows, part] = [score for _, score in found]
    return np.array(list(places), dtype=object), ranks, scores


def _scaled(scores: Float, floor: float | None, more: bool) -> Float:
    """One part's scores (m,) from its floor to the highest on 0..1. `more` says that it would have found more if asked."""
    found = ~np.isnan(scores)
    if not found.any():
        return np.zeros(len(scores))
    lowest, high = scores[found].min(), scores[found].max()
    low = lowest if floor is None else floor
    if high <= low:
        return np.where(found, 1.0, 0.0)
    missing = lowest if more else low
    scaled: Float = (np.where(found, scores, missing) - low) / (high - low)
    return scaled


def combine(pools: Sequence[Pool], weights: Float, k: int) -> Hits:
    """Rank every pool by its weighted shares. `weights` is (parts,), or (queries, parts) for weights of their own.

    A part of weight 0 takes no part: what only it found is no answer. Ties go to the document that the earlier part found
    earlier.
    """
    each = np.broadcast_to(weights, (len(pools), np.shape(weights)[-1]))
    width = min(k, max((len(one.ids) for one in pools), default=0))
    ids = np.full((len(pools), width), None, dtype=object)
    scores = np.full((len(pools), width), -np.inf, dtype=np.float32)
    for row, (one, weight) in enumerate(zip(pools, each, strict=True)):
        places = _counted(one, weight)
        fused = one.shares[places] @ weight
        best = np.argsort(-fused, kind="stable")[:width]
        ids[row, : len(best)], scores[row, : len(best)] = one.ids[places[best]], fused[best]
    return Hits(ids, scores)


def _counted(one: Pool, weight: Float) -> NDArray[np.int64]:
    """The places of what the parts with a weight found, in the order that ties keep."""
    if (weight > 0).all():
        return np.arange(len(one.ids))
    ranks = one.ranks[:, weight > 0]
    found = np.flatnonzero((ranks > 0).any(axis=1))
    last = np.where(ranks > 0, ranks, len(one.ids) + 1)[found]
    return found[np.lexsort(last.T[::-1])] if last.size else found


def weight_grid(parts: int) -> Float:
    """Convex weights to try, (w, parts): first each part alone ("do not fuse"), then steps of .05 (two parts) or .1.

    >>> weight_grid(2)[:3].tolist(), len(weight_grid(2))
    ([[1.0, 0.0], [0.0, 1.0], [0.05, 0.95]], 21)
    """
    steps = 20 if parts == 2 else 10
    cells = (c for c in itertools.product(range(steps), repeat=parts) if sum(c) == steps)
    return np.concatenate([np.eye(parts), np.array(list(cells)).reshape(-1, parts) / steps])


def metric_by_weights(
    pools: Sequence[Pool], qrels: Sequence[Mapping[str, int]], metric: Metric, grid: Float, *, depth: int
) -> Float:
    """The metric of each query under each weight: (queries, len(grid))."""
    columns = [metric(judge(combine(pools, weights, depth).ids, qrels)) for weights in grid]
    return np.stack(columns, axis=1)


class Fused(Retriever):
    """`parts` are retrievers over the same documents; each is asked for `depth` answers.

    Method "convex" without `weights` counts every part alike; `vicino compare` learns them, and notes the fingerprint of the task
    that taught them as `learnt_on`.
    """

    family: ClassVar[str] = "fused"

    def __init__(
        self,
        *,
        parts: Sequence[Retriever],
        method: str = "rrf",
        weights: Sequence[float] | None = None,
        rrf_k: int = 60,
        depth: int = 200,
        learnt_on: str | None = None,
    ) -> None:
        self.parts = parts
        self.method = method
        self.weights = weights
        self.rrf_k = rrf_k
        self.depth = depth
        self.learnt_on = learnt_on

    @property
    def recipe(self) -> Recipe:
        params = {name: value for name, value in self.get_params().items() if name != "parts"}
        return Recipe(self.family, params, tuple(part.recipe for part in self.parts))

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Fused:
        from vicino.retrieval import from_recipe

        return cls.of(parts=[from_recipe(part) for part in recipe.parts], **recipe.params)

    def identity(self) -> str:
        return fingerprint([self.recipe.to_json(), [part.identity() for part in self.parts]])

    @classmethod
    def of_built(cls, parts: Sequence[Retriever], documents: Sequence[Document] = (), **params: Any) -> Fused:  # noqa: ARG003
        """Fuse retrievers that hold the same documents already (their texts are for those kinds that read them)."""
        fused = cls.of(parts=parts, **params)
        fused._require_sound()
        fused.ids_ = parts[0]._require_built()
        if any(set(part._require_built()) != set(fused.ids_) for part in parts[1:]):
            raise InputError("the parts hold different documents", mend="build every part over the same documents")
        return fused

    def clone(self) -> Self:
        """An unbuilt copy with unbuilt parts of its own."""
        return type(self)(**{**self.get_params(), "parts": [part.clone() for part in self.parts]})

    def _require_sound(self) -> None:
        if not self.parts:
            raise InputError("there is nothing to fuse", mend="name at least two parts, such as bm25+minilm")
        if self.method not in METHODS:
            raise UnknownName.among(self.method, METHODS, kind="fusion method")
        if self.rrf_k < 0 or self.depth < 1:
            raise InputError(f"rrf_k {self.rrf_k} and depth {self.depth} cannot be", mend="give rrf_k 0 or more, depth 1 or more")
        if self.weights is None:
            return
        weights = np.asarray(self.weights, dtype=np.float64)
        if weights.shape != (len(self.parts),) or not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
            raise InputError(
                f"weights {list(self.weights)} do not fit {len(self.parts)} parts",
                mend="give each part one number of 0 or more, not all 0",
            )

    def _build(self, documents: Sequence[Document]) -> None:
        self._require_sound()
        for part in self.parts:
            part.build(documents)

    def follow(self, keys: AbstractSet[str], passages: Passages) -> int:
        self._require_sound()
        moved = max(part.follow(keys, passages) for part in self.parts)
        self.ids_ = self.parts[0]._require_built()
        return moved

    def _change(self, removed: AbstractSet[str], added: AbstractSet[str], passages: Passages) -> None:
        for part in self.parts:
            part.change(removed, added, passages)
        self.ids_ = self.parts[0]._require_built()

    def keep(self, folder: Path) -> None:
        parts = {f"part-{number}": part.keep for number, part in enumerate(self.parts)}
        artifacts.write(folder, kind="kept", data={}, parts=parts)

    def resume(self, folder: Path) -> None:
        artifacts.read(folder, kind="kept")
        for number, part in enumerate(self.parts):
            part.resume(folder / f"part-{number}")

    def _search(self, queries: list[str], k: int, explain: bool, allow: Collection[str] | None) -> Hits:
        depth = max(k, self.depth)
        answers = [part.search(queries, depth, explain=explain, allow=allow) for part in self.parts]
        pools = pool(answers, self.method, floors=[part.floor for part in self.parts], rrf_k=self.rrf_k)
        weights = np.ones(len(self.parts)) if self.weights is None else np.asarray(self.weights, dtype=np.float64)
        hits = combine(pools, weights, k)
        how = "; ".join(each.how for each in answers if each.how)
        hits = replace(hits, complete=all(each.complete for each in answers), how=how)
        if not explain:
            return hits
        why = [
            self._explain(hits.top(row), pools[row], weights, [a.why[row] for a in answers if a.why]) for row in range(len(hits))
        ]
        return replace(hits, why=why)

    def _explain(
        self, found: list[tuple[str, float]], one: Pool, weights: Float, whys: Sequence[Sequence[Mapping[str, Any]]]
    ) -> list[dict[str, Any]]:
        """For each answer: what each part ranked, scored and added, and the part's own reasons."""
        places = {name: place for place, name in enumerate(one.ids)}
        reasons = []
        for name, _ in found:
            place, parts = places[name], []
            for part in range(len(self.parts)):
                rank = int(one.ranks[place, part])
                parts.append(
                    {
                        "rank": rank or None,
                        "score": float(one.scores[place, part]) if rank else None,
                        "weight": float(weights[part]),
                        "adds": float(one.shares[place, part] * weights[part]),
                        "why": whys[part][rank - 1] if rank else None,
                    }
                )
            reasons.append({"method": self.method, "parts": parts})
        return reasons

    def _write(self, folder: Path) -> None:
        parts = {f"part-{number}": part.save for number, part in enumerate(self.parts)}
        artifacts.write(folder, kind="retriever", data=self._data(), parts=parts)

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Fused:
        from vicino.retrieval import load

        recipe = Recipe.from_json(saved.data["recipe"])
        parts = [load(saved.path / f"part-{number}") for number in range(len(recipe.parts))]
        return cls.of_built(parts, **recipe.params)

    @property
    def usage(self) -> str:
        return "; ".join(filter(None, (part.usage for part in self.parts)))

    @property
    def floor(self) -> float | None:
        return 0.0

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)
