"""The ladder of recommenders: what is measured, what is chosen and by what, what is refused, and how it is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vicino.data.interactions import Interactions
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.evaluation import recommendation
from vicino.evaluation.recommendation import RecommendationTask, compare_recommenders, measure
from vicino.evaluation.recommendation_text import recommendations_page, recommendations_text
from vicino.metrics.ranking import judge, ndcg, recall
from vicino.retrieval.recommenders import RECOMMENDERS, make
from vicino.retrieval.recommenders.ease import EASE


@pytest.fixture(scope="module")
def tastes():
    """120 users of three tastes; of the 20 items of its own taste each met about 10, and one of the others."""
    random = np.random.default_rng(0)
    users, items = [], []
    for user in range(120):
        own = random.permutation(20)[:10] + 20 * (user % 3)
        for item in {*own.tolist(), int(random.integers(60))}:
            users.append(f"u{user}")
            items.append(f"i{item}")
    return Interactions.of(users, items, random.integers(1, 9, len(users)), random.permutation(len(users)))


@pytest.fixture(scope="module")
def task(tastes):
    return RecommendationTask.of(tastes, name="tastes", seed=3)


@pytest.fixture(scope="module")
def compared(task):
    return compare_recommenders(task, ["popularity", "ease", "item-knn(neighbours=20)"])


def test_what_was_learnt_wins_over_what_is_popular(compared, task):
    assert compared["ease"].mean > 2 * compared["popularity"].mean
    assert compared["popularity"].p < 0.01
    assert compared["ease"].gain.low > 0
    assert compared["popularity"].gain is None
    assert compared.pick in ("ease", "item-knn(neighbours=20)")
    assert compared.pick in compared.verdict
    found = compared["popularity"].found
    assert found.bias > compared["ease"].found.bias
    assert found.coverage < compared["ease"].found.coverage
    assert found.crowding > compared["ease"].found.crowding
    assert found.surprise < compared["ease"].found.surprise


def test_the_numbers_are_those_of_the_rankings(compared, task):
    made = EASE(**compared["ease"].params).fit(task.train)
    judged = judge(made.recommend([task.train.users[row] for row in task.held.users], 20).ids, task.answers)
    found = compared["ease"].found
    np.testing.assert_array_equal(found.values, ndcg(judged, 20))
    assert found.metrics["Recall@20"].mean == pytest.approx(recall(judged, 20).mean())
    assert found.metrics["nDCG@20"].low < found.values.mean() < found.metrics["nDCG@20"].high


def test_parameters_are_chosen_without_what_is_asked(compared, task, monkeypatch):
    seen = []

    def fit(self, interactions):
        seen.append(interactions)
        return original(self, interactions)

    original = EASE.fit
    monkeypatch.setattr(EASE, "fit", fit)
    again = compare_recommenders(task, ["ease"])
    assert (again["ease"].params, again["ease"].tried) == (compared["ease"].params, len(EASE.grid))
    held = {
        (user, item) for user, items in zip(task.held.users.tolist(), task.held.truth, strict=True) for item in items.tolist()
    }
    assert len(seen) == len(EASE.grid) + 1
    for interactions in seen:
        assert not held & set(zip(interactions.user.tolist(), interactions.item.tolist(), strict=True))
    assert all(len(interactions) < len(task.train) for interactions in seen[:-1])
    assert {name: again["ease"].params[name] for name in EASE.grid[0]} in [
        {name: each.get(name, EASE.defaults()[name]) for name in EASE.grid[0]} for each in EASE.grid
    ]


def test_named_parameters_stay(task):
    found = compare_recommenders(task, ["ease(regularization=7.0)", "pure-svd"], tune=False)
    assert found["ease(regularization=7.0)"].params["regularization"] == 7.0
    assert [rung.tried for rung in found.rungs] == [0, 0]
    assert found["pure-svd"].params == RECOMMENDERS["pure-svd"]().get_params()


def test_a_saved_recommender_learns_anew_from_what_is_left(tastes, task, tmp_path):
    """What it was saved with knew the answers."""
    folder = str(EASE(regularization=20.0).fit(tastes).save(tmp_path / "r"))
    found = compare_recommenders(task, [folder, "ease(regularization=20.0)"])
    np.testing.assert_array_equal(found[folder].found.values, found["ease(regularization=20.0)"].found.values)


def test_new_users_and_items_are_told_apart(tastes):
    few = Interactions.of(
        [*(tastes.users[row] for row in tastes.user), "new", "new", "u0", "u1"],
        [*(tastes.items[row] for row in tastes.item), "i0", "i1", "odd", "odd"],
    )
    task = RecommendationTask.of(few, seed=1)
    new = measure(make("item-knn").fit(task.train), task).new
    assert new["users"][0] == 1
    rare = [items[0] for items in task.held.truth if task.popularity[items[0]] <= 5]
    assert new.get("items", (0, None))[0] == len(rare)


@pytest.mark.parametrize("split", ["last-one", "temporal", "cold-items"])
def test_every_split_can_be_climbed(tastes, split):
    found = compare_recommenders(RecommendationTask.of(tastes, split=split), ["popularity", "item-knn"], tune=False)
    assert found.task.split == split
    assert not [rung.error for rung in found.rungs if rung.error]


def test_many_users_are_sampled(tastes, monkeypatch):
    monkeypatch.setattr(recommendation, "_ASKED", 50)
    task = RecommendationTask.of(tastes)
    assert len(task.held) == len(task.held.truth) == len(task.answers) == 50
    assert "50 of 120 users" in task.notes[0]


def test_one_that_fails_does_not_stop_the_others(task):
    found = compare_recommenders(task, ["popularity", "als(factors=0)"])
    assert "factors=0" in found["als(factors=0)"].error
    assert "als(factors=0)" in found.verdict
    assert "failed" in recommendations_text(found)
    with pytest.raises(EmptyInput, match="factors=0"):
        compare_recommenders(task, ["als(factors=0)"])


def test_what_cannot_be_is_refused_before_anything_is_measured(task, tastes):
    for candidates, names in ((["eas"], ["nDCG@20"]), (["ease(colour=1)"], ["nDCG@20"]), (["ease"], ["magic@3"])):
        with pytest.raises(UnknownName):
            compare_recommenders(task, candidates, metric_names=names)
    for candidates, names in (([], ["nDCG@20"]), (["ease"], [])):
        with pytest.raises(InputError):
            compare_recommenders(task, candidates, metric_names=names)
    with pytest.raises(UnknownName, match="did you mean temporal"):
        RecommendationTask.of(tastes, split="temporall")
    compared = compare_recommenders(task, ["popularity"])
    with pytest.raises(UnknownName):
        compared["ease"]


def test_a_comparison_is_told_as_text_and_as_json(compared):
    text = recommendations_text(compared)
    for told in ("tastes", "popularity", "ease", "nDCG@20", "leave-one-out, seed 3", "chosen from", compared.verdict):
        assert told in text
    page = recommendations_page(compared, command="vicino compare <b>")
    assert "item-knn(neighbours=20)" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    plain = json.loads(json.dumps(compared.to_json(), allow_nan=False))
    assert [one["name"] for one in plain["candidates"]] == ["popularity", "ease", "item-knn(neighbours=20)"]
    assert plain["candidates"][1]["metrics"]["nDCG@20"]["mean"] == pytest.approx(compared["ease"].mean)
    assert plain["task"]["asked"] == 120
