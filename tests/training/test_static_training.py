"""Static vectors that learn from examples: what they give, what is written, and what they refuse."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from vicino import artifacts, encoders, workbench
from vicino.encoders.static import Static
from vicino.errors import ArtifactCorrupt, InputError
from vicino.training.bases import recipe_for
from vicino.vectors import normalise

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

TEXTS = ["wings lift an aeroplane", "", "tea", "tea and water of the world"]
LEARN = {"epochs": 12, "batch_size": 16, "learning_rate": 5e-2, "threads": 1, "seed": 1, "controls": []}


@pytest.fixture(scope="module")
def model(checkpoint) -> str:
    return str(checkpoint("bert"))


@pytest.fixture(scope="module")
def base(model, ciphered, tmp_path_factory) -> str:
    """Distilled and saved; only for looking."""
    texts = ciphered().read_text().splitlines()
    return str(Static(model=model, n_components=16).fit(texts).save(tmp_path_factory.mktemp("static") / "base"))


@pytest.fixture(scope="module")
def accepted(ciphered, base, tmp_path_factory):
    """A training that helps; only for looking."""
    return workbench.train_text(ciphered(), tmp_path_factory.mktemp("taught") / "model", base=base, **LEARN)


def test_what_learns_gives_what_the_encoder_gives(base):
    encoder = Static.load(base)
    network = encoder.trainable()
    ids = network.ids(TEXTS)
    assert [len(own) for own in ids] == [len(encoder.tokens(text).ids) for text in TEXTS]
    np.testing.assert_allclose(normalise(network.vectors(ids)), encoder.encode(TEXTS), atol=1e-5)
    network(ids)[2].sum().backward()
    learnt = np.flatnonzero(network.table.grad.abs().sum(dim=1).numpy())
    assert learnt.tolist() == sorted(set(ids[2].tolist()))
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0].astype(np.float32)
    network.follow(turn, None)
    np.testing.assert_allclose(normalise(network.vectors(ids)), encoder.encode(TEXTS) @ turn, atol=1e-5)


def test_what_helps_is_accepted_and_opens_everywhere(accepted, base, sentence_transformers):
    assert accepted.gate.accepted, accepted.gate.sentence
    assert accepted.scores["after"] > accepted.scores["before"] + 0.2
    opened = encoders.load(accepted.path)
    assert isinstance(opened, Static)
    assert opened.space != encoders.load(base).space
    theirs = sentence_transformers.SentenceTransformer(str(accepted.path), device="cpu")
    np.testing.assert_allclose(opened.encode(TEXTS), theirs.encode(TEXTS), atol=1e-5)
    assert (accepted.path / "training.json").is_file()
    assert not list(accepted.path.parent.glob(".*training"))


def test_what_is_not_distilled_yet_is_by_the_texts_of_the_data(ciphered, model, tmp_path):
    changes = {**LEARN, "epochs": 1, "dims": [4], "temperature": "learned", "queue_size": 32}
    found = workbench.train_text(ciphered(), tmp_path / "model", base=f"static(model={model},n_components=8)", **changes)
    assert encoders.load(found.path).get_params() == {"model": model, "n_components": 8, "weighting": "sif", "a": 1e-3}
    assert encoders.load(found.path).dim == 8
    assert "the temperature that was learnt is" in found.told


@pytest.mark.parametrize("distilled", [True, False])
def test_what_was_interrupted_goes_on_to_the_same_vectors(ciphered, base, model, tmp_path, monkeypatch, distilled, ctrl_c):
    from vicino.training import ranking

    changes = {**LEARN, "base": base if distilled else f"static(model={model},n_components=8)", "epochs": 3}
    whole = workbench.train_text(ciphered(), tmp_path / "whole", **changes)
    with ctrl_c(ranking, "ranking_loss", at=20):
        workbench.train_text(ciphered(), tmp_path / "model", **changes)
    monkeypatch.setattr(Static, "_distilled", lambda self: pytest.fail("distilled again"))
    again = workbench.train_text(ciphered(), tmp_path / "model", **changes)
    assert again.run.resumed == 20
    assert again.run.losses == whole.run.losses
    vectors = [encoders.load(each.path).vectors_ for each in (whole, again)]
    np.testing.assert_array_equal(*vectors)


def test_other_defaults_and_what_the_first_version_saved(base, tmp_path):
    assert (recipe_for(base).learning_rate, recipe_for("static(a=1)").limit, recipe_for(base, epochs=3).epochs) == (5e-3, None, 3)
    assert (recipe_for("minilm").limit, recipe_for("org/model").limit) == (256, 256)
    encoder = Static.load(base)
    arrays = {"vectors": encoder.vectors_, "tokenizer": [encoder.tokenizer_]}
    data = {"encoder": "static", "params": encoder.get_params(), "space": encoder.space.to_json()}
    artifacts.write(tmp_path / "first", kind="encoder", data=data, arrays=arrays)
    assert encoders.load(tmp_path / "first").space == encoder.space
    shutil.copytree(base, tmp_path / "harmed")
    file = tmp_path / "harmed" / "0_StaticEmbedding" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ArtifactCorrupt, match="is not what was written"):
        encoders.load(tmp_path / "harmed")


@pytest.mark.parametrize(
    "wrong", [{"towers": "separate"}, {"limit": 64}, {"dropout": 0.1}, {"query_prompt": "query: "}, {"way": "maps"}], ids=str
)
def test_what_static_vectors_cannot_is_named(ciphered, base, tmp_path, wrong):
    with pytest.raises(InputError, match="static vectors know no"):
        workbench.train_text(ciphered(), tmp_path / "model", base=base, unlabelled="way" in wrong, **LEARN | wrong)
