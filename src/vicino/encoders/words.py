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
from vicino.encoders.base import Role, Tokens
from vicino.encoders.named import NamedVectors, saved_array
from vicino.errors import InputError, UnknownName
from vicino.learning.epochs import Training
from vicino.learning.skipgram import Recipe, new_embedding, train

__all__ = ["UnknownWord", "Word2Vec", "WordEncoder"]

_MUCH = 40_000_000  # words to read before the vectors have found their places: a smaller text is read so often
_EPOCHS = 5, 1000  # at least and at most
_ALPHA = {True: 0.025, False: 0.05}  # of skip-gram and of CBOW, as word2vec.c has them

Float32 = NDArray[np.float32]


class UnknownWord(UnknownName, KeyError):
    """A word that has no vector."""


class WordEncoder(NamedVectors):
    """A vector a word, and the mean of its known words' vectors for a text; zeros for a text without any.

    A family writes `_learn`, which sets `vectors_` (n, d) for the words of a corpus; `vector_size`, `analyzer` and `lowercase`
    are parameters that each must have, and `min_count` and `max_vocab` those of `vicino.data.corpus.Rules`.
    """

    thing: ClassVar[str] = "word"
    unknown: ClassVar[type[UnknownName]] = UnknownWord

    vector_size: int
    analyzer: Literal["words", "code"]
    lowercase: bool
    min_count: int | None
    max_vocab: int | None
    threads: int

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
        rows = csr_array((np.ones(offsets[-1], np.float32), texts.ids[known], offsets), shape=(len(texts), len(vectors)))
        return np.asarray((rows @ vectors) / np.maximum(np.diff(offsets), 1)[:, None], dtype=np.float32)

    def lookup(self, words: Sequence[str]) -> tuple[Float32, NDArray[np.bool_]]:
        """The vectors of words, (n, d) float32 with zeros for those that have none, and which have one, (n,) bool."""
        vectors: Float32 = self._require("vectors_")
        vocabulary: Vocabulary = self._require("vocabulary_")
        rows = np.fromiter(map(vocabulary.get, words), np.int64, len(words))
        return np.where(rows[:, None] >= 0, vectors[rows], 0).astype(np.float32), rows >= 0

    def tokens(self, text: str) -> Tokens:
        vocabulary: Vocabulary = self._require("vocabulary_")
        pieces = self._analyzer().terms(text)
        ids = np.array([vocabulary.get(piece) for piece in pieces], dtype=np.int64)
        vectors, known = self.lookup(pieces)
        return Tokens(pieces, ids, known, len(vocabulary), vectors)

    def word_similarity(self, left: str, right: str) -> float:
        """The cosine of two words' vectors. Raises UnknownWord."""
        return self._cosine(left, right)

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        plain, arrays = super()._identity()
        return {"analyzer": self._analyzer().to_json(), **plain}, arrays


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
        if "contexts" in arrays:
            n, dim = self._require("vectors_").shape
            self.contexts_ = saved_array(folder, arrays, "contexts", np.float32, (2 * n - 1 if self.hs else n, dim))


def _spelled(corpus: Corpus) -> Iterator[list[str]]:
    """The sentences as lists of words."""
    terms = corpus.vocabulary.terms
    return ([terms[word] for word in corpus[row].tolist()] for row in range(len(corpus)))
