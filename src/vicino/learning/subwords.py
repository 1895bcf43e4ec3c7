"""Words as their character n-grams, so that words never met before have vectors too.

Bojanowski, Grave, Joulin and Mikolov 2017, "Enriching word vectors with subword information". A word stands in angle brackets,
"<where>", so that prefixes and suffixes are n-grams of their own: of 3 characters "<wh", "whe", "her", "ere" and "re>". Each is
hashed into a bucket, and n-grams that share a bucket share a row. Only the buckets of the words that are learnt from have rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError

if TYPE_CHECKING:
    from vicino.learning.skipgram_kernels import Parts

__all__ = ["Ngrams", "Subwords", "parts"]


@dataclass(frozen=True)
class Ngrams:
    """Word w has the n-grams of the buckets `buckets[starts[w]:starts[w + 1]]`; one that it has twice counts twice."""

    starts: NDArray[np.int64]
    buckets: NDArray[np.uint32]

    def means(self, rows: NDArray[np.float32], own: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """The mean of each word's rows: those of its buckets, and its own; zeros for a word without any. (n, d) float32."""
        from scipy.sparse import csr_array

        sizes = np.diff(self.starts)
        gather = csr_array((np.ones(len(self.buckets), np.float32), self.buckets, self.starts), shape=(len(sizes), len(rows)))
        sums = gather @ rows if own is None else own + gather @ rows
        return np.asarray(sums / np.maximum(sizes + (own is not None), 1)[:, None], dtype=np.float32)

    def within(self, used: NDArray[np.uint32]) -> Ngrams:
        """Only those whose buckets are among the sorted `used`, each numbered by its place there."""
        places = np.searchsorted(used, self.buckets)
        here = places < len(used)
        here[here] = used[places[here]] == self.buckets[here]
        return Ngrams(np.concatenate([[0], np.cumsum(here)])[self.starts], places[here].astype(np.uint32))


@dataclass(frozen=True)
class Subwords:
    """N-grams of `min_n` to `max_n` characters, hashed into `bucket` buckets as fastText does it.

    Raises InputError where a number cannot be.

    >>> Subwords(3, 3, 2_000_000).of(["where"]).buckets.size
    5
    """

    min_n: int
    max_n: int
    bucket: int

    def __post_init__(self) -> None:
        for name, most in (("min_n", None), ("max_n", None), ("bucket", 2**32 - 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1 or (most and value > most):
                raise InputError(f"{name}={value!r} cannot be", mend="give min_n=3, max_n=6, bucket=2_000_000")
        if self.min_n > self.max_n:
            raise InputError(
                f"min_n={self.min_n} is more than max_n={self.max_n}: no n-gram is so long", mend="give min_n=3, max_n=6"
            )

    def of(self, words: Sequence[str]) -> Ngrams:
        """The buckets of each word's n-grams."""
        from vicino.learning import subwords_kernels as kernels

        spelled = [f"<{word}>".encode("utf-8", "surrogatepass") for word in words]
        ends = np.cumsum([0, *map(len, spelled)], dtype=np.int64)
        text = np.frombuffer(b"".join(spelled), np.uint8)
        starts = np.cumsum(np.concatenate([[0], kernels.count(text, ends, self.min_n, self.max_n)]), dtype=np.int64)
        buckets = np.empty(starts[-1], np.uint32)
        kernels.hash_all(text, ends, self.min_n, self.max_n, self.bucket, starts, buckets)
        return Ngrams(starts, buckets)


def parts(ngrams: Ngrams) -> Parts:
    """For the kernel of skip-gram: word w of n is the mean of input w and, for each of its buckets b, of input n + b.

    >>> found = parts(Ngrams(np.array([0, 2, 3]), np.array([0, 1, 1], np.uint32)))
    >>> found.starts.tolist(), found.rows.tolist()
    ([0, 3, 5], [0, 2, 3, 1, 3])
    """
    from vicino.learning.skipgram_kernels import Parts

    n = len(ngrams.starts) - 1
    return Parts(
        ngrams.starts + np.arange(n + 1),
        np.insert(ngrams.buckets + np.uint32(n), ngrams.starts[:-1], np.arange(n, dtype=np.uint32)),
    )
