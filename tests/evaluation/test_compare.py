"""The ladder on tasks whose right answer is known: who wins, who ties, who fails, and what is said about it."""

from __future__ import annotations

import random

import numpy as np
import pytest

from vicino.data.records import Document, Judgement, Query, Recipe
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.evaluation import compare as ladder
from vicino.evaluation.compare import LADDER, METRICS, compare
from vicino.evaluation.tasks import RetrievalTask, judged
from vicino.metrics import significance

MANY = 40
ANSWERS = {f"q{number}": f"d{number}" for number in range(MANY)}
NAMES = list(ANSWERS.values())


def ranked(places: dict[str, int]) -> dict[str, dict[str, float]]:
    """Answers that put each query's document at the given rank, among others."""
    answers = {}
    for query, place in places.items():
        others = [name for name in NAMES if name != ANSWERS[query]][:19]
        names = [*others[: place - 1], ANSWERS[query], *others[place - 1 :]]
        answers[query] = {name: float(len(names) - row) for row, name in enumerate(names)}
    return answers


FIRST = ranked(dict.fromkeys(ANSWERS, 1))
SECOND = ranked(dict.fromkeys(ANSWERS, 2))
MIXED = ranked({query: 1 + number % 2 for number, query in enumerate(ANSWERS)})


@pytest.fixture
def task(by_hand) -> RetrievalTask:
    return by_hand(ANSWERS)


# The verdict ----------------------------------------------------------------------------------------------------------


def test_a_clear_winner_is_named(fixed, climb, task):
    told = climb(task, {"good": fixed(FIRST), "plain": fixed(SECOND, plain=True), "poor": fixed(SECOND)})
    assert (told.verdict.pick, told.verdict.best, told.verdict.tied) == ("good", "good", ())
    assert told.baseline == "plain"
    assert told.winner == told["good"].recipe
    assert told.verdict.sentence == (
        "good wins: nDCG@10 1.000 [1.000, 1.000], better than every other candidate that was measured, beyond chance. "
        "Against the best simple baseline, plain, good is 0.369 above (p < .001; better on 40 queries, equal on 0, worse on 0)."
    )


def test_the_numbers_of_a_contest_by_hand(fixed, climb, task):
    told = climb(task, {"plain": fixed(SECOND, plain=True), "mixed": fixed(MIXED)}, metric_names=["MRR@10"])
    mixed = told["mixed"]
    assert mixed.mean == 0.75
    assert mixed.values.tolist() == [1.0, 0.5] * 20
    contest = mixed.against_baseline
    assert contest.against == "plain"
    assert contest.difference.mean == pytest.approx(0.25)
    assert contest.tally == (20, 20, 0)
    assert contest.clear
    assert told["plain"].against_baseline is None
    assert told["plain"].against_best.tally == (0, 20, 20)
    assert mixed.against_best is None
    low, high = mixed.metrics["MRR@10"][1:]
    assert low < 0.75 < high


def test_two_alike_are_a_tie_and_the_cheaper_is_picked(fixed, climb, task):
    for slow, fast in (("a", "b"), ("b", "a")):
        told = climb(task, {slow: fixed(FIRST, milliseconds=900.0), fast: fixed(FIRST, milliseconds=3.0), "poor": fixed(SECOND)})
        assert told.verdict.best == slow  # the first of equals
        assert told.verdict.tied == (fast,)
        assert told.verdict.pick == fast
        assert f"cannot tell it from {fast}; {fast} is the cheapest of them: use {fast}." in told.verdict.sentence


def test_a_fusion_that_declines_to_fuse_does_not_beat_its_own_part(fixed, climb, task):
    rng = random.Random(0)
    good = fixed(FIRST, milliseconds=9.0)
    noise = fixed({query: {name: rng.random() for name in rng.sample(NAMES, 20)} for query in ANSWERS}, milliseconds=1.0)
    tuned = Recipe("fused", {"method": "convex"}, (good, noise))
    told = climb(task, {"good:tuned": tuned, "good": good})
    assert told["good:tuned"].recipe == good
    assert not told["good:tuned"].tuning.fuses
    assert told.verdict.pick == "good"
    assert climb(task, {"good:tuned": tuned, "noise": noise}).verdict.pick == "good:tuned"  # nobody else to name


