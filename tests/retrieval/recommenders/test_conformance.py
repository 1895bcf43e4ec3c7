"""Every recommender of the catalogue: shapes, what was seen, who is new, saving, bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest

import vicino.retrieval.recommenders as room
from vicino import artifacts
from vicino.data.interactions import Interactions
from vicino.errors import ArtifactCorrupt, EmptyInput, InputError, NotFitted, UnknownName
from vicino.retrieval.recommenders import RECOMMENDERS, Recommender, load, make

NAMES = list(RECOMMENDERS)
every_recommender = pytest.mark.parametrize("name", NAMES)


def made(name: str) -> Recommender:
    """Small enough for a matrix of twelve items."""
    if RECOMMENDERS.entry(name).extra is not None:
        pytest.importorskip(str(RECOMMENDERS.entry(name).extra))
    small = {"als": {"factors": 2, "regularization": 1.0}, "pure-svd": {"factors": 2}, "item-knn": {"shrinkage": 1.0}}
    small["two-tower"] = {"encoder": "two-tower(epochs=9, vector_size=8, batch_size=32, threads=1)"}
    return RECOMMENDERS[name](**small.get(name, {}))


@pytest.fixture(scope="module")
def tastes():
    """Two groups of thirty users, each with its own six items, of which each user met four; and one user who met nothing."""
    random = np.random.default_rng(0)
    users, items = [], []
    for user in range(60):
        own = random.permutation(6)[:4] + 6 * (user % 2)
        users += [f"u{user}"] * 4
        items += [f"i{item}" for item in own]
    found = Interactions.of(users, items, random.integers(1, 5, len(users)))
    return Interactions((*found.users, "new"), found.items, found.user, found.item, found.weight, item_names={"i3": "Three"})


@every_recommender
def test_scores_are_finite_and_the_same_again(name, tastes):
    one, two = made(name).fit(tastes), made(name).fit(tastes)
    rows = np.arange(61)
    scores = one.scores(rows)
    assert (scores.shape, scores.dtype) == ((61, 12), np.float32)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, two.scores(rows))
    np.testing.assert_allclose(one.scores([5, 60, 5]), scores[[5, 60, 5]], rtol=1e-4, atol=1e-5)
    assert one.scores([]).shape == (0, 12)


@every_recommender
def test_what_was_seen_is_recommended_only_where_asked(name, tastes):
    recommender = made(name).fit(tastes)
    hits = recommender.recommend(list(tastes.users), 12)
    for user, ids in zip(tastes.users, hits.ids, strict=True):
        own = {tastes.items[item] for item in tastes.item[tastes.user == tastes.user_row(user)].tolist()}
        shown = [each for each in ids if each is not None]
        assert len(shown) == 12 - len(own)
        assert not own & set(shown)
    assert (np.diff(np.where(np.isneginf(hits.scores), -1e30, hits.scores), axis=1) <= 0).all()
    everything = recommender.recommend("u0", 99, seen=True)
    assert set(everything.ids[0]) == set(tastes.items)


@every_recommender
def test_a_user_without_history_gets_what_is_popular(name, tastes):
    counts = np.bincount(tastes.item, minlength=12)
    hits = made(name).fit(tastes).recommend("new", 1)
    assert hits.scores[0, 0] == counts.max()
    assert counts[tastes.item_row(hits.ids[0, 0])] == counts.max()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "popularity"])
def test_tastes_are_learnt(name, tastes):
    recommender = made(name).fit(tastes)
    hits = recommender.recommend([f"u{user}" for user in range(60)], 2)
    for user, ids in enumerate(hits.ids):
        assert {int(item[1:]) // 6 for item in ids} == {user % 2}
    for item in range(12):
        assert {int(each[1:]) // 6 for each in recommender.similar(f"i{item}", 3).ids[0]} == {item // 6}
        assert f"i{item}" not in recommender.similar(f"i{item}", 12).ids[0]


def test_popularity_knows_no_likeness(tastes):
    with pytest.raises(InputError, match="alike"):
        made("popularity").fit(tastes).similar("i0")


@every_recommender
def test_what_is_saved_opens_the_same(name, tastes, tmp_path):
    recommender = made(name).fit(tastes)
    opened = load(recommender.save(tmp_path / "r"))
    assert type(opened) is type(recommender)
    assert opened.get_params() == recommender.get_params()
    assert opened.item_names_ == {"i3": "Three"}
    rows = np.arange(61)
    np.testing.assert_array_equal(opened.scores(rows), recommender.scores(rows))
    assert make(tmp_path / "r").recommend("u0", 3).ids.tolist() == recommender.recommend("u0", 3).ids.tolist()
    assert not list(tmp_path.rglob("*.pkl"))


@every_recommender
def test_fitting_again_forgets_the_first(name, tastes):
    other = Interactions.of(["x", "x", "y", "y", "z"], ["a", "b", "a", "b", "a"])
    again = made(name).fit(tastes)
    again.recommend("u0")
    again.fit(other)
    np.testing.assert_array_equal(again.scores([0, 1, 2]), made(name).fit(other).scores([0, 1, 2]))
    with pytest.raises(UnknownName):
        again.recommend("u0")


@every_recommender
def test_what_cannot_be_is_refused(name, tastes):
    recommender = made(name)
    for ask in (lambda: recommender.scores([0]), lambda: recommender.recommend("u0"), lambda: recommender.similar("i0")):
        with pytest.raises(NotFitted):
            ask()
    with pytest.raises(NotFitted):
        recommender.save("never")
    with pytest.raises(EmptyInput):
        recommender.fit(tastes.subset(np.zeros(len(tastes), bool)))
    with pytest.raises(InputError, match="not Interactions"):
        recommender.fit([("u0", "i0")])
    recommender.fit(tastes)
    with pytest.raises(UnknownName, match="u0"):
        recommender.recommend("u00")
    with pytest.raises(UnknownName):
        recommender.recommend(["u0", 3])
    with pytest.raises(UnknownName):
        recommender.similar("tea")
    for k in (0, -1):
        with pytest.raises(InputError, match="k is"):
            recommender.recommend("u0", k)
    with pytest.raises(InputError, match="k is"):
        recommender.similar("i0", 0)
    for rows in ([61], [-1]):
        with pytest.raises(InputError, match="user rows"):
            recommender.scores(rows)


@pytest.mark.parametrize(
    "text",
    [
        *("als(factors=0)", "als(regularization=0.0)", "als(solver=magic)", "ease(regularization=0.0)"),
        *("ease(weighting=heavy)", "item-knn(neighbours=0)", "item-knn(shrinkage=-1.0)", "pure-svd(factors=0)"),
    ],
)
def test_parameters_that_cannot_be_are_refused(text, tastes):
    with pytest.raises(InputError):
        make(text).fit(tastes)


def test_names_that_are_none_are_told():
    with pytest.raises(UnknownName, match="did you mean ease"):
        make("eas")
    with pytest.raises(UnknownName, match="factors"):
        make("als(factor=3)")


def test_a_damaged_save_is_noticed(tastes, tmp_path):
    folder = made("als").fit(tastes).save(tmp_path / "r")
    saved = artifacts.read(folder)
    for changes in ({"recommender": "nobody"}, {"params": {"colour": "red"}}, {"item_names": None}):
        artifacts.write(folder, kind="recommender", data={**saved.data, **changes}, arrays=saved.arrays)
        with pytest.raises(ArtifactCorrupt):
            load(folder)
    arrays = {name: value for name, value in saved.arrays.items() if name != "item_factors"}
    artifacts.write(folder, kind="recommender", data=saved.data, arrays=arrays)
    with pytest.raises(ArtifactCorrupt, match="item_factors"):
        load(folder)
    artifacts.write(folder, kind="recommender", data=saved.data, arrays={**saved.arrays, "items": ["a"]})
    with pytest.raises(ArtifactCorrupt):
        load(folder)
    assert json.loads((folder / "manifest.json").read_text())["kind"] == "recommender"


def test_blocks_of_users_change_nothing(tastes, monkeypatch):
    whole = made("als").fit(tastes).recommend(list(tastes.users), 5)
    monkeypatch.setattr(room.base, "_CELLS", 40)
    parts = made("als").fit(tastes).recommend(list(tastes.users), 5)
    assert whole.ids.tolist() == parts.ids.tolist()
