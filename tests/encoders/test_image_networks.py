"""Backbones: shapes, layers, what makes them again, what is pretrained; and the views that images are changed to."""

from __future__ import annotations

import json

import pytest

from vicino.errors import DimensionMismatch, InputError, UnknownName, UnreadableSource

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from vicino.encoders.images import augment  # noqa: E402 - they are there
from vicino.encoders.images.network import FRESH, make_backbone, pooled, rebuilt, vectors  # noqa: E402

TINY = {
    "small": {"width": 16},
    "resnet": {"hidden_sizes": (8, 8), "depths": (1, 1), "embedding_size": 8},
    "convnext": {"hidden_sizes": (8, 16), "depths": (1, 1), "num_stages": 2},
    "vit": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
}


def tiny(name: str, *, size: int = 16, channels: int = 3, **more):
    torch.manual_seed(0)
    return make_backbone(name, size=size, channels=channels, **TINY[name], **more).eval()


@pytest.fixture(params=[*FRESH, "flat"])
def network(request):
    return tiny("small", pooling="flat") if request.param == "flat" else tiny(request.param)


def images(n=5, size=16, channels=3):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(1))


# Networks -------------------------------------------------------------------------------------------------------------


def test_vectors_and_layers_are_as_they_are_stated(network):
    pixels = network.normalised(images())
    found, layers = network(pixels), network.features(pixels)
    assert found.shape == (5, network.dim)
    assert tuple(layers) == network.layers
    assert all(len(each) == 5 and each.ndim in (3, 4) for each in layers.values())
    assert torch.isfinite(found).all()
    assert not torch.allclose(found[0], found[1])


@pytest.mark.parametrize("name", ["small", "resnet"])
def test_the_vector_is_the_mean_of_the_last_map(name):
    pixels = images()
    network = tiny(name)
    torch.testing.assert_close(network(pixels), network.features(pixels)[network.layers[-1]].mean((2, 3)))


def test_flat_vectors_tell_where_something_is():
    network, pixels = tiny("small", pooling="flat"), torch.zeros(2, 3, 16, 16)
    pixels[0, :, :4, :4] = pixels[1, :, 12:, 12:] = 1.0
    found, places = network(pixels), network.features(pixels)["stage2"]
    assert found.shape == (2, network.dim) == (2, 16 * 4 * 4)
    torch.testing.assert_close(found, network.flat(places.flatten(1)))
    assert not torch.allclose(found[0], found[1], atol=1e-2)
    with pytest.raises(DimensionMismatch, match="16 pixels"):
        network(torch.zeros(2, 3, 32, 32))
    with pytest.raises(UnknownName, match="flat"):
        tiny("small", pooling="max")


def test_tokens_are_pooled_as_is_said():
    pixels = images()
    mean, first = tiny("vit"), tiny("vit", pooling="cls")
    last = mean.features(pixels)[mean.layers[-1]]
    torch.testing.assert_close(mean(pixels), last[:, 1:].mean(1))
    torch.testing.assert_close(first(pixels), last[:, 0])
    with pytest.raises(UnknownName):
        tiny("vit", pooling="most")


def test_an_image_does_not_depend_on_those_beside_it(network):
    pixels = network.normalised(images())
    torch.testing.assert_close(network(pixels)[2:3], network(pixels[2:3]), atol=1e-5, rtol=1e-4)


def test_a_description_is_json_and_makes_it_again(network):
    again = rebuilt(json.loads(json.dumps(network.description())))
    again.load_state_dict(network.state_dict())
    assert again.layers == network.layers
    assert torch.equal(again.eval()(images()), network(images()))


@pytest.mark.parametrize(("size", "stages"), [(8, 1), (12, 2), (16, 2), (28, 3), (32, 3), (33, 4), (64, 4), (112, 5)])
def test_stages_end_with_about_four_pixels_to_a_side(size, stages):
    network = make_backbone("small", size=size, channels=1, width=16)
    last = network.features(torch.rand(2, 1, size, size))[network.layers[-1]]
    assert len(network.layers) == stages
    assert last.shape[2] in (3, 4, 5)


