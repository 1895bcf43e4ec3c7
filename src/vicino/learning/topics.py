"""Latent Dirichlet allocation: topics as distributions over words, documents as mixtures of topics.

Blei, Ng and Jordan 2003, "Latent Dirichlet allocation". A document d is described by the Dirichlet parameters gamma (d, k) of its
mixture, a topic by those of its words, lambda (w, k): counts that are expected, plus the priors alpha and eta. Each step infers
gamma from lambda, a few sweeps over each document, and then counts lambda anew from gamma; what differs is how an expectation
is taken, and from how many documents lambda is counted at once::

    batch    gamma and lambda as they are, and all documents at once
    scvb0    the same, and `chunksize` documents (Foulds, Boyles, DuBois, Smyth and Welling 2013)
    online   the exponents of their digammas, and `chunksize` documents (variational Bayes: Hoffman, Blei and Bach 2010)

Asuncion, Welling, Smyth and Teh 2009, "On smoothing and inference for topic models", show that this is all there is between
them. A document's own share in the counts is left in: taking it out, as CVB0 proper does, took 3.5 times longer on 20 Newsgroups
and changed neither perplexity nor coherence by more than another seed does.

Every thread writes rows of its own, so that the same input and seed give the same topics to the bit with any number of threads.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino import progress
from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnknownName
from vicino.learning.counts import as_counts

if TYPE_CHECKING:
    from scipy.sparse import csc_array, csr_array

__all__ = ["Learner", "Recipe", "Stream", "Topics", "Training", "mixtures", "perplexity", "train"]

Learner = Literal["batch", "scvb0", "online"]
Float32 = NDArray[np.float32]
Found = TypeVar("Found")

_LANES = 16  # numbers in the widest register: rows are a multiple of it long
_SPAN = 50_000  # counts that one call of a kernel reads
_TINY = np.float32(1e-30)  # a weight that no sum of products loses
_AGAIN, _SWEEPS = 5, 50  # over a document a step, where it goes on from the step before, and where it begins
_ENOUGH = 1e-2  # of a document's tokens: a sweep that moves less is the last while learning
_FINE, _LONG = 1e-4, 200  # the same for the mixture of a new document, and the most sweeps

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How to learn. `alpha` is the prior of mixtures, one number or one for each topic; `eta` that of topics.

    `eta` None is 0.05, and 0.5 for "online", which needs more of it to be as good (Asuncion et al. 2009). `passes` go over all
    documents. A chunk of `chunksize` documents moves the topics by (offset + number of the chunk)^-decay, "scvb0" and "online"
    only. Raises InputError where a value cannot be.
    """

    n_components: int = 100
    alpha: float | tuple[float, ...] = 0.1
    eta: float | None = None
    learner: Learner = "batch"
    passes: int = 50
    chunksize: int = 1024
    offset: float = 1.0
    decay: float = 0.5
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if self.learner not in get_args(Learner):
            raise UnknownName.among(str(self.learner), get_args(Learner), kind="learner of topics")
        for name, least in (("n_components", 1), ("passes", 1), ("chunksize", 1), ("seed", 0), ("threads", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a whole number from {least} on")
        for name, good in (("eta", 0.05), ("offset", 1.0)):
            value = getattr(self, name)
            if not (value is None and name == "eta") and not _positive(value):
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a number above 0, such as {good}")
        if not (_positive(self.decay) and self.decay <= 1):
            raise InputError(f"decay={self.decay!r} cannot be", mend="give a number from 0.5 to 1")
        priors = self.alpha if isinstance(self.alpha, tuple) else (self.alpha,)
        if not all(map(_positive, priors)) or len(priors) not in (1, self.n_components):
            raise InputError(f"alpha={self.alpha!r} cannot be", mend="give a number above 0, such as 0.1, or one for each topic")

    @property
    def prior(self) -> Float32:
        """alpha as (n_components,)."""
        return np.broadcast_to(np.array(self.alpha, np.float32), self.n_components).copy()

    @property
    def smoothing(self) -> np.float32:
        """eta, or its default."""
        return np.float32(self.eta if self.eta is not None else 0.5 if self.learner == "online" else 0.05)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


@dataclass(frozen=True, eq=False)
class Topics:
    """What is learnt: `parameters` (words, topics) float32 is lambda, with `prior` (topics,) the alpha of mixtures."""

    parameters: Float32
    prior: Float32

    @property
    def distributions(self) -> Float32:
        """The probability of each word in each topic: (topics, words), rows that sum to 1."""
        return np.ascontiguousarray((self.parameters / self.parameters.sum(axis=0, dtype=np.float64)).T, dtype=np.float32)


@dataclass
class Training:
    """How it went: the perplexity of the documents during each whole pass, and what ended it.

    It is that of the mixtures as inferred from the same tokens, hence far below that of new text; of "online" an upper bound.
    """

    perplexities: list[float] = field(default_factory=list)
    ended: Literal["whole", "interrupted"] = "whole"


def train(counts: csr_array, recipe: Recipe, *, label: str = "learning topics") -> tuple[Topics, Training]:
    """Learn from how often each word stands in each document, (documents, words) CSR.

    The perplexity of the last step stands in the label of the progress events. Ctrl-C keeps the last whole pass, as
    `Training.ended` says; before there is one it is raised. Documents without words teach nothing. Raises EmptyInput where there
    is nothing to count, InputError where a count cannot be.

    >>> from scipy.sparse import csr_array
    >>> counts = csr_array([[4, 3, 0, 0], [2, 3, 0, 0], [0, 0, 3, 4], [0, 0, 5, 2]])
    >>> topics, training = train(counts, Recipe(n_components=2))
    >>> sorted((topics.distributions * 100).astype(int).tolist())
    [[0, 0, 56, 42], [49, 49, 0, 0]]
    """
    counts = as_counts(counts)
    counts = counts[np.flatnonzero(counts.sum(axis=1))]
    n, tokens = counts.shape[0], counts.sum(dtype=np.float64)
    stream = Stream(counts.shape[1], recipe, documents=n)
    order = np.random.default_rng([recipe.seed, 1])
    everything = _Chunk(counts, recipe) if recipe.learner == "batch" else None
    training, kept = Training(), stream.topics
    with progress.task(label, total=recipe.passes * n, unit="documents") as work:
        try:
            for _ in range(recipe.passes):
                likelihood = 0.0
                for chunk in [everything] if everything else _chunks(counts, recipe, order):
                    here = stream._step(chunk, whole=chunk is everything)
                    likelihood += here
                    work.label = f"{label}, perplexity {_perplexity(here, chunk.tokens.sum()):.0f}"
                    work.advance(len(chunk.tokens))
                kept = stream.topics
                training.perplexities.append(_perplexity(likelihood, tokens))
        except KeyboardInterrupt:
            if not training.perplexities:
                raise
            training.ended = "interrupted"
            logger.warning("topics interrupted: %d of %d passes are kept", len(training.perplexities), recipe.passes)
    return kept, training


class Stream:
    """Topics that learn from one batch of documents after another, all of the same `n_words` words.

    `documents` is how many there are in all: those seen so far where it is None. `topics`, `steps` and `seen` continue what was
    learnt before. The learner "batch" is "scvb0" here.

    >>> from scipy.sparse import csr_array
    >>> stream = Stream(2, Recipe(n_components=1, eta=1.0))
    >>> _ = stream.learn(csr_array([[3, 0], [1, 1]]))
    >>> stream.topics.parameters.ravel().round().tolist()  # what was counted, and eta
    [5.0, 2.0]
    """

    def __init__(
        self,
        n_words: int,
        recipe: Recipe,
        *,
        documents: int | None = None,
        topics: Topics | None = None,
        steps: int = 0,
        seen: int = 0,
    ) -> None:
        if n_words < 1:
            raise EmptyInput("there are no words to make topics of", mend="give documents with words, or lower min_count")
        self.recipe, self.steps, self.seen = recipe, steps, seen
        self._documents = documents
        self._alpha = _padded(recipe.prior[None, :])[0]
        if topics is None:
            start = np.random.default_rng([recipe.seed, 0]).gamma(100, 1 / 100, (n_words, recipe.n_components))
            topics = Topics(start.astype(np.float32), recipe.prior)
        self._lambda = _padded(topics.parameters)

    @property
    def topics(self) -> Topics:
        """What has been learnt so far."""
        return Topics(np.ascontiguousarray(self._lambda[:, : self.recipe.n_components]), self.recipe.prior)

    def learn(self, counts: csr_array) -> float:
        """Take one step with these documents, (documents, words) CSR; returns their perplexity.

        Raises EmptyInput where there is nothing to count, InputError where a count cannot be, DimensionMismatch for other words.
        """
        chunk = _Chunk(as_counts(counts, n_words=len(self._lambda)), self.recipe)
        return _perplexity(self._step(chunk), chunk.tokens.sum())

    def _step(self, chunk: _Chunk, *, whole: bool = False) -> float:
        """Infer the mixtures of a chunk, count the topics from them; returns the log likelihood. `whole` chunks come again."""
        recipe = self.recipe
        self.seen += len(chunk.tokens)
        rate = np.float32(1 if whole else (recipe.offset + self.steps) ** -recipe.decay)
        scale = np.float32((self._documents or self.seen) / len(chunk.tokens))
        counted, likelihood = chunk.learn(self._word_weights(), self._alpha, _AGAIN if whole else _SWEEPS)
        self._lambda = (1 - rate) * self._lambda + rate * (scale * counted + recipe.smoothing)
        self._lambda[:, recipe.n_components :] = 0
        self.steps += 1
        return likelihood

    def _word_weights(self) -> Float32:
        """How much each topic expects each word, (words, topics)."""
        totals = self._lambda.sum(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        variational = self.recipe.learner == "online"
        weights = _expected(self._lambda, variational) / np.maximum(_expected(totals, variational), _TINY)
        weights[:, : self.recipe.n_components] = np.maximum(weights[:, : self.recipe.n_components], _TINY)
        return np.asarray(weights, dtype=np.float32)


class _Chunk:
    """Documents that are learnt from at once: by row, by column, and what is known of their mixtures."""

    def __init__(self, counts: csr_array, recipe: Recipe) -> None:
        self.recipe = recipe
        self.tokens = counts.sum(axis=1, dtype=np.float64)
        self.documents, self.words = _sparse(counts), _sparse(counts.tocsc())
        self.gamma = _even(self.tokens, recipe.prior)

    def learn(self, words: Float32, alpha: Float32, sweeps: int) -> tuple[Float32, float]:
        """(expected counts of words by topics, log likelihood of the chunk), by the words' weights; `gamma` moves."""
        from vicino.learning import topics_kernels as kernels

        variational = self.recipe.learner == "online"

        def infer(span: tuple[int, int]) -> None:
            kernels.infer(self.documents, span, words, alpha, self.gamma, variational, sweeps, _ENOUGH)

        def gather(span: tuple[int, int]) -> float:
            found: float = kernels.gather(self.words, span, weights, words, counted)
            return found

        _each_span(infer, self.documents.starts, self.recipe.threads)
        weights, counted = _expected(self.gamma, variational), np.empty_like(words)
        found = _each_span(gather, self.words.starts, self.recipe.threads)
        norms = _expected(self.gamma.sum(axis=1, keepdims=True), variational)[:, 0]
        return counted, math.fsum(found) - float(self.tokens @ np.log(norms))


def mixtures(topics: Topics, counts: csr_array, *, threads: int = 1) -> Float32:
    """The mixture of each document, (documents, topics) rows that sum to 1; the prior's mean for one without known words.

    The posterior mean at the fixed point of gamma, which is the highest posterior under a prior of alpha + 1 and so has no
    rival: no random start, and each document for itself. Errors as `Stream.learn`, but that documents may be empty.

    >>> from scipy.sparse import csr_array
    >>> topics = Topics(np.array([[0.9, 0.1], [0.1, 0.9]], np.float32), np.array([0.1, 0.3], np.float32))
    >>> (mixtures(topics, csr_array([[0, 0], [8, 0]])) * 100).round().tolist()
    [[25.0, 75.0], [96.0, 4.0]]
    """
    return _mixtures(topics.distributions, topics.prior, as_counts(counts, n_words=len(topics.parameters), least=0), threads)


def perplexity(topics: ArrayLike, observed: csr_array, held: csr_array, *, alpha: float | Float32 = 0.1) -> float:
    """How surprised the topics are by the rest of documents of which they have seen a part: document completion.

    `topics` is (topics, words), from any library: rows are made to sum to 1. The mixture of each document is inferred from its
    `observed` tokens as in `mixtures`, with the same `alpha` whoever made the topics, and its `held` tokens are scored:
    exp(-mean ln p), 1 at best, the number of words for topics that know nothing; infinite where a word is in no topic.
    Wallach, Murray, Salakhutdinov and Mimno 2009, "Evaluation methods for topic models".

    Raises InputError where a number cannot be, DimensionMismatch where words or documents differ, EmptyInput for nothing held.

    >>> from scipy.sparse import csr_array
    >>> round(perplexity(np.ones((3, 4)), csr_array([[1, 0, 0, 0]]), csr_array([[0, 2, 1, 0]])), 6)
    4.0
    """
    from vicino.learning import topics_kernels as kernels

    rows = np.asarray(topics, dtype=np.float64)
    if rows.ndim != 2 or not np.isfinite(rows).all() or (rows < 0).any() or (rows.sum(axis=1) <= 0).any():
        raise InputError("topics must be rows of numbers from 0 on, none all zeros", mend="give a (topics, words) matrix")
    known, rest = as_counts(observed, n_words=rows.shape[1], least=0), as_counts(held, n_words=rows.shape[1])
    if known.shape[0] != rest.shape[0]:
        mend = "split the same documents, in the same order"
        raise DimensionMismatch(f"{known.shape[0]} documents were seen and {rest.shape[0]} are to be scored", mend=mend)
    rows = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
    prior = np.broadcast_to(np.asarray(alpha, np.float32), len(rows)).copy()
    mixed = _padded(_mixtures(rows, prior, known, 1))
    return _perplexity(kernels.log_likelihood(_sparse(rest), mixed, _padded(rows.T)), rest.sum(dtype=np.float64))


def _mixtures(distributions: Float32, prior: Float32, counts: csr_array, threads: int) -> Float32:
    from vicino.learning import topics_kernels as kernels

    documents, words, alpha = _sparse(counts), _padded(distributions.T), _padded(prior[None, :])[0]
    gamma = _even(counts.sum(axis=1, dtype=np.float64), prior)

    def infer(span: tuple[int, int]) -> None:
        kernels.infer(documents, span, words, alpha, gamma, False, _LONG, _FINE)

    _each_span(infer, documents.starts, threads)
    found = gamma[:, : len(prior)]
    return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float32)


def _chunks(counts: csr_array, recipe: Recipe, order: np.random.Generator) -> Iterator[_Chunk]:
    """All documents once, in a new order."""
    n = counts.shape[0]
    for rows in np.array_split(order.permutation(n), -(-n // recipe.chunksize)):
        yield _Chunk(counts[np.sort(rows)], recipe)


def _sparse(matrix: csr_array | csc_array) -> Any:
    """A compressed matrix as the kernels read it, by its own major axis."""
    from vicino.learning import topics_kernels as kernels

    return kernels.Sparse(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)


def _padded(rows: Float32) -> Float32:
    """The rows with zeros behind, up to a multiple of the register."""
    wide = np.zeros((len(rows), -(-rows.shape[1] // _LANES) * _LANES), np.float32)
    wide[:, : rows.shape[1]] = rows
    return wide


def _even(tokens: NDArray[np.float64], prior: Float32) -> Float32:
    """gamma to begin with: the tokens of each document, in equal parts, on top of the prior."""
    return _padded((prior + tokens[:, None] / len(prior)).astype(np.float32))


def _expected(parameters: Float32, variational: bool) -> Float32:
    """What a step multiplies: the Dirichlet parameters, or for variational Bayes the exponents of their digammas."""
    if not variational:
        return parameters
    from vicino.learning import topics_kernels as kernels

    weights = np.empty_like(parameters)
    kernels.exp_digamma(parameters, weights)
    return weights


def _perplexity(likelihood: float, tokens: float) -> float:
    return math.exp(-likelihood / tokens) if math.isfinite(likelihood) else math.inf


def _each_span(work: Callable[[tuple[int, int]], Found], starts: NDArray[np.int64], threads: int) -> list[Found]:
    """What `work` gives for each span of rows, in order."""
    cuts = np.searchsorted(starts, np.arange(0, starts[-1], _SPAN))
    spans = list(pairwise(np.unique([0, *cuts, len(starts) - 1]).tolist()))
    if threads == 1:
        return list(map(work, spans))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, spans))
