"""Records: frozen, checked where shapes must fit, and equal after a trip through JSON."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.records import Chunk, Document, Hits, Judgement, Query, Recipe
from vicino.errors import InputError


@pytest.mark.parametrize(
    "record", [Document("1", "text"), Chunk("1", 0, 4, "text"), Query("1", "text"), Judgement("1", "2", 1), Recipe("lexical")]
)
def test_records_do_not_change(record):
    field = dataclasses.fields(record)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, field, "other")
    assert dataclasses.replace(record) == record


def test_the_content_of_a_document_begins_with_its_title():
    assert Document("1", "text").content == "text"
    assert Document("1", "text", "title").content == "title\ntext"


def hits(*rows: list[str | None], complete: bool = True) -> Hits:
    ids = np.array(rows, dtype=object)
    scores = np.where(ids == None, -np.inf, 1.0).astype(np.float32)  # noqa: E711 - elementwise
    return Hits(ids, scores, complete)


def test_hits_without_their_padding():
    found = hits(["a", "b"], ["c", None], [None, None])
    assert len(found) == 3
    assert found.top() == [("a", 1.0), ("b", 1.0)]
    assert found.top(1) == [("c", 1.0)]
    assert found.top(2) == []


@pytest.mark.parametrize(("ids", "scores"), [((2, 3), (2, 2)), ((2,), (2,)), ((2, 3), (3, 2)), ((1, 2, 3), (1, 2, 3))])
def test_hits_that_do_not_fit_are_named(ids, scores):
    with pytest.raises(InputError, match="do not fit"):
        Hits(np.full(ids, "a", dtype=object), np.zeros(scores, dtype=np.float32))


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4)
RECIPES = st.recursive(
    st.builds(Recipe, st.text(min_size=1, max_size=6), st.dictionaries(st.text(max_size=4), VALUES, max_size=3)),
    lambda inner: st.builds(Recipe, st.just("fused"), st.just({}), st.lists(inner, min_size=1, max_size=3).map(tuple)),
    max_leaves=5,
)


@given(RECIPES)
def test_a_recipe_survives_json_and_keeps_its_name(recipe):
    back = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert back == recipe
    assert back.fingerprint == recipe.fingerprint


def test_recipes_of_other_content_have_other_names():
    inner = Recipe("dense", {"encoder": "lsa"})
    recipes = [
        Recipe("lexical"),
        Recipe("lexical", {"k1": 0.9}),
        Recipe("lexical", {"b": 0.9}),
        Recipe("fused", {}, (inner, Recipe("lexical"))),
        Recipe("fused", {}, (Recipe("lexical"), inner)),
        Recipe("fused", {"method": "convex"}, (Recipe("lexical"), inner)),
    ]
    assert len({recipe.fingerprint for recipe in recipes}) == len(recipes)
    assert Recipe("x", {"a": 1, "b": 2}).fingerprint == Recipe("x", {"b": 2, "a": 1}).fingerprint


def test_hits_from_rows():
    names = np.array(["x", "y"], dtype=object)
    scores = np.array([[2, 1, 0], [3, 0, 0]], dtype=np.float32)
    found = Hits.of_rows(names, np.array([[1, 0, -1], [0, -1, -1]]), scores, complete=False)
    assert found.ids.tolist() == [["y", "x", None], ["x", None, None]]
    assert found.scores.tolist() == [[2, 1, -np.inf], [3, -np.inf, -np.inf]]
    assert not found.complete


def test_hits_from_rows_know_whether_they_are_complete():
    names, scores = np.array(["x", "y"], dtype=object), np.zeros((2, 2), dtype=np.float32)
    assert Hits.of_rows(names, np.array([[1, 0], [0, 1]]), scores, complete=None).complete
    assert not Hits.of_rows(names, np.array([[1, 0], [0, -1]]), scores, complete=None).complete
    assert Hits.of_rows(names, np.array([[1, 0], [0, -1]]), scores).complete
    assert Hits.of_rows(names, np.empty((0, 2), dtype=np.int64), scores[:0], complete=None).complete
