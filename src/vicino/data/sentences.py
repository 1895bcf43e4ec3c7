"""Where sentences end, by rule and for any script that `regex` knows; no model, no download.

A full stop, question or exclamation mark ends a sentence when white space follows (after closing quotes and brackets) and
what comes next is no lower-case letter. Full stops of abbreviations, initials and list numbers do not. Ideographic and
Indic stops end a sentence without white space; a blank line or a form feed always does. Known price: "Plan B. Then we
left." stays one sentence, because "B." looks like an initial.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex

__all__ = ["UNSPACED", "sentence_spans", "trimmed", "word_count"]

# scripts that put no space between words: each character stands for a word
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"

_CLOSERS = r"""["'’”»›)\]}」』）〉》】]"""
_FULL = "[。！？｡।॥۔።]"
_MARK = "[.!?…؟։]"
_STOP = regex.compile(  # each mark begins a run and takes all of it (++): linear on a million dots
    rf"""
    (?P<always> (?<!{_FULL}) {_FULL}++ (?: {_CLOSERS}++ (?!\p{{Hiragana}}) )?+ (?!{_CLOSERS})  # 「はい。」と goes on
              | \n[^\S\n]*\n | \r\n[^\S\n]*\r\n | [\f\u2029] )
    | (?<!{_MARK}) (?P<maybe> {_MARK}++ {_CLOSERS}*+ ) (?=\s)
    """,
    regex.VERBOSE,
)
_NEXT = regex.compile(r"""\s+ ["'‘“«‹(\[{¿¡*_`-]* (?P<first>\S)""", regex.VERBOSE)
_COUNTED = regex.compile(rf"[{UNSPACED}]\p{{M}}*+|[^\W{UNSPACED}]++")
_ASCII_WORD = re.compile(r"\w+", re.ASCII)  # the same for ASCII, and three times as fast
_INITIAL = regex.compile(r"(?:\p{L}{1,2}\.)*\p{Lu}|\p{Ll}(?:\.\p{Ll})+")  # J / U.S / Ph.D / e.g
_LIST_NUMBER = regex.compile(r"(?:^|\n)\s*[(\[]?(?:\d{1,3}|[ivxlcIVXLC]{1,6}|\p{L})$")
_WINDOW = 60  # characters before a full stop that are looked at

# never the end of a sentence, or so rarely that joining costs less than splitting
_ABBREVIATIONS = frozenset(
    str.split(
        "mr mrs ms mx dr prof st mt rev hon gen col capt lt sgt sen rep gov pres vs cf viz al ca approx est resp incl "
        "fig figs eq eqs ref refs ed eds jan feb mar apr jun jul aug sep sept oct nov dec "
        "bzw usw ggf vgl abb bspw mme mlle sr sra dott sig"
    )
)
_BEFORE_NUMBERS = frozenset(str.split("no nos nr art sec ch chap vol vols tab thm def prop p pp"))


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """The (start, end) offsets of the sentences, in order, without white space at their ends.

    All of the text that is not white space is covered.

    >>> text = 'Dr. J. Smith paid $3.50 (approx.). "Why?" he asked. 为什么？不知道。'
    >>> [text[start:end] for start, end in sentence_spans(text)]
    ['Dr. J. Smith paid $3.50 (approx.).', '"Why?" he asked.', '为什么？', '不知道。']
    """
    start = 0
    for stop in _STOP.finditer(text):
        if stop["always"] or _ends(text, start, stop):
            yield from trimmed(text, start, stop.end())
            start = stop.end()
    yield from trimmed(text, start, len(text))


def _ends(text: str, start: int, stop: regex.Match[str]) -> bool:
    """Whether a mark that may end a sentence does."""
    following = _NEXT.match(text, stop.end())
    if following is None or text[stop.start() - 1 : stop.start()].isspace():  # a mark that stands alone: tokenised text
        return True
    if following["first"].islower():
        return False
    before = text[max(start, stop.start() - _WINDOW) : stop.start()]
    return stop["maybe"] != "." or not _abbreviates(before, following["first"].isdecimal())


def _abbreviates(before: str, number_follows: bool) -> bool:
    """Whether a full stop after `before`, the end of its sentence so far, belongs to a short form or a list number."""
    if not before:
        return False
    word = before.split()[-1].lstrip("([{\"'‘“«")
    return bool(
        word.lower() in _ABBREVIATIONS
        or (number_follows and word.lower() in _BEFORE_NUMBERS)
        or _INITIAL.fullmatch(word)
        or (len(word) <= 6 and _LIST_NUMBER.search(before))
    )


def trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The span without white space at its ends; nothing where nothing else is in it.

    >>> list(trimmed("a  b ", 1, 5)), list(trimmed("a  b ", 1, 3))
    ([(3, 4)], [])
    """
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end


def word_count(text: str) -> int:
    """How many words a text has.

    >>> word_count("Wings, don't lift."), word_count("为什么？")
    (4, 3)
    """
    return len((_ASCII_WORD if text.isascii() else _COUNTED).findall(text))
