"""Correlations and cosines: worked by hand, and equal to scipy's, ties and extremes included."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from vicino.errors import DimensionMismatch, EmptyInput, InputError, InvalidVectors
from vicino.metrics.similarity import paired_cosine, pearson, spearman

# Few distinct numbers make many ties; differences stay far above rounding.
PAIRS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=30)


def test_spearman_shares_ranks_among_ties():
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: cov 4.5, variances 4.5 and 5.
    assert spearman([1, 2, 2, 3], [10, 20, 30, 40]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)


@pytest.mark.parametrize("function", [pearson, spearman])
def test_perfect_and_opposite(function):
    assert function([1, 2, 3], [2, 4, 6]) == pytest.approx(1.0)
    assert function([1, 2, 3], [6, 4, 2]) == pytest.approx(-1.0)


@given(pairs=PAIRS, scale=st.sampled_from([1e-200, 1e-3, 1.0, 1e200]))
def test_as_scipy_at_any_scale(pairs, scale):
    a, b = np.array(pairs, dtype=float).T
    assume(np.ptp(a) > 0 and np.ptp(b) > 0)
    assert pearson(a * scale, b) == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-12)
    assert spearman(a * scale, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


@given(pairs=PAIRS)
def test_correlations_are_bounded_and_symmetric(pairs):
    a, b = np.array(pairs, dtype=float).T
    assume(np.ptp(a) > 0 and np.ptp(b) > 0)
    for function in (pearson, spearman):
        assert -1 <= function(a, b) <= 1
        assert function(a, b) == pytest.approx(function(b, a), abs=1e-15)


@pytest.mark.parametrize("function", [pearson, spearman])
def test_bad_pairs_are_named(function):
    with pytest.raises(InputError, match=r"all 3 values are"):
        function([0.1, 0.1, 0.1], [1, 2, 3])
    with pytest.raises(InputError, match=r"all 1 values are"):
        function([1], [2])
    with pytest.raises(EmptyInput):
        function([], [])
    with pytest.raises(InvalidVectors):
        function([1, float("nan")], [1, 2])
    with pytest.raises(DimensionMismatch):
        function([1, 2], [1, 2, 3])


def test_paired_cosine_is_the_diagonal_of_all_pairs():
    a, b = np.random.default_rng(0).normal(size=(2, 20, 8))
    expected = [x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(paired_cosine(a, b), expected, atol=1e-6)


def test_paired_cosine_of_a_zero_row_is_zero():
    assert paired_cosine([[0, 0], [1, 1]], [[1, 2], [1, 1]]) == pytest.approx([0.0, 1.0])


def test_rows_that_cannot_be_paired_are_named():
    with pytest.raises(InputError, match="2 rows cannot be paired with 1"):
        paired_cosine([[1, 0], [0, 1]], [[1, 0]])
    with pytest.raises(DimensionMismatch):
        paired_cosine([[1, 0]], [[1, 0, 0]])
    with pytest.raises(InvalidVectors):
        paired_cosine([[1, float("nan")]], [[1, 0]])
