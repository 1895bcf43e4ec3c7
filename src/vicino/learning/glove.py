"""GloVe: vectors whose products are the logarithms of counts.

Pennington, Socher and Manning 2014, "GloVe: global vectors for word representation". With X the co-occurrences,

    J = ½ Σ f(X_ij) (w_i · c_j + b_i + b_j' - ln X_ij)²,   f(x) = min(1, (x / x_max)^alpha)

is made small over the nonzeros, one at a time in random order, by AdaGrad (Duchi, Hazan and Singer 2011). As in the authors' own
program, a step learning_rate · gradient is divided by the root of one plus the sum of the squares of all such steps before it.

The nonzeros are visited tile by tile; strata, tiles and what is in them come in another order each epoch
(`vicino.learning.strata`). That is several times faster than one order for all, as the vectors of a tile stay in the cache, and
as good. Tiles of a stratum share no vector: equal input and seed give equal vectors to the bit, with any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError
from vicino.learning.bounds import require_dimensions, require_same_places
from vicino.learning.epochs import Epochs, Training
from vicino.learning.skipgram import aligned
from vicino.learning.strata import Tour

if TYPE_CHECKING:
    from vicino.learning.glove_kernels import Side
    from vicino.learning.tiles import Tiles

__all__ = ["Embedding", "Recipe", "new_embedding", "train"]


@dataclass(frozen=True)
class Recipe:
    """How to learn: `x_max` and `alpha` of f as above, the `learning_rate` of AdaGrad, `epochs` over all nonzeros.

    Raises InputError where a value cannot be.
    """

    x_max: float = 10.0
    alpha: float = 0.75
    learning_rate: float = 0.05
    epochs: int = 10
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("threads", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a whole number from {least} on")
        for name in ("x_max", "alpha", "learning_rate"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a number above 0, such as {getattr(Recipe, name)}")


@dataclass(frozen=True, eq=False)
class Embedding:
    """What is learnt, in the order of the tiles: `inputs` and `outputs` are the words, and the words as contexts.

    Vectors are float32 with rows padded with zeros to a multiple of 16; `dim` is the number of true columns, and `place[w]` the
    row of word w. AdaGrad's sums are beside them: training again goes on where it was.
    """

    dim: int
    place: NDArray[np.int64]
    inputs: Side
    outputs: Side

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The words' vectors in the order of the words, (n, dim), a copy."""
        return np.ascontiguousarray(self.inputs.vectors[self.place, : self.dim])

    @property
    def contexts(self) -> NDArray[np.float32]:
        """Those of the words as contexts, (n, dim), a copy."""
        return np.ascontiguousarray(self.outputs.vectors[self.place, : self.dim])

    @property
    def biases(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The biases of words, and of words as contexts, (n,) each, copies."""
        return self.inputs.biases[self.place], self.outputs.biases[self.place]


def new_embedding(place: NDArray[np.int64], dim: int, seed: int) -> Embedding:
    """Vectors and contexts to begin with, uniform in ±1 / (2 √dim), for words whose rows are `place` (n,); biases of zero.

    Raises InputError for vectors without dimensions.

    >>> start = new_embedding(np.array([1, 0]), 3, seed=0)
    >>> start.vectors.shape, float(abs(start.contexts).max()) < 0.3, start.biases[0].tolist()
    ((2, 3), True, [0.0, 0.0])
    """
    from vicino.learning.glove_kernels import Side

    require_dimensions(dim)
    n, random = len(place), np.random.default_rng(seed)
    sides = []
    for _ in range(2):
        vectors, squares = aligned(n, dim), aligned(n, dim)
        vectors[place, :dim] = (random.random((n, dim), np.float32) - 0.5) / np.float32(math.sqrt(dim))
        squares[:] = 1
        sides.append(Side(vectors, np.zeros(n, np.float32), squares, np.ones(n, np.float32)))
    return Embedding(dim, place, *sides)


def train(tiles: Tiles, embedding: Embedding, recipe: Recipe, *, label: str = "learning words") -> Training:
    """Learn from nonzeros in tiles, changing `embedding`, which was made for the same `tiles.place`, where it is.

    `Training.losses` is J divided by the number of nonzeros, as each was met. For what stands in the progress events, and what
    ends a training early, see `vicino.learning.epochs.Epochs.run`, which says too what is raised; what is put back is put back
    with its sums of squares. Raises InputError for an embedding of other words.

    >>> from vicino.learning.cooccurrence import cooccurrence
    >>> from vicino.learning.tiles import tiled
    >>> tiles = tiled(cooccurrence(np.array([0, 1, 2, 0, 1], np.int32), np.array([0, 5]), 3), size=1024)
    >>> start = new_embedding(tiles.place, 8, seed=0)
    >>> training = train(tiles, start, Recipe(epochs=50))
    >>> training.losses[-1] < training.losses[0] / 2
    True
    """
    from vicino.learning import glove_kernels as kernels

    require_same_places(embedding.place, tiles.place)
    weighing = kernels.Weighing(float(recipe.x_max), float(recipe.alpha), float(recipe.learning_rate))

    def learn(some: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
        costs: NDArray[np.float64] = kernels.learn(tiles.cells, some, seeds, embedding.inputs, embedding.outputs, weighing)
        return costs

    weights = [*embedding.inputs, *embedding.outputs]  # with the squares, so that learning can go on from what is put back
    mend = f"lower learning_rate, which is {recipe.learning_rate:g}"
    epochs = Epochs(weights, recipe.epochs, int(tiles.sizes.sum()), recipe.threads, label, "pairs", mend)
    return epochs.run(Tour(tiles.sizes, learn, recipe.seed, 1 if recipe.threads == 1 else 2 * recipe.threads).waves)
