"""FastText: word vectors from character n-grams, which words never met before have too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vicino.data.corpus import Corpus
from vicino.data.text import Vocabulary, encode_corpus
from vicino.encoders.base import Role, Tokens
from vicino.encoders.named import damaged, saved_array
from vicino.encoders.words import Word2Vec
from vicino.learning.skipgram import new_embedding, train
from vicino.learning.subwords import Subwords, parts
from vicino.vectors import normalise

__all__ = ["FastText"]

Float32 = NDArray[np.float32]


class FastText(Word2Vec):
    """Skip-gram (`sg=1`) or CBOW (`sg=0`) where a word is the mean of a row of its own and those of its character n-grams.

    Bojanowski, Grave, Joulin and Mikolov 2017; see `vicino.learning.subwords`. `min_n` and `max_n` are the lengths of n-grams in
    characters, the brackets around the word counted; `bucket` is how many rows they are hashed into, of which only those are made
    that words of the text use. The other parameters are those of `Word2Vec`.

    A word that is not in the vocabulary has the mean of its n-grams that were learnt; if none was, it is unknown, as in
    `Word2Vec`. So `word in model` says whether a word was learnt itself, and `model[word]`, `most_similar`, `lookup` and
    `encode` answer for others as well.

    >>> words = FastText(vector_size=8, epochs=20).fit(["red wine and white wine", "red wines and white tea"])
    >>> "winery" in words, words["winery"].shape, words.lookup(["xyz"])[1].tolist()
    (False, (8,), [False])
    """

    family: ClassVar[str] = "fasttext"

    def __init__(  # noqa: PLR0913 - one by one, as scikit-learn's tools and the command line want them
        self,
        *,
        vector_size: int = 100,
        window: int = 5,
        min_n: int = 3,
        max_n: int = 6,
        bucket: int = 2_000_000,
        min_count: int | None = None,
        max_vocab: int | None = None,
        sg: int = 1,
        negative: int = 5,
        hs: int = 0,
        cbow_mean: int = 1,
        sample: float = 1e-3,
        ns_exponent: float = 0.75,
        shrink_windows: bool = True,
        alpha: float | None = None,
        min_alpha: float = 1e-4,
        epochs: int | None = None,
        analyzer: Literal["words", "code"] = "words",
        lowercase: bool = True,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        super().__init__(
            vector_size=vector_size,
            window=window,
            min_count=min_count,
            max_vocab=max_vocab,
            sg=sg,
            negative=negative,
            hs=hs,
            cbow_mean=cbow_mean,
            sample=sample,
            ns_exponent=ns_exponent,
            shrink_windows=shrink_windows,
            alpha=alpha,
            min_alpha=min_alpha,
            epochs=epochs,
            analyzer=analyzer,
            lowercase=lowercase,
            seed=seed,
            threads=threads,
        )
        self.min_n = min_n
        self.max_n = max_n
        self.bucket = bucket

    own_: Float32 | None = None  # (n, d), a row for each word
    ngrams_: Float32 | None = None  # (b, d), a row for each used bucket
    buckets_: NDArray[np.uint32] | None = None  # (b,), their numbers, sorted

    def _subwords(self) -> Subwords:
        return Subwords(self.min_n, self.max_n, self.bucket)

    def fit(self, data: Any, y: Any = None, *, validation: Any = None) -> FastText:
        """As `Word2Vec.fit`. Raises InputError besides for `min_n`, `max_n` or `bucket` that cannot be, before it reads."""
        self._subwords()
        return super().fit(data, y, validation=validation)

    def _train(self, corpus: Corpus, counts: NDArray[np.int64], known: dict[str, Any]) -> None:
        n, recipe = len(counts), self._recipe(len(corpus.ids))
        ngrams = self._subwords().of(corpus.vocabulary.terms)
        used = np.unique(ngrams.buckets)
        ngrams = ngrams.within(used)
        if known:
            known = {**known, "vectors": self._require("own_")}
        embedding = new_embedding(n, self.vector_size, self.seed, hs=recipe.hs, parts=len(used), **known)
        rows = embedding.inputs[:, : self.vector_size]
        if known:
            rows[n + np.searchsorted(used, self._require("buckets_"))] = self._require("ngrams_")
        self.training_ = train(corpus.ids, corpus.offsets, counts, embedding, recipe, parts=parts(ngrams))
        self.own_, self.ngrams_, self.buckets_ = rows[:n].copy(), rows[n:].copy(), used
        self.vectors_, self.contexts_ = ngrams.means(self.ngrams_, self.own_), embedding.contexts

    # Words that were not learnt ---------------------------------------------------------------------------------------

    def lookup(self, words: Sequence[str]) -> tuple[Float32, NDArray[np.bool_]]:
        """The vectors of words, (n, d) float32 with zeros for those that have none, and which have one, (n,) bool.

        Words that were not learnt have the mean of their n-grams that were.
        """
        vectors, known = super().lookup(words)
        if self.buckets_ is not None and not known.all():
            unseen = np.flatnonzero(~known).tolist()
            ngrams = self._subwords().of([words[place] for place in unseen]).within(self.buckets_)
            vectors[unseen], known[unseen] = ngrams.means(self._require("ngrams_")), np.diff(ngrams.starts) > 0
        return vectors, known

    def __getitem__(self, name: str) -> Float32:
        """The vector of a word, (d,), learnt or made of its n-grams. Raises UnknownWord, a KeyError, where it has none."""
        vector: Float32 = self._vectors_of([name])[0]
        return vector

    def _vectors_of(self, names: Sequence[Any]) -> Float32:
        spelled = [name for name in names if isinstance(name, str)]
        vectors, known = self.lookup(spelled)
        if len(spelled) < len(names) or not known.all():
            for name in names:
                if not isinstance(name, str) or not self.lookup([name])[1][0]:
                    self._row(name)  # raises
        return vectors

    def _find(self, names: Sequence[str]) -> tuple[list[int], Float32]:
        units = normalise(self._vectors_of(names))
        return [self._row(name) for name in names if name in self], units

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> Float32:  # noqa: ARG002
        from scipy.sparse import csr_array

        texts = encode_corpus(items, self._analyzer())
        vectors, known = self.lookup(texts.vocabulary.terms)
        counted = known[texts.ids].astype(np.float32)
        rows = csr_array((counted, texts.ids, texts.offsets), shape=(len(texts), len(vectors)))
        return np.asarray((rows @ vectors) / np.maximum(rows.sum(axis=1), 1)[:, None], dtype=np.float32)

    def tokens(self, text: str) -> Tokens:
        """How a text is read. Words that were not learnt pick no row of the table, though their n-grams give them a vector."""
        vocabulary: Vocabulary = self._require("vocabulary_")
        vectors: Float32 = self._require("vectors_")
        pieces = self._analyzer().terms(text)
        ids = np.array([vocabulary.get(piece) for piece in pieces], dtype=np.int64)
        rows = np.where(ids[:, None] >= 0, vectors[ids], 0).astype(np.float32)
        return Tokens(pieces, ids, ids >= 0, len(vocabulary), rows)

    # Kept -------------------------------------------------------------------------------------------------------------

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        plain, arrays = super()._identity()
        subwords = [self.min_n, self.max_n, self.bucket]
        return {**plain, "subwords": subwords}, {**arrays, **self._subword_arrays()}

    def _arrays(self) -> dict[str, Any]:
        return {**super()._arrays(), **self._subword_arrays()}

    def _subword_arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {"own": self.own_, "ngrams": self.ngrams_, "buckets": self.buckets_}
        return {name: array for name, array in arrays.items() if array is not None}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        super()._restore(folder, data, arrays)
        if {"own", "ngrams", "buckets"} & set(arrays):  # not where words came from a file of others
            self.own_ = saved_array(folder, arrays, "own", np.float32, self._require("vectors_").shape)
            self.ngrams_ = saved_array(folder, arrays, "ngrams", np.float32, (None, self.dim))
            self.buckets_ = saved_array(folder, arrays, "buckets", np.uint32, (len(self.ngrams_),))
            if (self.buckets_[1:] <= self.buckets_[:-1]).any():
                raise damaged(folder, "buckets")
