"""How well the words of a topic belong together, by how often they stand in the same documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import EmptyInput, InputError
from vicino.metrics.values import Values

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["npmi"]


def npmi(topics: ArrayLike, counts: csr_array) -> Values:
    """The coherence of each topic, in [-1, 1]: the mean normalised pointwise mutual information of all pairs of its words.

    `topics` is (topics, words) int, the columns of each topic's best words (ten as a rule); `counts` (documents, words) CSR is
    the reference corpus, of which only whether a word stands in a document counts. With p the share of the documents that hold
    a word, or both: ln(p(a, b) / (p(a) p(b))) / -ln p(a, b); -1 for words that never meet, 1 for two that are everywhere.
    Lau, Newman and Baldwin 2014, "Machine reading tea leaves", who count windows of ten words where this counts documents.

    Raises InputError where a topic's words are not columns, or fewer than two; EmptyInput where there are no documents.

    >>> from scipy.sparse import csr_array
    >>> npmi([[0, 1], [0, 2]], csr_array([[1, 5, 0], [2, 1, 0], [0, 0, 1], [0, 0, 1]])).tolist()
    [1.0, -1.0]
    """
    best = np.asarray(topics)
    if best.ndim != 2 or best.shape[1] < 2 or best.dtype.kind not in "iu":
        raise InputError(f"topics of shape {best.shape} are not rows of word numbers", mend="give (topics, 10) columns")
    if best.size and (best.min() < 0 or best.max() >= counts.shape[1]):
        raise InputError(f"a topic names a word outside 0 to {counts.shape[1] - 1}", mend="count the words that the topics know")
    if not counts.shape[0]:
        raise EmptyInput("there are no documents to count words in", mend="give a reference corpus")
    words, places = np.unique(best, return_inverse=True)
    present = (counts[:, words] > 0).astype(np.float64)
    together = (present.T @ present).toarray() / counts.shape[0]
    left, right = np.triu_indices(best.shape[1], 1)
    places = places.reshape(best.shape)
    pairs = _npmi(together, places[:, left], places[:, right])
    coherence: Values = pairs.mean(axis=1)
    return coherence


def _npmi(together: Values, a: NDArray[np.int64], b: NDArray[np.int64]) -> Values:
    both, alone = together[a, b], together.diagonal()
    met = (both > 0) & (both < 1)
    safe = np.where(met, both, 0.5)
    apart = np.where(met, alone[a] * alone[b], 0.25)
    values: Values = np.where(met, np.log(safe / apart) / -np.log(safe), np.where(both > 0, 1.0, -1.0))
    return values
