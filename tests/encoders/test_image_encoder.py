"""ImageEncoder: whatever an image is given as, which layer, which size, and what is refused."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

import vicino
from vicino import encoders
from vicino.data.images import Images, prepared
from vicino.errors import ArtifactCorrupt, ImageError, InputError, UnknownName
from vicino.vectors import normalise

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from vicino.encoders.images import ImageEncoder, is_network_of_images, opened_backbone  # noqa: E402 - they are there
from vicino.encoders.images.network import make_backbone  # noqa: E402


@pytest.fixture(scope="module")
def encoder(image_model):
    return ImageEncoder(model=str(image_model))


@pytest.fixture(scope="module")
def pictures():
    """(6, 16, 16, 3): blocks of colours."""
    random = np.random.default_rng(0)
    return np.kron(random.integers(0, 256, (6, 4, 4, 3), np.uint8), np.ones((1, 4, 4, 1), np.uint8))


def test_an_image_is_the_same_however_it_is_given(encoder, pictures, tmp_path):
    picture = Image.fromarray(pictures[0])
    picture.save(tmp_path / "one.png")
    file = io.BytesIO()
    picture.save(file, "PNG")
    expected = encoder.encode(pictures[0])
    assert expected.shape == (encoder.dim,)
    for one in (picture, tmp_path / "one.png", str(tmp_path / "one.png"), file.getvalue(), pictures[0] / 255):
        np.testing.assert_array_equal(encoder.encode(one), expected)
        np.testing.assert_array_equal(encoder.encode([one])[0], expected)


def test_many_images_are_the_same_however_they_are_given(encoder, pictures):
    expected = encoder.encode(list(pictures))
    for some in (pictures, Images(pictures), prepared(pictures, 16, 3), [Image.fromarray(each) for each in pictures]):
        np.testing.assert_array_equal(encoder.encode(some), expected)


def test_grey_images_of_any_size_become_what_the_network_reads(encoder, pictures):
    grey = pictures[..., 0]
    shown = np.repeat(grey[..., None], 3, axis=3)
    np.testing.assert_array_equal(encoder.encode(grey), encoder.encode(shown))
    large = grey.repeat(3, axis=1).repeat(3, axis=2)
    found = normalise(encoder.encode(large)), normalise(encoder.encode(grey))
    assert (found[0] * found[1]).sum(axis=1).min() > 0.99


def test_what_is_too_long_is_cut_off_or_squeezed(image_model, pictures):
    wide = np.concatenate([pictures[0]] * 2, axis=1)
    cut, squeezed = (ImageEncoder(model=str(image_model), crop=crop).encode(wide) for crop in (True, False))
    assert not np.allclose(cut, squeezed)
    np.testing.assert_array_equal(cut, ImageEncoder(model=str(image_model)).encode(wide[:, 8:24]))


def test_a_layer_is_the_mean_over_its_places(encoder, image_model, pictures):
    network = opened_backbone(image_model).eval()
    pixels = network.normalised(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    assert encoder.layers == network.layers
    for layer in encoder.layers:
        early = ImageEncoder(model=str(image_model), layer=layer)
        with torch.inference_mode():
            expected = network.features(pixels)[layer].mean((2, 3)).numpy()
        np.testing.assert_allclose(early.encode(pictures), expected, atol=1e-5)
        assert early.dim == expected.shape[1]


def test_bfloat16_is_near_and_in_the_same_space(encoder, image_model, pictures):
    coarse = ImageEncoder(model=str(image_model), precision="bfloat16")
    near = normalise(coarse.encode(pictures)) * normalise(encoder.encode(pictures))
    assert near.sum(axis=1).min() > 0.99
    assert coarse.space == encoder.space
    assert (coarse.arithmetic, encoder.arithmetic) == ("bfloat16", "float32")


def test_an_image_that_cannot_be_read_is_named_by_its_place(encoder, pictures, tmp_path):
    (tmp_path / "half.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    with pytest.raises(ImageError, match=r"item 2: .*half"):
        encoder.encode([pictures[0], pictures[1], tmp_path / "half.png"])
    with pytest.raises(ImageError, match="item 1"):
        encoder.encode([pictures[0], np.full((16, 16), np.nan)])
    with pytest.raises(InputError, match="item 0 is of type int"):
        encoder.encode([5])


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"layer": "stage9"}, UnknownName, "layer"),
        ({"precision": "int4"}, UnknownName, "precision"),
        ({"device": "abacus"}, InputError, "device"),
        ({"model": ""}, InputError, "needs a model"),
    ],
)
def test_what_cannot_be_opened_is_named(image_model, params, error, words):
    with pytest.raises(error, match=words):
        _ = ImageEncoder(**{"model": str(image_model), **params}).dim


def test_a_size_that_the_network_cannot_read_is_named(tmp_path):
    torch.manual_seed(0)
    network = make_backbone("vit", size=16, channels=1, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, patch_size=4)
    folder = ImageEncoder.of_network(network).save(tmp_path / "vit")
    with pytest.raises(InputError, match="16 pixels"):
        _ = ImageEncoder(model=str(folder), size=20).dim


def test_another_kind_of_encoder_is_no_network_of_images(tmp_path, texts):
    folder = encoders.make("lsa").fit(texts).save(tmp_path / "lsa")
    with pytest.raises(InputError, match="no network of images"):
        _ = ImageEncoder(model=str(folder)).dim


def test_a_record_stands_beside_the_weights_and_is_vouched_for(encoder, tmp_path, pictures):
    folder = encoder.save(tmp_path / "kept", record={"steps": 3})
    assert json.loads((folder / "training.json").read_text()) == {"steps": 3}
    np.testing.assert_array_equal(encoders.load(folder).encode(pictures), encoder.encode(pictures))
    (folder / "training.json").write_text("{}")
    with pytest.raises(ArtifactCorrupt):
        encoders.load(folder)


def test_it_opens_by_its_catalogue_name_too(image_model, encoder):
    assert encoders.make(f"image(model={image_model})").space == encoder.space


def test_a_folder_that_transformers_saved_opens_by_its_place(tmp_path, pictures):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    transformers.ResNetModel(config).save_pretrained(tmp_path / "net")
    for opened in (encoders.make(tmp_path / "net"), vicino.load(tmp_path / "net")):
        assert isinstance(opened, ImageEncoder)
    assert opened.set_params(size=32).encode(pictures).shape == (6, 16)
    (tmp_path / "net" / "modules.json").write_text("[]")  # a folder of sentence-transformers is one of text
    assert not is_network_of_images(tmp_path / "net")
    assert not is_network_of_images(tmp_path / "absent")
