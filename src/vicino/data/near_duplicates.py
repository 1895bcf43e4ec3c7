"""Texts that say the same in nearly the same words: pairs whose sets of words overlap, found without comparing all with all.

Likeness is Jaccard's: shared words by all words of two texts. Candidates are found by MinHash and banding (Broder 1997, "On the
resemblance and containment of documents"; Indyk and Motwani 1998), and then compared word by word, so that none is found falsely.
Bands are so many that a pair just as alike as the threshold is missed once in a hundred times, and pairs that are more alike far
more rarely: with a threshold of .6 a pair alike to .7 once in 200,000. Where more than 500 texts agree in a band, such as the
same line a thousand times, each is compared with its neighbours and the first only: enough to link them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.data.text import Analyzer, encode_corpus
from vicino.errors import InputError

__all__ = ["near_duplicates", "same_text"]

_MISSED = 0.01  # of the pairs that are just as alike as the threshold
_CROWD = 500  # texts that agree in a band and are compared all with all

Pairs = NDArray[np.int64]


def near_duplicates(texts: Sequence[str], others: Sequence[str] | None = None, *, threshold: float = 0.6) -> Pairs:
    """The (m, 2) rows of texts whose words overlap by `threshold` or more, each pair once, sorted.

    Within `texts`, or, given `others`, between a text (first column) and another (second). Words are those of
    `vicino.data.text.Analyzer`, case folded; a text without words is like no other. Raises InputError for a threshold under 0.3,
    below which candidates are missed too often.

    >>> near_duplicates(["wings lift an aeroplane", "an aeroplane: wings lift it", "tea"]).tolist()
    [[0, 1]]
    """
    if not 0.3 <= threshold <= 1:
        raise InputError(f"threshold={threshold} cannot be", mend="give a likeness from 0.3 to 1, such as 0.6")
    from vicino.data.near_duplicates_kernels import alike, band_keys

    both = [*texts, *(others or [])]
    if others is not None and not (len(texts) and len(others)):
        return np.empty((0, 2), np.int64)
    corpus = encode_corpus(both, Analyzer(), label="reading words")
    rows, words = _distinct(corpus.ids, corpus.offsets)
    sizes = np.bincount(rows, minlength=len(both))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    texts_with_words = np.flatnonzero(sizes)
    found = np.empty(0, np.int64)  # pairs as one number, left * len(both) + right
    if len(texts_with_words) > 1:
        random = np.random.default_rng(0)
        bands, hashes = _banding(threshold)
        for _ in progress.track(range(bands), "comparing texts", unit="bands"):
            factors, shifts = random.integers(1, 2**31, size=(2, hashes), dtype=np.uint64)
            runs, ordered = _runs(band_keys(words, starts, texts_with_words, factors, shifts), texts_with_words)
            border = 0 if others is None else len(texts)
            left, right = alike(words, starts, runs, ordered, border, _CROWD, threshold).T
            found = np.union1d(found, left * len(both) + right)
    kept = np.stack(np.divmod(found, len(both) or 1), axis=1)
    kept[:, 1] -= 0 if others is None else len(texts)
    return kept


def same_text(texts: Sequence[str], *, threshold: float = 1.0) -> NDArray[np.int64]:
    """A number for each text, the same for texts that are alike to `threshold` or linked by such: (n,), from 0 on.

    >>> same_text(["red wine", "tea", "wine, red"]).tolist()
    [0, 1, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    left, right = near_duplicates(texts, threshold=threshold).T
    links = coo_array((np.ones(len(left)), (left, right)), shape=(len(texts), len(texts)))
    labels = connected_components(links.tocsr(), directed=False)[1]
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[numbers], dtype=np.int64)


def _distinct(ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each word of each text once: rows of texts and words, sorted."""
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    width = int(ids.max(initial=0)) + 1
    keys = np.unique(rows * width + ids)
    return keys // width, keys % width


def _banding(threshold: float) -> tuple[int, int]:
    """How many bands, and hashes in each: many hashes tell texts apart that share common words only."""
    hashes = 8 if threshold == 1 else min(max(round(math.log(0.05) / math.log(threshold)), 2), 8)
    agree = threshold**hashes  # how probably a pair just as alike agrees in one band
    return (1 if agree == 1 else math.ceil(math.log(_MISSED) / math.log(1 - agree))), hashes


def _runs(keys: NDArray[np.uint64], texts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Texts by their keys, those of one key in order, and where the runs of one key begin, with the end of the last."""
    order = np.argsort(keys, kind="stable")
    changes = np.flatnonzero(np.diff(keys[order])) + 1
    return np.concatenate([[0], changes, [len(keys)]]), texts[order]
