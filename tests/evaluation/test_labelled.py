"""Encoders on items with classes: what each measure says of vectors made by hand, parts that leak nothing, and the verdict."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vicino.encoders.pixels import Pixels
from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnknownName
from vicino.evaluation.class_measures import FAR, MEASURES, Sides, measure_vectors
from vicino.evaluation.labelled import SEEN, UNSEEN, LabelledTask, compare_labelled
from vicino.evaluation.labelled_text import labelled_page, labelled_text
from vicino.metrics.verification import tar_at_far

pytest.importorskip("PIL", reason="the extra 'images' is not installed")

RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.normal(size=(6, 12))


def drawn(n: int, classes, noise: float = 0.4):
    own = np.resize(classes, n)
    return CENTRES[own] + RANDOM.normal(size=(n, 12)) * noise, [f"c{each}" for each in own]


def images(n: int, classes: int, noise: float = 20.0):
    """(n, 6, 6) uint8, a pattern a class, and their classes."""
    patterns = np.random.default_rng(1).integers(0, 200, (classes, 6, 6))
    own = np.arange(n) % classes
    pixels = patterns[own] + np.random.default_rng(2).normal(0, noise, (n, 6, 6))
    return np.clip(pixels, 0, 255).astype(np.uint8), [f"c{each}" for each in own]


# Measures -----------------------------------------------------------------------------------------------------------


def test_classes_that_are_far_apart_are_all_told():
    sides = Sides.of(*drawn(120, range(6), 0.01), *drawn(60, range(6), 0.01))
    found = measure_vectors(sides)
    assert list(found) == list(MEASURES)
    for name, scored in found.items():
        assert scored.value == pytest.approx(1), name
    assert not sides.unseen


def test_noise_is_told_as_chance_is():
    vectors = RANDOM.normal(size=(800, 12))
    labels = RANDOM.integers(0, 4, 800).astype(str)
    found = measure_vectors(Sides.of(vectors[:400], labels[:400], vectors[400:], labels[400:]))
    for name in ("kNN", "linear", "recall@1", "mAP"):
        mean, low, high = found[name].interval
        assert mean == pytest.approx(0.25, abs=0.1), name
        assert low <= mean <= high
    assert found["TAR"].value < 0.02
    assert abs(found["ARI"].value) < 0.05


def test_the_linear_probe_is_that_of_scikit_learn():
    learn, asked = drawn(200, range(6), 1.5), drawn(90, range(6), 1.5)
    found = measure_vectors(Sides.of(*learn, *asked), ["linear"])["linear"]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)).fit(*learn)
    assert found.value == pytest.approx(model.score(*asked), abs=0.03)
    assert len(found.values) == 90


def test_pairs_are_verified_as_the_metric_says():
    learn, (asked, labels) = drawn(40, [0, 1]), drawn(120, [2, 3, 4, 5], 1.0)
    sides = Sides.of(*learn, asked, labels)
    assert sides.unseen
    found = measure_vectors(sides, ["TAR"])["TAR"]
    unit = asked / np.linalg.norm(asked, axis=1, keepdims=True)
    left, right = np.triu_indices(120, 1)
    same = np.array([labels[a] == labels[b] for a, b in zip(left, right, strict=True)])
    assert found.value == pytest.approx(tar_at_far(same, (unit @ unit.T)[left, right], FAR), abs=0.02)
    assert len(found.values) == same.sum()
    assert len(set(found.groups.tolist())) == 4  # the pairs of a class hang together


def test_of_many_items_whole_classes_are_paired():
    labels = np.repeat(np.arange(2000), 2)  # two photographs of each
    asked = np.random.default_rng(0).normal(size=(2000, 8))[labels] + RANDOM.normal(size=(4000, 8)) * 0.001
    sides = Sides.of(np.ones((2, 8)), ["x", "y"], asked, labels)
    found = measure_vectors(sides, ["TAR"])["TAR"]
    assert 700 <= len(found.values) <= 750
    assert found.value > 0.9


def test_unseen_classes_are_not_told_by_name():
    sides = Sides.of(*drawn(20, [0, 1]), *drawn(30, [2, 3, 4]))
    assert "kNN" not in measure_vectors(Sides.of(*drawn(20, [0, 1]), *drawn(60, [2, 3, 4])), UNSEEN)
    with pytest.raises(InputError, match="kNN tells classes that are learnt from"):
        measure_vectors(sides, ["kNN"])
    with pytest.raises(UnknownName, match="'knm'"):
        measure_vectors(sides, ["knm"])


def test_what_does_not_fit_is_named():
    learn, asked = drawn(20, [0, 1]), drawn(20, [0, 1])
    with pytest.raises(DimensionMismatch):
        Sides.of(learn[0], learn[1][:3], *asked)
    with pytest.raises(DimensionMismatch):
        Sides.of(*learn, asked[0][:, :2], asked[1])
    with pytest.raises(InputError, match="nothing to ask"):
        Sides.of(*learn, np.empty((0, 12)), [])
    one = Sides.of(learn[0], ["c0"] * 20, asked[0], ["c0"] * 20)
    for name in ("linear", "TAR"):
        with pytest.raises(InputError):
            measure_vectors(one, [name])


# Tasks --------------------------------------------------------------------------------------------------------------


def test_a_fifth_of_each_class_is_asked():
    labels = ["a"] * 100 + ["b"] * 30 + ["rare"]
    task = LabelledTask.of(list(range(131)), labels, seed=3)
    assert not task.unseen
    assert sorted(task.learn + task.asked) == list(range(131))
    assert [task.asked_labels.count(name) for name in ("a", "b", "rare")] == [20, 6, 0]
    assert [labels[row] for row in task.asked] == list(task.asked_labels)
    assert LabelledTask.of(list(range(131)), labels, seed=3).asked == task.asked
    assert LabelledTask.of(list(range(131)), labels, seed=4).asked != task.asked
    assert task.measures == SEEN


def test_few_of_each_are_identities():
    labels = [str(row // 5) for row in range(100)]
    task = LabelledTask.of(list(range(100)), labels)
    assert task.unseen
    assert len(set(task.learn_labels)) == len(task.classes) == 10
    assert task.measures == UNSEEN
    assert not LabelledTask.of(list(range(100)), labels, unseen=False).unseen
    assert not LabelledTask.of(list(range(30)), ["a", "b"] * 15).unseen  # of two classes, none can be left unseen
    with pytest.raises(InputError, match="2 classes are too few"):
        LabelledTask.of(list(range(100)), ["a", "b"] * 50, unseen=True)


def test_parts_that_are_settled_stay_and_many_are_drawn_from(monkeypatch):
    asked = np.arange(100) % 3 == 0
    task = LabelledTask.of(list(range(100)), ["a", "b"] * 50, asked=asked)
    assert task.asked == np.flatnonzero(asked).tolist()
    monkeypatch.setattr("vicino.evaluation.labelled._ASKED", 10)
    fewer = LabelledTask.of(list(range(100)), ["a", "b"] * 50, asked=asked)
    assert len(fewer.asked) == 10
    assert fewer.notes == ("10 of 34 items are asked",)
    with pytest.raises(InputError, match="too few"):
        LabelledTask.of(list(range(100)), ["a", "b"] * 50, asked=[True] * 100)
    with pytest.raises(DimensionMismatch):
        LabelledTask.of(list(range(100)), ["a"])


# The ladder ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    pixels, labels = images(300, 5)
    task = LabelledTask.of(pixels, labels, name="<b>patterns</b>")
    return compare_labelled(task, ["pixels", "pixels(size=1)", "eigenimages(n_components=4)", "tfidf"])


def test_what_sees_more_is_told_from_what_sees_less(found):
    assert found["pixels"].scores["kNN"].value > 0.95
    assert found["pixels(size=1)"].scores["kNN"].value < 0.7
    assert found["pixels(size=1)"].p < 0.01
    assert found["pixels(size=1)"].gain.high < 0
    assert found["tfidf"].error
    assert found.pick in ("pixels", "eigenimages(n_components=4)")
    assert "Not measured, because they failed: tfidf" in found.verdict
    with pytest.raises(UnknownName):
        found["lsa"]


def test_the_same_task_gives_the_same_numbers(found):
    again = compare_labelled(found.task, ["pixels", "pixels(size=1)"])
    for name in ("pixels", "pixels(size=1)"):
        for measure, scored in again[name].scores.items():
            assert scored.value == found[name].scores[measure].value
            assert scored.interval == found[name].scores[measure].interval


def test_all_of_it_is_plain_data_text_and_a_page(found):
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["pick"] == found.pick
    assert [candidate["name"] for candidate in plain["candidates"]] == [rung.name for rung in found.rungs]
    text = labelled_text(found)
    for part in ("240 items to learn from; 60 are asked", "tfidf failed: ", found.verdict, MEASURES["kNN"].summary):
        assert part in text
    page = labelled_page(found, command="vicino <compare>")
    assert "<b>patterns" not in page
    assert "&lt;b&gt;patterns&lt;/b&gt;" in page
    assert "vicino &lt;compare&gt;" in page
    assert "<script" not in page


def test_identities_are_judged_by_who_finds_whom():
    pixels, labels = images(200, 40)
    found = compare_labelled(LabelledTask.of(pixels, labels), ["pixels", "pixels(size=1)", "eigenimages"])
    assert found.measures == UNSEEN
    assert found["pixels"].scores["recall@1"].value > 0.95
    assert found["pixels(size=1)"].scores["recall@1"].value < 0.5
    assert "over classes" in labelled_text(found)


def test_a_fitted_encoder_is_taken_as_it_is_and_another_learns():
    pixels, labels = images(100, 4)
    fitted, fresh = Pixels().fit([np.zeros((3, 3), np.uint8)]), Pixels()
    found = compare_labelled(LabelledTask.of(pixels, labels, unseen=False), [fitted])
    assert found.rungs[0].dim == 9
    assert compare_labelled(LabelledTask.of(pixels, labels, unseen=False), [fresh]).rungs[0].dim == 36
    assert not fresh.__sklearn_is_fitted__()
    assert "was the only one measured" in found.verdict


def test_one_class_is_named():
    with pytest.raises(InputError, match="one class"):
        LabelledTask.of(images(60, 1)[0], ["cat"] * 60)


def test_what_cannot_be_is_named_before_anything_is_measured():
    pixels, labels = images(100, 4)
    task = LabelledTask.of(pixels, labels, unseen=False)
    with pytest.raises(UnknownName, match="pixel"):
        compare_labelled(task, ["pixle"])
    with pytest.raises(UnknownName, match="'kMN'"):
        compare_labelled(task, ["pixels"], measures=["kMN"])
    for candidates, measures in (([], None), (["pixels"], ["NMI"])):
        with pytest.raises(InputError, match="nothing to decide by"):
            compare_labelled(task, candidates, measures=measures)
    with pytest.raises(InputError, match="nothing tells these by name"):
        compare_labelled(LabelledTask.of(pixels, labels, unseen=True), ["pixels"], measures=["recall@1", "linear"])
    with pytest.raises(EmptyInput, match="no candidate could be measured"):
        compare_labelled(task, ["tfidf"])
