"""Paragraph vectors: a document is one more neighbour of each of its words.

Le and Mikolov 2014, "Distributed representations of sentences and documents". Where the document alone predicts its words
(PV-DBOW, distributed bag of words), that is skip-gram; where it is averaged, summed or joined with the words around (PV-DM,
distributed memory), that is CBOW. So what stands in `vicino.learning.skipgram` of threads, of reproducibility and of what ends a
training early holds here too.

A new document is learnt with all else frozen. What it becomes depends on its words and on the seed, and on nothing beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from vicino.errors import EmptyInput, InputError
from vicino.learning import skipgram
from vicino.learning.bounds import require_dimensions, require_members, require_offsets, require_rows
from vicino.learning.epochs import Epochs, Job, Training
from vicino.learning.skipgram import aligned, keep_probabilities, tell_nothing

if TYPE_CHECKING:
    from vicino.learning.draw_kernels import Paths

__all__ = ["TOGETHER", "Chances", "Embedding", "Recipe", "infer", "new_embedding", "train"]

TOGETHER = 4  # words that meet a document at once
_BLOCK = 50_000  # words that a thread learns from before it looks up

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe(skipgram.Recipe):
    """How to learn: that of skip-gram and CBOW, and two ways more.

    `skip_gram` is PV-DBOW, and with `words` words are learnt beside the documents, by skip-gram. Without `skip_gram` it is PV-DM:
    the document and the words around are averaged, or summed where `mean` is False, or joined where `concat` is True, and then
    windows do not shrink. In PV-DBOW alone a few words that follow one another meet their document at once and share `negative`
    drawn words, each of which counts as often as there are words.
    """

    words: bool = False
    concat: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("words", "concat"):
            if getattr(self, name) and self.skip_gram != (name == "words"):
                kind, other = ("PV-DBOW", "PV-DM") if self.skip_gram else ("PV-DM", "PV-DBOW")
                raise InputError(f"{name} is of {other}, and this is {kind}", mend=f"leave out {name}, or change skip_gram")

    @property
    def slots(self) -> int:
        """How many vectors are joined to predict a word."""
        return 2 * self.window + 1 if self.concat else 1

    @property
    def reads_words(self) -> bool:
        """Whether words have vectors that predict; in PV-DBOW alone they are predicted only."""
        return self.words or not self.skip_gram


@dataclass(frozen=True, eq=False)
class Embedding:
    """What is learnt: a vector a document and a word, and what these are multiplied with to predict.

    `documents` (documents, width), `inputs` (words, width; none where `Recipe.reads_words` is False) and `outputs` (targets,
    slots · width) are padded as those of `vicino.learning.skipgram.Embedding`; `dim` is the number of true columns.
    """

    dim: int
    inputs: Float32
    outputs: Float32
    documents: Float32

    @property
    def vectors(self) -> Float32:
        """The words' vectors without their padding: (words, dim), a copy."""
        return np.ascontiguousarray(self.inputs[:, : self.dim])

    @property
    def document_vectors(self) -> Float32:
        """The documents' vectors without their padding: (documents, dim), a copy."""
        return np.ascontiguousarray(self.documents[:, : self.dim])

    @property
    def contexts(self) -> Float32:
        """The outputs without their padding: (targets, slots · dim), a copy."""
        slots = self.outputs.reshape(len(self.outputs), -1, self.inputs.shape[1])
        return slots[:, :, : self.dim].reshape(len(slots), slots.shape[1] * self.dim)


@dataclass(frozen=True, eq=False)
class Chances:
    """What counts decide: how probably each word is read, the cells to draw words from, and the paths of the Huffman tree.

    All are as large as the vocabulary. Who reads new documents again and again makes them once.
    """

    keep: Float32
    noise: NDArray[np.uint64]
    paths: Paths

    @classmethod
    def of(cls, counts: NDArray[np.int64], recipe: Recipe) -> Self:
        """From (words,) counts, by `sample`, `ns_exponent` and `hs` of the recipe.

        >>> Chances.of(np.array([9, 1]), Recipe(sample=0)).keep.tolist()
        [1.0, 1.0]
        """
        from vicino.learning import draw_kernels as draw

        return cls(
            keep_probabilities(counts, recipe.sample),
            draw.alias_table(np.maximum(counts, 1) ** float(recipe.ns_exponent)),
            draw.huffman(counts) if recipe.hs else draw.no_paths(),
        )


def new_embedding(
    n_words: int,
    n_documents: int,
    dim: int,
    recipe: Recipe,
    *,
    vectors: Float32 | None = None,
    contexts: Float32 | None = None,
) -> Embedding:
    """What to begin with: random vectors, and outputs of zero; or those given.

    Words are uniform in ±1 / (2 dim), as in word2vec, and documents in ±sqrt(3 / dim), which makes them of length one: near zero,
    where outputs of zero hold them, they would need epochs to find a direction. Both by the seed of the recipe.

    >>> start = new_embedding(5, 2, 3, Recipe())
    >>> start.document_vectors.shape, start.vectors.shape, start.contexts.shape
    ((2, 3), (0, 3), (5, 3))
    """
    require_dimensions(dim)
    documents, inputs = aligned(n_documents, dim), aligned(n_words if recipe.reads_words else 0, dim)
    width = inputs.shape[1]
    outputs = aligned(2 * n_words - 1 if recipe.hs else n_words, recipe.slots * width)
    random = np.random.default_rng(recipe.seed)
    for matrix, reach in ((inputs, 0.5 / dim), (documents, math.sqrt(3 / dim))):
        matrix[:, :dim] = (2 * random.random((len(matrix), dim), np.float32) - 1) * np.float32(reach)
    if vectors is not None:
        inputs[:, :dim] = vectors
    if contexts is not None:
        outputs.reshape(len(outputs), -1, width)[:, :, :dim] = contexts.reshape(len(outputs), -1, dim)
    return Embedding(dim, inputs, outputs, documents)


