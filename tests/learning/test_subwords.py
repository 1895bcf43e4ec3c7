"""Words as n-grams: the same pieces and the same hashes as a plain reading of the paper gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.errors import InputError
from vicino.learning.subwords import Ngrams, Subwords, parts

ALL = 2**32 - 1  # so many buckets that the hash itself is seen, but for one value


def pieces(word: str, min_n: int, max_n: int) -> list[str]:
    """The n-grams of a word in brackets, without the brackets alone: by where they begin, the short ones first."""
    spelled = f"<{word}>"
    spans = ((start, start + n) for start in range(len(spelled)) for n in range(min_n, max_n + 1) if start + n <= len(spelled))
    return [spelled[start:end] for start, end in spans if end - start > 1 or 0 < start < len(spelled) - 1]


def fnv(piece: str) -> int:
    """FNV-1a, 32 bits, where each byte is a signed number."""
    value = 2166136261
    for byte in piece.encode("utf-8", "surrogatepass"):
        value = (value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619 % 2**32
    return value


def test_the_paper_s_example():
    assert Subwords(3, 3, ALL).of(["where"]).buckets.tolist() == [fnv(each) for each in ("<wh", "whe", "her", "ere", "re>")]


def test_the_hash_has_the_values_that_its_authors_publish():
    """Fowler, Noll and Vo's own test vectors."""
    assert Subwords(6, 6, ALL).of(["foobar"]).buckets[1] == 0xBF9CF968
    assert Subwords(1, 1, ALL).of(["a"]).buckets.tolist() == [0xE40C292C]


words = st.lists(st.text(max_size=12), max_size=5)


@given(words, st.integers(1, 6), st.integers(0, 6), st.sampled_from([1, 7, 2_000_000, ALL]))
def test_any_words_have_the_pieces_of_a_plain_reading(words, min_n, more, bucket):
    found = Subwords(min_n, min_n + more, bucket).of(words)
    expected = [[fnv(piece) % bucket for piece in pieces(word, min_n, min_n + more)] for word in words]
    assert np.diff(found.starts).tolist() == [len(each) for each in expected]
    assert found.buckets.tolist() == [bucket for each in expected for bucket in each]


def test_means_by_hand():
    ngrams = Ngrams(np.array([0, 2, 2, 5]), np.array([0, 2, 1, 1, 2], np.uint32))
    rows = np.array([[1, 0], [0, 3], [3, 3]], np.float32)
    np.testing.assert_allclose(ngrams.means(rows), [[2, 1.5], [0, 0], [1, 3]])
    own = np.array([[2, 0], [5, 1], [1, 3]], np.float32)
    np.testing.assert_allclose(ngrams.means(rows, own), [[2, 1], [5, 1], [1, 3]])


def test_only_buckets_in_use_are_kept():
    ngrams = Ngrams(np.array([0, 2, 3, 5]), np.array([9, 4, 7, 4, 11], np.uint32))
    kept = ngrams.within(np.array([4, 9], np.uint32))
    assert kept.starts.tolist() == [0, 2, 2, 3]
    assert kept.buckets.tolist() == [1, 0, 0]
    nothing = ngrams.within(np.array([], np.uint32))
    assert (nothing.starts.tolist(), len(nothing.buckets)) == ([0, 0, 0, 0], 0)


def test_a_word_s_own_input_comes_before_its_n_grams():
    found = parts(Ngrams(np.array([0, 0, 2]), np.array([5, 0], np.uint32)))
    assert found.starts.tolist() == [0, 1, 4]
    assert found.rows.tolist() == [0, 1, 7, 2]


@pytest.mark.parametrize("numbers", [(0, 3, 9), (3, 2, 9), (3, 3, 0), (3, 3, 2**32), (3.0, 3, 9), (3, 3, "many")], ids=str)
def test_numbers_that_cannot_be_are_named(numbers):
    with pytest.raises(InputError, match=r"min_n|max_n|bucket"):
        Subwords(*numbers)
