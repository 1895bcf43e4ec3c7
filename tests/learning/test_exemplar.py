"""One against all: scikit-learn's LinearSVC and LinearDiscriminantAnalysis as oracles, the optimum's conditions, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.covariance import EmpiricalCovariance, shrunk_covariance
from sklearn.svm import LinearSVC

from vicino.errors import DimensionMismatch, EmptyInput, InputError, InvalidVectors
from vicino.learning.exemplar import SVM, Moments, lda, svm


def made(n: int, dim: int = 24, seed: int = 0) -> np.ndarray:
    """Unit vectors that all lean one way, as those of text do."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, dim)) * np.geomspace(1, 0.1, dim) + np.eye(dim)[0]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def theirs(vectors: np.ndarray, positives: np.ndarray, C: float, balanced: bool) -> LinearSVC:
    """The same machine by LIBLINEAR, all in float64."""
    rows = np.vstack([positives, vectors]).astype(np.float64)
    labels = np.repeat([1, 0], [len(positives), len(vectors)])
    weight = "balanced" if balanced else None
    return LinearSVC(C=C, class_weight=weight, dual=False, tol=1e-9, max_iter=100_000).fit(rows, labels)


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("C", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("many", [1, 3])
def test_it_is_the_machine_of_liblinear(C, balanced, many):
    vectors, asked = made(1400), made(many, seed=5)
    found, oracle = svm(vectors, asked, C=C, balanced=balanced), theirs(vectors, asked, C, balanced)
    assert found.residual <= 1e-3
    np.testing.assert_allclose(found.weights, oracle.coef_[0], atol=5e-3 * np.linalg.norm(oracle.coef_))
    assert kendalltau(vectors @ found.weights, vectors @ oracle.coef_[0]).statistic > 0.99
    assert found.intercept == pytest.approx(float(oracle.intercept_[0]), abs=0.01)


def test_the_conditions_of_the_optimum_hold():
    """w = Σ pulls x - Σ duals x, b likewise, and who pushes is who stands inside the margin."""
    vectors, asked = made(600), made(2, seed=7)
    found = svm(vectors, asked, C=0.5)
    held = found.pulls @ asked - found.duals @ vectors[found.active]
    np.testing.assert_allclose(held, found.weights, atol=2e-3 * np.linalg.norm(found.weights))
    assert found.pulls.sum() - found.duals.sum() == pytest.approx(found.intercept, abs=0.01)
    margins = vectors @ found.weights + found.intercept
    clear = np.abs(margins + 1) > 1e-3
    assert np.isin(np.arange(600), found.active)[clear].tolist() == (margins > -1)[clear].tolist()
    cost = 0.5 * 602 / (2 * 600)
    np.testing.assert_allclose(found.duals, 2 * cost * (1 + margins[found.active]), atol=1e-4)


def test_a_large_problem_that_begins_with_a_sample_ends_where_it_would():
    vectors, asked = made(40_000, dim=16), made(1, dim=16, seed=3)
    found, oracle = svm(vectors, asked), theirs(vectors, asked, 0.1, True)
    assert found.residual <= 1e-3
    assert kendalltau(vectors[:2000] @ found.weights, vectors[:2000] @ oracle.coef_[0]).statistic > 0.99
    again = svm(vectors, asked, moments=Moments.of(vectors))
    assert again.weights.tolist() == found.weights.tolist()  # to the bit


def test_rows_that_are_left_out_do_not_count():
    vectors, asked = made(300), made(1, seed=2)
    without = np.array([3, 200])
    found, other = svm(vectors, asked, without=without), svm(np.delete(vectors, without, axis=0), asked)
    np.testing.assert_allclose(found.weights, other.weights, atol=2e-3 * np.linalg.norm(other.weights))
    assert not set(without) & set(found.active.tolist())


def test_a_positive_that_stands_among_the_negatives_is_no_contradiction():
    vectors = made(200)
    found = svm(vectors, vectors[:1])
    assert found.residual <= 1e-3
    assert int(np.argmax(vectors @ found.weights)) == 0


def test_identical_rows_and_a_row_of_zeros():
    same = np.ones((50, 4), np.float32) / 2
    assert svm(same, same[:1]).residual <= 1e-3
    assert np.isfinite(svm(np.zeros((5, 4), np.float32), same[:1]).weights).all()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"C": 0.0}, InputError),
        ({"C": -1.0}, InputError),
        ({"C": float("nan")}, InputError),
        ({"positives": np.ones((1, 3))}, DimensionMismatch),
        ({"positives": np.empty((0, 24))}, EmptyInput),
        ({"positives": np.full((1, 24), np.nan)}, InvalidVectors),
        ({"vectors": np.empty((0, 24), np.float32)}, EmptyInput),
        ({"without": np.arange(9)}, EmptyInput),
    ],
)
def test_what_cannot_be_is_named(change, error):
    given = {"vectors": made(9), "positives": made(1), **change}
    with pytest.raises(error):
        svm(given.pop("vectors"), given.pop("positives"), **given)


def test_moments_are_those_of_numpy():
    vectors = made(5000)
    found = Moments.of(vectors, block=700)
    np.testing.assert_allclose(found.mean, vectors.mean(axis=0, dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(found.covariance(0.0), EmpiricalCovariance().fit(vectors).covariance_, atol=1e-5)
    shrunk = shrunk_covariance(EmpiricalCovariance().fit(vectors).covariance_, shrinkage=0.3)
    np.testing.assert_allclose(found.covariance(0.3), shrunk, atol=1e-5)
    with pytest.raises(EmptyInput):
        Moments.of(np.empty((0, 3)))


def test_lda_solves_with_the_covariance():
    vectors, asked = made(3000), made(4, seed=9)
    moments = Moments.of(vectors)
    expected = np.linalg.solve(moments.covariance(0.1), (asked - moments.mean).T).T
    np.testing.assert_allclose(lda(moments)(asked), expected, rtol=1e-3, atol=1e-3)
    far = lda(moments, shrinkage=1.0)(asked)  # of the covariance nothing is left but its size: the centred cosine
    near = asked - moments.mean
    cosines = (far * near).sum(axis=1) / np.linalg.norm(far, axis=1) / np.linalg.norm(near, axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3])
def test_fewer_vectors_than_dimensions_are_decorrelated_too(rows):
    assert np.isfinite(lda(Moments.of(made(rows)), shrinkage=0.0)(made(2, seed=1))).all()


@pytest.mark.parametrize("shrinkage", [-0.1, 1.1, float("nan")])
def test_a_shrinkage_that_cannot_be_is_named(shrinkage):
    with pytest.raises(InputError, match="shrinkage"):
        lda(Moments.of(made(9)), shrinkage=shrinkage)


def test_an_svm_is_plain_arrays():
    found = svm(made(50), made(1, seed=1))
    assert isinstance(found, SVM)
    assert found.weights.shape == (24,)
    assert len(found.duals) == len(found.active)
    assert len(found.pulls) == 1
