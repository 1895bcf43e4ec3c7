"""Reranked retrieval: the first documents of any retriever, read again by a cross-encoder, or token by token by an encoder.

The first stage finds, of millions, the `depth` that may answer; the second reads these, and orders them (Nogueira and Cho 2019,
"Passage re-ranking with BERT"). What the first stage did not find stays unfound: a reranker cannot mend its recall.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, progress
from vicino.data.records import Document, Hits, Recipe
from vicino.encoders.base import Truncation
from vicino.encoders.rerankers import Reranker, open_reranker
from vicino.errors import ArtifactCorrupt, InputError, NotFitted
from vicino.retrieval.base import Passages, Retriever
from vicino.retrieval.fused import combine, pool
from vicino.spaces import fingerprint

__all__ = ["Reranked"]


class Reranked(Retriever):
    """`parts` is one retriever, whose first `depth` answers `reranker` orders anew: a cross-encoder, or an encoder whose tokens
    are compared with the query's (see `vicino.encoders.rerankers.open_reranker` for the names of both).

    `blend` is the share of the first stage's score in the end, both being scaled to 0..1 for each query (as in convex fusion); at
    0, which None says of a cross-encoder, the reranker alone decides, and scores are its own. An encoder's tokens leave the first
    stage one half. What stands beyond `depth` follows in the first stage's order, each a step of 1 below the one before it. Texts
    are kept in memory; of a collection, they are read for each search.

    Raises InputError for parameters that cannot be, and what opening the reranker raises.
    """

    family: ClassVar[str] = "reranked"

    def __init__(self, *, parts: Sequence[Retriever], reranker: str, depth: int = 100, blend: float | None = None) -> None:
        self.parts = parts
        self.reranker = reranker
        self.depth = depth
        self.blend = blend

    texts_: dict[str, str] | None = None  # of all documents, where it was built
    passages_: Passages | None = None  # where texts are, of a collection

    @cached_property
    def reranker_(self) -> Reranker:
        """The reranker, opened when first needed."""
        return open_reranker(self.reranker)

    @property
    def _blend(self) -> float:
        return self.reranker_.blend if self.blend is None else self.blend

    @property
    def recipe(self) -> Recipe:
        params = {name: value for name, value in self.get_params().items() if name != "parts"}
        return Recipe(self.family, params, tuple(part.recipe for part in self.parts))

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Reranked:
        from vicino.retrieval import from_recipe

        return cls.of(parts=[from_recipe(part) for part in recipe.parts], **recipe.params)

    @classmethod
    def of_built(cls, parts: Sequence[Retriever], documents: Sequence[Document], **params: Any) -> Reranked:
        """Over a first stage that holds these documents already."""
        made = cls.of(parts=parts, **params)
        made._require_sound()
        made.ids_ = made._first._require_built()
        made.texts_ = {one.id: one.content for one in documents}
        if made.texts_.keys() != set(made.ids_):
            raise InputError("these are not the documents that the first stage holds", mend="give those that it was built over")
        return made

    def identity(self) -> str:
        """By content: where the reranker lies is no part of it, what it holds is."""
        return fingerprint([self.family, self.depth, self._blend, self.reranker_.id, [part.identity() for part in self.parts]])

    def clone(self) -> Self:
        """An unbuilt copy with an unbuilt first stage of its own."""
        return type(self)(**{**self.get_params(), "parts": [part.clone() for part in self.parts]})

    @property
    def _first(self) -> Retriever:
        return self.parts[0]

    def _require_sound(self) -> None:
        if len(self.parts) != 1:
            raise InputError(f"{len(self.parts)} first stages cannot be reranked", mend="name one, such as bm25+minilm>rr/")
        if self.depth < 1 or not 0 <= (self.blend or 0) <= 1:
            what = f"depth {self.depth} and blend {self.blend} cannot be"
            raise InputError(
                what, mend="give depth 1 or more, and blend from 0 (the reranker alone) to 1 (the first stage alone)"
            )

    @property
    def arithmetic(self) -> str:
        return self.reranker_.arithmetic

    @property
    def usage(self) -> str:
        return self._first.usage

    def warm_up(self) -> None:
        self._first.warm_up()
        self.reranker_.predict([("one two", "two three")])

    def truncation(self, documents: Sequence[Document]) -> Truncation | None:
        return self._first.truncation(documents)

    @property
    def nbytes(self) -> int:
        return self._first.nbytes + sum(len(text) for text in (self.texts_ or {}).values())

    # Holding documents ------------------------------------------------------------------------------------------------

    def _build(self, documents: Sequence[Document]) -> None:
        self._require_sound()
        self._first.build(documents)
        self.texts_, self.passages_ = {one.id: one.content for one in documents}, None

    def follow(self, keys: AbstractSet[str], passages: Passages) -> int:
        self._require_sound()
        moved = self._first.follow(keys, passages)
        self.passages_, self.ids_ = passages, self._first._require_built()
        return moved

    def change(self, removed: AbstractSet[str], added: AbstractSet[str], passages: Passages) -> None:
        self._first.change(removed, added, passages)
        self.passages_, self.ids_ = passages, self._first._require_built()

    def keep(self, folder: Path) -> None:
        self._first.keep(folder)  # and nothing more: whether it is reranked or not, a collection finds the same again

    def resume(self, folder: Path) -> None:
        self._first.resume(folder)

    def _texts(self, names: AbstractSet[str]) -> Mapping[str, str]:
        if self.passages_ is not None:
            return {one.id: one.content for one in self.passages_.documents(names)}
        return self.texts_ or {}

    # Searching --------------------------------------------------------------------------------------------------------

    def _search(self, queries: list[str], k: int, explain: bool, allow: Collection[str] | None) -> Hits:
        found = self._first.search(queries, max(k, self.depth), explain=explain, allow=allow)
        near = Hits(found.ids[:, : self.depth], found.scores[:, : self.depth])
        read = self._read(queries, near)
        best = read if not self._blend else self._blended(near, read)
        ids, scores = _followed(best, found, k)
        if not explain:
            return Hits(ids, scores, found.complete, how=found.how)
        why = [self._explain(row, Hits(ids, scores).top(row), found, read) for row in range(len(queries))]
        return Hits(ids, scores, found.complete, why, found.how)

    def _read(self, queries: list[str], near: Hits) -> Hits:
        """What the reranker makes of the candidates, best first; ties keep the first stage's order."""
        scores = np.full(near.ids.shape, -np.inf, dtype=np.float32)
        with progress.task("Reranking", total=len(queries), unit="queries") as work:
            for start in range(0, len(queries), self.reranker_.at_once):
                rows = range(start, min(start + self.reranker_.at_once, len(queries)))
                asked = [(row, place) for row in rows for place in range(len(near.top(row)))]
                texts = self._texts({str(near.ids[at]) for at in asked})
                missing = {str(near.ids[at]) for at in asked} - texts.keys()
                if missing:
                    what = f"{len(missing)} documents that were found have no text here, such as {min(missing)!r}"
                    raise NotFitted(what, mend="build it over all documents again; a collection that just changed: search again")
                pairs = [(queries[row], texts[str(near.ids[row, place])]) for row, place in asked]
                for at, score in zip(asked, self.reranker_.predict(pairs, logits=True), strict=True):
                    scores[at] = score
                work.advance(len(rows))
        order = np.argsort(-scores, axis=1, kind="stable")
        return Hits(np.take_along_axis(near.ids, order, axis=1), np.take_along_axis(scores, order, axis=1))

    def _blended(self, near: Hits, read: Hits) -> Hits:
        pools = pool([near, read], "convex", floors=[self._first.floor, None])
        return combine(pools, np.array([self._blend, 1 - self._blend]), near.ids.shape[1])

    def _explain(self, row: int, answers: list[tuple[str, float]], found: Hits, read: Hits) -> list[dict[str, Any]]:
        """For each answer: how both stages rank and score it, and the first stage's own reasons."""
        first = {name: (rank, score) for rank, (name, score) in enumerate(found.top(row), start=1)}
        second = {name: (rank, score) for rank, (name, score) in enumerate(read.top(row), start=1)}
        reasons = []
        for name, _ in answers:
            rank, score = second.get(name, (None, None))
            place, own = first[name]
            why = found.why[row][place - 1] if found.why else None
            told = {"rank": place, "score": own, "why": why}
            reasons.append({"reranker": self.reranker, "rank": rank, "score": score, "blend": self._blend, "first": told})
        return reasons

    # Kept -------------------------------------------------------------------------------------------------------------

    def _write(self, folder: Path) -> None:
        if self.texts_ is None:
            raise InputError("what follows a collection is not saved by itself", mend="the collection's recipe makes it again")
        arrays = {"ids": list(self.texts_), "texts": list(self.texts_.values())}
        parts = {"part-0": self._first.save, "reranker": self.reranker_.save}
        artifacts.write(folder, kind="retriever", data=self._data(), arrays=arrays, parts=parts)

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Reranked:
        from vicino.retrieval import load

        recipe, arrays = Recipe.from_json(saved.data["recipe"]), saved.arrays
        made = cls.of(parts=[load(saved.path / "part-0")], **recipe.params)
        made._require_sound()
        made.reranker_ = open_reranker(saved.path / "reranker")
        made.ids_ = made._first._require_built()
        ids, texts = arrays.get("ids"), arrays.get("texts")
        if not (isinstance(ids, list) and isinstance(texts, list)) or len(ids) != len(texts) or set(ids) != set(made.ids_):
            raise ArtifactCorrupt(f"{saved.path} is damaged: its texts are not those of its first stage", mend="make it again")
        made.texts_ = dict(zip(ids, texts, strict=True))
        return made


def _followed(best: Hits, found: Hits, k: int) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
    """The k best: those that were read, then what the first stage found beyond them."""
    depth = best.ids.shape[1]
    rest = found.ids[:, depth:]
    lowest = np.where(np.isfinite(best.scores), best.scores, np.inf).min(axis=1, initial=np.inf)
    below = np.where(np.isfinite(lowest), lowest, 0.0)[:, None] - np.arange(1, rest.shape[1] + 1)
    below = np.where(np.isneginf(found.scores[:, depth:]), -np.inf, below)
    return np.hstack([best.ids, rest])[:, :k], np.hstack([best.scores, below.astype(np.float32)])[:, :k]
