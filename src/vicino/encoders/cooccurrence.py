"""Words whose vectors are learnt from counts: the text is read once, and what is learnt from is a matrix."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vicino.data.corpus import Corpus
from vicino.encoders.named import saved_array
from vicino.encoders.words import WordEncoder
from vicino.errors import EmptyInput, InputError
from vicino.learning import glove, swivel
from vicino.learning.bounds import require_dimensions
from vicino.learning.cooccurrence import Cooccurrence, Weighting, cooccurrence, thinned
from vicino.learning.epochs import Training
from vicino.learning.skipgram import keep_probabilities
from vicino.learning.tiles import Tiles, tiled

__all__ = ["GloVe", "Swivel", "without_common"]

_MEGABYTE = 1 << 20
_MANY = 10_000  # words: in fewer nearly all pairs come once, and where they stand is all that tells them apart
_SAMPLE = 1e-3  # as `Word2Vec`'s
_TILE = 1024  # words, whose vectors with all that belongs to them make 2 MB at 100 dimensions
_PAIRS = 100_000_000  # that GloVe meets before its vectors have found their places
_GLOVE_EPOCHS = 10, 1000  # at least and at most
_STEPS = 1000  # of Swivel on each vector, likewise
_SWIVEL_EPOCHS = 3, 200


class _Counted(WordEncoder):
    """What both share: how text is counted, and which of the two vectors of a word is its vector."""

    window: int
    weighting: Weighting | None
    symmetric: bool
    sum_contexts: bool
    components: int
    memory: int
    seed: int

    training_: Training | None = None
    nonzeros_: int | None = None

    def _count(self, corpus: Corpus, size: int, sample: float = 0.0) -> tuple[Cooccurrence, Tiles]:
        for name, least, mend in (
            ("memory", 1, "give a number of megabytes, such as memory=1024"),
            ("components", 0, "give 0, or how many directions are to be taken away"),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(f"{name}={value!r} cannot be", mend=mend)
        require_dimensions(self.vector_size)
        _require_fewer(self.components, self.vector_size)
        share = self.memory * _MEGABYTE // 2  # one for the counts, one for the tiles that they are put in
        ids, offsets = corpus.ids, corpus.offsets
        if sample:
            ids, offsets = thinned(ids, offsets, keep_probabilities(corpus.counts, sample), self.seed, memory=share)
        try:
            counts = cooccurrence(
                ids,
                offsets,
                len(corpus.counts),
                window=self.window,
                weighting=self.weighting or ("flat" if len(corpus.ids) >= _MANY else "harmonic"),
                symmetric=self.symmetric,
                memory=share,
                threads=self.threads,
            )
        except EmptyInput as error:
            if not sample:
                raise
            raise EmptyInput(f"sample={sample:g} left no words beside each other", mend="give sample=0") from error
        self.nonzeros_ = len(counts)
        return counts, tiled(counts, size, memory=share, threads=self.threads)

    def _label(self) -> str:
        return f"learning words from {self.nonzeros_:,} pairs"

    def _keep(self, vectors: NDArray[np.float32], contexts: NDArray[np.float32], training: Training) -> None:
        self.vectors_ = without_common(vectors + contexts if self.sum_contexts else vectors, self.components)
        self.training_ = training

    def _arrays(self) -> dict[str, Any]:
        return {**super()._arrays(), "nonzeros": np.array([self.nonzeros_])}

    def _restore(self, folder: Any, data: Any, arrays: Any) -> None:
        super()._restore(folder, data, arrays)
        self.nonzeros_ = int(saved_array(folder, arrays, "nonzeros", np.int64, (1,))[0])


class GloVe(_Counted):
    """Vectors whose products are the logarithms of how often words stand together (Pennington, Socher and Manning 2014).

    `window` words on each side are neighbours, those before alone where `symmetric` is False; one d words away counts 1
    (`weighting` "flat"), 1 / d ("harmonic", as the authors') or (window - d + 1) / window ("linear"). None is harmonic below
    10,000 words and flat from there on, which was better for every larger text that was tried: it leaves no logarithms of
    fractions to learn. Occurrences of words that are more than the share `sample` of the text are left out at random, as in
    `Word2Vec`, so that a window reaches further; None is 0.001 from 10,000 words on, and 0, which leaves out none, below.
    `x_max`, `alpha` and `learning_rate` are those of `vicino.learning.glove.Recipe`; half of the authors' rate, which is 0.05,
    ended better. `epochs` None is as many as meet 100 million pairs, from 10 to 1000. A word's vector is the sum of both that it
    has, as a word and as a context, or the first alone without `sum_contexts`. Then the mean of all and their first `components`
    directions are taken away, which tell how frequent words are (`without_common`).

    `min_count` None is 5 from a million words on and 1 below. Counting and learning take about `memory` megabytes, and what is
    more goes to the temporary folder; neither that nor `threads` change a digit. After `fit`, `nonzeros_` pairs were met, and
    `training_` says how it went.

    >>> words = GloVe(vector_size=8, epochs=20).fit(["red wine and white wine", "red tea and white tea"])
    >>> words["wine"].shape, words.encode("red tea").shape, "beer" in words, words.nonzeros_
    ((8,), (8,), False, 20)
    """

    family: ClassVar[str] = "glove"

    def __init__(  # noqa: PLR0913 - one by one, as scikit-learn's tools and the command line want them
        self,
        *,
        vector_size: int = 100,
        window: int = 15,
        weighting: Weighting | None = None,
        symmetric: bool = True,
        min_count: int | None = None,
        max_vocab: int | None = None,
        sample: float | None = None,
        x_max: float = 10.0,
        alpha: float = 0.75,
        learning_rate: float = 0.025,
        epochs: int | None = None,
        sum_contexts: bool = True,
        components: int = 1,
        memory: int = 1024,
        analyzer: Literal["words", "code"] = "words",
        lowercase: bool = True,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.vector_size = vector_size
        self.window = window
        self.weighting = weighting
        self.symmetric = symmetric
        self.min_count = min_count
        self.max_vocab = max_vocab
        self.sample = sample
        self.x_max = x_max
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.sum_contexts = sum_contexts
        self.components = components
        self.memory = memory
        self.analyzer = analyzer
        self.lowercase = lowercase
        self.seed = seed
        self.threads = threads

    def _recipe(self, pairs: int) -> glove.Recipe:
        least, most = _GLOVE_EPOCHS
        epochs = min(max(math.ceil(_PAIRS / pairs), least), most) if self.epochs is None else self.epochs
        return glove.Recipe(self.x_max, self.alpha, self.learning_rate, epochs, self.seed, self.threads)

    def _learn(self, corpus: Corpus) -> None:
        self._recipe(1)  # what cannot be is told before the text is counted
        sample = self.sample
        if sample is None:
            sample = _SAMPLE if len(corpus.ids) >= _MANY else 0.0
        if not (isinstance(sample, int | float) and 0 <= sample < math.inf):
            raise InputError(f"sample={sample!r} cannot be", mend="give a share such as 0.001, or 0 to read every word")
        _, tiles = self._count(corpus, _TILE, sample)
        embedding = glove.new_embedding(tiles.place, self.vector_size, self.seed)
        training = glove.train(tiles, embedding, self._recipe(len(tiles)), label=self._label())
        self._keep(embedding.vectors, embedding.contexts, training)


class Swivel(_Counted):
    """Vectors whose products are pointwise mutual informations, kept low for pairs never seen (Shazeer et al. 2016).

    `confidence_base`, `confidence_scale`, `confidence_exponent` and `learning_rate` are those of `vicino.learning.swivel.Recipe`.
    The matrix of all words by all words is learnt in squares of `shard_size`, so that time grows with the vocabulary squared, and
    hardly with the text: cut it with `max_vocab`. Several `processes` learn in place of `threads`. `epochs` None is as many as
    move each vector 1000 times, from 3 to 200. What else there is is as for `GloVe`, but that neighbours count 1 / d by default.

    >>> words = Swivel(vector_size=8, epochs=20).fit(["red wine and white wine", "red tea and white tea"])
    >>> words["wine"].shape, words.encode("red tea").shape, "beer" in words, words.nonzeros_
    ((8,), (8,), False, 20)
    """

    family: ClassVar[str] = "swivel"

    def __init__(  # noqa: PLR0913 - one by one, as scikit-learn's tools and the command line want them
        self,
        *,
        vector_size: int = 100,
        window: int = 10,
        weighting: Weighting = "harmonic",
        symmetric: bool = True,
        min_count: int | None = None,
        max_vocab: int | None = None,
        confidence_base: float = 0.1,
        confidence_scale: float = 0.25,
        confidence_exponent: float = 0.5,
        learning_rate: float = 1.0,
        epochs: int | None = None,
        shard_size: int = 256,
        sum_contexts: bool = True,
        components: int = 0,
        memory: int = 1024,
        analyzer: Literal["words", "code"] = "words",
        lowercase: bool = True,
        seed: int = 0,
        threads: int = 1,
        processes: int = 1,
    ) -> None:
        self.vector_size = vector_size
        self.window = window
        self.weighting = weighting
        self.symmetric = symmetric
        self.min_count = min_count
        self.max_vocab = max_vocab
        self.confidence_base = confidence_base
        self.confidence_scale = confidence_scale
        self.confidence_exponent = confidence_exponent
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.shard_size = shard_size
        self.sum_contexts = sum_contexts
        self.components = components
        self.memory = memory
        self.analyzer = analyzer
        self.lowercase = lowercase
        self.seed = seed
        self.threads = threads
        self.processes = processes

    def _recipe(self, groups: int) -> swivel.Recipe:
        least, most = _SWIVEL_EPOCHS
        return swivel.Recipe(
            confidence_base=self.confidence_base,
            confidence_scale=self.confidence_scale,
            confidence_exponent=self.confidence_exponent,
            learning_rate=self.learning_rate,
            epochs=min(max(math.ceil(_STEPS / groups), least), most) if self.epochs is None else self.epochs,
            seed=self.seed,
            threads=self.threads,
            processes=self.processes,
        )

    def _learn(self, corpus: Corpus) -> None:
        self._recipe(1)
        counts, tiles = self._count(corpus, self.shard_size)
        embedding = swivel.new_embedding(tiles.place, self.vector_size, self.seed)
        training = swivel.train(counts, tiles, embedding, self._recipe(tiles.k), label=self._label())
        self._keep(embedding.vectors, embedding.contexts, training)


def without_common(vectors: NDArray[np.float32], components: int) -> NDArray[np.float32]:
    """Vectors (n, d) less their mean, and less their projection on the `components` directions in which they differ most.

    Mu and Viswanath 2018, "All-but-the-top: simple and effective postprocessing for word representations". 0 components leave
    them as they are, and so do fewer vectors than dimensions, whose mean says nothing. Raises InputError for as many components
    as dimensions, or more: nothing would be left.

    >>> square = np.array([[5, 1], [5, -1], [-3, 1], [-3, -1]], np.float32)
    >>> without_common(square, 1).tolist()
    [[0.0, 1.0], [0.0, -1.0], [0.0, 1.0], [0.0, -1.0]]
    """
    _require_fewer(components, vectors.shape[1])
    if not components or len(vectors) < vectors.shape[1]:
        return vectors
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    _, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))  # ascending
    top = directions[:, -components:].astype(np.float32)
    return np.asarray(centred - (centred @ top) @ top.T)


def _require_fewer(components: int, dim: int) -> None:
    if components >= dim:
        raise InputError(
            f"components={components} of vectors of {dim} dimensions leave nothing", mend="give fewer, such as components=1"
        )
