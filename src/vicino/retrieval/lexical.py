"""Lexical retrieval: BM25 over words. The baseline that every embedding must beat."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.records import Document, Hits, Recipe
from vicino.data.text import Analyzer, TokenIds, Vocabulary, encode_corpus
from vicino.errors import ArtifactError, InputError, NotFitted
from vicino.retrieval.base import Passages, Retriever

if TYPE_CHECKING:
    from vicino.retrieval.bm25 import BM25

__all__ = ["Lexical"]

_AT_ONCE = 1 << 21  # terms: so many are indexed anew in some 30 ms, for each change
_LOOSE = 0.1  # the share of passages that may have come or gone before all are indexed anew


class Lexical(Retriever):
    """BM25 (see `vicino.retrieval.bm25` for the variants) over the terms of an `Analyzer`.

    A document without any term of the query is not an answer, so a query may have fewer than k.

    Following a large collection, what is new stands in an engine of its own, weighed by the counts of both, and what is gone is
    passed over, until a tenth has changed: until then the weights of the rest lag behind a little.

    >>> found = Lexical().build([Document("a", "wings lift"), Document("b", "tea")]).search("lift")
    >>> [name for name, _ in found.top()]
    ['a']
    """

    family: ClassVar[str] = "lexical"

    def __init__(
        self,
        *,
        k1: float = 1.2,
        b: float = 0.75,
        variant: str = "lucene",
        analyzer: Literal["words", "code"] = "words",
        stemmer: str | None = None,
        stopwords: str | None = None,
        min_length: int = 2,
    ) -> None:
        self.k1 = k1
        self.b = b
        self.variant = variant
        self.analyzer = analyzer
        self.stemmer = stemmer
        self.stopwords = stopwords
        self.min_length = min_length

    engine_: BM25 | None = None
    recent_: BM25 | None = None  # of the rows after those of engine_
    corpus_: TokenIds | None = None  # of all rows, kept to follow a collection
    gone_: NDArray[np.bool_] | None = None  # which rows are no longer there
    _last: tuple[frozenset[str], NDArray[np.object_], NDArray[np.bool_]] | None = None  # what was allowed last

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.family, self.get_params())

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Lexical:
        return cls.of(**recipe.params)

    @property
    def simple(self) -> bool:
        return True

    @property
    def floor(self) -> float | None:
        return 0.0

    def warm_up(self) -> None:
        self.clone().build([Document("a", "one two"), Document("b", "two three")]).search("one two")

    def _analyzer(self) -> Analyzer:
        return Analyzer(tokens=self.analyzer, stemmer=self.stemmer, stopwords=self.stopwords, min_length=self.min_length)

    def _engine(self) -> BM25:
        from vicino.retrieval.bm25 import BM25

        return BM25(k1=self.k1, b=self.b, variant=self.variant)

    def _build(self, documents: Sequence[Document]) -> None:
        corpus = encode_corpus((document.content for document in documents), self._analyzer())
        self.vocabulary_ = corpus.vocabulary
        self.engine_ = self._engine().build(corpus.ids, corpus.offsets, len(corpus.vocabulary))

    def _search(self, queries: list[str], k: int, explain: bool, allow: Collection[str] | None) -> Hits:
        self._require_engine()
        found = encode_corpus(queries, self._analyzer(), self.vocabulary_, grow=False)
        asked = [found[row] for row in range(len(found))]
        rows, scores = self._rank(asked, k, self._allowed(allow))
        why = None
        if explain:
            why = [
                [self._explain(words, int(row)) for row in answers if row >= 0]
                for words, answers in zip(asked, rows, strict=True)
            ]
        return Hits.of_rows(self._require_built(), rows, scores, why=why)

    def _rank(
        self, asked: list[NDArray[np.int32]], k: int, allow: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The best rows of both engines."""
        engine = self._require_engine()
        if self.recent_ is None:
            return engine.search(asked, k, allow=allow)
        n = engine.n_rows
        rows, scores = engine.search(asked, k, allow=None if allow is None else allow[:n])
        more, theirs = self.recent_.search(asked, k, allow=None if allow is None else allow[n:])
        rows, scores = np.hstack([rows, np.where(more < 0, -1, more + n)]), np.hstack([scores, theirs])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(rows, best, axis=1), np.take_along_axis(scores, best, axis=1)

    def _allowed(self, allow: Collection[str] | None) -> NDArray[np.bool_] | None:
        """One flag a row; None where all can be found."""
        if allow is None:
            return None if self.gone_ is None else ~self.gone_
        names, ids = frozenset(allow), self._require_built()
        last = self._last  # a filter is the same for many queries
        if last is None or last[0] is not names or last[1] is not ids:
            flags = np.fromiter((name in names for name in ids), bool, len(ids))  # None, where something is gone, is no name
            self._last = last = names, ids, flags
        return last[2]

    def _explain(self, words: NDArray[np.int32], row: int) -> dict[str, Any]:
        engine, terms = self._require_engine(), self.vocabulary_.terms
        if self.recent_ is not None and row >= engine.n_rows:
            engine, row = self.recent_, row - engine.n_rows
        return {
            "part": "bm25",
            **self.get_params(),
            "terms": {terms[term]: score for term, score in engine.explain(words, row)},
        }

    def _change(self, removed: AbstractSet[str], added: AbstractSet[str], passages: Passages) -> None:
        if self.ids_ is None:
            self.ids_, self.vocabulary_ = np.empty(0, dtype=object), Vocabulary()
            self.corpus_ = TokenIds(np.empty(0, np.int32), np.zeros(1, np.int64), self.vocabulary_)
        if self.corpus_ is None:
            raise InputError("a retriever that was built does not change", mend="build it again over all documents")
        names: list[str] = []

        def contents() -> Iterator[str]:
            for document in passages.documents(added):
                names.append(document.id)
                yield document.content

        more = encode_corpus(contents() if added else (), self._analyzer(), self.vocabulary_)
        self.corpus_ = self.corpus_.joined(more)
        gone = np.zeros(len(self.ids_), dtype=bool) if self.gone_ is None else self.gone_
        if removed:
            gone |= np.fromiter((name in removed for name in self.ids_), bool, len(self.ids_))
        self.ids_ = np.concatenate([self.ids_, np.array(names, dtype=object)])
        self.ids_[: len(gone)][gone] = None
        self.gone_ = np.concatenate([gone, np.zeros(len(names), dtype=bool)])
        self._index()

    def _index(self) -> None:
        """Index what is new; or all, where that is little work or much has changed."""
        corpus, gone = self._require_corpus()
        old = 0 if self.engine_ is None else self.engine_.n_rows
        loose = len(corpus) - old + int(gone[:old].sum())
        if self.engine_ is None or len(corpus.ids) <= _AT_ONCE or loose > _LOOSE * len(corpus):
            self._index_all()
        else:
            offsets = corpus.offsets[old:]
            ids = corpus.ids[offsets[0] :]
            self.recent_ = self._engine().build(ids, offsets - offsets[0], len(self.vocabulary_), beside=self.engine_.counts)

    def _index_all(self) -> None:
        corpus, gone = self._require_corpus()
        if gone.any():
            corpus = self.corpus_ = corpus.rows(np.flatnonzero(~gone))
            self.ids_ = self._require_built()[~gone]
        self.gone_ = None
        self.engine_ = self._engine().build(corpus.ids, corpus.offsets, len(self.vocabulary_))
        self.recent_ = None

    def keep(self, folder: Path) -> None:
        if self.recent_ is not None or self.gone_ is not None:
            self._index_all()
        corpus, _ = self._require_corpus()
        arrays = {
            "ids": list(self._require_built()),
            "terms": self.vocabulary_.terms,
            "tokens": corpus.ids,
            "offsets": corpus.offsets,
        }
        artifacts.write(folder, kind="corpus", data={"analyzer": self._analyzer().to_json()}, arrays=arrays)

    def resume(self, folder: Path) -> None:
        saved = artifacts.read(folder, kind="corpus")
        if saved.data["analyzer"] != self._analyzer().to_json():
            raise ArtifactError(f"{folder} was read with another analysis", mend="index the collection again")
        self.vocabulary_ = Vocabulary(saved.arrays["terms"])
        self.corpus_ = TokenIds(saved.arrays["tokens"], saved.arrays["offsets"], self.vocabulary_)
        self.ids_, self.gone_ = np.array(saved.arrays["ids"], dtype=object), None
        self._index_all()

    def _require_corpus(self) -> tuple[TokenIds, NDArray[np.bool_]]:
        if self.corpus_ is None:
            raise NotFitted("Lexical follows no collection", mend="call .follow(keys, passages) first")
        return self.corpus_, np.zeros(len(self.corpus_), dtype=bool) if self.gone_ is None else self.gone_

    def _write(self, folder: Path) -> None:
        arrays = {"ids": list(self._require_built()), "terms": list(self.vocabulary_.terms), **self._require_engine().arrays()}
        artifacts.write(folder, kind="retriever", data=self._data(), arrays=arrays)

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Lexical:
        retriever = cls.from_recipe(Recipe.from_json(saved.data["recipe"]))
        arrays: dict[str, Any] = dict(saved.arrays)
        retriever.ids_ = np.array(arrays.pop("ids"), dtype=object)
        retriever.vocabulary_ = Vocabulary(arrays.pop("terms"))
        retriever.engine_ = retriever._engine().from_arrays(arrays)
        return retriever

    def _require_engine(self) -> BM25:
        if self.engine_ is None:
            raise NotFitted("Lexical holds no documents", mend="call .build(documents) first")
        return self.engine_

    @property
    def nbytes(self) -> int:
        engines = (self._require_engine(), self.recent_)
        return sum(engine.nbytes for engine in engines if engine is not None)
