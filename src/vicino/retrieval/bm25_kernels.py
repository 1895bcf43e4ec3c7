"""The compiled half of BM25: inverting a corpus, weighing its postings, and exact search for the k best.

Search goes term by term, from the highest possible contribution to the lowest, adding into one sum a document (MaxScore:
Turtle and Flood 1995; term at a time: Strohman, Turtle and Croft 2005). While a document that no term has touched could
still enter the k best, all postings of a term are added. From then on only touched documents count, those that can no
longer reach the k-th best are forgotten, and a term is looked up in the few that stay, or scanned where that is cheaper.
Sums are always made in the same order, so that what is skipped changes no digit of a score.

Indices are unsigned where a loop is hot, for numba would test signed ones for being negative: a third of the time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["Heap", "Postings", "Scratch", "highest", "invert", "jump_tables", "search", "weigh"]

POSTINGS_PER_JUMP = 8
LONG_QUERY = 200  # terms
MANY = 1000  # answers
LOOKUP_COST = 32  # finding one posting in memory costs as much as adding so many in a scan

_ZERO = np.float32(0)
_NEVER = np.float32(np.inf)

Array = NDArray[Any]
Plan = tuple[Array, Array, Array]  # of a query: its terms, how often each, and what these and all later ones could add
Shape = tuple[float, float, float, float]  # of a variant: gain, lift, depth, floor

compiled = njit(cache=True, nogil=True)
inlined = njit(cache=True, nogil=True, inline="always")  # a call that passes arrays costs as much as ten postings


class Postings(NamedTuple):
    """Term t has `rows[starts[t]:starts[t + 1]]`, ascending, with its contribution to each; `bounds[t]` is the highest.

    Its postings of row r and later begin at `starts[t] + jumps[jump_starts[t] + (r >> shifts[t])]`, or a little after.
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    impacts: NDArray[np.float32]
    bounds: NDArray[np.float32]
    shifts: NDArray[np.int64]
    jump_starts: NDArray[np.int64]
    jumps: NDArray[np.int32]


class Scratch(NamedTuple):
    """What one thread writes on, a cell a document. Between queries `sums` holds only zeros, `listed` what may not be found."""

    sums: NDArray[np.float32]
    listed: NDArray[np.bool_]  # whether a document is in the heap, or must not get there
    touched: NDArray[np.uint32]  # the documents whose sum is not zero, and a cell more


class Heap(NamedTuple):
    """The k best documents so far, worst first. A free place has row -1 and score 0."""

    scores: NDArray[np.float32]
    rows: NDArray[np.int64]
    listed: NDArray[np.bool_]


@compiled
def invert(ids: Array, offsets: Array, n_terms: int) -> tuple[Array, Array, Array, Array]:
    """(starts, rows, frequencies, lengths): postings by term, then by row. Negative ids are left out."""
    last = np.full(n_terms, -1, np.int64)
    counts = np.zeros(n_terms + 1, np.int64)
    lengths = np.zeros(offsets.size - 1, np.int64)
    for row in range(offsets.size - 1):
        for term in ids[offsets[row] : offsets[row + 1]]:
            if term < 0:
                continue
            lengths[row] += 1
            if last[term] != row:
                last[term] = row
                counts[term + 1] += 1
    starts = np.cumsum(counts)
    ends = starts[:-1].copy()
    rows = np.empty(starts[-1], np.int32)
    frequencies = np.empty(starts[-1], np.float32)
    for row in range(offsets.size - 1):
        for term in ids[offsets[row] : offsets[row + 1]]:
            if term < 0:
                continue
            end = ends[term]
            if end > starts[term] and rows[end - 1] == row:
                frequencies[end - 1] += 1
            else:
                rows[end] = row
                frequencies[end] = 1
                ends[term] = end + 1
    return starts, rows, frequencies, lengths


@compiled
def weigh(starts: Array, rows: Array, frequencies: Array, relative_lengths: Array, idf: Array, shape: Shape) -> None:
    """Turn frequencies into impacts, in place: idf · (gain · (tf + lift · l) / (tf + depth · l) + floor)."""
    gain, lift, depth, floor = shape
    for term in range(idf.size):
        for at in range(starts[term], starts[term + 1]):
            tf = np.float64(frequencies[at])
            length = relative_lengths[rows[at]]
            frequencies[at] = idf[term] * (gain * (tf + lift * length) / (tf + depth * length) + floor)


@compiled
def highest(starts: Array, impacts: Array) -> Array:
    """Each term's highest impact, 0 for a term without postings."""
    bounds = np.zeros(starts.size - 1, np.float32)
    for term in range(bounds.size):
        for at in range(starts[term], starts[term + 1]):
            bounds[term] = max(bounds[term], impacts[at])
    return bounds


