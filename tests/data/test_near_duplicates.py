"""Near duplicates against all pairs compared one by one."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from vicino.data.near_duplicates import near_duplicates, same_text
from vicino.data.text import Analyzer
from vicino.errors import InputError


def likeness(left: str, right: str) -> float:
    a, b = (set(Analyzer().terms(text)) for text in (left, right))
    return len(a & b) / len(a | b) if a | b else 0.0


def texts(n: int, seed: int) -> list[str]:
    """Texts of some forty words, some of them each other's with a few words changed."""
    random = np.random.default_rng(seed)
    made: list[str] = []
    for _ in range(n):
        words = [f"w{word}" for word in random.integers(0, 400, 40)]
        if made and random.random() < 0.6:
            words = random.choice(made).split()
            for place in random.integers(0, 40, random.integers(0, 25)):
                words[place] = f"w{random.integers(0, 400)}"
        made.append(" ".join(words))
    return made


@pytest.mark.long
@pytest.mark.parametrize(("threshold", "missed"), [(0.6, 0.03), (0.8, 0.0), (1.0, 0.0)])
def test_what_all_pairs_would_find(threshold, missed):
    some = texts(300, seed=0)
    expected = {pair for pair in combinations(range(300), 2) if likeness(some[pair[0]], some[pair[1]]) >= threshold}
    found = set(map(tuple, near_duplicates(some, threshold=threshold).tolist()))
    assert found <= expected
    assert len(expected) > 5
    assert len(expected - found) <= missed * len(expected)


def test_between_two_lists():
    some = texts(200, seed=1)
    left, right = some[:80], some[80:]
    expected = {(i, j) for i, j in product(range(80), range(120)) if likeness(left[i], right[j]) >= 0.8}
    assert set(map(tuple, near_duplicates(left, right, threshold=0.8).tolist())) == expected
    assert len(near_duplicates(left, [])) == len(near_duplicates([], right)) == len(near_duplicates([])) == 0


def test_texts_without_words_are_like_no_other():
    assert near_duplicates(["", "?!", "", "tea", "Tea!"]).tolist() == [[3, 4]]


def test_a_crowd_is_linked_and_does_not_fill_the_memory():
    crowd = ["the same line again"] * 20_000 + ["another one"] * 3
    assert same_text(crowd).tolist() == [0] * 20_000 + [1] * 3
    assert len(near_duplicates(crowd)) < 50_000


def test_numbers_of_the_same_text_count_from_the_first_on():
    numbers = same_text(["b a", "c", "a, b", "", "C", ""])
    assert numbers.tolist() == [0, 1, 0, 2, 1, 3]
    chain = ["a b c d e f g h i j", "a b c d e f g h i k", "a b c d e f g h l k"]
    assert same_text(chain, threshold=0.8).tolist() == [0, 0, 0]  # the ends by way of the middle
    assert same_text([]).tolist() == []


@pytest.mark.parametrize("threshold", [0.0, 0.29, 1.01, float("nan")])
def test_a_threshold_that_cannot_be_is_named(threshold):
    with pytest.raises(InputError, match="threshold"):
        near_duplicates(["a"], threshold=threshold)
