"""Hard negatives: what is left out, and why, and what is chosen of the rest."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.errors import DimensionMismatch, InputError
from vicino.learning.negatives import Mining, mine

FOUND = np.array([[5, 3, 8, 1, 9, 0], [2, 4, 6, 7, -1, -1]])
SCORES = np.array([[1.0, 0.9, 0.8, 0.7, 0.6, 0.5], [4.0, 3.0, 2.0, 1.0, -np.inf, -np.inf]])


def test_by_hand():
    mined = mine(FOUND, SCORES, [[3], [2]], Mining(per_query=3, choice="top"))
    # 0.9 · 0.95 = 0.855 leaves 0.8 and below; 4 · 0.95 leaves everything after the positive
    assert mined.negatives.tolist() == [[8, 1, 9], [4, 6, 7]]
    assert mined.ranks.tolist() == [[2, 3, 4], [1, 2, 3]]
    assert mined.candidates == 10
    assert dict(mined.removed) == {"positive": 2, "same text": 0, "near the positive": 1, "taken for an answer": 0}
    assert str(mined).startswith("6 negatives (median rank 4) for 2 queries, 0 without any; of 10 candidates removed: 2 positive")


def test_an_answer_that_was_not_found_leaves_no_candidate_unless_its_score_is_known():
    mined = mine(FOUND, SCORES, [[77], [2]], Mining(choice="top"))
    assert mined.negatives.tolist() == [[-1], [4]]
    assert mined.without == 1
    known = mine(FOUND, SCORES, [[77], [2]], Mining(choice="top"), own_scores=np.array([0.75, 4.0]))
    assert known.negatives.tolist() == [[1], [4]]
    assert mine(FOUND, SCORES, [[77], [2]], Mining(choice="top", relative=None)).negatives.tolist() == [[5], [4]]


def test_a_range_of_ranks():
    mined = mine(FOUND, SCORES, [[5], [2]], Mining(per_query=9, first=2, last=4, choice="top"))
    assert mined.negatives[:, :3].tolist() == [[8, 1, -1], [6, 7, -1]]
    assert mined.candidates == 4


def test_several_answers_and_the_same_text_again():
    groups = np.arange(10)
    groups[8] = groups[5]  # 8 is 5 once more
    mined = mine(FOUND, SCORES, [[5, 3], [2]], Mining(per_query=4, choice="top", relative=None), groups=groups)
    assert mined.negatives[0].tolist() == [1, 9, 0, -1]
    assert mined.removed["positive"] == 3
    assert mined.removed["same text"] == 1


def test_what_another_model_takes_for_an_answer():
    judged = np.array([[9.0, 8, 1, 7, 2, 1], [5.0, 1, 6, 1, 0, 0]])
    mined = mine(FOUND, SCORES, [[5], [2]], Mining(per_query=4, choice="top"), judged=judged, own_judged=np.array([8.0, 5.0]))
    assert mined.negatives.tolist() == [[8, 1, 9, 0], [4, 7, -1, -1]]
    assert mined.removed["taken for an answer"] == 2
    assert mined.removed["near the positive"] == 0


def test_chance_is_seeded_and_fair():
    found = np.tile(np.arange(50), (4000, 1))
    scores = np.tile(np.linspace(1, 0.1, 50), (4000, 1))
    first, again, other = (mine(found, scores, [[0]] * 4000, Mining(per_query=2, seed=seed)).negatives for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    assert (first[:, 0] != first[:, 1]).all()
    counts = np.bincount(first.ravel(), minlength=50)
    kept = scores[0] <= 0.95
    assert counts[~kept].sum() == 0
    expected = 8000 / kept.sum()
    assert abs(counts[kept] - expected).max() < 6 * np.sqrt(expected)


def test_no_candidates_at_all():
    mined = mine(np.zeros((3, 0), np.int64), np.zeros((3, 0)), [[1]] * 3)
    assert mined.negatives.tolist() == [[-1]] * 3
    assert mined.without == 3
    assert "removed: none" in str(mined)


def test_what_cannot_be_is_named():
    for params in ({"per_query": 0}, {"first": 5, "last": 5}, {"first": -1}, {"choice": "best"}, {"relative": 0.0}):
        with pytest.raises(InputError):
            Mining(**params)
    for arguments, more in (
        ((FOUND, SCORES[:1], [[1], [2]]), {}),
        ((FOUND, SCORES, [[1]]), {}),
        ((FOUND, SCORES, [[1], [2]]), {"own_scores": np.ones(3)}),
        ((FOUND, SCORES, [[1], [2]]), {"judged": SCORES}),
        ((FOUND, SCORES, [[1], [2]]), {"judged": SCORES[:1], "own_judged": np.ones(2)}),
    ):
        with pytest.raises(DimensionMismatch):
            mine(*arguments, **more)
