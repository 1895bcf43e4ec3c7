"""Lexical retrieval: BM25 over words. The baseline that every embedding must beat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from vicino import artifacts
from vicino.data.records import Document, Hits, Recipe
from vicino.data.text import Analyzer, Vocabulary, encode_corpus
from vicino.errors import NotFitted
from vicino.retrieval.base import Retriever

if TYPE_CHECKING:
    from vicino.retrieval.bm25 import BM25

__all__ = ["Lexical"]


class Lexical(Retriever):
    """BM25 (see `vicino.retrieval.bm25` for the variants) over the terms of an `Analyzer`.

    A document without any term of the query is not an answer, so a query may have fewer than k.

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

    def _search(self, queries: list[str], k: int, explain: bool) -> Hits:
        engine = self._require_engine()
        found = encode_corpus(queries, self._analyzer(), self.vocabulary_, grow=False)
        asked = [found[row] for row in range(len(found))]
        rows, scores = engine.search(asked, k)
        why = None
        if explain:
            terms = self.vocabulary_.terms
            why = [
                [
                    {
                        "part": "bm25",
                        **self.get_params(),
                        "terms": {terms[term]: score for term, score in engine.explain(words, int(row))},
                    }
                    for row in answers
                    if row >= 0
                ]
                for words, answers in zip(asked, rows, strict=True)
            ]
        return Hits.of_rows(self._require_built(), rows, scores, why=why)

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
        return self._require_engine().nbytes
