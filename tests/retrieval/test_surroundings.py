"""What stands around a passage: characters of its document, whatever passages there are."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.catalog import Entry
from vicino.data.records import Document
from vicino.retrieval.asking import Asking, ask
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.stored import Stored
from vicino.retrieval.surroundings import AROUND, Piece, around
from vicino.store.collection import Collection

STORY = "".join(f"Sentence number {number} tells of {'wings' if number == 25 else 'tea'}. " for number in range(50)).strip()


@pytest.mark.parametrize("overlap", [0, 3, 40])
def test_overlapping_pieces_are_joined_by_their_places(overlap):
    draw = np.random.default_rng(overlap)
    text = "".join(chr(code) for code in draw.choice([*range(97, 123), 32, 0x1F600, 0x6771], 600))
    pieces, end = [], 0
    while end < len(text):
        start = max(0, end - int(draw.integers(overlap + 1)))
        end = min(len(text), end + int(draw.integers(1, 60)))
        pieces.append(Piece(start, end, text[start:end]))
    for number in draw.permutation(len(pieces))[:20]:
        start, end, _ = pieces[number]
        mixed = [pieces[place] for place in draw.permutation(len(pieces))]
        assert around(mixed, start, end, size=100) == (text[max(0, start - 100) : start], text[end : end + 100])


def test_what_no_piece_holds_is_blank_or_an_ellipsis():
    pieces = [Piece(0, 4, "One."), Piece(5, 9, "Two."), Piece(11, 17, "Three."), Piece(90, 95, "Last.")]
    assert around(pieces, 11, 17) == ("One. Two.\n", " … Last.")
    assert around(pieces, 11, 17, size=5) == ("Two.\n", " … La")
    assert around([], 11, 17) == ("", "")


@pytest.mark.parametrize("cut", ["sentence", "window(size=12, overlap=4)", "whole"])
def test_a_reason_shows_the_passage_where_it_stands(tmp_path, need, cut):
    need(Entry("", "", "store"))
    for source, text, tenant in (("s", STORY, "ann"), ("other", STORY.upper(), "ann"), ("s", STORY.replace("e", "o"), "bob")):
        ingest(tmp_path, "c", Source(source, [Document("story", text)]), recipe="bm25", cut=cut, tenant=tenant)
    stored = Stored(Collection.open(tmp_path, "c"), tenant="ann")
    answer = ask(stored, Asking("wings", explain=True))
    assert {one.source for one in answer.results} == {"s", "other"}
    for one in answer.results:
        text, there = (STORY if one.source == "s" else STORY.upper()), one.why["passage"]
        assert (there["start"], there["end"]) == (one.start, one.end)
        assert there["before"].split() == text[max(0, one.start - AROUND) : one.start].split()
        assert there["after"].split() == text[one.end : one.end + AROUND].split()
        assert len(there["before"]) == min(AROUND, one.start) == (0 if cut == "whole" else AROUND)
    assert ask(stored, Asking("wings")).results[0].why is None