def test_a_difference_that_few_queries_cannot_show_is_a_tie(fixed, climb, task):
    better = ranked({query: 1 if number < 3 else 2 for number, query in enumerate(ANSWERS)})
    told = climb(task, {"cheap": fixed(SECOND, plain=True), "dear": fixed(better, milliseconds=500.0)})
    assert told.verdict.best == "dear"
    assert told.verdict.pick == "cheap"
    contest = told["cheap"].against_best
    assert not contest.clear
    assert contest.p == 0.25  # 2 of the 8 sign patterns of three differences
    assert f"a true difference of {contest.detectable:.3f} would show four times in five" in told.verdict.sentence
    assert told.verdict.sentence.endswith("It is the simple baseline itself.")


def test_a_plain_baseline_may_win(fixed, climb, task):
    told = climb(task, {"plain": fixed(FIRST, plain=True), "grand": fixed(SECOND)})
    assert told.verdict.pick == told.baseline == "plain"
    assert told.verdict.sentence.endswith("It is the simple baseline itself.")


def test_without_a_simple_candidate_none_is_claimed(fixed, climb, task):
    told = climb(task, {"one": fixed(FIRST), "two": fixed(SECOND)})
    assert told.baseline == "one"
    assert "simple" not in told.verdict.sentence


def test_one_candidate_wins_against_nobody(fixed, climb, task):
    told = climb(task, {"only": fixed(FIRST)})
    assert (told.verdict.pick, told.verdict.tied) == ("only", ())
    assert told.verdict.sentence == "only was the only one measured: nDCG@10 1.000 [1.000, 1.000]."


def test_several_contests_are_corrected_for_all_pairs(fixed, climb, task):
    rng = random.Random(0)
    recipes = {"plain": fixed(SECOND, plain=True)}
    for name in ("a", "b", "c", "d"):
        recipes[name] = fixed(ranked({query: rng.choice([1, 2, 2, 3]) for query in ANSWERS}))
    told = climb(task, recipes, metric_names=["MRR@10"], seed=3)
    values = np.stack([told[name].values for name in recipes])
    corrected = significance.pairwise_tests(values, seed=3).p
    assert [told[name].against_baseline.p for name in "abcd"] == corrected[1:, 0].tolist()
    best = int(values.mean(axis=1).argmax())
    others = [place for place in range(5) if place != best]
    names = list(recipes)
    assert [told[names[place]].against_best.p for place in others] == corrected[best, others].tolist()
    assert told.verdict.tied == tuple(names[place] for place in others if corrected[best, place] >= 0.05)
    raw = [significance.randomisation_test(values[place], values[0], seed=3) for place in range(1, 5)]
    assert all(p >= alone for p, alone in zip(corrected[0, 1:], raw, strict=True))


@pytest.mark.parametrize("queries", [1, 2])
def test_too_few_queries_tell_nothing_and_the_cheapest_is_picked(fixed, climb, by_hand, queries):
    few = by_hand(dict(list(ANSWERS.items())[:queries]), NAMES)
    told = climb(few, {"cheap": fixed(SECOND, milliseconds=0.5), "dear": fixed(FIRST, milliseconds=500.0)})
    assert told.verdict.best == "dear"
    assert told.verdict.pick == "cheap"
    assert "inf" not in told.verdict.sentence


