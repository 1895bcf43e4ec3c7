"""The command line as a user meets it: each command for real, on a small folder."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from vicino import cli
from vicino.catalog import Entry

NOTES = {
    "wings.md": "# How wings lift\n\nAir that flows over a wing is turned downwards. The wing is pushed up in return.\n",
    "tea.md": "# How tea steeps\n\nHot water draws colour and taste out of the leaves. Three minutes are enough for most.\n",
    "bees.md": "# How bees dance\n\nA forager tells the hive where flowers are. The angle of her dance is the sun's.\n",
    "ice.md": "# Why ice floats\n\nWater grows as it freezes, so that ice is lighter than the lake below. Fish are glad of it.\n",
}


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, text in NOTES.items():
        (folder / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    try:
        cli.main(arguments)
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_compare_prints_a_table_and_a_verdict_and_says_that_queries_are_synthetic(notes, capsys):
    code, out, err = run(capsys, "compare", "notes", "--with", "bm25,tfidf", "--quiet")
    assert code == 0
    assert "NOT JUDGED BY PEOPLE: synthetic" in out
    assert "bm25" in out
    assert "tfidf" in out
    assert "nDCG@10" in out
    assert "--save winner/" in err
    assert "queries +better =equal -worse" in out
    assert "judged@10: share of the answers" in out
    assert "cut: share of the text beyond what the model reads" in out


def test_compare_as_json_is_one_json_value_on_standard_output(notes, capsys):
    code, out, _ = run(capsys, "compare", "notes", "--with", "bm25", "--with", "tfidf", "--metrics", "MRR@5,P@1", "--json")
    plain = json.loads(out)
    assert code == 0
    assert plain["schema"] == "vicino.comparison/1"
    assert [candidate["name"] for candidate in plain["candidates"]] == ["bm25", "tfidf"]
    assert list(plain["candidates"][0]["metrics"]) == ["MRR@5", "P@1"]


def test_the_saved_winner_is_evaluated_and_searched(notes, capsys):
    import vicino

    code, _, err = run(capsys, "compare", "notes", "--with", "bm25", "--save", "winner", "--report", "report.html", "-q")
    assert code == 0
    assert "winner" in err
    assert "<html" in Path("report.html").read_text()
    assert vicino.load("winner").search("what is lighter than a lake", 1).top()[0][0] == "ice.md"
    code, out, _ = run(capsys, "evaluate", "winner", "notes", "--json", "-q")
    assert code == 0
    assert json.loads(out)["verdict"]["pick"] == "winner"


def test_embed_writes_parquet_with_the_space(notes, capsys):
    code, out, _ = run(capsys, "embed", "notes", "--encoder", "lsa(n_components=2)", "--out", "v.parquet", "-q")
    assert code == 0, out
    table = pq.read_table("v.parquet")
    assert table.column("id").to_pylist() == sorted(NOTES)
    assert len(table.column("vector")[0].as_py()) == 2
    space = json.loads(table.schema.metadata[b"vicino"])["space"]
    assert space["dim"] == 2
    assert space["id"] in out


def test_embed_reads_standard_input_and_writes_npy(notes, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"wings lift\n\ntea steeps\n\xff\xfe\nbees dance\n")))
    code, _, err = run(capsys, "embed", "-", "--encoder", "lsa", "--out", "v.npy", "--dim", "1", "-q")
    assert code == 0
    assert np.load("v.npy").shape == (3, 1)
    assert json.loads(Path("v.npy.json").read_text())["ids"] == ["1", "3", "5"]
    assert "not UTF-8 (1, first standard input line 4)" in err


def test_embed_chunks_keep_their_offsets(notes, capsys):
    run(capsys, "embed", "notes/wings.md", "--encoder", "tfidf", "--chunk", "sentence", "--out", "v.parquet", "-q")
    table = pq.read_table("v.parquet").to_pylist()
    assert len(table) >= 2
    assert all(row["end"] > row["start"] and row["columns"] for row in table)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare", "nowhere"], "nowhere"),
        (["compare", "notes", "--with", "bm52"], "did you mean bm25"),
        (["compare", "notes", "--metrics", "nDGC@10"], "did you mean"),
        (["compare", "notes", "--split", "test"], "no splits"),
        (["embed", "notes", "--out", "v.txt"], ".parquet or a .npy"),
        (["embed", "notes", "--encoder", "tfidf", "--out", "v.npy"], "dense"),
        (["embed", "notes", "--encoder", "lsa", "--chunk", "parragraph", "--out", "v.npy"], "did you mean paragraph"),
        (["evaluate", "nowhere", "notes"], "no candidate named"),
        (["tokens", "wings", "--encoder", "wrod2vec"], "no encoder named"),
    ],
)
def test_usage_errors_exit_with_2_and_say_what_to_do(notes, capsys, arguments, says):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert "→" in err
    assert says in err


def test_tokens_shows_pieces_ids_and_shape(notes, capsys):
    code, out, _ = run(capsys, "tokens", "wings lift", "--encoder", "tfidf", "--json")
    plain = json.loads(out)
    assert code == 0
    assert [token["piece"] for token in plain["tokens"]] == ["wings", "lift"]
    assert plain["one_hot_shape"] == [2, 2]


def test_encoders_lists_all(capsys):
    from vicino.encoders import ENCODERS

    code, out, _ = run(capsys, "encoders", "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(out)] == list(ENCODERS)


def test_doctor_names_what_it_looked_at(notes, capsys):
    code, out, _ = run(capsys, "doctor", "--json")
    findings = json.loads(out)
    assert {"Python", "core", "extra [torch]", "processor", "VICINO_HOME"} <= {finding["about"] for finding in findings}
    assert code == int(any(finding["state"] == "problem" for finding in findings))


def test_settings_come_from_flag_then_environment_then_file(notes, capsys, monkeypatch):
    Path("vicino.toml").write_text("[compare]\nseed = 3\nmetrics = 'P@1'\n")

    def ran(*more: str) -> tuple[int, list[str]]:
        plain = json.loads(run(capsys, "compare", "notes", "--with", "bm25", "--json", "-q", *more)[1])
        return plain["seed"], [metric["name"] for metric in plain["metrics"]]

    assert ran() == (3, ["P@1"])
    monkeypatch.setenv("VICINO_COMPARE_SEED", "4")
    assert ran() == (4, ["P@1"])
    assert ran("--seed", "5") == (5, ["P@1"])


def test_a_broken_settings_file_is_a_named_error(notes, capsys):
    Path("vicino.toml").write_text("[compare\n")
    code, _, err = run(capsys, "encoders")
    assert code == 2
    assert "vicino.toml" in err


def test_help_of_every_command_loads_nothing_heavy():
    banned = ["torch", "transformers", "sklearn", "scipy", "numba", "lance", "faiss", "pyarrow"]
    script = (
        "import sys, vicino.cli\n"
        "try: vicino.cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"print([m for m in {banned} if m in sys.modules], file=sys.stderr)"
    )
    for arguments in (["--help"], ["compare", "--help"], ["--version"]):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        assert done.stderr.strip().splitlines()[-1] == "[]", done.stderr


# Collections ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path, monkeypatch, need) -> Path:
    """A folder of three texts, and a home of its own."""
    need(Entry("", "", "store"))
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, text in {"tea": "Black tea steeps.", "cello": "A cello sings low.", "wing": "Wings lift."}.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_a_collection_is_made_asked_changed_and_listed(capsys, shelf):
    code, out, err = run(capsys, "ingest", str(shelf), "--collection", "my-docs", "--recipe", "bm25+lsa(n_components=2)", "-q")
    assert code == 0
    assert "3 documents read: 3 new, 0 changed, 0 unchanged" in out
    assert "3 passages: 3 embedded, 0 kept" in out
    assert "vicino search my-docs" in err
    code, out, err = run(capsys, "search", "my-docs", "who sings low", "-k", "1", "--explain", "-q")
    assert "searched: exact over 3" in err
    assert "missing" not in err
    assert code == 0
    assert "cello.txt:0-18" in out
    assert "rank 1 by bm25" in out
    (shelf / "tea.txt").write_text("Green tea steeps.")
    code, out, _ = run(capsys, "ingest", str(shelf), "--collection", "my-docs", "--json", "-q")
    summary = json.loads(out)
    assert (summary["changed"], summary["unchanged"], summary["embedded"]) == (1, 2, 1)
    code, out, _ = run(capsys, "search", "my-docs", "tea", "--where", "document = 'tea.txt'", "--json", "-q")
    assert [(one["document"], one["text"]) for one in json.loads(out)] == [("tea.txt", "Green tea steeps.")]
    code, out, err = run(capsys, "search", "my-docs", "tea", "--context", "100", "-q")
    assert out.startswith("[1] tea.txt:0-17\nGreen tea steeps.\n")
    assert "of 100 tokens" in err
    code, out, _ = run(capsys, "collections", "--json")
    assert [(one["name"], one["documents"]) for one in json.loads(out)] == [("my-docs", 3)]
    assert "bm25+lsa" in run(capsys, "collections")[1]


def test_doctor_looks_at_an_encoder_on_data(capsys, shelf):
    for n in range(60):
        about = "tea" if n % 3 else "a cello"
        lead = f"Note number {n} tells at length of {about} and of the house {n * n} in the old town."
        (shelf / f"{n}.txt").write_text(f"{lead}\n\nWhoever reads page {n + 7} of it learns what {about} was like in year {n}.")
    code, out, err = run(capsys, "doctor", "model", str(shelf), "--encoder", "lsa(n_components=8)", "--fix", "--json", "-q")
    assert not err
    told = json.loads(out)
    assert code == int(any(one["state"] == "problem" for one in told["findings"]))
    assert {one["about"] for one in told["findings"]} >= {"lengths", "direction", "rank", "hubs"}
    assert len(told["cures"]) == 3
    assert "tried on a copy" in run(capsys, "doctor", "model", str(shelf), "--encoder", "lsa(n_components=8)", "--fix", "-q")[1]
    assert "isotropic" in told["cures"][0]["apply"]
    asked = ["doctor", "model", str(shelf), "--encoder", "lsa(n_components=8)", "--report", str(shelf.parent / "x.json"), "-q"]
    assert "x.json" in run(capsys, *asked)[2]
    record = json.loads((shelf.parent / "x.json").read_text("utf-8"))
    assert record["schema"] == "vicino.diagnosis/1"
    assert record["about"].startswith("lsa(n_components=8) on ")
    for wrong in (["doctor", "--fix"], ["doctor", "notes", str(shelf)], ["doctor", "model", str(shelf), "--encoder", "tfidf"]):
        assert run(capsys, *wrong)[0] == 2


def test_a_collection_is_measured_on_judged_queries(capsys, shelf, tmp_path):
    run(capsys, "ingest", str(shelf), "--collection", "c", "--encoder", "lsa(n_components=2)", "-q")
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "black tea"}\n{"_id": "q2", "text": "nobody judged this"}\n')
    (tmp_path / "qrels.tsv").write_text("q1\ttea.txt\t1\nq1\tlost.txt\t1\n")
    files = ["--queries", str(tmp_path / "queries.jsonl"), "--qrels", str(tmp_path / "qrels.tsv")]
    code, out, _ = run(capsys, "evaluate", "c", *files, "--metrics", "Recall@10,MRR@10", "--json", "-q")
    assert code == 0
    measured = json.loads(out)
    assert measured["metrics"]["Recall@10"]["mean"] == 0.5
    assert measured["metrics"]["MRR@10"]["mean"] == 1.0
    assert any("not in the collection" in note for note in measured["notes"])
    assert "MRR@10" in run(capsys, "evaluate", "c", *files, "-q")[1]
    assert run(capsys, "evaluate", "c")[0] == 2


def test_what_vanished_waits_to_be_told(capsys, shelf):
    run(capsys, "ingest", str(shelf), "--collection", "c", "--recipe", "bm25", "-q")
    for name in ("tea", "wing"):
        (shelf / f"{name}.txt").unlink()
    code, _, err = run(capsys, "ingest", str(shelf), "--collection", "c", "-q")
    assert code == 1
    assert "--prune" in err
    assert (
        "2 documents vanished from the source and were removed"
        in run(capsys, "ingest", str(shelf), "--collection", "c", "--prune", "-q")[1]
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["search", "cc", "x"], 2, "did you mean c?"),
        (["search", "c", "tea", "--where", "colour = 'red'"], 2, "text, title"),
        (["search", "c", "tea", "--where", "document ="], 2, "^"),
        (["search", "c", "tea", "--where", "document = 'nobody'"], 1, "matches the filter"),
        (["search", "c", "tea", "--context", "3"], 2, "2000 is usual"),
        (["ingest", "nowhere", "--collection", "c"], 2, "there is no nowhere"),
        (["ingest", ".", "--collection", "c", "--recipe", "bm25", "--encoder", "lsa"], 2, "exclude each other"),
        (["ingest", ".", "--collection", "c", "--chunk", "sentence"], 2, "--collection c-2"),
        (["ingest", ".", "--collection", "c", "--encoder", "tfidf"], 1, "--collection c-2"),
        (["ingest", ".", "--collection", "a b", "--recipe", "bm25"], 2, "no name for a collection"),
    ],
)
def test_what_cannot_be_asked_of_a_collection_is_named(capsys, shelf, monkeypatch, arguments, code, said):
    monkeypatch.chdir(shelf)
    run(capsys, "ingest", str(shelf), "--collection", "c", "--recipe", "bm25", "-q")
    done, _, err = run(capsys, *arguments, "-q")
    assert done == code
    assert said in err


# Teaching ---------------------------------------------------------------------------------------------------------------


def test_words_are_taught_and_asked(notes, capsys):
    family = "word2vec(vector_size=8,min_count=1)"
    code, out, err = run(capsys, "train", "words", "notes", "--out", "words", "--family", family, "--epochs", "2", "-q")
    assert code == 0
    assert "vectors of 8 dimensions in words" in out
    assert "vicino neighbours words" in err
    code, out, _ = run(capsys, "neighbours", "words", "tea - wing + 2*bees", "-k", "3", "--json")
    found = json.loads(out)
    assert len(found) == 3
    assert not {one["name"] for one in found} & {"tea", "wing", "bees"}
    assert "cosine" in run(capsys, "neighbours", "words", "tea")[1]
    assert (
        json.loads(run(capsys, "train", "words", "notes", "--out", "words", "--family", family, "--json", "-q")[1])["vectors"]
        > 20
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "words", "notes", "--out", "notes", "-q"], "is not something this vicino saved"),
        (["train", "words", "nowhere", "--out", "w", "-q"], "nowhere"),
        (["train", "words", "notes", "--out", "w", "--family", "word3vec", "-q"], "did you mean word2vec"),
        (["train", "words", "notes", "--out", "w", "--family", "minilm", "-q"], "has learnt already"),
        (["neighbours", "words", "queen king"], "put + or - between words"),
        (["neighbours", "words", "teaa"], "did you mean tea"),
        (["neighbours", "nowhere", "tea"], "nowhere"),
    ],
)
def test_what_cannot_be_taught_or_asked_is_named(notes, capsys, arguments, said):
    if arguments[0] == "neighbours":
        run(capsys, "train", "words", "notes", "--out", "words", "--family", "word2vec(vector_size=4,epochs=1)", "-q")
    code, _, err = run(capsys, *arguments)
    assert code in (1, 2)
    assert said in err


def test_a_graph_is_taught_and_its_nodes_are_asked(notes, capsys):
    Path("edges.tsv").write_text("source\ttarget\tweight\nann\tbob\t2\nbob\teva\t1\nann\teva\t1\neva\tgil\t1\n")
    family = "node2vec(p=0.5,num_walks=5,vector_size=8)"
    code, out, err = run(capsys, "train", "graph", "edges.tsv", "--out", "nodes", "--family", family, "--epochs", "2", "-q")
    assert code == 0
    assert "4 vectors of 8 dimensions in nodes" in out
    assert 'vicino neighbours nodes "NODE - OTHER + THIRD"' in err
    code, out, _ = run(capsys, "neighbours", "nodes", "ann - gil", "--json")
    assert {one["name"] for one in json.loads(out)} == {"bob", "eva"}
    more = ["--directed", "--family", "line(order=2)", "--epochs", "3", "--seed", "1", "--json", "-q"]
    code, out, _ = run(capsys, "train", "graph", "edges.tsv", "--out", "directed", *more)
    params = json.loads(out)["params"]
    assert (params["directed"], params["order"], params["epochs"], params["seed"]) == (True, "2", 3, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "graph", "nowhere.tsv", "--out", "n"], "nowhere.tsv"),
        (["train", "graph", "broken.csv", "--out", "n"], "line 2: the weight -1"),
        (["train", "graph", "edges.tsv", "--out", "n", "--family", "node3vec"], "did you mean node2vec"),
        (["train", "graph", "edges.tsv", "--out", "n", "--family", "word2vec"], "word2vec makes no vectors of nodes"),
        (["train", "words", "notes", "--out", "n", "--family", "deepwalk"], "deepwalk makes no vectors of words"),
        (["train", "graph", "edges.tsv", "--out", "n", "--family", "line(order=3)"], "order='3'"),
        (["neighbours", "nodes", "bop"], "did you mean bob"),
        (["compare", "notes", "--with", "deepwalk"], "these are texts"),
        (["compare", "notes", "--with", "./nodes"], "encodes nodes of its graph"),
    ],
)
def test_what_a_graph_cannot_be_taught_or_asked_is_named(notes, capsys, arguments, said):
    Path("edges.tsv").write_text("ann\tbob\nbob\teva\n")
    Path("broken.csv").write_text("a,b,1\nb,c,-1\n")
    run(capsys, "train", "graph", "edges.tsv", "--out", "nodes", "--family", "deepwalk(num_walks=2)", "--epochs", "1", "-q")
    code, _, err = run(capsys, *arguments, *([] if arguments[0] == "neighbours" else ["-q"]))
    assert code in (1, 2)
    assert said in err


@pytest.mark.parametrize(
    ("command", "says"),
    [(["compare"], "(default: test)"), (["ingest"], "(default: bm25+minilm)"), (["train", "words"], "(default: 1)")],
    ids=str,
)
def test_a_default_that_the_help_tells_is_seen(capsys, command, says, monkeypatch):
    """Square brackets would be taken for markup, and vanish."""
    monkeypatch.setenv("COLUMNS", "300")
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0
    assert says in out
