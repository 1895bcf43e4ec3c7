"""Classifiers of texts: learnt, judged against counting words, kept, and asked."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

import vicino
from vicino import artifacts, cli, workbench
from vicino.encoders.counts import TfIdf
from vicino.errors import ArtifactCorrupt, ArtifactError, InputError
from vicino.training.classifier import ClassifierRecipe, TextClassifier

SUBJECTS = {
    "air": ("wing", "plane", "kite", "cloud", "wind", "sky", "lift"),
    "cup": ("tea", "milk", "sugar", "coffee", "steam", "spoon", "brew"),
    "bow": ("violin", "cello", "string", "tune", "note", "sound", "hall"),
}


@pytest.fixture
def table(tmp_path):
    """`table(mixed=False)`: a file of texts with their subject, or with any label."""

    def write(*, mixed: bool = False, n: int = 240):
        random = np.random.default_rng(0)
        rows = []
        for number in range(n):
            label = list(SUBJECTS)[number % 3]
            words = " ".join([*random.permutation(SUBJECTS[label])[:3], "the", f"word{number}"])
            rows.append({"text": words, "label": random.choice(list(SUBJECTS)) if mixed else label})
        path = tmp_path / "texts.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def test_what_can_be_told_is_accepted_and_kept(table, tmp_path):
    made = workbench.train_classifier(table(), tmp_path / "c", encoder="lsa(n_components=10)")
    assert made.gate.accepted, made.gate.sentence
    assert made.scores["lsa(n_components=10)"] == pytest.approx(1, abs=0.05)
    assert made.scores["largest class"] == pytest.approx(1 / 3, abs=0.05)
    assert (made.learnt, made.held_out) == (192, 48)
    opened = vicino.load(tmp_path / "c")
    assert isinstance(opened, TextClassifier)
    texts = ["a kite in the wind", "milk and sugar", "the cello"]
    assert opened.predict(texts) == made.classifier.predict(texts) == ["air", "cup", "bow"]
    np.testing.assert_array_equal(opened.probabilities(texts), made.classifier.probabilities(texts))


def test_texts_that_repeat_and_contradict_each_other_are_found(table, tmp_path):
    path = table()
    rows = path.read_text().splitlines()
    first = json.loads(rows[0])
    other = json.dumps({**first, "label": "bow"})
    path.write_text("\n".join([*rows, *[rows[0]] * 6, *[other] * 6]) + "\n")
    made = workbench.train_classifier(path, tmp_path / "c", encoder="tfidf")
    assert made.found["conflicts"].count >= 2
    assert made.found["repeats"].count >= 5
    assert "conflicts" in {one["name"] for one in made.to_json()["lint"]}


def test_what_cannot_be_told_is_rejected(table, tmp_path):
    made = workbench.train_classifier(table(mixed=True), tmp_path / "c", encoder="tfidf")
    assert not made.gate.accepted
    assert made.gate.advice


def test_an_encoder_that_is_worse_than_counting_words_is_rejected(table, tmp_path):
    made = workbench.train_classifier(table(), tmp_path / "c", encoder="lsa(n_components=1)")
    assert made.scores["tfidf"] > made.scores["lsa(n_components=1)"]
    assert not made.gate.accepted
    assert "accuracy beside TF-IDF" in made.gate.sentence


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_scikit_learn(classes):
    from sklearn.linear_model import LogisticRegression

    subjects = list(SUBJECTS)[:classes]
    texts = [" ".join(SUBJECTS[label][place : place + 3]) for label in subjects for place in range(5)]
    labels = [label for label in subjects for _ in range(5)]
    encoder = TfIdf().fit(texts)
    model = TextClassifier.fitted(encoder, texts, labels)
    shares = model.probabilities(texts)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    peer = LogisticRegression().fit(encoder.encode(texts), labels)
    rows = encoder.encode(texts)
    peer.coef_ = model.weights if classes > 2 else model.weights[1:] - model.weights[:1]
    peer.intercept_ = model.intercepts if classes > 2 else model.intercepts[1:] - model.intercepts[:1]
    np.testing.assert_allclose(shares, peer.predict_proba(rows), atol=1e-5)


def test_near_repeats_are_never_on_both_sides(table):
    from vicino.data.examples import read_examples
    from vicino.training.held_out import stratified

    path = table()
    examples = read_examples(path)
    texts = [*examples.anchors, *(text.upper() + "!" for text in examples.anchors), *examples.anchors, "?!", "?!"]
    labels = [*examples.labels.tolist() * 3, 0, 0]
    learn, held = stratified(texts, labels, 0.2, 0)
    assert sorted([*learn.tolist(), *held.tolist()]) == list(range(722))
    assert 100 < len(held) <= 144
    words = [" ".join(sorted(text.lower().replace("!", " ").split())) for text in texts]
    assert not {words[row] for row in learn} & {words[row] for row in held}


def test_short_texts_on_one_subject_are_no_repeats():
    from vicino.training.held_out import stratified

    texts = [f"book a table for {first} and {second}" for first in SUBJECTS["air"] for second in SUBJECTS["cup"]]
    learn, held = stratified(texts, [0] * 49, 0.2, 0)
    assert (len(learn), len(held)) == (40, 9)


def test_noise_that_was_learnt_by_heart_is_rejected(tmp_path):
    """Labels say nothing, but each text is there twice, once in capitals."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(100):
        text, label = f"text{number} with words{number} alone{number}", random.choice(["x", "y"])
        rows += [{"text": text, "label": label}, {"text": text.upper(), "label": label}]
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = workbench.train_classifier(data, tmp_path / "c", encoder="tfidf")
    assert not made.gate.accepted, made.gate.sentence


