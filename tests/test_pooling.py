"""`vicino pool`: a table to judge, which grows and forgets nothing, and the comparison that reads it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from vicino import cli, workbench
from vicino.errors import InputError, UnknownName, UnreadableSource
from vicino.evaluation.silver import open_pooled

SUBJECTS = ("wings", "tea", "bees", "ice", "bread", "rain")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    rows = [
        {
            "id": f"{name}{number}",
            "title": f"On {name} number {number}",
            "text": f"All that {name} do in year {number} is told here.",
        }
        for name in SUBJECTS
        for number in range(4)
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = [{"id": f"{place:03}", "text": f"what do {name} do"} for place, name in enumerate(SUBJECTS)]
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, asked)))
    return tmp_path / "data.jsonl"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        cli.main(arguments)
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def judge(file: Path, *, first: int | None = None) -> None:
    """A judge who finds relevant what is about the query's subject; only the first rows, where so many are told."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows[:first]:
        row["grade"] = str(int(row["query"].split()[2] in row["document"]))
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_queries_of_people_pooled_judged_and_read_again(data, capsys):
    code, out, err = run(
        capsys, "pool", "data.jsonl", "--with", "bm25,tfidf", "--queries", "asked.jsonl", "--depth", "6", "--to", "pool.csv", "-q"
    )
    assert code == 0
    assert "pairs of 6 queries to judge" in out
    assert "vicino compare data.jsonl --judgements pool.csv" in err
    text = Path("pool.csv").read_text("utf-8-sig")
    assert "bm25" not in text
    assert "tfidf" not in text
    judge(Path("pool.csv"))
    task = open_pooled(data, "pool.csv")
    assert task.synthetic == ""
    assert [query.id for query in task.queries] != sorted(query.id for query in task.queries)  # in the pool's random order
    assert {query.text for query in task.queries} == {f"what do {name} do" for name in SUBJECTS}
    asked = ["data.jsonl", "--judgements", "pool.csv", "--with", "bm25", "--metrics", "nDCG@4", "--json", "-q"]
    code, out, _ = run(capsys, "compare", *asked)
    told = json.loads(out)
    assert code == 0
    assert told["candidates"][0]["metrics"]["nDCG@4"]["mean"] > 0.9
    assert any("made by hand" in note for note in told["task"]["notes"])
    assert told["task"]["synthetic"] == ""


def test_run_again_it_adds_what_is_new_and_keeps_what_is_judged(data, capsys):
    def options(*names):
        return {"to": "pool.csv", "candidates": names, "queries": "asked.jsonl", "depth": 3}

    first = workbench.pool(data, **options("bm25"))
    assert (first.queries, first.judged, first.added) == (6, 0, first.waiting)
    judge(Path("pool.csv"), first=5)
    same = workbench.pool(data, **options("bm25"))
    assert (same.added, same.judged, same.waiting) == (0, 5, first.waiting - 5)
    code, out, _ = run(
        capsys, "pool", "data.jsonl", "--with", "tfidf", "--queries", "asked.jsonl", "--depth=8", "--to=pool.csv", "--json", "-q"
    )
    more = json.loads(out)
    assert code == 0
    assert more["judged"] == 5
    assert more["added"] > 0
    assert more["waiting"] == first.waiting - 5 + more["added"]


def test_known_items_are_pooled_where_nobody_asked(data):
    made = workbench.pool(data, to="pool.csv", candidates=["bm25"], depth=2, queries=3)
    assert made.queries == 3
    text = Path("pool.csv").read_text("utf-8-sig").replace("On wings number 0,", "")
    assert "made" in text
    with Path("pool.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert all("On " not in row["document"] for row in rows)  # what is asked is withheld
    rows[0]["grade"] = "1"
    with Path("pool.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert "made by hand" in open_pooled(data, "pool.csv").synthetic


def test_what_a_judged_collection_knows_is_not_asked_again(data, tmp_path):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(data.read_text().replace('"id"', '"_id"'))
    (folder / "queries.jsonl").write_text(Path("asked.jsonl").read_text().replace('"id"', '"_id"'))
    (folder / "qrels" / "test.tsv").write_text("q\td\tscore\n000\twings0\t1\n000\twings1\t0\n")
    made = workbench.pool(folder, to="pool.csv", candidates=["bm25"], depth=24)
    assert (made.queries, made.added) == (1, 22)


def test_bad_requests_have_named_errors(data, capsys):
    asked = {"to": "pool.csv", "queries": "asked.jsonl"}
    with pytest.raises(InputError, match="depth 0"):
        workbench.pool(data, candidates=["bm25"], depth=0, **asked)
    with pytest.raises(InputError, match="nothing to pool"):
        workbench.pool(data, candidates=[], **asked)
    with pytest.raises(UnknownName, match="bm26"):
        workbench.pool(data, candidates=["bm26"], **asked)
    with pytest.raises(InputError, match="0 queries"):
        workbench.pool(data, candidates=["bm25"], to="pool.csv", queries=0)
    with pytest.raises(InputError, match="--split says nothing"):
        workbench.pool(data, candidates=["bm25"], split="dev", **asked)
    with pytest.raises(UnreadableSource, match="not a regular file"):
        workbench.pool(data, candidates=["bm25"], to="pool.csv", queries="none.jsonl")
    assert not Path("pool.csv").exists()
    code, _, err = run(capsys, "pool", "data.jsonl", "--to", "pool.xlsx", "--with", "bm25", "--queries", "asked.jsonl", "-q")
    assert code == 2
    assert "write a .csv file" in err


def test_a_pool_of_other_queries_is_refused_and_left_as_it_was(data):
    workbench.pool(data, to="pool.csv", candidates=["bm25"], queries="asked.jsonl")
    before = Path("pool.csv").read_bytes()
    Path("other.jsonl").write_text('{"id": "000", "text": "something else"}')
    with pytest.raises(InputError, match="another query under the id '000'"):
        workbench.pool(data, to="pool.csv", candidates=["bm25"], queries="other.jsonl")
    with pytest.raises(InputError, match="another origin"):
        workbench.pool(data, to="pool.csv", candidates=["bm25"], queries=3)
    assert Path("pool.csv").read_bytes() == before
