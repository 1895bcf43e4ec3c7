"""How one part of a recipe scores every passage for one question: exactly, whatever its index would have passed by.

It is what explanations count in: the rank of any passage, and the share of documents that score lower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.text import encode_corpus
from vicino.retrieval.base import Retriever
from vicino.retrieval.dense import Dense
from vicino.retrieval.lexical import Lexical

__all__ = ["Census", "Scoring", "name_of", "score_all", "score_by_vector"]

_AT_ONCE = 1 << 16  # rows whose vectors are compared together: an index may have to copy them


@dataclass(frozen=True, eq=False)
class Census:
    """Who stands in which row of a part: `row` of each key, and the number of the document of each row, -1 for nobody."""

    ids: NDArray[np.object_]
    row: dict[str, int]
    owner: NDArray[np.int64]
    documents: int

    @classmethod
    def of(cls, ids: NDArray[np.object_], document_of: Callable[[str], tuple[str, str]]) -> Census:
        """Count the rows of a part.

        >>> one = Census.of(np.array(["a:0", "a:1", None, "b:0"], dtype=object), lambda key: ("s", key[0]))
        >>> one.owner.tolist(), one.documents
        ([0, 0, -1, 1], 2)
        """
        row = {key: place for place, key in enumerate(ids) if key is not None}
        numbers: dict[tuple[str, str], int] = {}
        owner = np.full(len(ids), -1, dtype=np.int64)
        owner[list(row.values())] = [numbers.setdefault(document_of(key), len(numbers)) for key in row]
        return cls(ids, row, owner, len(numbers))


@dataclass(frozen=True, eq=False)
class Scoring:
    """`scores` (rows,) of a question by one part: -inf where a passage is no answer, as it shares no word or may not be found."""

    part: Retriever
    census: Census
    scores: NDArray[np.float32]

    def among(self, keys: Iterable[str] | None) -> Scoring:
        """Of these passages alone; None for all."""
        if keys is None:
            return self
        rows = [row for key in keys if (row := self.census.row.get(key)) is not None]
        scores = np.full_like(self.scores, -np.inf)
        scores[rows] = self.scores[rows]
        return replace(self, scores=scores)

    def score(self, key: str) -> float | None:
        """The score of a passage, None where it is no answer."""
        row = self.census.row.get(key)
        return None if row is None or np.isneginf(self.scores[row]) else float(self.scores[row])

    def rank(self, key: str) -> int | None:
        """The place of a passage among all, from 1; equal scores share one."""
        score = self.score(key)
        return None if score is None else 1 + int((self.scores > np.float32(score)).sum())

    def best(self) -> NDArray[np.float32]:
        """(documents,) the score of each document's best passage."""
        found = np.full(self.census.documents, -np.inf, dtype=np.float32)
        there = self.census.owner >= 0
        np.maximum.at(found, self.census.owner[there], self.scores[there])
        return found

    def percentile(self, score: float) -> float:
        """The share of all documents whose best passage scores lower, in percent."""
        best = self.best()
        return round(100 * float((best < np.float32(score)).sum()) / max(1, len(best)), 2)


def name_of(part: Retriever) -> str:
    """What a person calls a part: bm25, its encoder, or its kind."""
    return part.encoder if isinstance(part, Dense) else "bm25" if isinstance(part, Lexical) else part.family


def score_all(part: Lexical | Dense, query: str, census: Census) -> Scoring:
    """The exact score of every passage of a part. Raises what encoding raises."""
    if isinstance(part, Dense):
        return score_by_vector(part, part.encoder_.encode_query([query]), census)
    return Scoring(part, census, _lexical(part, query))


def score_by_vector(part: Dense, vector: Any, census: Census) -> Scoring:
    """The exact score of every passage for a vector of the part's space, (1, dim)."""
    return Scoring(part, census, _dense(part, vector))


def _lexical(part: Lexical, query: str) -> NDArray[np.float32]:
    ids = part._require_built()
    scores = np.full(len(ids), -np.inf, dtype=np.float32)
    if len(ids):
        words = encode_corpus([query], part._analyzer(), part.vocabulary_, grow=False)
        rows, found = part._rank([words[0]], len(ids), part._allowed(None))
        _put(scores, rows[0], found[0])
    return scores


def _dense(part: Dense, vector: Any) -> NDArray[np.float32]:
    ids = part._require_built()
    scores = np.full(len(ids), -np.inf, dtype=np.float32)
    live = np.flatnonzero(ids != None)  # noqa: E711 - of each element
    if len(live):
        index = part._require_index()
        asked = index._check(vector, index.dim_)
        whole = bool({"exact", "whole"} & index.capabilities) and len(live) == len(ids)
        blocks: list[Any] = [None] if whole else [live[start : start + _AT_ONCE] for start in range(0, len(live), _AT_ONCE)]
        for block in blocks:
            rows, found = index._search(asked, len(live) if block is None else len(block), block, None)
            _put(scores, rows[0], found[0])
    return scores


def _put(scores: NDArray[np.float32], rows: NDArray[np.int64], found: NDArray[np.float32]) -> None:
    there = rows >= 0
    scores[rows[there]] = found[there]
