"""How often words stand near each other: windowed, weighted counts of any corpus within stated memory.

Pennington, Socher and Manning 2014, "GloVe: global vectors for word representation", count an occurrence d words away as 1 / d.
Nothing here knows what the integers are: walks and baskets have neighbours as well.

The text is read in stretches. Each is indexed by its words, and gives one run: a sparse matrix, row by row. Runs are added up row
by row; what memory does not hold waits on disk. Weights are whole multiples of 1 / 720720, which 1 to 16 divide, so that sums are
exact: the same counts to the bit with any memory and any number of threads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.learning.bounds import require_members, require_offsets
from vicino.learning.piles import Pile

__all__ = ["Cooccurrence", "Weighting", "cooccurrence", "distance_weights", "in_turn", "thinned"]

Weighting = Literal["harmonic", "linear", "flat"]

MEMORY = 1 << 30  # bytes
_UNIT = 720_720  # the least common multiple of 1 to 16
_STRETCH = 1 << 20  # tokens that are counted at once, at least
_LONGEST = 1 << 29  # and at most: with what stands between sentences they are numbered by int32
_WIDEST = 1_000_000  # words on a side
_BLOCK = 1 << 21  # nonzeros that one call of a kernel may find

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Cooccurrence:
    """A sparse matrix (n, n): row i is `values[starts[i]:starts[i + 1]]` in `columns` of the same span, ascending.

    `starts` (n + 1,) int64, `columns` int32, `values` float32, all above zero; the last two may be mapped from a file that goes
    when they go (`on_disk`).
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]
    on_disk: bool = False

    def __len__(self) -> int:
        """The number of nonzeros."""
        return len(self.columns)

    @property
    def n(self) -> int:
        """The number of words."""
        return len(self.starts) - 1

    @property
    def rows(self) -> NDArray[np.int32]:
        """The row of each nonzero, made when asked for."""
        return np.repeat(np.arange(self.n, dtype=np.int32), np.diff(self.starts))

    def totals(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The sums of the rows, and those of the columns, each (n,)."""
        bounds = np.unique(np.append(np.searchsorted(self.starts, np.arange(0, len(self), _BLOCK)), self.n))
        rows, columns = np.zeros(self.n), np.zeros(self.n)
        for first, last in pairwise([0, *bounds.tolist()]):
            begin, end = self.starts[first], self.starts[last]
            values = self.values[begin:end].astype(np.float64)
            where = np.repeat(np.arange(last - first), np.diff(self.starts[first : last + 1]))
            rows[first:last] = np.bincount(where, values, minlength=last - first)
            columns += np.bincount(self.columns[begin:end], values, minlength=self.n)
        return rows, columns


def cooccurrence(  # noqa: PLR0913 - a corpus is three things
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    n: int,
    *,
    window: int = 10,
    weighting: Weighting = "harmonic",
    symmetric: bool = True,
    memory: int = MEMORY,
    folder: str | os.PathLike[str] | None = None,
    threads: int = 1,
    label: str = "counting neighbours",
) -> Cooccurrence:
    """X[i, j], how often j stands at most `window` words before i, or with `symmetric` on either side of it, in one sequence.

    Sequence s is `ids[offsets[s]:offsets[s + 1]]`, with ids in 0 to n - 1. An occurrence d words away counts as 1 / d
    ("harmonic"), (window - d + 1) / window ("linear"), or 1 ("flat"); beyond a window of 16, rounded to 1 / 720720.

    Takes about `memory` bytes beside the text, and 24 bytes a word and thread; what is more goes to files without a name in
    `folder`, by default the system's for temporary files. Raises EmptyInput where no word has a neighbour, InputError for ids
    outside of 0 to n - 1, for offsets that are not those of the ids and for parameters that cannot be, ArtifactError for a full
    disk or a folder that cannot be written.

    >>> counts = cooccurrence(np.array([0, 1, 2, 0], np.int32), np.array([0, 3, 4]), 3)
    >>> counts.rows.tolist(), counts.columns.tolist(), counts.values.tolist()
    ([0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1], [1.0, 0.5, 1.0, 1.0, 0.5, 1.0])
    """
    weights = distance_weights(window, weighting)
    for name, value in (("memory", memory), ("threads", threads)):
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r} cannot be", mend="give a whole number from 1 on")
    require_offsets(offsets, len(ids))
    require_members(ids, n)
    if not len(ids):
        raise _lonely()
    counting = _Counting(np.asarray(ids), np.asarray(offsets), n, np.rint(weights * _UNIT), symmetric, memory, folder, threads)
    found = counting.counted(label)
    if not len(found):
        raise _lonely()
    return found


def _lonely() -> EmptyInput:
    return EmptyInput("no sequence has two members that are neighbours", mend="give longer texts, or lower min_count")


def distance_weights(window: int, weighting: Weighting = "harmonic") -> NDArray[np.float64]:
    """What a neighbour counts that is 1, 2, ... `window` words away.

    Raises InputError for a window that is not in 1 to 1,000,000, UnknownName for another weighting.

    >>> distance_weights(4).round(2).tolist(), distance_weights(4, "linear").tolist()
    ([1.0, 0.5, 0.33, 0.25], [1.0, 0.75, 0.5, 0.25])
    """
    if not isinstance(window, int) or not 1 <= window <= _WIDEST:
        raise InputError(f"window={window!r} cannot be", mend=f"give a whole number from 1 to {_WIDEST}")
    away = np.arange(1, window + 1)
    if weighting == "harmonic":
        return 1 / away
    if weighting == "linear":
        return (window - away + 1) / window
    if weighting == "flat":
        return np.ones(window)
    raise UnknownName.among(str(weighting), get_args(Weighting), kind="weighting of neighbours")


def thinned(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    keep: NDArray[np.float32],
    seed: int,
    *,
    memory: int = MEMORY,
    folder: str | os.PathLike[str] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Sequences, as `cooccurrence` takes them, in which an occurrence of i is left with the probability `keep[i]`.

    What stood around what went are neighbours then, as where `vicino.learning.skipgram.keep_probabilities` thins a text out.
    The same `seed` leaves the same, whatever the memory; past `memory` bytes it goes to a file, as of `cooccurrence`. Levy,
    Goldberg and Dagan 2015, "Improving distributional similarity with lessons learned from word embeddings" ("dirty"
    subsampling).

    >>> ids, offsets = thinned(np.array([0, 1, 0, 1], np.int32), np.array([0, 3, 4]), np.array([1, 0], np.float32), seed=0)
    >>> ids.tolist(), offsets.tolist()
    ([0, 0], [0, 2, 2])
    """
    random, places, left = np.random.default_rng(seed), np.empty_like(offsets), 0
    with closing(Pile(np.int32, memory, folder)) as pile:
        for begin in range(0, max(len(ids), 1), _BLOCK):
            block = ids[begin : begin + _BLOCK]
            stays = random.random(len(block), np.float32) < keep[block]
            pile.add(block[stays])
            first, last = np.searchsorted(offsets, [begin, begin + len(block) + 1])
            before = np.concatenate([[0], np.cumsum(stays)])
            places[first:last] = left + before[offsets[first:last] - begin]
            left += int(before[-1])
        return pile.whole(), places


def in_turn(threads: int, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results in order, of which no more than a few are made before they are asked for."""
    if threads == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@dataclass(frozen=True, eq=False)
class _Counting:
    """One count: the text, and how to count it."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    n: int
    weights: NDArray[np.float64]  # whole numbers
    symmetric: bool
    memory: int
    folder: str | os.PathLike[str] | None
    threads: int

    def counted(self, label: str) -> Cooccurrence:
        """Count stretch by stretch, and add up what the stretches gave."""
        stretch = min(max(self.memory // 32, _STRETCH), _LONGEST)  # 8 bytes a token
        bounds = [*range(0, len(self.ids), stretch), len(self.ids)]
        alone = len(bounds) <= 2
        # A run holds sums that are still whole numbers, and too large for float32.
        with closing(_Matrix(np.float32 if alone else np.float64, self.memory // 2, self.folder)) as runs:
            with progress.task(label, total=len(self.ids), unit="tokens") as work:
                for begin, end in pairwise(bounds):
                    self._count(begin, end, runs, _UNIT if alone else 1, work)
            return runs.taken() if alone else self._added(runs)

    def _count(self, begin: int, end: int, runs: _Matrix, unit: float, work: progress.Task) -> None:
        from vicino.learning import cooccurrence_kernels as kernels

        text, start, stop = kernels.laid(self.ids, self.offsets, begin, end, len(self.weights))
        index = kernels.indexed(text, start, stop, self.n)
        reach = len(self.weights) * (2 if self.symmetric else 1)
        spans = _spans(np.minimum(np.diff(index[1]) * reach, self.n))

        def count(span: tuple[int, int, int]) -> tuple[int, _Rows]:
            out = np.empty(span[2], np.int32), np.empty(span[2], runs.dtype)
            lengths = kernels.count_rows(text, index, span[:2], self.weights, self.symmetric, unit, out)
            return int(index[1][span[1]] - index[1][span[0]]), (lengths, *_cut(out, lengths))

        runs.begin()
        for tokens, rows in in_turn(self.threads, count, spans):
            runs.add(rows)
            work.advance(tokens)

    def _added(self, runs: _Matrix) -> Cooccurrence:
        from vicino.learning import cooccurrence_kernels as kernels

        starts, columns, values = runs.parts()
        most = np.minimum(np.diff(starts, axis=1).sum(axis=0), self.n)

        def add(span: tuple[int, int, int]) -> tuple[int, _Rows]:
            out = np.empty(span[2], np.int32), np.empty(span[2], np.float32)
            lengths = kernels.add_rows(starts, columns, values, span[:2], _UNIT, out)
            return span[2], (lengths, *_cut(out, lengths))

        with closing(_Matrix(np.float32, self.memory // 2, self.folder)) as whole:
            whole.begin()
            with progress.task("adding up neighbours", total=int(most.sum()), unit="pairs") as work:
                for pairs, rows in in_turn(self.threads, add, _spans(most)):
                    whole.add(rows)
                    work.advance(pairs)
            return whole.taken()


_Rows = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.floating]]  # lengths, columns, values


class _Matrix:
    """Sparse matrices, one after another, made row by row."""

    def __init__(self, dtype: type[np.floating], room: int, folder: str | os.PathLike[str] | None) -> None:
        self.dtype = np.dtype(dtype)
        share = room * 4 // (4 + self.dtype.itemsize)
        self._columns, self._values = Pile(np.int32, share, folder), Pile(dtype, room - share, folder)
        self._lengths: list[list[NDArray[np.int64]]] = []

    def begin(self) -> None:
        """The next matrix."""
        self._lengths.append([np.array([len(self._columns)])])

    def add(self, rows: _Rows) -> None:
        """The next rows."""
        self._lengths[-1].append(rows[0])
        self._columns.add(rows[1])
        self._values.add(rows[2])

    def parts(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.floating]]:
        """Where the rows of each matrix begin in all columns and values, (matrices, n + 1), and these."""
        starts = np.array([np.cumsum(np.concatenate(lengths)) for lengths in self._lengths])
        return starts, self._columns.whole(), self._values.whole()

    def taken(self) -> Cooccurrence:
        """The only matrix."""
        on_disk = self._columns.on_disk or self._values.on_disk
        starts, columns, values = self.parts()
        return Cooccurrence(starts[0], columns, values.astype(np.float32, copy=False), on_disk)

    def close(self) -> None:
        """Let go of memory and files."""
        self._columns.close()
        self._values.close()


def _cut(
    out: tuple[NDArray[np.int32], NDArray[np.floating]], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
    """What was filled in, without the room that was not needed."""
    size = int(lengths.sum())
    return out[0][:size], out[1][:size]


def _spans(most: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Consecutive rows (first, last, room) which together hold no more than a block, or are one row; `most` is each row's."""
    spans, before = [], np.concatenate([[0], np.cumsum(most)])
    first = 0
    while first < len(most):
        last = max(int(np.searchsorted(before, before[first] + _BLOCK, side="right")) - 1, first + 1)
        spans.append((first, last, int(before[last] - before[first])))
        first = last
    return spans
