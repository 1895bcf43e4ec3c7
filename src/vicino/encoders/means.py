"""Texts as weighted means of their words' vectors: rare words count for more, and what all texts share goes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.catalog import spell
from vicino.data.corpus import Corpus
from vicino.data.text import TokenIds, Vocabulary, encode_corpus
from vicino.data.vector_files import ending
from vicino.encoders.base import Encoder, Role, Tokens
from vicino.encoders.named import damaged, saved_array
from vicino.encoders.words import Word2Vec, WordEncoder
from vicino.errors import InputError, UnknownName
from vicino.learning.bounds import require_dimensions
from vicino.learning.spectral import truncated_svd

__all__ = ["MeanOfWords"]

_WEIGHTINGS = ("average", "idf", "sif")
_BLOCK = 50_000  # texts whose words are counted at a time
_SAMPLE = 100_000  # texts that tell what all have in common

Float32 = NDArray[np.float32]


class MeanOfWords(Encoder):
    """A text as the weighted mean of its words' vectors, less what all texts have in common.

    `words` is what gives a word its vector: a family that is learnt from the texts themselves ("word2vec", "glove(epochs=20)"),
    a folder of trained words, a file of word vectors (`.txt`, `.vec`, `.bin`), or from Python a `WordEncoder`, which learns only
    where it has not yet. How often words are used is learnt from the texts that `fit` is given in any case.

    `weighting` is "average" (all words alike), "idf" (1 + ln((1 + n) / (1 + df)) for a word in df of n texts) or "sif",
    smooth inverse frequency: a / (a + p) for a word that is the share p of all words, and then the mean's projection on the
    `components` leading singular directions of the texts is taken away (Arora, Liang and Ma 2017, "A simple but tough-to-beat
    baseline for sentence embeddings"; 2 to 5 directions suit long texts). A text without known words is zeros.

    Raises UnknownName for another weighting, InputError for `words` that have no vectors of words and for as many `components` as
    these have dimensions, and what reading them raises. A saved model notes the family and the parameters of its words: a
    copy that is fitted again learns them from its texts.

    >>> texts = ["the red wine", "the white wine", "the red tea", "the black tea"]
    >>> means = MeanOfWords(words="word2vec(vector_size=8, epochs=5)").fit(texts)
    >>> means.encode(texts).shape, bool(means.weight("the") < means.weight("black"))
    ((4, 8), True)
    """

    family: ClassVar[str] = "mean-of-words"

    def __init__(
        self,
        *,
        words: str | os.PathLike[str] | WordEncoder = "word2vec",
        weighting: Literal["average", "idf", "sif"] = "sif",
        a: float = 1e-3,
        components: int = 1,
    ) -> None:
        self.words = words
        self.weighting = weighting
        self.a = a
        self.components = components

    words_: WordEncoder | None = None
    vocabulary_: Vocabulary | None = None
    weights_: Float32 | None = None
    unseen_: float = 1.0
    common_: Float32 | None = None

    @classmethod
    def of(cls, **params: Any) -> Self:
        """As the constructor, with the full paths of files and folders, so that a recipe means the same in another folder."""
        words = params.get("words")
        if isinstance(words, str | os.PathLike) and Path(words).exists():
            params["words"] = str(Path(words).resolve())
        return super().of(**params)

    # Learning ---------------------------------------------------------------------------------------------------------

    def fit(self, data: Any, y: Any = None, *, validation: Any = None) -> Self:
        """Learn from what a `WordEncoder` learns from: a path, texts, lists of words or a `Corpus`.

        The words come first where they have not learnt yet. Raises what the words raise.
        """
        self._fit(data, y, validation)
        self._space = None
        return self

    def _fit(self, items: Any, y: Any, validation: Any) -> None:  # noqa: ARG002 - words need no labels
        if self.weighting not in _WEIGHTINGS:
            raise UnknownName.among(str(self.weighting), _WEIGHTINGS, kind="weighting")
        if not self.a > 0 or self.components < 0:
            mend = "give a=1e-3 and components=1, or weighting=average"
            raise InputError(f"a={self.a} with components={self.components} cannot be", mend=mend)
        words = self._open()
        dim = words.vector_size if words.vocabulary_ is None else words.dim
        require_dimensions(dim)
        if self.weighting == "sif" and self.components >= dim:
            what = f"components={self.components} of vectors of {dim} dimensions leave nothing"
            raise InputError(what, mend="give fewer, such as components=1")
        if words.vocabulary_ is None:
            corpus = words._corpus(items)
            words.fit_whole(corpus)
        else:
            corpus = words.clone().set_params(min_count=1, max_vocab=None)._corpus(items)
        self.words_, self.vocabulary_ = words, corpus.vocabulary
        self.weights_, self.unseen_ = self._weigh(corpus)
        self.common_ = np.zeros((words.dim, 0), np.float32)
        if self.weighting == "sif" and self.components:
            self.common_ = self._in_common(corpus)

    def _open(self) -> WordEncoder:
        """The words: learnt already, or ready to."""
        from vicino import encoders

        if isinstance(self.words, WordEncoder):
            return self.words if self.words.vocabulary_ is not None else self.words.clone()
        place = Path(self.words)
        made = Word2Vec.import_(place) if ending(place) and place.is_file() else encoders.make(self.words)
        if isinstance(made, WordEncoder):
            return made
        mend = "name a family such as word2vec, a folder of trained words, or a file of word vectors"
        raise InputError(f"words={self.words} gives no vectors of words", mend=mend)

    def _weigh(self, corpus: Corpus) -> tuple[Float32, float]:
        """How much each word of the corpus counts, and a word that it lacks."""
        if self.weighting == "idf":
            n = len(corpus)
            weights = 1 + np.log((1 + n) / (1 + _texts_with_each(corpus)))
            return weights.astype(np.float32), float(1 + np.log(1 + n))
        if self.weighting == "sif":
            return (self.a / (self.a + corpus.counts / corpus.counts.sum())).astype(np.float32), 1.0
        return np.ones(len(corpus.counts), np.float32), 1.0

    def _in_common(self, corpus: Corpus) -> Float32:
        """The leading directions of the means of texts (or of a sample of them), (d, r)."""
        sample = np.arange(len(corpus))
        if len(sample) > _SAMPLE:
            sample = np.sort(np.random.default_rng(0).choice(sample, _SAMPLE, replace=False))
        means = self._means(corpus.rows(sample))
        return truncated_svd(means, self.components)[0]

    # Texts ------------------------------------------------------------------------------------------------------------

    def weight(self, word: str) -> float:
        """How much a word counts, known or not."""
        weights: Float32 = self._require("weights_")
        row = self._require("vocabulary_").get(word)
        return float(weights[row]) if row >= 0 else self.unseen_

    def _means(self, texts: TokenIds) -> Float32:
        """The weighted means of texts, (n, d), before what they have in common is taken away."""
        from scipy.sparse import csr_array

        terms: Sequence[str] = texts.vocabulary.terms
        vectors, known = self._require("words_").lookup(terms)
        weights = np.array([self.weight(term) for term in terms], np.float32) * known
        rows = csr_array((weights[texts.ids], texts.ids, texts.offsets), shape=(len(texts), len(terms)))
        ones = csr_array((known[texts.ids].astype(np.float32), texts.ids, texts.offsets), shape=rows.shape)
        return np.asarray((rows @ vectors) / np.maximum(ones.sum(axis=1), 1)[:, None], dtype=np.float32)

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> Float32:  # noqa: ARG002
        common: Float32 = self._require("common_")
        means = self._means(encode_corpus(items, self._require("words_")._analyzer()))
        return np.asarray(means - (means @ common) @ common.T, dtype=np.float32)

    def tokens(self, text: str) -> Tokens:
        words: WordEncoder = self._require("words_")
        return words.tokens(text)

    @property
    def dim(self) -> int:
        return int(self._require("words_").dim)

    # Kept -------------------------------------------------------------------------------------------------------------

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        words: WordEncoder = self._require("words_")
        plain = {"words": words.space.id, "terms": self._require("vocabulary_").terms, "unseen": self.unseen_}
        return plain, {"weights": self._require("weights_"), "common": self._require("common_")}

    def _arrays(self) -> dict[str, Any]:
        return {"terms": list(self._require("vocabulary_")), "weights": self.weights_, "common": self.common_}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        from vicino import encoders

        words = encoders.load(folder / "words")
        if not isinstance(words, WordEncoder):
            raise damaged(folder, "words")
        self.words_, self.vocabulary_, self.unseen_ = words, Vocabulary(arrays["terms"]), float(data["unseen"])
        self.weights_ = saved_array(folder, arrays, "weights", np.float32, (len(self.vocabulary_),))
        self.common_ = saved_array(folder, arrays, "common", np.float32, (words.dim, None))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a folder with the words in it; `vicino.load(path)` opens it."""
        words: WordEncoder = self._require("words_")
        said = spell(words.family, words.changed()) if isinstance(self.words, WordEncoder) else str(self.words)
        params = self.get_params() | {"words": said}
        data = {"encoder": self.family, "params": params, "space": self.space.to_json(), "unseen": self.unseen_}
        return artifacts.write(path, kind="encoder", data=data, arrays=self._arrays(), parts={"words": words.save})


def _texts_with_each(corpus: Corpus) -> NDArray[np.int64]:
    """In how many texts each word stands."""
    from scipy.sparse import csr_array

    found = np.zeros(len(corpus.counts), np.int64)
    for start in range(0, len(corpus), _BLOCK):
        texts = corpus.rows(np.arange(start, min(start + _BLOCK, len(corpus))))
        rows = csr_array((np.ones(len(texts.ids), np.int8), texts.ids, texts.offsets), shape=(len(texts), len(found)))
        rows.sum_duplicates()
        found += np.bincount(rows.indices, minlength=len(found))
    return found
