"""Word vectors: what all families of them share, and Word2Vec.

A word has a vector; a text has the mean of its words' vectors. What differs between families is how the vectors are learnt.
"""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.corpus import Corpus, Rules, open_corpus, read_corpus
from vicino.data.text import Analyzer, Vocabulary, encode_corpus
from vicino.data.vector_files import read_vectors
from vicino.data.word2vec_writing import WordFormat, write_word_vectors
from vicino.encoders.base import Encoder, Role, Tokens
from vicino.errors import InputError, UnknownName
from vicino.learning.skipgram import Recipe, Training, new_embedding, train
from vicino.vectors import normalise, top_k

__all__ = ["UnknownWord", "Word2Vec", "WordEncoder"]

_MUCH = 40_000_000  # words to read before the vectors have found their places: a smaller text is read so often
_EPOCHS = 5, 1000  # at least and at most
_ALPHA = {True: 0.025, False: 0.05}  # of skip-gram and of CBOW, as word2vec.c has them

Float32 = NDArray[np.float32]


class UnknownWord(UnknownName, KeyError):
    """A word that has no vector."""


class WordEncoder(Encoder):
    """A vector a word, and the mean of its known words' vectors for a text; zeros for a text without any.

    A family writes `_learn`, which sets `vectors_` (n, d) for the words of a corpus; `analyzer` and `lowercase` are parameters
    that each must have, and `min_count` and `max_vocab` those of `vicino.data.corpus.Rules`.
    """

    analyzer: Literal["words", "code"]
    lowercase: bool
    min_count: int | None
    max_vocab: int | None
    threads: int

    vocabulary_: Vocabulary | None = None
    vectors_: Float32 | None = None
    counts_: NDArray[np.int64] | None = None
    units_: Float32 | None = None

    @abstractmethod
    def _learn(self, corpus: Corpus) -> None:
        """Set `vectors_`, row w for word w of the corpus."""

    # Learning ---------------------------------------------------------------------------------------------------------

    def fit(self, data: Any, y: Any = None, *, validation: Any = None) -> Self:
        """Learn from a path (a file or a folder of text, or a saved corpus), from items, or from a `Corpus`.

        Items are str, `Document` and the like, or lists of words that are then taken as they are. Raises EmptyInput where no
        word is left, UnreadableSource for a path that cannot be read, InputError for items of another kind.
        """
        self._fit(self._corpus(data), y, validation)
        return self

    def _fit(self, items: Any, y: Any, validation: Any) -> None:  # noqa: ARG002 - words need no labels
        self._learn(items)
        self._take(items.vocabulary, items.counts)

    def _take(self, vocabulary: Vocabulary, counts: NDArray[np.int64]) -> None:
        self.vocabulary_, self.counts_, self.units_, self._space = vocabulary, counts, None, None

    def _corpus(self, data: Any, vocabulary: Vocabulary | None = None) -> Corpus:
        if isinstance(data, str | os.PathLike) and (Path(data) / artifacts.MANIFEST).is_file():
            data = open_corpus(data)
        if isinstance(data, Corpus):
            if vocabulary is None:
                return data
            data = _spelled(data)
        rules = Rules(self._analyzer(), self.min_count, self.max_vocab)
        source = data if isinstance(data, str | os.PathLike) else self._sentences(data)
        return read_corpus(source, rules, vocabulary=vocabulary)

    def _sentences(self, data: Any) -> Iterator[str | Sequence[str]]:
        if isinstance(data, bytes) or not isinstance(data, Iterable):
            raise InputError(f"{type(data).__name__} is not a list of items", mend="give a path, or a list of texts")
        return (item if isinstance(item, list | tuple) else self._item(row, item) for row, item in enumerate(data))

    def _analyzer(self) -> Analyzer:
        return Analyzer(tokens=self.analyzer, lowercase=self.lowercase)

    # Texts ------------------------------------------------------------------------------------------------------------

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> Float32:  # noqa: ARG002
        from scipy.sparse import csr_array

        vectors: Float32 = self._require("vectors_")
        texts = encode_corpus(items, self._analyzer(), self.vocabulary_, grow=False)
        known = texts.ids >= 0
        offsets = np.concatenate([[0], np.cumsum(known)])[texts.offsets]
        weights = self._weights(texts.ids[known])
        rows = csr_array((weights, texts.ids[known], offsets), shape=(len(texts), len(vectors)))
        totals = np.maximum(rows.sum(axis=1), np.finfo(np.float32).tiny)
        return np.asarray((rows @ vectors) / totals[:, None], dtype=np.float32)

    def _weights(self, ids: NDArray[np.int32]) -> Float32:
        """How much each word counts in the mean of its text: all alike."""
        return np.ones(len(ids), np.float32)

    def tokens(self, text: str) -> Tokens:
        vectors: Float32 = self._require("vectors_")
        vocabulary: Vocabulary = self._require("vocabulary_")
        pieces = self._analyzer().terms(text)
        ids = np.array([vocabulary.get(piece) for piece in pieces], dtype=np.int64)
        rows = np.where(ids[:, None] >= 0, vectors[ids], 0).astype(np.float32)
        return Tokens(pieces, ids, ids >= 0, len(vocabulary), rows)

    # Words ------------------------------------------------------------------------------------------------------------

    def __contains__(self, word: object) -> bool:
        return word in self._require("vocabulary_")

    def __getitem__(self, word: str) -> Float32:
        """The vector of a word, (d,). Raises UnknownWord, a KeyError that names near spellings."""
        row: Float32 = self._require("vectors_")[self._row(word)]
        return row.copy()

    def word_similarity(self, left: str, right: str) -> float:
        """The cosine of two words' vectors. Raises UnknownWord."""
        units = self._unit_vectors()
        return float(units[self._row(left)] @ units[self._row(right)])

    def most_similar(
        self,
        positive: str | Sequence[str] = (),
        negative: str | Sequence[str] = (),
        topn: int = 10,
        *,
        weights: Sequence[float] | None = None,
    ) -> list[tuple[str, float]]:
        """The `topn` words nearest to a sum of words, with their cosines, best first; the words given are left out.

        The sum is of unit vectors, those of `negative` subtracted ("3CosAdd": Mikolov, Yih and Zweig 2013); `weights` multiply
        them, one a word of `positive`, then of `negative`. Raises UnknownWord, and InputError for nothing given.
        """
        plus, minus = ([words] if isinstance(words, str) else list(words) for words in (positive, negative))
        rows = [self._row(word) for word in plus + minus]
        factors = np.ones(len(rows)) if weights is None else np.array(weights, dtype=np.float64)
        if not rows or factors.shape != (len(rows),):
            raise InputError(
                f"{len(rows)} words with {factors.size} weights", mend="give at least one word, and a weight for each"
            )
        units = self._unit_vectors()
        sought = (np.repeat([1.0, -1.0], [len(plus), len(minus)]) * factors) @ units[rows]
        scores = units @ normalise(sought[None])[0]
        scores[rows] = -np.inf
        best, cosines = top_k(scores[None], min(topn, max(len(units) - len(set(rows)), 1)))
        found = zip(best[0].tolist(), cosines[0].tolist(), strict=True)
        return [(self._require("vocabulary_").terms[row], cosine) for row, cosine in found if math.isfinite(cosine)]

    def doesnt_match(self, words: Sequence[str]) -> str:
        """The word that is farthest from the mean direction of all of them. Raises UnknownWord, InputError for no words."""
        if isinstance(words, str) or not words:
            raise InputError("no list of words", mend='give several, such as ["breakfast", "lunch", "car"]')
        units = self._unit_vectors()[[self._row(word) for word in words]]
        return words[int(np.argmin(units @ units.mean(axis=0)))]

    def _row(self, word: str) -> int:
        vocabulary: Vocabulary = self._require("vocabulary_")
        row = vocabulary.get(word)
        if row < 0:
            alike = [
                term for term in vocabulary if abs(len(term) - len(word)) < 3 and {term[0], term[-1]} & {word[:1], word[-1:]}
            ]
            raise UnknownWord.among(word, alike, kind="word", listing=f"{len(vocabulary):,} words are known")
        return row

    def _unit_vectors(self) -> Float32:
        if self.units_ is None:
            self.units_ = normalise(self._require("vectors_"))
        return self.units_

    # Kept -------------------------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        return int(self._require("vectors_").shape[1])

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        vectors: Float32 = self._require("vectors_")
        plain = {"analyzer": self._analyzer().to_json(), "terms": self._require("vocabulary_").terms}
        return plain, {"vectors": vectors}

    def _arrays(self) -> dict[str, Any]:
        vectors: Float32 = self._require("vectors_")
        return {"terms": list(self._require("vocabulary_")), "vectors": vectors, "counts": self.counts_}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002
        self.vectors_ = arrays["vectors"]
        self._take(Vocabulary(arrays["terms"]), arrays["counts"])

    def export(self, path: str | os.PathLike[str], format: WordFormat = "word2vec") -> Path:  # noqa: A002
        """Write the vectors for others: "word2vec" (text), "word2vec-binary" or "glove". gensim reads them back to the bit.

        Raises UnknownName for another format, InputError for a word with white space in it, ArtifactError for a full disk.
        """
        vectors: Float32 = self._require("vectors_")
        return write_word_vectors(Path(path), self._require("vocabulary_").terms, vectors, format)


