"""Packing passages into a budget: by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.errors import InputError
from vicino.retrieval.context import count_tokens, pack
from vicino.retrieval.stored import Found

TEXT = " ".join(f"word{n}" for n in range(200))


def found(document: str, start: int, end: int, text: str | None = None, source: str = "s") -> Found:
    return Found(document, source, 1.0, start, end, "", TEXT[start:end] if text is None else text, {})


def test_passages_are_numbered_with_their_places():
    packed = pack([found("a", 0, 11), found("b", 6, 17)], 100)
    assert packed.text == "[1] a:0-11\nword0 word1\n\n[2] b:6-17\nword1 word2\n"
    assert packed.tokens == count_tokens(packed.text) <= 100


def test_what_was_taken_is_not_taken_again():
    packed = pack([found("a", 0, 17), found("a", 6, 23), found("a", 0, 11), found("b", 0, 17), found("b", 0, 17, "W x")], 500)
    assert [(one.document, one.start, one.end) for one in packed.excerpts] == [("a", 0, 17), ("a", 17, 23), ("b", 0, 17)]
    assert packed.excerpts[-1].text == "W x"
    same_place_elsewhere = pack([found("a", 0, 17), found("a", 0, 17, "other words", source="t")], 500)
    assert len(same_place_elsewhere.excerpts) == 2


def test_a_hole_in_the_middle_is_filled_on_both_sides():
    packed = pack([found("a", 12, 17), found("a", 0, 29)], 500)
    assert [one.text for one in packed.excerpts] == ["word2", "word0 word1 ", " word3 word4"]


def test_the_last_is_cut_between_words_and_says_so():
    packed = pack([found("a", 0, len(TEXT))], 60)
    (only,) = packed.excerpts
    assert only.cut
    assert only.end == len(only.text)
    assert TEXT.startswith(only.text + " ")
    assert packed.text.rstrip().endswith("…")
    assert 50 <= packed.tokens <= 60


def test_a_small_rest_stays_empty():
    first = found("a", 0, len(TEXT))
    size = count_tokens(pack([first], 10_000).text)
    assert len(pack([first, found("b", 0, 700, "x " * 350)], size + 30).excerpts) == 1


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 900), st.integers(1, 400)), max_size=12), st.integers(40, 700))
def test_the_budget_is_kept_and_nothing_is_said_twice(spans, budget):
    packed = pack([found(name, start, start + size) for name, start, size in spans], budget)
    assert packed.tokens <= budget
    for one in packed.excerpts:
        assert TEXT[one.start : one.end] == one.text
    covered = [(one.document, at) for one in packed.excerpts for at in range(one.start, one.end)]
    assert len(covered) == len(set(covered))


def test_a_budget_that_holds_nothing_is_named():
    with pytest.raises(InputError, match="2000 is usual"):
        pack([], 10)
    assert pack([], 100).text == ""


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a b", 2), ("tokenise", 2), ("12345", 2), ("東京!", 3), ("e\u0301é", 1), ("한국", 2)]
)
def test_tokens_by_hand(text, tokens):
    assert count_tokens(text) == tokens
