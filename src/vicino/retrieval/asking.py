"""A question to a collection, with everything that may be chosen for it, and the answer with its reasons and its times.

The parts of a collection's recipe can be asked apart: BM25 alone, vectors alone, or both fused with another weight. Nothing is
indexed for it; such a view is made of the parts that are there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from vicino.encoders.rerankers import Reranker
from vicino.errors import InputError, UnknownName
from vicino.retrieval import Retriever, tracing
from vicino.retrieval.dense import Dense
from vicino.retrieval.explaining import explain
from vicino.retrieval.fused import Fused
from vicino.retrieval.lexical import Lexical
from vicino.retrieval.reranked import Reranked
from vicino.retrieval.scoring import name_of
from vicino.retrieval.stored import Found, Stored, leaves
from vicino.retrieval.surroundings import surroundings

__all__ = ["MODES", "Answer", "Asking", "Mode", "Result", "ask", "view"]

Mode = Literal["recipe", "lexical", "dense", "hybrid"]
MODES: tuple[Mode, ...] = get_args(Mode)

_STAGES = {"lexical": "lexical", "embed": "embed", "fused": "fuse", "reranked": "rerank", "fetch": "fetch"}  # the rest is dense


@dataclass(frozen=True)
class Asking:
    """What is asked, and how. `where` is a filter; `k` answers from `offset` on.

    `mode` is "recipe" (as the collection is made), "lexical", "dense" or "hybrid"; `weight`, of a hybrid, is the share of the
    vectors from 0 to 1, the lists being scaled; without one it is fused as the recipe does it, or by reciprocal ranks. `space` is
    an encoder's name or a space's id, where there are several. A reranker, if one is given, reads the first `depth` passages.
    """

    query: str
    k: int = 10
    offset: int = 0
    where: str | None = None
    mode: Mode = "recipe"
    weight: float | None = None
    space: str | None = None
    depth: int = 100
    explain: bool = False


@dataclass(frozen=True, kw_only=True)
class Result(Found):
    """A document that was found, and its place; `rank` counts from 1."""

    rank: int

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_json().items() if name != "why" or value is not None}


@dataclass(frozen=True)
class Answer:
    """`results` from `offset` on; `timing` is in milliseconds; `next_offset` is None where nothing follows."""

    results: Sequence[Result]
    timing: Mapping[str, float]
    how: str
    complete: bool
    next_offset: int | None


def ask(stored: Stored, asking: Asking, *, reranker: Reranker | None = None) -> Answer:
    """The documents that answer, best first.

    Pages are cut from one ranking; a fused one may change a little where a page reaches beyond what its parts were asked for at
    first. Raises InputError for a mode, weight or place that cannot be, UnknownName for a space or column that is not there, and
    what searching raises.
    """
    began = time.perf_counter()
    stored.refresh()
    by = view(stored, asking, reranker)
    with tracing.tracing() as trace:
        found, hits = stored.rank(asking.query, asking.offset + asking.k + 1, by=by, where=asking.where)
        page = found[asking.offset : asking.offset + asking.k]
        with tracing.stage("fetch"):
            rows = stored.rows([one.key for one in page])
    why = explain(stored, by, asking.query, [one.key for one in page], trace) if asking.explain else {}
    around = surroundings(stored.collection.store, rows, tenant=stored.tenant) if why else {}
    for key, (before, after) in around.items():
        why[key]["passage"] = {"start": rows[key]["start"], "end": rows[key]["end"], "before": before, "after": after}
    results = [
        Result(
            rank=rank, score=one.score, why=why.get(one.key), metadata=json.loads(rows[one.key].pop("metadata")), **rows[one.key]
        )
        for rank, one in enumerate(page, start=asking.offset + 1)
        if one.key in rows
    ]
    more = len(found) > asking.offset + asking.k
    timing = _milliseconds(trace) | {"total_ms": round(1000 * (time.perf_counter() - began), 3)}
    return Answer(results, timing, hits.how, hits.complete, asking.offset + asking.k if more else None)


def _milliseconds(trace: tracing.Trace) -> dict[str, float]:
    """What each stage took; a stage that there was not is left out."""
    found: dict[str, float] = {}
    for name, seconds in trace.seconds.items():
        stage = f"{_STAGES.get(name, 'dense')}_ms"
        found[stage] = round(found.get(stage, 0.0) + 1000 * seconds, 3)
    return found


def view(stored: Stored, asking: Asking, reranker: Reranker | None = None) -> Retriever:
    """The retriever that is meant, over what a collection that was refreshed holds. Raises InputError and UnknownName."""
    _require_sound(asking)
    made = _first_stage(stored, asking)
    if reranker is None:
        return made
    while isinstance(made, Reranked):  # another one reads instead of the recipe's own
        made = made.parts[0]
    over = Reranked(parts=[made], reranker=reranker.model, depth=asking.depth)
    over.reranker_, over.passages_, over.ids_ = reranker, stored.passages, made._require_built()
    return over


def _require_sound(asking: Asking) -> None:
    if asking.mode not in MODES:
        raise UnknownName.among(asking.mode, MODES, kind="mode")
    if asking.k < 1 or asking.offset < 0 or asking.depth < 1:
        what = f"k {asking.k}, offset {asking.offset} and depth {asking.depth} cannot be"
        raise InputError(what, mend="give k and depth 1 or more, offset 0 or more")
    if asking.weight is not None and asking.mode != "hybrid":
        what = f"a weight says nothing to the mode {asking.mode!r}"
        raise InputError(what, mend='add "mode": "hybrid", or leave the weight out')
    if asking.weight is not None and not 0 <= asking.weight <= 1:
        raise InputError(f"the weight is {asking.weight}", mend="give the share of the vectors, from 0 to 1")
    if asking.space is not None and asking.mode not in ("dense", "hybrid"):
        raise InputError(f"the mode {asking.mode!r} chooses no space", mend='add "mode": "dense", or leave the space out')


def _first_stage(stored: Stored, asking: Asking) -> Retriever:
    if asking.mode == "recipe":
        return stored.retriever
    parts: list[Retriever] = []
    if asking.mode in ("lexical", "hybrid"):
        parts += [leaf for leaf in leaves(stored.retriever) if isinstance(leaf, Lexical)][:1]
        _require_some(stored, parts, "BM25")
    if asking.mode in ("dense", "hybrid"):
        dense = _of_space(stored, asking.space)
        _require_some(stored, dense, "vectors")
        parts += dense
    if len(parts) == 1:
        return parts[0]
    fused = Fused(parts=parts, **_fusion(stored.retriever, parts, asking.weight))
    fused.ids_ = parts[0]._require_built()
    return fused


def _of_space(stored: Stored, space: str | None) -> list[Dense]:
    """The parts that search by vectors: all, or those of one space."""
    dense = stored.dense
    if space is None:
        return dense
    found = [part for part in dense if space in (name_of(part), part.space_.id)]
    if not found:
        raise UnknownName.among(space, [name_of(part) for part in dense], kind="space")
    return found[:1]


def _require_some(stored: Stored, parts: Sequence[Retriever], what: str) -> None:
    if not parts:
        mend = f"leave the mode out, or make a collection with both: vicino ingest PATH --collection {stored.collection.name}-2"
        raise InputError(f"the recipe of {stored.collection.name!r} has no {what}", mend=mend)


def _fusion(recipe: Retriever, parts: Sequence[Retriever], weight: float | None) -> dict[str, Any]:
    """How to fuse these parts: by the weight; as the recipe does where it has just these; else by reciprocal ranks."""
    if weight is not None:
        others = len(parts) - 1
        return {"method": "convex", "weights": [1 - weight] + [weight / others] * others}
    while isinstance(recipe, Reranked):
        recipe = recipe.parts[0]
    if isinstance(recipe, Fused) and {id(part) for part in recipe.parts} == {id(part) for part in parts}:
        own = dict(zip(map(id, recipe.parts), recipe.weights or [1.0] * len(parts), strict=True))
        weights = None if recipe.weights is None else [own[id(part)] for part in parts]
        return {"method": recipe.method, "weights": weights, "rrf_k": recipe.rrf_k, "depth": recipe.depth}
    return {"method": "rrf"}
