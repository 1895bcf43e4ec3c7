"""LINE: vectors from the edges of a graph, by edge sampling and negative sampling.

Tang, Qu, Wang, Zhang, Yan and Mei 2015, "LINE: large-scale information network embedding". First-order proximity: nodes with an
edge between them are near, so that one table of vectors predicts itself. Second-order proximity: nodes that lead to the same
nodes are near, so that vectors predict contexts, as in skip-gram. What stands in `vicino.learning.skipgram` of threads, of
reproducibility and of what ends a training early holds here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vicino.errors import EmptyInput, InputError
from vicino.learning import skipgram
from vicino.learning.bounds import require_members, require_offsets, require_rows
from vicino.learning.epochs import Epochs, Job, Training
from vicino.learning.skipgram import Embedding, Recipe
from vicino.learning.walks import links

__all__ = ["new_embedding", "train"]

Float32 = NDArray[np.float32]

_GROUP = 5  # edges to one node that share what is drawn against it
_BLOCK = 10_000  # such groups that a thread learns from before it looks up; part of what the seed means


def new_embedding(n: int, dim: int, seed: int, order: int) -> Embedding:
    """`n` small random vectors; of order 1 inputs and outputs are the same array, of order 2 not.

    >>> start = new_embedding(5, 3, 0, order=1)
    >>> start.inputs is start.outputs, new_embedding(5, 3, 0, order=2).outputs.any()
    (True, np.False_)
    """
    start = skipgram.new_embedding(n, dim, seed)
    return Embedding(dim, start.inputs, start.inputs) if order == 1 else start


def train(
    offsets: NDArray[np.int64],
    neighbours: NDArray[np.int32],
    weights: NDArray[np.float32] | None,
    embedding: Embedding,
    recipe: Recipe,
    *,
    label: str = "learning edges",
) -> Training:
    """Learn from a graph in compressed sparse rows, changing `embedding` in place.

    Row j holds the nodes that have an edge to node j, `neighbours[offsets[j]:offsets[j + 1]]`. Each epoch draws as many edges as
    there are entries, by weight; negatives are drawn by the sum of weights of each row to the power `ns_exponent`. Of the recipe
    `negative`, `alpha`, `min_alpha`, `epochs`, `seed` and `threads` hold here too; nothing has windows.

    Raises EmptyInput where there is no edge, InputError for arrays that do not belong together, such as nodes that have no row,
    and what `vicino.learning.skipgram.train` raises where nothing was learnt.

    >>> triangle = np.array([0, 2, 4, 6]), np.array([1, 2, 0, 2, 0, 1], np.int32), None
    >>> train(*triangle, new_embedding(3, 4, 0, order=2), Recipe(epochs=3)).ended
    'whole'
    """
    _require_sound(offsets, neighbours, weights, embedding)
    if not len(neighbours):
        raise EmptyInput("a graph without edges", mend="give at least one edge")
    course = _Course(offsets, neighbours, weights, embedding, recipe)
    epochs = Epochs(course.weights, recipe.epochs, len(neighbours), recipe.threads, label, "edges", recipe.mend)
    return epochs.run(course.waves)


def _require_sound(
    offsets: NDArray[np.int64], neighbours: NDArray[np.int32], weights: NDArray[np.float32] | None, embedding: Embedding
) -> None:
    n, width = len(offsets) - 1, embedding.inputs.shape[-1]
    require_offsets(offsets, len(neighbours))
    require_members(neighbours, n, "nodes")
    require_rows(embedding.inputs, n, width, "inputs")
    require_rows(embedding.outputs, n, width, "outputs")
    if weights is not None and (weights.shape != neighbours.shape or not (np.isfinite(weights) & (weights > 0)).all()):
        raise InputError(f"weights {weights.shape} of {len(neighbours):,} edges", mend="give each edge a number above 0")


class _Course:
    """What all epochs share: the arrays that the kernel reads, and how many groups of edges each block draws."""

    def __init__(
        self,
        offsets: NDArray[np.int64],
        neighbours: NDArray[np.int32],
        weights: NDArray[np.float32] | None,
        embedding: Embedding,
        recipe: Recipe,
    ) -> None:
        from vicino.learning import draw_kernels as draw
        from vicino.learning import edges_kernels as kernels
        from vicino.learning.skipgram_kernels import Weights

        n = len(offsets) - 1
        strengths = np.bincount(np.repeat(np.arange(n), np.diff(offsets)), weights, n).astype(np.float64)
        with_links = strengths > 0
        self.links = links(offsets, neighbours, weights)
        self.nodes = draw.alias_table(strengths)
        self.noise = draw.alias_table(np.power(strengths, float(recipe.ns_exponent), out=np.zeros(n), where=with_links))
        self.paths = draw.no_paths()
        self.weights = Weights(embedding.inputs, embedding.outputs)
        self.settings = kernels.Settings(_GROUP, recipe.negative)
        self.recipe = recipe
        self.groups = -(-len(neighbours) // _GROUP)
        self._learn = kernels.learn

    def waves(self, epoch: int) -> Iterator[list[Job]]:
        yield [partial(self._block, epoch, start) for start in range(0, self.groups, _BLOCK)]

    def _block(self, epoch: int, start: int) -> tuple[int, float, int]:
        end = min(start + _BLOCK, self.groups)
        rates = self.recipe.rates(epoch, start / self.groups, end / self.groups)
        seed = ((self.recipe.seed * 1_000_003 + epoch) * 1_000_003 + start // _BLOCK) % 2**63
        chance = self.nodes, self.weights, self.noise, self.paths
        return (end - start) * _GROUP, *self._learn(self.links, *chance, self.settings, end - start, rates, seed)
