"""Run files: read as trec_eval reads them, refused over other data; and reports that may not be set side by side."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.data.judged import write_run
from vicino.errors import DuplicateIds, InputError, UnreadableSource
from vicino.evaluation import report
from vicino.evaluation.compare import compare, enter
from vicino.evaluation.runs import comparable, is_run, read

TASK = {"q1": {"a": 1}, "q2": {"b": 2}, "q3": {"c": 1, "a": 0}}


@pytest.fixture
def task(by_hand):
    return by_hand(TASK, ["a", "b", "c", "d"])


def written(folder, text, name="x.run"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_run_is_known_by_its_ending_and_must_be_there(task, tmp_path):
    assert is_run(str(written(tmp_path, "", "x.run")))
    assert is_run(str(written(tmp_path, "", "x.TREC")))
    assert is_run(str(written(tmp_path, "", "x.run.gz")))
    with pytest.raises(UnreadableSource, match="regular file"):
        enter(str(tmp_path / "absent.run"), task)
    assert not is_run("bm25")


def test_answers_stand_in_the_task_s_order(task, tmp_path):
    path = tmp_path / "x.run"
    write_run(path, {"q2": [("b", 2.0), ("a", 1.0)], "q1": [("d", 3.0), ("a", 2.5), ("c", -1.0)], "q3": [("c", 0.5)]})
    run = read(path, task)
    assert [run.hits.top(row) for row in range(3)] == [
        [("d", 3.0), ("a", 2.5), ("c", -1.0)],
        [("b", 2.0), ("a", 1.0)],
        [("c", 0.5)],
    ]
    assert run.notes == ("holds 3 documents a query at most",)
    found = run.measurement(2)
    assert found.hits.ids.shape == (3, 2)
    assert np.isnan(found.build_seconds)
    assert found.recipe != read(written(tmp_path, "q1 Q0 a 1 9 t\n", "y.run"), task).measurement(2).recipe


def test_missing_and_strange_queries_are_counted(task, tmp_path):
    run = read(written(tmp_path, "q1 Q0 a 1 9 t\nelse Q0 zzz 1 9 t\n"), task)
    assert run.notes[:2] == (
        "answers 1 of 3 queries; on the others it found nothing",
        "1 of its queries are not judged here, and left out",
    )
    assert [len(run.hits.top(row)) for row in range(3)] == [1, 0, 0]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("other Q0 a 1 9 t\n", InputError, "not comparable, because .* answers none of the 3 queries"),
        ("q1 Q0 zzz 1 9 t\n", InputError, "not comparable, because .* documents that by hand does not hold, 1 in all"),
        ("q1 Q0 a 1 9 t\nq1 Q0 a 2 8 t\n", DuplicateIds, "line 2: document 'a' stands twice"),
        ("q1 Q0 a 1 nan t\n", UnreadableSource, "line 1"),
        ("q1 Q0 a 1 best t\n", UnreadableSource, "line 1"),
        ("q1 a 1\n", UnreadableSource, "line 1"),
        ("", InputError, "no results"),
    ],
)
def test_what_is_wrong_with_a_run_is_named_before_anything_is_measured(task, tmp_path, text, error, words):
    path = written(tmp_path, text)
    with pytest.raises(error, match=words):
        read(path, task)
    with pytest.raises(error, match=words):
        compare(task, candidates=["bm25", str(path)])


def test_equal_scores_keep_the_file_s_order(task, tmp_path):
    run = read(written(tmp_path, "q1 Q0 d 1 1 t\nq1 Q0 a 2 1 t\nq1 Q0 c 3 1 t\n"), task)
    assert [name for name, _ in run.hits.top(0)] == ["d", "a", "c"]


# Reports --------------------------------------------------------------------------------------------------------------


def test_reports_over_the_same_data_are_comparable_and_others_are_not(by_hand, fixed, climb):
    answers = {query: {"a": 2.0, "b": 1.0} for query in TASK}
    first = report.to_json(climb(by_hand(TASK), {"x": fixed(answers)}))
    assert comparable(first, report.to_json(climb(by_hand(TASK), {"y": fixed(answers)}))) == ""
    more = report.to_json(climb(by_hand(TASK | {"q4": "d"}, name="bigger"), {"x": fixed(answers)}))
    assert comparable(first, more) == (
        "not comparable, because documents: 3 in by hand, 4 in bigger; queries: 3 in by hand, 4 in bigger; "
        "judgements: 4 in by hand, 5 in bigger"
    )
    graded = report.to_json(climb(by_hand(TASK | {"q1": {"a": 2}}), {"x": fixed(answers)}))
    assert "what was judged of them are others" in comparable(first, graded)
    other = report.to_json(climb(by_hand(TASK), {"x": fixed(answers)}, metric_names=["MRR@10"]))
    assert comparable(first, other) == "not comparable, because one was decided by nDCG@10, the other by MRR@10"
