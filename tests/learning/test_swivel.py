"""Swivel: against an example worked by hand, a slow plain oracle in the same order, and what must hold."""

from __future__ import annotations

import errno
import logging
import os
import signal

import numpy as np
import pytest

from vicino.errors import ArtifactError, InputError, VicinoError
from vicino.learning import swivel
from vicino.learning import swivel_kernels as kernels
from vicino.learning.cooccurrence import Cooccurrence, cooccurrence
from vicino.learning.strata import strata
from vicino.learning.swivel import Embedding, Recipe, new_embedding, train
from vicino.learning.tiles import tiled


def as_counts(matrix: np.ndarray) -> Cooccurrence:
    rows, columns = np.nonzero(matrix)
    starts = np.searchsorted(rows, np.arange(len(matrix) + 1))
    return Cooccurrence(starts, columns.astype(np.int32), matrix[rows, columns].astype(np.float32))


def some_matrix(n: int = 40, share: float = 0.3) -> np.ndarray:
    """Counts from 0.1 to about 100; the last word has none."""
    random = np.random.default_rng(0)
    matrix = np.where(random.random((n, n)) < share, np.exp(random.normal(1, 1.5, (n, n))), 0).astype(np.float32)
    matrix[-1] = matrix[:, -1] = 0
    return matrix


# The oracle: float64, the whole matrix, one cell after another ---------------------------------------------------------


def losses_and_slopes(W, C, X, recipe) -> tuple[np.ndarray, np.ndarray]:
    """The loss of every cell, and its derivative by the product of its vectors: the formulas of the paper."""
    losses, slopes = np.empty(X.shape), np.empty(X.shape)
    rows, columns = np.maximum(X.sum(axis=1), 1), np.maximum(X.sum(axis=0), 1)
    for i, j in np.ndindex(*X.shape):
        pmi = np.log(X[i, j] if X[i, j] else 1) + np.log(X.sum()) - np.log(rows[i]) - np.log(columns[j])
        off = W[i] @ C[j] - pmi
        if X[i, j]:
            f = recipe.confidence_base + recipe.confidence_scale * X[i, j] ** recipe.confidence_exponent
            losses[i, j], slopes[i, j] = 0.5 * f * off**2, f * off
        else:
            losses[i, j], slopes[i, j] = np.log1p(np.exp(off)), 1 / (1 + np.exp(-off))
    return losses, slopes


def told(losses: np.ndarray, seen: np.ndarray, seed: int) -> float:
    """The loss of a tile: of all pairs that were seen, and of the others by one row in 16, if there are so many."""
    judged = np.array([len(losses) < 16 or (row + seed) % 16 == 0 for row in range(len(losses))])
    return losses[seen].sum() + np.where(seen, 0, losses)[judged].sum() * len(losses) / judged.sum()


def oracle(X: np.ndarray, k: int, embedding: Embedding, recipe: Recipe):
    """Vectors, contexts and the mean loss of each epoch; word w is of group w mod k."""
    W, C = embedding.vectors.astype(np.float64), embedding.contexts.astype(np.float64)
    squares = np.full_like(W, 0.1), np.full_like(C, 0.1)
    means = []
    for epoch in range(recipe.epochs):
        random, total = np.random.default_rng([recipe.seed, epoch]), 0.0
        for stratum in strata(k, random):
            for (a, b), seed in zip(stratum.tolist(), random.integers(2**62, size=k).tolist(), strict=True):
                losses, slopes = losses_and_slopes(W, C, X, recipe)
                total += told(losses[a::k, b::k], X[a::k, b::k] > 0, seed)
                slopes = slopes[a::k, b::k]
                by_rows, by_columns = slopes @ C[b::k] / slopes.shape[1], slopes.T @ W[a::k] / slopes.shape[0]
                for weights, square, group, gradient in (
                    (W, squares[0], slice(a, None, k), by_rows),
                    (C, squares[1], slice(b, None, k), by_columns),
                ):
                    square[group] += gradient**2
                    weights[group] -= recipe.learning_rate * gradient / np.sqrt(square[group])
        means.append(total / X.size)
    return W, C, means


