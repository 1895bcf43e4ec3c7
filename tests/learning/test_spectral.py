"""Truncated SVD against NumPy's full one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from vicino.learning.spectral import truncated_svd


def falling(n: int, m: int, *, seed: int = 0, step: float = 2.0) -> np.ndarray:
    """An (n, m) matrix whose singular values are 1, 1 / step, 1 / step² ..."""
    rng = np.random.default_rng(seed)
    r = min(n, m)
    left, _ = np.linalg.qr(rng.standard_normal((n, r)))
    right, _ = np.linalg.qr(rng.standard_normal((m, r)))
    return (left * step ** -np.arange(r)) @ right.T


@given(n=st.integers(1, 12), m=st.integers(1, 12), rank=st.integers(1, 12), seed=st.integers(0, 9))
def test_directions_and_values_are_those_of_the_full_svd(n, m, rank, seed):
    matrix = falling(n, m, seed=seed)
    vectors, values = truncated_svd(matrix, rank)
    _, full, right = np.linalg.svd(matrix)
    r = min(rank, n, m)
    assert (vectors.shape, values.shape) == ((m, r), (r,))
    assert vectors.dtype == values.dtype == np.float32
    np.testing.assert_allclose(values, full[:r], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.abs((vectors * right[:r].T).sum(axis=0)), 1, atol=1e-3)  # the same lines
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(r), atol=1e-5)


def test_signs_are_fixed_the_largest_entry_is_positive():
    vectors, _ = truncated_svd(falling(30, 20), 5)
    peaks = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    assert (peaks > 0).all()


def test_sparse_and_dense_give_the_same():
    matrix = falling(40, 30).astype(np.float32)
    matrix[np.abs(matrix) < 0.02] = 0
    dense, sparse = truncated_svd(matrix, 6), truncated_svd(csr_array(matrix), 6)
    np.testing.assert_allclose(dense[0], sparse[0], atol=1e-4)
    np.testing.assert_allclose(dense[1], sparse[1], rtol=1e-5)


def test_a_seed_gives_the_same_to_the_bit():
    matrix = falling(60, 50, step=1.1)
    once, again = truncated_svd(matrix, 8, seed=3), truncated_svd(matrix, 8, seed=3)
    np.testing.assert_array_equal(once[0], again[0])
    np.testing.assert_array_equal(once[1], again[1])
    assert (truncated_svd(matrix, 8, seed=4)[0] != once[0]).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_directions_that_are_not_there_are_left_out(dtype):
    matrix = np.outer(np.arange(1, 31), np.ones(20)).astype(dtype)
    matrix[:, 0] = 0
    vectors, values = truncated_svd(matrix, 5)
    assert len(values) == 1
    np.testing.assert_allclose(vectors[:, 0], [0] + [19**-0.5] * 19, atol=1e-6)


def test_nothing_has_no_direction():
    vectors, values = truncated_svd(np.zeros((4, 3)), 2)
    assert (vectors.shape, values.shape) == ((3, 0), (0,))