def test_one_long_text_does_not_fill_the_memory():
    import tracemalloc

    from vicino.training.held_out import stratified

    texts = [*(f"text{number} with words{number}" for number in range(1000)), "long " * 20_000]
    stratified(texts[:20], [0] * 20, 0.2, 0)  # compiles
    tracemalloc.start()
    stratified(texts, [0] * len(texts), 0.2, 0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1e8


def test_a_handful_of_texts_does_not_decide(table, tmp_path):
    with pytest.raises(InputError, match="9 texts can be held back"):
        workbench.train_classifier(table(n=45), tmp_path / "c", encoder="tfidf")
    assert not (tmp_path / "c").exists()


def test_checkpoints_of_another_training_stay(table, tmp_path):
    other = tmp_path / ".c.training" / "checkpoint"
    other.parent.mkdir()
    other.write_text("hours of work")
    workbench.train_classifier(table(), tmp_path / "c", encoder="tfidf")
    assert other.read_text() == "hours of work"


def test_an_empty_folder_to_stand_in_is_written_to(table, tmp_path, monkeypatch):
    data = table()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    workbench.train_classifier(data, ".", encoder="tfidf")
    assert isinstance(vicino.load(tmp_path / "here"), TextClassifier)


@pytest.mark.parametrize(
    "changes",
    [
        *({"classes": np.arange(3.0)}, {"classes": None}, {"weights": None}, {"intercepts": np.array(1, np.float32)}),
        *({"weights": np.array(1, np.float32)}, {"weights": ["a", "b", "c"]}, {"version": "2"}, {"version": None}),
        *(
            {"hidden_weights": np.ones((2, 12), np.float32)},
            {"hidden_weights": np.array(1, np.float32), "hidden_intercepts": np.array(1, np.float32)},
        ),
    ],
    ids=str,
)
def test_damage_is_noticed(tmp_path, changes):
    texts = [" ".join(SUBJECTS[label][place : place + 3]) for label in SUBJECTS for place in range(4)]
    made = TextClassifier.fitted(TfIdf().fit(texts), texts, [label for label in SUBJECTS for _ in range(4)])
    arrays = {"weights": made.weights, "intercepts": made.intercepts, "classes": made.classes}
    arrays = {name: each for name, each in {**arrays, **changes}.items() if each is not None and name != "version"}
    data = {"version": changes.get("version", 2)}
    artifacts.write(tmp_path / "c", kind="classifier", data=data, arrays=arrays, parts={"encoder": made.encoder.save})
    with pytest.raises(ArtifactCorrupt, match="do not meet"):
        TextClassifier.load(tmp_path / "c")


MLP, ENCODER = {"head": "mlp"}, {"train_encoder": True}


@pytest.mark.parametrize(
    "changes",
    [
        *({"epochs": 3}, {"learning_rate": 1e-3}, {"hidden": 64}, {"batch_size": 8}, {"patience": 2}, {"precision": "float32"}),
        *({"threads": 1}, {"limit": 64}, {"dropout": 0.1}, ENCODER | {"hidden": 64}, ENCODER | {"dropout": 0.1}),
        *(MLP | {"precision": "bfloat16"}, MLP | {"limit": 64}, MLP | {"encoder_dropout": 0.1}),
        *(MLP | {"hidden": "x"}, MLP | {"hidden": 2.5}, MLP | {"dropout": "x"}, MLP | {"dropout": 5}),
        *(ENCODER | {"limit": wrong} for wrong in ("abc", 2.5, 0, -1)),
        *(ENCODER | {"encoder_dropout": wrong} for wrong in ("x", 5, 1, -0.1)),
        *({"train_encoder": "yes"}, {"seed": "x"}, MLP | {"seed": -1}, MLP | {"threads": 0}),
    ],
    ids=str,
)
def test_recipes_that_cannot_be_or_change_nothing_are_named(changes):
    with pytest.raises(InputError) as caught:
        ClassifierRecipe.of(**changes)
    assert caught.value.mend


def test_recipes_that_have_an_effect_are_taken():
    ClassifierRecipe.of(seed=3)
    ClassifierRecipe.of(**MLP, hidden=8, dropout=0, epochs=2, precision="float32", threads=1)
    ClassifierRecipe.of(**ENCODER, limit=None, encoder_dropout=None, precision="bfloat16", weight_decay=0)


def test_the_commands(table, tmp_path, capsys, monkeypatch):
    def run(*arguments):
        try:
            cli.main([str(each) for each in arguments])
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    out = tmp_path / "c"
    code, told, hint = run("train", "classifier", table(), "--out", out, "--encoder", "tfidf", "--quiet")
    assert (code, "accepted" in told) == (0, True)
    assert "vicino classify" in hint
    code, told, _ = run("classify", out, "milk in the tea", "--json")
    [answer] = json.loads(told)
    assert answer["classes"][0]["class"] == "cup"
    assert sum(each["probability"] for each in answer["classes"]) == pytest.approx(1)
    monkeypatch.setattr("sys.stdin", io.StringIO("a kite\na violin\n"))
    _, told, _ = run("classify", out, "-", "-k", 1)
    assert [line.split()[0] for line in told.splitlines()] == ["air", "bow"]
    assert run("train", "classifier", table(mixed=True), "--out", out, "--encoder", "tfidf", "--quiet")[0] == 1


def test_bad_input_is_named(table, tmp_path):
    encoder = TfIdf().fit(["a word", "another word"])
    for labels in (["x", "x", "x"], ["x", "x", "y"]):
        with pytest.raises(InputError, match="classes"):
            TextClassifier.fitted(encoder, ["a", "b", "c"], labels)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps({"question": f"q{n}", "answer": f"a{n}"}) + "\n" for n in range(9)))
    with pytest.raises(InputError, match="no texts with a class"):
        workbench.train_classifier(pairs, tmp_path / "c")
    with pytest.raises(ArtifactError):
        workbench.classify(tmp_path / "nothing", ["a"])
