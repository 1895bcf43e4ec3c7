"""Answers as text, by hand."""

from __future__ import annotations

from vicino.retrieval.stored import Found
from vicino.retrieval.text import found_text


def test_an_answer_shows_its_place_its_text_and_its_reasons():
    bm25 = {"part": "bm25", "terms": {f"t{n}": 1.0 for n in range(10)}}
    lsa = {"part": "lsa", "cosine": 0.25, "percentile": 98.5}
    why = {
        "method": "rrf",
        "parts": [
            {"rank": 3, "score": 10.0, "weight": 1.0, "adds": 0.25, "why": bm25},
            {"rank": None, "score": None, "weight": 1.0, "adds": 0.0, "why": None},
            {"rank": 1, "score": 0.25, "weight": 1.0, "adds": 0.5, "why": lsa},
        ],
    }
    text = found_text([Found("a.txt", "s", 0.75, 5, 9, "A title", "Some\n text", {}, why)])
    assert text.splitlines() == [
        " 1  a.txt:5-9  0.7500  A title",
        "    Some text",
        "      rrf: 0.2500 + 0.0000 + 0.5000 = 0.7500",
        "        rank 3 by bm25 10.0000: t0 1.00, t1 1.00, t2 1.00, t3 1.00, t4 1.00, t5 1.00, t6 1.00, t7 1.00, …",
        "        not among the best of one part",
        "        rank 1 by lsa: cosine 0.2500, higher than 98.5 % of the collection",
    ]


def test_no_control_character_reaches_the_terminal():
    hostile = "\x1b[2J\x07evil\u202e"
    text = found_text([Found(hostile, "s", 1.0, 0, 9, hostile, hostile, {})])
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "evil" in text
