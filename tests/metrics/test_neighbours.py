"""What neighbours say: against scikit-learn, by hand, with ties, in blocks, and on what fits together badly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from vicino.errors import DimensionMismatch, InputError, InvalidVectors
from vicino.metrics import neighbours
from vicino.metrics.neighbours import class_average_precision, knn_classes, nearest, recall_at_1, vote
from vicino.vectors import normalise

RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.normal(size=(5, 16))
LABELS = RANDOM.integers(0, 5, 300)
KNOWN = CENTRES[LABELS] + RANDOM.normal(size=(300, 16))
ASKED_LABELS = RANDOM.integers(0, 5, 80)
ASKED = CENTRES[ASKED_LABELS] + RANDOM.normal(size=(80, 16))


@pytest.fixture(params=[2**24, 1000], ids=["at once", "in blocks"])
def room(request, monkeypatch):
    monkeypatch.setattr(neighbours, "_CELLS", request.param)


def test_votes_are_those_of_scikit_learn(room):
    for k in (1, 3, 5):  # of two classes an odd number of neighbours has no ties
        two = LABELS % 2
        oracle = KNeighborsClassifier(k, metric="cosine").fit(KNOWN, two).predict(ASKED)
        assert (knn_classes(KNOWN, two, ASKED, k) == oracle).all()
    assert (knn_classes(KNOWN, LABELS, ASKED) == ASKED_LABELS).mean() > 0.9


def test_of_as_many_votes_the_nearest_decides():
    assert vote([[1, 2, 2, 1]]).tolist() == [1]
    assert vote([[3, 1, 2, 2, 1]]).tolist() == [1]
    assert vote([[0], [7]]).tolist() == [0, 7]
    assert nearest([[1, 0], [1, 0], [0, 1]], [[1, 0]], 9).tolist() == [[0, 1, 2]]


def test_the_nearest_other_is_never_oneself(room):
    cosines = normalise(KNOWN) @ normalise(KNOWN).T
    np.fill_diagonal(cosines, -2)
    expected = LABELS[cosines.argmax(axis=1)] == LABELS
    assert recall_at_1(KNOWN, LABELS).tolist() == expected.astype(float).tolist()
    assert recall_at_1([[1, 0], [1, 0], [0, 1]], [0, 0, 1]).tolist() == [1, 1, 0]


def test_average_precision_is_that_of_scikit_learn(room):
    found = class_average_precision(KNOWN, LABELS, ASKED, ASKED_LABELS)
    cosines = normalise(ASKED) @ normalise(KNOWN).T
    expected = [average_precision_score(own == LABELS, row) for own, row in zip(ASKED_LABELS, cosines, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_who_asks_for_the_like_of_itself_is_left_out(room):
    rows = np.array([5, 17, 299])
    found = class_average_precision(KNOWN, LABELS, KNOWN[rows], LABELS[rows], themselves=rows)
    for row, value in zip(rows, found, strict=True):
        others = np.delete(np.arange(300), row)
        assert value == pytest.approx(class_average_precision(KNOWN[others], LABELS[others], KNOWN[[row]], LABELS[[row]])[0])
    with pytest.raises(DimensionMismatch):
        class_average_precision(KNOWN, LABELS, KNOWN[rows], LABELS[rows], themselves=[1])


def test_what_does_not_fit_is_named():
    with pytest.raises(DimensionMismatch):
        knn_classes(KNOWN, LABELS[:5], ASKED)
    with pytest.raises(DimensionMismatch):
        knn_classes(KNOWN, LABELS, ASKED[:, :3])
    with pytest.raises(InputError, match="return_inverse"):
        recall_at_1(KNOWN, LABELS.astype(str))
    with pytest.raises(InputError, match="nearest other"):
        recall_at_1(KNOWN[:1], LABELS[:1])
    with pytest.raises(InvalidVectors, match="NaN"):
        nearest(KNOWN, [[np.nan] * 16], 1)
    with pytest.raises(InputError, match="known class"):
        nearest(np.empty((0, 16)), ASKED, 1)
    with pytest.raises(InputError):
        nearest(KNOWN, ASKED, 0)
    with pytest.raises(InputError):
        vote([1, 2])
    assert nearest(KNOWN, np.empty((0, 16)), 3).shape == (0, 3)
