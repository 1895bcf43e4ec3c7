"""Classes that only training can tell: a network as head, and an encoder under its head, set against what is simpler."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

import vicino
from vicino import artifacts, cli, workbench
from vicino.encoders.counts import TfIdf
from vicino.encoders.transformer import Transformer
from vicino.errors import ArtifactCorrupt, ArtifactTooNew, InputError, UnknownName
from vicino.training.class_heads import LabelledBatches
from vicino.training.classifier import TextClassifier

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

PAIRS = (("tea", "violin"), ("bread", "cello"))
OTHERS = str.split("wings lift aeroplane because above them flows faster water boiling minutes map world good every something")
NETWORK = {"encoder": "lsa(n_components=12)", "head": "mlp", "hidden": 32, "learning_rate": 1e-2, "epochs": 30, "threads": 1}
TRAINED = {
    "train_encoder": True,
    "learning_rate": 3e-3,
    "epochs": 8,
    "batch_size": 16,
    "precision": "float32",
    "evaluate_every": 44.0,
    "threads": 1,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """`table(kind, shuffled=False)`: a file of texts that are "same" or "other".

    Of "pairs" two words decide, and neither by itself; of "order" which of two words comes first: no weight of a word can tell.
    """

    def write(kind: str = "pairs", *, shuffled: bool = False, n: int = 500):
        random = np.random.default_rng(0)
        texts, labels = [], []
        for first, second in random.integers(2, size=(n, 2)):
            decide = ["tea", "violin"] if kind == "order" else [PAIRS[0][first], PAIRS[1][second]]
            words = random.permutation([*decide, *random.permutation(OTHERS)[:3]]).tolist()
            same = words.index("tea") < words.index("violin") if kind == "order" else first == second
            texts.append(" ".join(words))
            labels.append("same" if same else "other")
        labels = random.permutation(labels).tolist() if shuffled else labels
        rows = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
        path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="module")
def trained(table, base, tmp_path_factory):
    """An encoder under its head; only for looking."""
    return workbench.train_classifier(table("order"), tmp_path_factory.mktemp("trained") / "c", encoder=base, **TRAINED)


def test_a_network_tells_what_no_linear_head_can(table, tmp_path):
    made = workbench.train_classifier(table(), tmp_path / "c", **NETWORK)
    assert made.gate.accepted, made.gate.sentence
    assert "TF-IDF" in made.gate.sentence
    assert "linear head" in made.gate.sentence
    assert made.scores["lsa(n_components=12), mlp"] > 0.9
    assert max(made.scores["tfidf"], made.scores["lsa(n_components=12)"]) < 0.7
    opened = vicino.load(tmp_path / "c")
    assert isinstance(opened, TextClassifier)
    texts = ["tea bread water", "violin bread map", "cello map tea"]
    assert opened.predict(texts) == ["same", "other", "other"]
    np.testing.assert_array_equal(opened.probabilities(texts), made.classifier.probabilities(texts))
    assert not list(tmp_path.glob(".*"))


def test_a_hidden_layer_on_counted_words_is_the_network_that_was_trained(table, tmp_path):
    """Sparse vectors learn too; and what numpy makes of the saved layers is what torch makes of them."""
    import torch

    made = workbench.train_classifier(table(n=200), tmp_path / "c", **NETWORK | {"encoder": "tfidf", "epochs": 3}).classifier
    texts = ["tea bread water", "violin bread map"]
    rows = torch.from_numpy(made.encoder.encode(texts).toarray())
    hidden = torch.relu(torch.nn.functional.linear(rows, *map(torch.from_numpy, made.hidden)))
    logits = torch.nn.functional.linear(hidden, torch.from_numpy(made.weights), torch.from_numpy(made.intercepts))
    np.testing.assert_allclose(made.probabilities(texts), torch.softmax(logits, 1).numpy(), atol=1e-5)


def test_an_encoder_learns_what_its_vectors_did_not_tell(trained, base):
    assert trained.gate.accepted, trained.gate.sentence
    assert trained.scores[f"{base}, trained"] > 0.9
    assert trained.scores["tfidf"] < 0.7
    assert trained.scores[base] < 0.85
    assert trained.gate.gain.before == trained.scores[base]
    assert trained.gate.controls[0].before == trained.scores["tfidf"]
    assert trained.run.kept in trained.run.metrics
    told = trained.to_json()
    assert set(told["by_class"]) == {"same", "other"}
    assert sum(each["items"] for each in told["by_class"].values()) == trained.held_out
    assert told["macro_f1"][f"{base}, trained"] == pytest.approx(np.mean([each["f1"] for each in told["by_class"].values()]))


def test_its_folder_is_whole_and_its_encoder_opens_everywhere(trained, sentence_transformers):
    texts = ["tea bread water", "violin bread map", "cello map tea"]
    opened = vicino.load(trained.path)
    np.testing.assert_array_equal(opened.probabilities(texts), trained.classifier.probabilities(texts))
    assert opened.encoder.space == trained.classifier.encoder.space
    theirs = sentence_transformers.SentenceTransformer(str(trained.path / "encoder"), device="cpu").encode(texts)
    ours = Transformer(model=str(trained.path / "encoder"), precision="float32").encode(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert not list(trained.path.parent.glob(".*"))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["network", "encoder"])
def test_shuffled_labels_are_rejected(table, base, tmp_path, kind):
    changes = NETWORK | {"epochs": 3} if kind == "network" else {**TRAINED, "encoder": base, "epochs": 1}
    made = workbench.train_classifier(table(shuffled=True), tmp_path / "c", **changes)
    assert not made.gate.accepted
    assert made.gate.advice
    assert artifacts.read(tmp_path / "c").data["about"]["gate"]["accepted"] is False


@pytest.mark.long
@pytest.mark.parametrize("kind", ["network", "encoder"])
def test_what_was_interrupted_goes_on_to_the_same_weights(table, base, tmp_path, ctrl_c, kind):
    from vicino.training import class_heads

    changes = NETWORK | {"epochs": 3} if kind == "network" else {**TRAINED, "encoder": base, "epochs": 2}
    data = table(n=120)
    whole = workbench.train_classifier(data, tmp_path / "whole", **changes)
    with ctrl_c(class_heads, "_loss", at=3):
        workbench.train_classifier(data, tmp_path / "c", **changes)
    assert not (tmp_path / "c").exists()
    found = workbench.train_classifier(data, tmp_path / "c", **changes)
    assert found.run.resumed == 3
    assert found.run.losses == whole.run.losses
    np.testing.assert_array_equal(found.classifier.weights, whole.classifier.weights)
    texts = ["tea bread water", "violin bread map"]
    np.testing.assert_array_equal(found.classifier.probabilities(texts), whole.classifier.probabilities(texts))


def test_batches_hold_every_item_once_in_an_order_of_the_epoch():
    batches = LabelledBatches(lambda rows: rows.tolist(), np.arange(10), 3)
    assert len(batches) == 3
    first, second, again = (list(batches.epoch(number, 5)) for number in (0, 1, 0))
    assert [each["items"] for each in first] == [each["items"] for each in again] != [each["items"] for each in second]
    seen = [row for each in first for row in each["items"]]
    assert len(set(seen)) == 9
    assert all(each["label"].tolist() == each["items"] for each in first)


def test_a_classifier_of_a_later_vicino_is_not_misread(tmp_path):
    encoder = TfIdf().fit(["tea bread", "violin cello"])
    made = TextClassifier.fitted(encoder, ["tea", "bread", "violin", "cello"], ["cup", "cup", "bow", "bow"])
    arrays = {"weights": made.weights, "intercepts": made.intercepts, "classes": made.classes}

    def write(data, **changes):
        parts = {"encoder": encoder.save}
        return artifacts.write(tmp_path / "c", kind="classifier", data=data, arrays={**arrays, **changes}, parts=parts)

    with pytest.raises(ArtifactTooNew, match="version 3"):
        TextClassifier.load(write({"version": 3}))
    wide = np.zeros((5, 3), dtype=np.float32)
    for changes in ({"hidden_weights": wide, "hidden_intercepts": wide[:, 0]}, {"intercepts": wide[0]}):
        with pytest.raises(ArtifactCorrupt, match="do not meet"):
            TextClassifier.load(write({"version": 2}, **changes))


def test_the_commands(table, base, tmp_path, capsys, monkeypatch):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([*map(str, arguments), "--quiet"] if arguments[0] == "train" else [*map(str, arguments)])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    out = tmp_path / "c"
    told = "hidden=32,learning_rate=1e-2"
    network = ["train", "classifier", table(), "--out", out, "--encoder", "lsa(n_components=12)", "--head", "mlp"]
    code, shown, hint = run(*network, "--epochs", 20, "--set", told, "--threads", 1)
    assert (code, "accepted" in shown, "macro-F1" in shown, "vicino classify" in hint) == (0, True, True, True)
    monkeypatch.setattr("sys.stdin", io.StringIO("tea bread\ntea cello\n"))
    assert [line.split()[0] for line in run("classify", out, "-", "-k", 1)[1].splitlines()] == ["same", "other"]
    code, shown, _ = run(
        *["train", "classifier", table(n=100), "--out", out, "--encoder", base, "--train-encoder", "--epochs", 1, "--json"]
    )
    assert code == 1  # a single epoch on so few
    assert "trained" in "".join(json.loads(shown)["accuracy"])


def test_what_cannot_be_is_named(table, base, tmp_path):
    data = table(n=60)
    for changes, words in (
        ({"head": "mlp", "train_encoder": True}, "linear head"),
        ({"head": "forest"}, "forest"),
        ({"head": "mlp", "hidden": 0}, "hidden=0"),
        ({"head": "mlp", "dropout": 1.0}, "dropout"),
        ({"train_encoder": True, "epochs": 0}, "epochs=0"),
        ({"train_encoder": True, "encoder": "tfidf"}, "no transformer"),
    ):
        with pytest.raises(InputError, match=words):
            workbench.train_classifier(data, tmp_path / "c", **changes)
    with pytest.raises(UnknownName, match="learning_rate"):
        workbench.train_classifier(data, tmp_path / "c", learning_rat=1)
    one = tmp_path / "one.jsonl"
    one.write_text("".join(json.dumps({"text": f"tea {n}", "label": "cup"}) + "\n" for n in range(60)))
    with pytest.raises(InputError, match="1 classes"):
        workbench.train_classifier(one, tmp_path / "c", encoder=base, train_encoder=True)
    assert not (tmp_path / "c").exists()
