"""Pixels and eigenimages: against scikit-learn's PCA, by hand, and on what no image is."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from vicino import encoders
from vicino.data.images import Images, prepared
from vicino.errors import EmptyInput, ImageError, InputError

pytest.importorskip("PIL", reason="the extra 'images' is not installed")

RANDOM = np.random.default_rng(0)
# Directions of very different weight, so that each has its own place.
WEIGHTS = np.geomspace(60, 2, 12)
IMAGES = np.clip(128 + (RANDOM.normal(size=(200, 12)) * WEIGHTS) @ np.linalg.qr(RANDOM.normal(size=(48, 12)))[0].T, 0, 255)
IMAGES = IMAGES.reshape(200, 6, 8).round().astype(np.uint8)


def test_pixels_are_divided_by_255_and_stand_in_their_order():
    encoder = encoders.make("pixels").fit(IMAGES)
    assert encoder.dim == 48
    np.testing.assert_allclose(encoder.encode(IMAGES), IMAGES.reshape(200, 48) / 255, atol=1e-6)
    assert encoder.encode(IMAGES[0]).shape == (48,)
    colours = np.stack([IMAGES[0]] * 3, axis=-1)
    np.testing.assert_allclose(encoder.encode([colours])[0], IMAGES[0].ravel() / 255, atol=1e-6)


def test_the_size_is_the_usual_one_and_at_most_so_large():
    some = [np.zeros((10, 30, 1), np.uint8), np.zeros((12, 30), np.uint8), np.zeros((900, 900, 3), np.uint8)]
    assert encoders.make("pixels").fit(some).shape_ == (12, 30, 3)
    assert encoders.make("pixels").fit(some[:2]).shape_[2] == 1
    assert encoders.make("pixels").fit([np.zeros((400, 100), np.uint8)]).shape_ == (128, 32, 1)
    assert encoders.make("pixels", size=7, channels=3).fit(some).shape_ == (7, 7, 3)
    assert encoders.make("pixels(size=[4, 5])").fit(some).shape_ == (4, 5, 3)


@pytest.mark.parametrize("whiten", [False, True])
def test_eigenimages_are_principal_components(whiten):
    encoder = encoders.make("eigenimages", n_components=5, whiten=whiten).fit(IMAGES)
    oracle = PCA(5, whiten=whiten, svd_solver="full").fit(IMAGES.reshape(200, 48) / 255.0)
    found, expected = encoder.encode(IMAGES), oracle.transform(IMAGES.reshape(200, 48) / 255.0)
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-3)
    np.testing.assert_allclose(encoder.deviations_**2, oracle.explained_variance_, rtol=1e-3)


def test_there_are_no_more_components_than_differences():
    four = IMAGES[:4]
    assert encoders.make("eigenimages").fit(four).dim == 3  # about their mean
    assert encoders.make("eigenimages").fit(np.concatenate([four, four])).dim == 3
    with pytest.raises(EmptyInput, match="all images are equal"):
        encoders.make("eigenimages").fit([IMAGES[0], IMAGES[0]])
    with pytest.raises(InputError, match="0 components"):
        encoders.make("eigenimages", n_components=0).fit(four)


def test_a_sample_of_many_images_is_enough():
    part = encoders.make("eigenimages", n_components=3, sample=150).fit(IMAGES)
    whole = encoders.make("eigenimages", n_components=3).fit(IMAGES)
    cosines = np.linalg.svd(part.components_.T @ whole.components_, compute_uv=False)
    assert cosines.min() > 0.95
    assert part.space != whole.space


def test_collections_of_images_are_read_as_they_are():
    encoder = encoders.make("eigenimages", n_components=4).fit(Images(IMAGES))
    expected = encoder.encode(IMAGES)
    np.testing.assert_allclose(encoder.encode(Images(IMAGES)), expected, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(prepared(Images(IMAGES), None, 1)), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["pixels", "eigenimages"])
def test_an_item_that_is_no_image_is_named_by_its_place(name):
    encoder = encoders.make(name).fit(IMAGES)
    with pytest.raises(ImageError, match="item 1: a file of zero bytes"):
        encoder.encode([IMAGES[0], b""])
    with pytest.raises(ImageError, match="item 1030: a file of zero bytes"):
        encoder.encode([*[IMAGES[0]] * 1030, b""])
    with pytest.raises(ImageError, match="item 0: a file of zero bytes"):
        encoder.encode([b""])
    with pytest.raises(ImageError, match="item 0"):
        encoders.make(name).fit([b"x"])
    with pytest.raises(InputError, match="channels"):
        encoders.make(name, channels=2).fit(IMAGES)
    with pytest.raises(InputError, match="no size"):
        encoders.make(name, size=-1).fit(IMAGES)
