"""Alternating least squares against plain numpy and against implicit; refusals; threads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix, random_array
from threadpoolctl import threadpool_limits

from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.learning.als import SOLVERS, factorise


@pytest.fixture(scope="module")
def matrix():
    """90 rows and 60 columns, some of them empty, with counts."""
    cells = random_array((90, 60), density=0.08, rng=np.random.default_rng(1), data_sampler=lambda size: np.ones(size))
    counts = csr_array(cells, dtype=np.float32)
    counts.data = np.random.default_rng(2).integers(1, 6, counts.nnz).astype(np.float32)
    rows = counts.tolil()
    rows[7] = 0
    rows[:, 11] = 0
    found = csr_array(rows, dtype=np.float32)
    found.eliminate_zeros()
    return found


def objective(matrix, rows, columns, regularization, alpha):
    dense = matrix.toarray().astype(np.float64)
    misses = ((dense > 0) - rows.astype(np.float64) @ columns.T) ** 2
    return ((1 + alpha * dense) * misses).sum() + regularization * ((rows**2).sum() + (columns**2).sum())


def plainly(matrix, factors, regularization, alpha, iterations, seed):
    """The same by the book, each system written out, from the same first factors."""
    dense = matrix.toarray().astype(np.float64)
    random = np.random.default_rng(seed)
    rows, columns = (random.normal(0, 0.01, (n, factors)).astype(np.float32).astype(np.float64) for n in dense.shape)
    for _ in range(iterations):
        for weights, fixed, found in ((dense, columns, rows), (dense.T, rows, columns)):
            for row, own in enumerate(weights):
                confidence = np.diag(1 + alpha * own)
                system = fixed.T @ confidence @ fixed + regularization * np.eye(factors)
                found[row] = np.linalg.solve(system, fixed.T @ confidence @ (own > 0))
    return rows, columns


def test_cholesky_is_the_book(matrix):
    ours = factorise(matrix, 5, regularization=0.5, alpha=3.0, iterations=4, solver="cholesky", seed=9)
    book = plainly(matrix, 5, 0.5, 3.0, 4, 9)
    for mine, theirs in zip(ours, book, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0.02, atol=0.002)


def test_conjugate_gradients_come_as_near(matrix):
    exact, near = (factorise(matrix, 6, regularization=1.0, alpha=2.0, iterations=25, solver=each) for each in SOLVERS)
    best, other = (objective(matrix, *each, 1.0, 2.0) for each in (exact, near))
    start = objective(matrix, np.zeros((90, 6)), np.zeros((60, 6)), 1.0, 2.0)
    assert abs(best - other) < 0.02 * (start - best)
    assert best < 0.8 * start


@pytest.mark.parametrize("solver", SOLVERS)
def test_empty_rows_are_zero_and_threads_change_nothing(matrix, solver):
    wide = csr_array(random_array((3000, 500), density=0.01, rng=np.random.default_rng(5)), dtype=np.float32)
    one, three = (factorise(wide, 4, iterations=2, solver=solver, threads=n) for n in (1, 3))
    assert all((a == b).all() for a, b in zip(one, three, strict=True))
    rows, columns = factorise(matrix, 4, iterations=3, solver=solver, seed=1)
    assert not rows[7].any()
    assert not columns[11].any()
    assert np.isfinite(rows).all()
    assert (factorise(matrix, 4, iterations=3, solver=solver, seed=2)[0] != rows).any()


def test_it_fits_as_well_as_implicit(matrix, wanted):
    wanted("implicit")
    from implicit.cpu.als import AlternatingLeastSquares

    confidence = csr_matrix(matrix)
    confidence.data = 1 + 2.0 * confidence.data  # implicit takes the whole confidence of what is there
    options = {"factors": 6, "regularization": 1.0, "alpha": 1.0, "iterations": 25, "num_threads": 1, "random_state": 0}
    with threadpool_limits(1, "blas"):  # it warns otherwise
        theirs = AlternatingLeastSquares(**options, dtype=np.float64)
        theirs.fit(confidence, show_progress=False)
    ours = factorise(matrix, 6, regularization=1.0, alpha=2.0, iterations=25)
    start = objective(matrix, np.zeros((90, 6)), np.zeros((60, 6)), 1.0, 2.0)
    theirs_now = objective(matrix, theirs.user_factors, theirs.item_factors, 1.0, 2.0)
    ours_now = objective(matrix, *ours, 1.0, 2.0)
    assert abs(ours_now - theirs_now) < 0.03 * (start - theirs_now)  # the minimum that each finds depends on where it began


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"factors": 0}, InputError),
        ({"iterations": 0}, InputError),
        ({"threads": 0}, InputError),
        ({"regularization": 0.0}, InputError),
        ({"regularization": np.nan}, InputError),
        ({"alpha": -1.0}, InputError),
        ({"solver": "magic"}, UnknownName),
    ],
)
def test_parameters_that_cannot_be_are_refused(matrix, changes, error):
    with pytest.raises(error):
        factorise(matrix, **{"factors": 4, "iterations": 1, **changes})


def test_matrices_that_cannot_be_are_refused(matrix):
    with pytest.raises(EmptyInput):
        factorise(csr_array((3, 4), dtype=np.float32), 2)
    for value in (-1.0, 0.0, np.nan, np.inf):
        broken = matrix.copy()
        broken.data[3] = value
        with pytest.raises(InputError, match="weights"):
            factorise(broken, 2)
    broken = matrix.copy()
    broken.indices[0] = 60
    with pytest.raises(InputError, match="columns"):
        factorise(broken, 2)
