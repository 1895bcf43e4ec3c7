"""The first pass: what is spooled comes back, a sample of it is drawn evenly, and names stay what they were."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest

from vicino.data.records import Document
from vicino.store import changes
from vicino.store.changes import Changes, Piece, read_changes

DOCUMENT = Document(
    "caf\u00e9", 'Same. "\u2028 Wings\\ lift." Same.', title="On\nlift", metadata={"b": 1, "a": ["\u00e9", 0.5], "sha256": "00"}
)


def documents(count: int) -> list[Document]:
    return [Document(f"d{n}", "One. Two." if n % 3 else "One.", metadata={"n": n}) for n in range(count)]


def digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def test_names_are_digests_of_json_lists() -> None:
    """As in collections that older versions wrote: who names a passage otherwise embeds all again."""
    with read_changes([DOCUMENT], cut="sentence", known={}) as found:
        (piece,) = found
    rows = list(piece.rows("web", "us"))
    assert [row.text for row in rows] == ["Same.", '"\u2028 Wings\\ lift."', "Same."]
    assert piece.revision == digest([DOCUMENT.title, DOCUMENT.text, DOCUMENT.metadata, "sentence"])
    names = [digest([DOCUMENT.title, row.text, "00"]) for row in rows]
    assert [row.digest for row in rows] == names
    times = [0, 0, 1]
    assert [row.key for row in rows] == [digest(["us", "web", DOCUMENT.id, *each]) for each in zip(names, times, strict=True)]


@pytest.mark.parametrize("count", [0, 1, changes._BLOCK, 3 * changes._BLOCK + 1])
def test_what_is_spooled_comes_back(count: int) -> None:
    given = documents(count)
    with read_changes(given, cut="sentence", known={"d0": "another"}) as found:
        for _ in range(2):
            assert [piece.document for piece in found] == given
        assert found.passages == sum(len(piece.spans) for piece in found)
        assert [piece.is_new for piece in found] == [document.id != "d0" for document in given]
        assert all(Piece.of_line(piece.to_line()) == piece for piece in found)


def test_long_documents_are_not_held_together() -> None:
    with Changes({}) as found:
        for document in (Document("a", "x" * changes._LONG), Document("b", "x")):
            found.add(Piece(document, "", True, ((0, 1),)))
            held = [piece.document.id for piece in found._held]
        assert held == ["b"]
        assert [piece.document.id for piece in found] == ["a", "b"]


@pytest.mark.parametrize("limit", [0, 1, 3, 200, 10_000])
def test_a_sample_is_that_of_algorithm_r(limit: int) -> None:
    with read_changes(documents(3 * changes._BLOCK), cut="sentence", known={}) as found:
        passages = [passage for piece in found for passage in piece.passages()]
        draw, kept = random.Random(7), passages[:limit]
        for number in range(limit, len(passages)):
            if (place := draw.randrange(number + 1)) < limit:
                kept[place] = passages[number]
        assert found.sample(limit, seed=7) == kept
