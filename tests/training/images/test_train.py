"""The story: what is learnt is accepted, what is not is rejected, what was killed goes on, and its length is settled once."""

from __future__ import annotations

import json

import numpy as np
import pytest

import vicino
from vicino.errors import ArtifactError, InputError, MissingExtra, UnknownName

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from vicino.encoders.images import ImageEncoder, opened_backbone  # noqa: E402 - they are there
from vicino.training.images import train  # noqa: E402
from vicino.training.images.judging import Judge  # noqa: E402
from vicino.training.images.recipe import ImageRecipe  # noqa: E402
from vicino.training.images.train import Shortened, train_images  # noqa: E402

SMALL = "small(width=32)"


def recipe(**more):
    return ImageRecipe.of(**{"epochs": 6, "batch_size": 32, "threads": 1, "flip": 0, "precision": "float32", **more})


@pytest.fixture(scope="module")
def taught(marked, tmp_path_factory):
    """A network that learnt shapes of marks, where it lies, and from what."""
    data, out = marked(), tmp_path_factory.mktemp("taught") / "m"
    return train_images(data, out, backbone=SMALL, recipe=recipe()), out, data


def test_what_is_better_than_pixels_is_accepted_and_kept(taught):
    found, out, _ = taught
    assert found.gate.accepted
    assert set(found.scores) == {"pixels", "eigenimages", "after"}
    assert found.scores["after"] > 0.85 > max(found.scores["pixels"], found.scores["eigenimages"]) + 0.1
    assert found.metric == "kNN accuracy"
    assert "96 held-back images of 4 classes" in found.judged_by
    told = json.loads((out / "training.json").read_text())
    assert told["gate"]["accepted"] is True
    assert told["objective"] == "supervised"
    assert told["steps"] == found.run.steps == 6 * (816 // 32)
    assert not list(out.parent.glob(".m*"))


def test_the_folder_is_an_encoder_of_images(taught):
    _, out, _ = taught
    encoder = vicino.load(out)
    assert isinstance(encoder, ImageEncoder)
    assert encoder.encode(np.zeros((3, 16, 16), np.uint8)).shape == (3, 32)
    assert encoder.clone().space == encoder.space


def test_a_fresh_network_is_normalised_by_what_it_learns_from(taught):
    _, out, data = taught
    network = opened_backbone(out)
    pixels = np.load(data)["images"] / 255
    assert network.mean[0] == pytest.approx(pixels.mean(), abs=0.02)
    assert network.std[0] == pytest.approx(pixels.std(), abs=0.02)


def test_a_network_that_learnt_goes_on_and_is_compared_with_itself(taught, marked, tmp_path):
    _, out, _ = taught
    found = train_images(marked(seed=1), tmp_path / "further", backbone=str(out), recipe=recipe(epochs=1, learning_rate=1e-4))
    assert set(found.scores) == {"pixels", "eigenimages", "before", "after"}
    assert found.scores["before"] > 0.75
    assert not found.gate.accepted  # there is next to nothing to gain


def test_labels_that_mean_nothing_are_rejected_and_written_all_the_same(marked, tmp_path):
    found = train_images(marked(shuffled=True), tmp_path / "m", backbone=SMALL, recipe=recipe(epochs=1))
    assert not found.gate.accepted
    assert json.loads((tmp_path / "m" / "training.json").read_text())["gate"]["accepted"] is False
    assert vicino.load(tmp_path / "m").dim == 32


def test_identities_are_judged_by_classes_that_were_never_learnt(marked, tmp_path):
    data = marked(n=360, classes=24)
    found = train_images(data, tmp_path / "m", objective="triplet", backbone=SMALL, recipe=recipe(epochs=1))
    assert found.metric == "recall@1"
    assert "6 classes that were held back whole" in found.judged_by


def test_images_without_labels_are_judged_by_their_views(marked, tmp_path):
    found = train_images(marked(labels=False), tmp_path / "m", objective="simclr", backbone=SMALL, recipe=recipe(epochs=1))
    assert "views of 96" in found.judged_by
    assert all(0 <= score <= 1 for score in found.scores.values())


def test_what_an_autoencoder_paints_can_be_looked_at(marked, tmp_path):
    from PIL import Image

    out = tmp_path / "m"
    train_images(marked(), out, objective="autoencoder", backbone=SMALL, recipe=recipe(epochs=2))
    side = ImageEncoder(model=str(out)).network.size
    with Image.open(out / "reconstructions.png") as sheet:
        assert sheet.size == (16 * (side + 2) + 2, 2 * (side + 2) + 2)
        pixels = np.asarray(sheet)
    above, below = pixels[2 : side + 2, 2:-2], pixels[side + 4 : -2, 2:-2]
    assert not np.array_equal(above, below)
    assert np.corrcoef(above.ravel(), below.ravel())[0, 1] > 0.5
    assert vicino.load(out).dim == 32
    assert train_images(marked(), out, objective="simclr", backbone=SMALL, recipe=recipe(epochs=1)).path == out
    assert not (out / "reconstructions.png").exists()


def test_what_was_interrupted_goes_on_to_the_same_weights(taught, tmp_path, monkeypatch):
    whole, first, data = taught
    steps = []

    def stopped(choose):
        def one(network):
            steps.append(None)
            if len(steps) == 3:
                raise KeyboardInterrupt
            return choose(network)

        return one

    chooser = Judge.chooser
    with monkeypatch.context() as patch:
        patch.setattr(Judge, "chooser", lambda judge: stopped(chooser(judge)))
        with pytest.raises(KeyboardInterrupt):
            train_images(data, tmp_path / "m", backbone=SMALL, recipe=recipe())
    assert not (tmp_path / "m").exists()
    found = train_images(data, tmp_path / "m", backbone=SMALL, recipe=recipe())
    assert found.run.resumed == 50
    assert found.run.losses == whole.run.losses
    assert vicino.load(tmp_path / "m").space == vicino.load(first).space


def test_another_recipe_does_not_go_on_from_what_was_interrupted(taught, tmp_path, monkeypatch):
    _, _, data = taught

    def stop(judge):
        raise KeyboardInterrupt

    chooser = Judge.chooser
    calls = []

    def stopped(judge):
        choose = chooser(judge)
        return lambda network: stop(judge) if calls.append(None) or len(calls) == 2 else choose(network)

    with monkeypatch.context() as patch:
        patch.setattr(Judge, "chooser", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_images(data, tmp_path / "m", backbone=SMALL, recipe=recipe())
    with pytest.raises(ArtifactError, match="another run"):
        train_images(data, tmp_path / "m", backbone=SMALL, recipe=recipe(learning_rate=1e-4))


# How long -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "epochs", "steps"),
    [(1.0, 2, 25), (0.5, 1, 25), (0.1, 1, 4), (1e-6, 1, 1)],  # of a second a step, two an evaluation
)
def test_minutes_settle_epochs_or_a_part_of_one(taught, tmp_path, monkeypatch, minutes, epochs, steps):
    _, _, data = taught
    monkeypatch.setattr(train, "_costs", lambda *given: (1.0, 2.0))
    planned = train_images(data, tmp_path / "m", backbone=SMALL, recipe=recipe(epochs=None, minutes=minutes), dry_run=True)
    assert (planned.steps, planned.epoch_steps) == (epochs * steps, steps)
    assert list(tmp_path.iterdir()) == []


def test_what_minutes_settled_stays_settled(taught, tmp_path, monkeypatch):
    _, _, data = taught
    minutes = recipe(epochs=None, minutes=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(train, "_costs", lambda *given: (1.0, 2.0))
        patch.setattr(train, "fit", lambda *given, **more: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train_images(data, tmp_path / "m", backbone=SMALL, recipe=minutes)
    monkeypatch.setattr(train, "_costs", lambda *given: (1e9, 1e9))  # it is not asked again, but for another training
    other = train_images(data, tmp_path / "m", backbone=SMALL, recipe=recipe(epochs=None, minutes=0.4), dry_run=True)
    assert other.steps == 1
    assert train_images(data, tmp_path / "m", backbone=SMALL, recipe=minutes).run.steps == 25


def test_costs_are_measured(marked, tmp_path):
    planned = train_images(marked(), tmp_path / "m", backbone=SMALL, recipe=recipe(epochs=None, minutes=0.01), dry_run=True)
    assert planned.steps >= 1
    assert planned.trained > 10_000


def test_shortened_batches_are_the_first_of_each_epoch():
    class Numbers:
        def __len__(self):
            return 5

        def epoch(self, number, seed):
            return iter(range(10 * number, 10 * number + 5))

    short = Shortened(Numbers(), 2)
    assert len(short) == 2
    assert list(short.epoch(1, 0)) == [10, 11]


# What is refused ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_named_before_anything_long(marked, tmp_path):
    data, out = marked(), tmp_path / "m"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("kept")
    for wrong, error in (
        ({"objective": "supervise"}, UnknownName),
        ({"backbone": "smal"}, (UnknownName, InputError)),
        ({"recipe": ImageRecipe.of(temprature=0.1)}, UnknownName),
        ({"recipe": ImageRecipe.of(crop=2)}, InputError),
        ({"recipe": ImageRecipe.of(judge="identities")}, InputError),
        ({"out": tmp_path / "mine"}, ArtifactError),
        ({"data": marked(labels=False)}, InputError),
        ({"data": tmp_path / "nowhere"}, InputError),
    ):
        with pytest.raises(error):
            train_images(**{"data": data, "out": out, "backbone": SMALL, **wrong})
    assert not out.exists()
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "kept"


@pytest.mark.parametrize(
    "wrong",
    [
        *({"size": 4}, {"channels": 2}, {"judge": "people"}, {"epochs": 0}, {"minutes": 0}, {"epochs": 1, "minutes": 1}),
        *({"batch_size": 1}, {"learning_rate": 0}, {"weight_decay": float("nan")}, {"seed": -1}, {"evaluate_every": 1.5}),
    ],
    ids=str,
)
def test_recipes_that_cannot_be_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ImageRecipe.of(**wrong)


def test_without_torch_the_extra_is_named(monkeypatch, tmp_path):
    from vicino import workbench

    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtra, match="torch"):
        workbench.train_images(tmp_path, tmp_path / "m")
