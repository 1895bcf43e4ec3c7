"""Queries for data that nobody judged: something that a document says of itself is taken out of it and asked.

Each such query has one known item, the document that it was taken from. Tried in this order: the title; in Markdown the
first heading; in source code the docstring (or doc comment) of each function, for which the file becomes its functions;
a sentence. What is withheld leaves the document, in every document and not only where the query is kept in the end:
documents that still had theirs would compete on other terms.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from vicino.data.code import first_sentence, function_documents, language_of_document
from vicino.data.formats import LANGUAGES, kind_of
from vicino.data.readers import distinct
from vicino.data.records import Document, Judgement, Query
from vicino.data.sentences import sentence_spans, word_count
from vicino.data.splits import sample
from vicino.errors import EmptyInput, MissingExtra

__all__ = ["KnownItems", "Withheld", "asked_by_docs", "asking_sentences", "gathered", "known_items", "normalised"]

_PLACES = {  # kind -> how the note names it
    "title": "titles",
    "heading": "headings",
    "docstring": "docstrings",
    "sentence": "withheld sentences",
}
_LEAST_WORDS = {"title": 2, "heading": 2, "docstring": 4, "sentence": 5}
_MOST_WORDS = 50
_LEAST_REST = 5  # words that a document keeps
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S.*?)[ \t#]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Withheld:
    """A document without what was taken out of it, and that: a query of a `kind`. Both empty where nothing was taken."""

    document: Document
    query: str = ""
    kind: str = ""


@dataclass(frozen=True)
class KnownItems:
    """Documents, queries that were taken out of them, and for each query the judgement that names its document.

    `how` counts the queries by kind (title, heading, docstring, sentence). `note` says in one line where they come from
    and what they are good for; show it with every result.
    """

    documents: list[Document]
    queries: list[Query]
    judgements: list[Judgement]
    how: Mapping[str, int]
    note: str


def known_items(documents: Iterable[Document], *, seed: int = 0, limit: int | None = None) -> KnownItems:
    """Make queries out of documents; at most `limit` of them, chosen by `seed`, while all documents stay.

    Queries that are equal but for case, space and punctuation stand for several documents: all of them are dropped. A
    sentence is chosen by `seed` and the document's id, has 5 to 50 words, and stands nowhere else in the data. Titles
    and headings have at least 2 words, and their copies in the text leave with them. A document that would keep less
    than 5 words keeps everything. Source code gives no sentences; where its grammar is not installed (see
    `code.functions`) a file stays whole and gives no query.

    Raises DuplicateIds, and EmptyInput where no query can be made.

    >>> made = known_items([Document("1", "Lift grows with the square of speed.", title="On lift")])
    >>> made.documents[0].content, made.queries[0].text, dict(made.how)
    ('Lift grows with the square of speed.', 'On lift', {'title': 1})
    >>> made.note
    'synthetic known-item queries (1 from titles): good for ranking systems, not for absolute quality'
    """
    made: list[Withheld] = []
    waiting: list[int] = []  # places of the documents that may yet give a sentence
    for document in distinct(documents):
        taken = _title(document) or _heading(document) or _functions(document)
        if taken is None:
            waiting.append(len(made))
        made.extend(taken or [Withheld(document)])
    _withhold_sentences(made, waiting, seed)
    return gathered(made, seed=seed, limit=limit)


def gathered(made: Iterable[Withheld], *, seed: int = 0, limit: int | None = None) -> KnownItems:
    """Documents with what was withheld from them as known items: ambiguous queries dropped, at most `limit` left.

    Raises EmptyInput where no query is left.
    """
    made = list(made)
    keys = [normalised(one.query) for one in made]
    times = Counter(keys)
    asked = [(f"q{number}", one) for number, (one, key) in enumerate(zip(made, keys, strict=True)) if key and times[key] == 1]
    if not asked:
        raise EmptyInput(
            "no query can be made out of these documents",
            mend="bring queries and judgements (a BEIR folder), or documents with titles or whole sentences",
        )
    kept = asked if limit is None else sample(asked, limit, seed)
    how = Counter(one.kind for _, one in kept)
    places = ", ".join(f"{how[kind]:,} from {place}" for kind, place in _PLACES.items() if how[kind])
    return KnownItems(
        [one.document for one in made],
        [Query(name, one.query) for name, one in kept],
        [Judgement(name, one.document.id, 1) for name, one in kept],
        dict(how),
        f"synthetic known-item queries ({places}): good for ranking systems, not for absolute quality",
    )


def normalised(text: str) -> str:
    """The words in lower case, one space between them: what two queries have in common that mean the same to a reader.

    >>> normalised("  What,  is 'Lift'?")
    'what is lift'
    """
    return " ".join(re.findall(r"\w+", text.casefold()))


def _fits(query: str, kind: str) -> bool:
    """Whether a query of this kind has neither too few words nor too many."""
    return _LEAST_WORDS[kind] <= word_count(query) <= _MOST_WORDS


def _is_enough(rest: str) -> bool:
    return word_count(rest[:500]) >= _LEAST_REST


def _title(document: Document) -> list[Withheld] | None:
    title = " ".join(document.title.split())
    return _named(document, title, "title") if title else None


def _heading(document: Document) -> list[Withheld] | None:
    if document.metadata.get("format") != "markdown" and kind_of(document.id) != "markdown":
        return None  # a line that begins with # may be anything
    found = _HEADING.search(document.text)
    return _named(document, " ".join(found[1].split()), "heading") if found else None


def _named(document: Document, name: str, kind: str) -> list[Withheld] | None:
    """Withhold what a document calls itself, and the lines and sentences that only repeat it."""
    if not _fits(name, kind):
        return None
    rest = _without(document.text, normalised(name))
    if not _is_enough(rest):
        return None
    return [Withheld(replace(document, text=rest, title="" if kind == "title" else document.title), name, kind)]


def _without(text: str, key: str) -> str:
    """The text without the lines and the sentences that, normalised, are `key`."""
    for spans in (_lines, sentence_spans):
        kept, at = [], 0
        for start, end in spans(text):
            if end - start < 2 * len(key) + 20 and normalised(text[start:end]) == key:
                kept.append(text[at:start])
                at = end
        text = "".join(kept) + text[at:]
    return text.strip()


def _lines(text: str) -> Iterator[tuple[int, int]]:
    return (found.span() for found in re.finditer(r"[^\r\n]+", text))


def _functions(document: Document) -> list[Withheld] | None:
    if language_of_document(document) not in LANGUAGES:
        return None
    try:
        found = function_documents(document)
    except MissingExtra:
        found = []
    made = [asked_by_docs(function, docs) for function, docs in found]
    return made or [Withheld(document)]


def asked_by_docs(function: Document, docs: str) -> Withheld:
    """A function as known item of the first sentence of its documentation, where that has words enough."""
    query = first_sentence(docs)
    return Withheld(function, query, "docstring") if _fits(query, "docstring") else Withheld(function)


def asking_sentences(document: Document) -> list[str]:
    """The sentences that stand in a document and have words enough to ask for it, in their order; none of source code.

    >>> asking_sentences(Document("1", "Near means alike in every map. So it is.", title="On maps"))
    ['Near means alike in every map.']
    """
    if language_of_document(document) in LANGUAGES:
        return []
    return [" ".join(document.text[start:end].split()) for start, end, _ in _sentences(document.text)]


def _withhold_sentences(made: list[Withheld], places: list[int], seed: int) -> None:
    """For the documents at these places, put in `made` what is left of them without one sentence."""
    if not places:
        return
    found = [list(_sentences(one.document.text)) for one in made]
    times = Counter(key for spans in found for _, _, key in spans)
    times.update(hash(normalised(one.document.title)) for one in made)
    for place in places:
        document = made[place].document
        unique = [(start, end) for start, end, key in found[place] if times[key] == 1]
        if not unique:
            continue
        start, end = random.Random(f"{seed} {document.id}").choice(unique)
        rest = f"{document.text[:start].rstrip(' ')} {document.text[end:].lstrip(' ')}".strip()
        if _is_enough(rest):
            query = " ".join(document.text[start:end].split())
            made[place] = Withheld(replace(document, text=rest), query, "sentence")


def _sentences(text: str) -> Iterator[tuple[int, int, int]]:
    """The sentences that may be asked: start, end, and a number that equal ones share."""
    for start, end in sentence_spans(text):
        if _fits(text[start:end], "sentence"):
            yield start, end, hash(normalised(text[start:end]))
