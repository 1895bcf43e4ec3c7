"""The compiled half of the corpus: bytes to numbered pieces, pieces to words, words that stand together.

A piece is what `vicino.data.text` calls so, a run of ASCII letters, digits and `_` and of anything that is not ASCII; in UTF-8
that can be seen byte by byte. Pieces are looked up by FNV-1a hashes in an open table, whose arrays the caller enlarges.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["END", "Pieces", "fill_slots", "join_pairs", "number_pieces", "place"]

END = -1  # stands in a stream of pieces where a sentence ends

_BASIS, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_32 = np.uint64(32)

Array = NDArray[Any]

compiled = njit(cache=True, nogil=True)
inlined = njit(cache=True, nogil=True, inline="always")


class Pieces(NamedTuple):
    """The distinct pieces of a text: piece p is `spelling[starts[p]:starts[p + 1]]` and came `counts[p]` times."""

    slots: NDArray[np.int32]  # (a power of two,) by hash; -1 is free
    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    spelling: NDArray[np.uint8]


@compiled
def number_pieces(block: Array, at: int, classes: Array, pieces: Pieces, n: int, stream: Array) -> tuple[int, int, int]:
    """Number the pieces of a block from byte `at` on, and count them; END where a sentence ends.

    `classes` (256,) says of each byte: 0 parts, 1 belongs to a piece, 2 parts and ends the sentence. `n` is how many pieces there
    are. Returns (at, n, how many numbers were written to `stream`); `at` is before the end where the table must be enlarged.
    """
    slots, hashes, starts, counts, spelling = pieces
    mask = np.uint64(slots.size - 1)
    written = 0
    while at < block.size:
        kind = classes[block[at]]
        if kind != 1:
            if kind == 2:
                stream[written] = END
                written += 1
            at += 1
            continue
        end = at
        hashed: Any = _BASIS
        while end < block.size and classes[block[end]] == 1:
            hashed = (hashed ^ np.uint64(block[end])) * _PRIME
            end += 1
        slot: Any = _slot(hashed, mask)
        while True:
            piece = slots[slot]
            if piece < 0 or (hashes[piece] == hashed and _equal(block, at, end, spelling, starts[piece], starts[piece + 1])):
                break
            slot = (slot + np.uint64(1)) & mask
        if piece < 0:
            if 2 * (n + 1) > slots.size or n + 1 >= starts.size or starts[n] + end - at > spelling.size:
                break
            piece = n
            slots[slot], hashes[n], counts[n] = n, hashed, 0
            for i in range(end - at):
                spelling[starts[n] + i] = block[at + i]
            starts[n + 1] = starts[n] + end - at
            n += 1
        counts[piece] += 1
        stream[written] = piece
        written += 1
        at = end
    return at, n, written


@inlined
def _slot(hashed: Any, mask: Any) -> Any:
    return ((hashed * _GOLDEN) >> _32) & mask


@inlined
def _equal(block: Array, at: int, end: int, spelling: Array, start: int, stop: int) -> bool:
    if end - at != stop - start:
        return False
    same = True
    for i in range(end - at):
        same &= block[at + i] == spelling[start + i]
    return same


@compiled
def fill_slots(slots: Array, hashes: Array, n: int) -> None:
    """Put the first n pieces into an empty table."""
    mask = np.uint64(slots.size - 1)
    for piece in range(n):
        slot = _slot(hashes[piece], mask)
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = piece


@compiled
def place(
    stream: Array, firsts: Array, words: Array, limit: int, keep_empty: bool, ids: Array, offsets: Array, done: tuple[int, int]
) -> tuple[int, int]:
    """Write the words of a stream of pieces, and where sentences end; `done` is (words, sentences) so far, returned anew.

    Piece p gives `words[firsts[p]:firsts[p + 1]]`. A sentence of `limit` words ends there; 0 is no limit. Without `keep_empty`,
    sentences without a word are left out.
    """
    n_words, n_sentences = done
    for piece in stream:
        if piece == END:
            if keep_empty or n_words > offsets[n_sentences]:
                n_sentences += 1
                offsets[n_sentences] = n_words
            continue
        for at in range(firsts[piece], firsts[piece + 1]):
            ids[n_words] = words[at]
            n_words += 1
            if n_words - offsets[n_sentences] == limit:
                n_sentences += 1
                offsets[n_sentences] = n_words
    return n_words, n_sentences


@compiled
def join_pairs(ids: Array, offsets: Array, keys: Array, n_words: int, stream: Array) -> int:
    """Write sentences to `stream`, END after each, with chosen pairs of neighbours made one; returns how many numbers.

    `keys` (ascending) are left · n_words + right for each chosen pair; pair p becomes the number n_words + p. From left to right:
    a word that was joined is not joined again.
    """
    written = 0
    for sentence in range(offsets.size - 1):
        at, end = offsets[sentence], offsets[sentence + 1]
        while at < end:
            number = np.int64(ids[at])
            if at + 1 < end:
                key = number * n_words + ids[at + 1]
                pair = np.searchsorted(keys, key)
                if pair < keys.size and keys[pair] == key:
                    number = n_words + pair
                    at += 1
            stream[written] = number
            written += 1
            at += 1
        stream[written] = END
        written += 1
    return written
