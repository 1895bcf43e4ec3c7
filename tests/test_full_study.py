"""The full study on the command line: what is printed, what is kept, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vicino import cli, workbench
from vicino.errors import InputError, UnknownName
from vicino.evaluation.measure import Bench
from vicino.workbench import comparing

PARTS = {
    "wings": ("Air that flows over a wing is turned downwards.", "The wing is pushed up in return, and the plane flies."),
    "tea": ("Hot water draws colour and taste out of the leaves.", "Three minutes of steeping are enough for most people."),
    "bees": ("A forager tells the hive where the flowers are.", "The angle of her dance is the angle of the sun."),
    "ice": ("Water grows as it freezes into a crystal.", "So the ice is lighter than the lake, and the fish are glad."),
    "yeast": ("Dough rises because tiny cells eat its sugar.", "They breathe out gas, which the gluten keeps inside."),
    "moon": ("The moon pulls the sea towards itself.", "Twice a day the harbour fills with the flood, and empties."),
}


@pytest.fixture(autouse=True)
def notes(tmp_path, monkeypatch):
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, parts in PARTS.items():
        (folder / f"{name}.md").write_text(f"# On {name}\n\n" + "\n\n".join(parts) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Bench, "_time", lambda bench, retriever: np.full(3, 1.0))


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        cli.main(arguments)
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


STUDY = ("compare", "notes", "--study", "full", "--with", "lsa(n_components=2),bm25,tfidf", "-q")


def test_a_full_study_answers_in_text_json_and_html_and_keeps_its_winner(capsys):
    code, out, _ = run(capsys, *STUDY, "--report", "r.html", "--save", "winner", "--margin", "0.05")
    assert code == 0
    for asked in ("Which family", "fusing", "precision", "classifier", "grain", "reading the first again"):
        assert asked in out
    assert "vicino train reranker" in out
    assert "<html" in Path("r.html").read_text()
    assert (Path("winner") / "manifest.json").exists()
    code, out, _ = run(capsys, *STUDY, "--margin", "0.05", "--json", "--budget", "30m")
    plain = json.loads(out)
    assert (code, plain["study"]["budget"]) == (0, 1800.0)
    assert plain["study"]["combination"] in {candidate["name"] for candidate in plain["candidates"]}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare", "notes", "--study", "whole"], "no study named 'whole'"),
        (["compare", "notes", "--budget", "30m"], "--study full"),
        (["compare", "notes", "--rerank", "rr"], "--study full"),
        (["compare", "notes", "--study", "full", "--budget", "soon"], "'soon' is no time"),
        (["compare", "images", "notes", "--study", "full"], "--study says nothing about images"),
        (["compare", "images", "notes", "--margin", "0.1"], "--margin says nothing about images"),
        (["compare", "notes", "--study", "full", "--with", "bm52"], "did you mean bm25"),
    ],
)
def test_what_is_no_study_is_refused_with_what_mends_it(capsys, arguments, says):
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert says in err


def test_options_reach_the_study_and_the_reading(monkeypatch):
    seen = {}

    def climbed(task, **how):
        seen.update(how)
        raise InputError("far enough", mend="stop")

    monkeypatch.setitem(comparing.STUDIES, "full", (climbed, "families", ("lsa", "bm25")))
    with pytest.raises(InputError, match="far enough"):
        workbench.compare("notes", study="full", budget=5.0, seeds=2, by=("format",), queries=3, cache=False)
    assert seen == {
        "families": ("lsa", "bm25"),
        "metric_names": comparing.METRICS,
        "cache": None,
        "seed": 0,
        "budget": 5.0,
        "seeds": 2,
        "by": ("format",),
    }
    with pytest.raises(UnknownName, match="study"):
        workbench.compare("notes", study="")


def test_what_the_queries_can_show_is_said_before_the_work(capsys, monkeypatch):
    for arguments in (["compare", "notes", "--with", "bm25,tfidf", "-q"], list(STUDY)):
        heard = []
        measure = Bench.measure
        monkeypatch.setattr(
            Bench, "measure", lambda *a, heard=heard, run=measure: heard.append(capsys.readouterr().err) or run(*a)
        )
        assert run(capsys, *arguments)[0] == 0
        assert heard[0].startswith("Before the run: these ")
        monkeypatch.setattr(Bench, "measure", measure)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [([], "what was measured is kept, and the same command goes on"), (["--no-cache"], "nothing was kept")],
)
def test_whoever_stops_it_hears_how_to_go_on(capsys, monkeypatch, arguments, says):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Bench, "measure", stopped)
    code, _, err = run(capsys, *STUDY, *arguments)
    assert code == 130
    assert says in err


def test_a_run_file_has_no_times_no_size_and_no_folder(capsys):
    run(capsys, "compare", "notes", "--with", "bm25", "-q", "--report", "r.json")
    plain = json.loads(Path("r.json").read_text())
    titles = {query["id"]: query["text"] for query in plain["queries"]}
    Path("x.run").write_text("".join(f"{name} Q0 wings.md 1 1.0 x\n" for name in titles))
    code, out, err = run(capsys, "compare", "notes", "--with", "x.run", "-q", "--report", "r.md")
    assert code == 0
    assert "nan" not in out
    assert "MB" not in out
    assert "--save" not in err
    assert "0 B" not in Path("r.md").read_text()