def train(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    counts: NDArray[np.int64],
    embedding: Embedding,
    recipe: Recipe,
    *,
    label: str = "learning documents",
) -> Training:
    """Learn from documents, changing `embedding` in place.

    Document d is `ids[offsets[d]:offsets[d + 1]]`, and may be empty; `counts` (words,) are what negatives, subsampling and the
    Huffman tree are made from. The loss so far stands in the label of the progress events. Ctrl-C and a rate that is too large
    are as in `vicino.learning.skipgram.train`. Raises EmptyInput where there is no word, InputError for arrays that do not belong
    together, such as ids or documents that have no row.

    >>> ids, offsets = np.array([0, 1, 0, 1], np.int32), np.array([0, 2, 4])
    >>> start = new_embedding(2, 2, 4, Recipe())
    >>> train(ids, offsets, np.array([2, 2]), start, Recipe(epochs=2, sample=0)).ended
    'whole'
    """
    chances = Chances.of(counts, recipe)
    _require_sound(ids, offsets, chances, embedding, recipe)
    if not len(ids):
        raise EmptyInput("no document has a word", mend="give longer texts, or lower min_count")
    course = _Course(ids, offsets, chances, embedding, recipe)
    epochs = Epochs(course.weights, recipe.epochs, len(ids), recipe.threads, label, "tokens", recipe.mend)
    return tell_nothing(epochs.run(course.waves), recipe)


def infer(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    chances: Chances,
    embedding: Embedding,
    recipe: Recipe,
    *,
    label: str = "reading documents",
) -> Float32:
    """The vectors (n, dim) of new documents, learnt from zero; nothing in `embedding` changes. Arguments as for `train`.

    `chances` are those of the counts that `embedding` was learnt with. A document's vector depends on its words and on the
    recipe: not on the other documents, and not on the threads. One without words stays zero. Takes as long as its words take,
    whatever the vocabulary. Raises InputError for ids that have no row, and for a rate that is too large.
    """
    found = replace(embedding, documents=aligned(max(len(offsets) - 1, 0), embedding.dim))
    _require_sound(ids, offsets, chances, found, recipe)
    if len(ids):
        course = _Course(ids, offsets, chances, found, recipe, frozen=True)
        learnt = [found.documents]
        epochs = Epochs(learnt, recipe.epochs, len(ids), recipe.threads, label, "tokens", recipe.mend, partial=False)
        epochs.run(course.waves)
    return found.document_vectors


def _require_sound(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], chances: Chances, embedding: Embedding, recipe: Recipe
) -> None:
    n, width = len(chances.keep), embedding.documents.shape[-1]
    targets = 2 * n - 1 if len(chances.paths.starts) else n
    require_offsets(offsets, len(ids))
    require_members(ids, n)
    require_rows(embedding.documents, len(offsets) - 1, width, "documents")
    require_rows(embedding.inputs, n if recipe.reads_words else 0, width, "inputs")
    require_rows(embedding.outputs, targets, recipe.slots * width, "outputs")


class _Course:
    """What all epochs share: the arrays that the kernel reads, and the blocks of documents that threads take in turn."""

    def __init__(
        self,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        chances: Chances,
        embedding: Embedding,
        recipe: Recipe,
        *,
        frozen: bool = False,
    ) -> None:
        from vicino.learning import documents_kernels as kernels

        if recipe.skip_gram:  # where outputs are frozen, a document learns nothing from the words beside it
            way = kernels.BESIDE if recipe.words and not frozen else kernels.GROUPED
        else:
            way = kernels.JOINED if recipe.concat else kernels.AVERAGED
        mean = recipe.mean and not recipe.concat
        self.settings = kernels.Settings(way, TOGETHER, recipe.window, recipe.shrink_windows, recipe.negative, mean, frozen)
        order = np.arange(len(offsets) - 1)
        self.texts = kernels.Texts(np.asarray(ids), np.asarray(offsets), chances.keep, order)
        self.weights = kernels.Weights(embedding.inputs, embedding.outputs, embedding.documents)
        self.noise, self.paths = chances.noise, chances.paths
        self.recipe = recipe
        self._learn = kernels.learn

    def waves(self, epoch: int) -> Iterator[list[Job]]:
        """Documents come in another order in each epoch, but for those that learn by themselves."""
        texts = self.texts
        if not self.settings.frozen:
            order = np.random.default_rng([self.recipe.seed, epoch]).permutation(len(texts.order))
            texts = texts._replace(order=order)
        ahead = np.concatenate([[0], np.cumsum(np.diff(texts.offsets)[texts.order])])
        starts = np.searchsorted(ahead, np.arange(0, ahead[-1], _BLOCK))
        seed = (self.recipe.seed * 1_000_003 + epoch) % 2**63

        def block(span: tuple[int, int]) -> tuple[int, float, int]:
            begin, end = ahead[list(span)].tolist()
            shares = (0, 0) if self.settings.frozen else (begin / ahead[-1], end / ahead[-1])  # frozen, all have the same rate
            rates = self.recipe.rates(epoch, *shares)
            found = self._learn(texts, span, self.weights, self.noise, self.paths, self.settings, rates, seed)
            return end - begin, *found

        yield [partial(block, span) for span in pairwise(np.unique([*starts, len(texts.order)]).tolist())]
