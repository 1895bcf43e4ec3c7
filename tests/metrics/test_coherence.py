"""Coherence: by hand, and against the formula spelled out pair by pair."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from vicino.errors import EmptyInput, InputError
from vicino.metrics.coherence import npmi


def test_by_hand():
    counts = csr_array([[1, 2, 0], [3, 1, 0], [1, 0, 1], [0, 0, 5]])  # a: 3 of 4, b: 2, c: 2; ab: 2, ac: 1, bc: none
    ab = math.log((2 / 4) / (3 / 4 * 2 / 4)) / -math.log(2 / 4)
    ac = math.log((1 / 4) / (3 / 4 * 2 / 4)) / -math.log(1 / 4)
    np.testing.assert_allclose(npmi([[0, 1, 2], [1, 0, 2]], counts), [(ab + ac - 1) / 3] * 2)


def test_the_ends_of_the_scale():
    counts = csr_array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]])
    assert npmi([[0, 1], [2, 3], [0, 4], [0, 2]], counts).round(6).tolist() == [1, 1, -1, 0]


@given(arrays(np.int64, st.tuples(st.integers(1, 8), st.just(5)), elements=st.integers(0, 2)))
def test_the_formula_pair_by_pair(counts):
    def value(a, b):
        p = [np.mean(column) for column in (counts[:, a] > 0, counts[:, b] > 0, (counts[:, a] > 0) & (counts[:, b] > 0))]
        if p[2] in (0, 1):
            return 1 if p[2] else -1
        return math.log(p[2] / (p[0] * p[1])) / -math.log(p[2])

    topics = [[0, 1, 2], [4, 2, 3]]
    expected = [np.mean([value(a, b) for a, b in combinations(topic, 2)]) for topic in topics]
    found = npmi(topics, csr_array(counts))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (np.abs(found) <= 1 + 1e-12).all()


@pytest.mark.parametrize("wrong", [[[0]], [0, 1], [[0, 1.5]], [[0, 9]], [[-1, 0]]], ids=str)
def test_topics_that_are_no_columns_are_named(wrong):
    with pytest.raises(InputError, match="topic"):
        npmi(wrong, csr_array([[1, 1]]))


def test_no_documents():
    with pytest.raises(EmptyInput):
        npmi([[0, 1]], csr_array((0, 2)))