def test_the_small_one_is_small_and_can_learn():
    network = make_backbone("small", size=28, channels=1)
    assert 250_000 < sum(each.numel() for each in network.parameters()) < 320_000
    network(images(size=28, channels=1)).square().mean().backward()
    assert all(each.grad is not None for each in network.parameters())


def test_pixels_are_normalised_from_bytes_and_from_floats():
    network = make_backbone("small", size=8, channels=3, width=16, mean=(0.1, 0.2, 0.3), std=(0.5, 1, 2))
    grey = torch.full((1, 3, 8, 8), 51, dtype=torch.uint8)
    expected = torch.tensor([(0.2 - 0.1) / 0.5, 0.0, (0.2 - 0.3) / 2])
    torch.testing.assert_close(network.normalised(grey)[0, :, 0, 0], expected)
    torch.testing.assert_close(network.normalised(grey.float() / 255)[0, :, 3, 4], expected)


def test_vectors_are_those_of_the_network_whatever_the_batch(network):
    pixels = (images(7) * 255).to(torch.uint8)
    rows = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    with torch.inference_mode():
        expected = network(network.normalised(pixels))
    for size in (1, 3, 100):
        torch.testing.assert_close(torch.from_numpy(vectors(network, rows, batch_size=size)), expected, atol=1e-5, rtol=1e-4)
    layer = network.layers[0]
    with torch.inference_mode():
        first = pooled(network.features(network.normalised(pixels))[layer])
    torch.testing.assert_close(torch.from_numpy(vectors(network, rows, layer=layer)), first, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "params", "error"),
    [
        ("small", {"size": 7}, InputError),
        ("small", {"size": 28.0}, InputError),
        ("small", {"channels": 2}, InputError),
        ("small", {"width": 2}, InputError),
        ("small", {"widht": 64}, UnknownName),
        ("small", {"mean": (0.1, 0.2)}, DimensionMismatch),
        ("small", {"std": (0.0, 1.0, 1.0)}, DimensionMismatch),
        ("vit", {"hiden_size": 8}, UnknownName),
        ("vit", {"patch_size": 5}, InputError),
        ("resnet", {"layer_type": "wide"}, InputError),
        ("no/such/model", {}, UnreadableSource),
    ],
)
def test_what_cannot_be_made_is_named(name, params, error):
    with pytest.raises(error):
        make_backbone(name, **params)


# What transformers saved ----------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """A folder of a tiny ViT as `save_pretrained` leaves it, with its preprocessing; and the network."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    network = ViTModel(ViTConfig(**TINY["vit"], image_size=16, patch_size=4, num_channels=3)).eval()
    network.save_pretrained(tmp_path / "vit")
    told = {
        "do_center_crop": False,
        "size": {"height": 16, "width": 16},
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.2, 0.3],
    }
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(told))
    return tmp_path / "vit", network


def test_a_pretrained_network_gives_what_transformers_gives(saved):
    folder, network = saved
    opened = make_backbone(str(folder)).eval()
    pixels = opened.normalised(images())
    assert (opened.size, opened.channels, opened.mean, opened.std) == (16, 3, (0.4, 0.5, 0.6), (0.2, 0.2, 0.3))
    with torch.inference_mode():
        torch.testing.assert_close(opened(pixels), network(pixels).last_hidden_state[:, 0])
    again = rebuilt(opened.description())
    again.load_state_dict(opened.state_dict())
    torch.testing.assert_close(again.eval()(pixels), opened(pixels))


def test_a_pretrained_network_pools_as_it_was_taught(tmp_path):
    from transformers import ConvNextConfig, ConvNextModel

    torch.manual_seed(0)
    network = ConvNextModel(ConvNextConfig(**TINY["convnext"], image_size=16)).eval()
    network.save_pretrained(tmp_path / "convnext")
    opened = make_backbone(str(tmp_path / "convnext")).eval()
    with torch.inference_mode():
        torch.testing.assert_close(opened(images()), network(images()).pooler_output)


def test_what_is_no_network_of_images_is_named(saved, checkpoint, tmp_path):
    folder, _ = saved
    with pytest.raises(UnreadableSource, match="bert"):
        make_backbone(str(checkpoint("bert")))
    with pytest.raises(UnreadableSource, match="safetensors"):
        make_backbone(str(tmp_path))
    with pytest.raises(InputError, match="channels"):
        make_backbone(str(folder), channels=1)
    (folder / "model.safetensors").write_bytes(b"half")
    with pytest.raises(UnreadableSource):
        make_backbone(str(folder))


