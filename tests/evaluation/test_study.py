"""The full study on a few documents: every question answered, stopped and gone on with, out of time, and with failures."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from vicino import progress
from vicino.data.records import Document, Judgement, Query
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.evaluation import factors, report, running
from vicino.evaluation import study as studying
from vicino.evaluation.budget import Clock, OutOfTime
from vicino.evaluation.contests import Verdict
from vicino.evaluation.factors import Design
from vicino.evaluation.measure import Bench
from vicino.evaluation.study import study
from vicino.evaluation.tasks import judged

FAMILIES = ("lsa(n_components=4)", "bm25", "tfidf")
DEFAULT = FAMILIES[0]
WORDS = [
    f"{first}{second}" for first in ("ba", "ke", "li", "mo", "nu", "pa", "ri") for second in ("dor", "fen", "gal", "him", "jot")
]


def a_task(queries: int = 24):
    """Forty documents of three sentences; a query is some words of one."""
    rng = random.Random(0)
    texts = [". ".join(" ".join(rng.choices(WORDS, k=6)).capitalize() for _ in range(3)) + "." for _ in range(40)]
    documents = [Document(f"d{number}", text) for number, text in enumerate(texts)]
    asked = [Query(f"q{n}", " ".join(rng.sample(texts[n].lower().replace(".", "").split(), 3))) for n in range(queries)]
    return judged("made", documents, asked, [Judgement(f"q{n}", f"d{n}", 1) for n in range(queries)])


@pytest.fixture(scope="module")
def task():
    return a_task()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Times of queries that are no luck."""
    monkeypatch.setattr(Bench, "_time", lambda bench, retriever: np.full(3, 1.0))


@pytest.fixture(scope="module")
def kept(task, tmp_path_factory):
    """A study that was done before, and where it is kept."""
    place = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bench, "_time", lambda bench, retriever: np.full(3, 1.0))
        return study(task, families=FAMILIES, cache=place)[0], place


def test_every_question_is_answered_from_the_default(kept):
    told, _ = kept
    answers = {answer.factor: answer for answer in told.study.answers}
    assert list(answers) == ["family", "fusion", "precision", "scoring", "granularity", "reranking"]
    assert {answer.default for answer in answers.values()} == {DEFAULT}
    assert answers["family"].levels == FAMILIES
    assert answers["granularity"].levels[1] == f"{DEFAULT}@sentence"
    measured = [candidate.name for candidate in told.candidates]
    for answer in answers.values():
        assert set(answer.levels) <= set(measured)
        assert answer.pick in answer.levels
        assert answer.sentence
        assert not answer.skipped
    assert "vicino train reranker" in answers["reranking"].sentence
    assert told.study.combination in measured
    assert told.study.skipped == {}
    assert told.foreseen is not None


def test_the_record_holds_the_study_and_the_page_shows_it(kept):
    told, _ = kept
    plain = json.loads(json.dumps(report.to_json(told)))
    assert plain["study"]["combination"] == told.study.combination
    assert [answer["factor"] for answer in plain["study"]["answers"]] == [answer.factor for answer in told.study.answers]
    assert told.study.answers[0].question in report.to_html(plain)


def test_a_second_run_measures_nothing_and_says_the_same(task, kept, monkeypatch):
    told, place = kept
    for way in ("_measure_one", "_measure_fused"):
        monkeypatch.setattr(Bench, way, lambda *_: pytest.fail("it measured again"))
    again = study(task, families=FAMILIES, cache=place, budget=1e-3)[0]  # what is kept needs no budget
    assert again.study.answers == told.study.answers
    assert again.study.combination == told.study.combination
    assert again.verdict == told.verdict


def test_one_more_family_costs_one_candidate(task, kept, monkeypatch):
    _, place = kept
    measured = []
    one = Bench._measure_one
    monkeypatch.setattr(Bench, "_measure_one", lambda bench, recipe: measured.append(recipe) or one(bench, recipe))
    told = study(task, families=[*FAMILIES, "bm25(k1=0.5)"], cache=place)[0]
    assert [recipe.params["k1"] for recipe in measured] == [0.5]
    assert told["bm25(k1=0.5)"].metrics is not None


def test_a_study_that_was_stopped_goes_on(task, tmp_path, monkeypatch):
    done = []
    one = running.rung_of

    def stopping(name, *more):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(name)
        return one(name, *more)

    measured = []
    alone = Bench._measure_one
    monkeypatch.setattr(Bench, "_measure_one", lambda bench, recipe: measured.append(recipe.fingerprint) or alone(bench, recipe))
    monkeypatch.setattr(running, "rung_of", stopping)
    with pytest.raises(KeyboardInterrupt):
        study(task, families=FAMILIES, cache=tmp_path)
    assert done[:2] == ["bm25", DEFAULT]
    before = len(measured)
    monkeypatch.setattr(running, "rung_of", one)
    told = study(task, families=FAMILIES, cache=tmp_path)[0]
    assert told.study.skipped == {}
    assert 0 < before < len(measured) == len(set(measured))


