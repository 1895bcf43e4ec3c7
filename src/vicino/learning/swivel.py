"""Swivel: vectors whose products are pointwise mutual informations, of pairs that were seen and of those that were not.

Shazeer, Doherty, Evans and Waterson 2016, "Swivel: improving embeddings by noticing what's missing". With X the co-occurrences,
x_i* and x_*j the sums of rows and columns, |D| the sum of all, and pmi_ij = ln X_ij + ln |D| - ln x_i* - ln x_*j, the loss is

    ½ f(X_ij) (w_i · c_j - pmi_ij)²     f(x) = base + scale · x^exponent     where X_ij > 0,
    ln(1 + exp(w_i · c_j - pmi*_ij))    with pmi*_ij as if X_ij were 1       elsewhere.

The matrix is learnt tile by tile, each all of its cells at once: three dense products and one step of AdaGrad. Rows and columns
are dealt out to the tiles by frequency. Tiles of a stratum share no vector (`vicino.learning.strata`), and each thread multiplies
its matrices alone: equal input and seed give equal vectors to the bit, with any number of threads. Several processes, as the
authors have them, would need the same strata, and the vectors in memory that they share: on one machine that is what threads are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError
from vicino.learning.strata import Descent, Training

if TYPE_CHECKING:
    from vicino.learning.cooccurrence import Cooccurrence
    from vicino.learning.tiles import Tiles

__all__ = ["Embedding", "Recipe", "new_embedding", "train"]

_START = 0.1  # of the sums of squares

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """How to learn: f by the three numbers `confidence_`, the `learning_rate` of AdaGrad, `epochs` over all tiles.

    Raises InputError where a value cannot be.
    """

    confidence_base: float = 0.1
    confidence_scale: float = 0.25
    confidence_exponent: float = 0.5
    learning_rate: float = 1.0
    epochs: int = 40
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("threads", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a whole number from {least} on")
        for name in ("confidence_base", "confidence_scale", "confidence_exponent", "learning_rate"):
            value = getattr(self, name)
            known = isinstance(value, int | float) and math.isfinite(value)
            if not known or value < 0 or (value == 0 and name == "learning_rate"):
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a number such as {getattr(Recipe, name)}")


@dataclass(frozen=True, eq=False)
class Embedding:
    """What is learnt, in the order of the tiles: `inputs` and `outputs` (n, d) are the words, and the words as contexts.

    `place[w]` is the row of word w. AdaGrad's sums are `squares`, one for each: training again goes on where it was.
    """

    place: NDArray[np.int64]
    inputs: Float32
    outputs: Float32
    squares: tuple[Float32, Float32]

    @property
    def vectors(self) -> Float32:
        """The words' vectors in the order of the words, (n, d), a copy."""
        return self.inputs[self.place]

    @property
    def contexts(self) -> Float32:
        """Those of the words as contexts, (n, d), a copy."""
        return self.outputs[self.place]


def new_embedding(place: NDArray[np.int64], dim: int, seed: int) -> Embedding:
    """Vectors and contexts to begin with, normally distributed with variance 1 / dim, for words whose rows are `place` (n,).

    Raises InputError for vectors without dimensions.

    >>> new_embedding(np.array([1, 0]), 3, seed=0).vectors.shape
    (2, 3)
    """
    if not isinstance(dim, int) or dim < 1:
        raise InputError(f"vectors of {dim} dimensions cannot be", mend="give vector_size=100")
    random = np.random.default_rng(seed)
    inputs, outputs = np.empty((2, len(place), dim), np.float32)
    for side in (inputs, outputs):
        side[place] = random.standard_normal(side.shape, np.float32) / np.float32(math.sqrt(dim))
    return Embedding(place, inputs, outputs, (np.full_like(inputs, _START), np.full_like(outputs, _START)))


def train(counts: Cooccurrence, tiles: Tiles, embedding: Embedding, recipe: Recipe, *, label: str = "learning words") -> Training:
    """Learn from the `tiles` of `counts`, changing `embedding`, which was made for the same `tiles.place`, where it is.

    `Training.losses` is the mean over all n² pairs, as each was met. For what stands in the progress events, and what ends a
    training early, see `vicino.learning.strata.Descent.run`, which says too what is raised.

    >>> from vicino.learning.cooccurrence import cooccurrence
    >>> from vicino.learning.tiles import tiled
    >>> counts = cooccurrence(np.array([0, 1, 2, 0, 1], np.int32), np.array([0, 5]), 3)
    >>> tiles = tiled(counts, size=1024)
    >>> training = train(counts, tiles, new_embedding(tiles.place, 8, seed=0), Recipe(epochs=50))
    >>> training.losses[-1] < training.losses[0] / 2
    True
    """
    from threadpoolctl import threadpool_limits

    from vicino.learning import swivel_kernels as kernels

    W, C = embedding.inputs, embedding.outputs
    squares = embedding.squares
    expected = _expected(counts, tiles)
    confidence = kernels.Confidence(
        float(recipe.confidence_base), float(recipe.confidence_scale), float(recipe.confidence_exponent)
    )
    firsts = tiles.cells.firsts
    most = int(np.diff(firsts).max())

    def learn(some: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
        losses, room = np.empty(len(some)), np.empty(most * most, np.float32)
        for number, (top, left) in enumerate(some.tolist()):
            rows, columns = slice(firsts[top], firsts[top + 1]), slice(firsts[left], firsts[left + 1])
            w, c = W[rows], C[columns]
            products = room[: len(w) * len(c)].reshape(len(w), len(c))
            with np.errstate(all="ignore"):  # what is not finite is noticed by its loss
                np.matmul(w, c.T, out=products)
                losses[number] = kernels.grade(products, tiles.cells, (top, left), expected, confidence, int(seeds[number]))
                by_rows, by_columns = products @ c, products.T @ w
            kernels.step(w, squares[0][rows], by_rows, 1 / len(c), recipe.learning_rate)
            kernels.step(c, squares[1][columns], by_columns, 1 / len(w), recipe.learning_rate)
        return losses

    groups = np.diff(firsts)
    sizes = groups[:, None] * groups
    descent = Descent(sizes, (W, C), recipe.epochs, recipe.seed, recipe.threads, label, "pairs", recipe.learning_rate)
    with threadpool_limits(1, user_api="blas"):  # threads learn from tiles of their own
        return descent.run(learn)


def _expected(counts: Cooccurrence, tiles: Tiles) -> tuple[Float32, Float32]:
    """ln x_i* - ½ ln |D|, and the same of columns, in the order of the tiles; a word without neighbours has 1."""
    found = []
    for totals in counts.totals():
        logs = np.empty(tiles.n, np.float32)
        logs[tiles.place] = np.log(np.maximum(totals, 1)) - 0.5 * math.log(totals.sum())
        found.append(logs)
    return found[0], found[1]
