"""Which recipes learn with chance, and the same with another seed."""

from __future__ import annotations

import pytest

from vicino.evaluation.seeds import reseeded
from vicino.retrieval import parse


@pytest.mark.parametrize("name", ["bm25", "tfidf", "lsa(seed=3)", "bm25+tfidf:tuned"])
def test_what_draws_nothing_or_names_its_seed_is_left(name):
    assert reseeded(parse(name), 1) is None


def test_every_part_that_learns_is_moved_and_the_rest_stays():
    recipe = parse("bm25+lsa(n_components=4)")
    moved = reseeded(recipe, 2)
    assert moved.parts[0] == recipe.parts[0]
    assert moved.parts[1].params == {"encoder": "lsa", "encoder_params": {"n_components": 4, "seed": 2}}
    assert (moved.retriever, moved.params) == (recipe.retriever, recipe.params)
    assert reseeded(recipe, 1) != reseeded(recipe, 2)
