"""Each family against its formula, written out with dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.data.interactions import Interactions
from vicino.errors import InputTooLarge
from vicino.retrieval.recommenders import ease as ease_module
from vicino.retrieval.recommenders import item_knn as knn_module
from vicino.retrieval.recommenders.ease import EASE
from vicino.retrieval.recommenders.item_knn import ItemKNN
from vicino.retrieval.recommenders.pure_svd import PureSVD


def seen(users: int, items: int, seed: int = 0) -> Interactions:
    """Random tastes, in which everybody and everything has one interaction at least."""
    random = np.random.default_rng(seed)
    met = random.random((users, items)) < 0.3
    met[np.arange(users), np.arange(users) % items] = True
    met[np.arange(items) % users, np.arange(items)] = True
    rows, columns = np.nonzero(met)
    names = tuple(map(str, range(users))), tuple(map(str, range(items)))
    return Interactions(*names, rows, columns, random.integers(1, 6, len(rows)).astype(np.float32))


@pytest.mark.parametrize(("users", "items"), [(30, 12), (12, 30), (20, 20)])  # more users, fewer users, as many
@pytest.mark.parametrize("weighting", ["binary", "raw", "log"])
def test_ease_is_steck_s_closed_form(users, items, weighting):
    given = seen(users, items)
    x = given.matrix().toarray().astype(np.float64)
    x = {"binary": (x > 0) * 1.0, "raw": x, "log": np.log1p(x)}[weighting]
    inverse = np.linalg.inv(x.T @ x + 3.0 * np.eye(items))
    b = inverse / -np.diag(inverse)
    np.fill_diagonal(b, 0)
    made = EASE(regularization=3.0, weighting=weighting).fit(given)
    np.testing.assert_allclose(made.scores(np.arange(users)), x @ b, rtol=1e-3, atol=1e-4)
    told = dict(made.similar("4", items).top())
    assert told == pytest.approx({str(item): b[4, item] for item in range(items) if item != 4}, rel=1e-3, abs=1e-4)


def test_ease_refuses_what_would_not_fit(monkeypatch):
    monkeypatch.setattr(ease_module, "LARGEST", 10)
    EASE().fit(seen(10, 30))  # the smaller side counts
    with pytest.raises(InputTooLarge, match="11 rows"):
        EASE().fit(seen(11, 30))
    monkeypatch.setattr(ease_module, "_memory", lambda: 1000.0)
    with pytest.raises(InputTooLarge, match="10 rows"):
        EASE().fit(seen(10, 30))


def test_ease_in_blocks_is_the_same(monkeypatch):
    whole = [EASE(regularization=3.0).fit(seen(*size)).scores([0, 5]) for size in ((30, 12), (12, 30))]
    monkeypatch.setattr(ease_module, "_CELLS", 40)
    parts = [EASE(regularization=3.0).fit(seen(*size)).scores([0, 5]) for size in ((30, 12), (12, 30))]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", [1, 30, 1 << 23])
def test_item_knn_is_a_shrunk_cosine_of_the_nearest(monkeypatch, block):
    monkeypatch.setattr(knn_module, "_BLOCK", block)
    given = seen(25, 14)
    x = (given.matrix().toarray() > 0).astype(np.float64)
    lengths = np.linalg.norm(x, axis=0)
    alike = x.T @ x / (np.outer(lengths, lengths) + 2.0)
    np.fill_diagonal(alike, 0)
    for row in alike:
        row[np.argsort(-row, kind="stable")[4:]] = 0
    made = ItemKNN(neighbours=4, shrinkage=2.0).fit(given)
    np.testing.assert_allclose(made.similarities_.toarray(), alike, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(made.scores(np.arange(25)), x @ alike.T, rtol=1e-4, atol=1e-5)


def test_pure_svd_is_the_truncated_matrix():
    given = seen(25, 14)
    x = given.matrix().toarray().astype(np.float64)
    left, values, right = np.linalg.svd(x, full_matrices=False)
    best = (left[:, :5] * values[:5]) @ right[:5]
    made = PureSVD(factors=5, weighting="raw").fit(given)
    np.testing.assert_allclose(made.scores(np.arange(25)), best, atol=0.05)
    whole = PureSVD(factors=99, weighting="raw").fit(given)
    np.testing.assert_allclose(whole.scores(np.arange(25)), x, atol=1e-3)
