"""Two reports side by side: the same data or a refusal, changes query by query, and what became of the choice."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vicino import cli, workbench
from vicino.errors import InputError, UnreadableSource
from vicino.evaluation import report
from vicino.evaluation.beside import beside, beside_text
from vicino.metrics.significance import bootstrap_difference, holm, randomisation_test

QUERIES = [f"question {number}" for number in range(40)]
TASK = {query: f"right{row}" for row, query in enumerate(QUERIES)}


def answers(wrong):
    """The right document first, but second for the first `wrong` queries."""
    return {
        query: {f"right{row}": 1.0, "wrong": 2.0} if row < wrong else {f"right{row}": 2.0, "wrong": 1.0}
        for row, query in enumerate(QUERIES)
    }


@pytest.fixture
def task(by_hand):
    return by_hand(TASK, ["wrong"])


@pytest.fixture
def reports(task, climb, fixed):
    def dear(wrong, milliseconds=900.0):
        return fixed(answers(wrong), milliseconds=milliseconds)

    before = climb(task, {"words": fixed(answers(30), plain=True), "vectors": dear(25), "old": dear(40)})
    after = climb(task, {"words": fixed(answers(30), plain=True), "vectors": dear(5), "new": dear(8, 9000.0)})
    return report.to_json(before), report.to_json(after)


def test_changes_are_those_of_the_tests(reports):
    found = beside(*reports)
    assert [change.name for change in found.changes] == ["words", "vectors"]
    words, vectors = found.changes
    assert (words.contest.p, words.contest.difference.mean) == (1.0, 0.0)
    ours, theirs = (np.array(plain["candidates"][1]["values"]) for plain in (reports[1], reports[0]))
    assert vectors.contest.difference == bootstrap_difference(ours, theirs)
    assert vectors.contest.decision == "better"
    assert vectors.contest.tally == (20, 20, 0)
    picks = [next(one for one in plain["candidates"] if one["name"] == plain["verdict"]["pick"])["values"] for plain in reports]
    p = holm([randomisation_test(picks[1], picks[0]), 1.0, randomisation_test(ours, theirs)])
    assert (found.choice.contest.p, vectors.contest.p) == (p[0], p[2])
    assert found.only == (("old",), ("new",))


def test_the_sentence_says_what_became_of_the_choice(reports):
    found = beside(*reports)
    assert found.picks == ("words", "vectors")  # the cheap one, until the other is better
    assert found.sentence.startswith("words was chosen, vectors is: nDCG@10 0.")
    assert found.sentence.endswith("better.")
    assert beside(reports[0], reports[0]).sentence.endswith(": not told apart.")
    assert "words is chosen still" in beside(reports[0], reports[0]).sentence
    text = beside_text(found, ("a.json", "b.json"))
    assert found.sentence in text
    assert "only in a.json: old" in text
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["changes"][1]["contest"]["decision"] == "better"


def test_queries_that_hang_together_are_drawn_together(reports):
    first, second = reports
    assert [query["unit"] for query in first["queries"]] == list(range(40))
    for plain in (first, second):
        for query in plain["queries"]:
            query["unit"] = 0
    together = beside(first, second)
    assert together.changes[1].contest.decision == "not told apart"  # one unit tells nothing
    for plain in (first, second):
        for query in plain["queries"]:
            del query["unit"]  # as in records from before these were kept
    assert beside(first, second).changes[1].contest.decision == "better"


def test_other_data_are_refused_where_a_person_meets_them(reports, climb, fixed, by_hand, tmp_path, capsys):
    report.write(tmp_path / "a.json", reports[0])
    report.write(tmp_path / "b.json", reports[1])
    other = climb(by_hand({"q": "a"}, ["b"]), {"y": fixed({"q": {"a": 1.0}})})
    report.write(tmp_path / "c.json", report.to_json(other))
    a, b, c = (str(tmp_path / f"{name}.json") for name in "abc")
    with pytest.raises(InputError, match=r"not comparable, because documents: 41 in .*, 2 in "):
        workbench.compare_reports(a, c)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["compare", a, b])
    assert "words was chosen, vectors is" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        cli.main(["compare", a, c])
    assert "error: not comparable, because documents: 41 in" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        cli.main(["compare", a, b, "--json", "--margin", "0.5"])
    assert json.loads(capsys.readouterr().out)["changes"][0]["contest"]["decision"] == "the same"


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [(["--with", "bm25"], InputError, "--with says nothing"), (["--margin", "2"], InputError, "margin of 2.0"), ([], None, "")],
)
def test_what_two_reports_do_not_take_is_refused(reports, tmp_path, capsys, arguments, error, says):
    a = report.write(tmp_path / "a.json", reports[0])
    if error is None:
        with pytest.raises(UnreadableSource):
            workbench.compare_reports(a, tmp_path / "absent.json")
        return
    with pytest.raises(SystemExit):
        cli.main(["compare", str(a), str(a), *arguments])
    assert says in capsys.readouterr().err