@compiled
def jump_tables(starts: Array, rows: Array, n_rows: int) -> tuple[Array, Array, Array]:
    """(shifts, jump_starts, jumps): one entry of a term's table for each 2^shift rows, so about POSTINGS_PER_JUMP postings."""
    n_terms = starts.size - 1
    shifts = np.zeros(n_terms, np.int64)
    jump_starts = np.zeros(n_terms + 1, np.int64)
    for term in range(n_terms):
        count = starts[term + 1] - starts[term]
        while count and (count << shifts[term]) < POSTINGS_PER_JUMP * n_rows:
            shifts[term] += 1
        jump_starts[term + 1] = jump_starts[term] + (((n_rows - 1) >> shifts[term]) + 1 if count else 0)
    jumps = np.empty(jump_starts[-1], np.int32)
    for term in range(n_terms):
        at = starts[term]
        for entry in range(jump_starts[term + 1] - jump_starts[term]):
            while at < starts[term + 1] and rows[at] >> shifts[term] < entry:
                at += 1
            jumps[jump_starts[term] + entry] = at - starts[term]
    return shifts, jump_starts, jumps


@compiled
def search(queries: Array, offsets: Array, postings: Postings, scratch: Scratch, best_rows: Array, best_scores: Array) -> None:
    """Fill (n, k) `best_rows` and `best_scores`, best first, for the n queries; what is missing stays as it was."""
    n_queries, k = best_rows.shape
    longest = np.diff(offsets).max() if n_queries else 0
    plan = np.empty(longest, np.int64), np.empty(longest, np.float32), np.empty(longest + 1, np.float32)
    heap = Heap(np.empty(k, np.float32), np.empty(k, np.int64), scratch.listed)
    for query in range(n_queries):
        heap.scores[:] = 0
        heap.rows[:] = -1
        n_terms = _plan(queries[offsets[query] : offsets[query + 1]], postings.bounds, plan)
        n_touched = _accumulate(postings, plan, n_terms, scratch.sums, scratch.touched, heap)
        _hand_over(heap, scratch.sums, best_rows[query], best_scores[query])
        for i in range(n_touched):
            scratch.sums[scratch.touched[i]] = 0


@compiled
def _plan(query: Array, bounds: Array, plan: Plan) -> int:
    """Order the query's known terms by falling bound, then id; count repeats; add up what is left from each on."""
    terms, weights, left = plan
    if query.size > LONG_QUERY:  # insertion, below, takes the square of what is out of order
        query = np.sort(query[(query >= 0) & (query < bounds.size)])
        query = query[np.argsort(-bounds[query], kind="mergesort")]
    n = 0
    for term in query:
        if term < 0 or term >= bounds.size or bounds[term] <= 0:
            continue
        at = n
        while at and (bounds[terms[at - 1]] < bounds[term] or (bounds[terms[at - 1]] == bounds[term] and terms[at - 1] > term)):
            at -= 1
        if at and terms[at - 1] == term:
            weights[at - 1] += 1
            continue
        for i in range(n, at, -1):
            terms[i], weights[i] = terms[i - 1], weights[i - 1]
        terms[at], weights[at] = term, 1
        n += 1
    left[n] = 0
    for i in range(n - 1, -1, -1):
        left[i] = left[i + 1] + weights[i] * bounds[terms[i]]
    return n


@compiled
def _accumulate(postings: Postings, plan: Plan, n_terms: int, sums: Array, touched: Array, heap: Heap) -> int:
    """Add up all sums that can matter; the k best are then in the heap. Returns how many documents are touched."""
    terms, weights, left = plan
    starts, jump_starts = postings.starts, postings.jump_starts
    all_rows, all_impacts = postings.rows.view(np.uint32), postings.impacts
    n_touched = 0
    ranked = False
    caution = np.float32(1 - 1e-6 * (n_terms + 2))  # float32 sums err by less than this
    for i in range(n_terms):
        term, weight = terms[i], weights[i]
        rows, impacts = all_rows[starts[term] : starts[term + 1]], all_impacts[starts[term] : starts[term + 1]]
        if not ranked and left[0] > 2 * left[i + 1]:  # earlier, even the best sum could not exceed what is left
            ranked = True
            for row in touched[:n_touched]:
                if sums[row] >= heap.scores[0] and not heap.listed[row]:
                    _offer(heap, sums, row, sums[row])
        low = heap.scores[0]  # the k-th best sum so far, 0 while there are fewer than k
        if low * caution <= left[i]:
            n_touched = _add_to_all(rows, impacts, weight, sums, touched, n_touched, heap, low if ranked else _NEVER)
        else:
            if n_touched < rows.size:
                n_touched = _forget(sums, touched, n_touched, low * caution - left[i])
            if n_touched * LOOKUP_COST < rows.size:
                jumps = postings.jumps[jump_starts[term] : jump_starts[term + 1]]
                _look_up(rows, impacts, weight, jumps, postings.shifts[term], sums, touched[:n_touched], heap)
            else:
                _add_to_touched(rows, impacts, weight, sums, heap)
        _refresh(heap, sums)
    return n_touched


