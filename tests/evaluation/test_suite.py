"""The table of every task: what it says of answers made by hand, what it keeps, and what cannot be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.evaluation import page
from vicino.evaluation.suite import TASKS, judge, open_task
from vicino.evaluation.suite.base import MARGIN, Contender, Measure, Task, mean_of, scored
from vicino.evaluation.suite.contenders import encoded, overlap, paired, parted
from vicino.evaluation.suite.text import table_text
from vicino.metrics import resampled
from vicino.metrics.significance import bootstrap_interval, randomisation_test

N = 400
RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.integers(0, 2, N).astype(float)
GOOD = TRUTH + RANDOM.normal(size=N) * 0.4
ANSWERS = {
    "good": GOOD,
    "twin": GOOD + 1e-4 * RANDOM.normal(size=N),
    "plain": TRUTH + RANDOM.normal(size=N) * 2,
    "constant": np.zeros(N),
}


def task(measures=None, answers=ANSWERS, simple=("plain",), groups=None, calls=None) -> Task:
    def prepare(name: str) -> Contender:
        if name not in answers:
            raise UnknownName.among(name, answers, kind="candidate")

        def answer():
            if calls is not None:
                calls.append(name)
            if isinstance(answers[name], Exception):
                raise answers[name]
            return {"scores": answers[name]}

        return Contender(answer, name in simple, identity=name)

    return Task(
        kind="by hand",
        name="<b>made</b>",
        about="made by hand",
        unit="items",
        size=len(TRUTH),
        measures=measures or {"ROC-AUC": scored("ranked rightly", resampled.roc_auc, TRUTH)},
        shown=tuple(measures or ("ROC-AUC",)),
        ladder=("good", "plain"),
        prepare=prepare,
        fingerprint="made",
        groups=groups,
    )


RIGHT = mean_of("share told rightly", lambda outcome: ((outcome["scores"] > 0.5) == TRUTH).astype(float))


# The table ------------------------------------------------------------------------------------------------------------


def test_the_better_wins_beyond_chance_and_the_verdict_says_so():
    found = judge(task())
    assert [rung.decision for rung in found.rungs] == ["best", "worse"]
    assert found.pick == "good"
    assert "good wins: ROC-AUC" in found.verdict
    assert found.baseline == "plain"
    assert found["plain"].p < 0.01
    assert found["plain"].gain is None
    gain = found["good"].gain
    assert 0 < gain.low < gain.mean < gain.high
    for rung in found.rungs:
        mean, low, high = rung.metrics["ROC-AUC"]
        assert low < mean < high
    assert found["good"].values is None  # an area under a curve is no mean


def test_what_is_the_same_is_told_and_the_simple_one_is_taken():
    found = judge(task(simple=("twin",)), ["good", "twin"])
    twin = found["twin"] if found["twin"].decision != "best" else found["good"]
    assert twin.decision == "the same"
    assert found.pick == "twin"
    assert f"surely within ±{MARGIN:g}" in found.verdict


def test_a_mean_is_tested_as_means_are():
    found = judge(task({"right": RIGHT}))
    good, plain = (RIGHT.each({"scores": ANSWERS[name]}) for name in ("good", "plain"))
    assert found["good"].values.tolist() == good.tolist()
    assert found["plain"].p == pytest.approx(randomisation_test(good, plain), abs=1e-12)
    assert found["good"].metrics["right"].mean == pytest.approx(good.mean())
    ours, theirs = found["plain"].metrics["right"], bootstrap_interval(plain)
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)
    assert found.to_json()["statistics"]["test"].startswith("paired randomisation")


def test_what_hangs_together_is_drawn_together():
    pairs = np.repeat(np.arange(N // 8), 8)
    answers = {"a": np.repeat(RANDOM.normal(size=N // 8), 8), "b": np.zeros(N) + 0.3}
    measure = {"value": mean_of("the mean", lambda outcome: outcome["scores"])}
    alone = judge(task(measure, answers, simple=()), ["a", "b"])["a"].metrics["value"]
    together = judge(task(measure, answers, simple=(), groups=pairs), ["a", "b"])["a"].metrics["value"]
    assert together.mean == pytest.approx(alone.mean)
    assert together.high - together.low > 2 * (alone.high - alone.low)  # eight items tell as much as one: √8 times as wide


def test_equal_candidates_are_rarely_told_apart():
    """Under the null of two candidates alike, the paired bootstrap declares a winner about as often as it may."""
    alarms = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        truth = random.integers(0, 2, 150).astype(float)
        answers = {name: truth + random.normal(size=150) for name in ("a", "b")}
        measures = {"AUC": scored("", resampled.roc_auc, truth)}
        made = task(measures, answers, simple=())
        made = Task(**{**vars(made), "size": 150, "seed": seed})
        alarms += any(rung.decision == "worse" for rung in judge(made, ["a", "b"]).rungs)
    assert alarms <= 10  # 3 are expected; 11 or more come once in 5,000 times


def test_the_best_of_six_equals_beats_nobody_more_often_than_it_may():
    """The best is chosen after having seen the values: corrected for its rivals only, alarms were too many."""
    alarms = {"AUC": 0, "right": 0}
    for seed in range(30):
        random = np.random.default_rng(seed)
        truth = random.integers(0, 2, 80).astype(float)
        answers = {name: truth + random.normal(size=80) for name in "abcdef"}
        measures = {
            "AUC": scored("", resampled.roc_auc, truth),
            "right": mean_of("", lambda outcome, truth=truth: ((outcome["scores"] > 0.5) == truth).astype(float)),
        }
        made = Task(**{**vars(task(measures, answers, simple=())), "size": 80, "seed": seed})
        for first in measures:
            alarms[first] += any(rung.decision == "worse" for rung in judge(made, list("abcdef"), measures=[first]).rungs)
    assert max(alarms.values()) <= 7  # 1.5 are expected; 8 or more come once in 10,000 times


def test_few_items_without_any_difference_are_no_proof_that_there_is_none():
    right = mean_of("", lambda outcome: outcome["scores"])
    area = scored("", resampled.roc_auc, np.array([0.0, 1.0] * 10))
    for measure in (right, area):
        answers = {name: np.array([0.0, 1.0] * 10) for name in "ab"}
        made = Task(**{**vars(task({"one": measure}, answers, simple=())), "size": 20})
        found = judge(made, ["a", "b"])
        assert sorted(rung.decision for rung in found.rungs) == ["best", "not told apart"]
        assert [rung.p for rung in found.rungs if rung.p is not None] == [1.0]


def test_what_draws_overstate_has_its_value_inside_its_interval():
    """Repeated items agree with themselves: all draws of a V-measure lie above it."""
    random = np.random.default_rng(5)
    groups = np.arange(300) % 20
    measure = Measure("", lambda outcome, counts: resampled.clustered(groups, outcome["scores"], counts).v_measure)
    answers = {
        "some": np.where(random.random(300) < 0.3, groups, random.integers(0, 20, 300)),
        "none": random.integers(0, 20, 300),
    }
    made = Task(**{**vars(task({"V": measure}, answers, simple=("none",))), "size": 300})
    found = judge(made, ["some", "none"])
    for rung in found.rungs:
        mean, low, high = rung.metrics["V"]
        assert low < mean < high < 1
    gain = found["some"].gain
    assert 0 < gain.low < gain.mean < gain.high
    assert found["none"].decision == "worse"


def test_one_that_fails_is_named_and_the_others_go_on():
    found = judge(task(answers=ANSWERS | {"broken": RuntimeError("out of order")}), ["good", "broken", "constant", "plain"])
    assert found["broken"].error == "out of order"
    assert not found["constant"].error  # equal scores are chance, for an area under a curve
    assert found["constant"].metrics["ROC-AUC"].mean == 0.5
    assert "Not measured, because they failed: broken" in found.verdict
    undefined = {"Spearman": scored("", resampled.spearman, GOOD)}
    told = judge(task(undefined), ["good", "constant"])
    assert "undefined" in told["constant"].error
    with pytest.raises(EmptyInput, match="constant"):
        judge(task(undefined), ["constant"])
    bad = ANSWERS | {"nan": np.where(np.arange(N) == 3, np.nan, GOOD)}
    assert "NaN" in judge(task(answers=bad), ["good", "nan"])["nan"].error


def test_what_cannot_be_is_named_before_anything_is_asked():
    calls = []
    with pytest.raises(UnknownName, match="god"):
        judge(task(calls=calls), ["good", "god"])
    with pytest.raises(UnknownName, match="measure"):
        judge(task(calls=calls), measures=["ROC"])
    assert calls == []
    with pytest.raises(InputError, match="tell nothing"):
        Task(**{**vars(task()), "size": 1})
    with pytest.raises(UnknownName, match="similarity"):
        open_task("similarty", "nowhere")


def test_answers_are_kept_and_one_more_candidate_costs_one(tmp_path):
    calls = []
    first = judge(task(calls=calls), ["good"], cache=tmp_path)
    assert calls == ["good"]
    again = judge(task(calls=calls), ["good", "plain"], cache=tmp_path)
    assert calls == ["good", "plain"]
    assert (again["good"].cached, again["plain"].cached) == (True, False)
    assert again["good"].seconds == first["good"].seconds
    assert again["good"].metrics == first["good"].metrics
    for file in tmp_path.rglob("*.safetensors"):
        file.write_bytes(b"damaged")
    assert judge(task(calls=calls), ["good"], cache=tmp_path)["good"].metrics == first["good"].metrics
    assert calls == ["good", "plain", "good"]


def test_the_same_task_gives_the_same_numbers():
    assert judge(task()).to_json()["candidates"][0]["metrics"] == judge(task()).to_json()["candidates"][0]["metrics"]


def test_all_of_it_is_plain_data_text_and_a_page():
    measures = {"right": RIGHT, "ROC-AUC": scored("ranked rightly", resampled.roc_auc, TRUTH)}
    found = judge(task(measures, answers=ANSWERS | {"<i>broken": RuntimeError("<u>no")}), ["good", "plain", "<i>broken"])
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["schema"] == "vicino.table/1"
    assert plain["metrics"] == [
        {"name": "right", "summary": "share told rightly"},
        {"name": "ROC-AUC", "summary": "ranked rightly"},
    ]
    assert [one["name"] for one in plain["candidates"]] == ["good", "plain", "<i>broken"]
    assert len(plain["candidates"][0]["values"]) == N
    text = table_text(found)
    for part in ("made by hand", "good *", "failed", "right: share told rightly", found.verdict):
        assert part in text
    html = page.render_table(plain | {"command": "vicino <compare>"})
    assert "<i>broken" not in html
    assert "<u>no" not in html
    assert "&lt;b&gt;made" in html
    assert "<script" not in html


def test_every_task_is_a_function_and_a_line():
    for name in TASKS:
        assert callable(TASKS[name])
        assert TASKS.entry(name).summary


# Parts ----------------------------------------------------------------------------------------------------------------


def test_equal_texts_are_encoded_once():
    seen = []

    class Counting:
        def encode(self, texts):
            seen.extend(texts)
            return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

    vectors, rows = encoded(Counting(), ["a", "bb", "a"])
    assert seen == ["a", "bb"]
    assert rows.tolist() == [0, 1, 0]
    np.testing.assert_allclose(paired(vectors, [0, 0], [0, 1]), [1, (2 + 1) / np.sqrt(2 * 5)], rtol=1e-6)


def test_sparse_rows_can_be_clustered():
    from scipy.sparse import csr_array

    from vicino.evaluation.suite.classes import _clustered

    class Wide:
        def encode(self, texts):
            rows = csr_array(np.eye(len(texts), dtype=np.float32))
            rows.indices, rows.indptr = rows.indices.astype(np.int64), rows.indptr.astype(np.int64)
            return rows

    vectors, places = encoded(Wide(), ["a", "b", "c", "a"])
    found = _clustered(vectors[places], 3, 0)  # scikit-learn takes no indices of 64 bits
    assert found[0] == found[3]
    assert len(set(found.tolist())) == 3


def test_sparse_and_dense_rows_have_the_same_cosines():
    from scipy.sparse import csr_array

    rows = RANDOM.normal(size=(30, 8)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    left, right = RANDOM.integers(30, size=(2, 50))
    np.testing.assert_allclose(paired(csr_array(unit), left, right), paired(unit, left, right), atol=1e-6)


def test_words_in_common():
    assert overlap(["The cat sat", "", "a b"], ["the CAT ran", "", "c"]).tolist() == [0.5, 0.0, 0.0]


def test_a_way_is_told_from_a_name():
    assert parted("deepwalk(p=1):hadamard", ["hadamard"]) == ("deepwalk(p=1)", "hadamard")
    assert parted("hadamard", ["hadamard"]) == ("hadamard", "")
    assert parted("f(x=a:knn)", ["knn"]) == ("f(x=a:knn)", "")


def test_a_measure_needs_no_mean():
    spread = Measure("spread", lambda outcome, counts: resampled.mean(outcome["scores"] ** 2, counts))
    assert spread.each is None
