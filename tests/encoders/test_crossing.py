"""Cross-encoders: the scores of sentence-transformers, and folders that both open."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vicino
from vicino import artifacts
from vicino.data.records import Document, Query
from vicino.encoders.rerankers import open_reranker
from vicino.encoders.transformer.crossing import KIND, CrossEncoder, trainable_pairs
from vicino.encoders.transformer.pair_folder import is_cross_encoder
from vicino.errors import ArtifactCorrupt, ArtifactError, InputError, UnknownName, UnreadableSource

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

KINDS = ["bert with types", "bert", "roberta", "distilbert"]


@pytest.fixture(scope="module")
def base(checkpoint, tmp_path_factory) -> Callable[[str], Path]:
    """A tiny encoder whose tokenizer joins pairs as its kind does."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("bases") / kind.replace(" ", "-")
            names = ["input_ids", *(["token_type_ids"] if "types" in kind else []), "attention_mask"]
            shutil.copytree(checkpoint(kind.split()[0], model_max_length=40, model_input_names=names), made[kind])
            _join_pairs(made[kind] / "tokenizer.json", kind)
        return made[kind]

    return make


def _join_pairs(file: Path, kind: str) -> None:
    from tokenizers import Tokenizer, processors

    own = Tokenizer.from_file(str(file))
    begin, end = ("<s>", "</s>") if kind == "roberta" else ("[CLS]", "[SEP]")
    pair = f"{begin} $A {end} {end} $B {end}" if kind == "roberta" else f"{begin} $A {end} $B:1 {end}:1"
    special = [(token, own.token_to_id(token)) for token in (begin, end)]
    own.post_processor = processors.TemplateProcessing(single=f"{begin} $A {end}", pair=pair, special_tokens=special)
    own.save(str(file))


