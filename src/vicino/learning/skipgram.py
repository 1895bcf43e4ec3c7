"""Predict the neighbour: skip-gram and CBOW with negative sampling or hierarchical softmax, over sequences of integers.

Mikolov, Chen, Corrado and Dean 2013, "Efficient estimation of word representations in vector space"; Mikolov, Sutskever, Chen,
Corrado and Dean 2013, "Distributed representations of words and phrases and their compositionality". Nothing here knows what
the integers are: words of sentences, nodes of walks, ends of edges and goods of baskets are learnt alike.

With one thread, equal input gives equal vectors to the bit. More threads write on the same weights without locks (Recht, Ré,
Wright and Niu 2011, "Hogwild!"): as good, faster, and never twice the same.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vicino.errors import EmptyInput, InputError
from vicino.learning.bounds import LANES, require_dimensions, require_members, require_offsets, require_rows
from vicino.learning.epochs import Epochs, Job, Training

if TYPE_CHECKING:
    from vicino.learning.skipgram_kernels import Parts

__all__ = ["Embedding", "Recipe", "aligned", "keep_probabilities", "new_embedding", "tell_nothing", "train"]

logger = logging.getLogger(__name__)

_BLOCK = 50_000  # tokens that a thread learns from before it looks up; part of what the seed means


@dataclass(frozen=True)
class Recipe:
    """How to learn. Names and defaults are gensim's, but `skip_gram` for sg=1 and `mean` for cbow_mean=1.

    `window` words on each side are neighbours (at most 10,000), of which with `shrink_windows` each centre takes 1 to `window` by
    chance. `negative` words (at most 1,000) are drawn against each centre, by their counts to the power `ns_exponent`; 0 draws
    none, and needs `hs`, hierarchical softmax. `sample` is the share of the text above which a word is left out at times; 0
    leaves all in. The rate falls from `alpha` to `min_alpha`, linearly, over all `epochs`.

    Raises InputError where a value cannot be.
    """

    skip_gram: bool = True
    window: int = 5
    shrink_windows: bool = True
    negative: int = 5
    ns_exponent: float = 0.75
    hs: bool = False
    mean: bool = True
    sample: float = 1e-3
    alpha: float = 0.025
    min_alpha: float = 1e-4
    epochs: int = 5
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name, least, most in (("window", 1, 10_000), ("negative", 0, 1_000)):  # what a kernel takes room for
            value = getattr(self, name)
            if not isinstance(value, int) or not least <= value <= most:
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a whole number from {least} to {most}")
        for name, least in (("epochs", 1), ("threads", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a whole number from {least} on")
        for name in ("ns_exponent", "sample", "alpha", "min_alpha"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value)) or (value < 0 and name != "ns_exponent"):
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a number such as {getattr(Recipe, name)}")
        if not (self.negative or self.hs):
            raise InputError("negative=0 without hs has nothing to learn by", mend="give negative=5, or hs=True")

    def rates(self, epoch: int, begin: float, end: float) -> tuple[float, float]:
        """The rates at two places of an epoch, each a share of it."""
        fall = (self.min_alpha - self.alpha) / self.epochs
        return self.alpha + fall * (epoch + begin), self.alpha + fall * (epoch + end)

    @property
    def mend(self) -> str:
        """What helps where vectors grow past all bounds."""
        return f"lower alpha, which is {self.alpha:g}: 0.025 to 0.05 are usual"


@dataclass(frozen=True, eq=False)
class Embedding:
    """What is learnt: `inputs` (n, width) hold a vector a row, `outputs` what they are multiplied with to predict.

    Both are float32 with rows aligned and padded with zeros to a multiple of 16; `dim` is the number of true columns. With
    hierarchical softmax the outputs have n - 1 rows more, the inner nodes of the tree.
    """

    dim: int
    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors without their padding: (n, dim), a copy."""
        return np.ascontiguousarray(self.inputs[:, : self.dim])

    @property
    def contexts(self) -> NDArray[np.float32]:
        """The outputs without their padding, a copy."""
        return np.ascontiguousarray(self.outputs[:, : self.dim])


def new_embedding(
    n: int,
    dim: int,
    seed: int,
    *,
    hs: bool = False,
    vectors: NDArray[np.float32] | None = None,
    contexts: NDArray[np.float32] | None = None,
    parts: int = 0,
) -> Embedding:
    """`n` vectors to begin with: those given, and for the rows that they lack small random numbers, with outputs of zero.

    Uniform in ±1 / dim, as fastText and gensim: half of that, as in word2vec.c, ends lower after few epochs. `parts` are rows of
    inputs beyond the n. With `hs`, outputs beyond the first n are taken over only if their number is right: another tree has
    other nodes.

    >>> start = new_embedding(2, 3, seed=0)
    >>> start.inputs.shape, float(abs(start.vectors).max()) < 1 / 3, start.outputs.any()
    ((2, 16), True, np.False_)
    """
    require_dimensions(dim)
    inputs, outputs = aligned(n + parts, dim), aligned(2 * n - 1 if hs else n, dim)
    inputs[:, :dim] = (np.random.default_rng(seed).random((n + parts, dim), np.float32) * 2 - 1) / dim
    if vectors is not None:
        inputs[: len(vectors), :dim] = vectors
    if contexts is not None:
        known = contexts if len(contexts) == len(outputs) else contexts[: n if vectors is None else len(vectors)]
        outputs[: len(known), :dim] = known
    return Embedding(dim, inputs, outputs)


