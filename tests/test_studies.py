"""What was compared is kept, listed and found again."""

from __future__ import annotations

import json

import pytest

from vicino import workbench
from vicino.data.records import Query
from vicino.errors import UnknownName, UnreadableSource
from vicino.evaluation import report
from vicino.evaluation.tasks import RetrievalTask
from vicino.workbench.studies import keep_study, studies, study


@pytest.fixture(scope="module")
def compared(tmp_path_factory, documents):
    """A home in which something was compared."""
    home = tmp_path_factory.mktemp("home")
    queries = [Query(f"q{number}", " ".join(one.text.split()[:3])) for number, one in enumerate(documents[:8])]
    data = RetrievalTask("a few texts", documents, queries, {f"q{number}": {f"d{number}": 1} for number in range(8)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VICINO_HOME", str(home))
        comparison = workbench.compare(data, candidates=["bm25", "tfidf"], metrics=["MRR@10"], command="vicino compare")
        workbench.evaluate("bm25", data, metrics=["MRR@10"])  # one alone is no study
        workbench.compare(data, candidates=["bm25", "tfidf"], metrics=["MRR@10"], cache=False)
    return home, comparison


def test_a_comparison_is_kept_and_found(compared):
    home, comparison = compared
    (one,) = studies(folder=home / "studies")
    assert one["pick"] == comparison.verdict.pick
    assert one["sentence"] == comparison.verdict.sentence
    assert (one["metric"], one["candidates"], one["queries"]) == ("MRR@10", 2, len(comparison.task.queries))
    assert one["name"] == comparison.task.name
    whole = study(one["id"], folder=home / "studies")
    assert whole["schema"] == report.SCHEMA
    assert whole["command"] == "vicino compare"


def test_the_latest_comes_first_and_what_is_none_is_passed_over(compared, tmp_path, caplog):
    home, _ = compared
    plain = study(studies(folder=home / "studies")[0]["id"], folder=home / "studies")
    names = [keep_study({**plain, "created": when}, folder=tmp_path) for when in ("2026-01-02T00:00:00", "2026-03-04T00:00:00")]
    (tmp_path / "half.json").write_text('{"schema": "vicino.compa')
    (tmp_path / "other.json").write_text("[]")
    assert [one["id"] for one in studies(folder=tmp_path)] == names[::-1]
    assert "half.json" in caplog.text
    with pytest.raises(UnreadableSource):
        study("half", folder=tmp_path)
    (tmp_path / f"{names[0]}.json").write_text(json.dumps({**plain, "task": {**plain["task"], "name": "renamed"}}))
    assert "renamed" in {one["name"] for one in studies(folder=tmp_path)}


@pytest.mark.parametrize("name", ["../secret", "..", "", "a/b", ".hidden", "nothing", "a\0b"])
def test_no_other_file_can_be_named(tmp_path, name):
    (tmp_path / "studies").mkdir()
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "studies" / ".hidden.json").write_text("{}")
    with pytest.raises(UnknownName):
        study(name, folder=tmp_path / "studies")
    assert studies(folder=tmp_path / "nowhere") == []