def test_one_that_fails_does_not_stop_the_others(task):
    broken = "lsa(n_components=0)"
    told = study(task, families=[broken, *FAMILIES])[0]
    assert told.study.answers[0].default == DEFAULT  # the first that works
    assert "n_components" in told.study.skipped[broken]
    assert "n_components" in told[broken].error
    assert told.study.answers[0].skipped.keys() == {broken}
    with pytest.raises(EmptyInput, match="no default for the study could be measured"):
        study(task, families=[broken, "bm25"])


def test_within_a_budget_the_telling_come_first_and_the_rest_is_named_with_its_time(task, monkeypatch):
    now = [0.0]
    one = running.rung_of

    def slow(name, *more):
        now[0] += 10.0
        return one(name, *more)

    monkeypatch.setattr(running, "rung_of", slow)
    monkeypatch.setattr(studying, "Clock", lambda budget: Clock(budget, now=lambda: now[0]))
    told = study(task, families=FAMILIES, budget=70.0)[0]
    assert told.study.budget == 70.0
    assert told.study.spent <= 70.0
    measured = [candidate.name for candidate in told.candidates if not candidate.error]
    assert measured[:3] == ["bm25", DEFAULT, "tfidf"]
    assert f"{DEFAULT}@sentence" not in measured
    assert "longer than the budget leaves" in told.study.skipped[f"{DEFAULT}@sentence"]
    grain = told.study.answers[4]
    assert grain.sentence == f"Not answered: beside {DEFAULT} nothing was measured."
    assert f"{DEFAULT}@sentence" in grain.skipped


def test_what_moves_on_after_the_end_is_given_up(task, monkeypatch):
    now, slow = [0.0], set(FAMILIES)
    one = running.rung_of

    def endless(name, *more):
        for _ in progress.track(range(1000 if name in slow else 1), "encoding"):
            now[0] += 1.0
        return one(name, *more)

    monkeypatch.setattr(running, "rung_of", endless)
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    monkeypatch.setattr(studying, "Clock", lambda budget: Clock(budget, now=lambda: now[0]))
    slow = {"tfidf", DEFAULT}
    short = study(task, families=FAMILIES, budget=60.0)[0]  # no time for any vectors: a report of what there is
    assert [answer.factor for answer in short.study.answers] == ["family"]
    assert (short.verdict.pick, short.study.combination) == ("bm25", "bm25")
    assert set(short.study.skipped) == {"tfidf", DEFAULT}
    assert "There was no time for a family that makes vectors" in short.study.sentence
    assert "There was no time" in report.to_html(report.to_json(short))
    now[0], slow = 0.0, {"tfidf"}
    told = study(task, families=["tfidf", "bm25", DEFAULT], budget=60.0)[0]  # half of it, and the rest is the next one's
    assert told.study.answers[0].default == DEFAULT
    assert "given up after" in told.study.skipped["tfidf"]


def test_a_clock_learns_by_kind_and_ends_only_within_its_own_thread():
    now = [0.0]
    clock = Clock(10.0, now=lambda: now[0])
    assert clock.foresee("cutting", 3.0) == 3.0
    clock.learn("reading", guess=2.0, took=4.0)
    assert clock.foresee("cutting", 3.0) == 6.0
    clock.learn("cutting", guess=1.0, took=1.0)
    assert clock.foresee("cutting", 3.0) == 3.0
    with progress.task("all", unit="seconds") as work:
        with clock.watching(work), progress.task("part") as part:
            now[0] = 5.0
            part._told = -1.0
            part.advance()
            assert work.done == 5
        now[0] = 11.0
        with clock.watching(work), progress.task("late") as late:
            late._told = -1.0
            with pytest.raises(OutOfTime):
                late.advance()
    assert not clock.fits(0.0)


