"""How often each word stands in each document: what topics are learnt from, and judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vicino.errors import DimensionMismatch, EmptyInput, InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["as_counts", "halves"]


def as_counts(counts: Any, *, n_words: int | None = None, least: int = 1) -> csr_array:
    """(documents, words) numbers from 0 on, dense or sparse, as float32 CSR with each word once; `least` is their least sum.

    Raises DimensionMismatch where there are not `n_words` columns, InputError where a count cannot be, EmptyInput for fewer.

    >>> as_counts([[0, 2]], n_words=2).indices.tolist()
    [1]
    """
    from scipy.sparse import csr_array

    rows: csr_array = csr_array(counts).astype(np.float32)
    if rows.ndim != 2:
        raise InputError(f"counts of shape {rows.shape} are not (documents, words)", mend="give a row for each document")
    rows.sum_duplicates()
    if n_words is not None and rows.shape[1] != n_words:
        raise DimensionMismatch(f"counts of {rows.shape[1]} words, not {n_words}", mend="count the words that the topics know")
    if not np.isfinite(rows.data).all() or (rows.data < 0).any():
        raise InputError("a count is negative or not a number", mend="give how often each word stands in each document")
    if rows.sum() < least:
        raise EmptyInput("no document has a word", mend="give documents with words, or lower min_count")
    return rows


def halves(counts: csr_array, seed: int = 0) -> tuple[csr_array, csr_array]:
    """The tokens of each document in two halves, at random; the first has one more where their number is odd.

    >>> from scipy.sparse import csr_array
    >>> first, second = halves(csr_array([[3, 0, 2]]))
    >>> int(first.sum()), int(second.sum()), (first + second).toarray().tolist()
    (3, 2, [[3.0, 0.0, 2.0]])
    """
    counts = as_counts(counts, least=0)
    cells = np.repeat(np.arange(counts.nnz), counts.data.astype(np.int64))  # of each token
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))[cells]
    shuffled = np.lexsort((np.random.default_rng(seed).random(len(cells)), rows))
    lengths = np.bincount(rows, minlength=counts.shape[0])
    places = np.arange(len(cells)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    early = cells[shuffled][places < np.repeat((lengths + 1) // 2, lengths)]
    first, second = counts.copy(), counts.copy()
    first.data = np.bincount(early, minlength=counts.nnz).astype(np.float32)
    second.data -= first.data
    return first, second