# Views ----------------------------------------------------------------------------------------------------------------

VIEWS = {
    "crop": augment.crop,
    "crop and mirror": lambda pixels: augment.crop(pixels, mirror=0.5),
    "shift": lambda pixels: augment.shift(pixels, 3),
    "flip": augment.flip,
    "jitter": augment.jitter,
    "blur": lambda pixels: augment.blur(pixels, share=1.0),
    "grey": lambda pixels: augment.grey(pixels, 0.5),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_has_the_shape_and_the_range_and_each_image_its_own_draw(name, channels):
    same = images(1, 12, channels).expand(64, -1, -1, -1).contiguous()
    before = same.clone()
    torch.manual_seed(0)
    found = VIEWS[name](same)
    assert torch.equal(same, before)
    assert found.shape == same.shape
    assert found.dtype == torch.float32
    assert -1e-6 <= found.min() <= found.max() <= 1 + 1e-6
    if (name, channels) != ("grey", 1):
        assert len(torch.unique(found.flatten(1), dim=0)) >= 2
    torch.manual_seed(0)
    assert torch.equal(VIEWS[name](same), found)
    assert torch.equal(VIEWS[name](same[:, :, :, :8])[0, :, 0, 0].isfinite(), torch.ones(channels, dtype=torch.bool))


def test_a_crop_of_everything_is_the_image():
    pixels = images()
    torch.testing.assert_close(augment.crop(pixels, area=(1, 1), ratio=(1, 1)), pixels)
    torch.testing.assert_close(augment.crop(pixels, area=(1, 1), ratio=(1, 1), mirror=1.0), pixels.flip(3))


def test_a_crop_is_a_part_made_larger():
    ramp = torch.linspace(0, 1, 32).expand(200, 1, 32, 32)
    torch.manual_seed(0)
    found = augment.crop(ramp, area=(0.25, 0.25), ratio=(1, 1))
    widths = found[:, 0, 0, -1] - found[:, 0, 0, 0]  # of a half, less half a pixel on both sides where it is enlarged
    assert (widths - 0.5).abs().max() < 0.05
    assert found[:, 0, 0, 0].std() > 0.05  # it lies anywhere


def test_a_shift_moves_whole_pixels():
    pixels = images(1, 9, 1).expand(300, -1, -1, -1)
    torch.manual_seed(0)
    found = augment.shift(pixels, 2)
    middles = {tuple(each.flatten().tolist()) for each in found[:, 0, 2:7, 2:7]}
    possible = {
        tuple(pixels[0, 0, 2 + down : 7 + down, 2 + right : 7 + right].flatten().tolist())
        for down in range(-2, 3)
        for right in range(-2, 3)
    }
    assert middles == possible
    assert torch.equal(augment.shift(pixels, 0), pixels)


def test_blur_is_a_gaussian_and_keeps_the_mean():
    point = torch.zeros(1, 1, 21, 21)
    point[0, 0, 10, 10] = 1
    found = augment.blur(point, sigma=(1.5, 1.5), share=1.0)[0, 0]
    places = torch.arange(21) - 10.0
    window = torch.exp(-0.5 * (places / 1.5) ** 2) * (places.abs() <= 3)
    window = window / window.sum()
    torch.testing.assert_close(found, window[:, None] * window[None, :], atol=1e-6, rtol=1e-4)
    assert found.sum() == pytest.approx(1, abs=1e-4)


def test_grey_and_jitter_of_known_strength():
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    torch.testing.assert_close(augment.grey(red, 1.0), torch.full((2, 3, 4, 4), 0.299))
    assert torch.equal(augment.grey(red, 0.0), red)
    flat = torch.full((500, 1, 2, 2), 0.5)
    torch.manual_seed(0)
    found = augment.jitter(flat, brightness=0.4, share=1.0)[:, 0, 0, 0]
    assert 0.3 - 1e-6 <= found.min() < 0.33
    assert 0.67 < found.max() <= 0.7 + 1e-6
    assert torch.equal(augment.jitter(flat, share=0.0), flat)
