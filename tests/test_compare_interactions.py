"""`vicino compare interactions`: from a table on disk to a verdict, as text, JSON and reports; and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from vicino import workbench
from vicino.cli import app
from vicino.data.interactions import read_interactions
from vicino.errors import InputError, UnknownName
from vicino.retrieval.recommenders.ease import EASE


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Sixty users of two tastes, each with six of its ten items."""
    random = np.random.default_rng(0)
    rows = ["person,thing,date"]
    for user in range(60):
        rows += [f"u{user},i{item + 10 * (user % 2)},2024-01-{1 + item:02}" for item in random.permutation(10)[:6]]
    file = tmp_path_factory.mktemp("data") / "met.csv"
    file.write_text("\n".join(rows), encoding="utf-8")
    return file


NAMED = {"user": "person", "item": "thing"}


def ask(*words: object) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app, ["compare", "interactions", *map(str, words), "--quiet"])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_table_is_climbed_and_told(table, tmp_path):
    folder = EASE(regularization=5.0).fit(read_interactions(table, columns=NAMED)).save(tmp_path / "r")
    shown = ask(table, "--with", f"popularity,{folder},item-knn(shrinkage=1.0)", "--columns", "user=person,item=thing")
    assert "met.csv: 300 interactions of 60 users with 20 items" in shown
    for told in ("popularity", "item-knn(shrinkage=1.0)", "Recall@20", "regularization=5.0"):
        assert told in shown


def test_json_and_reports_hold_the_same(table, tmp_path):
    options = ["--columns", "user=person,item=thing", "--with", "popularity,item-knn", "--metrics", "Recall@5,nDCG@5"]
    plain = json.loads(ask(table, *options, "--split", "last-one", "--seed", 1, "--json", "--report", tmp_path / "r.json"))
    assert (plain["task"]["split"], plain["task"]["seed"], plain["metrics"]) == ("last-one", 1, ["Recall@5", "nDCG@5"])
    written = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert written.pop("command")
    assert written == plain
    ask(table, *options, "--report", tmp_path / "r.html")
    assert plain["pick"] in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_what_cannot_be_is_refused(table, tmp_path):
    with pytest.raises(UnknownName, match="split"):
        workbench.compare_interactions(table, columns=NAMED, split="by-moon")
    with pytest.raises(InputError, match="format"):
        workbench.compare_interactions(table, columns=NAMED, report_to=tmp_path / "r.pdf")
    with pytest.raises(UnknownName, match="recommender"):
        workbench.compare_interactions(table, columns=NAMED, candidates=["bm25"])
    done = CliRunner().invoke(app, ["compare", "interactions", str(table)])
    assert done.exit_code != 0
