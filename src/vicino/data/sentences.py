"""Where sentences end, by rule and for any script that `regex` knows; no model, no download.

A full stop, question or exclamation mark ends a sentence when white space follows (after closing quotes and brackets) and
what comes next is no lower-case letter. Full stops of abbreviations, initials and list numbers do not. Ideographic and
Indic stops end a sentence without white space; a blank line or a form feed always does. Known price: "Plan B. Then we
left." stays one sentence, because "B." looks like an initial.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

__all__ = ["sentence_spans", "trimmed"]

_CLOSERS = r"""["'’”»›)\]}」』）〉》】]"""
_STOP = regex.compile(
    rf"""
    (?P<always> [。！？｡।॥۔።] {_CLOSERS}* | \n[^\S\n]*\n | \r\n[^\S\n]*\r\n | [\f\u2029] )
    | (?P<maybe> [.!?…؟։] [.!?…]* {_CLOSERS}* ) (?= \s )
    """,
    regex.VERBOSE,
)
_NEXT = regex.compile(r"""\s+ ["'‘“«‹(\[{¿¡*_`-]* (?P<first>\S)""", regex.VERBOSE)
_LAST_WORD = regex.compile(r"[^\s(\[{\"'‘“«—–]*$")
_INITIAL = regex.compile(r"(?:\p{L}\.)*\p{Lu}|\p{Ll}(?:\.\p{Ll})+")  # J / U.S / e.g
_LIST_NUMBER = regex.compile(r"(?:^|\n)\s*[(\[]?(?:\d{1,3}|[ivxlc]{1,6}|\p{L})$", regex.IGNORECASE)
_WINDOW = 60  # characters before a full stop that are looked at

# never the end of a sentence, or so rarely that joining costs less than splitting
_ABBREVIATIONS = frozenset(
    str.split(
        "mr mrs ms mx dr prof st mt rev hon gen col capt lt sgt sen rep gov pres "
        "vs cf viz al ca approx est resp incl esp "
        "fig figs eq eqs sec ch chap vol vols no nos nr pp art ref refs ed eds tab thm def prop "
        "jan feb mar apr jun jul aug sep sept oct nov dec "
        "bzw usw ggf vgl abb bspw zzgl evtl mme mlle sr sra dott sig"
    )
)


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
    if following is None:
        return True
    if following["first"].islower():
        return False
    return stop["maybe"] != "." or not _abbreviates(text[max(start, stop.start() - _WINDOW) : stop.start()])


def _abbreviates(before: str) -> bool:
    """Whether a full stop after `before`, the beginning of its sentence or the end of that, belongs to a short form."""
    found = _LAST_WORD.search(before)
    word = found[0] if found else ""
    return bool(word.lower() in _ABBREVIATIONS or _INITIAL.fullmatch(word) or _LIST_NUMBER.search(before))


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