# Candidates that fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", ["MissingExtra", "InputError", "MemoryError", "RuntimeError", "OSError", "KeyError", "ZeroDivisionError"]
)
def test_one_failing_candidate_does_not_stop_the_others(fixed, climb, task, error):
    told = climb(task, {"bad": fixed(FIRST, fail=error), "good": fixed(FIRST), "poor": fixed(SECOND, plain=True)})
    assert [candidate.name for candidate in told.candidates] == ["bad", "good", "poor"]
    assert "told to fail" in told["bad"].error
    assert (told["bad"].metrics, told["bad"].values, told["bad"].found) == (None, None, None)
    assert (told["bad"].against_best, told["bad"].against_baseline) == (None, None)
    assert told["bad"].mean == -np.inf
    assert told["bad"].cost_seconds == np.inf
    assert told.verdict.pick == "good"
    assert "bad" not in told.verdict.sentence.split()


def test_a_fault_of_vicino_itself_is_not_swallowed(fixed, climb, task):
    with pytest.raises(AttributeError):
        climb(task, {"bad": fixed(FIRST, fail="AttributeError"), "good": fixed(FIRST)})


def test_a_failing_part_fails_its_fusion_only(fixed, climb, task):
    good, bad = fixed(FIRST), fixed(SECOND, fail="RuntimeError")
    told = climb(task, {"good": good, "both": Recipe("fused", {}, (good, bad))})
    assert "told to fail" in told["both"].error
    assert told.verdict.pick == "good"


def test_where_all_fail_every_reason_is_told(fixed, climb, task):
    with pytest.raises(EmptyInput, match=r"a: told to fail[\s\S]*b: told to fail"):
        climb(task, {"a": fixed(FIRST, fail="RuntimeError"), "b": fixed(SECOND, fail="InputError")})


# What is asked for ----------------------------------------------------------------------------------------------------


def test_wrong_names_are_met_before_anything_is_measured(task, monkeypatch):
    def untouched(*arguments, **options):
        pytest.fail("measured")

    monkeypatch.setattr(ladder.Bench, "measure", untouched)
    with pytest.raises(UnknownName, match="did you mean tfidf"):
        compare(task, candidates=["lsa", "tfidff"])
    with pytest.raises(UnknownName, match="nDCG"):
        compare(task, candidates=["lsa"], metric_names=["nDCG@10", "nGCD@10"])
    with pytest.raises(InputError):
        compare(task, candidates=["lsa:tuned"])
    with pytest.raises(InputError, match="1 folds"):
        compare(task, candidates=["lsa"], folds=1)


def test_a_name_twice_is_one_candidate_and_order_is_kept(task):
    told, _ = compare(task, candidates=["tfidf", "lsa", "tfidf"])
    assert [candidate.name for candidate in told.candidates] == ["tfidf", "lsa"]
    with pytest.raises(UnknownName, match="did you mean tfidf"):
        told["tfdif"]


def test_the_first_metric_decides_and_all_are_given(fixed, climb, by_hand):
    grades = {query: {answer: 1, "d39": 1} for query, answer in list(ANSWERS.items())[:20]}
    early = {query: {answer: 2.0, "x": 1.0} for query, answer in list(ANSWERS.items())[:20]}  # one answer, first
    whole = {q: {"x": 4.0, "y": 3.0, a: 2.0, "d39": 1.0} for q, a in list(ANSWERS.items())[:20]}  # both, third and fourth
    task = by_hand(grades, [*NAMES, "x", "y"])
    recipes = {"early": fixed(early), "whole": fixed(whole)}
    by_rank = climb(task, recipes, metric_names=["MRR@10", "recall@10"])
    assert by_rank.verdict.pick == "early"
    assert by_rank.metric_names == ("MRR@10", "Recall@10")
    assert {name: found.mean for name, found in by_rank["whole"].metrics.items()} == {
        "MRR@10": pytest.approx(1 / 3),
        "Recall@10": 1,
    }
    assert climb(task, recipes, metric_names=["recall@10", "MRR@10"]).verdict.pick == "whole"


