"""`vicino compare KIND DATA`: tasks beside retrieval from the command line, with reports, and what cannot be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vicino import workbench
from vicino.cli import main
from vicino.cli.judging import KINDS
from vicino.errors import InputError
from vicino.evaluation.suite import TASKS


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    words = str.split("wing lift sail tide oven salt moon star")
    rows = []
    for _ in range(60):
        left, right = (list(random.choice(words, 4)) for _ in range(2))
        shared = random.integers(0, 4)
        rows.append(
            {"sentence1": " ".join(left), "sentence2": " ".join(left[:shared] + right[shared:]), "score": int(shared) + 0.5}
        )
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        main(arguments)
    except SystemExit as stop:
        code = stop.code or 0
    return code, *capsys.readouterr()


def test_every_task_is_a_kind():
    assert set(TASKS) < set(KINDS)


def test_a_table_a_verdict_and_reports(pairs, capsys):
    asked = ["compare", "similarity", "pairs.jsonl", "--with", "overlap,tfidf", "-q"]
    code, out, err = run(capsys, *asked, "--report", "r.html")
    assert code == 0
    assert "pairs.jsonl: 60 pairs of texts" in out
    assert "overlap" in out
    assert "The report: r.html" in err
    page = (pairs.parent / "r.html").read_text()
    assert "<script" not in page
    assert "pairs.jsonl" in page
    code, out, _ = run(capsys, *asked, "--json", "--report", "r.json", "--metrics", "Pearson")
    plain = json.loads(out)
    assert [one["name"] for one in plain["metrics"]] == ["Pearson"]
    assert all(one["cached"] for one in plain["candidates"])
    assert json.loads((pairs.parent / "r.json").read_text())["candidates"] == plain["candidates"]
    code, _, _ = run(capsys, *asked, "--report", "r.md", "--no-cache")
    assert code == 0
    assert (pairs.parent / "r.md").read_text().startswith("# pairs.jsonl: similarity")


def test_columns_are_named(pairs, capsys):
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    (pairs.parent / "other.csv").write_text(
        "x,y,z\n" + "".join(f"{r['sentence1']},{r['sentence2']},{r['score']}\n" for r in rows)
    )
    asked = ["compare", "similarity", "other.csv", "--with", "overlap", "-q"]
    assert run(capsys, *asked)[0] == 2
    code, out, _ = run(capsys, *asked, "--columns", "anchor=x,positive=y,score=z")
    assert code == 0
    assert "was the only one measured" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["similarty", "pairs.jsonl"], "did you mean similarity"),
        (["similarity", "nowhere.csv"], "there is no nowhere.csv"),
        (["pairs", "pairs.jsonl"], "vicino compare similarity"),
        (["similarity", "pairs.jsonl", "--with", "tfidff"], "did you mean tfidf"),
        (["similarity", "pairs.jsonl", "--metrics", "Spearmen"], "did you mean Spearman"),
        (["similarity", "pairs.jsonl", "--save", "w"], "--save says nothing about similarity"),
        (["similarity", "pairs.jsonl", "--report", "r.pdf"], "r.pdf"),
    ],
)
def test_what_cannot_be_is_named_with_status_two(pairs, capsys, arguments, named):
    code, _, err = run(capsys, "compare", *arguments, "-q")
    assert code == 2
    assert named in err


def test_the_verb_takes_a_task_too(pairs):
    from vicino.evaluation.suite import open_task

    task = open_task("similarity", pairs)
    assert workbench.compare_task("similarity", task, candidates=["overlap"], cache=False).pick == "overlap"
    with pytest.raises(InputError):
        workbench.compare_task("similarity", pairs, report_to="r.pdf")
