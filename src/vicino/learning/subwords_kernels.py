"""The compiled half of subwords: the n-grams of UTF-8 words, hashed."""

from __future__ import annotations

import numpy as np

from vicino.learning.draw_kernels import Array, compiled

__all__ = ["count", "hash_all"]

_BASIS, _PRIME = np.uint32(2166136261), np.uint32(16777619)


@compiled
def hash_all(text: Array, ends: Array, min_n: int, max_n: int, bucket: int, starts: Array, into: Array) -> None:
    """The bucket of each n-gram; word w is the bytes `text[ends[w]:ends[w + 1]]`, its n-grams go from `into[starts[w]]` on.

    FNV-1a, 32 bits (Fowler, Noll and Vo), of bytes as signed numbers: so fastText began, and so all its models are.
    """
    for word in range(ends.size - 1):
        last, at = ends[word + 1], starts[word]
        for start in range(ends[word], last):
            if _continues(text[start]):
                continue
            hashed, n, byte = _BASIS, 0, start
            while byte < last and n < max_n:
                hashed = np.uint32((hashed ^ np.uint32(np.int8(text[byte]))) * _PRIME)
                byte += 1
                while byte < last and _continues(text[byte]):
                    hashed = np.uint32((hashed ^ np.uint32(np.int8(text[byte]))) * _PRIME)
                    byte += 1
                n += 1
                if n >= min_n and not (n == 1 and (start == ends[word] or byte == last)):
                    into[at] = hashed % np.uint32(bucket)
                    at += 1


@compiled
def count(text: Array, ends: Array, min_n: int, max_n: int) -> Array:
    """How many n-grams each word has, the two brackets alone not counted; (words,) int64."""
    counts = np.zeros(ends.size - 1, np.int64)
    for word in range(ends.size - 1):
        length = 0
        for byte in range(ends[word], ends[word + 1]):
            length += not _continues(text[byte])
        for n in range(min_n, min(max_n, length) + 1):
            counts[word] += length - n + 1
        if min_n == 1:
            counts[word] -= min(length, 2)
    return counts


@compiled
def _continues(byte: int) -> bool:
    """Whether a byte of UTF-8 goes on with a character that an earlier one began."""
    return (byte & 0xC0) == 0x80
