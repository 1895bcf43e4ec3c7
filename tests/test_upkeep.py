"""The commands of upkeep as a user meets them: maintain, delete, the tenants of a collection."""

from __future__ import annotations

import io
import json
import sys

import pytest

from vicino import cli, workbench
from vicino.catalog import Entry
from vicino.errors import InputError


@pytest.fixture
def shelf(tmp_path, monkeypatch, need):
    need(Entry("", "", "store"))
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name, text in (("tea", "Black tea steeps."), ("cello", "The cello sings low."), ("wing", "A wing lifts.")):
        (folder / f"{name}.txt").write_text(text)
    for tenant in ("", "guest"):
        cli_run(["ingest", str(folder), "--collection", "c", "--recipe", "bm25", "--tenant", tenant, "-q"])
    return folder


def cli_run(arguments: list[str]) -> int:
    try:
        cli.main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = cli_run(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_documents_are_deleted_and_their_space_is_freed(shelf, capsys):
    code, out, _ = run(capsys, "delete", "c", "--where", "document = 'tea.txt'", "--dry-run", "-q")
    assert (code, out) == (0, "1 documents, 1 passages would go\n")
    assert run(capsys, "search", "c", "tea", "-q")[0] == 0
    code, out, err = run(capsys, "delete", "c", "--ids", "tea.txt", "--ids", "cello.txt", "--yes", "-q")
    assert (code, out) == (0, "2 documents, 2 passages are gone\n")
    assert "vicino maintain c" in err
    assert run(capsys, "search", "c", "tea", "-q")[0] == 1
    assert run(capsys, "search", "c", "tea", "--tenant", "guest", "-q")[0] == 0
    code, out, _ = run(capsys, "maintain", "c", "--keep", "0s", "--json", "-q")
    done = json.loads(out)
    assert (code, done["collection"], done["busy"]) == (0, "c", False)
    assert done["bytes_after"] < done["bytes_before"]
    assert "files became" in run(capsys, "maintain", "c", "-q")[1]


def test_ids_come_from_standard_input(shelf, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("tea.txt\nnobody\n"))
    code, out, err = run(capsys, "delete", "c", "--ids", "-", "--yes", "--json", "-q")
    assert code == 1  # one of them is nobody's
    assert json.loads(out) == {"documents": 1, "passages": 1, "unknown": ["nobody"], "dry_run": False}
    assert "nobody" in err


def test_a_tenant_leaves_and_the_operator_sees_it(shelf, capsys):
    code, out, _ = run(capsys, "collections", "--tenants", "c", "--json")
    assert (code, [one["name"] for one in json.loads(out)]) == (0, ["", "guest"])
    assert "(none named)" in run(capsys, "collections", "--tenants", "c")[1]
    assert run(capsys, "delete", "c", "--tenant", "guest", "--all", "-y", "-q")[0] == 0
    assert [one["name"] for one in workbench.tenants("c")] == [""]
    code, _, err = run(capsys, "search", "c", "tea", "--tenant", "guest", "-q")
    assert code == 2
    assert "'guest' has nothing" in err


def test_it_asks_before_anything_goes(shelf, capsys, monkeypatch):
    terminal = io.StringIO("n\n")
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    code, _, err = run(capsys, "delete", "c", "--all", "-q")
    assert code == 1
    assert "Delete 3 documents (3 passages) of c for good?" in err
    assert "nothing was deleted" in err
    assert len(workbench.search("c", "tea")) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["delete", "c"], 2, "--where"),
        (["delete", "c", "--all", "--ids", "tea.txt"], 2, "--all"),
        (["delete", "c", "--ids", "tea.txt"], 2, "--yes"),
        (["delete", "c", "--ids", "-"], 2, "--yes"),
        (["delete", "c", "--ids", "nobody", "--yes"], 1, "nobody"),
        (["delete", "c", "--where", "document = 'x'", "--yes"], 1, ""),
        (["delete", "c", "--where", "colour = 'x'", "--yes"], 2, "title"),
        (["delete", "cc", "--all", "--yes"], 2, "did you mean c?"),
        (["delete", "c", "--all", "--yes", "--tenant", "gast"], 2, "'gast' has nothing"),
        (["maintain", "cc"], 2, "did you mean c?"),
        (["maintain", "c", "--keep", "soon"], 2, "such as 10m"),
        (["maintain", "c", "--every", "0s"], 2, "at least 1"),
        (["collections", "--tenants", "cc"], 2, "did you mean c?"),
    ],
)
def test_what_cannot_be_asked_is_named(shelf, capsys, arguments, code, said):
    done, _, err = run(capsys, *arguments)
    assert done == code
    assert said in err
    assert len(workbench.search("c", "tea")) == 1


def test_a_schedule_goes_on_until_it_is_stopped(shelf, capsys, monkeypatch):
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("vicino.retrieval.maintenance.time.sleep", sleep)
    code, out, err = run(capsys, "maintain", "c", "--every", "6h")
    assert code == 130
    assert out.count("files became") == 2
    assert 21_000 < slept[0] <= 21_600
    assert "nothing is half done" in err


def test_times_that_cannot_be(shelf):
    for keep in (-1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="keep"):
            workbench.maintain("c", keep_seconds=keep)


def test_a_collection_that_cannot_be_opened_does_not_hide_the_others(shelf, capsys, tmp_path):
    cli_run(["ingest", str(shelf), "--collection", "lost", "--recipe", "bm25", "-q"])
    (tmp_path / "home" / "collections" / "lost" / "rows").rename(tmp_path / "away")
    code, out, err = run(capsys, "collections")
    assert code == 1
    assert "bm25" in out
    assert "error: lost: there is no store" in err
    told = {one["name"]: one for one in json.loads(run(capsys, "collections", "--json")[1])}
    assert told["c"]["documents"] == 6
    assert "error" in told["lost"]
