"""A network that learns gives the vectors and the gradients of sentence-transformers, and is saved as a folder like any other."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.folder import POOLINGS, read_folder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

FAMILIES = ["bert", "relu bert", "roberta", "xlm-roberta", "mpnet", "distilbert", "modernbert", "t5", "gpt2", "qwen2"]
MEAN = {flag: mode == "mean" for mode, flag in POOLINGS.items()}


@pytest.fixture
def opened(sentence_folder):
    """`opened(family)`: a network that learns, and its folder."""

    def open_(family: str, **params):
        from vicino.encoders.transformer.trainable import Trainable

        folder = sentence_folder(family, MEAN, normalize=True)
        return Trainable(read_folder(folder), **params), folder

    return open_


@pytest.fixture
def peer(sentence_transformers):
    def open_(folder):
        return sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    return open_


def pulled(vectors):
    """A loss in which every number counts differently."""
    import torch

    weights = torch.from_numpy(np.random.default_rng(0).normal(size=vectors.shape)).to(vectors.dtype)
    return (vectors * weights).sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_and_gradients_are_those_of_sentence_transformers(opened, peer, phrases, family):
    trainable, folder = opened(family)
    theirs = peer(folder).eval()
    expected = theirs(theirs.preprocess(phrases) if hasattr(theirs, "preprocess") else theirs.tokenize(phrases))
    found = trainable(trainable.ids(phrases))
    np.testing.assert_allclose(found.detach(), expected["sentence_embedding"].detach(), atol=1e-5)
    pulled(found).backward()
    pulled(expected["sentence_embedding"]).backward()
    gradients = dict(theirs[0].auto_model.named_parameters())
    seen = 0
    for name, parameter in trainable.network.named_parameters():
        if gradients[name].grad is not None:
            here = parameter.grad if parameter.grad is not None else np.zeros(1, np.float32)
            scale = max(1.0, float(gradients[name].grad.abs().max()))
            np.testing.assert_allclose(here / scale, gradients[name].grad / scale, atol=2e-5, err_msg=name)
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("family", ["bert", "modernbert", "t5"])
def test_a_batch_is_the_sum_of_its_texts(opened, phrases, family):
    """Whatever stands beside a text changes neither its vector nor what it teaches."""
    trainable, _ = opened(family)
    whole = trainable(trainable.ids(phrases)).detach()
    alone = np.concatenate([trainable(trainable.ids([text])).detach() for text in phrases])
    np.testing.assert_allclose(whole, alone, atol=1e-5)


def test_attention_has_the_gradients_of_its_differences():
    """Texts of several lengths, heads cut in pieces; padding teaches nothing."""
    import torch

    from vicino.encoders.transformer import acceleration
    from vicino.encoders.transformer.trainable import _Attention

    torch.manual_seed(0)
    states = [torch.randn(4, 2, 5, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask = torch.tensor([[1] * length + [0] * (5 - length) for length in (5, 5, 3, 1)])
    parts = list(acceleration.pieces(mask, 4, 2, 5))
    assert torch.autograd.gradcheck(lambda q, k, v: _Attention.apply(q, k, v, 0.7, parts), states)
    _Attention.apply(*states, 0.7, parts).sum().backward()
    assert not states[2].grad[3, :, 1:].any()
    assert not states[0].grad[2, :, 3:].any()


def test_dropout_is_off_unless_it_is_asked_for(opened, phrases):
    import torch

    torch.manual_seed(0)
    for dropout, same in ((0.0, True), (None, False), (0.3, False)):
        trainable, _ = opened("bert", dropout=dropout)
        first, second = (trainable(trainable.ids(phrases)).detach() for _ in range(2))
        assert torch.equal(first, second) == same


def test_a_limit_cuts_texts(opened, phrases):
    trainable, folder = opened("bert", limit=8)
    assert max(map(len, trainable.ids(phrases))) == 8
    expected = Transformer(model=str(folder), max_seq_length=8, precision="float32").encode(phrases)
    np.testing.assert_allclose(trainable(trainable.ids(phrases)).detach(), expected, atol=1e-5)


def test_vectors_are_those_of_forward_without_dropout(opened, phrases, monkeypatch):
    trainable, folder = opened("bert", dropout=0.5)
    monkeypatch.setattr("vicino.encoders.transformer.trainable._AT_ONCE", 3)
    monkeypatch.setattr("vicino.learning.devices.multiplies_bfloat16", lambda: False)
    expected = Transformer(model=str(folder), precision="float32").encode(phrases)
    np.testing.assert_allclose(trainable.vectors(trainable.ids(phrases)), expected, atol=1e-5)
    assert trainable.training


@pytest.mark.parametrize("family", ["bert", "roberta", "t5"])
def test_what_was_learnt_is_a_folder_that_everybody_opens(opened, peer, phrases, tmp_path, family):
    import torch

    trainable, folder = opened(family)
    with torch.no_grad():
        for parameter in trainable.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    learnt = trainable(trainable.ids(phrases)).detach().numpy()
    (tmp_path / "learnt").mkdir()
    trainable.save(tmp_path / "learnt")
    ours = Transformer(model=str(tmp_path / "learnt"), precision="float32")
    np.testing.assert_allclose(ours.encode(phrases), learnt, atol=1e-5)
    np.testing.assert_allclose(peer(tmp_path / "learnt").encode(phrases), learnt, atol=1e-5)
    assert ours.space != Transformer(model=str(folder)).space
    np.testing.assert_allclose(trainable(trainable.ids(phrases)).detach(), learnt, atol=1e-6)  # and it can go on


def test_a_dense_layer_learns_too(opened, sentence_folder, peer, phrases, tmp_path):
    import json

    import torch
    from safetensors.torch import save_file

    from vicino.encoders.transformer.trainable import Trainable

    folder = sentence_folder("bert", MEAN)
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "2_Dense").mkdir()
    config = {"in_features": 32, "out_features": 5, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    save_file({"linear.weight": torch.randn(5, 32), "linear.bias": torch.randn(5)}, folder / "2_Dense" / "model.safetensors")
    trainable = Trainable(read_folder(folder))
    np.testing.assert_allclose(trainable(trainable.ids(phrases)).detach(), peer(folder).encode(phrases), atol=1e-5)
    pulled(trainable(trainable.ids(phrases))).backward()
    with torch.no_grad():
        for parameter in trainable.steps.parameters():
            assert parameter.grad.any()
            parameter -= 0.1 * parameter.grad
    (tmp_path / "learnt").mkdir()
    trainable.save(tmp_path / "learnt")
    learnt = trainable(trainable.ids(phrases)).detach()
    np.testing.assert_allclose(peer(tmp_path / "learnt").encode(phrases), learnt, atol=1e-5)


def test_half_precision_is_near(opened, phrases):
    import torch

    trainable, _ = opened("bert")
    plain = trainable(trainable.ids(phrases))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = trainable(trainable.ids(phrases))
    assert rounded.dtype == torch.float32
    assert float((plain * rounded).sum(dim=1).min()) > 0.99
    pulled(rounded).backward()
    assert all(parameter.grad.isfinite().all() for parameter in trainable.parameters() if parameter.grad is not None)