@pytest.fixture(scope="module")
def crossing(base, tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a tiny cross-encoder, whose scores lie well apart."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            import torch

            made[kind] = tmp_path_factory.mktemp("cross")
            model = trainable_pairs(str(base(kind)), limit=None, dropout=0.0, seed=1)
            with torch.no_grad():
                model.network.get_submodule("classifier.out_proj" if kind == "roberta" else "classifier").weight.mul_(50)
            model.save(made[kind])
        return made[kind]

    return make


@pytest.fixture(scope="module")
def pairs(phrases) -> list[tuple[str, str]]:
    """Every text with every other, the long one on either side."""
    return [(query, document) for query in phrases for document in phrases]


# The scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_sentence_transformers(kind, crossing, pairs, sentence_transformers):
    theirs = sentence_transformers.CrossEncoder(str(crossing(kind)), device="cpu").predict(pairs)
    ours = CrossEncoder(model=str(crossing(kind)), precision="float32")
    assert ours.limit == 40
    assert theirs.std() > 0.2
    np.testing.assert_allclose(ours.predict(pairs), theirs, atol=2e-5)
    np.testing.assert_allclose(ours.predict(pairs[::-1], batch_size=1)[::-1], theirs, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_sentence_transformers_wrote_opens(kind, base, pairs, sentence_transformers, tmp_path):
    theirs = sentence_transformers.CrossEncoder(str(base(kind)), num_labels=1, device="cpu")
    theirs.save_pretrained(str(tmp_path / "theirs"))
    ours = CrossEncoder(model=str(tmp_path / "theirs"), precision="float32")
    scores = ours.predict(pairs)
    np.testing.assert_allclose(scores, theirs.predict(pairs), atol=2e-5)
    assert scores.min() > 0  # a sigmoid, where nothing else is said
    logits = ours.predict(pairs, logits=True)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert [place for place, _ in ours.rank("near", ["tea", "near"])] == np.argsort(
        -ours.predict([("near", "tea"), ("near", "near")])
    ).tolist()
    opened = sentence_transformers.CrossEncoder(str(ours.save(tmp_path / "ours")), device="cpu")
    np.testing.assert_allclose(opened.predict(pairs), scores, atol=2e-5)
    assert CrossEncoder.load(tmp_path / "ours").id == ours.id


def test_bfloat16_orders_pairs_as_float32_does(crossing, pairs):
    exact, rounded = (
        CrossEncoder(model=str(crossing("bert with types")), precision=name).predict(pairs) for name in ("float32", "bfloat16")
    )
    assert np.corrcoef(exact, rounded)[0, 1] > 0.99
    assert CrossEncoder(model=str(crossing("bert")), precision="auto").arithmetic in ("float32", "bfloat16")


def test_each_token_has_the_type_of_its_text_and_the_longer_text_is_cut(base):
    model = trainable_pairs(str(base("bert with types")), limit=10, dropout=0.0, seed=0)
    short, long = model.pairs([("tea", "water"), ("tea water", "near far air map good every world")])
    assert short[:, 1].tolist() == [0, 0, 0, 1, 1]
    assert len(long) == 10
    assert (long[:, 1] == 0).sum() == 4  # [CLS] tea water [SEP]: all of the shorter one
    assert trainable_pairs(str(base("roberta")), limit=10, dropout=0.0, seed=0).pairs([("tea", "water")])[0].ndim == 1


def test_records_are_read_and_neighbours_do_not_matter(crossing):
    model = CrossEncoder(model=str(crossing("bert")), precision="float32")
    asked, found = Query("q", "tea"), Document("d", "steeps", title="Water")
    alone = model.predict([("tea", "Water\nsteeps")])
    np.testing.assert_allclose(model.predict([(asked, found), ("near " * 30, "far")])[:1], alone, atol=1e-6)
    assert model.predict([]).shape == (0,)
    assert len(model.predict([("", ""), ("\ud800", "\x00"), ("tea", "near " * 100_000)])) == 3


@pytest.mark.parametrize("wrong", [["tea"], [("a", "b", "c")], [(1, "b")], [("a", None)], ["ab"]])
def test_what_is_no_pair_is_named(crossing, wrong):
    with pytest.raises(InputError, match="pair"):
        CrossEncoder(model=str(crossing("bert"))).predict(wrong)


# Learning -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_learns_gives_the_scores_of_what_is_saved(kind, crossing, pairs):
    model = trainable_pairs(str(crossing(kind)), limit=None, dropout=0.0, seed=0)
    saved = CrossEncoder(model=str(crossing(kind)), precision="float32").predict(pairs)
    import torch

    with torch.no_grad():
        found = model(model.pairs(pairs))
    assert found.shape == (len(pairs), 1)
    np.testing.assert_allclose(found[:, 0].numpy(), saved, atol=2e-5)
    found = model(model.pairs(pairs[:5])).sum()
    found.backward()
    assert all(each.grad is not None for name, each in model.named_parameters() if "classifier" in name or "layer.0" in name)


def test_a_new_last_layer_is_the_seeds_and_the_rest_is_the_bases(base):
    import torch

    first, again, other = (trainable_pairs(str(base("bert")), limit=None, dropout=0.0, seed=seed).network for seed in (1, 1, 2))
    torch.testing.assert_close(first.state_dict(), again.state_dict(), rtol=0, atol=0)
    differs = [name for name, each in first.state_dict().items() if not torch.equal(each, other.state_dict()[name])]
    assert differs == ["classifier.weight"]


def test_a_sentence_encoders_pooling_layer_begins_by_passing_on(sentence_folder):
    import torch

    folder = sentence_folder("bert", {"pooling_mode_mean_tokens": True})
    pooler = trainable_pairs(str(folder), limit=None, dropout=0.0, seed=0).network.bert.pooler.dense
    assert torch.equal(pooler.weight, torch.eye(32))
    assert not pooler.bias.any()


def test_a_network_that_cannot_score_is_named(checkpoint):
    with pytest.raises(InputError, match="t5 cannot score"):
        trainable_pairs(str(checkpoint("t5")), limit=None, dropout=0.0, seed=0)


# Folders --------------------------------------------------------------------------------------------------------------


def test_a_saved_one_scores_alike_to_the_bit_and_keeps_its_id(crossing, pairs, tmp_path):
    model = CrossEncoder(model=str(crossing("bert with types")), max_seq_length=30)
    opened = vicino.load(model.save(tmp_path / "saved"))
    assert isinstance(opened, CrossEncoder)
    np.testing.assert_array_equal(opened.predict(pairs), model.predict(pairs))
    assert opened.id == model.id == open_reranker(tmp_path / "saved").id
    assert CrossEncoder(model=str(crossing("bert with types"))).id != model.id  # another limit
    shutil.copytree(tmp_path / "saved", tmp_path / "moved")
    assert open_reranker(tmp_path / "moved").id == model.id
    assert is_cross_encoder(tmp_path / "saved")


def test_damage_is_noticed(crossing, tmp_path):
    folder = CrossEncoder(model=str(crossing("bert"))).save(tmp_path / "saved")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        for harm in (whole[:-3], whole[:30] + bytes([whole[30] ^ 1]) + whole[31:], b""):
            file.write_bytes(harm)
            with pytest.raises(ArtifactError):
                open_reranker(folder)
        file.write_bytes(whole)
    (folder / "config.json").unlink()
    with pytest.raises(ArtifactCorrupt, match=r"config\.json is missing"):
        open_reranker(folder)


def _changed(folder: Path, file: str, **changes: object) -> None:
    path = folder / file
    plain = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({key: value for key, value in {**plain, **changes}.items() if value is not None}))


def _labels(folder: Path) -> None:
    _changed(folder, "config.json", id2label={"0": "no", "1": "yes"})


def _no_architecture(folder: Path) -> None:
    _changed(folder, "config.json", architectures={"a": 1})


def _number_of_labels(folder: Path) -> None:
    _changed(folder, "config.json", id2label=5)


def _about_a_word(folder: Path) -> None:
    _changed(folder, "config.json", sentence_transformers="x")


def _activation(folder: Path) -> None:
    _changed(folder, "config.json", sentence_transformers={"activation_fn": "os.system"})


def _other_activation(folder: Path) -> None:
    _changed(folder, "config_sentence_transformers.json", activation_fn="torch.nn.modules.Transformer")


def _vectors(folder: Path) -> None:
    _changed(folder, "config.json", architectures=["BertModel"])


def _prompt(folder: Path) -> None:
    _changed(folder, "config_sentence_transformers.json", prompts={"q": "query: "}, default_prompt_name="q")


def _modules(folder: Path) -> None:
    steps = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
    steps.append({"path": "1", "type": "sentence_transformers.cross_encoder.modules.LogitScore"})
    (folder / "modules.json").write_text(json.dumps(steps))


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _headless(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    kept = {name: each for name, each in load_file(folder / "model.safetensors").items() if "classifier" not in name}
    (folder / "model.safetensors").unlink()
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_labels, "2 classes"),
        (_no_architecture, "no cross-encoder"),
        (_number_of_labels, "makes no sense"),
        (_about_a_word, "makes no sense"),
        (_activation, r"os\.system"),
        (_other_activation, "Transformer"),
        (_vectors, "no cross-encoder"),
        (_prompt, "prompt"),
        (_modules, "LogitScore"),
        (_pickled, "can run code"),
        (_headless, "lacks 2 of its weights"),
        (_cut, "cannot be opened"),
    ],
)
def test_a_folder_that_is_something_else_is_named(harm, message, crossing, tmp_path):
    shutil.copytree(crossing("bert"), tmp_path / "folder")
    harm(tmp_path / "folder")
    with pytest.raises((UnreadableSource, UnknownName), match=message):
        CrossEncoder(model=str(tmp_path / "folder")).predict([("a", "b")])


