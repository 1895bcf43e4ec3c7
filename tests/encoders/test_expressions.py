"""Sums of words: by hand, and what is no sum."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.encoders.expressions import parse_sum
from vicino.errors import InputError


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("king", [("king", 1)]),
        ("king - man + woman", [("king", 1), ("man", -1), ("woman", 1)]),
        ("  king   -man  +woman ", [("king", 1), ("man", -1), ("woman", 1)]),
        ("pizza + 10*pineapple", [("pizza", 1), ("pineapple", 10)]),
        ("pizza - .5 * pineapple", [("pizza", 1), ("pineapple", -0.5)]),
        ("- man + 2*x", [("man", -1), ("x", 2)]),
        ("well-known - e-mail", [("well-known", 1), ("e-mail", -1)]),
        ('"new york" - 2*"los angeles"', [("new york", 1), ("los angeles", -2)]),
        ("c++ + naïve + 東京", [("c++", 1), ("naïve", 1), ("東京", 1)]),
        ("1984 + 2*2001", [("1984", 1), ("2001", 2)]),
    ],
)
def test_by_hand(text, terms):
    assert parse_sum(text) == terms


@pytest.mark.parametrize("text", ["", "  ", "king queen", "king - - man", "king -", "+ ", "2*", "king * 2", '"king', "a + 2* *b"])
def test_what_is_no_sum_is_named(text):
    with pytest.raises(InputError, match=r"no word|no sum"):
        parse_sum(text)


@given(st.text(max_size=40))
def test_anything_is_a_sum_or_an_error(text):
    with contextlib.suppress(InputError):
        assert parse_sum(text)


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.sampled_from([1.0, -1.0, 2.5, -10.0])), min_size=1))
def test_what_is_written_out_reads_back(terms):
    text = " ".join(f"{'-' if weight < 0 else '+'} {abs(weight)}*{word}" for word, weight in terms)
    assert parse_sum(text) == terms