def test_deep_metrics_look_as_deep(fixed, climb):
    names = [f"n{number}" for number in range(1200)]
    task = judged("deep", [Document(name, "text") for name in names], [Query("q", "q")], [Judgement("q", "n700", 1)])
    answers = {"q": {name: 2000.0 - place for place, name in enumerate(names)}}
    told = climb(task, {"only": fixed(answers)}, metric_names=["Recall@500", "Recall@800", "MRR"])
    assert [found.mean for found in told["only"].metrics.values()] == [0, 1, pytest.approx(1 / 701)]


# On text --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def codes() -> RetrievalTask:
    """Only the letters of a word help: every document is a handful of made-up codes, and a query is two of its own."""
    rng = random.Random(0)
    documents, queries = [], []
    for number in range(80):
        words = [f"k{rng.randrange(10**6):06d}" for _ in range(3)]
        filler = rng.choices(["alpha", "beta", "gamma", "delta"], k=6)
        documents.append(Document(f"d{number}", " ".join([*words, *filler])))
        queries.append(Query(f"q{number}", f"{words[0]} {words[2]} alpha"))
    return judged("codes", documents, queries, [Judgement(f"q{number}", f"d{number}", 1) for number in range(80)])


def test_where_only_words_help_the_lexical_baseline_wins(codes):
    told, _ = compare(codes, candidates=["bm25", "lsa(n_components=2)", "bm25+lsa(n_components=2):tuned"])
    assert told["bm25"].mean > 0.99
    assert told["lsa(n_components=2)"].mean < 0.5
    assert told.verdict.pick == "bm25"
    assert told.baseline == "bm25"
    tuned = told["bm25+lsa(n_components=2):tuned"]
    assert tuned.tuning.final == (1.0, 0.0)  # do not fuse
    assert tuned.recipe == told["bm25"].recipe
    assert not told["lsa(n_components=2)"].against_best.difference.mean > 0


def test_a_second_run_measures_nothing_and_says_the_same(codes, tmp_path, monkeypatch):
    names = ["tfidf", "lsa(n_components=4)", "tfidf+lsa(n_components=4)", "tfidf+lsa(n_components=4):tuned"]
    first, _ = compare(codes, candidates=names, cache=tmp_path)

    def untouched(*arguments, **options):
        pytest.fail("measured again")

    for owner, name in ((ladder.Bench, "_time"), (ladder.Bench, "_build"), (ladder.Bench, "_tune")):
        monkeypatch.setattr(owner, name, untouched)
    again, _ = compare(codes, candidates=names, cache=tmp_path)
    assert again.verdict == first.verdict
    for before, after in zip(first.candidates, again.candidates, strict=True):
        assert after.found.cached
        assert after.metrics == before.metrics
        assert (after.against_best, after.against_baseline) == (before.against_best, before.against_baseline)
        assert after.cost_seconds == before.cost_seconds
        assert after.recipe == before.recipe


def test_the_bench_holds_the_winner(codes):
    told, bench = compare(codes, candidates=["tfidf", "lsa(n_components=4)"])
    assert bench.retriever(told.winner).search(codes.queries[0], 1).top()[0][0] == "d0"


def test_equal_seeds_tell_equal_stories(codes):
    once, again = (compare(codes, candidates=["tfidf", "lsa"], seed=5)[0] for _ in range(2))
    assert [c.metrics for c in once.candidates] == [c.metrics for c in again.candidates]
    assert once["lsa"].against_best == again["lsa"].against_best


def test_the_default_ladder_and_metrics_have_names():
    assert [ladder.parse(name).retriever for name in LADDER] == ["lexical", "dense", "dense", "dense", "fused", "fused"]
    assert [ladder.metrics.parse(name).name for name in METRICS] == list(METRICS)