@pytest.mark.parametrize(("size", "k"), [(1000, 1), (7, 8)])
@pytest.mark.parametrize(
    ("changes", "dim"),
    [
        ({}, 5),
        ({"confidence_base": 0, "confidence_scale": 1, "confidence_exponent": 0.3}, 16),
        ({"learning_rate": 0.1, "seed": 9}, 3),
    ],
    ids=str,
)
def test_the_blocks_do_what_the_oracle_does(changes, dim, size, k):
    recipe = Recipe(**{"epochs": 2, "threads": 2, **changes})
    X = some_matrix()
    counts = as_counts(X)
    tiles = tiled(counts, size)
    assert tiles.k == k
    embedding = new_embedding(tiles.place, dim, seed=4)
    W, C, means = oracle(X.astype(np.float64), k, embedding, recipe)
    training = train(counts, tiles, embedding, recipe)
    np.testing.assert_allclose(embedding.vectors, W, atol=2e-5)
    np.testing.assert_allclose(embedding.contexts, C, atol=2e-5)
    np.testing.assert_allclose(training.losses, means, rtol=1e-4)


def test_an_example_worked_by_hand():
    """X = [[0, 2], [2, 0]]: |D| = 4, every sum 2; pmi of what was seen is ln 2 + ln 4 - 2 ln 2 = 0.693147, else 0.

    w = (1, 0), c = (0, 1). Seen: f = 0.1 + 0.25 √2 = 0.453553; products 1 · 1 and 0 · 0; errors 0.306853 and -0.693147, slopes
    f · error = 0.139174 and -0.314379. Not seen: products 1 · 0 = 0 twice, slopes ½. So G = [[½, 0.139174], [-0.314379, ½]].
    By rows G c / 2 = (0.069587, 0.25), by columns Gᵀ w / 2 = (0.25, 0.069587); squares are 0.1 plus theirs, the rate 1:
    0.069587 / √0.104842 = 0.214913, and 0.25 / √0.1625 = 0.620174. Loss (½ f (0.306853² + 0.693147²) + 2 ln 2) / 4 = 0.379147.
    """
    counts = as_counts(np.array([[0, 2], [2, 0]]))
    tiles = tiled(counts, 2)
    embedding = Embedding(
        tiles.place, np.array([[1], [0]], np.float32), np.array([[0], [1]], np.float32), np.full((2, 2, 1), 0.1, np.float32)
    )
    training = train(counts, tiles, embedding, Recipe(epochs=1))
    np.testing.assert_allclose(embedding.vectors, [[1 - 0.214913], [-0.620174]], atol=1e-5)
    np.testing.assert_allclose(embedding.contexts, [[-0.620174], [1 - 0.214913]], atol=1e-5)
    assert training.losses == [pytest.approx(0.379147, abs=1e-5)]


# Training -------------------------------------------------------------------------------------------------------------

TOPICS = 4


@pytest.fixture(scope="module")
def topics() -> Cooccurrence:
    """Sentences of ten words, each from one of four sets of five."""
    random = np.random.default_rng(0)
    ids = (random.integers(0, TOPICS, (1000, 1)) * 5 + random.integers(0, 5, (1000, 10))).astype(np.int32).ravel()
    return cooccurrence(ids, np.arange(0, len(ids) + 1, 10), 20)


def learnt(counts: Cooccurrence, **changes):
    tiles = tiled(counts, 5)
    embedding = new_embedding(tiles.place, 10, seed=1)
    return embedding, train(counts, tiles, embedding, Recipe(**{"epochs": 20, **changes}))


def test_what_stands_together_comes_together_and_the_rest_is_kept_apart(topics):
    embedding, training = learnt(topics)
    products = embedding.vectors @ embedding.contexts.T
    same = np.kron(np.eye(TOPICS), np.ones((5, 5))) == 1
    assert products[same].mean() == pytest.approx(np.log(TOPICS), abs=0.2)  # the mutual information of a set
    assert products[~same].max() < products[same].min()
    assert (training.ended, len(training.losses)) == ("whole", 20)
    assert training.losses[-1] < training.losses[0] / 2


