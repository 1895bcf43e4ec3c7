"""Where the pick is weak: its values on slices of the queries, the worst first, beside those on the rest and the baseline's.

Queries are cut into thirds by their length, by the length of their relevant documents, and by how many of their words these hold
(what words alone could find); into parts by any column of metadata; and, where people judged irrelevant documents too, by how
many of the pick's wrong answers anybody judged. Slices of fewer than ten queries, or that leave fewer, tell nothing and are not
cut. All slices are looked at, so that their p-values are corrected for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.data.records import Document, Query
from vicino.data.text import Analyzer
from vicino.errors import UnknownName
from vicino.evaluation.tasks import RetrievalTask
from vicino.metrics.ranking import Judged
from vicino.metrics.significance import Interval, bootstrap_interval, holm, randomisation_test
from vicino.metrics.values import Values

__all__ = ["Cut", "Slice", "cut", "cut_by_judged", "slice_test", "weigh_slices"]

FEWEST = 10  # queries in a slice, and outside it
MOST = 20  # values of one column: the commonest
RANKS = 10  # in which judged answers are counted
WORK = 50_000_000  # numbers shuffled for one comparison: about two seconds


@dataclass(frozen=True, eq=False)
class Cut:
    """A part of the queries before anything was measured: `mask` (n,) says which."""

    by: str
    name: str
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """Some of the queries: `by` says what cut them, `name` which of its parts these are, `queries` how many.

    `pick` is the pick's mean here, `rest` on all other queries; `p` of "neither worse nor better than the rest" and `baseline_p`
    of "the pick and the baseline do not differ here" are corrected for all slices (Holm). `against_baseline` is the difference
    here; both are None where the pick is the baseline itself.
    """

    by: str
    name: str
    queries: int
    pick: Interval
    rest: float
    p: float
    against_baseline: Interval | None = None
    baseline_p: float | None = None


def cut(task: RetrievalTask, by: Sequence[str] = ()) -> tuple[Cut, ...]:
    """The parts of a task's queries, by their texts and their answers, and by the columns of metadata that `by` names.

    A column is looked for in the queries' metadata and in that of their relevant documents. Raises UnknownName for one that
    neither has.
    """
    known = {document.id: document for document in task.documents}
    answers = [[known[name] for name, grade in row.items() if grade > 0] for row in task.rows]
    analyzer = Analyzer(tokens="code" if task.analyzer == "code" else "words")
    asked = [set(analyzer.terms(query.text)) for query in task.queries]
    words = {document.id: analyzer.terms(document.content) for row in answers for document in row}
    shared = [
        _mean(len(terms & set(words[document.id])) / max(1, len(terms)) for document in row)
        for terms, row in zip(asked, answers, strict=True)
    ]
    cuts = [
        *_thirds("query length", [len(analyzer.terms(query.text)) for query in task.queries], "words"),
        *_thirds("document length", [_mean(len(words[document.id]) for document in row) for row in answers], "words"),
        *_thirds("words shared with the answer", [100 * share for share in shared], "%"),
    ]
    for column in by:
        cuts += _by_column(column, task.queries, answers, task)
    return _large(cuts)


def cut_by_judged(judged: Judged, grades: Iterable[int]) -> tuple[Cut, ...]:
    """The parts of the queries by how many of the first ten answers that are not known to be relevant anybody judged.

    Where few were, the pick may be better than it seems. None where only relevant documents were judged (`grades` are all that
    were given), for then nobody judged any.
    """
    if all(grade > 0 for grade in grades):
        return ()
    wrong = (judged.retrieved & (judged.gains == 0))[:, :RANKS]
    share = (wrong & judged.known[:, :RANKS]).sum(axis=1) / np.maximum(1, wrong.sum(axis=1))
    return _large(_thirds("judged, of the answers not relevant", 100 * share, "%"))


def weigh_slices(
    cuts: Sequence[Cut], pick: Values, baseline: Values | None = None, *, groups: NDArray[np.intp], seed: int = 0
) -> tuple[Slice, ...]:
    """What the pick's values (n,) are on each part, the worst first, and the difference to the baseline's where one is given."""
    if not cuts:
        return ()
    p_values = holm(slice_test(np.stack([each.mask for each in cuts]), pick, groups=groups, seed=seed))
    contests = [_contest(each.mask, pick, baseline, groups, seed) for each in cuts]
    corrected = holm([p for _, p in contests])
    found = [
        Slice(
            each.by,
            each.name,
            int(each.mask.sum()),
            bootstrap_interval(pick[each.mask], groups=groups[each.mask], seed=seed),
            float(pick[~each.mask].mean()),
            p,
            difference,
            None if difference is None else baseline_p,
        )
        for each, p, (difference, _), baseline_p in zip(cuts, p_values, contests, corrected, strict=True)
    ]
    return tuple(sorted(found, key=lambda each: each.pick.mean - each.rest))


def slice_test(
    masks: NDArray[np.bool_], values: Values, *, groups: NDArray[np.intp] | None = None, rounds: int = 10_000, seed: int = 0
) -> list[float]:
    """For each of (s, n) masks p of "the values inside have the mean of those outside", two-sided, not corrected.

    The share of shufflings of the values that part the means as far: a permutation test, of which the observed order is one.
    Of `groups` the means are shuffled, and a mask holds a group by the share of its members. For very many values fewer
    shufflings are drawn, never fewer than a thousand. Fisher, "The design of experiments", 1935.

    >>> slice_test(np.array([[True] * 5 + [False] * 15]), np.array([0.0] * 5 + [1.0] * 15))[0] < 0.001
    True
    """
    units = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(units)
    means = np.bincount(units, weights=values) / sizes
    inside = np.stack([np.bincount(units, weights=mask) / sizes for mask in masks])
    inside -= inside.mean(axis=1, keepdims=True)
    means -= means.mean()
    observed = np.abs(inside @ means)
    border = observed - 1e-10 * np.abs(inside) @ np.abs(means)  # sums in another order differ in the last bits
    rng = np.random.default_rng(seed)
    rounds = max(1000, min(rounds, WORK // len(means)))
    count, step = np.zeros(len(masks)), max(1, 2**18 // len(means))
    for start in range(0, rounds, step):
        shuffled = rng.permuted(np.tile(means, (min(step, rounds - start), 1)), axis=1)
        count += np.count_nonzero(np.abs(shuffled @ inside.T) >= border, axis=0)
    return ((1 + count) / (1 + rounds)).tolist()  # type: ignore[no-any-return]


def _contest(
    mask: NDArray[np.bool_], pick: Values, baseline: Values | None, groups: NDArray[np.intp], seed: int
) -> tuple[Interval | None, float]:
    if baseline is None:
        return None, 1.0
    ours, theirs, units = pick[mask], baseline[mask], groups[mask]
    difference = bootstrap_interval(ours - theirs, groups=units, seed=seed)
    return difference, randomisation_test(ours, theirs, groups=units, seed=seed)


def _large(cuts: Iterable[Cut]) -> tuple[Cut, ...]:
    return tuple(each for each in cuts if FEWEST <= int(each.mask.sum()) <= len(each.mask) - FEWEST)


def _thirds(by: str, values: ArrayLike, unit: str = "", *, whole: bool = True) -> Iterator[Cut]:
    """Three parts as even as ties allow. Borders that are shown rounded are rounded, so that the names say what is in them."""
    numbers = np.rint(values) if whole else np.asarray(values, dtype=np.float64)
    low, high = np.quantile(numbers, [1 / 3, 2 / 3], method="inverted_cdf")
    end = f" {unit}" if unit else ""
    yield Cut(by, f"up to {low:g}{end}", numbers <= low)
    if low < high:
        yield Cut(by, f"over {low:g}, up to {high:g}{end}", (low < numbers) & (numbers <= high))
    yield Cut(by, f"over {high:g}{end}", numbers > high)


def _by_column(
    column: str, queries: Sequence[Query], answers: Sequence[Sequence[Document]], task: RetrievalTask
) -> Iterator[Cut]:
    of_queries = [[query.metadata.get(column)] for query in queries]
    of_answers = [[document.metadata.get(column) for document in row] for row in answers]
    sides = [(f"query: {column}", of_queries), (f"document: {column}", of_answers)]
    known = [(by, rows) for by, rows in sides if any(value is not None for row in rows for value in row)]
    if not known:
        held = [*(query.metadata for query in queries), *(document.metadata for document in task.documents)]
        columns = {str(name) for each in held for name in each}
        raise UnknownName.among(column, sorted(columns), kind="column of metadata")
    for by, rows in known:
        yield from _parts(by, rows)


def _parts(by: str, held: Sequence[Sequence[Any]]) -> Iterator[Cut]:
    """Thirds of a column of many numbers; of any other a part for each of its commonest values, lists giving several."""
    rows = [[value for each in row for value in (each if isinstance(each, list | tuple) else [each])] for row in held]
    rows = [[value for value in row if value is not None] for row in rows]
    numbers = [isinstance(value, Real) and not isinstance(value, bool) for row in rows for value in row]
    if all(numbers) and len({value for row in rows for value in row}) > MOST and all(rows):
        yield from _thirds(by, [_mean(row) for row in rows], whole=False)
        return
    counts: dict[str, int] = {}
    names = [{str(value) for value in row} for row in rows]
    for name in (name for row in names for name in row):
        counts[name] = counts.get(name, 0) + 1
    for name in sorted(counts, key=lambda name: (-counts[name], name))[:MOST]:
        yield Cut(by, name, np.array([name in row for row in names]))


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
