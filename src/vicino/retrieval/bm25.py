"""BM25: exact, in memory, over integer terms, with free k1 and b.

A document's score is the sum, over the query's terms (a repeated one counts again), of

    idf(df, N) · (gain · (tf + lift · l) / (tf + depth · l) + floor),    l = 1 - b + b · length / average length

which is Robertson and Zaragoza 2009, "The probabilistic relevance framework: BM25 and beyond", and its best-known variants as
Kamphuis, de Vries, Boytsov and Lin 2020, "Which BM25 do you mean?", and Trotman, Puurula and Burgess 2014, "Improvements to
BM25 and language models examined", state them:

=========  ==================================  =======  ====  ========  =====
variant    idf                                 gain     lift  depth     floor
=========  ==================================  =======  ====  ========  =====
lucene     ln(1 + (N - df + 0.5)/(df + 0.5))   1        0     k1        0
robertson  ln((N - df + 0.5)/(df + 0.5)), ≥ 0  1        0     k1        0
atire      ln(N / df)                          k1 + 1   0     k1        0
bm25+      ln((N + 1) / df)                    k1 + 1   0     k1        1
bm25l      ln((N + 1) / (df + 0.5))            k1 + 1   0.5   k1 + 0.5  0
=========  ==================================  =======  ====  ========  =====

A term that a document lacks adds nothing, with bm25+ and bm25l too (Lv and Zhai 2011 sum over shared terms).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from vicino.errors import ArtifactCorrupt, InputError, NotFitted, UnknownName

if TYPE_CHECKING:
    from vicino.retrieval.bm25_kernels import Postings, Scratch

__all__ = ["BM25", "VARIANTS", "Counts", "Variant"]

_QUERIES_A_TURN = 64  # so many a thread takes at once
_SAVED = {"starts": np.int64, "rows": np.int32, "impacts": np.float32, "n_rows": np.int64}
_HIGHEST_K1 = 1000.0  # beyond, float32 contributions would vanish


class Variant(NamedTuple):
    """A line of the table above: (df, N) -> idf, and k1 -> (gain, lift, depth, floor)."""

    idf: Callable[[NDArray[np.float64], int], NDArray[np.float64]]
    shape: Callable[[float], tuple[float, float, float, float]]


VARIANTS: Mapping[str, Variant] = {
    "lucene": Variant(lambda df, n: np.log1p((n - df + 0.5) / (df + 0.5)), lambda k1: (1.0, 0.0, k1, 0.0)),
    "robertson": Variant(lambda df, n: np.log((n - df + 0.5) / (df + 0.5)).clip(0), lambda k1: (1.0, 0.0, k1, 0.0)),
    "atire": Variant(lambda df, n: np.log(n / df), lambda k1: (k1 + 1, 0.0, k1, 0.0)),
    "bm25+": Variant(lambda df, n: np.log((n + 1) / df), lambda k1: (k1 + 1, 0.0, k1, 1.0)),
    "bm25l": Variant(lambda df, n: np.log((n + 1) / (df + 0.5)), lambda k1: (k1 + 1, 0.5, k1 + 0.5, 0.0)),
}


class Counts(NamedTuple):
    """What the score takes from the whole corpus: documents that hold each term (n_terms,), documents, terms in all."""

    df: NDArray[np.int64]
    rows: int
    length: int

    def __add__(self, other: Counts) -> Counts:  # type: ignore[override]
        """The counts of both corpora together; the shorter vocabulary is the start of the longer one."""
        df = np.zeros(max(len(self.df), len(other.df)), np.int64)
        df[: len(self.df)] += self.df
        df[: len(other.df)] += other.df
        return Counts(df, self.rows + other.rows, self.length + other.length)


class BM25:
    """Ranks documents, given as term ids, by BM25; every answer is exact.

    >>> ids, offsets = np.array([0, 1, 1, 0, 2]), np.array([0, 1, 4, 5])  # three documents: [0], [1, 1, 0], [2]
    >>> rows, scores = BM25().build(ids, offsets, n_terms=3).search([np.array([1, 0])], k=2)
    >>> rows.tolist(), scores.astype(float).round(3).tolist()
    ([[1, 0]], [[0.661, 0.255]])
    """

    def __init__(self, k1: float = 1.2, b: float = 0.75, variant: str = "lucene") -> None:
        """Raises UnknownName for a variant that is not in VARIANTS, InputError for a k1 or b out of range."""
        if variant not in VARIANTS:
            raise UnknownName.among(variant, VARIANTS, kind="BM25 variant")
        if not 0 <= k1 <= _HIGHEST_K1:
            raise InputError(f"k1={k1} is out of range", mend=f"give 0 to {_HIGHEST_K1:g}; 0.9 to 2 is usual")
        if not 0 <= b <= 1:
            raise InputError(f"b={b} is out of range", mend="give 0 (length does not matter) to 1 (it matters fully)")
        self.k1, self.b, self.variant = k1, b, variant
        self._postings: Postings | None = None
        self.counts: Counts | None = None
        self._n_rows = 0
        self._spare: list[Scratch] = []

    def build(self, ids: NDArray[Any], offsets: NDArray[Any], n_terms: int, *, beside: Counts | None = None) -> Self:
        """Index documents: row i has the terms `ids[offsets[i]:offsets[i + 1]]`, each under `n_terms`.

        Negative ids are unknown terms: they are left out, and out of the length too. `beside` counts documents that stand in
        another engine: they are added, so that the scores of both can be compared. Raises InputError.
        """
        from vicino.retrieval import bm25_kernels as kernels

        _check_corpus(ids, offsets, n_terms)
        starts, rows, impacts, lengths = kernels.invert(
            np.ascontiguousarray(ids, np.int32), np.ascontiguousarray(offsets, np.int64), n_terms
        )
        self.counts = Counts(np.diff(starts), len(lengths), int(lengths.sum()))
        known, variant = self.counts if beside is None else self.counts + beside, VARIANTS[self.variant]
        idf, df = np.zeros(n_terms), known.df[:n_terms]
        idf[df > 0] = variant.idf(df[df > 0].astype(np.float64), known.rows)
        relative_lengths = 1 - self.b + self.b * lengths / (known.length / known.rows if known.length else 1)
        kernels.weigh(starts, rows, impacts, relative_lengths, idf, variant.shape(float(self.k1)))
        return self._take(starts, rows, impacts, len(lengths))

    def search(
        self, query_ids: Sequence[NDArray[Any]], k: int, *, allow: NDArray[np.bool_] | None = None, threads: int = 1
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k best rows of each query, best first, equal scores by row: (n, k) rows and (n, k) scores.

        Only rows that share a term of weight with the query are answers; missing ones are -1 and -inf. Terms that the
        corpus lacks count for nothing. `allow`, (rows,), is False where a row must not be found. Queries are shared out
        among `threads`. Raises NotFitted or InputError.
        """
        self._require_built()
        if k < 1 or threads < 1:
            raise InputError(f"k={k} and threads={threads} must be at least 1", mend="ask for one answer or more")
        if allow is not None and allow.shape != (self._n_rows,):
            raise InputError(f"allow has the shape {allow.shape}", mend=f"give one flag for each of {self._n_rows} rows")
        n = len(query_ids)
        rows, scores = np.full((n, k), -1, np.int64), np.full((n, k), -np.inf, np.float32)
        offsets = np.zeros(n + 1, np.int64)
        np.cumsum([len(ids) for ids in query_ids], out=offsets[1:])
        queries = np.concatenate([np.empty(0, np.int64), *query_ids], dtype=np.int64, casting="unsafe")

        def answer(start: int, end: int) -> None:
            self._answer(queries, offsets[start : end + 1], allow, rows[start:end], scores[start:end])

        if threads == 1 or n <= _QUERIES_A_TURN:
            answer(0, n)
        else:
            turns = range(0, n, _QUERIES_A_TURN)
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda start: answer(start, min(n, start + _QUERIES_A_TURN)), turns))
        return rows, scores

    def explain(self, query_ids: NDArray[Any], row: int) -> list[tuple[int, float]]:
        """What each term of the query adds to the score of `row`: (term, contribution), highest first. Zeros are left out."""
        postings = self._require_built()
        added = []
        for term, times in zip(*np.unique(np.asarray(query_ids, np.int64), return_counts=True), strict=True):
            if 0 <= term < len(postings.bounds):
                start, end = postings.starts[term : term + 2]
                at = start + np.searchsorted(postings.rows[start:end], row)
                if at < end and postings.rows[at] == row and postings.impacts[at] > 0:
                    added.append((int(term), float(times * postings.impacts[at])))
        return sorted(added, key=lambda pair: (-pair[1], pair[0]))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that was built, to be saved; `from_arrays` of a BM25 with the same parameters takes it back."""
        postings = self._require_built()
        saved = (postings.starts, postings.rows, postings.impacts, np.array([self._n_rows]))
        return dict(zip(_SAVED, saved, strict=True))

    def from_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `arrays` gave. Raises ArtifactCorrupt where it cannot be that."""
        missing = _SAVED.keys() - arrays.keys()
        if missing:
            raise ArtifactCorrupt(f"the BM25 index lacks {', '.join(sorted(missing))}", mend="build it again")
        starts, rows, impacts, sizes = (np.require(arrays[name], dtype, ["C", "W"]) for name, dtype in _SAVED.items())
        _check_postings(starts, rows, impacts, int(sizes[0]))
        return self._take(starts, rows, impacts, int(sizes[0]))

    @property
    def n_rows(self) -> int:
        """How many documents it holds."""
        return self._n_rows

    @property
    def nbytes(self) -> int:
        """The memory of the index in bytes; each thread that searches takes 9 more a document."""
        return sum(array.nbytes for array in self._require_built())

    def _take(self, starts: NDArray[Any], rows: NDArray[Any], impacts: NDArray[Any], n_rows: int) -> Self:
        from vicino.retrieval import bm25_kernels as kernels

        jumps = kernels.jump_tables(starts, rows, n_rows)
        self._postings = kernels.Postings(starts, rows, impacts, kernels.highest(starts, impacts), *jumps)
        self._n_rows, self._spare = n_rows, []
        return self

    def _answer(
        self,
        queries: NDArray[np.int64],
        offsets: NDArray[np.int64],
        allow: NDArray[np.bool_] | None,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> None:
        from vicino.retrieval import bm25_kernels as kernels

        try:
            scratch = self._spare.pop()  # one for each search at a time, whichever thread makes it
        except IndexError:
            sums, listed = np.zeros(self._n_rows, np.float32), np.zeros(self._n_rows, np.bool_)
            scratch = kernels.Scratch(sums, listed, np.empty(self._n_rows + 1, np.uint32))
        if allow is not None:
            np.logical_not(allow, out=scratch.listed)
        kernels.search(queries, offsets, self._require_built(), scratch, rows, scores)
        if allow is not None:
            scratch.listed[:] = False
        self._spare.append(scratch)

    def _require_built(self) -> Postings:
        if self._postings is None:
            raise NotFitted("this BM25 holds no documents", mend="call .build(ids, offsets, n_terms) first")
        return self._postings


def _check_corpus(ids: NDArray[Any], offsets: NDArray[Any], n_terms: int) -> None:
    if ids.ndim != 1 or offsets.ndim != 1 or not len(offsets) or offsets[0] or offsets[-1] != len(ids):
        raise InputError(f"offsets do not frame {ids.size} term ids", mend="start them at 0 and end them at len(ids)")
    if np.any(np.diff(offsets) < 0):
        raise InputError("offsets fall", mend="give the start of each document, in order")
    if len(ids) and ids.max() >= n_terms:
        raise InputError(f"term {ids.max()} is not under n_terms={n_terms}", mend="give the size of the vocabulary")


def _check_postings(starts: NDArray[Any], rows: NDArray[Any], impacts: NDArray[Any], n_rows: int) -> None:
    """A damaged index would make compiled code write where it must not. Raises ArtifactCorrupt."""
    fits = (
        n_rows >= 0
        and len(starts) > 0
        and starts[0] == 0
        and starts[-1] == len(rows) == len(impacts)
        and np.all(np.diff(starts) >= 0)
    )
    if fits and len(rows):
        within = np.ones(len(rows) - 1, np.bool_)  # whether two neighbours belong to one term
        within[starts[(starts > 0) & (starts < len(rows))] - 1] = False
        weightless = impacts == 0  # all postings of a term, or none
        fits = rows.min() >= 0 and rows.max() < n_rows and np.all(impacts >= 0)
        fits = fits and np.all((np.diff(rows) > 0)[within]) and np.all((weightless[1:] == weightless[:-1])[within])
    if not fits:
        raise ArtifactCorrupt("the arrays of the BM25 index do not fit together", mend="build it again")