@inlined
def _add_to_all(
    rows: Array, impacts: Array, weight: float, sums: Array, touched: Array, n_touched: int, heap: Heap, low: np.float32 | float
) -> int:
    """Add a term to all documents that hold it; returns how many are touched now."""
    for i in range(rows.size):
        row = rows[i]
        old = sums[row]
        new = old + weight * impacts[i]
        touched[n_touched] = row
        n_touched += old == 0
        sums[row] = new
        if new >= low and not heap.listed[row]:
            low = _offer(heap, sums, row, new)
    return n_touched


@inlined
def _add_to_touched(rows: Array, impacts: Array, weight: float, sums: Array, heap: Heap) -> None:
    """Add a term to the touched documents that hold it, through all its postings."""
    low = heap.scores[0]
    for i in range(rows.size):
        row = rows[i]
        old = sums[row]
        new = old + weight * impacts[i]
        if old == 0:  # done without a branch: wrong guesses would cost more than the additions
            new = _ZERO
        sums[row] = new
        if new >= low and not heap.listed[row]:
            low = _offer(heap, sums, row, new)


@inlined
def _look_up(
    rows: Array, impacts: Array, weight: float, jumps: Array, shift: int, sums: Array, touched: Array, heap: Heap
) -> None:
    """Add a term to the touched documents that hold it, through its jump table."""
    low = heap.scores[0]
    for i in range(touched.size):
        row = touched[i]
        at = jumps[np.int64(row) >> shift]
        while at < rows.size and rows[at] < row:
            at += 1
        if at < rows.size and rows[at] == row:
            new = sums[row] + weight * impacts[at]
            sums[row] = new
            if new >= low and not heap.listed[row]:
                low = _offer(heap, sums, row, new)


@inlined
def _forget(sums: Array, touched: Array, n_touched: int, needed: float) -> int:
    """Keep the touched documents whose sum is at least `needed`; returns how many."""
    kept = 0
    for i in range(n_touched):
        row = touched[i]
        stays = sums[row] >= needed
        touched[kept] = row
        kept += stays
        if not stays:
            sums[row] = 0
    return kept


@compiled
def _offer(heap: Heap, sums: Array, row: int, score: float) -> float:
    """Let an unlisted document into the heap where it beats the worst one there; returns the worst score."""
    _refresh(heap, sums)
    worst = heap.rows[0]
    if _beats(score, row, heap.scores[0], worst):
        if worst >= 0:
            heap.listed[worst] = False
        heap.listed[row] = True
        heap.scores[0], heap.rows[0] = score, row
        _sink(heap.scores, heap.rows)
    lowest: float = heap.scores[0]
    return lowest


@inlined
def _refresh(heap: Heap, sums: Array) -> None:
    """Scores in the heap may lag behind the sums, which only grow: mend the worst until it is up to date."""
    while heap.rows[0] >= 0 and sums[heap.rows[0]] > heap.scores[0]:
        heap.scores[0] = sums[heap.rows[0]]
        _sink(heap.scores, heap.rows)


@compiled
def _sink(scores: Array, rows: Array) -> None:
    """Put the root of a heap, worst first, where it belongs."""
    score, row = scores[0], rows[0]
    at, child = 0, 1
    while child < scores.size:
        if child + 1 < scores.size and _beats(scores[child], rows[child], scores[child + 1], rows[child + 1]):
            child += 1
        if not _beats(score, row, scores[child], rows[child]):
            break
        scores[at], rows[at] = scores[child], rows[child]
        at, child = child, 2 * child + 1
    scores[at], rows[at] = score, row


@inlined
def _beats(score: float, row: int, other_score: float, other_row: int) -> bool:
    """A higher score wins; of equal ones the smaller row."""
    return score > other_score or (score == other_score and row < other_row)


@compiled
def _hand_over(heap: Heap, sums: Array, best_rows: Array, best_scores: Array) -> None:
    """Move the heap's documents, with their sums, to the results, best first."""
    if heap.rows.size > MANY:  # insertion, below, takes the square of how many there are
        found = np.sort(heap.rows[heap.rows >= 0])
        order = np.argsort(-sums[found], kind="mergesort")  # stable: equal scores stay by row
        for at in range(found.size):
            row = found[order[at]]
            heap.listed[row] = False
            best_rows[at], best_scores[at] = row, sums[row]
        return
    n = 0
    for row in heap.rows:
        if row < 0:
            continue
        heap.listed[row] = False
        score, at = sums[row], n
        while at and _beats(score, row, best_scores[at - 1], best_rows[at - 1]):
            best_scores[at], best_rows[at] = best_scores[at - 1], best_rows[at - 1]
            at -= 1
        best_scores[at], best_rows[at] = score, row
        n += 1
