"""The shape of vectors: worked by hand, planted faults that are found, and clean clouds that are not accused."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import skew

from vicino.errors import InputError, InvalidVectors
from vicino.metrics.geometry import dead_dimensions, hubness, mean_cosine, occurrences, odd_norms, spectrum
from vicino.vectors import normalise

N, DIM = 2000, 16


@pytest.fixture(scope="module")
def clean():
    return np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)


def test_the_mean_cosine_is_that_of_all_pairs(clean):
    units = normalise(clean[:50] + 1)
    pairs = [float(a @ b) for a, b in combinations(units, 2)]
    assert mean_cosine(clean[:50] + 1) == pytest.approx(np.mean(pairs), abs=1e-6)
    assert mean_cosine([[1.0, 0], [0, 0], [1, 0]]) == pytest.approx(1 / 3)  # a row without direction is like no other


def test_a_cone_is_told_from_a_ball(clean):
    assert abs(mean_cosine(clean)) < 0.02
    assert mean_cosine(clean + 3) > 0.8
    assert spectrum(clean).effective_rank > 0.95 * DIM
    assert spectrum(clean + 3).shares[0] > 0.8
    assert spectrum(clean + 3, centred=True).shares[0] < 0.5


def test_the_spectrum_is_that_of_the_singular_values(clean):
    units = normalise(clean * np.geomspace(1, 10, DIM))
    values = np.linalg.svd(units.astype(np.float64), compute_uv=False) ** 2
    found = spectrum(clean * np.geomspace(1, 10, DIM))
    assert found.shares == pytest.approx(values / values.sum(), abs=1e-6)
    assert found.shares.sum() == pytest.approx(1)
    assert spectrum(np.outer(np.arange(1, 9), [1.0, 2.0])).effective_rank == pytest.approx(1)


def test_a_hub_is_seen(clean):
    near = clean * 0.3 + 1  # all in a cone: its middle answers everything
    middle = np.concatenate([near, np.ones((1, DIM), np.float32)])
    times = occurrences(middle)
    assert times.argmax() == len(near)
    assert times.sum() == 10 * len(middle)
    assert hubness(middle).skewness > 1.5 > hubness(clean).skewness
    assert hubness(clean).orphans < 0.01 < hubness(middle).orphans


def test_hubness_is_the_skewness_of_the_counts(clean):
    times = occurrences(clean, k=5)
    units = normalise(clean)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    slow = np.bincount(np.argsort(-cosines, axis=1)[:, :5].ravel(), minlength=N)
    assert np.abs(times - slow).sum() <= 4  # but for ties in the last bit
    assert hubness(clean, k=5).skewness == pytest.approx(skew(times))
    assert hubness(clean, sample=500, seed=1) == hubness(clean, sample=500, seed=1)


def test_dead_dimensions_and_odd_lengths(clean):
    assert dead_dimensions(clean).tolist() == []
    dead = clean.copy()
    dead[:, [2, 7]] = [1.0, 0.0]
    assert dead_dimensions(dead).tolist() == [2, 7]
    assert odd_norms(clean).tolist() == []
    odd = clean.copy()
    odd[5], odd[9] = 0, 50 * odd[9]
    assert odd_norms(odd).tolist() == [5, 9]
    assert odd_norms(normalise(clean)).tolist() == []


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: mean_cosine([[1.0]]), InputError),
        (lambda: mean_cosine([[1.0], [np.nan]]), InvalidVectors),
        (lambda: spectrum(np.zeros((4, 2))), InputError),
        (lambda: spectrum(np.ones((4, 2)), centred=True), InputError),
        (lambda: occurrences(np.eye(3), k=3), InputError),
        (lambda: occurrences(np.eye(3), k=0), InputError),
        (lambda: hubness(np.eye(2)), InputError),
    ],
)
def test_what_has_no_shape_is_named(call, error):
    with pytest.raises(error):
        call()
