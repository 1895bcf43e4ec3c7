"""What a record says in words: the decision, duels, seeds, bounds; and the whole as Markdown, in which no text is markup."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest

from vicino.catalog import Entry
from vicino.errors import UnreadableSource
from vicino.evaluation import findings, report
from vicino.evaluation.markdown import escaped

NASTY = "<b>|*x*_y_`z`[a](b)#~&$\n- end"
OLD = Path(__file__).parents[1] / "fixtures" / "reports" / "comparison-1.json"


def contest(mean, decision, **more):
    told = {
        "against": "bm25",
        "p": 0.01 if decision in ("better", "worse") else 0.4,
        "detectable": 0.05,
        "same": 1.0,
        "margin": 0.01,
    }
    told |= {"difference": {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}, "decision": decision}
    return told | {"clear": told["p"] < 0.05, "wins": 2, "ties": 1, "losses": 1} | more


def candidate(name, values, **more):
    mean = sum(values) / len(values)
    return {
        "name": name,
        "error": "",
        "simple": False,
        "recipe": {"retriever": "dense", "params": {"encoder": name}},
        "recipe_fingerprint": "0" * 16,
        "metrics": {"nDCG@10": {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}},
        "bounds": [mean, mean],
        "seeds": [],
        "values": values,
        "against_baseline": contest(0.1, "better"),
        "against_best": None,
        "build_seconds": 1.0,
        "documents_per_second": 100.0,
        "query_ms": {"p50": 1.0, "p95": 2.0},
        "cost_seconds": 2.0,
        "index_bytes": 1000,
        "truncation": None,
        "tuning": None,
        "cached": False,
    } | more


@pytest.fixture
def plain():
    """Four queries, a pick that beats the baseline, and one that nobody can tell from the pick."""
    bm25 = candidate("bm25", [0.5, 0.5, 0.5, 0.5], simple=True, against_baseline=None, against_best=contest(-0.1, "worse"))
    minilm = candidate("minilm", [0.9, 0.7, 0.5, 0.3], cost_seconds=20.0)
    fused = candidate("bm25+minilm", [0.9, 0.7, 0.5, 0.2], against_best=contest(-0.02, "not told apart"), cost_seconds=30.0)
    return {
        "schema": report.SCHEMA,
        "created": "2026-01-01T00:00:00+00:00",
        "command": "vicino compare notes",
        "seconds": 3.0,
        "task": {
            "name": "notes",
            "documents": 1400,
            "queries": 4,
            "judgements": 9,
            "synthetic": "",
            "notes": ["2 queries were left out"],
            "fingerprint": "f" * 16,
            "documents_fingerprint": "d" * 16,
        },
        "metrics": [{"name": "nDCG@10", "meaning": "graded gain"}],
        "seed": 0,
        "folds": 5,
        "statistics": {
            "interval": "percentile bootstrap",
            "resamples": 10000,
            "level": 0.95,
            "test": "paired randomisation",
            "rounds": 10000,
            "correction": "Holm",
            "alpha": 0.05,
        },
        "verdict": {"pick": "minilm", "best": "minilm", "tied": ["bm25+minilm"], "sentence": "minilm scores highest."},
        "baseline": "bm25",
        "candidates": [bm25, minilm, fused],
        "queries": [{"id": str(n), "text": f"question {n}"} for n in range(4)],
        "machine": {"processor": "a processor", "cores": 2, "memory_bytes": None, "system": "Linux", "python": "3.11"},
        "versions": {"vicino": "0.1.0"},
    }


def changed(plain, name, **more):
    made = copy.deepcopy(plain)
    next(one for one in made["candidates"] if one["name"] == name).update(more)
    return made


def study(**more):
    answer = {
        "factor": "family",
        "question": "Which family?",
        "default": "bm25",
        "levels": ["bm25", "minilm"],
        "pick": "minilm",
        "decision": "better",
        "sentence": "minilm is better.",
        "skipped": {"doc2vec": "it would take 5 min"},
    }
    told = {"answers": [answer], "combination": "minilm", "sentence": "Use minilm.", "budget": 60.0, "spent": 20.0}
    return told | {"skipped": {"doc2vec": "it would take 5 min", "glove": "no time was left"}} | more


def part(name, mean, p, **more):
    told = {"by": "query length", "name": name, "queries": 2, "pick": {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}}
    return told | {"rest": 0.6, "p": p, "against_baseline": {"mean": 0.0, "low": -0.1, "high": 0.1}, "baseline_p": 1.0} | more


# The decision ---------------------------------------------------------------------------------------------------------


def test_the_decision_of_a_clear_winner(plain):
    told = findings.decision(plain)
    assert told.startswith("Use minilm. It is clearly better than bm25, the best simple baseline: nDCG@10 0.600 against 0.500")
    assert "better on 2 of 4 queries and worse on 1" in told
    assert "It is the cheapest of 2 that these queries cannot rank." in told
    assert told.endswith("To take in 1,400 documents and answer 1,000 queries it needs 20 s on this machine, bm25 2.0 s.")


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ("the same", "It is as good as bm25, the best simple baseline, within ±0.01"),
        ("not told apart", "These queries cannot tell it from bm25"),
        ("worse", "It is clearly worse than bm25"),
    ],
)
def test_the_decision_says_what_the_test_found(plain, decision, said):
    assert said in findings.decision(changed(plain, "minilm", against_baseline=contest(0.001, decision)))


def test_the_simple_baseline_may_win(plain):
    plain["verdict"] |= {"pick": "bm25"}
    told = findings.decision(plain)
    assert told.startswith(
        "Use bm25. It is a simple baseline, and will do: over 4 queries (its nDCG@10 is 0.500), none of the 3 "
    )
    assert "minilm scored highest (0.600)" in told


def test_those_that_are_the_same_are_named(plain):
    shown = changed(plain, "bm25+minilm", against_best=contest(-0.001, "the same"))
    assert "bm25+minilm is the same as it within ±0.01" in findings.decision(shown)


def test_where_nothing_simple_was_measured_that_is_open(plain):
    assert "whether that would do is open" in findings.decision(changed(plain, "bm25", simple=False))


def test_only_one_candidate(plain):
    plain["candidates"] = plain["candidates"][:1]
    plain["verdict"] |= {"pick": "bm25", "best": "bm25", "tied": []}
    assert "Nothing else was measured: its nDCG@10 over 4 queries is 0.500." in findings.decision(plain)
    assert findings.duel(plain) is None
    report.to_markdown(plain)


def test_what_nobody_asked_and_what_failed_is_said(plain):
    plain["task"]["synthetic"] = "made from titles"
    plain["candidates"].append({"name": "broken", "error": "told to fail", "simple": False})
    told = findings.decision(plain)
    assert "No person asked these queries" in told
    assert "broken could not be measured." in told


def test_a_cost_that_nobody_knows_is_not_said(plain):
    assert "it needs" not in findings.decision(changed(plain, "minilm", cost_seconds=None))
    assert findings.decision(changed(plain, "bm25", cost_seconds=None)).endswith("it needs 20 s on this machine.")


def test_records_from_before_equivalence_are_read_by_their_p():
    assert findings.relation(None) == ""
    assert findings.relation({"clear": True, "difference": {"mean": 0.1}}) == "better"
    assert findings.relation({"clear": False, "difference": {"mean": 0.1}}) == "not told apart"
    assert findings.relation(contest(0.0, "the same")) == "the same"


# Queries, seeds, bounds, slices -----------------------------------------------------------------------------------------


def test_queries_are_sorted_by_their_change(plain):
    found = findings.duel(plain)
    assert [row["difference"] for row in found["rows"]] == pytest.approx([0.4, 0.2, 0.0, -0.2])
    assert [row["text"] for row in found["won"]] == ["question 0", "question 1"]
    assert [row["text"] for row in found["lost"]] == ["question 3"]


def test_seeds_are_told_apart_from_queries(plain):
    (row,) = findings.seeds(changed(plain, "minilm", seeds=[0.5, 0.6, 0.7]))
    assert (row["name"], row["low"], row["mean"], row["high"]) == ("minilm", 0.5, pytest.approx(0.6), 0.7)
    assert row["deviation"] == pytest.approx(0.1)
    assert row["queries"] == pytest.approx(0.1)
    assert findings.seeds(changed(plain, "minilm", seeds=[0.5])) == []


def test_bounds_say_whether_the_unjudged_could_change_the_order(plain):
    assert findings.bounds(plain) is None  # all were judged
    assert findings.bounds(changed(plain, "minilm", bounds=None)) is None
    wide = changed(plain, "bm25", bounds=[0.5, 0.7])
    assert findings.bounds(wide)["rows"] == [{"name": "bm25", "low": 0.5, "high": 0.7, "mean": 0.5}]
    assert not findings.bounds(wide)["safe"]
    near = changed(changed(plain, "bm25", bounds=[0.5, 0.55]), "bm25+minilm", bounds=[0.5, 0.58])
    assert findings.bounds(changed(near, "minilm", bounds=[0.6, 0.9]))["safe"]


def test_a_weak_slice_is_worse_beyond_chance(plain):
    assert findings.is_weak(plain, part("short", 0.3, 0.01))
    assert not findings.is_weak(plain, part("short", 0.3, 0.2))
    assert not findings.is_weak(plain, part("long", 0.9, 0.01))  # better than the rest


# Markdown -------------------------------------------------------------------------------------------------------------


def test_markdown_says_all(plain):
    plain |= {"study": study(), "slices": [part("short", 0.3, 0.0001)], "foreseen": {"sentence": "These queries show 0.05."}}
    text = report.to_markdown(changed(changed(plain, "minilm", seeds=[0.5, 0.7]), "bm25", bounds=[0.5, 0.7]))
    for said in (
        "# notes: use minilm",
        findings.decision(plain),
        "In the words of the test: minilm scores highest.",
        "| **minilm** | 0.600 (0.500 to 0.700) | +0.100 (+0.080 to +0.120) | +2 =1 −1 | .010 | better | pick, front |",
        "### Which family?",
        "- not measured: **doc2vec** (it would take 5 min)",
        "| question 0 | 0.500 | 0.900 | +0.400 |",
        "| query length: short | 2 | 0.300 (0.200 to 0.400) | 0.600 | \\< .001 |",
        "- These queries show 0.05.",
        "**bm25** 0.500 to 0.700",
        "standard deviation 0.141 between seeds",
        "vicino compare notes",
        "- 2 queries were left out.",
    ):
        assert said in text


def test_tables_have_as_many_cells_in_every_row(plain):
    plain |= {"study": study(), "slices": [part(NASTY, 0.3, 0.0001)]}
    plain["queries"][0]["text"] = NASTY
    widths = []
    for line in report.to_markdown(changed(plain, "minilm", bounds=[0.5, 0.9])).splitlines():
        widths.append(len(re.findall(r"(?<!\\)\|", line)))
        if line.startswith("| ---") or (widths[-1] and len(widths) > 1 and widths[-2]):
            assert widths[-1] == widths[-2], line


def test_no_text_is_markup(need):
    """Read by a parser of Markdown: what was written comes out as text, in one paragraph or item."""
    need(Entry("markdown_it:MarkdownIt", "", "files"))
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark").enable("table").enable("strikethrough")
    for text in (NASTY, "1. one", "- two", "+ three", "# four", "> five", "![six](seven)", "a  b", "12) thirteen", "---", "==="):
        (first, inline, last) = reader.parse(escaped(text))
        assert (first.type, last.type) == ("paragraph_open", "paragraph_close"), text
        assert {child.type for child in inline.children} <= {"text", "text_special"}, text
        assert "".join(child.content for child in inline.children) == " ".join(text.split())


def test_a_command_cannot_end_its_block(plain):
    plain["command"] = "vicino compare '```\n# no'"
    text = report.to_markdown(plain)
    assert "````\nvicino compare '``` # no'\n````" in text


def test_markdown_is_written_by_its_ending(plain, tmp_path):
    file = report.write(tmp_path / "report.md", plain)
    assert file.read_text(encoding="utf-8") == report.to_markdown(plain)
    with pytest.raises(UnreadableSource):
        report.to_markdown({**plain, "schema": "other"})


# What was written before ------------------------------------------------------------------------------------------------


def test_records_of_the_first_version_still_open(tmp_path):
    plain = report.read_json(OLD)
    assert not {"study", "slices", "foreseen"} & set(plain)
    html, text = report.to_html(plain), report.to_markdown(plain)
    for name in (one["name"] for one in plain["candidates"]):
        assert name in html.replace("<wbr>", "")
        assert escaped(name) in text
    assert "does not say how many of the documents were judged" in html
    assert json.loads(report.write(tmp_path / "again.json", plain).read_text()) == plain


# Level candidates -------------------------------------------------------------------------------------------------------


def test_the_pick_may_be_cheaper_than_the_highest(plain):
    plain["verdict"] |= {"pick": "bm25+minilm"}
    told = findings.decision(changed(plain, "bm25+minilm", cost_seconds=10.0))
    assert "It is the cheapest of 2 that these queries cannot rank; minilm scored highest (0.600)." in told
    same = changed(plain, "bm25+minilm", cost_seconds=10.0, against_best=contest(-0.001, "the same"))
    assert "minilm scored highest (0.600), which is the same within ±0.01." in findings.decision(same)


def test_nothing_is_called_cheapest_whose_cost_nobody_knows(plain):
    told = findings.decision(changed(plain, "bm25+minilm", cost_seconds=None))
    assert "It is one of 2 that these queries cannot rank." in told


def test_a_simple_baseline_that_is_not_the_highest_says_what_was_found(plain):
    plain["verdict"] |= {"pick": "bm25", "tied": ["bm25", "bm25+minilm"]}
    plain = changed(plain, "bm25", against_best=contest(-0.001, "the same"))
    assert "none of the 3 measured is better by more than 0.01." in findings.decision(plain)
