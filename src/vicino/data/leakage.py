"""What of a held-out set was seen in training: the same texts, nearly the same texts, the same relevant documents.

A score on such queries tells how well a model remembers. `Overlap.clean` are those that share nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vicino.data.examples import Examples
from vicino.data.near_duplicates import near_duplicates

__all__ = ["Numbering", "Overlap", "leakage"]

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Numbering:
    """Numbers for texts, from 0 on; texts that differ in case and white space only have the same.

    Texts are told apart by 128 bits of a hash, so that millions of long ones need little memory.

    >>> Numbering().of(["Wings lift.", "tea", "wings  lift."]).tolist()
    [0, 1, 0]
    """

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def of(self, texts: Iterable[str]) -> Rows:
        """The numbers of these texts; new ones get the next."""
        return np.array([self._numbers.setdefault(_digest(text), len(self._numbers)) for text in texts], dtype=np.int64)


def _digest(text: str) -> bytes:
    plain = " ".join(text.casefold().split())
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, eq=False)
class Overlap:
    """`queries` (m,) numbers each held-out row's query, from 0 on; `seen` holds a mask of rows (m,) for each kind of overlap.

    The kinds: "exact texts" and "near texts" of anchors, "shared documents" and "near documents" of what is relevant to them.
    What is exactly the same is not counted as near again.
    """

    queries: Rows
    seen: Mapping[str, Mask]

    def count(self, kind: str) -> int:
        """How many queries have a row with this kind of overlap."""
        return len(np.unique(self.queries[self.seen[kind]]))

    @property
    def n_queries(self) -> int:
        return len(np.unique(self.queries))

    @property
    def clean(self) -> Rows:
        """The rows of queries that share nothing with training, in no row and in no way."""
        touched = np.logical_or.reduce(list(self.seen.values()))
        return np.flatnonzero(~np.isin(self.queries, self.queries[touched]))


def leakage(train: Examples, held_out: Examples, *, threshold: float = 0.6) -> Overlap:
    """What of `held_out` stands in `train`: as an anchor, or as a text that belongs to one.

    Texts labelled 0 and hard negatives belong to nobody: they may stand on both sides. Near is an overlap of words of `threshold`
    or more. Rows are of one query where they have its id, else where they have its text. Raises InputError for a threshold that
    cannot be.

    >>> train = Examples("pairs", ["what lifts?", "what is tea?"], ["Wings lift.", "Tea is a drink."])
    >>> asked = Examples("pairs", ["who lifts?", "what is mate?"], ["wings lift.", "Mate is a drink."])
    >>> overlap = leakage(train, asked)
    >>> [kind for kind in overlap.seen if overlap.count(kind)], overlap.clean.tolist()
    (['shared documents', 'near documents'], [])
    """
    numbering = Numbering()
    known: dict[int, str] = {}  # one text for each number
    learnt = _belonging(train)
    for texts in (train.anchors, [train.positives[row] for row in learnt]):
        known.update(zip(numbering.of(texts).tolist(), texts, strict=True))
    rows = np.array(_belonging(held_out), dtype=np.int64)
    anchors, documents = numbering.of(held_out.anchors), numbering.of(held_out.positives[row] for row in rows.tolist())
    new = {number: text for number, text in zip(anchors.tolist(), held_out.anchors, strict=True) if number not in known}
    for number, row in zip(documents.tolist(), rows.tolist(), strict=True):
        if number not in known:
            new[number] = held_out.positives[row]
    pairs = near_duplicates(list(known.values()), list(new.values()), threshold=threshold)
    near = np.fromiter(new, np.int64, len(new))[pairs[:, 1]]
    exact = np.fromiter(known, np.int64, len(known))
    return Overlap(
        _queries(held_out, anchors),
        {
            "exact texts": np.isin(anchors, exact),
            "near texts": np.isin(anchors, near),
            "shared documents": _mask(rows[np.isin(documents, exact)], len(held_out)),
            "near documents": _mask(rows[np.isin(documents, near)], len(held_out)),
        },
    )


def _belonging(examples: Examples) -> list[int]:
    """The rows whose second text belongs to the first."""
    if examples.kind == "classes":
        return []
    if examples.kind == "labelled":
        return np.flatnonzero(examples.labels == 1).tolist()
    return list(range(len(examples)))


def _queries(held_out: Examples, anchors: Rows) -> Rows:
    names = anchors if held_out.query_ids is None else np.array(held_out.query_ids, dtype=object)
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def _mask(rows: Rows, size: int) -> Mask:
    mask = np.zeros(size, dtype=np.bool_)
    mask[rows] = True
    return mask