def test_a_cheap_tie_that_loses_to_the_baseline_is_not_picked(fixed, climb, task):
    """The cheap one cannot be told from the best, which is now first, now tenth; but the baseline beats it everywhere."""
    swinging = ranked({query: 1 if number < 23 else 10 for number, query in enumerate(ANSWERS)})
    steady = ranked({query: 1 if number < 8 else 2 for number, query in enumerate(ANSWERS)})
    told = climb(
        task,
        {"cheap": fixed(SECOND), "base": fixed(steady, plain=True), "best": fixed(swinging, milliseconds=300.0)},
        metric_names=["MRR@10"],
    )
    assert (told.verdict.best, told.verdict.tied) == ("best", ("cheap", "base"))
    assert told["cheap"].against_baseline.decision == "worse"
    assert told.verdict.pick == "base"


def test_a_failed_candidate_is_named_in_the_verdict(fixed, climb, task):
    told = climb(task, {"good": fixed(FIRST), "broken": fixed(FIRST, fail="RuntimeError"), "poor": fixed(SECOND, plain=True)})
    assert told.verdict.sentence.endswith("Not measured, because they failed: broken.")


# What goes with the numbers -------------------------------------------------------------------------------------------


def test_what_was_foreseen_is_told_first_and_kept(fixed, climb, task, caplog):
    with caplog.at_level("INFO", logger="vicino.evaluation.foreseen"):
        told = climb(task, {"a": fixed(FIRST), "b": fixed(SECOND)})
    assert told.foreseen.queries == told.foreseen.units == told.units == 40
    assert told.foreseen.candidates == 2
    assert f"{told.foreseen.difference:.3f}" in caplog.messages[0]


def test_what_was_measured_before_tells_the_spread(codes, tmp_path):
    first, _ = compare(codes, candidates=["tfidf", "lsa(n_components=4)"], cache=tmp_path)
    again, _ = compare(codes, candidates=["tfidf", "lsa(n_components=4)", "bm25"], cache=tmp_path)
    differences = first["tfidf"].values - first["lsa(n_components=4)"].values
    assert "usual" in first.foreseen.source
    assert again.foreseen.source == "of 1 pair that was measured before"
    assert again.foreseen.spread == pytest.approx(differences.std(ddof=1))


def test_seeds_show_their_luck_apart_from_the_queries(codes):
    told, _ = compare(codes, candidates=["bm25", "lsa(n_components=4)", "lsa(n_components=4,seed=7)"], seeds=3)
    taught = told["lsa(n_components=4)"]
    assert len(taught.seeds) == 3
    assert taught.mean == pytest.approx(np.mean(taught.seeds))
    assert taught.luck == pytest.approx(np.var(taught.seeds, ddof=1) / 3)
    assert taught.recipe.params["encoder_params"]["seed"] == 0  # what is kept is the first
    assert told["bm25"].luck == 0
    alone, _ = compare(codes, candidates=["lsa(n_components=4)"], seeds=2)
    levels = alone["lsa(n_components=4)"].levels
    assert alone.verdict.sentence.endswith(
        f"Other queries would move the mean of lsa(n_components=4) by {levels.queries:.3f}, another seed of its training by "
        f"{levels.seeds:.3f} (standard deviations; 2 seeds)."
    )
    assert told["bm25"].seeds == told["lsa(n_components=4,seed=7)"].seeds == ()  # nothing is drawn, or the seed was chosen
    with pytest.raises(InputError, match="0 seeds"):
        compare(codes, candidates=["bm25"], seeds=0)


def test_the_same_is_a_finding(fixed, climb, by_hand):
    many = {f"q{number}": f"d{number}" for number in range(400)}
    task = by_hand(many)
    alike = {query: {answer: 2.0, "d0" if answer != "d0" else "d1": 1.0} for query, answer in many.items()}
    told = climb(task, {"one": fixed(alike, plain=True), "two": fixed(alike, milliseconds=9.0)})
    assert told["two"].against_best.decision == told["two"].against_baseline.decision == "the same"
    assert "; two is the same within ±0.01; one is the cheapest of them: use one." in told.verdict.sentence
    wider = climb(task, {"one": fixed(alike), "two": fixed(alike)}, margin=0.0)
    assert wider["two"].against_best.decision == "not told apart"
    with pytest.raises(InputError, match="margin"):
        climb(task, {"one": fixed(alike)}, margin=1.5)


