"""How well spans are found: named entities and other runs of words with a type, from a tag for each word.

A tag is "O", for outside, or a letter and a type: B-PER begins a span, I-PER goes on, E-PER ends one, S-PER is one by itself.
Spans are those that conlleval sees (Tjong Kim Sang and Buchholz 2000, "Introduction to the CoNLL-2000 shared task"), whatever
the scheme (BIO, where B begins each span or only one that follows another of its type; IO; IOBES), and also where tags do not
fit together: a span begins wherever the one before cannot go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, EmptyInput, InputError
from vicino.metrics.classification import ClassScore

__all__ = ["OUTSIDE", "Span", "as_tags", "by_type", "count_spans", "f1_of_counts", "spans_of"]

OUTSIDE = "O"


class Span(NamedTuple):
    """Words `start` to before `end`, counted from 0, and what they are."""

    start: int
    end: int
    type: str


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans of a sentence, in their order.

    Two neighbouring words are of one span where they have the same type, the first one's letter does not end a span (E, S), and
    the second one's does not begin one (B, S). Raises InputError for what is no tag.

    >>> [tuple(span) for span in spans_of(["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-ORG"])]
    [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC'), (5, 6, 'ORG')]
    """
    found: list[Span] = []
    letter, kind, start = OUTSIDE, "", 0
    for place, tag in enumerate([*tags, OUTSIDE]):
        next_letter, next_kind = _parts(tag)
        if kind and (kind != next_kind or letter in "ES" or next_letter in "BS"):
            found.append(Span(start, place, kind))
            kind = ""
        if not kind:
            start = place
        letter, kind = next_letter, next_kind
    return found


def as_tags(spans: Iterable[Span], words: int) -> list[str]:
    """Tags of a sentence of so many words in the scheme BIO, where each span begins with B: what `spans_of` reads back.

    Raises InputError for spans that overlap or lie outside.

    >>> as_tags([Span(0, 2, "PER"), Span(2, 3, "PER")], 4)
    ['B-PER', 'I-PER', 'B-PER', 'O']
    """
    tags = [OUTSIDE] * words
    for start, end, kind in spans:
        if not 0 <= start < end <= words or any(tag != OUTSIDE for tag in tags[start:end]):
            what = f"the words {start} to {end} of {words} cannot be a span of their own"
            raise InputError(what, mend="give spans that lie in the sentence and do not overlap")
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


def count_spans(truth: Sequence[Sequence[Span]], told: Sequence[Sequence[Span]]) -> NDArray[np.int64]:
    """For each of n sentences how many spans were told rightly, how many were told, and how many there are: (n, 3).

    A span is right where its words and its type are, exactly. Raises DimensionMismatch for two numbers of sentences.

    >>> count_spans([[Span(0, 2, "PER")]], [[Span(0, 2, "PER"), Span(3, 4, "LOC")]]).tolist()
    [[1, 2, 1]]
    """
    if len(truth) != len(told):
        raise DimensionMismatch(f"{len(truth)} sentences and {len(told)}", mend="give both for the same sentences")
    rows = [(len(set(own) & set(given)), len(given), len(own)) for own, given in zip(truth, told, strict=True)]
    return np.array(rows, dtype=np.int64).reshape(len(rows), 3)


def f1_of_counts(counts: ArrayLike) -> NDArray[np.float64]:
    """F1 = 2 right / (told + there) of sums of counts, (..., 3) -> (...), in [0, 1]; 0 where nothing is there or told.

    >>> float(f1_of_counts([1, 2, 1]))
    0.6666666666666666
    """
    right, told, there = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    return np.asarray(2 * right / np.maximum(told + there, 1))


def by_type(truth: Sequence[Sequence[Span]], told: Sequence[Sequence[Span]]) -> dict[str, ClassScore]:
    """Precision, recall and F1 of the spans of each type, by its name in order, and how many there are.

    Raises what `count_spans` raises, and EmptyInput where nothing is there or told.

    >>> by_type([[Span(0, 2, "PER")]], [[Span(0, 2, "PER"), Span(3, 4, "PER")]])
    {'PER': ClassScore(precision=0.5, recall=1.0, f1=0.6666666666666666, items=1)}
    """
    types = sorted({span.type for each in (*truth, *told) for span in each})
    if not types:
        raise EmptyInput("no sentence has a span", mend="give sentences of which some have one")
    found = {}
    for kind in types:
        parts = [[[span for span in each if span.type == kind] for each in side] for side in (truth, told)]
        right, said, there = count_spans(*parts).sum(axis=0).tolist()
        found[kind] = ClassScore(right / max(said, 1), right / max(there, 1), 2 * right / (said + there), there)
    return found


def _parts(tag: str) -> tuple[str, str]:
    """The letter and the type of a tag; no type for one that is outside."""
    letter, _, kind = tag.partition("-")
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if letter not in ("B", "I", "E", "S") or not kind:
        raise InputError(f"{tag!r} is no tag", mend="write O, or B-, I-, E- or S- before a type: B-PER")
    return letter, kind
