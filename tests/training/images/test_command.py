"""`vicino train images`: what it prints, and what it ends with."""

from __future__ import annotations

import json

import pytest

from vicino.cli import main

pytest.importorskip("torch")
pytest.importorskip("PIL")

FEW = ["--backbone", "small(width=32)", "--threads", "1", "--quiet", "--set", "batch_size=32,flip=0,precision=float32"]


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["train", "images", *map(str, arguments)])
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, err


def test_a_plan(capsys, marked, tmp_path):
    code, out, _ = run(capsys, marked(), "--out", tmp_path / "m", "--epochs", "2", "--dry-run", *FEW)
    assert code == 0
    assert "50 steps, 25 in an epoch" in out
    assert not (tmp_path / "m").exists()


def test_a_training_that_is_accepted(capsys, marked, tmp_path):
    code, out, err = run(capsys, marked(), "--out", tmp_path / "m", "--epochs", "6", *FEW)
    assert code == 0
    assert "kNN accuracy on 96 held-back images of 4 classes" in out
    assert "accepted: better" in out
    assert "vicino compare images DATA --with" in err
    assert (tmp_path / "m" / "training.json").is_file()


def test_a_training_that_is_rejected_ends_with_1(capsys, marked, tmp_path):
    code, out, _ = run(capsys, marked(shuffled=True), "--out", tmp_path / "m", "--epochs", "1", "--json", *FEW)
    assert code == 1
    assert json.loads(out)["gate"]["accepted"] is False


def test_what_cannot_be_is_a_usage_error(capsys, marked, tmp_path):
    for wrong, words in (
        (["--objective", "supervise"], "supervised"),
        (["--set", "temprature=0.1"], "temprature"),
        (["--epochs", "1", "--minutes", "1"], "minutes"),
    ):
        code, out, err = run(capsys, marked(), "--out", tmp_path / "m", *wrong)
        assert (code, out) == (2, "")
        assert words in err
