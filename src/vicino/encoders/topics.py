"""Topics: LDA, where a document is the mixture of subjects that it speaks of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vicino.data.text import Analyzer, Vocabulary, encode_corpus
from vicino.encoders.base import Encoder, Role, Tokens
from vicino.encoders.counts import _counts
from vicino.errors import EmptyInput, InputError
from vicino.learning.topics import Learner, Recipe, Stream, Topics, Training, mixtures, train
from vicino.vectors import normalise

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["LDA"]


class LDA(Encoder):
    """Latent Dirichlet allocation (Blei, Ng and Jordan 2003): how much each of `n_components` topics is spoken of.

    `mixtures` gives a document's shares of the topics. Its vector is their centred log-ratio, ln share minus the mean of these
    (Aitchison 1982, "The statistical analysis of compositional data"), of length one: zeros for a text without known words.
    Shares themselves are near for texts with one large topic in common, whatever else they speak of; with 100 topics on
    Cranfield nDCG@10 is 0.27 by log-ratios, 0.23 by shares and 0.14 by their square roots. A corpus of fewer items than
    `n_components` has as many topics as items, unless there is an `alpha` for each.

    `learner` is "batch" (all documents at once), "scvb0" (chunks, for more text than memory) or "online" (variational Bayes by
    chunks); they and `alpha`, `eta`, `passes`, `chunksize`, `offset`, `decay` are those of `vicino.learning.topics.Recipe`.
    `analyzer` and what follows are as for `TfIdf`, but that stop words are left out. `threads` change no digit.

    >>> lda = LDA(n_components=2).fit(["wings lift wings", "lift wings", "tea cup tea", "cup tea"])
    >>> sorted(sorted(lda.top_words(topic, 2)) for topic in range(2))
    [['cup', 'tea'], ['lift', 'wings']]
    >>> lda.mixtures(["tea tea cup tea"]).max().round(1).item()
    1.0
    """

    family: ClassVar[str] = "lda"

    def __init__(  # noqa: PLR0913 - as many as there are parameters
        self,
        *,
        n_components: int = 100,
        alpha: float | tuple[float, ...] = 0.1,
        eta: float | None = None,
        learner: Learner = "batch",
        passes: int = 50,
        chunksize: int = 1024,
        offset: float = 1.0,
        decay: float = 0.5,
        analyzer: Literal["words", "code"] = "words",
        stemmer: str | None = None,
        stopwords: str | None = "english",
        min_length: int = 2,
        min_count: int = 1,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.eta = eta
        self.learner = learner
        self.passes = passes
        self.chunksize = chunksize
        self.offset = offset
        self.decay = decay
        self.analyzer = analyzer
        self.stemmer = stemmer
        self.stopwords = stopwords
        self.min_length = min_length
        self.min_count = min_count
        self.seed = seed
        self.threads = threads

    vocabulary_: Vocabulary | None = None
    topics_: Topics | None = None
    training_: Training | None = None
    steps_: int = 0
    seen_: int = 0

    # Learning ---------------------------------------------------------------------------------------------------------

    def _fit(self, items: list[str], y: Any, validation: Any) -> None:  # noqa: ARG002 - topics need no labels
        one_prior = isinstance(self.alpha, int | float)
        recipe = self._recipe(min(self.n_components, len(items)) if one_prior else self.n_components)
        counts, vocabulary = self._count_anew(items)
        self.topics_, self.training_ = train(counts, recipe)
        self.vocabulary_ = vocabulary
        self.seen_ = len(items)
        self.steps_ = -(-len(items) // self.chunksize)  # as if in chunks: what comes later may still move the topics

    def partial_fit(self, data: Iterable[Any], y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Learn from more items in one step; the first ones, where nothing was fitted, give the vocabulary for good.

        Raises EmptyInput where no item has a known word.
        """
        items, recipe = self._items(data), self._recipe(self.n_components if self.topics_ is None else self.dim)
        known = self.vocabulary_
        counts, vocabulary = self._count_anew(items) if known is None else (self._count(items), known)
        stream = Stream(len(vocabulary), recipe, topics=self.topics_, steps=self.steps_, seen=self.seen_)
        stream.learn(counts)
        self.vocabulary_, self.topics_, self.steps_, self.seen_ = vocabulary, stream.topics, stream.steps, stream.seen
        self._space = None
        return self

    def _recipe(self, n_topics: int) -> Recipe:
        names = ("eta", "learner", "passes", "chunksize", "offset", "decay", "seed", "threads")
        alpha = self.alpha if isinstance(self.alpha, int | float) else tuple(self.alpha)  # a saved tuple comes back as a list
        return Recipe(n_topics, alpha, **{name: getattr(self, name) for name in names})

    def _analyzer(self) -> Analyzer:
        return Analyzer(tokens=self.analyzer, stemmer=self.stemmer, stopwords=self.stopwords, min_length=self.min_length)

    def _count_anew(self, items: list[str]) -> tuple[csr_array, Vocabulary]:
        corpus = encode_corpus(items, self._analyzer())
        terms = corpus.vocabulary.terms
        counts = _counts(corpus, len(terms))
        kept = np.flatnonzero(np.bincount(counts.indices, minlength=len(terms)) >= self.min_count)
        if not len(kept):
            raise EmptyInput(
                f"no word stands in {self.min_count} or more of {len(items):,} items",
                mend="give items with words, or lower min_count",
            )
        return counts[:, kept], Vocabulary(terms[column] for column in kept)

    def _count(self, items: list[str]) -> csr_array:
        vocabulary: Vocabulary = self._require("vocabulary_")
        return _counts(encode_corpus(items, self._analyzer(), vocabulary, grow=False), len(vocabulary))

    # What it knows ----------------------------------------------------------------------------------------------------

    def mixtures(self, data: Iterable[Any]) -> NDArray[np.float32]:
        """Each item's shares of the topics, (n, n_components) rows that sum to 1."""
        return self._mixtures(self._items(data))

    def top_words(self, topic: int, n: int = 10) -> list[str]:
        """The `n` most probable words of a topic, best first. Raises InputError for a topic that there is not."""
        topics: Topics = self._require("topics_")
        vocabulary: Vocabulary = self._require("vocabulary_")
        if topic not in range(self.dim):
            raise InputError(f"there is no topic {topic!r}", mend=f"topics are 0 to {self.dim - 1}")
        best = np.argsort(-topics.parameters[:, topic], kind="stable")[:n]
        return [vocabulary.terms[word] for word in best]

    def _mixtures(self, items: list[str]) -> NDArray[np.float32]:
        topics: Topics = self._require("topics_")
        return mixtures(topics, self._count(items), threads=self.threads)

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> NDArray[np.float32]:  # noqa: ARG002
        logs = np.log(self._mixtures(items))
        return normalise(logs - logs.mean(axis=1, keepdims=True))

    def tokens(self, text: str) -> Tokens:
        """As for every encoder; the row of a word is how its occurrences are shared among topics in a text of all topics."""
        topics: Topics = self._require("topics_")
        vocabulary: Vocabulary = self._require("vocabulary_")
        pieces = self._analyzer().terms(text)
        ids = np.array([vocabulary.get(piece) for piece in pieces], dtype=np.int64)
        shares = topics.parameters[ids] / topics.parameters.sum(axis=0)
        rows = np.where(ids[:, None] >= 0, shares / shares.sum(axis=1, keepdims=True), 0).astype(np.float32)
        return Tokens(pieces, ids, ids >= 0, len(vocabulary), rows)

    @property
    def dim(self) -> int:
        topics: Topics = self._require("topics_")
        return len(topics.prior)

    # Kept -------------------------------------------------------------------------------------------------------------

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        topics: Topics = self._require("topics_")
        vocabulary: Vocabulary = self._require("vocabulary_")
        plain = {"analyzer": self._analyzer().to_json(), "terms": vocabulary.terms}
        return plain, {"topics": topics.parameters, "prior": topics.prior}

    def _arrays(self) -> dict[str, Any]:
        plain, arrays = self._identity()
        return {**arrays, "terms": plain["terms"], "progress": np.array([self.steps_, self.seen_])}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002
        self.vocabulary_ = Vocabulary(arrays["terms"])
        self.topics_ = Topics(arrays["topics"], arrays["prior"])
        self.steps_, self.seen_ = map(int, arrays["progress"])