def test_threads_change_no_digit_and_a_seed_does(topics):
    once, again, threads, seed = (learnt(topics, epochs=3, **more)[0] for more in ({}, {}, {"threads": 3}, {"seed": 1}))
    np.testing.assert_array_equal(once.inputs, again.inputs)
    np.testing.assert_array_equal(once.inputs, threads.inputs)
    np.testing.assert_array_equal(once.outputs, threads.outputs)
    assert (once.inputs != seed.inputs).any()


@pytest.mark.long
def test_several_processes_learn_the_same_and_leave_nothing_behind(topics, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one, several = learnt(topics, epochs=3), learnt(topics, epochs=3, processes=2)
    for name in ("inputs", "outputs"):
        np.testing.assert_array_equal(getattr(one[0], name), getattr(several[0], name))
    np.testing.assert_array_equal(one[0].squares[1], several[0].squares[1])
    assert one[1].losses == pytest.approx(several[1].losses)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("vicino")]


def test_a_rate_that_is_too_large_is_named_by_several_processes_too(topics):
    with pytest.raises(InputError, match="past all bounds"):
        learnt(topics, learning_rate=1e30, processes=2)


def test_a_full_disk_is_named(topics, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ArtifactError, match="No space left"):
        learnt(topics, processes=2)


def test_a_process_that_is_killed_is_named(topics, monkeypatch):
    monkeypatch.setattr(swivel, "_learn_from", _killed)
    with pytest.raises(VicinoError, match="killed from outside"):
        learnt(topics, processes=2)


def _killed(*_) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.long
def test_processes_need_no_guard_in_the_program_that_starts_them(python):
    """Where others demand `if __name__ == "__main__"`."""
    program = """
from vicino.encoders import Swivel
words = Swivel(vector_size=8, epochs=2, processes=2).fit(["red wine and white wine", "red tea and white tea"])
print(words["wine"].shape)
"""
    assert python(program).split() == ["(8,)"]


@pytest.mark.parametrize(("error", "ended"), [(KeyboardInterrupt, "interrupted"), (None, "diverged")])
def test_what_ends_too_early_keeps_the_last_whole_epoch(topics, monkeypatch, caplog, error, ended):
    expected, _ = learnt(topics, epochs=2)
    whole, calls = kernels.grade, []

    def grade(products, *rest):
        calls.append(1)
        if len(calls) > 2 * 64 + 5:
            products[:] = np.nan
            if error:
                raise error
        return whole(products, *rest)

    monkeypatch.setattr(kernels, "grade", grade)
    with caplog.at_level(logging.WARNING):
        found, training = learnt(topics)
    assert (training.ended, len(training.losses)) == (ended, 2)
    assert "epoch 2 is kept" in caplog.text
    np.testing.assert_array_equal(found.inputs, expected.inputs)
    np.testing.assert_array_equal(found.squares, expected.squares)


def test_a_rate_that_is_too_large_is_named(topics):
    with pytest.raises(InputError, match="past all bounds"):
        learnt(topics, learning_rate=1e30)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"threads": 0},
        {"processes": 0},
        {"seed": 0.5},
        {"confidence_base": -1},
        {"confidence_exponent": np.inf},
        {"learning_rate": 0},
    ],
    ids=str,
)
def test_a_recipe_that_cannot_be_is_named(changes):
    with pytest.raises(InputError, match=f"{next(iter(changes))}="):
        Recipe(**changes)


@pytest.mark.parametrize("dim", [0, 2.5, "x"])
def test_vectors_of_dimensions_that_cannot_be_are_named(dim):
    with pytest.raises(InputError, match="dimensions"):
        new_embedding(np.arange(3), dim, seed=0)


def test_an_embedding_of_other_words_is_named(topics):
    with pytest.raises(InputError, match="tiles"):
        train(topics, tiled(topics, 5), new_embedding(np.arange(2), 10, seed=1), Recipe())
