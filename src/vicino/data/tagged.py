"""Sentences whose words have tags, such as named entities: CoNLL files and JSON lines, in any of the usual schemes.

A CoNLL file has a word a line, the word in its first column and the tag in its last, and a blank line between sentences; lines
that begin with -DOCSTART- part documents. A line of JSON is a sentence, {"tokens": [...], "tags": [...]}. What the tags say is
kept as spans (see `vicino.metrics.spans`), so that a scheme matters to nobody after reading: BIO, IO, IOBES, or BILOU and BMES,
which are IOBES in other letters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vicino import progress
from vicino.data.files import MAX_CHARACTERS, Lines, opened, text_stream, well_formed
from vicino.data.formats import kind_of
from vicino.data.rows import TABLES
from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnreadableSource
from vicino.metrics.spans import OUTSIDE, Span, as_tags, spans_of

__all__ = ["Tagged", "read_tagged", "tables_of", "words_of"]

_SCHEMES = {"IO": "IO", "BIO": "BIO", "IOBES": "BIESO", "BILOU": "BILUO", "BMES": "BMESO"}  # the letters of each
_SAME = str.maketrans("LUM", "ESI")  # letters of BILOU and BMES, as IOBES has them
_TOKENS = ("tokens", "words")
_TAGS = ("tags", "ner_tags", "labels", "ner")
_SPLITS = {"valid": "dev", "validation": "dev", "val": "dev"}  # other names of a part
_WORD = re.compile(r"[^\W_]+(?:['’.&-][^\W_]+)*|\S")

Read = tuple[int, list[str], list[str]]  # the line, the words and their tags


@dataclass(frozen=True, eq=False)
class Tagged:
    """n sentences as words, and the spans in each. `scheme` is how they were written; `left_out` counts, by reason, what was not
    read.

    >>> found = Tagged([["Ada", "of", "London"]], [[Span(0, 1, "PER"), Span(2, 3, "LOC")]])
    >>> found.types, found.tags(0)
    (['LOC', 'PER'], ['B-PER', 'O', 'B-LOC'])
    """

    sentences: Sequence[Sequence[str]]
    spans: Sequence[Sequence[Span]]
    scheme: str = "BIO"
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def types(self) -> list[str]:
        """The types of all spans, in order."""
        return sorted({span.type for own in self.spans for span in own})

    def tags(self, row: int) -> list[str]:
        """The tags of a sentence in the scheme BIO."""
        return as_tags(self.spans[row], len(self.sentences[row]))

    def subset(self, rows: Iterable[int]) -> Tagged:
        """The sentences of these rows, in their order."""
        chosen = list(rows)
        return replace(self, sentences=[self.sentences[row] for row in chosen], spans=[self.spans[row] for row in chosen])


def read_tagged(path: str | Path) -> Tagged:
    """The sentences of one file: .jsonl, or a CoNLL file of any other name; also .gz and .xz.

    Sentences without words are left out. Raises UnreadableSource, EmptyInput for no sentences and where no word has a tag,
    DimensionMismatch for a sentence with more or fewer tags than words, and InputError for tags of no known scheme; each names
    the line.
    """
    source = Path(path)
    left_out: Counter[str] = Counter()
    rows: list[Read] = []
    read = _json_lines if kind_of(source.name) == "jsonl" else _conll
    try:
        for line, words, tags in progress.track(read(source, left_out), "reading sentences", unit="sentences"):
            if len(words) != len(tags):
                what = f"line {line}: {len(words)} words and {len(tags)} tags"
                raise DimensionMismatch(what, mend="give each word one tag; O where it is outside")
            if words:
                rows.append((line, words, tags))
            else:
                left_out["a sentence without words"] += 1
        scheme = _scheme(rows)
    except InputError as error:
        raise type(error)(f"{source}: {error.what}", mend=error.mend) from error
    spans = [spans_of([_in_iobes(tag, scheme) for tag in tags]) for _, _, tags in rows]
    return Tagged([words for _, words, _ in rows], spans, scheme, dict(left_out))


def tables_of(path: str | Path) -> dict[str, Path]:
    """The files of a folder by their part, train, dev or test ("valid" is dev); those of a file: itself, as train.

    Raises UnreadableSource where there is no such thing, or no train part, and InputError for a part that is there twice.
    """
    source = Path(path)
    if source.is_file():
        return {"train": source}
    if not source.is_dir():
        raise UnreadableSource(f"there is no {source}", mend="give a CoNLL file, a .jsonl file, or a folder that holds train")
    found: dict[str, Path] = {}
    for file in sorted(each for each in source.iterdir() if each.is_file()):
        part = file.name.partition(".")[0].lower()
        part = _SPLITS.get(part, part)
        if part in ("train", "dev", "test"):
            if part in found:
                what = f"{source} holds the part {part} more than once: {found[part].name}, {file.name}"
                raise InputError(what, mend="give one of the files, or move one away")
            found[part] = file
    if "train" not in found:
        raise UnreadableSource(f"{source} holds no part to learn from", mend="name a file train.conll or train.jsonl")
    return found


def words_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text begin and end: runs of letters and digits, with marks inside them, and each other sign.

    >>> [text[start:end] for text in ["J.-P. O'Hara pays $3.50!"] for start, end in words_of(text)]
    ['J', '.', '-', 'P', '.', "O'Hara", 'pays', '$', '3.50', '!']
    """
    return [match.span() for match in _WORD.finditer(text)]


