"""Classifiers of texts: learnt, judged against counting words, kept, and asked."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

import vicino
from vicino import cli, workbench
from vicino.encoders.counts import TfIdf
from vicino.errors import ArtifactError, InputError
from vicino.training.classifier import TextClassifier

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


def test_equal_texts_are_never_on_both_sides(table, tmp_path):
    from vicino.data.examples import read_examples
    from vicino.training.classifier import _stratified

    path = table()
    path.write_text(path.read_text() * 3)
    examples = read_examples(path)
    learn, held = _stratified(examples.anchors, examples.labels, 0.2, 0)
    assert len(learn) + len(held) == 720
    assert not {examples.anchors[row] for row in learn} & {examples.anchors[row] for row in held}


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
