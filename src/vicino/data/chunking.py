"""Documents cut into chunks that keep their exact offsets: `chunk.text == document.text[chunk.start:chunk.end]`.

Every method covers all of the document that is not white space, in order; only windows overlap, and only as asked. A new
method is one function, from a document to spans, and one line in `CHUNKERS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import regex

from vicino.catalog import Catalog, Entry
from vicino.data.records import Chunk, Document
from vicino.data.sentences import UNSPACED, sentence_spans, trimmed
from vicino.errors import InputError, UnknownName

__all__ = ["CHUNKERS", "auto", "chunk", "code", "cutter", "paragraph", "passage", "sentence", "whole", "window", "words"]

Span = tuple[int, int]
Cutter = Callable[[Document], list[Span]]
Tokenizer = Callable[[str], Iterable[Span]]

CHUNKERS = Catalog(
    "chunking method",
    {
        "auto": Entry(
            "vicino.data.chunking:auto", "files of text by passages, code by functions, rows of a table whole", "files"
        ),
        "whole": Entry("vicino.data.chunking:whole", "the document as it is"),
        "paragraph": Entry("vicino.data.chunking:paragraph", "parted by blank lines, long ones between sentences"),
        "passage": Entry("vicino.data.chunking:passage", "short paragraphs together, long ones parted"),
        "sentence": Entry("vicino.data.chunking:sentence", "one sentence each"),
        "window": Entry("vicino.data.chunking:window", "a fixed number of words or tokens, with overlap"),
        "code": Entry("vicino.data.chunking:code", "one function each, and what stands between them", extra="files"),
    },
)

_BLANK_LINES = regex.compile(r"(?:\r\n?|\n)[^\S\r\n]*(?:\r\n?|\n)\s*|[\f\u2029]\s*")
_WORD = regex.compile(rf"[{UNSPACED}]\p{{M}}*+|[^\s\x1c-\x1f{UNSPACED}]++")  # str.isspace counts these four as well
_CLOSING = regex.compile(r"(?:\s*+[)\]};,]++)++")


def chunk(document: Document, method: str = "paragraph", **options: Any) -> list[Chunk]:
    """Cut a document by a method of `CHUNKERS`; `options` are that method's own. No chunk begins or ends in white space.

    Raises UnknownName for a method or an option that does not exist.

    >>> [piece.text for piece in chunk(Document("1", "One.\\n\\nTwo. Three."), "paragraph")]
    ['One.', 'Two. Three.']
    """
    return [Chunk(document.id, start, end, document.text[start:end]) for start, end in cutter(method, **options)(document)]


def cutter(method: str, **options: Any) -> Cutter:
    """`chunk` for many documents: what gives the spans of a document's chunks, with the method looked up once. Raises as `chunk`.

    >>> spans = cutter("paragraph")
    >>> [spans(Document("1", text)) for text in ("One.", "One.\\n\\nTwo.", " ")]
    [[(0, 4)], [(0, 4), (6, 10)], []]
    """
    cut: Callable[..., Iterable[Span]] = CHUNKERS[method]
    for option in options:
        if option not in (known := list(inspect.signature(cut).parameters)[1:]):
            raise UnknownName.among(option, known, kind=f"option of the chunking method {method!r}")

    def spans(document: Document) -> list[Span]:
        found = cut(document, **options)
        return [exact for start, end in found for exact in trimmed(document.text, start, end)]

    return spans


def auto(document: Document) -> Iterator[Span]:
    """By what the document is: source code by functions, other files by passages, rows of a table and all else whole."""
    form = document.metadata.get("format")
    if form == "code":
        return code(document)
    return whole(document) if form is None else passage(document)


def whole(document: Document) -> Iterator[Span]:
    """The document in one piece."""
    yield 0, len(document.text)


def sentence(document: Document) -> Iterator[Span]:
    """One sentence each; see `sentences.py` for the rules."""
    return sentence_spans(document.text)


def paragraph(document: Document, *, max_characters: int = 2000) -> Iterator[Span]:
    """Blank lines and form feeds part; what is longer than `max_characters` is parted between sentences, then words.

    Sentences are packed: a piece takes as many as fit. Only a single word that is longer is cut inside.
    """
    if max_characters < 1:
        raise InputError(f"max_characters is {max_characters}", mend="give a number of at least 1")
    for start, end in _paragraphs(document.text, 0, len(document.text)):
        yield from _packed(document.text, start, end, max_characters)


def passage(document: Document, *, max_characters: int = 1200) -> Iterator[Span]:
    """Paragraphs, parted as by `paragraph`, put together while they fit into `max_characters`: a heading stays with its text."""
    pieces = list(paragraph(document, max_characters=max_characters))
    begin = 0
    for at in range(1, len(pieces) + 1):
        if at == len(pieces) or pieces[at][1] - pieces[begin][0] > max_characters:
            yield pieces[begin][0], pieces[at - 1][1]
            begin = at


def _paragraphs(text: str, start: int, end: int) -> Iterator[Span]:
    for gap in _BLANK_LINES.finditer(text, start, end):
        yield from trimmed(text, start, gap.start())
        start = gap.end()
    yield from trimmed(text, start, end)


def _packed(text: str, start: int, end: int, size: int) -> Iterator[Span]:
    """The span in pieces of at most `size` characters, cut at the best places there are."""
    if end - start <= size:
        yield start, end
        return
    for fine in (_sentences_within, _words_within):
        pieces = list(fine(text, start, end))
        if len(pieces) > 1:
            break
    else:
        yield from ((at, min(at + size, end)) for at in range(start, end, size))
        return
    begin = last = start
    for first, stop in pieces:
        if stop - begin > size and last > begin:
            yield from _packed(text, begin, last, size)
            begin = first
        last = stop
    yield from _packed(text, begin, last, size)


def _sentences_within(text: str, start: int, end: int) -> Iterator[Span]:
    return ((start + first, start + last) for first, last in sentence_spans(text[start:end]))


def _words_within(text: str, start: int, end: int) -> Iterator[Span]:
    return (found.span() for found in _WORD.finditer(text, start, end))


def words(text: str) -> list[Span]:
    """The spans of the words: parted by white space; in scripts without spaces, of the characters.

    >>> text = "Fly 東京."
    >>> [text[start:end] for start, end in words(text)]
    ['Fly', '東', '京', '.']
    """
    return list(_words_within(text, 0, len(text)))


def window(document: Document, *, size: int = 200, overlap: int = 0, tokenizer: Tokenizer | None = None) -> Iterator[Span]:
    """`size` tokens each, the last `overlap` of them again in the next window.

    Tokens are words (see `words`) or what `tokenizer` says: a function from a text to (start, end) offsets in order,
    such as a model's own tokeniser gives; empty offsets (special tokens) are left out. What lies between two tokens
    belongs to the first. Raises InputError for impossible sizes or offsets.
    """
    if not 0 <= overlap < size:
        raise InputError(f"windows of {size} tokens cannot overlap by {overlap}", mend="give 0 <= overlap < size")
    text = document.text
    starts = _token_starts(text, (tokenizer or words)(text))
    if not starts:
        yield 0, len(text)  # white space only, or nothing that the tokeniser knows
        return
    starts[0] = 0
    bounds = [*starts, len(text)]
    for first in range(0, max(len(starts) - overlap, 1), size - overlap):
        yield bounds[first], bounds[min(first + size, len(starts))]


def _token_starts(text: str, spans: Iterable[Span]) -> list[int]:
    starts = [start for start, end in spans if end > start]
    if any(later < earlier for earlier, later in pairwise(starts)):
        raise InputError("the tokenizer gave offsets that are out of order", mend="give them in the text's order")
    if starts and (starts[0] < 0 or starts[-1] >= len(text)):
        raise InputError("the tokenizer gave offsets outside the text", mend="give offsets in characters of the text")
    return starts


def code(document: Document, *, language: str | None = None, max_characters: int = 2000) -> Iterator[Span]:
    """One function or method each, decorators and leading comments with it; the rest between them by paragraphs.

    The language is the one given, else the document's `metadata["language"]`, else what its id ends in. Python needs
    nothing; other languages the extra "files" (MissingExtra where it is not installed). Code in an unknown language, or
    Python that does not parse, is cut by paragraphs. Functions are never cut, the rest where it is longer than
    `max_characters`.
    """
    from vicino.data.code import functions, language_of_document

    text = document.text
    found = functions(text, language or language_of_document(document))
    at = 0
    for one, following in zip(found, [*(one.start for one in found[1:]), len(text)], strict=False):
        yield from _rest(text, at, one.start, max_characters)
        closing = _CLOSING.match(text, one.end, following)  # brackets stay with what they close
        at = closing.end() if closing else one.end
        yield one.start, at
    yield from _rest(text, at, len(text), max_characters)


def _rest(text: str, start: int, end: int, size: int) -> Iterator[Span]:
    """What stands between functions: in one piece where it is short enough, else by paragraphs."""
    for first, last in trimmed(text, start, end):
        if last - first <= size:
            yield first, last
        else:
            for begin, stop in _paragraphs(text, first, last):
                yield from _packed(text, begin, stop, size)
