"""Vectors laid flat: PCA and the neighbours kept against independent ways, t-SNE on groups, and what cannot be laid out."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors

from vicino.catalog import Entry
from vicino.errors import InputError, MissingExtra
from vicino.learning.projection import directions, nearest, neighbours_kept, pca, tsne

GROUPS, EACH, DIM = 4, 40, 20


@pytest.fixture(scope="module")
def groups() -> np.ndarray:
    """Four groups of forty, far apart, in twenty dimensions."""
    draw = np.random.default_rng(0)
    centres = np.eye(GROUPS, DIM) * 30
    return (np.repeat(centres, EACH, axis=0) + draw.normal(size=(GROUPS * EACH, DIM))).astype(np.float32)


@pytest.fixture
def needs_map(need) -> None:
    need(Entry("openTSNE:TSNE", "", "map"))


def test_pca_is_the_projection_on_the_first_singular_vectors(groups):
    centred = groups - groups.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    wanted, flat = centred @ axes.T, pca(groups)
    np.testing.assert_allclose(np.abs(flat), np.abs(wanted), atol=2e-3)
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-3)


def test_pca_of_sparse_rows_is_that_of_the_dense(monkeypatch, groups):
    monkeypatch.setattr("vicino.learning.projection._SMALL", 0)  # so that they stay sparse
    np.testing.assert_allclose(np.abs(pca(csr_array(groups))), np.abs(pca(groups)), atol=1e-2)


@pytest.mark.parametrize("width", [12, 1100])
def test_directions_of_some_rows_lay_out_others_as_pca_does(width):
    draw = np.random.default_rng(0)
    turned = np.linalg.qr(draw.standard_normal((width, 12)))[0].T
    rows = (3 + (draw.standard_normal((400, 12)) * np.array([9, 4, *[0.5] * 10])) @ turned).astype(np.float32)
    mean, axes = directions(rows)
    assert (mean.shape, axes.shape, axes.dtype) == ((width,), (width, 2), np.float32)
    flat = (rows - mean) @ axes
    np.testing.assert_allclose(np.abs(flat), np.abs(pca(rows)), atol=1e-2)
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-5)
    few = directions(rows[:200])
    assert np.ptp((rows - few[0]) @ few[1], axis=0) == pytest.approx(np.ptp(flat, axis=0), rel=0.1)
    assert all(np.array_equal(one, other) for one, other in zip(directions(rows), (mean, axes), strict=True))


def test_directions_that_nothing_was_learnt_of_are_zeros():
    for rows in (np.ones((5, 3)), np.ones((1, 3)), np.array([[1.0, 2.0]])):
        assert not directions(rows.astype(np.float32))[1].any()
    assert not directions(np.array([[1, 2], [3, 4]], np.float32))[1][:, 1].any()


@pytest.mark.parametrize("shape", [(1, 5), (2, 5), (5, 1), (3, 2)])
def test_directions_that_are_not_there_are_zeros(shape):
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for flat in (pca(rows), pca(csr_array(rows))):
        assert flat.shape == (shape[0], 2)
        assert np.isfinite(flat).all()
    assert not pca(rows)[:, 1].any() or min(shape) > 1


def test_equal_rows_stand_in_one_place():
    rows = np.ones((7, 3), np.float32)
    assert not pca(rows).any()
    assert not pca(csr_array(rows)).any()
    with pytest.raises(InputError, match="different vectors"):
        tsne(rows)


@pytest.mark.parametrize("sparse", [False, True])
def test_neighbours_are_those_of_scikit_learn(monkeypatch, groups, sparse):
    monkeypatch.setattr("vicino.learning.projection._CELLS", 1000)  # several blocks
    found, far = nearest(csr_array(groups) if sparse else groups, k=6)
    distances, rows = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(groups.astype(np.float64)).kneighbors()
    assert (found == rows[:, :6]).all()
    np.testing.assert_allclose(far, distances[:, :6], rtol=1e-4)


def test_neighbours_of_few_points():
    assert nearest(np.ones((1, 3), np.float32), 5)[0].shape == (1, 0)
    assert nearest(np.ones((3, 3), np.float32), 5)[0].tolist() == [[1, 2], [0, 2], [0, 1]]


def test_the_share_kept_is_counted_by_hand():
    """On a line 0, 1, 2, 10, 11: the plane shows the last between the first two."""
    rows = np.array([[0.0], [1], [2], [10], [11]])
    flat = np.array([[0, 0], [1, 0], [2, 0], [10, 0], [0.4, 0]], np.float32)
    # the nearest vector of each: 1; 0 or 2, as far; 1; 4; 3. Here the nearest is: 4, 4, 1, 2, 0
    assert neighbours_kept(rows, flat, k=1) == pytest.approx(1 / 5)
    assert neighbours_kept(rows, np.pad(rows, ((0, 0), (0, 1))).astype(np.float32), k=1) == 1.0


def test_the_share_kept_is_that_of_all_neighbours(groups):
    flat = pca(groups)
    true, shown = nearest(groups, 10)[0], nearest(flat, 10)[0]
    wanted = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(true, shown, strict=True)])
    assert neighbours_kept(groups, flat) == pytest.approx(wanted)
    assert neighbours_kept(groups, flat, sample=50) == pytest.approx(wanted, abs=0.15)


def test_the_share_kept_of_too_few_is_not_told():
    for n in (1, 2):
        assert neighbours_kept(np.eye(n, 3), np.zeros((n, 2), np.float32)) is None


def test_tsne_keeps_more_neighbours_than_pca_and_groups_apart(needs_map, groups):
    flat = tsne(groups, near=nearest(groups, 90), seed=3)
    assert flat.shape == (len(groups), 2)
    assert neighbours_kept(groups, flat) > neighbours_kept(groups, pca(groups)) + 0.05
    own = nearest(flat, 10)[0] // EACH == np.arange(len(groups))[:, None] // EACH
    assert own.mean() > 0.95
    assert (tsne(groups, near=nearest(groups, 90), seed=3) == flat).all()


def test_tsne_without_neighbours_looks_for_them(needs_map, groups):
    own = nearest(tsne(groups), 10)[0] // EACH == np.arange(len(groups))[:, None] // EACH
    assert own.mean() > 0.9


def test_tsne_of_few_points(needs_map, groups):
    for n in (5, 6, 11):
        assert np.isfinite(tsne(groups[:n], near=nearest(groups[:n], 90))).all()
    with pytest.raises(InputError, match="at least 5"):
        tsne(groups[:4])


def test_tsne_names_the_extra_that_it_needs(monkeypatch, groups):
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    monkeypatch.setattr("vicino.learning.projection.can_tsne", lambda: False)
    with pytest.raises(MissingExtra, match="'map'"):
        tsne(groups)
