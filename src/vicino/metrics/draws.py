"""The draws that tests of significance rest on: units drawn with replacement, and signs that change at random.

A unit is a value, or a group of values that hang together and are drawn, or change sides, as one. Work is cut into blocks of a
few megabytes, so that a hundred thousand values fit in little memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch
from vicino.metrics.values import Values

__all__ = ["EXACT_UP_TO", "drawn_means", "group_sums", "sign_patterns"]

EXACT_UP_TO = 13  # 2^13 sign patterns are fewer than the 10,000 that would be drawn
FEW = 50  # to draw one count costs about as much as to draw fifty values (measured: 30 to 50)
BLOCK = 2**18  # numbers in memory at once: 2 MB of float64, which stays in the processor's cache


def group_sums(table: Values, groups: ArrayLike | None) -> tuple[Values, Values]:
    """The sums (m, units) of each row's values in each group, and how many values each group has (units,).

    `table` is (m, n), `groups` (n,) numbers or names, None where each value is a unit. Raises DimensionMismatch.

    >>> group_sums(np.array([[1.0, 2.0, 4.0]]), ["a", "b", "a"])
    (array([[5., 2.]]), array([2., 1.]))
    """
    n = table.shape[1]
    numbers = np.arange(n) if groups is None else np.asarray(groups)
    if numbers.shape != (n,):
        raise DimensionMismatch(f"groups of shape {numbers.shape} for {n} values", mend="give one for each value")
    of = np.unique(numbers, return_inverse=True)[1]
    sizes = np.bincount(of).astype(np.float64)
    if len(sizes) == n:  # each on its own: in the order given, so that naming groups that are none changes nothing
        return table, sizes
    return np.stack([np.bincount(of, weights=row) for row in table]), sizes


def drawn_means(sums: Values, sizes: Values, resamples: int, rng: np.random.Generator) -> Values:
    """(m, resamples) means of as many units as there are, drawn with replacement, the same for all m rows.

    `sums` (m, units) and `sizes` (units,) are those of `group_sums`.

    >>> drawn_means(np.array([[0.0, 1.0]]), np.ones(2), 4, np.random.default_rng(1)).shape
    (1, 4)
    """
    units = len(sizes)
    table = np.vstack([sums, sizes])
    kinds, times = np.unique(table, axis=1, return_counts=True)
    if FEW * len(times) <= units:  # few distinct values, as of MRR@10 with one relevant document a query
        table = kinds
        drawn = (rng.multinomial(units, times / units, size=rows) for rows in _blocks(resamples, len(times)))
    else:
        drawn = (_counts(rng.integers(units, size=(rows, units))) for rows in _blocks(resamples, units))
    totals = np.concatenate([counts.astype(np.float64) @ table.T for counts in drawn]).T
    return np.asarray(totals[:-1] / totals[-1], dtype=np.float64)


def sign_patterns(n: int, rounds: int, rng: np.random.Generator, *, width: int = 1) -> Iterator[Values]:
    """(rows, n) of 1 to keep a difference and 0 to negate it, in blocks: all that there are of few, else `rounds` random ones.

    `width` is how many numbers are made of each pattern, where these are more than n.

    >>> next(sign_patterns(2, 100, np.random.default_rng(0))).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    if n <= EXACT_UP_TO:
        for rows in np.array_split(np.arange(2**n), -(-(2**n) * width // BLOCK)):
            yield (rows[:, None] >> np.arange(n) & 1).astype(np.float64)
        return
    packed_width = -(-n // 8)
    for count in _blocks(rounds, max(n, width)):
        packed = np.frombuffer(rng.bytes(count * packed_width), dtype=np.uint8).reshape(count, packed_width)
        yield np.unpackbits(packed, axis=1, count=n).astype(np.float64)


def _counts(drawn: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each of the units was drawn in each row of (rows, units)."""
    rows, units = drawn.shape
    drawn += units * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units)


def _blocks(rows: int, columns: int) -> Iterator[int]:
    """Cut (rows, columns) of work into blocks of about BLOCK numbers: yields how many rows each has."""
    step = max(1, BLOCK // columns)
    return (min(step, rows - start) for start in range(0, rows, step))
