"""Teaching a recommender: what helps is accepted, what cannot is rejected, and what was interrupted goes on."""

from __future__ import annotations

import json

import numpy as np
import pytest

import vicino
from vicino import artifacts, cli, workbench
from vicino.data.interactions import Interactions, read_interactions
from vicino.encoders.interactions import TwoTower
from vicino.encoders.interactions.learning import Lesson
from vicino.errors import InputError, UnknownName, UnreadableSource, VicinoError
from vicino.retrieval.recommenders.two_tower import TwoTowerRecommender
from vicino.training.recommender.lint import lint_interactions

pytest.importorskip("torch", reason="the extra 'torch' is not installed")

LEARN = {"epochs": 12, "vector_size": 16, "batch_size": 256, "learning_rate": 0.02, "threads": 1}


def written(folder, *, told: bool, users: int = 300) -> None:
    """Users of ten kinds, who meet any five of two hundred items of their kind: few met each, so that only the kind helps."""
    random = np.random.default_rng(0)
    met = [(user, 10 * place + user % 10) for user in range(users) for place in random.permutation(200)[:5].tolist()]
    folder.mkdir()
    (folder / "met.csv").write_text("user_id,item_id\n" + "".join(f"u{user},i{item}\n" for user, item in met))
    kinds = [f"i{item},Thing {item},{item % 10 if told else 0}\n" for item in range(2000)]
    (folder / "items.csv").write_text("item_id,name,kind\n" + "".join(kinds))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Data from which something can be learnt, and from which nothing can."""
    root = tmp_path_factory.mktemp("interactions")
    written(root / "told", told=True)
    written(root / "untold", told=False)
    return root


@pytest.fixture(scope="module")
def accepted(folders, tmp_path_factory):
    """A training that helps; only for looking."""
    return workbench.train_recommender(folders / "told", tmp_path_factory.mktemp("trained") / "r", **LEARN)


def test_what_helps_is_accepted(accepted):
    assert accepted.gate.accepted, accepted.gate.sentence
    assert set(accepted.scores) == {"popularity", "item-knn", "two-tower"}
    assert accepted.scores["two-tower"] > 2 * accepted.scores["item-knn"]
    assert accepted.run.best == max(accepted.run.metrics.values())
    record = json.loads((accepted.path / "training.json").read_text())
    assert record["gate"]["accepted"] is True
    assert record["recipe"]["vector_size"] == 16
    assert not list(accepted.path.parent.glob(".*training"))


def test_what_was_saved_opens_and_knows_the_whole_histories(accepted, folders):
    opened, data = vicino.load(accepted.path), read_interactions(folders / "told")
    assert isinstance(opened, TwoTowerRecommender)
    np.testing.assert_array_equal(opened.history_.toarray(), data.matrix().toarray())
    assert opened.encoder_.histories_.items.size == len(data)
    hits = opened.recommend(list(data.users), 20)
    kinds = np.array([[int(item[1:]) % 10 for item in row] for row in hits.ids])
    assert (kinds == np.array([int(user[1:]) % 10 for user in data.users])[:, None]).mean() > 0.9
    encoder = vicino.load(accepted.path / "encoder")
    assert isinstance(encoder, TwoTower)
    assert encoder.space == opened.encoder_.space


def test_where_nothing_can_be_learnt_it_is_rejected(folders, tmp_path):
    found = workbench.train_recommender(folders / "untold", tmp_path / "r", **LEARN | {"epochs": 1, "learning_rate": 1e-6})
    assert not found.gate.accepted
    assert found.gate.advice
    assert json.loads((tmp_path / "r" / "training.json").read_text())["gate"]["accepted"] is False


def test_what_was_interrupted_goes_on_to_the_same_vectors(folders, tmp_path, ctrl_c):
    params = LEARN | {"epochs": 3, "hard_negatives": 1, "remine": 1}
    whole = workbench.train_recommender(folders / "told", tmp_path / "whole", **params)
    with ctrl_c(Lesson, "_quality", at=3):
        workbench.train_recommender(folders / "told", tmp_path / "r", **params)
    assert not (tmp_path / "r").exists()
    with pytest.raises(VicinoError, match="another run"):
        workbench.train_recommender(folders / "told", tmp_path / "r", **params | {"temperature": 0.2})
    found = workbench.train_recommender(folders / "told", tmp_path / "r", **params)
    assert found.run.resumed
    assert found.run.losses == whole.run.losses
    arrays = "encoder/arrays.safetensors"
    assert (found.path / arrays).read_bytes() == (whole.path / arrays).read_bytes()


def test_a_dry_run_writes_nothing(folders, tmp_path):
    plan = workbench.train_recommender(folders / "told", tmp_path / "r", **LEARN, dry_run=True)
    assert plan.steps == 12 * plan.epoch_steps
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_named_before_anything_long(folders, tmp_path):
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    (tmp_path / "nan.csv").write_text("user,item,rating\nu,i,nan\nu,j,1\n")
    (tmp_path / "one.csv").write_text("user,item\nann,tea\nbob,rice\n")
    (tmp_path / "taken").write_text("not a folder of vicino's")
    with pytest.raises(UnreadableSource):
        workbench.train_recommender(tmp_path / "no.csv", tmp_path / "r")
    with pytest.raises(InputError):
        workbench.train_recommender(tmp_path / "nan.csv", tmp_path / "r")
    with pytest.raises(InputError, match="hold out"):
        workbench.train_recommender(tmp_path / "one.csv", tmp_path / "r")
    with pytest.raises(VicinoError, match="taken"):
        workbench.train_recommender(folders / "told", tmp_path / "taken")
    with pytest.raises(UnknownName, match="epochs"):
        workbench.train_recommender(folders / "told", tmp_path / "r", epoch=3)
    with pytest.raises(InputError, match="dropout"):
        workbench.train_recommender(folders / "told", tmp_path / "r", dropout=2.0)
    assert not (tmp_path / "r").exists()


def test_a_record_that_was_changed_is_noticed(accepted, tmp_path):
    opened = vicino.load(accepted.path)
    folder = opened.save(tmp_path / "r", record={"how": "well"})
    (folder / "training.json").write_text("{}")
    with pytest.raises(artifacts.ArtifactCorrupt):
        vicino.load(folder)


# What is looked at ----------------------------------------------------------------------------------------------------


def test_lint_counts_what_is_wrong():
    users = [*(f"u{at}" for at in range(300) for _ in range(3)), "lone", "u0", "bot"]
    items = [*(f"i{at % 50 + 10 * step}" for at in range(300) for step in range(3)), "i0", "i0", "rare"]
    found = lint_interactions(Interactions.of(users, items))
    assert found["repeats"].rows == (901,)
    assert found["short histories"].count == 2
    assert found["rare items"].count == 1
    assert "few users" not in found
    assert "one item" not in found
    most = lint_interactions(Interactions.of([*"abcdef", "a"], ["x"] * 6 + ["y"]))
    assert most["one item"].rows == (0,)
    assert most["few users"].severity == "warning"
    assert [one.severity for one in most.findings] == sorted((one.severity for one in most.findings), reverse=True)


# The commands ---------------------------------------------------------------------------------------------------------


def command(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(each) for each in arguments])
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def test_the_command_tells_the_verdict_and_ends_with_it(folders, tmp_path, capsys):
    options = ("--set", "vector_size=4,learning_rate=1e-6", "--epochs", 1, "--threads", 1, "--quiet", "--out", tmp_path / "r")
    code, out, err = command(capsys, "train", "recommender", folders / "untold", *options)
    assert code == 1
    assert "rejected: " in out
    assert "item-knn" in out
    assert "vicino recommend" in err
    code, out, _ = command(capsys, "train", "recommender", folders / "told", *options[:-1], tmp_path / "x", "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["steps"] >= 1
    assert not (tmp_path / "x").exists()


def test_it_is_asked_by_user_and_by_what_was_liked(accepted, capsys):
    code, out, _ = command(capsys, "recommend", accepted.path, "u3", "-k", 4, "--json")
    assert code == 0
    for_user = json.loads(out)
    assert len(for_user) == 4
    assert for_user[0]["name"] == f"Thing {for_user[0]['item'][1:]}"
    assert for_user[0]["score"] >= for_user[-1]["score"]
    by_id, by_name = (
        json.loads(command(capsys, "recommend", accepted.path, "--liked", one, "--json")[1]) for one in ("i13", "thing 13")
    )
    assert by_id == by_name
    assert "i13" not in [one["item"] for one in by_id]
    assert np.mean([int(one["item"][1:]) % 10 == 3 for one in by_id]) > 0.8
    several = json.loads(command(capsys, "recommend", accepted.path, "--liked", "i13", "--liked", "i23", "--json")[1])
    assert not {"i13", "i23"} & {one["item"] for one in several}
    assert "Thing" in command(capsys, "recommend", accepted.path, "u3")[1]


@pytest.mark.parametrize(
    "asked",
    [("nobody",), (), ("u3", "--liked", "i13"), ("--liked", "nothing"), ("u3", "-k", 0), ("--liked", "i13", "-k", 0)],
    ids=str,
)
def test_what_cannot_be_asked_is_named(accepted, capsys, asked):
    code, out, err = command(capsys, "recommend", accepted.path, *asked)
    assert code == 2
    assert out == ""
    assert "→" in err


def test_other_recommenders_are_asked_likewise(folders, tmp_path):
    from vicino.retrieval.recommenders import make

    data = read_interactions(folders / "told")
    folder = make("item-knn").fit(data).save(tmp_path / "knn")
    assert len(workbench.recommend(folder, "u3", 3)) == 3
    assert workbench.recommend(folder, liked=[data.items[0]], k=3)
    with pytest.raises(InputError, match="one item only"):
        workbench.recommend(folder, liked=[data.items[0], data.items[1]])
