"""Cures for vectors that point one way: what each promises, on rows that it learnt from and on new ones."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.errors import DimensionMismatch, EmptyInput, InputError
from vicino.learning.isotropy import CURES, Moments, all_but_the_top, centring, whitening
from vicino.metrics.geometry import mean_cosine


@pytest.fixture(scope="module")
def cone():
    random = np.random.default_rng(0)
    return (random.normal(size=(3000, 8)) @ random.normal(size=(8, 8)) + 4).astype(np.float32)


@pytest.mark.parametrize("cure", [centring, all_but_the_top, whitening])
def test_a_cone_becomes_a_ball_for_new_rows_too(cure, cone):
    made = cure(cone[:1500])
    assert mean_cosine(cone) > 0.3
    assert abs(mean_cosine(made(cone[1500:]))) < 0.05
    assert made(cone).dtype == np.float32


def test_white_is_white(cone):
    white = whitening(cone)(cone)
    assert np.cov(white.T, bias=True) == pytest.approx(np.eye(8), abs=1e-3)
    strongest = whitening(cone, dim=3)(cone)
    assert strongest.shape == (3000, 3)
    assert abs(strongest) == pytest.approx(abs(white[:, :3]), abs=1e-3)


def test_directions_without_variance_are_not_blown_up(cone):
    flat = np.hstack([cone, cone[:, :2], np.ones((3000, 1), np.float32)])
    assert whitening(flat)(flat).shape == (3000, 8)
    assert np.isfinite(whitening(flat)(flat)).all()


def test_the_top_is_taken_away(cone):
    made = all_but_the_top(cone, directions=2)
    left = np.linalg.svd(made(cone), compute_uv=False)
    whole = np.linalg.svd(centring(cone)(cone), compute_uv=False)
    assert left[:6] == pytest.approx(whole[2:], rel=1e-3)
    assert left[6:].max() < 1e-2


def test_what_cannot_be_is_named(cone):
    with pytest.raises(InputError, match="the same"):
        whitening(np.ones((5, 3)))
    for wrong in (0, 9):
        with pytest.raises(InputError):
            whitening(cone, dim=wrong)
    for wrong in (0, 8):
        with pytest.raises(InputError):
            all_but_the_top(cone, directions=wrong)
    with pytest.raises(DimensionMismatch):
        centring(cone)(cone[:, :3])


def test_moments_of_blocks_are_those_of_the_whole(cone):
    blocks = Moments()
    for start in (0, 1, 7, 2000):
        blocks.add(cone[start : {0: 1, 1: 7, 7: 2000, 2000: 3000}[start]])
    blocks.add(cone[:0])
    assert blocks.n == 3000
    assert blocks.mean == pytest.approx(cone.mean(axis=0, dtype=np.float64))
    assert blocks.covariance == pytest.approx(np.cov(cone.T.astype(np.float64), bias=True), rel=1e-9)
    for cure in CURES.values():
        assert cure(blocks)(cone) == pytest.approx(cure(cone)(cone), abs=1e-3)


def test_what_varies_by_rounding_alone_does_not_vary(cone):
    assert Moments().add(cone).vary
    assert not Moments().add(cone[:1]).vary
    assert not Moments().add(np.repeat(cone[:1], 7, axis=0)).add(cone[:1]).vary


def test_moments_of_nothing_and_of_another_width_are_named(cone):
    for look in (lambda: Moments().mean, lambda: Moments().covariance):
        with pytest.raises(EmptyInput):
            look()
    with pytest.raises(DimensionMismatch):
        Moments().add(cone).add(cone[:, :3])
