"""The retrieval half of an assistant: the best passages, with their sources, in a budget of tokens, without repeats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import regex

from vicino.data.chunking import words
from vicino.errors import InputError
from vicino.retrieval.stored import Found

__all__ = ["Context", "Excerpt", "count_tokens", "pack"]

_ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_PIECE = regex.compile(rf"[{_ALONE}]|(?:[\p{{L}}--[{_ALONE}]]\p{{M}}*){{1,4}}|\p{{N}}{{1,3}}|[^\s\p{{L}}\p{{N}}]", regex.VERSION1)
_WORTHWHILE = 40  # tokens: a smaller remainder is not filled with the beginning of a passage


@dataclass(frozen=True)
class Excerpt:
    """A part of a document, with where it stands, in characters. `cut` says that the budget ended it."""

    document: str
    source: str
    title: str
    start: int
    end: int
    text: str
    metadata: Mapping[str, Any]
    cut: bool = False

    @property
    def heading(self) -> str:
        """Where the text stands, and its title."""
        place = f"{self.document}:{self.start}-{self.end}"
        heading = f"{place} ({self.title})" if self.title else place
        return "".join(each if each.isprintable() else "\ufffd" for each in heading)  # a name may not forge another heading


@dataclass(frozen=True)
class Context:
    """Numbered excerpts, best first; `text` is what to put before a question, `tokens` about how many it takes."""

    excerpts: tuple[Excerpt, ...]
    text: str
    tokens: int
    budget: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def count_tokens(text: str) -> int:
    """About how many tokens a language model sees: pieces of at most four letters or three digits, marks, and single
    characters of scripts without spaces. On the cautious side: byte-pair vocabularies take fewer for common English words.

    >>> count_tokens("Wings lift."), count_tokens("東京")
    (4, 2)
    """
    return sum(1 for _ in _PIECE.finditer(text))


def pack(passages: Iterable[Found], budget: int) -> Context:
    """Take passages, best first, until `budget` tokens are full.

    What was taken already, by place or by words, is not taken again. The last one is cut between words where much room is
    left. Raises InputError for a budget that holds nothing.
    """
    if budget < _WORTHWHILE:
        raise InputError(f"{budget} tokens hold no passage", mend=f"give at least {_WORTHWHILE}; 2000 is usual")
    excerpts: list[Excerpt] = []
    said: set[str] = set()
    left = budget
    for passage in passages:
        for fresh in _unsaid(_excerpt(passage), excerpts):
            if " ".join(fresh.text.split()).casefold() in said:
                continue
            fitting = _fitting(fresh, left, len(excerpts) + 1)
            if fitting is None:
                return _context(excerpts, budget)
            said.add(" ".join(fresh.text.split()).casefold())
            excerpts.append(fitting)
            left -= count_tokens(_block(len(excerpts), fitting))
    return _context(excerpts, budget)


def _excerpt(found: Found) -> Excerpt:
    return Excerpt(found.document, found.source, found.title, found.start, found.end, found.text, found.metadata)


def _unsaid(one: Excerpt, taken: Iterable[Excerpt]) -> list[Excerpt]:
    """What of an excerpt does not stand in those taken from the same document."""
    pieces = [(one.start, one.end)]
    for other in taken:
        if (other.source, other.document) == (one.source, one.document):
            pieces = [
                span
                for start, end in pieces
                for span in ((start, min(end, other.start)), (max(start, other.end), end))
                if span[0] < span[1]
            ]
    return [fresh for start, end in pieces if (fresh := _part(one, start, end)).text.strip()]


def _part(one: Excerpt, start: int, end: int, *, cut: bool = False) -> Excerpt:
    text = one.text[start - one.start : end - one.start]
    return Excerpt(one.document, one.source, one.title, start, end, text, one.metadata, cut)


def _fitting(one: Excerpt, left: int, number: int) -> Excerpt | None:
    """The excerpt, or its beginning, where it fits into what is left; None where that is not worthwhile."""
    if count_tokens(_block(number, one)) <= left:
        return one
    room = left - count_tokens(_block(number, replace(one, text="", cut=True)))  # under its longest heading
    if room < _WORTHWHILE:
        return None
    end = 0
    for start, stop in words(one.text):
        room -= count_tokens(one.text[start:stop])
        if room < 0:
            break
        end = stop
    return _part(one, one.start, one.start + end, cut=True) if end else None


def _block(number: int, one: Excerpt) -> str:
    return f"[{number}] {one.heading}\n{one.text}{' …' if one.cut else ''}\n"


def _context(excerpts: list[Excerpt], budget: int) -> Context:
    text = "\n".join(_block(number, one) for number, one in enumerate(excerpts, start=1))
    return Context(tuple(excerpts), text, count_tokens(text), budget)
