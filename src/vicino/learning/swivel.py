"""Swivel: vectors whose products are pointwise mutual informations, of pairs that were seen and of those that were not.

Shazeer, Doherty, Evans and Waterson 2016, "Swivel: improving embeddings by noticing what's missing". With X the co-occurrences,
x_i* and x_*j the sums of rows and columns, |D| the sum of all, and pmi_ij = ln X_ij + ln |D| - ln x_i* - ln x_*j, the loss is

    ½ f(X_ij) (w_i · c_j - pmi_ij)²     f(x) = base + scale · x^exponent     where X_ij > 0,
    ln(1 + exp(w_i · c_j - pmi*_ij))    with pmi*_ij as if X_ij were 1       elsewhere.

The matrix is learnt tile by tile, each all of its cells at once: three dense products and one step of AdaGrad. Rows and columns
are dealt out to the tiles by frequency. Tiles of a stratum share no vector (`vicino.learning.strata`), and each thread multiplies
its matrices alone: equal input and seed give equal vectors to the bit, with any number of threads. And of processes: as the
authors do it, these read and write the same files, which here are mapped into the memory of all.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from vicino.data.scratch import scratch
from vicino.errors import ArtifactError, InputError, VicinoError
from vicino.learning.bounds import require_dimensions, require_same_places
from vicino.learning.epochs import Epochs, Training
from vicino.learning.strata import Learn, Tour

if TYPE_CHECKING:
    from vicino.learning.cooccurrence import Cooccurrence
    from vicino.learning.tiles import Tiles

__all__ = ["Embedding", "Recipe", "new_embedding", "train"]

_START = 0.1  # of the sums of squares

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """How to learn: f by the three numbers `confidence_`, the `learning_rate` of AdaGrad, `epochs` over all tiles.

    By `threads` of this process, or by several `processes` of one thread each; both give the same vectors.

    Raises InputError where a value cannot be.
    """

    confidence_base: float = 0.1
    confidence_scale: float = 0.25
    confidence_exponent: float = 0.5
    learning_rate: float = 1.0
    epochs: int = 40
    seed: int = 0
    threads: int = 1
    processes: int = 1

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("threads", 1), ("processes", 1), ("seed", 0)):
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
    require_dimensions(dim)
    random = np.random.default_rng(seed)
    inputs, outputs = np.empty((2, len(place), dim), np.float32)
    for side in (inputs, outputs):
        side[place] = random.standard_normal(side.shape, np.float32) / np.float32(math.sqrt(dim))
    return Embedding(place, inputs, outputs, (np.full_like(inputs, _START), np.full_like(outputs, _START)))


def train(counts: Cooccurrence, tiles: Tiles, embedding: Embedding, recipe: Recipe, *, label: str = "learning words") -> Training:
    """Learn from the `tiles` of `counts`, changing `embedding`, which was made for the same `tiles.place`, where it is.

    `Training.losses` is the mean over all n² pairs, as each was met. For what stands in the progress events, and what ends a
    training early, see `vicino.learning.epochs.Epochs.run`, which says too what is raised; what is put back is put back with its
    sums of squares. Raises InputError for an embedding of other words. Several processes need room for the counts and vectors in
    the folder of temporary files: ArtifactError where there is none, and VicinoError where one of them is killed; either leaves
    `embedding` as it was.

    >>> from vicino.learning.cooccurrence import cooccurrence
    >>> from vicino.learning.tiles import tiled
    >>> counts = cooccurrence(np.array([0, 1, 2, 0, 1], np.int32), np.array([0, 5]), 3)
    >>> tiles = tiled(counts, size=1024)
    >>> training = train(counts, tiles, new_embedding(tiles.place, 8, seed=0), Recipe(epochs=50))
    >>> training.losses[-1] < training.losses[0] / 2
    True
    """
    from threadpoolctl import threadpool_limits

    require_same_places(embedding.place, tiles.place)
    confidence = recipe.confidence_base, recipe.confidence_scale, recipe.confidence_exponent
    numbers = np.array([*confidence, recipe.learning_rate], np.float64)
    cells = tiles.cells
    learnt = embedding.inputs, embedding.outputs, *embedding.squares
    expected = _expected(counts, tiles)
    matrix = _Matrix(*learnt, cells.firsts, cells.starts, cells.rows, cells.columns, cells.values, *expected, numbers)
    groups = np.diff(tiles.cells.firsts)
    sizes, workers = groups[:, None] * groups, recipe.threads if recipe.processes == 1 else recipe.processes
    mend = f"lower learning_rate, which is {recipe.learning_rate:g}"

    def run(learn: Learn, weights: Sequence[Float32], pool: Any = None) -> Training:
        tour = Tour(sizes, learn, recipe.seed, 1 if workers == 1 else 2 * workers)
        return Epochs(weights, recipe.epochs, int(sizes.sum()), workers, label, "pairs", mend).run(tour.waves, pool)

    if recipe.processes == 1:
        with threadpool_limits(1, user_api="blas"):  # threads learn from tiles of their own
            return run(matrix.learn, learnt)
    with scratch("swivel") as folder, _workers(recipe.processes) as pool:
        matrix.save(folder)
        shared = _Matrix.opened(folder)[:4]
        training = run(partial(_learn_from, folder), shared, pool)
        for mine, theirs in zip(learnt, shared, strict=True):
            np.copyto(mine, theirs)
        return training


@contextmanager
def _workers(processes: int) -> Iterator[Any]:
    """A pool of processes that leave Ctrl-C to this one. Raises VicinoError where one of them is killed."""
    from concurrent.futures.process import BrokenProcessPool

    from joblib.externals.loky import ProcessPoolExecutor

    try:
        with ProcessPoolExecutor(processes, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
            yield pool
    except BrokenProcessPool as error:  # loky's too
        mend = "if memory was short, give fewer processes, or a smaller max_vocab"
        raise VicinoError("a process that learnt was killed from outside", mend=mend) from error


class _Matrix(NamedTuple):
    """What is learnt, by AdaGrad's sums of squares; the cells of the tiles; what to expect of rows and columns; the recipe."""

    inputs: Float32
    outputs: Float32
    input_squares: Float32
    output_squares: Float32
    firsts: NDArray[np.int64]
    starts: NDArray[np.int64]
    rows: NDArray[np.uint16]
    columns: NDArray[np.uint16]
    values: Float32
    expected_rows: Float32
    expected_columns: Float32
    numbers: NDArray[np.float64]  # the three of the confidence, and the learning rate

    def learn(self, some: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
        """Learn from some tiles (m, 2), which share no group; returns their losses, (m,)."""
        from vicino.learning import swivel_kernels as kernels
        from vicino.learning.tiles_kernels import Cells

        cells = Cells(self.firsts, self.starts, self.rows, self.columns, self.values)
        expected = self.expected_rows, self.expected_columns
        *confidence, rate = self.numbers.tolist()
        most = int(np.diff(self.firsts).max())
        losses, room = np.empty(len(some)), np.empty(most * most, np.float32)
        for number, (top, left) in enumerate(some.tolist()):
            rows, columns = (slice(self.firsts[group], self.firsts[group + 1]) for group in (top, left))
            w, c = self.inputs[rows], self.outputs[columns]
            products = room[: len(w) * len(c)].reshape(len(w), len(c))
            with np.errstate(all="ignore"):  # what is not finite is noticed by its loss
                np.matmul(w, c.T, out=products)
                losses[number] = kernels.grade(
                    products, cells, (top, left), expected, kernels.Confidence(*confidence), int(seeds[number])
                )
                by_rows, by_columns = products @ c, products.T @ w
            kernels.step(w, self.input_squares[rows], by_rows, 1 / len(c), rate)
            kernels.step(c, self.output_squares[columns], by_columns, 1 / len(w), rate)
        return losses

    def save(self, folder: Path) -> None:
        """Write it for the processes. Raises ArtifactError for a full disk."""
        try:
            for name, array in self._asdict().items():
                np.save(folder / f"{name}.npy", array)
        except OSError as error:
            mend = "free some space, set TMPDIR to a folder with room, or learn by threads"
            raise ArtifactError(
                f"{folder.parent} cannot take what processes share: {error.strerror or error}", mend=mend
            ) from error

    @classmethod
    def opened(cls, folder: Path) -> Self:
        """Mapped: whoever opens the same folder sees what the others learn."""
        return cls(*(np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r+")) for name in cls._fields))


@lru_cache(maxsize=1)
def _opened_alone(folder: Path) -> _Matrix:
    """In a worker: the matrix of a folder, whose products will take one thread."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
    return _Matrix.opened(folder)


def _learn_from(folder: Path, some: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
    return _opened_alone(folder).learn(some, seeds)


def _expected(counts: Cooccurrence, tiles: Tiles) -> tuple[Float32, Float32]:
    """ln x_i* - ½ ln |D|, and the same of columns, in the order of the tiles; a word without neighbours has 1."""
    found = []
    for totals in counts.totals():
        logs = np.empty(tiles.n, np.float32)
        logs[tiles.place] = np.log(np.maximum(totals, 1)) - 0.5 * math.log(totals.sum())
        found.append(logs)
    return found[0], found[1]