class Word2Vec(WordEncoder):
    """Skip-gram (`sg=1`) or CBOW (`sg=0`) with negative sampling, or hierarchical softmax with `hs=1` and `negative=0`.

    Mikolov et al. 2013; see `vicino.learning.skipgram.Recipe` for what the parameters mean. The names are gensim's, and so are
    the defaults, but that skip-gram is one; `threads` is 1, with which equal text gives equal vectors to the bit (more are faster
    and not reproducible); `alpha` None is 0.025 for skip-gram and 0.05 for CBOW, as in word2vec.c; `min_count` None is 5 from a
    million words on and 1 below; and `epochs` None is as many as read 40 million words, from 5 to 1000: in five epochs a few
    thousand texts hardly move the vectors from where they began.

    >>> words = Word2Vec(vector_size=8, epochs=20).fit(["red wine and white wine", "red tea and white tea"])
    >>> words["wine"].shape, words.encode("red tea").shape, "beer" in words, len(words.most_similar("wine", topn=2))
    ((8,), (8,), False, 2)
    """

    family: ClassVar[str] = "word2vec"

    def __init__(  # noqa: PLR0913 - one by one, as scikit-learn's tools and the command line want them
        self,
        *,
        vector_size: int = 100,
        window: int = 5,
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
        self.vector_size = vector_size
        self.window = window
        self.min_count = min_count
        self.max_vocab = max_vocab
        self.sg = sg
        self.negative = negative
        self.hs = hs
        self.cbow_mean = cbow_mean
        self.sample = sample
        self.ns_exponent = ns_exponent
        self.shrink_windows = shrink_windows
        self.alpha = alpha
        self.min_alpha = min_alpha
        self.epochs = epochs
        self.analyzer = analyzer
        self.lowercase = lowercase
        self.seed = seed
        self.threads = threads

    contexts_: Float32 | None = None
    training_: Training | None = None

    def _recipe(self, words: int) -> Recipe:
        least, most = _EPOCHS
        return Recipe(
            skip_gram=bool(self.sg),
            window=self.window,
            shrink_windows=self.shrink_windows,
            negative=self.negative,
            ns_exponent=self.ns_exponent,
            hs=bool(self.hs),
            mean=bool(self.cbow_mean),
            sample=self.sample,
            alpha=_ALPHA[bool(self.sg)] if self.alpha is None else self.alpha,
            min_alpha=self.min_alpha,
            epochs=min(max(math.ceil(_MUCH / words), least), most) if self.epochs is None else self.epochs,
            seed=self.seed,
            threads=self.threads,
        )

    def _learn(self, corpus: Corpus) -> None:
        self._train(corpus, corpus.counts, {})

    def _train(self, corpus: Corpus, counts: NDArray[np.int64], known: dict[str, Any]) -> None:
        recipe = self._recipe(len(corpus.ids))
        embedding = new_embedding(len(counts), self.vector_size, self.seed, hs=recipe.hs, **known)
        self.training_ = train(corpus.ids, corpus.offsets, counts, embedding, recipe)
        self.vectors_, self.contexts_ = embedding.vectors, embedding.contexts

    def partial_fit(self, data: Any, y: Any = None) -> Self:  # noqa: ARG002 - words need no labels
        """Go on learning from more text, with the words that are new in it; `data` is what `fit` takes.

        The rate starts at `alpha` again. With `hs`, new words make another tree, and what its nodes had learnt is lost; without
        new words the counts stay as they were.
        Raises what `fit` raises, and InputError for vectors that were made elsewhere.
        """
        if self.vectors_ is None:
            return self.fit(data)
        if self.contexts_ is None or self.counts_ is None or not len(self.counts_):
            raise InputError("these vectors came from a file without what is needed to go on", mend="fit a new model")
        corpus = self._corpus(data, self.vocabulary_)
        counts = corpus.counts.copy()
        counts[: len(self.counts_)] += self.counts_
        if self.hs and len(counts) == len(self.counts_):
            counts = self.counts_  # the tree is made of them
        self._train(corpus, counts, {"vectors": self.vectors_, "contexts": self.contexts_})
        self._take(corpus.vocabulary, counts)
        return self

    @classmethod
    def import_(cls, path: str | os.PathLike[str], **params: Any) -> Self:
        """Vectors from a file: word2vec text or binary, GloVe text, .npy or .parquet; see `vicino.data.vector_files`.

        Raises what `read_vectors` raises: no header is believed before memory is taken.
        """
        file = read_vectors(Path(path))
        encoder = cls(**{"vector_size": file.vectors.shape[1], **params})
        encoder.vectors_ = np.ascontiguousarray(file.vectors, dtype=np.float32)
        encoder._take(Vocabulary(file.keys), np.zeros(0, np.int64))
        return encoder

    def _arrays(self) -> dict[str, Any]:
        arrays = super()._arrays()
        return arrays if self.contexts_ is None else {**arrays, "contexts": self.contexts_}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        super()._restore(folder, data, arrays)
        self.contexts_ = arrays.get("contexts")


def _spelled(corpus: Corpus) -> Iterator[list[str]]:
    """The sentences as lists of words."""
    terms = corpus.vocabulary.terms
    return ([terms[word] for word in corpus[row].tolist()] for row in range(len(corpus)))
