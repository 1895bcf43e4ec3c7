"""LINE: vectors from the edges of a graph, by edge sampling and negative sampling.

Tang, Qu, Wang, Zhang, Yan and Mei 2015, "LINE: large-scale information network embedding". First-order proximity: nodes with an
edge between them are near, so that one table of vectors predicts itself. Second-order proximity: nodes that lead to the same
nodes are near, so that vectors predict contexts, as in skip-gram. What stands in `vicino.learning.skipgram` of threads, of
reproducibility and of what ends a training early holds here too.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.errors import EmptyInput
from vicino.learning import skipgram
from vicino.learning.skipgram import Embedding, Recipe, Training, _Diverged, _tell
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

    Raises EmptyInput where there is no edge, and what `vicino.learning.skipgram.train` raises where nothing was learnt.

    >>> triangle = np.array([0, 2, 4, 6]), np.array([1, 2, 0, 2, 0, 1], np.int32), None
    >>> train(*triangle, new_embedding(3, 4, 0, order=2), Recipe(epochs=3)).ended
    'whole'
    """
    if not len(neighbours):
        raise EmptyInput("a graph without edges", mend="give at least one edge")
    course = _Course(offsets, neighbours, weights, embedding, recipe)
    training = Training()
    kept = [matrix.copy() for matrix in course.weights]
    with progress.task(label, total=recipe.epochs * len(neighbours), unit="edges") as work:
        for epoch in range(recipe.epochs):
            try:
                training.losses.append(course.epoch(epoch, work, label))
            except KeyboardInterrupt:
                training.ended = "interrupted"
            except _Diverged:
                training.ended = "diverged"
            if training.ended != "whole":
                break
            if epoch + 1 < recipe.epochs:
                _copy(course.weights, kept)
    if training.ended != "whole":
        _copy(kept, course.weights)
        _tell(training, recipe)
    return training


def _copy(sources: Sequence[Float32], targets: Sequence[Float32]) -> None:
    for source, target in zip(sources, targets, strict=True):
        np.copyto(target, source)


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

    def epoch(self, number: int, work: progress.Task, label: str) -> float:
        """Draw as many edges as there are; returns the mean loss. Raises _Diverged."""
        loss, judged = 0.0, 0
        with closing(self._results(number)) as results:
            for groups, (here, pairs) in results:
                loss, judged = loss + here, judged + pairs
                if not math.isfinite(loss):
                    raise _Diverged
                work.label = f"{label}, loss {loss / max(judged, 1):.3f}"
                work.advance(groups * _GROUP)
        if not all(np.isfinite(matrix).all() for matrix in self.weights):
            raise _Diverged
        return loss / max(judged, 1)

    def _results(self, epoch: int) -> Generator[tuple[int, tuple[float, int]]]:
        """The groups, the loss and the number of judged pairs of each block, in order."""

        def block(start: int) -> tuple[int, tuple[float, int]]:
            end = min(start + _BLOCK, self.groups)
            rates = self._rate(epoch, start), self._rate(epoch, end)
            seed = ((self.recipe.seed * 1_000_003 + epoch) * 1_000_003 + start // _BLOCK) % 2**63
            found = self._learn(
                self.links, self.nodes, self.weights, self.noise, self.paths, self.settings, end - start, rates, seed
            )
            return end - start, found

        starts = range(0, self.groups, _BLOCK)
        if self.recipe.threads == 1:
            yield from map(block, starts)
        else:
            with ThreadPoolExecutor(self.recipe.threads) as pool:
                yield from pool.map(block, starts)

    def _rate(self, epoch: int, group: int) -> float:
        recipe = self.recipe
        return recipe.alpha + (recipe.min_alpha - recipe.alpha) * (epoch + group / self.groups) / recipe.epochs
