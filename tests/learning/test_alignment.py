"""Maps between spaces: a turn is found again, a linear map too, and what cannot be learnt is named."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from vicino.errors import DimensionMismatch, EmptyInput
from vicino.learning.alignment import linear, orthogonal


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)


def test_a_turn_and_a_shift_are_found_again(rows: np.ndarray) -> None:
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    target = rows @ turn + np.arange(6)
    for learn in (orthogonal, linear):
        learnt = learn(rows[:150], target[:150])
        np.testing.assert_allclose(learnt(rows[150:]), target[150:], atol=1e-2)
    np.testing.assert_allclose(orthogonal(rows, target).weights, turn, atol=1e-4)


def test_the_turn_is_that_of_scipy(rows: np.ndarray) -> None:
    target = np.random.default_rng(2).standard_normal((200, 6))
    expected, _ = orthogonal_procrustes(rows - rows.mean(axis=0), target - target.mean(axis=0))
    np.testing.assert_allclose(orthogonal(rows, target).weights, expected, atol=1e-4)


@pytest.mark.parametrize("width", [3, 9])
def test_between_widths_rows_or_columns_stay_orthonormal(rows: np.ndarray, width: int) -> None:
    weights = orthogonal(rows, np.random.default_rng(3).standard_normal((200, width))).weights
    product = weights.T @ weights if width < 6 else weights @ weights.T
    np.testing.assert_allclose(product, np.eye(min(width, 6)), atol=1e-4)


def test_a_linear_map_is_that_of_least_squares_where_there_are_plenty(rows: np.ndarray) -> None:
    target = rows @ np.random.default_rng(4).standard_normal((6, 3)) + 1
    design = np.hstack([rows, np.ones((200, 1))])
    expected = np.linalg.lstsq(design, target, rcond=None)[0]
    learnt = linear(rows, target)
    np.testing.assert_allclose(np.vstack([learnt.weights, learnt.shift]), expected, atol=1e-2)


def test_more_columns_than_rows_are_held_small() -> None:
    draw = np.random.default_rng(5)
    rows = draw.standard_normal((12, 40))
    learnt = linear(rows, draw.standard_normal((12, 5)))
    assert np.isfinite(learnt.weights).all()
    assert np.abs(learnt.weights).max() < 10


@pytest.mark.parametrize("learn", [orthogonal, linear])
def test_what_teaches_nothing(learn: object, rows: np.ndarray) -> None:
    with pytest.raises(DimensionMismatch):
        learn(rows, rows[:3])
    with pytest.raises(EmptyInput):
        learn(rows[:0], rows[:0])
    same = learn(np.ones((5, 2)), np.full((5, 2), 3.0))
    np.testing.assert_allclose(same(np.ones((1, 2))), [[3.0, 3.0]], atol=1e-4)
