"""How good rankings are, one value a query, from what people judged.

`judge` looks up every ranked document among the judgments, once; each metric is then a few lines over the arrays of
a `Judged`. Values equal trec_eval's, which tests check through ir-measures. The rules that all of them share:

- A document is relevant where its grade is at least 1. Negative grades count as 0, unjudged documents as not relevant.
- `k` cuts every ranking after k ranks; None takes all of it. A ranking shorter than k is not forgiven: what it does not
  hold, it did not find.
- A query without any relevant document gets 0. To average it in would punish every ranking alike, so whoever reports
  should drop queries without judgments and say how many they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import DuplicateIds, InputError
from vicino.metrics.values import Values

__all__ = ["Judged", "average_precision", "judge", "judged_share", "mrr", "ndcg", "precision", "recall", "success"]


@dataclass(frozen=True, eq=False)
class Judged:
    """Rankings of n queries, k documents deep, seen through the judgments. `judge` makes it."""

    gains: Values  # (n, k) grade of the document at each rank; 0 where unjudged, negative or padding
    known: NDArray[np.bool_]  # (n, k) whether anybody judged the document
    retrieved: NDArray[np.bool_]  # (n, k) whether there is a document: False is padding
    ideal: Values  # (n, m) the positive grades of each query, highest first, then zeros
    relevant: NDArray[np.int64]  # (n,) how many documents are relevant


def judge(ranked_ids: NDArray[np.object_], qrels: Sequence[Mapping[str, int]]) -> Judged:
    """See rankings through judgments.

    `ranked_ids` (n, k): document ids, best first, padded with None. `qrels`: for each row, document id -> grade; empty
    where a query has no judgments. Raises DuplicateIds where a ranking names a document twice, InputError where the
    shapes do not fit.

    >>> ranked = np.array([["a", "b", None]], dtype=object)
    >>> judged = judge(ranked, [{"a": 0, "b": 2, "c": 1}])
    >>> judged.gains, judged.ideal, judged.relevant
    (array([[0., 2., 0.]]), array([[2., 1.]]), array([2]))
    """
    if ranked_ids.ndim != 2 or len(ranked_ids) != len(qrels):
        raise InputError(
            f"rankings of shape {ranked_ids.shape} do not fit the judgments of {len(qrels)} queries",
            mend="give one row of ranked ids and one mapping of judgments for each query, in the same order",
        )
    gains = np.zeros(ranked_ids.shape)
    known = np.zeros(ranked_ids.shape, dtype=bool)
    retrieved = np.zeros(ranked_ids.shape, dtype=bool)
    for row, grades in enumerate(qrels):
        ids: list[str | None] = ranked_ids[row].tolist()
        _require_distinct(ids, row)
        retrieved[row] = [document is not None for document in ids]
        known[row] = [document in grades for document in ids]
        gains[row] = [grades.get(document, 0) if document is not None else 0 for document in ids]
    ideal = _ideal(qrels)
    return Judged(np.maximum(gains, 0), known, retrieved, ideal, np.count_nonzero(ideal, axis=1))


def ndcg(judged: Judged, k: int | None = None) -> Values:
    """Normalised discounted cumulative gain: DCG / DCG of the ideal ranking, DCG = Σ grade / log2(rank + 1).

    As trec_eval has it: the gain is the grade itself, not 2^grade - 1. Järvelin and Kekäläinen, "Cumulated gain-based
    evaluation of IR techniques", ACM TOIS 20(4), 2002.

    >>> ranked = np.array([["poor", "good"]], dtype=object)
    >>> ndcg(judge(ranked, [{"good": 3, "poor": 1}])).round(4)  # (1 + 3 / log2(3)) / (3 + 1 / log2(3))
    array([0.7967])
    """
    # Rounding may lift a perfect ranking above 1 by one unit in the last place: the two sums differ in length.
    return np.minimum(_ratio(_dcg(_head(judged.gains, k)), _dcg(_head(judged.ideal, k))), 1.0)


def recall(judged: Judged, k: int | None = None) -> Values:
    """Relevant documents in the first k ranks / all relevant documents. trec_eval's recall_k.

    >>> ranked = np.array([["a", "x", "b"]], dtype=object)
    >>> recall(judge(ranked, [{"a": 1, "b": 2, "c": 1, "d": 1}]), k=3)
    array([0.5])
    """
    return _ratio(_hits(judged, k).sum(axis=1), judged.relevant)


def mrr(judged: Judged, k: int | None = None) -> Values:
    """Reciprocal rank: 1 / rank of the first relevant document, 0 where the first k ranks hold none.

    Its mean over queries is MRR. Voorhees, "The TREC-8 question answering track report", 1999; with a cutoff as in
    MS MARCO.

    >>> ranked = np.array([["x", "a"], ["x", "y"]], dtype=object)
    >>> mrr(judge(ranked, [{"a": 1}, {"a": 1}]))
    array([0.5, 0. ])
    """
    hits = _hits(judged, k)
    reciprocal: Values = (hits / _ranks(hits)).max(axis=1, initial=0.0)
    return reciprocal


def average_precision(judged: Judged, k: int | None = None) -> Values:
    """Σ precision at the rank of each relevant document found / all relevant documents.

    Its mean over queries is MAP. trec_eval's map and map_cut_k. Buckley and Voorhees, "Evaluating evaluation measure
    stability", SIGIR 2000.

    >>> ranked = np.array([["a", "x", "b"]], dtype=object)
    >>> average_precision(judge(ranked, [{"a": 1, "b": 1}])).round(4)  # (1/1 + 2/3) / 2
    array([0.8333])
    """
    hits = _hits(judged, k)
    precisions = hits.cumsum(axis=1) / _ranks(hits)
    return _ratio((hits * precisions).sum(axis=1), judged.relevant)


def precision(judged: Judged, k: int | None = None) -> Values:
    """Relevant documents in the first k ranks / k, also where fewer than k were found. trec_eval's P_k.

    Without k, the ranks that `judge` was given.

    >>> ranked = np.array([["a", "x", None, None]], dtype=object)
    >>> precision(judge(ranked, [{"a": 1}]), k=4)
    array([0.25])
    """
    hits = _hits(judged, k)
    return _ratio(hits.sum(axis=1), np.full(len(hits), k or hits.shape[1]))


def success(judged: Judged, k: int | None = None) -> Values:
    """1 where the first k ranks hold a relevant document, else 0. trec_eval's success_k; also called hit rate.

    >>> ranked = np.array([["x", "a"]], dtype=object)
    >>> judged = judge(ranked, [{"a": 1}])
    >>> success(judged, k=1), success(judged, k=2)
    (array([0.]), array([1.]))
    """
    found: Values = _hits(judged, k).max(axis=1, initial=0.0)
    return found


def judged_share(judged: Judged, k: int | None = None) -> Values:
    """Judged documents in the first k ranks / documents there; 0 where nothing was found. ir-measures' Judged@k.

    It says how far to trust the other metrics: an unjudged document counts as not relevant, which may be unjust.

    >>> ranked = np.array([["a", "b", "unseen", None]], dtype=object)
    >>> judged_share(judge(ranked, [{"a": 1, "b": 0}]), k=4).round(4)
    array([0.6667])
    """
    return _ratio(_head(judged.known, k).sum(axis=1), _head(judged.retrieved, k).sum(axis=1))


def _require_distinct(ids: list[str | None], row: int) -> None:
    present = [document for document in ids if document is not None]
    if len(set(present)) == len(present):
        return
    twice = next(document for document in present if present.count(document) > 1)
    raise DuplicateIds(
        f"document {twice!r} stands more than once in the ranking of query row {row}",
        mend="keep the best rank of each document before judging, or give the documents distinct ids",
    )


def _ideal(qrels: Sequence[Mapping[str, int]]) -> Values:
    """(n, m) positive grades, highest first; m is the most that any query has."""
    graded = [sorted((grade for grade in grades.values() if grade > 0), reverse=True) for grades in qrels]
    ideal = np.zeros((len(graded), max(map(len, graded), default=0)))
    for row, grades in enumerate(graded):
        ideal[row, : len(grades)] = grades
    return ideal


def _head(matrix: NDArray[Any], k: int | None) -> NDArray[Any]:
    """The first k ranks."""
    if k is not None and k < 1:
        raise InputError(f"a ranking cannot be cut at {k}", mend="give a cutoff of at least 1, or None for no cutoff")
    return matrix[:, :k]


def _hits(judged: Judged, k: int | None) -> Values:
    """1 at each of the first k ranks that holds a relevant document, else 0."""
    return (_head(judged.gains, k) > 0).astype(np.float64)


def _ranks(matrix: Values) -> Values:
    """1, 2, 3 ... one for each column."""
    return np.arange(1.0, matrix.shape[1] + 1)


def _dcg(gains: Values) -> Values:
    # Not a matrix product: BLAS may sum equal rows in different orders, and equal rankings must get equal values.
    total: Values = (gains / np.log2(_ranks(gains) + 1)).sum(axis=1)
    return total


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Values:
    """part / whole, 0 where whole is 0."""
    ratio: Values = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return ratio