@pytest.mark.parametrize(
    ("gains", "says"),
    [
        ({"bm25+lsa": 0.2}, "Yes: "),
        ({"bm25": 0.2, "bm25+lsa": 0.2, "bm25+lsa:tuned": 0.2}, "Not shown, for bm25 alone cannot be told from it: "),
        ({}, "Not shown: "),
        ({"bm25+lsa": -0.2, "bm25+lsa:tuned": -0.2}, "No: "),
    ],
)
def test_whether_fusing_helps_is_answered_by_the_better_of_its_parts(gains, says):
    asked = factors.factors_of(["lsa", "bm25"], default="lsa")
    fusion = next(factor for factor in asked if factor.name == "fusion")
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.6, 400)
    values = {name: base + rng.normal(0, 0.05, 400) + gains.get(name, 0.0) for factor in asked for name in factor.names}
    level = dict.fromkeys(values, 1.0)
    ruling = factors.rule(asked, values, costs=level, sizes=level)["fusion"]
    assert studying._whether(fusion, fusion.names, ruling) == says


def test_the_combination_is_scored_by_what_had_no_say(task, monkeypatch):
    both = Design(DEFAULT, granularity="paragraph", fusion="rrf")
    monkeypatch.setattr(factors, "combine_picks", lambda asked, rulings: both)
    made = []
    combine = running.Running.combine
    monkeypatch.setattr(running.Running, "combine", lambda *args, **how: made.append(combine(*args, **how)) or made[0])
    told = study(task, families=FAMILIES)[0]
    combined, name = made[0], told.study.combination
    assert (name, combined.chosen) == (both.name, (both.name,) * 5)
    assert np.allclose(told[name].values, combined.values)
    assert told[name].recipe.retriever == "fused"
    assert "each query is scored by what the others chose" in told.study.sentence


@pytest.mark.parametrize(
    ("pick", "best", "tied", "decision", "says"),
    [
        ("a", "a", ("b",), "not told apart", ""),
        (
            "b",
            "a",
            ("b",),
            "not told apart",
            "The choice is b all the same: these queries cannot tell it from that, and it is cheaper.",
        ),
        ("b", "a", ("b",), "the same", "The choice is b all the same: it is the same within ±0.01, and it is cheaper."),
        ("b", "c", ("a", "b"), "not told apart", "all the same: neither is clearly worse than c, and it is cheaper."),
        ("b", "b", ("a",), "not told apart", "all the same: these queries cannot tell it from that, and it scores higher."),
        ("c", "c", ("b",), "not told apart", "all the same: c is better than a beyond chance."),
    ],
)
def test_the_choice_and_the_best_together_are_not_two_answers(kept, pick, best, tied, decision, says):
    told, contest = kept[0], next(one.against_best for one in kept[0].candidates if one.against_best)
    same = 0.0 if decision == "the same" else 1.0
    met = replace(contest, against=best, p=0.5, same=same)
    asked = {"a": 3.0, "b": 1.0, "c": 2.0}
    found = [
        replace(told[FAMILIES[1]], name=name, found=replace(told[FAMILIES[1]].found, build_seconds=cost), against_best=met)
        for name, cost in asked.items()
    ]
    made = replace(told, candidates=tuple(found), verdict=Verdict(pick, best, tied, ""))
    assert studying._beside_choice("a", made).strip().endswith(says)
    assert bool(says) == bool(studying._beside_choice("a", made))


def test_a_run_file_may_stand_among_the_families(task, kept, tmp_path):
    _, place = kept
    path = tmp_path / "perfect.run"
    path.write_text("".join(f"q{number} Q0 d{number} 1 1.0 perfect\n" for number in range(len(task.queries))))
    told = study(task, families=[*FAMILIES, str(path)], cache=place)[0]
    assert told[str(path)].mean == 1.0
    family = told.study.answers[0]
    assert (family.pick, family.decision) == (str(path), "better")
    assert str(path) not in told.study.combination  # nobody can build it


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"budget": 0.0}, InputError, "a budget of 0.0 seconds"),
        ({"seeds": 0}, InputError, "0 seeds"),
        ({"margin": 2.0}, InputError, "a margin of 2.0"),
        ({"budget": float("nan")}, InputError, "a budget of nan seconds"),
        ({"families": ["lsaa"]}, UnknownName, "did you mean lsa"),
        ({"metric_names": ["nDGC@10"]}, UnknownName, "did you mean"),
        ({"by": ["colour"]}, UnknownName, "colour"),
        ({"families": ["bm25"]}, EmptyInput, "no family makes vectors"),
    ],
)
def test_what_cannot_be_studied_is_refused_before_anything_is_measured(task, options, error, says, monkeypatch):
    monkeypatch.setattr(Bench, "_measure_one", lambda *_: pytest.fail("it measured"))
    with pytest.raises(error, match=says):
        study(task, **({"families": FAMILIES} | options))


def test_one_query_chooses_nothing():
    told = study(a_task(1), families=FAMILIES)[0]
    assert told.study.combination == DEFAULT
    assert {answer.decision for answer in told.study.answers} <= {""}
