"""Texts that say the same in nearly the same words: pairs whose sets of words overlap, found without comparing all with all.

Likeness is Jaccard's: shared words by all words of two texts. Candidates are found by MinHash and banding (Broder 1997, "On the
resemblance and containment of documents"; Indyk and Motwani 1998), and then compared word by word, so that none is found falsely.
128 hashes in 32 bands of 4: a pair alike to .6 is missed once in 85 times, to .7 once in 6,000, to .8 never to speak of. Where
more than 500 texts agree in a band, such as the same line a thousand times, each is compared with its neighbours and the first
only: enough to link them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vicino.data.text import Analyzer, encode_corpus
from vicino.errors import InputError

__all__ = ["near_duplicates", "same_text"]

_BANDS, _ROWS = 32, 4
_PRIME = np.uint64(2**61 - 1)
_CROWD = 500  # texts that agree in a band and are compared all with all
_BLOCK = 1_000_000  # candidates compared at a time

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
    both = [*texts, *(others or [])]
    corpus = encode_corpus(both, Analyzer(), label="comparing texts")
    rows, words = _distinct(corpus.ids, corpus.offsets)
    sizes = np.bincount(rows, minlength=len(both))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    found = []
    for pairs in _candidates(words, starts[:-1], np.flatnonzero(sizes)):
        if others is not None:
            pairs = pairs[(pairs[:, 0] < len(texts)) & (pairs[:, 1] >= len(texts))]
        likeness = _likeness(words, starts, pairs)
        found.append(pairs[likeness >= threshold])
    kept = np.unique(np.concatenate(found), axis=0) if found else np.empty((0, 2), np.int64)
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


def _candidates(words: Pairs, starts: NDArray[np.int64], texts: NDArray[np.int64]) -> list[Pairs]:
    """Pairs of texts that agree in a whole band, band by band; `texts` are those that have words."""
    if len(texts) < 2:
        return []
    random = np.random.default_rng(0)
    found, seen = [], np.empty(0, np.int64)
    for _ in range(_BANDS):
        band = np.zeros(len(texts), np.uint64)
        for _ in range(_ROWS):
            factor, shift = random.integers(1, 2**31, size=2, dtype=np.uint64)
            hashes = _mixed(words.astype(np.uint64) * factor + shift)
            band = _mixed(band ^ np.minimum.reduceat(hashes, starts[texts]))
        pairs = _within_groups(band, texts)
        keys = pairs[:, 0] * (int(texts[-1]) + 1) + pairs[:, 1]
        new = ~np.isin(keys, seen)
        seen = np.union1d(seen, keys)
        found.extend(np.array_split(pairs[new], max(1, -(-int(new.sum()) // _BLOCK))))
    return found


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of each number (the finaliser of MurmurHash3)."""
    numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return numbers ^ (numbers >> np.uint64(33))


def _within_groups(keys: NDArray[np.uint64], texts: NDArray[np.int64]) -> Pairs:
    """All pairs within each run of equal keys, of a crowd only neighbours and each with the first."""
    order = np.argsort(keys, kind="stable")
    _, first, sizes = np.unique(keys[order], return_index=True, return_counts=True)
    pairs = []
    for size in np.unique(sizes[sizes > 1]):
        runs = texts[order[first[sizes == size][:, None] + np.arange(size)]]
        left, right = np.triu_indices(size, 1) if size <= _CROWD else _linked(size)
        pairs.append(np.stack([runs[:, left], runs[:, right]], axis=2).reshape(-1, 2))
    return np.sort(np.concatenate(pairs), axis=1) if pairs else np.empty((0, 2), np.int64)


def _linked(size: int) -> tuple[Pairs, Pairs]:
    later = np.arange(1, size)
    return np.concatenate([later - 1, np.zeros(size - 2, np.int64)]), np.concatenate([later, later[1:]])


def _likeness(words: Pairs, starts: NDArray[np.int64], pairs: Pairs) -> NDArray[np.float64]:
    """Jaccard's likeness of each pair of texts."""
    sizes = np.diff(starts)
    lengths = sizes[pairs].sum(axis=1)
    owner = np.repeat(np.arange(len(pairs)), lengths)
    width = int(words.max(initial=0)) + 1
    ahead = np.concatenate([[0], np.cumsum(sizes[pairs].ravel())])[:-1]
    spans = np.repeat(starts[pairs.ravel()] - ahead, sizes[pairs.ravel()])
    keys = owner * width + words[spans + np.arange(len(spans))]
    union = np.bincount(np.unique(keys) // width, minlength=len(pairs))
    return np.asarray((lengths - union) / np.maximum(union, 1))
