"""A module of torch of the user's own: with its preprocessing, without its head, and saved by name."""

from __future__ import annotations

import numpy as np
import pytest

from vicino import encoders
from vicino.errors import (
    ArtifactCorrupt,
    ArtifactError,
    DimensionMismatch,
    ImageError,
    InputError,
    InvalidVectors,
    UnknownName,
)

torch = pytest.importorskip("torch")

from vicino.encoders import trust  # noqa: E402 - it is there
from vicino.encoders.images.module import ModuleEncoder  # noqa: E402

CODE = """
import torch
def make():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 6), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 3))
def text(): return "no module"
def dark(image): return image[:4, :4].transpose(2, 0, 1) / 510
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module that can be imported; the current folder is its."""
    name = f"mine_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def images(n=5):
    return np.random.default_rng(0).integers(0, 256, (n, 4, 4, 3), np.uint8)


def test_it_gives_what_the_module_gives(mine):
    encoder = ModuleEncoder(module=f"{mine}:make")
    network = __import__(mine).make().eval()
    pixels = torch.from_numpy(images()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        whole, body = network(pixels), network[:2](pixels)
    np.testing.assert_allclose(encoder.encode(images(), batch_size=2), whole, atol=1e-6)
    np.testing.assert_allclose(ModuleEncoder(module=network, layer="1").encode(images()), body, atol=1e-6)
    dark = ModuleEncoder(module=network, preprocess=f"{mine}:dark").encode(images())
    with torch.inference_mode():
        np.testing.assert_allclose(dark, network(pixels / 2), atol=1e-6)
    assert encoder.dim == 3


def test_a_module_that_trains_goes_on_training():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 6), torch.nn.BatchNorm1d(6)).train()
    before = network[2].running_mean.clone()
    ModuleEncoder(module=network).encode(images())
    assert network.training
    assert torch.equal(network[2].running_mean, before)
    assert network[1].weight.requires_grad


def test_maps_and_tokens_become_their_mean():
    network = torch.nn.Conv2d(3, 5, 1)
    pixels = torch.from_numpy(images()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        np.testing.assert_allclose(ModuleEncoder(module=network).encode(images()), network(pixels).mean((2, 3)), atol=1e-6)
    tokens = torch.nn.Flatten(2)
    np.testing.assert_allclose(ModuleEncoder(module=tokens).encode(images()), pixels.flatten(2).mean(1), atol=1e-6)


def test_it_is_saved_by_name_with_its_weights(mine, tmp_path, monkeypatch):
    encoder = ModuleEncoder(module=f"{mine}:make", preprocess=f"{mine}:dark", layer="1")
    encoder._ready[1].weight.data += 1  # as if it had been trained further
    expected = encoder.encode(images())
    folder = encoder.save(tmp_path / "kept")
    opened = encoders.load(folder)
    np.testing.assert_array_equal(opened.encode(images()), expected)
    assert opened.space == encoder.space != ModuleEncoder(module=f"{mine}:make", preprocess=f"{mine}:dark", layer="1").space
    monkeypatch.setattr(trust, "_vouched", set())
    with pytest.raises(InputError, match="VICINO_TRUST") as caught:
        encoders.load(folder)
    assert mine in str(caught.value)
    monkeypatch.setenv("VICINO_TRUST", f"{mine}:make,{mine}:dark")
    np.testing.assert_array_equal(encoders.load(folder).encode(images()), expected)
    with pytest.raises(InputError, match="no name"):
        ModuleEncoder(module=torch.nn.Flatten()).save(tmp_path / "other")
    with pytest.raises(InputError, match="no name"):
        ModuleEncoder(module=f"{mine}:make", preprocess=lambda image: image).save(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_factory_that_changed_does_not_fit_its_weights(mine, tmp_path, monkeypatch):
    folder = ModuleEncoder(module=f"{mine}:make", preprocess=f"{mine}:dark").save(tmp_path / "kept")
    monkeypatch.setattr(f"{mine}.make", lambda: torch.nn.Linear(2, 2))
    with pytest.raises(ArtifactCorrupt, match="factory"):
        encoders.load(folder).encode(images())
    (folder / "model.safetensors").write_bytes(b"half")
    with pytest.raises(ArtifactError, match="damaged"):
        encoders.load(folder)


def test_what_is_wrong_is_named(mine):
    flat = torch.nn.Flatten()
    for wrong, error in (
        ({"module": ""}, InputError),
        ({"module": f"{mine}:text"}, InputError),
        ({"module": f"{mine}:mak"}, UnknownName),
        ({"module": flat, "layer": "head"}, UnknownName),
        ({"module": torch.nn.Flatten(0)}, InvalidVectors),
        ({"module": flat, "preprocess": lambda image: np.full((3, 4, 4), np.nan)}, InvalidVectors),
    ):
        with pytest.raises(error):
            ModuleEncoder(**wrong).encode(images())
    with pytest.raises(DimensionMismatch, match="one size"):
        ModuleEncoder(module=flat).encode([images()[0], images()[0][:2]])
    several = ModuleEncoder(module=flat)
    several.encode(images())
    with pytest.raises(DimensionMismatch, match="48 and then of 24"):
        several.encode([images()[0][:2]])
    with pytest.raises(ImageError, match="item 1"):
        ModuleEncoder(module=flat).encode([images()[0], np.full((4, 4), 2.0)], batch_size=1)
    with pytest.raises(InputError, match="width"):
        _ = ModuleEncoder(module=torch.nn.Sequential(flat, torch.nn.Linear(7, 2))).dim
