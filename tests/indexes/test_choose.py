"""Which index is chosen, and what is known of it. Times decide here; these tests set them, so that no clock does."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from vicino.errors import DimensionMismatch, EmptyInput, InputError, InvalidVectors, MissingExtra, UnknownName
from vicino.indexes import INDEXES
from vicino.indexes.choose import Plan, build, choose
from vicino.indexes.exact import Exact
from vicino.indexes.planned import Planned
from vicino.indexes.recall import Judge, Measured, lower_bound
from vicino.vectors import normalise

N, DIM = 2000, 16
ROUGH = "hnsw(m=4,ef_construction=20)"


@pytest.fixture(scope="module", autouse=True)
def _graphs(need):
    need(INDEXES.entry("hnsw"))


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rng = np.random.default_rng(11)
    return (rng.standard_normal((40, DIM))[rng.integers(40, size=N)] + 0.5 * rng.standard_normal((N, DIM))).astype(np.float32)


@pytest.fixture
def times(monkeypatch):
    """Comparing all takes a second, an index `set` seconds for each unit of effort: whatever the clock says."""
    each = {"exact": 1.0, "hnsw": 1e-5}
    measure = Judge.measure

    def timed(self, index, effort, row, goal=0.0):
        found = measure(self, index, effort, row, goal)
        family = index.index if isinstance(index, Planned) else index.family
        return replace(found, seconds=each[family] * (found.effort or 1))

    monkeypatch.setattr(Judge, "measure", timed)
    monkeypatch.setattr(Judge, "seconds", lambda self, rows=None: each["exact"] * len(self.vectors if rows is None else rows) / N)
    return each


def true_recall(index, vectors, queries, k=10) -> np.ndarray:
    best = Exact().build(vectors).search(queries, k).ids
    return np.array([len(set(a) & set(b)) / k for a, b in zip(index.search(queries, k).ids, best, strict=True)])


def test_the_fastest_that_has_the_recall_is_built_over_all(vectors, times):
    choice = choose(vectors, recall=0.9, families=["exact", ROUGH])
    assert choice.plan.index == "hnsw"
    assert choice.plan.params == {"m": 4, "ef_construction": 20}
    index = choice.index
    assert index.manifest()["vectors"] == N
    assert index.fresh == 0  # what was left out is in the graph now
    said = index.manifest()["recall"]
    assert said["k"] == 10
    assert said["value"] > said["lower"] >= said["target"] == 0.9
    assert said["asked"] == "100 vectors that were left out"
    own = true_recall(index, vectors, vectors[:300] + np.float32(0.01))
    assert own.mean() >= 0.88
    json.dumps(choice.to_json(), allow_nan=False)


def test_one_that_cannot_change_holds_those_that_asked_too(vectors, times):
    times["int8"] = 1e-9
    index = choose(vectors, recall=0.9, families=["int8"]).index
    assert index.fresh == 0
    assert index.inner_.manifest()["vectors"] == N
    assert index.manifest()["recall"]["rows"] == N - 100
    assert index.search(vectors[:200], 1).ids[:, 0].tolist() == [str(row) for row in range(200)]


def test_what_was_measured_is_what_an_independent_count_gives(vectors, times):
    queries = vectors[:200] + 0.3 * np.random.default_rng(1).standard_normal((200, DIM)).astype(np.float32)
    choice = choose(vectors, queries, recall=0.8, families=[ROUGH])
    values = true_recall(choice.index, vectors, queries)
    assert choice.index.recall_["value"] == pytest.approx(values.mean(), abs=1e-4)
    assert choice.index.recall_["lower"] == pytest.approx(lower_bound(values), abs=1e-4)
    assert choice.asked == "200 given questions"


def test_a_higher_recall_costs_more_effort_and_restrictions_get_enough(vectors, times):
    low, high = (choose(vectors, recall=recall, families=[ROUGH]).plan for recall in (0.6, 0.9))
    assert low.effort < high.effort
    assert low.restricted_effort is None or low.restricted_effort > low.effort
    assert high.restricted_effort is None or high.restricted_effort >= high.effort


def test_exact_is_chosen_where_it_is_faster(vectors, times):
    times["exact"] = 1e-9
    choice = choose(vectors, recall=0.9, families=["exact", ROUGH])
    assert choice.plan == Plan("exact", {}, 0.9)
    assert isinstance(choice.index, Exact)


def test_only_exact_has_a_recall_of_one(vectors, times):
    assert choose(vectors, recall=1.0, families=["hnsw", "exact"]).plan.index == "exact"


def test_nothing_that_fits_is_an_answer_too(vectors, times):
    choice = choose(vectors, recall=0.9, memory=1000, families=["exact", ROUGH])
    assert choice.plan is None
    assert choice.index is None
    choice = choose(vectors, recall=0.999, families=[ROUGH])
    assert choice.plan is None
    assert choice.trials[0].note == "100 questions cannot prove a recall of 0.999"
    times["exact"] = 1e-6
    choice = choose(vectors, recall=0.9, families=[ROUGH])
    assert choice.plan is None
    assert choice.trials[0].note == "comparing all is faster than it with a recall of 0.9"


def test_costs_over_all_are_estimated_from_the_sample(vectors, times):
    choice = choose(vectors, recall=0.8, families=["exact", ROUGH], sample=800)
    assert {trial.rows for trial in choice.trials} == {800}
    assert {trial.of for trial in choice.trials} == {N}
    exact = next(trial for trial in choice.trials if trial.index == "exact")
    assert exact.nbytes == pytest.approx(N * DIM * 4, rel=0.01)
    assert choice.finals[-1].rows == N


def test_what_cannot_be_tried_says_so(vectors, times, monkeypatch):
    held = type(INDEXES).__getitem__

    def missing(self, name):
        if name == "hnsw":
            raise MissingExtra.named("store", needed_by="hnsw")
        return held(self, name)

    monkeypatch.setattr(type(INDEXES), "__getitem__", missing)
    choice = choose(vectors, recall=0.9, families=["hnsw", "exact"])
    assert choice.plan.index == "exact"
    assert "vicino[store]" in choice.trials[0].note


@pytest.mark.parametrize(("family", "package", "extra"), [("quantised-graph", "rabitqlib", "fast"), ("diskann", "zvec", "zvec")])
def test_a_library_that_is_not_there_is_left_out(vectors, times, monkeypatch, family, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    choice = choose(vectors, recall=0.9, families=[family, "exact"])
    assert choice.plan.index == "exact"
    assert f"vicino[{extra}]" in choice.trials[0].note


def test_one_that_has_no_room_for_its_files_is_left_out(vectors, times, need, monkeypatch):
    need(INDEXES.entry("diskann"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    choice = choose(vectors, recall=0.9, families=["diskann", "exact"])
    assert choice.plan.index == "exact"
    assert "0 MB are free" in choice.trials[0].note


def test_bad_input_is_named(vectors):
    for recall in (0, -1, 1.01, 97):
        with pytest.raises(InputError, match="recall of"):
            choose(vectors, recall=recall)
    with pytest.raises(UnknownName, match="did you mean hnsw"):
        choose(vectors, recall=0.9, families=["hnws"])
    with pytest.raises(EmptyInput):
        choose(vectors[:0], recall=0.9)
    with pytest.raises(EmptyInput, match="no questions"):
        choose(vectors, vectors[:0], recall=0.9)
    with pytest.raises(DimensionMismatch):
        choose(vectors, vectors[:5, :3], recall=0.9)
    with pytest.raises(InvalidVectors):
        choose(np.full((5, 2), np.nan), recall=0.9)
    with pytest.raises(InputError, match="does not rank by"):
        choose(vectors, recall=0.9, similarity="maxsim")
    with pytest.raises(InputError, match="k is 0"):
        choose(vectors, recall=0.9, k=0)
    for name in ("planned", "hnsw(similarity=euclidean)"):  # beside newer rows by cosine, its scores would mean another thing
        with pytest.raises(InputError, match="no index to choose"):
            choose(vectors, recall=0.9, families=[name])
    with pytest.raises(InputError, match="no parameter of HNSW"):
        choose(vectors, recall=0.9, families=["hnsw(mm=3)"])


def test_zero_vectors_and_equal_ones_disturb_nothing(times):
    vectors = np.zeros((400, 4), dtype=np.float32)
    vectors[200:] = np.eye(4)[np.arange(200) % 4]
    assert choose(vectors, recall=0.9, families=["exact", "hnsw"]).plan is not None


# Building again -------------------------------------------------------------------------------------------------------


def test_a_later_build_keeps_the_plan_or_raises_the_effort_and_says_so(vectors, times, caplog):
    plan = Plan("hnsw", {"m": 4, "ef_construction": 20}, 0.9, effort=200, worth=100)
    with caplog.at_level(logging.WARNING, "vicino"):
        index = build(plan, vectors, similarity="cosine")
        assert index.effort == 200
        assert caplog.text == ""
        index = build(replace(plan, effort=1), vectors, similarity="cosine")
    assert index.effort > 1
    assert index.recall_["lower"] >= 0.9
    assert "needs an effort of" in caplog.text


def test_a_later_build_that_cannot_have_the_recall_compares_all_and_says_so(vectors, times, caplog):
    plan = Plan("hnsw", {"m": 4, "ef_construction": 20}, 0.9995, effort=10, worth=100)
    with caplog.at_level(logging.WARNING, "vicino"):
        index = build(plan, vectors, similarity="cosine")
    assert "no longer has a recall of 0.9995" in caplog.text
    assert index.search(vectors[:5]).how == f"exact over {N:,}"
    assert true_recall(index, vectors, vectors[:50]).mean() == 1


def test_few_vectors_are_not_indexed_whatever_was_chosen(vectors):
    plan = Plan("hnsw", {}, 0.9, effort=20, worth=500)
    assert build(plan, vectors[:500], similarity="cosine").search(vectors[:1]).how == "exact over 500"
    assert build(Plan("exact", {}, 0.9), vectors[:500], similarity="dot").family == "exact"


# The measure ----------------------------------------------------------------------------------------------------------


def test_the_lower_bound_is_one():
    """Of many samples from a known distribution, the bound lies above the true mean in no more than a few per cent."""
    rng = np.random.default_rng(0)
    for mean in (0.5, 0.9, 0.99):
        above = [lower_bound(rng.binomial(10, mean, size=200) / 10) > mean for _ in range(500)]
        assert np.mean(above) <= 0.06
    assert lower_bound(np.zeros(10)) == 0


def test_the_judge_counts_either_of_two_equal_vectors():
    vectors = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0)
    judge = Judge(vectors, np.eye(3, dtype=np.float32), 1, "cosine")
    backwards = Exact().build(vectors[::-1].copy(), [str(row) for row in range(6)][::-1])
    assert judge.measure(backwards, None, {str(row): row for row in range(6)}) == Measured(
        None, 1.0, 1.0, pytest.approx(0, abs=10)
    )


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_judge_is_as_strict_with_short_vectors_as_with_long_ones(vectors, similarity, scale):
    some = normalise(vectors) if similarity == "cosine" else vectors * np.float32(scale)
    held, asked = some[100:], some[:100]
    row = {str(number): number for number in range(len(held))}
    judge = Judge(held, asked, 10, similarity)
    best = Exact(similarity=similarity).build(held)
    assert judge.measure(best, None, row).value == 1
    worse = INDEXES["hnsw"](similarity=similarity, m=2, ef_construction=4).build(held)
    pairs = zip(worse.search(asked, effort=1).ids.tolist(), best.search(asked).ids.tolist(), strict=True)
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in pairs])
    assert found < 0.9
    assert judge.measure(worse, 1, row).value == pytest.approx(found, abs=0.02)