def aligned(n: int, dim: int) -> NDArray[np.float32]:
    """Zeros (n, width), float32: `dim` columns and as many more as make a multiple of 16. Rows begin with a line of the cache.

    >>> aligned(2, 5).shape
    (2, 16)
    """
    width = -(-dim // LANES) * LANES
    room = np.zeros(n * width + LANES, np.float32)
    start = -room.ctypes.data // room.itemsize % LANES
    return room[start : start + n * width].reshape(n, width)


def train(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    counts: NDArray[np.int64],
    embedding: Embedding,
    recipe: Recipe,
    *,
    parts: Parts | None = None,
    label: str = "learning words",
) -> Training:
    """Learn from sequences, changing `embedding` in place.

    Sequence s is `ids[offsets[s]:offsets[s + 1]]`, with all ids in 0 to n - 1; `counts` (n,) are what negatives, subsampling and
    the Huffman tree are made from. With `parts`, the vector of a member is the mean of several inputs, which may be those of
    others too. The loss so far stands in the label of the progress events.

    What ends a training early, Ctrl-C or an `alpha` that is too large, is told in `vicino.learning.epochs.Epochs.run`, which says
    too what is raised. Where subsampling left no two words to meet, a warning is logged. Raises EmptyInput where no sequence has
    two members, InputError for arrays that do not belong together, such as ids that have no row.

    >>> pairs = np.array([0, 1, 0, 1], np.int32), np.array([0, 2, 4])
    >>> start = new_embedding(2, 4, seed=0)
    >>> train(*pairs, np.array([2, 2]), start, Recipe(epochs=2, sample=0)).ended
    'whole'
    """
    _require_sound(ids, offsets, counts, embedding, recipe, parts)
    if not len(ids) or np.diff(offsets).max() < 2:
        raise EmptyInput("no sequence has two members that are neighbours", mend="give longer texts, or lower min_count")
    course = _Course(ids, offsets, counts, embedding, recipe, parts)
    epochs = Epochs(course.weights, recipe.epochs, len(ids), recipe.threads, label, "tokens", recipe.mend)
    return tell_nothing(epochs.run(course.waves), recipe)


def tell_nothing(training: Training, recipe: Recipe) -> Training:
    """The same training; a warning is logged where nothing was met, for then all vectors are what they were."""
    if not any(training.losses):
        logger.warning("nothing was learnt: sample=%g left too few words to learn from; give sample=0", recipe.sample)
    return training


def _require_sound(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    counts: NDArray[np.int64],
    embedding: Embedding,
    recipe: Recipe,
    parts: Parts | None,
) -> None:
    n, width = len(counts), embedding.inputs.shape[-1]
    require_offsets(offsets, len(ids))
    require_members(ids, n)
    made_of = parts if parts is not None and len(parts.starts) else None
    require_rows(embedding.inputs, 0 if made_of else n, width, "inputs")
    require_rows(embedding.outputs, 2 * n - 1 if recipe.hs else n, width, "outputs")
    if made_of:
        require_offsets(made_of.starts, len(made_of.rows))
        require_members(made_of.rows, len(embedding.inputs), "inputs")
        if len(made_of.starts) != n + 1 or (np.diff(made_of.starts) < 1).any():
            raise InputError(f"parts of {len(made_of.starts) - 1} words, of {n}", mend="give each word at least one part")


class _Course:
    """What all epochs share: the arrays that the kernel reads, and the blocks of sequences that threads take in turn."""

    def __init__(
        self,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        counts: NDArray[np.int64],
        embedding: Embedding,
        recipe: Recipe,
        parts: Parts | None,
    ) -> None:
        from vicino.learning import draw_kernels as draw
        from vicino.learning import skipgram_kernels as kernels

        self.text = kernels.Text(np.asarray(ids), np.asarray(offsets), keep_probabilities(counts, recipe.sample))
        self.weights = kernels.Weights(embedding.inputs, embedding.outputs)
        self.parts = parts or kernels.no_parts()
        noise = draw.alias_table(np.maximum(counts, 1) ** float(recipe.ns_exponent))
        self.chance = noise, draw.huffman(counts) if recipe.hs else draw.no_paths()
        self.settings = kernels.Settings(recipe.window, recipe.shrink_windows, recipe.negative, recipe.skip_gram, recipe.mean)
        self.recipe = recipe
        starts = np.searchsorted(offsets, np.arange(0, len(ids), _BLOCK))
        self.spans = list(pairwise(np.unique([*starts, len(offsets) - 1]).tolist()))
        self._learn = kernels.learn

    def waves(self, epoch: int) -> Iterator[list[Job]]:
        yield [partial(self._block, epoch, number) for number in range(len(self.spans))]

    def _block(self, epoch: int, number: int) -> tuple[int, float, int]:
        span = self.spans[number]
        begin, end = self.text.offsets[list(span)].tolist()
        rates = self.recipe.rates(epoch, begin / len(self.text.ids), end / len(self.text.ids))
        seed = ((self.recipe.seed * 1_000_003 + epoch) * 1_000_003 + number) % 2**63
        return end - begin, *self._learn(self.text, span, self.weights, self.parts, *self.chance, self.settings, rates, seed)


def keep_probabilities(counts: NDArray[np.int64], sample: float) -> NDArray[np.float32]:
    """How probably an occurrence of each word is read: (n,) counts -> (n,) float32, 1 for words rarer than `sample`.

    sqrt(t / f) + t / f for a word that is the share f of the text, t = `sample`: what word2vec.c does, not the paper.

    >>> keep_probabilities(np.array([90, 10]), 0.1).tolist() == [np.float32(1 / 3 + 1 / 9), 1.0]
    True
    """
    if sample == 0:
        return np.ones(len(counts), np.float32)
    ratio = sample * counts.sum() / np.maximum(counts, 1)
    keep: NDArray[np.float32] = np.minimum(np.sqrt(ratio) + ratio, 1).astype(np.float32)
    return keep
