"""The table that a terminal shows: decisions, the worst slices, the answers of a study."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vicino.evaluation.foreseen import Foreseen
from vicino.evaluation.slices import Slice
from vicino.evaluation.study import Answer, Study
from vicino.evaluation.text import comparison_text
from vicino.metrics.significance import Interval


@pytest.fixture
def comparison(climb, fixed, by_hand):
    queries = [f"question {number}" for number in range(20)]
    task = by_hand({query: f"right{row}" for row, query in enumerate(queries)}, ["wrong"])
    right = {query: {f"right{row}": 2.0, "wrong": 1.0} for row, query in enumerate(queries)}
    recipes = {"bm25": fixed({}, plain=True), "better": fixed(right), "twin": fixed(right, milliseconds=2.0)}
    return climb(task, recipes | {"broken": fixed({}, fail="OSError")})


def line(text, start):
    return next(each.strip() for each in text.splitlines() if each.strip().startswith(start))


def test_every_candidate_has_its_decision(comparison):
    text = comparison_text(comparison, width=200)
    assert " better " in line(text, "better *")
    assert "baseline" in line(text, "bm25")
    assert "failed" in line(text, "broken")
    assert "<.001" in line(text, "twin")
    assert comparison.verdict.sentence in text


def test_a_narrow_terminal_gets_the_decision_and_not_its_p(comparison):
    text = comparison_text(comparison, width=120)
    assert " better " in line(text, "better *")
    assert "<.001" not in line(text, "twin")
    assert max(map(len, text[text.index("nDCG@10") :].split("*")[0].splitlines())) <= 120


def test_a_long_name_does_not_head_a_column(comparison):
    long = "sentence-transformers/all-MiniLM-L6-v2"
    renamed = replace(comparison.candidates[0], name=long)
    text = comparison_text(replace(comparison, candidates=(renamed, *comparison.candidates[1:]), baseline=long), width=200)
    assert "vs baseline" in text
    assert f"vs {long}: queries +better" in text


def test_the_worst_slices_are_named(comparison):
    low, all_else = Interval(0.2, 0.1, 0.3), Interval(0.9, 0.8, 1.0)
    weak = Slice("query length", "up to 3 words", 8, low, 0.9, 0.0004)
    text = comparison_text(replace(comparison, slices=(weak, Slice("tag", "news", 12, all_else, 0.2, 0.0004))))
    assert "worst: query length, up to 3 words (8 queries): 0.200, elsewhere 0.900 (p < .001)" in text
    assert "news" not in text
    text = comparison_text(replace(comparison, slices=(replace(weak, p=0.3),)))
    assert "lowest, perhaps by chance: query length, up to 3 words" in text


def test_a_study_answers_its_questions(comparison):
    answer = Answer("family", "Which family?", "bm25", ("bm25", "better"), "better", "better", "better is better.")
    study = Study((answer,), "better", "The best together is better.", None, 3.0, {"glove": "it would take 5 min"})
    text = comparison_text(replace(comparison, study=study))
    assert "Which family?\n  better is better.\nNot measured: glove (the report says why).\nThe best together is better." in text


def test_what_was_foreseen_and_what_seeds_did_is_said(comparison):
    told = Foreseen(0.05, 20, 20, 3, 0.3, "a guess")
    seeded = replace(comparison.candidates[1], seeds=(0.9, 0.95), notes=("answers 19 of 20 queries",))
    text = comparison_text(replace(comparison, foreseen=told, candidates=(comparison.candidates[0], seeded)))
    assert told.sentence in text
    assert "better: from 0.900 to 0.950 over 2 seeds of its training" in text
    assert "better answers 19 of 20 queries" in text
