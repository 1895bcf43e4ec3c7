"""Granularity: documents searched by their pieces, and as good as their pieces are.

A document says many things, and one vector of it says their mean; a sentence says one thing, without what stood around it. Which
grain is right is a matter of the data. Pieces are cut by `vicino.data.chunking`, searched by any retriever, and pooled back to
documents by their n best (Callan 1994, "Passage-level evidence in document retrieval": the best one; Dai and Callan 2019,
"Deeper text understanding for IR": best, first and sum).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, progress
from vicino.data.chunking import CHUNKERS, chunk
from vicino.data.records import Document, Hits, Recipe
from vicino.encoders.base import Truncation
from vicino.errors import ArtifactCorrupt, InputError, UnknownName
from vicino.retrieval.base import Passages, Retriever
from vicino.retrieval.wrapping import Wrapping

__all__ = ["Cut", "Pieces", "best_of"]

_WHOLE = 1 << 16  # pieces that a pool of several looks at, for each query
_CELLS = 1 << 22  # answers held at a time
_FEW = 4  # pieces asked for at first, for each document wanted

Int = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pieces:
    """Documents cut: piece p of document d is one of p in [`starts[d]`, `starts[d + 1]`), and has the text `rows[p]` of `texts`.

    Pieces of one text (and one title) share it, so that it is searched, and embedded, once. `spans` (pieces, 2) are where in its
    document each piece stands, in characters. A document without any text is one empty piece.
    """

    ids: NDArray[np.object_]
    starts: Int
    rows: Int
    spans: Int
    texts: Sequence[Document] = ()

    @classmethod
    def of(cls, documents: Sequence[Document], method: str, options: Mapping[str, Any] | None = None) -> Pieces:
        """Cut by a method of `CHUNKERS`. Each piece keeps its document's title and metadata, as at ingest.

        >>> cut = Pieces.of([Document("a", "Tea. Milk."), Document("b", "Tea.")], "sentence")
        >>> cut.starts.tolist(), cut.rows.tolist(), [one.text for one in cut.texts]
        ([0, 2, 3], [0, 1, 0], ['Tea.', 'Milk.'])
        """
        starts, rows, spans = [0], list[int](), list[tuple[int, int]]()
        known: dict[tuple[str, str], int] = {}
        texts: list[Document] = []
        for document in progress.track(documents, "Cutting", unit="documents"):
            for start, end in [(one.start, one.end) for one in chunk(document, method, **(options or {}))] or [(0, 0)]:
                text = document.text[start:end]
                row = known.setdefault((document.title, text), len(texts))
                if row == len(texts):
                    texts.append(Document(str(row), text, document.title, document.metadata))
                rows.append(row)
                spans.append((start, end))
            starts.append(len(rows))
        ids = np.array([document.id for document in documents], dtype=object)
        return cls(ids, np.array(starts), np.array(rows), np.array(spans), texts)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def distinct(self) -> int:
        """How many texts there are."""
        return int(self.rows.max()) + 1

    def owners(self) -> tuple[Int, Int, Int]:
        """The way back: text t is in the pieces `pieces[first[t]:first[t + 1]]`, of the documents `documents[...]`."""
        pieces = np.argsort(self.rows, kind="stable")
        first = np.concatenate([[0], np.cumsum(np.bincount(self.rows, minlength=self.distinct))])
        documents = np.searchsorted(self.starts, pieces, side="right") - 1
        return first, pieces, documents

    def texts_of(self, documents: Int) -> Int:
        """The rows of the texts of these documents, ascending."""
        if not len(documents):
            return np.empty(0, dtype=np.int64)
        return np.unique(np.concatenate([self.rows[self.starts[at] : self.starts[at + 1]] for at in documents]))


def best_of(documents: Int, scores: NDArray[Any], pieces: Int, n: int, missing: float) -> tuple[Int, NDArray[np.float64], Int]:
    """Pool what was found for one query: `scores` (m,), best first, of pieces of `documents` (m,).

    A document scores the mean of its n best pieces, or of all it has where these are fewer; `pieces` says how many it has, by
    document, and one of them that was not found counts `missing`. Gives the documents found, ascending, their scores, and where
    among the m the best piece of each stands.

    >>> found = best_of(np.array([7, 2, 7]), np.array([0.9, 0.5, 0.1]), np.full(8, 2), 2, 0.0)
    >>> [array.tolist() for array in found]
    [[2, 7], [0.25, 0.5], [1, 0]]
    """
    order = np.argsort(documents, kind="stable")
    held = documents[order]
    begin = np.flatnonzero(np.concatenate([[True], held[1:] != held[:-1]]))
    sizes = np.diff(np.append(begin, len(held)))
    place = np.arange(len(held)) - np.repeat(begin, sizes)
    sums = np.add.reduceat(np.where(place < n, scores[order], 0.0), begin)
    wanted = np.minimum(pieces[held[begin]], n)
    lacking = wanted - np.minimum(sizes, wanted)
    return held[begin], (sums + lacking * missing) / wanted, order[begin]


class Cut(Wrapping):
    """`parts` is one retriever, over the pieces into which `cut` (a method of `CHUNKERS`, with its `options`) parts documents.

    `pool` says what a document scores: "max" the best of its pieces, "mean" the mean of all, "top3" the mean of its three
    best (of all it has where these are fewer). A pool of several looks at the best 65,536 pieces of each query; what lies deeper
    counts as the last of these, and the answer is not `complete`. Pieces of the same text are searched, and embedded, once.

    A collection cuts its documents at ingest, and takes the retriever inside. Raises UnknownName or InputError for a method,
    an option or a pool that cannot be.
    """

    family: ClassVar[str] = "cut"

    def __init__(
        self,
        *,
        parts: Sequence[Retriever],
        cut: str = "sentence",
        options: Mapping[str, Any] | None = None,
        pool: str = "max",
    ) -> None:
        self.parts = parts
        self.cut = cut
        self.options = options
        self.pool = pool

    pieces_: Pieces | None = None

    @classmethod
    def of_built(cls, parts: Sequence[Retriever], documents: Sequence[Document], **params: Any) -> Cut:
        """Over a retriever that holds the pieces of these documents already, under the ids that `Pieces.of` gives them."""
        made = cls.of(parts=parts, **params)
        made._require_sound()
        made._hold(Pieces.of(documents, made.cut, made.options))
        return made

    @classmethod
    def assemble(
        cls, recipe: Recipe, documents: Sequence[Document], build: Callable[[Recipe, Sequence[Document]], Retriever]
    ) -> Cut:
        made = cls.from_recipe(recipe)
        pieces = Pieces.of(documents, made.cut, made.options)
        made.parts = [build(part, pieces.texts) for part in recipe.parts]
        made._hold(pieces)
        return made

    @property
    def floor(self) -> float | None:
        return self.inner.floor

    def _require_sound(self) -> None:
        super()._require_sound()
        if isinstance(self.inner, Cut):
            raise InputError("pieces are not cut again", mend="cut once, such as minilm@sentence")
        known = [name for name in inspect.signature(CHUNKERS[self.cut]).parameters if name != "tokenizer"][1:]
        for option in self.options or {}:
            if option not in known:
                raise UnknownName.among(option, ["pool", *known], kind=f"option of @{self.cut}")
        try:
            chunk(Document("", "One two."), self.cut, **(self.options or {}))
        except TypeError as error:
            raise InputError(f"@{self.cut} does not take {dict(self.options or {})}: {error}", mend="give numbers") from error
        self._several()

    def _several(self) -> int:
        """How many pieces of a document are pooled."""
        found = re.fullmatch(r"top([1-9]\d{0,8})", str(self.pool))
        if not found and self.pool not in ("max", "mean"):
            raise InputError(
                f"pieces are not pooled by {self.pool!r}", mend="choose max, mean, or top and a number, such as top3"
            )
        return int(found[1]) if found else 1 if self.pool == "max" else 1 << 30

    def truncation(self, documents: Sequence[Document]) -> Truncation | None:
        return self.inner.truncation(Pieces.of(documents, self.cut, self.options).texts)

    def follow(self, keys: AbstractSet[str], passages: Passages) -> int:  # noqa: ARG002
        raise InputError(
            "a collection cuts its documents when they come in, not when they are searched",
            mend=f"give it the retriever inside: vicino ingest PATH --chunk {self.cut} --recipe ...",
        )

    # Holding documents ------------------------------------------------------------------------------------------------

    def _build(self, documents: Sequence[Document]) -> None:
        self._require_sound()
        pieces = Pieces.of(documents, self.cut, self.options)
        self.inner.build(pieces.texts)
        self._hold(pieces)

    def _hold(self, pieces: Pieces) -> None:
        """Take the map from pieces to documents; their texts are in the part."""
        if len(self.inner._require_built()) != pieces.distinct:
            raise InputError("the part does not hold these documents' pieces", mend="build it over the documents")
        self.pieces_ = Pieces(pieces.ids, pieces.starts, pieces.rows, pieces.spans)
        self.owners_ = self.pieces_.owners()
        self.ids_ = pieces.ids

    def _held(self) -> Pieces:
        self._require_built()
        return self.pieces_  # type: ignore[return-value]  # with the ids

    @property
    def nbytes(self) -> int:
        held = self._held()
        return self.inner.nbytes + sum(array.nbytes for array in (held.starts, held.rows, held.spans, *self.owners_))

    # Searching --------------------------------------------------------------------------------------------------------

    def _search(self, queries: list[str], k: int, explain: bool, allow: Collection[str] | None) -> Hits:
        several, held = self._several(), self._held()
        only, among = self._allowed(allow)
        depth = min(held.distinct, _WHOLE if several > 1 else max(64, _FEW * k))
        answers: list[_Pooled] = []
        hits = Hits(np.empty((0, 0), dtype=object), np.empty((0, 0), dtype=np.float32))
        step = max(1, _CELLS // depth)
        for begin in range(0, len(queries), step):
            asked, deep = queries[begin : begin + step], depth
            while True:
                hits = self.inner.search(asked, deep, allow=among)
                found = [self._pooled(hits, row, deep, several, only) for row in range(len(hits))]
                if several > 1 or deep >= held.distinct or all(len(one.scores) >= k or not one.more for one in found):
                    break
                deep = min(held.distinct, 4 * deep)
            answers += [one.first(k) for one in found]
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.zeros((len(queries), k), dtype=np.float32)
        for row, one in enumerate(answers):
            rows[row, : len(one.scores)], scores[row, : len(one.scores)] = one.documents, one.scores
        why = [self._explain(*pair) for pair in zip(queries, answers, strict=True)] if explain else None
        complete = hits.complete and not (several > 1 and any(one.more for one in answers))
        how = f"{hits.how or self.inner.family}, {self.pool} of {len(held):,} pieces by {self.cut}"
        return Hits.of_rows(held.ids, rows, scores, complete=complete, why=why, how=how)

    def _allowed(self, allow: Collection[str] | None) -> tuple[NDArray[np.bool_] | None, frozenset[str] | None]:
        """Which documents may be answers, and the names of the texts of their pieces."""
        if allow is None:
            return None, None
        held, names = self._held(), frozenset(allow)
        only = np.fromiter((name in names for name in held.ids), bool, len(held.ids))
        return only, frozenset(map(str, held.texts_of(np.flatnonzero(only))))

    def _pooled(self, hits: Hits, row: int, depth: int, several: int, only: NDArray[np.bool_] | None) -> _Pooled:
        """The documents of one query's pieces, best first; ties go to whose best piece was found earlier."""
        many = len(hits.ids[row]) - int(np.count_nonzero(hits.ids[row] == None))  # noqa: E711 - of each element
        texts, scores = hits.ids[row, :many].astype(np.int64), hits.scores[row, :many].astype(np.float64)
        more = many == depth < self._held().distinct
        first, pieces, documents = self.owners_
        sizes = first[texts + 1] - first[texts]
        at = np.repeat(first[texts] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        scores, pieces, documents = np.repeat(scores, sizes), pieces[at], documents[at]
        if only is not None:
            kept = only[documents]
            scores, pieces, documents = scores[kept], pieces[kept], documents[kept]
        if not len(scores):
            return _Pooled(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=np.int64), more)
        floor = self.inner.floor
        missing = float(scores[-1]) if more or floor is None else floor
        found, pooled, best = best_of(documents, scores, np.diff(self._held().starts), several, missing)
        order = np.lexsort((best, -pooled))
        return _Pooled(found[order], pooled[order], pieces[best[order]], more)

    def _explain(self, query: str, answer: _Pooled) -> list[dict[str, Any]]:
        """For each document its best piece, by its place in the text, and the reasons of the part for that."""
        held = self._held()
        names = [str(held.rows[piece]) for piece in answer.pieces]
        if not names:
            return []
        told = self.inner.search(query, len(set(names)), explain=True, allow=frozenset(names))
        why = dict(zip([name for name, _ in told.top()], zip(told.top(), (told.why or [[]])[0], strict=True), strict=True))
        reasons = []
        for document, piece, name in zip(answer.documents, answer.pieces, names, strict=True):
            (_, score), reason = why.get(name, ((name, None), None))
            start, end = held.spans[piece].tolist()
            many = int(held.starts[document + 1] - held.starts[document])
            best = {"start": start, "end": end, "score": score, "why": reason}
            reasons.append({"cut": self.cut, "pool": self.pool, "pieces": many, "best": best})
        return reasons

    # Kept -------------------------------------------------------------------------------------------------------------

    def _write(self, folder: Path) -> None:
        held = self._held()
        arrays = {"ids": list(held.ids), "starts": held.starts, "rows": held.rows, "spans": held.spans}
        artifacts.write(folder, kind="retriever", data=self._data(), arrays=arrays, parts={"part-0": self.inner.save})

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Cut:
        made, arrays = cls._reopened(saved), saved.arrays
        ids = np.array(arrays["ids"], dtype=object)
        starts, rows = arrays["starts"], arrays["rows"]
        if len(starts) != len(ids) + 1 or starts[-1] != len(rows) or len(arrays["spans"]) != len(rows):
            raise ArtifactCorrupt(f"{saved.path} is damaged: its pieces are not those of its documents", mend="make it again")
        made._hold(Pieces(ids, starts, rows, arrays["spans"]))
        return made


@dataclass(frozen=True, eq=False)
class _Pooled:
    """One query's documents, best first: their places, scores, and best pieces; `more` where pieces lie deeper."""

    documents: Int
    scores: NDArray[np.float64]
    pieces: Int
    more: bool

    def first(self, k: int) -> _Pooled:
        return _Pooled(self.documents[:k], self.scores[:k], self.pieces[:k], self.more)
