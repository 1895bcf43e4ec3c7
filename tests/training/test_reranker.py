"""Teaching a cross-encoder: what helps is accepted, what cannot is rejected, and what was interrupted goes on."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

import vicino
from vicino import artifacts, cli, workbench
from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.crossing import CrossEncoder, trainable_pairs
from vicino.errors import InputError, UnknownName, VicinoError
from vicino.retrieval import parse
from vicino.training import reranker
from vicino.training.reranker import RerankerRecipe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

LEARN = {
    "epochs": 20,
    "batch_size": 8,
    "learning_rate": 6e-3,
    "negatives": 5,
    "relative": None,  # what a network of random weights finds near says nothing
    "depth": 300,  # nor does what it ranks
    "evaluate_every": 300.0,
    "precision": "float32",
    "threads": 1,
    "seed": 1,
}


@pytest.fixture(scope="module")
def accepted(ciphered, base, tmp_path_factory):
    """A training that helps; only for looking."""
    out = tmp_path_factory.mktemp("trained") / "rr"
    return workbench.train_reranker(ciphered(n=300), out, base=base, **LEARN)


def test_what_helps_is_accepted(accepted):
    assert accepted.gate.accepted, accepted.gate.sentence
    assert accepted.scores["reranked"] > accepted.scores["first stage"] + 0.05
    assert set(accepted.scores) == {"bm25", "first stage", "reranked"}
    assert "negatives" in accepted.told
    assert "the first 300 documents" in accepted.gate.sentence
    assert accepted.run.best == max(accepted.run.metrics.values())


def test_the_folder_opens_everywhere_and_says_what_it_is(accepted, sentence_transformers):
    pairs = [("wings lift an aeroplane", "tea"), ("tea", "water boiling")]
    opened = vicino.load(accepted.path)
    assert isinstance(opened, CrossEncoder)
    theirs = sentence_transformers.CrossEncoder(str(accepted.path), device="cpu")
    exact = opened.clone().set_params(model=str(accepted.path), precision="float32")
    np.testing.assert_allclose(exact.predict(pairs), theirs.predict(pairs), atol=1e-4)
    record = json.loads((accepted.path / "training.json").read_text())
    assert record["gate"]["accepted"] is True
    assert record["recipe"]["negatives"] == 5
    assert "training.json" in artifacts.read(accepted.path).data["files"]  # whole with the model, or not at all
    assert parse(str(accepted.path)).params == {"reranker": str(accepted.path)}
    assert not list(accepted.path.parent.glob(".*training"))


@pytest.mark.long
def test_a_cross_encoder_is_taught_on(accepted, ciphered, tmp_path):
    shortly = LEARN | {"epochs": 1, "learning_rate": 1e-6, "negatives": 1}
    found = workbench.train_reranker(ciphered(n=300), tmp_path / "rr", base=str(accepted.path), **shortly)
    assert found.scores["reranked"] == pytest.approx(accepted.scores["reranked"], abs=0.05)
    assert found.run.metrics[0] > 0.05  # before any step


@pytest.mark.long
def test_shuffled_answers_are_rejected(ciphered, base, tmp_path):
    found = workbench.train_reranker(ciphered(shuffled=True, n=300), tmp_path / "rr", base=base, **LEARN | {"epochs": 2})
    assert not found.gate.accepted
    assert found.gate.advice
    assert json.loads((tmp_path / "rr" / "training.json").read_text())["gate"]["accepted"] is False


def test_what_was_interrupted_goes_on_to_the_same_weights(ciphered, base, tmp_path, ctrl_c):
    changes = {**LEARN, "base": base, "negatives": 2, "depth": 20, "epochs": 1, "evaluate_every": 7.0}
    whole = workbench.train_reranker(ciphered(n=120), tmp_path / "whole", **changes)
    with ctrl_c(reranker, "_listwise", at=9):
        workbench.train_reranker(ciphered(n=120), tmp_path / "rr", **changes)
    assert not (tmp_path / "rr").exists()
    found = workbench.train_reranker(ciphered(n=120), tmp_path / "rr", **changes)
    assert found.run.resumed == 9
    assert found.run.losses == whole.run.losses
    assert (found.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    with ctrl_c(reranker, "_listwise", at=9):  # and a checkpoint of another call is not gone on from
        workbench.train_reranker(ciphered(n=120), tmp_path / "third", **changes)
    with pytest.raises(VicinoError, match="another run"):
        workbench.train_reranker(ciphered(n=120), tmp_path / "third", **changes | {"learning_rate": 1e-3})


class Stopped(Exception):
    """Enough was seen."""


def test_what_goes_on_has_the_same_content_whatever_its_name(ciphered, base, tmp_path, monkeypatch):
    seen: list[str] = []

    def fit(*_, fingerprint, **__):
        seen.append(json.dumps(fingerprint))
        raise Stopped

    monkeypatch.setattr(reranker, "fit", fit)
    data = tmp_path / "pairs.jsonl"
    *lines, last = ciphered(n=120).read_text().splitlines()
    changed = json.dumps({**json.loads(last), "answer": "something else"})
    for end, changes in ((last, {}), (last, {"threads": 2}), (changed, {})):
        data.write_text("\n".join([*lines, end]))
        with pytest.raises(Stopped):
            workbench.train_reranker(data, tmp_path / "rr", base=base, **{**LEARN, "depth": 20, "negatives": 1, **changes})
    assert seen[0] == seen[1] != seen[2]


def test_every_part_is_in_the_name_of_the_content(ciphered):
    from vicino.training.material import gather

    material = gather(ciphered(n=120), seed=1)
    names = {reranker._digest(material)}
    for part in ("choose", "judge"):
        task = getattr(material, part)
        asked = [dataclasses.replace(task.queries[0], text="another question"), *task.queries[1:]]
        names.add(reranker._digest(dataclasses.replace(material, **{part: dataclasses.replace(task, queries=asked)})))
    names.add(reranker._digest(dataclasses.replace(material, learn=material.learn.subset(np.arange(20)))))
    assert len(names) == 4


@pytest.mark.parametrize("kind", ["cross-encoder", "encoder"])
def test_a_hub_name_is_what_its_folder_is(base, ciphered, tmp_path, monkeypatch, kind):
    root, commit = tmp_path / "models--org--model", "0" * 40
    for note in (root / "refs" / "main", root / ".no_exist" / commit / "modules.json"):
        note.parent.mkdir(parents=True)
        note.write_text(commit)
    folder = shutil.copytree(base, root / "snapshots" / commit)
    if kind == "cross-encoder":
        trainable_pairs(base, limit=None, dropout=0.0, seed=0).save(folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    seen: list[str] = []

    def searchable(encoder, _):
        seen.append(encoder.model)
        raise Stopped

    monkeypatch.setattr(reranker, "Searchable", searchable)
    with pytest.raises(Stopped):
        workbench.train_reranker(ciphered(n=120), tmp_path / "rr", base="org/model", **LEARN)
    assert seen == [Transformer().model if kind == "cross-encoder" else "org/model"]


@pytest.mark.parametrize(
    "changes",
    [
        *({"limit": wrong} for wrong in ("abc", 2.5, 0, -1, 7)),
        *({"depth": 2.5}, {"depth": "x"}, {"negatives": "x"}, {"negatives": 1.5}, {"relative": "x"}, {"relative": -1}),
        *({"dropout": "x"}, {"dropout": 5}, {"seed": "x"}),
    ],
    ids=str,
)
def test_recipes_that_cannot_be_are_named(changes):
    with pytest.raises(InputError) as caught:
        RerankerRecipe.of(**changes)
    assert caught.value.mend


@pytest.mark.long
@pytest.mark.parametrize("changes", [{"first": "dense"}, {"small_batch": 4}, {"dropout": None, "precision": "bfloat16"}], ids=str)
def test_every_way_of_training_runs(ciphered, base, tmp_path, changes):
    found = workbench.train_reranker(ciphered(n=120), tmp_path / "rr", base=base, **LEARN | {"epochs": 1} | changes)
    assert found.run.steps > 2
    assert np.isfinite(found.run.losses).all()


def test_cached_gradients_are_those_of_the_whole_batch(ciphered, base, tmp_path):
    made = [
        workbench.train_reranker(ciphered(n=120), tmp_path / str(small), base=base, **LEARN | {"epochs": 1, "small_batch": small})
        for small in (None, 3)
    ]
    np.testing.assert_allclose(made[0].run.losses, made[1].run.losses, atol=1e-3)


def test_a_dry_run_plans_and_writes_nothing(ciphered, base, tmp_path):
    plan = workbench.train_reranker(ciphered(n=120), tmp_path / "rr", base=base, dry_run=True, **LEARN)
    assert plan.steps == 20 * plan.epoch_steps
    assert list(tmp_path.iterdir()) == []


def test_the_loss_is_the_cross_entropy_of_the_answer():
    import torch

    scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    by_hand = (-np.log(np.exp(2) / (np.exp(2) + np.exp(1) + 1)) + np.log(3)) / 2
    assert float(reranker._listwise(None, None, scores)) == pytest.approx(by_hand, abs=1e-6)


def test_candidates_are_judged_in_the_order_of_their_scores():
    from vicino.data.records import Document, Hits, Query
    from vicino.evaluation.tasks import RetrievalTask

    documents = [Document(name, f"text {name}") for name in "abc"]
    task = RetrievalTask("toy", documents, [Query("q", "one"), Query("r", "two")], {"q": {"b": 1}, "r": {"c": 1}})
    ids = np.array([["a", "b"], ["c", None]], dtype=object)
    found = Hits(ids, np.array([[2.0, 1.0], [1.0, -np.inf]], dtype=np.float32))
    made = reranker._Candidates(task, [lambda queries, k: found], RerankerRecipe(), 10)
    assert made.pairs == [("one", "text a"), ("one", "text b"), ("two", "text c")]
    assert made.before.tolist() == pytest.approx([1 / np.log2(3), 1.0])
    assert made.reranked(np.array([0.0, 5.0, -9.0], dtype=np.float32)).tolist() == [1.0, 1.0]


def test_the_command_tells_the_verdict_and_ends_with_it(ciphered, base, tmp_path, capsys):
    told = "batch_size=8,learning_rate=6e-3,negatives=2,depth=20,precision=float32"
    command = [
        "train",
        "reranker",
        str(ciphered(shuffled=True)),
        "--base",
        base,
        "--epochs",
        "1",
        "--set",
        told,
        "--threads",
        "1",
    ]
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--quiet", "--out", str(tmp_path / "rr")])
    shown = capsys.readouterr()
    assert int(ended.value.code or 0) == 1
    assert "rejected: " in shown.out
    assert "first stage" in shown.out
    assert "--rerank" in shown.err
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--quiet", "--out", str(tmp_path / "other"), "--dry-run", "--json"])
    assert int(ended.value.code or 0) == 0
    assert json.loads(capsys.readouterr().out)["steps"] > 2
    assert not (tmp_path / "other").exists()


def test_parameters_that_cannot_be_are_named(ciphered, base, tmp_path):
    with pytest.raises(UnknownName, match="learning_rate"):
        workbench.train_reranker(ciphered(), tmp_path / "rr", base=base, learning_rat=1)
    for changes in ({"first": "luck"}, {"negatives": 0}, {"depth": 1}, {"epochs": 0}):
        with pytest.raises(InputError):
            workbench.train_reranker(ciphered(), tmp_path / "rr", base=base, **changes)
    with pytest.raises(VicinoError):
        workbench.train_reranker(ciphered(), tmp_path / "rr", base=str(tmp_path / "nowhere"))
