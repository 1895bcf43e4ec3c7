"""Turning vectors so that few dimensions rank as all do."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.errors import DimensionMismatch, InputError
from vicino.learning.turning import turn_to_front
from vicino.vectors import normalise

DIM = 32


@pytest.fixture(scope="module")
def pairs():
    """Pairs that agree in ten directions, aslant to the axes; in four more their sides are long, each along its own."""
    random = np.random.default_rng(5)
    axes = np.linalg.qr(random.normal(size=(DIM, DIM)))[0]
    shared = random.normal(size=(500, 10))
    sides = []
    for side in range(2):
        own = random.normal(size=(500, DIM - 10)) * 0.1
        own[:, 2 * side : 2 * side + 2] *= 15
        sides.append((np.concatenate([shared, own], axis=1) @ axes).astype(np.float32))
    return sides


def same_first(pairs, axes, dim):
    """The share of left sides for which some dimensions find the same nearest right side as all do."""
    left, right = (side @ axes for side in pairs)
    few, all_ = ((normalise(left[:, :d].copy()) @ normalise(right[:, :d].copy()).T).argmax(axis=1) for d in (dim, DIM))
    return (few == all_).mean()


def test_it_is_a_turn(pairs):
    turn = turn_to_front(*pairs, [6])
    np.testing.assert_allclose(turn.T @ turn, np.eye(DIM), atol=1e-5)
    turned = [side @ turn for side in pairs]
    np.testing.assert_allclose(turned[0] @ turned[1].T, pairs[0] @ pairs[1].T, rtol=1e-3, atol=1e-3)


def test_few_dimensions_find_more_than_principal_axes_do(pairs):
    both = np.concatenate(pairs).astype(np.float64)
    principal = np.linalg.eigh(both.T @ both)[1][:, ::-1].astype(np.float32)
    by_turn, by_principal, as_they_are = (
        same_first(pairs, axes, 6) for axes in (turn_to_front(*pairs, [6]), principal, np.eye(DIM, dtype=np.float32))
    )
    assert by_turn > 1.5 * by_principal > 1.5 * as_they_are


def test_several_widths_are_learnt_at_once_and_nothing_is_left_to_chance(pairs):
    turn = turn_to_front(*pairs, [3, 6], seed=1)
    np.testing.assert_array_equal(turn, turn_to_front(*pairs, [3, 6], seed=1))
    by_three, by_six = (same_first(pairs, turn, dim) for dim in (3, 6))
    assert same_first(pairs, turn_to_front(*pairs, [6]), 3) < by_three < by_six


def test_what_cannot_be_turned_is_named(pairs):
    left, right = pairs
    with pytest.raises(DimensionMismatch):
        turn_to_front(left, right[:-1], [6])
    for wrong in ([], [0], [DIM + 1]):
        with pytest.raises(InputError, match="cannot be cut"):
            turn_to_front(left, right, wrong)
    with pytest.raises(InputError, match="cannot be cut"):
        turn_to_front(left[:0], right[:0], [6])


def test_two_pairs_are_enough(pairs):
    turn = turn_to_front(pairs[0][:2], pairs[1][:2], [DIM])
    np.testing.assert_allclose(turn.T @ turn, np.eye(DIM), atol=1e-5)
