"""Recommending by two towers: what the index finds is what the scores say, less what was seen."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.data.interactions import Interactions
from vicino.errors import ArtifactCorrupt, InputError, NotFitted, UnknownName
from vicino.retrieval.recommenders import load
from vicino.retrieval.recommenders.base import Recommender
from vicino.retrieval.recommenders.two_tower import TwoTowerRecommender

pytest.importorskip("torch", reason="the extra 'torch' is not installed")

SMALL = "two-tower(epochs=3, vector_size=8, batch_size=64, threads=1)"


@pytest.fixture(scope="module")
def seen() -> Interactions:
    random = np.random.default_rng(0)
    pairs = [(f"u{user}", f"i{item}") for user in range(50) for item in random.permutation(60)[: 2 + user % 20].tolist()]
    found = Interactions.of([user for user, _ in pairs], [item for _, item in pairs])
    return Interactions((*found.users, "new"), (*found.items, "cold"), found.user, found.item, found.weight)


@pytest.fixture(scope="module")
def recommender(seen) -> TwoTowerRecommender:
    return TwoTowerRecommender(encoder=SMALL).fit(seen)


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("k", [1, 7, 61, 1000])
def test_the_index_finds_what_the_scores_say(recommender, seen, k, again):
    rows = np.arange(len(seen.users))[::-1]
    found = recommender.recommend_rows(rows, k, seen=again)
    expected = Recommender.recommend_rows(recommender, rows, k, seen=again)  # by all scores, in blocks
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    assert ((found.ids == None) == (expected.ids == None)).all()  # noqa: E711 - element by element
    assert found.ids[0, 0] == expected.ids[0, 0]


def test_what_was_liked_is_a_history(recommender):
    hits = recommender.liked(["i3", "i4", "nothing known"], 5)
    assert hits.ids.shape == (1, 5)
    assert not {"i3", "i4"} & set(hits.ids[0])
    np.testing.assert_allclose(recommender.liked(["i3"], 5).scores, recommender.similar("i3", 5).scores, atol=1e-5)
    with pytest.raises(UnknownName):
        recommender.liked(["nothing known"])
    with pytest.raises(InputError, match="k is"):
        recommender.liked(["i3"], 0)
    with pytest.raises(NotFitted):
        TwoTowerRecommender().liked(["i3"])


def test_an_item_of_which_nothing_is_known_is_like_none(recommender):
    with pytest.raises(InputError, match="nobody met"):
        recommender.similar("cold")


def test_another_index_finds_the_same(seen, recommender):
    pytest.importorskip("faiss", reason="the extra 'store' is not installed")
    other = TwoTowerRecommender(encoder=SMALL, index="hnsw").fit(seen)
    same = [
        len(set(left) & set(right)) / 5
        for left, right in zip(other.recommend(seen.users, 5).ids, recommender.recommend(seen.users, 5).ids, strict=True)
    ]
    assert np.mean(same) > 0.9


def test_an_encoder_that_has_learnt_is_taken_as_it_is(seen, recommender, tmp_path):
    around = TwoTowerRecommender.around(recommender.encoder_, seen)
    assert around.recommend("u1").top() == recommender.recommend("u1").top()
    assert TwoTowerRecommender(**around.get_params()).fit(seen).encoder_.space == recommender.encoder_.space
    opened = load(around.save(tmp_path / "r"))
    assert opened.recommend("u1").top() == recommender.recommend("u1").top()
    assert opened.encoder_.space == recommender.encoder_.space


def test_parts_of_two_saves_do_not_go_together(seen, recommender, tmp_path):
    import shutil

    one = recommender.save(tmp_path / "one")
    other = TwoTowerRecommender(encoder="two-tower(epochs=1, vector_size=4)").fit(seen).save(tmp_path / "other")
    shutil.rmtree(one / "encoder")
    shutil.copytree(other / "encoder", one / "encoder")
    with pytest.raises(ArtifactCorrupt):
        load(one)


@pytest.mark.parametrize("wrong", [{"encoder": "lsa"}, {"encoder": "two-towers"}, {"encoder": "two-tower(epoch=1)"}], ids=str)
def test_encoders_that_cannot_be_are_named(seen, wrong):
    with pytest.raises(InputError) as caught:
        TwoTowerRecommender(**wrong).fit(seen)
    assert caught.value.mend


def test_indexes_that_cannot_be_are_named(seen):
    with pytest.raises(UnknownName):
        TwoTowerRecommender(encoder=SMALL, index="fast").fit(seen).recommend("u1")