def test_no_folder_and_wrong_parameters_are_named(crossing, tmp_path):
    with pytest.raises(UnreadableSource):
        CrossEncoder(model=str(tmp_path / "nowhere")).predict([("a", "b")])
    for wrong in (
        {"max_seq_length": 0},
        {"max_seq_length": "x"},
        {"max_seq_length": 3},
        {"precision": "int4"},
        {"device": "abacus"},
    ):
        with pytest.raises(InputError):
            CrossEncoder(model=str(crossing("bert")), **wrong).predict([("a", "b")])
    with pytest.raises(InputError, match="batch_size"):
        CrossEncoder(model=str(crossing("bert"))).predict([("a", "b")], batch_size=0)


@pytest.mark.parametrize("said", [5, {"a": 1}, [], "", None, [None]], ids=str)
def test_any_folder_may_be_asked_whether_it_is_one(said, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": said}))
    assert not is_cross_encoder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert not is_cross_encoder(tmp_path)


@pytest.mark.parametrize(
    "data", [{"files": 5}, {"files": {"manifest.json": 5}}, {"params": 5}, {"params": {"mode": "x"}}], ids=str
)
def test_a_manifest_that_makes_no_sense_is_named(data, tmp_path):
    artifacts.write(tmp_path / "saved", kind=KIND, data={"params": {"model": "x"}, "files": {}, **data})
    with pytest.raises(ArtifactCorrupt, match="makes no sense"):
        CrossEncoder.load(tmp_path / "saved")


def test_the_record_of_how_it_was_made_is_saved_with_it(crossing, tmp_path):
    model = CrossEncoder(model=str(crossing("bert")))
    folder = model.save(tmp_path / "saved", record={"accepted": False})
    assert json.loads((folder / "training.json").read_text()) == {"accepted": False}
    assert "training.json" in artifacts.read(folder).data["files"]
    assert not (model.save(folder) / "training.json").exists()