def _conll(path: Path, left_out: Counter[str]) -> Iterator[Read]:
    del left_out  # nothing that can be read is left out
    words: list[str] = []
    tags: list[str] = []
    first = 1
    with opened(path) as stream, text_stream(stream, newline="\n") as decoded:
        lines = Lines(decoded, MAX_CHARACTERS)
        for line in lines:
            columns = line.split()
            if not columns or columns[0] == "-DOCSTART-":
                if words:
                    yield first, words, tags
                words, tags, first = [], [], lines.number + 1
            elif len(columns) == 1 or lines.was_cut():
                what = f"line {lines.number}: a word without a tag ({columns[0][:40]!r})"
                raise UnreadableSource(what, mend="give a word and its tag on each line, and a blank line between sentences")
            else:
                words.append(well_formed(columns[0]))
                tags.append(columns[-1])
    if words:
        yield first, words, tags


def _json_lines(path: Path, left_out: Counter[str]) -> Iterator[Read]:
    def skip(line: int | None, reason: str) -> None:  # noqa: ARG001 - as `TABLES` calls it
        left_out[reason] += 1

    for line, row in TABLES["jsonl"](path, MAX_CHARACTERS, skip):
        words, tags = (next((row[name] for name in names if name in row), None) for names in (_TOKENS, _TAGS))
        for what, values in (("tokens", words), ("tags", tags)):
            if not _are_texts(values):
                raise UnreadableSource(
                    f"line {line} has no {what} that are a list of texts", mend='write {"tokens": ["Ada"], "tags": ["B-PER"]}'
                )
        yield line, [well_formed(word) for word in words or ()], list(tags or ())


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(each, str) for each in values)


def _scheme(rows: Sequence[Read]) -> str:
    """The first scheme that has all letters."""
    if not rows:
        raise EmptyInput("there are no sentences", mend="give sentences whose words have tags")
    letters: set[str] = set()
    for line, _, tags in rows:
        for tag in set(tags):
            letter, dash, kind = tag.partition("-")
            if tag != OUTSIDE and not (letter in tuple("BIESLUM") and dash and kind):
                what = f"line {line}: the tag {tag!r} is of no scheme that is known"
                raise InputError(what, mend="write BIO (B-PER, I-PER, O), IO, IOBES or BILOU")
            letters.add(letter)
    if letters == {OUTSIDE}:
        raise EmptyInput("no word has a tag but O", mend="give sentences of which some hold an entity: B-PER, I-PER")
    fits = [name for name, known in _SCHEMES.items() if letters <= set(known)]
    if not fits:
        what = f"tags begin with {', '.join(sorted(letters))}, which no scheme has together"
        raise InputError(what, mend="write BIO (B-PER, I-PER, O), IO, IOBES or BILOU")
    return fits[0]


def _in_iobes(tag: str, scheme: str) -> str:
    letter, dash, kind = tag.partition("-")
    return f"{letter.translate(_SAME)}{dash}{kind}" if scheme in ("BILOU", "BMES") else tag