def test_unjudged_answers_bound_what_is_measured(fixed, climb, task):
    told = climb(task, {"good": fixed(FIRST), "second": fixed(SECOND)}, metric_names=["MRR@10"])
    assert told["good"].bounds == (1.0, 1.0)
    assert told["second"].bounds == (0.5, 1.0)  # the first answer, which nobody judged, may be right
    assert climb(task, {"good": fixed(FIRST)}, metric_names=["judged@10"])["good"].bounds is None


def test_queries_with_the_same_answers_count_as_one(fixed, climb, by_hand):
    twins = {f"q{number}": f"d{number // 4}" for number in range(40)}
    answers = {query: {answer: 2.0, "other": 1.0} for query, answer in twins.items()}
    swapped = {query: {answer: 1.0, "other": 2.0} for query, answer in twins.items()}
    told = climb(by_hand(twins, ["other"]), {"a": fixed(answers), "b": fixed(swapped)}, metric_names=["MRR@10"])
    assert told.units == 10
    assert told["b"].against_best.p == 2 / 2**10  # ten pairs of signs, not forty


# What is odd ----------------------------------------------------------------------------------------------------------


def test_scores_that_are_not_numbers_fail_the_candidate_alone(fixed, climb, task):
    broken = {query: dict.fromkeys(row, float("nan")) for query, row in FIRST.items()}
    told = climb(task, {"broken": fixed(broken), "good": fixed(FIRST)})
    assert told["broken"].error.startswith("its scores are NaN on 40 of 40 queries")
    assert told.verdict.pick == "good"


def test_scores_that_are_all_equal_are_told(fixed, climb, task):
    flat = {query: dict.fromkeys(row, 1.0) for query, row in FIRST.items()}
    told = climb(task, {"flat": fixed(flat), "good": fixed(FIRST)})
    assert told["flat"].notes == ("gives its 10 best answers one score on 40 of 40 queries: their order says nothing",)
    assert told["good"].notes == ()


def test_negative_grades_and_queries_without_an_answer_change_nothing(fixed, climb):
    documents = [Document(name, name) for name in NAMES]
    queries = [Query(query, query) for query in [*ANSWERS, "lost"]]
    plain = [Judgement(query, answer, 1) for query, answer in ANSWERS.items()]
    spam = [*plain, *(Judgement(query, "d39", -2) for query in list(ANSWERS)[:20]), Judgement("lost", "d1", 0)]
    recipes = {"good": fixed(FIRST), "mixed": fixed(MIXED)}
    once, again = (climb(judged("spam", documents, queries, each), recipes) for each in (plain, spam))
    assert "1 of 41 queries have no relevant document here" in again.task.notes[0]
    assert [each.mean for each in once.candidates] == [each.mean for each in again.candidates]
    assert once.verdict.pick == again.verdict.pick == "good"


def test_a_run_file_competes_as_it_is(fixed, climb, task, tmp_path, monkeypatch):
    from vicino.data.judged import write_run

    path = tmp_path / "elsewhere.run"
    write_run(path, {query: list(row.items()) for query, row in FIRST.items()})
    recipes = {"poor": fixed(SECOND, plain=True)}
    monkeypatch.setattr(ladder, "parse", lambda name, analyzer: recipes[name])
    told, _ = compare(task, candidates=["poor", str(path)])
    assert told[str(path)].mean == 1.0
    assert told.verdict.pick == str(path)
    assert told[str(path)].cost_seconds == np.inf
    assert told[str(path)].recipe is None
    with pytest.raises(InputError, match="is a run file"):
        _ = told.winner
