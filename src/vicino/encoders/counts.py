"""Counted words: TF-IDF, and its low-rank shadow LSA. No training to speak of, no downloads: the honest baselines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vicino.data.text import Analyzer, TokenIds, Vocabulary, encode_corpus
from vicino.encoders.base import Encoder, Role, Tokens
from vicino.errors import EmptyInput
from vicino.learning.spectral import truncated_svd
from vicino.vectors import normalise

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["LSA", "TfIdf"]


class TfIdf(Encoder):
    """A document as weighted counts of its words: unit CSR rows, one column a word of the vocabulary.

    Weight = (1 + ln tf) · (1 + ln((1 + n) / (1 + df))), Salton and Buckley 1988, "Term-weighting approaches in automatic text
    retrieval"; `sublinear_tf=False` uses tf itself. `min_count` leaves out words that stand in fewer documents. `analyzer`
    ("words" or "code"), `stemmer`, `stopwords` and `min_length` are those of `vicino.data.text.Analyzer`.

    >>> tfidf = TfIdf().fit(["wings lift", "wings drag"])
    >>> tfidf.encode(["lift lift"]).toarray().round(3).tolist()  # columns: wings, lift, drag
    [[0.0, 1.0, 0.0]]
    """

    family: ClassVar[str] = "tfidf"
    sparse: ClassVar[bool] = True
    simple: ClassVar[bool] = True

    def __init__(
        self,
        *,
        analyzer: Literal["words", "code"] = "words",
        stemmer: str | None = None,
        stopwords: str | None = None,
        min_length: int = 2,
        min_count: int = 1,
        sublinear_tf: bool = True,
    ) -> None:
        self.analyzer = analyzer
        self.stemmer = stemmer
        self.stopwords = stopwords
        self.min_length = min_length
        self.min_count = min_count
        self.sublinear_tf = sublinear_tf

    idf_: NDArray[np.float32] | None = None
    vocabulary_: Vocabulary | None = None

    def _analyzer(self) -> Analyzer:
        return Analyzer(tokens=self.analyzer, stemmer=self.stemmer, stopwords=self.stopwords, min_length=self.min_length)

    def _fit(self, items: list[str], y: Any, validation: Any) -> None:  # noqa: ARG002 - counts need no labels
        corpus = encode_corpus(items, self._analyzer())
        terms = corpus.vocabulary.terms
        counts = _counts(corpus, len(terms))
        in_documents = np.bincount(counts.indices, minlength=len(terms))
        kept = np.flatnonzero(in_documents >= self.min_count)
        if not len(kept):
            raise EmptyInput(
                f"no word stands in {self.min_count} or more of {len(items):,} items",
                mend="give items with words, or lower min_count",
            )
        self.vocabulary_ = Vocabulary(terms[column] for column in kept)
        self.idf_ = (1 + np.log((1 + len(items)) / (1 + in_documents[kept]))).astype(np.float32)

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> csr_array:  # noqa: ARG002
        idf: NDArray[np.float32] = self._require("idf_")
        rows = _counts(encode_corpus(items, self._analyzer(), self.vocabulary_, grow=False), len(idf))
        weights = 1 + np.log(rows.data) if self.sublinear_tf else rows.data
        rows.data = weights * idf[rows.indices]
        lengths = np.sqrt(np.bincount(_row_of(rows), weights=rows.data**2, minlength=rows.shape[0]))
        rows.data = (rows.data / lengths[_row_of(rows)]).astype(np.float32)
        return rows

    def tokens(self, text: str) -> Tokens:
        vocabulary: Vocabulary = self._require("vocabulary_")
        pieces = self._analyzer().terms(text)
        ids = np.array([vocabulary.get(piece) for piece in pieces], dtype=np.int64)
        return Tokens(pieces, ids, ids >= 0, len(vocabulary))

    @property
    def dim(self) -> int:
        return len(self._require("idf_"))

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        arrays = self._arrays()
        plain = {"analyzer": self._analyzer().to_json(), "sublinear_tf": self.sublinear_tf, "terms": arrays["terms"]}
        return plain, {"idf": arrays["idf"]}

    def _arrays(self) -> dict[str, Any]:
        vocabulary: Vocabulary = self._require("vocabulary_")
        return {"idf": self.idf_, "terms": list(vocabulary.terms)}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002
        self.idf_, self.vocabulary_ = arrays["idf"], Vocabulary(arrays["terms"])


class LSA(Encoder):
    """Latent semantic analysis: TF-IDF rows projected on the leading singular directions of the corpus.

    Deerwester, Dumais, Furnas, Landauer and Harshman 1990, "Indexing by latent semantic analysis". Vectors are unit rows of
    `n_components` dimensions (fewer where the corpus has fewer words or items), the same for the same corpus and `seed`.

    >>> LSA(n_components=2).fit(["wings lift", "wings drag", "tea"]).encode("lift").shape
    (2,)
    """

    family: ClassVar[str] = "lsa"
    simple: ClassVar[bool] = True

    def __init__(
        self,
        *,
        n_components: int = 256,
        analyzer: Literal["words", "code"] = "words",
        stemmer: str | None = None,
        stopwords: str | None = None,
        min_length: int = 2,
        min_count: int = 1,
        sublinear_tf: bool = True,
        n_iter: int = 4,
        seed: int = 0,
    ) -> None:
        self.n_components = n_components
        self.analyzer = analyzer
        self.stemmer = stemmer
        self.stopwords = stopwords
        self.min_length = min_length
        self.min_count = min_count
        self.sublinear_tf = sublinear_tf
        self.n_iter = n_iter
        self.seed = seed

    components_: NDArray[np.float32] | None = None

    def _counts(self) -> TfIdf:
        return TfIdf(**{name: getattr(self, name) for name in TfIdf.defaults()})

    def _fit(self, items: list[str], y: Any, validation: Any) -> None:  # noqa: ARG002 - as above
        self.tfidf_ = self._counts().fit(items)
        matrix = self.tfidf_.encode(items)
        self.components_, self.singular_values_ = truncated_svd(matrix, self.n_components, iterations=self.n_iter, seed=self.seed)

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> NDArray[np.float32]:  # noqa: ARG002
        components = self._require("components_")
        return normalise(self.tfidf_.encode(items) @ components)

    def tokens(self, text: str) -> Tokens:
        components = self._require("components_")
        found = self.tfidf_.tokens(text)
        rows = np.where(found.known[:, None], components[found.ids], 0).astype(np.float32)
        return Tokens(found.pieces, found.ids, found.known, found.vocabulary, rows)

    @property
    def dim(self) -> int:
        return int(self._require("components_").shape[1])

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        components = self._require("components_")
        plain, arrays = self.tfidf_._identity()
        return plain, {**arrays, "components": components}

    def _arrays(self) -> dict[str, Any]:
        components = self._require("components_")
        return {**self.tfidf_._arrays(), "components": components, "singular_values": self.singular_values_}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self.tfidf_ = self._counts()
        self.tfidf_._restore(folder, data, arrays)
        self.components_, self.singular_values_ = arrays["components"], arrays["singular_values"]


def _counts(corpus: TokenIds, width: int) -> csr_array:
    """How often each term stands in each text: (texts, width) CSR float32. Unknown terms are left out."""
    from scipy.sparse import csr_array

    known = corpus.ids >= 0
    before = np.concatenate([[0], np.cumsum(known)])
    columns = corpus.ids[known]
    matrix = csr_array((np.ones(len(columns), dtype=np.float32), columns, before[corpus.offsets]), shape=(len(corpus), width))
    matrix.sum_duplicates()
    return matrix


def _row_of(matrix: csr_array) -> NDArray[np.int64]:
    """The row of each stored number."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
