"""`vicino index` as a user meets it, and what a listing says of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vicino import cli, workbench
from vicino.catalog import Entry
from vicino.data.records import Document


@pytest.fixture(scope="module")
def _home(tmp_path_factory, need):
    need(Entry("", "", "store"))
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VICINO_HOME", str(home))
        rng = np.random.default_rng(0)
        texts = [" ".join(f"w{number}" for number in rng.integers(60, size=12)) for _ in range(400)]
        documents = [Document(f"d{number}", text) for number, text in enumerate(texts)]
        workbench.ingest(documents, "c", recipe="lsa(n_components=6)", chunk="whole")
        workbench.ingest(documents[:5], "words", recipe="bm25", chunk="whole")
        yield


@pytest.fixture
def run(_home, capsys):
    def go(*arguments: str) -> tuple[int, str, str]:
        try:
            cli.main(arguments)
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return (code, *capsys.readouterr())

    return go


def test_what_nobody_chose_is_said_with_what_is_known_of_it(run):
    documents = [Document(f"d{number}", f"w{number % 97} is near w{number + 1}") for number in range(2100)]
    for name, index, count in (("few", "hnsw", 20), ("graph", "hnsw", 2100), ("there", "store", 20)):
        workbench.ingest(documents[:count], name, recipe=f"lsa(n_components=2,index={index})", chunk="whole")
        workbench.search(name, "w7")
    code, out, _ = run("index", "few")
    assert "the recipe's own is used: hnsw, built with the first search where passages are many\n" in out
    code, out, err = run("index", "graph")
    assert code == 0
    assert "the recipe's own is used: hnsw\n  2,100 passages, 0 of them compared exactly; recall@10 " in out
    assert "--recall 0.97" in err
    code, out, err = run("index", "there")
    assert "the recipe's own is used: store\n" in out
    assert "--recall" not in err
    code, out, _ = run("index", "there", "--json")
    assert [one["own"] for one in json.loads(out)] == ["store"]


def test_a_choice_is_made_shown_and_listed(run):
    code, out, err = run("index", "c")
    assert code == 0
    assert "no index was chosen" in out
    assert "--recall 0.97" in err
    code, out, _ = run("index", "c", "--recall", "0.9", "--with", "exact,hnsw(m=8)", "-q")
    assert code == 0
    assert "400 passages, recall@10 of 0.9, asked 20 vectors that were left out" in out
    assert "chosen" in out
    assert "hnsw(m=8)" in out
    code, out, _ = run("index", "c")
    assert code == 0
    assert "chosen for a recall@10 of 0.9" in out
    (shown,) = json.loads(run("index", "c", "--json")[1])
    assert shown["plan"]["recall"] == 0.9
    rows = {row["name"]: row for row in json.loads(run("collections", "--json")[1])}
    assert rows["c"]["indexes"] == [{"encoder": "lsa", "index": shown["plan"]["index"], "recall": 0.9, "under": False}]
    assert rows["words"]["indexes"] == []
    assert f"{shown['plan']['index']} ≥0.9" in run("collections")[1]


def test_what_was_tried_is_data_too(run, tmp_path):
    queries = tmp_path / "queries.jsonl"
    queries.write_text("".join(json.dumps({"_id": str(n), "text": f"w{n} w{n + 1}"}) + "\n" for n in range(30)))
    code, out, _ = run("index", "c", "--recall", "0.8", "--with", "exact", "--queries", str(queries), "--json", "-q")
    (decision,) = json.loads(out)
    assert code == 0
    assert decision["asked"] == "30 given questions"
    assert decision["plan"]["index"] == "exact"


def test_nothing_that_fits_is_a_finding(run):
    code, out, err = run("index", "c", "--recall", "0.9", "--memory", "1KB", "--with", "exact", "-q")
    assert code == 1
    assert "exact" in out
    assert "nothing has a recall of 0.9 in 1KB; nothing changed" in err
    assert "--memory" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["c", "--recall", "97"], "recall of 97"),
        (["c", "--recall", "0.9", "--memory", "much"], "'much' is no size"),
        (["c", "--memory", "1GB"], "--recall SHARE"),
        (["c", "--recall", "0.9", "--with", "hnws"], "did you mean hnsw"),
        (["d", "--recall", "0.9"], "no collection named 'd'"),
        (["words", "--recall", "0.9"], "not searched by dense vectors"),
        (["c", "--recall", "0.9", "--tenant", "nobody"], "nobody"),
        (["c", "--tenant", "nobody"], "nobody"),
        (["c", "--recall", "0.9", "-k", "0"], "k is 0"),
        (["c", "--recall", "0.9", "--queries", "nowhere.txt"], "nowhere.txt is not a table"),
    ],
)
def test_bad_input_is_named(run, arguments, said):
    code, _, err = run("index", *arguments, "-q")
    assert code == 2
    assert said in err
