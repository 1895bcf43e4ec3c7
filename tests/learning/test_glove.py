"""GloVe: against an example worked by hand, a slow plain oracle in the same order, and what must hold."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from vicino.errors import InputError
from vicino.learning import glove_kernels as kernels
from vicino.learning.cooccurrence import Cooccurrence, cooccurrence
from vicino.learning.glove import Embedding, Recipe, new_embedding, train
from vicino.learning.strata import strata
from vicino.learning.tiles import Tiles, tiled
from vicino.progress import listen

U64 = 2**64


def some_counts(n: int = 40, share: float = 0.3) -> Cooccurrence:
    """A random sparse matrix of counts from 0.1 to about 100."""
    random = np.random.default_rng(0)
    matrix = np.where(random.random((n, n)) < share, np.exp(random.normal(1, 1.5, (n, n))), 0).astype(np.float32)
    rows, columns = np.nonzero(matrix)
    return Cooccurrence(np.searchsorted(rows, np.arange(n + 1)), columns.astype(np.int32), matrix[rows, columns])


# The oracle: float64, one nonzero at a time, nothing shared with the kernel but the order ------------------------------


def in_random_order(n: int, seed: int) -> list[int]:
    """Fisher and Yates by SplitMix64, after Steele, Lea and Flood 2014."""
    order = list(range(n))
    for at in range(n - 1, 0, -1):
        seed = (seed + 0x9E3779B97F4A7C15) % U64
        z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % U64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % U64
        z ^= z >> 31
        other = (z >> 32) * (at + 1) >> 32
        order[at], order[other] = order[other], order[at]
    return order


def visits(counts: Cooccurrence, tiles: Tiles, recipe: Recipe):
    """The nonzeros (i, j, x) of each epoch, in the order that the recipe's seed gives."""
    cells, k = tiles.cells, tiles.k
    word = np.argsort(tiles.place)
    for epoch in range(recipe.epochs):
        random, order = np.random.default_rng([recipe.seed, epoch]), []
        for stratum in strata(k, random):
            for (a, b), seed in zip(stratum.tolist(), random.integers(2**62, size=k).tolist(), strict=True):
                begin, end = cells.starts[a * k + b : a * k + b + 2].tolist()
                for at in in_random_order(end - begin, seed):
                    i, j = cells.firsts[a] + cells.rows[begin + at], cells.firsts[b] + cells.columns[begin + at]
                    order.append((word[i], word[j], float(cells.values[begin + at])))
        assert len(order) == len(counts)
        yield order


def oracle(counts: Cooccurrence, tiles: Tiles, embedding: Embedding, recipe: Recipe):
    """AdaGrad as the authors' program has it; returns vectors, contexts, biases and the mean cost of each epoch."""
    W, C = embedding.vectors.astype(np.float64), embedding.contexts.astype(np.float64)
    b, c = np.zeros(len(W)), np.zeros(len(W))
    squares = [np.ones_like(each) for each in (W, C, b, c)]
    costs = []
    for order in visits(counts, tiles, recipe):
        cost = 0.0
        for i, j, x in order:
            f = min(1, (x / recipe.x_max) ** recipe.alpha)
            off = W[i] @ C[j] + b[i] + c[j] - np.log(x)
            cost += 0.5 * f * off * off
            gradients = f * off * C[j], f * off * W[i], f * off, f * off
            for weights, square, row, gradient in zip((W, C, b, c), squares, (i, j, i, j), gradients, strict=True):
                step = recipe.learning_rate * gradient
                weights[row] -= step / np.sqrt(square[row])
                square[row] += step * step
        costs.append(cost / len(counts))
    return W, C, b, c, costs


@pytest.mark.parametrize("size", [1000, 7])
@pytest.mark.parametrize(
    ("changes", "dim"),
    [({}, 5), ({"x_max": 1}, 16), ({"alpha": 0.5, "x_max": 100}, 33), ({"learning_rate": 0.3, "seed": 9}, 5)],
    ids=str,
)
def test_the_kernel_does_what_the_oracle_does(changes, dim, size):
    recipe = Recipe(**{"epochs": 3, "threads": 2, **changes})
    counts = some_counts()
    tiles = tiled(counts, size)
    embedding = new_embedding(tiles.place, dim, seed=4)
    W, C, b, c, costs = oracle(counts, tiles, embedding, recipe)
    training = train(tiles, embedding, recipe)
    np.testing.assert_allclose(embedding.vectors, W, atol=1e-5)
    np.testing.assert_allclose(embedding.contexts, C, atol=1e-5)
    np.testing.assert_allclose(embedding.biases, (b, c), atol=1e-5)
    np.testing.assert_allclose(training.losses, costs, rtol=1e-5)
    for side in (embedding.inputs, embedding.outputs):
        assert not side.vectors[:, dim:].any()


def test_an_example_worked_by_hand():
    """One nonzero, x = 4 of x_max = 16: f = 4 / 16 with alpha 1; w = (1, 0), c = (1, 2), so off = 1 - ln 4 = -0.386294.

    Cost ½ · 0.25 · 0.149223 = 0.018653. The step is s = 0.1 · 0.25 · off = -0.00965736 times the other vector, over √1; of the
    next step over √(1 + s²), which is 1 to five digits: w = (1, 0) - s (1, 2), c = (1, 2) - s (1, 0), both biases -s.
    """
    counts = Cooccurrence(np.array([0, 1]), np.array([0], np.int32), np.array([4], np.float32))
    tiles = tiled(counts, 1)
    embedding = new_embedding(tiles.place, 2, seed=0)
    embedding.inputs.vectors[0, :2], embedding.outputs.vectors[0, :2] = (1, 0), (1, 2)
    training = train(tiles, embedding, Recipe(x_max=16, alpha=1, learning_rate=0.1, epochs=1))
    assert training.losses == [pytest.approx(0.0186529, abs=1e-6)]
    np.testing.assert_allclose(embedding.vectors, [[1.00965736, 0.01931472]], atol=1e-6)
    np.testing.assert_allclose(embedding.contexts, [[1.00965736, 2]], atol=1e-6)
    np.testing.assert_allclose(embedding.biases, [[0.00965736], [0.00965736]], atol=1e-7)


# The parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "size", "k"), [(40, 7, 8), (40, 1000, 1), (40, 2, 20), (3, 2, 3), (1, 1, 1), (40, 39, 8)])
def test_every_nonzero_is_in_its_tile(n, size, k):
    counts = some_counts(n, share=0.5) if n > 1 else Cooccurrence(np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32))
    tiles = tiled(counts, size)
    cells = tiles.cells
    assert tiles.k == k
    assert sorted(tiles.place.tolist()) == list(range(n))
    found = {}
    for a in range(k):
        for b in range(k):
            for at in range(cells.starts[a * k + b], cells.starts[a * k + b + 1]):
                i, j = cells.firsts[a] + cells.rows[at], cells.firsts[b] + cells.columns[at]
                assert i < cells.firsts[a + 1]
                assert j < cells.firsts[b + 1]
                found[i, j] = cells.values[at]
    places = zip(tiles.place[counts.rows].tolist(), tiles.place[counts.columns].tolist(), strict=True)
    assert found == dict(zip(places, counts.values, strict=True))


def test_tiles_on_disk_are_the_same(tmp_path):
    counts = some_counts()
    here, there = tiled(counts, 7), tiled(counts, 7, memory=1, folder=tmp_path, threads=2)
    assert (here.on_disk, there.on_disk) == (False, True)
    for left, right in zip(here.cells, there.cells, strict=True):
        np.testing.assert_array_equal(left, right, strict=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="65536"):
        tiled(counts, 100_000)


@pytest.mark.parametrize("k", [1, 2, 9])
def test_tiles_of_a_stratum_share_nothing_and_all_come_once(k):
    seen = set()
    for stratum in strata(k, np.random.default_rng(3)):
        assert len(set(stratum[:, 0].tolist())) == len(set(stratum[:, 1].tolist())) == k
        seen |= set(map(tuple, stratum.tolist()))
    assert len(seen) == k * k


def test_a_shuffle_is_a_permutation_of_its_own_seed():
    orders = [kernels.shuffled(1000, seed) for seed in (1, 1, 2)]
    assert sorted(orders[0].tolist()) == list(range(1000))
    assert orders[0].tolist() == orders[1].tolist() == in_random_order(1000, 1)
    assert orders[0].tolist() != orders[2].tolist()


# Training -------------------------------------------------------------------------------------------------------------

TOPICS = 4


@pytest.fixture(scope="module")
def topics() -> Tiles:
    """Sentences of ten words, each mostly from one of four sets of five: 16 tiles."""
    random = np.random.default_rng(0)
    ids = (random.integers(0, TOPICS, (2000, 1)) * 5 + random.integers(0, 5, (2000, 10))).astype(np.int32)
    ids = np.where(random.random(ids.shape) < 0.2, random.integers(0, 20, ids.shape), ids).astype(np.int32).ravel()
    return tiled(cooccurrence(ids, np.arange(0, len(ids) + 1, 10), 20), 5)


def apart(embedding: Embedding) -> float:
    """The mean cosine inside the sets less that between them."""
    vectors = embedding.vectors + embedding.contexts
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines, same = units @ units.T, np.kron(np.eye(TOPICS), np.ones((5, 5)))
    return float(cosines[(same == 1) & ~np.eye(20, dtype=bool)].mean() - cosines[same == 0].mean())


def test_what_stands_together_comes_together(topics):
    embedding = new_embedding(topics.place, 10, seed=1)
    training = train(topics, embedding, Recipe(epochs=60))
    assert apart(embedding) > 0.4
    assert (training.ended, len(training.losses)) == ("whole", 60)
    assert training.losses[-1] < 0.1 * training.losses[0]


def test_threads_change_no_digit_and_a_seed_does(topics):
    def learnt(seed: int, threads: int) -> np.ndarray:
        embedding = new_embedding(topics.place, 10, seed=1)
        train(topics, embedding, Recipe(epochs=3, seed=seed, threads=threads))
        return embedding.vectors

    np.testing.assert_array_equal(learnt(0, 1), learnt(0, 1))
    np.testing.assert_array_equal(learnt(0, 1), learnt(0, 3))
    assert (learnt(0, 1) != learnt(1, 1)).any()


def test_the_loss_stands_in_the_label_as_it_goes(topics, monkeypatch):
    monkeypatch.setattr("vicino.progress._INTERVAL", 0)
    events = []
    with listen(events.append):
        training = train(topics, new_embedding(topics.place, 10, seed=1), Recipe(epochs=2), label="weighing")
    assert events[-1].done == events[-1].total == 2 * len(topics)
    told = [float(event.label.removeprefix("weighing, loss ")) for event in events[1:]]
    assert told[-1] == pytest.approx(training.losses[-1], abs=1e-4)


def stopping(monkeypatch, after: int, outcome):
    """Let the kernel run so many times, then do something else."""
    whole, calls = kernels.learn, []

    def learn(cells, tiles, seeds, words, *rest):
        calls.append(1)
        return whole(cells, tiles, seeds, words, *rest) if len(calls) <= after else outcome(words, len(tiles))

    monkeypatch.setattr(kernels, "learn", learn)


def interrupt(words, _):
    words.vectors[:] = 99
    raise KeyboardInterrupt


def spoil(words, m):
    words.biases[0] = np.nan
    return np.zeros(m)


def overflow(words, m):
    words.vectors[:] = 99
    return np.full(m, np.inf)


@pytest.mark.parametrize(
    ("outcome", "ended"), [(interrupt, "interrupted"), (spoil, "diverged"), (overflow, "diverged")], ids=["^C", "nan", "inf"]
)
def test_what_ends_too_early_keeps_the_last_whole_epoch(topics, monkeypatch, caplog, outcome, ended):
    expected, found = (new_embedding(topics.place, 10, seed=1) for _ in range(2))
    train(topics, expected, Recipe(epochs=2))
    stopping(monkeypatch, 2 * topics.k + 1, outcome)
    with caplog.at_level(logging.WARNING):
        training = train(topics, found, Recipe(epochs=5))
    assert (training.ended, len(training.losses)) == (ended, 2)
    assert f"{ended} in epoch 3 of 5: epoch 2 is kept" in caplog.text
    for mine, theirs in ((found.inputs, expected.inputs), (found.outputs, expected.outputs)):
        for name in mine._fields:  # the squares too
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


def test_a_rate_that_is_too_large_is_named_and_leaves_the_beginning(topics):
    embedding = new_embedding(topics.place, 10, seed=1)
    begun = embedding.vectors
    with pytest.raises(InputError, match="past all bounds"):
        train(topics, embedding, Recipe(learning_rate=1e30))
    np.testing.assert_array_equal(embedding.vectors, begun)


def test_an_interrupt_in_the_first_epoch_goes_on(topics, monkeypatch):
    stopping(monkeypatch, 1, interrupt)
    embedding = new_embedding(topics.place, 10, seed=1)
    begun = embedding.vectors
    with pytest.raises(KeyboardInterrupt):
        train(topics, embedding, Recipe())
    np.testing.assert_array_equal(embedding.vectors, begun)


@pytest.mark.parametrize(
    "changes",
    [{"epochs": 0}, {"epochs": 1.5}, {"threads": 0}, {"seed": -1}, {"x_max": 0}, {"alpha": float("nan")}, {"learning_rate": -1}],
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
        train(topics, new_embedding(np.arange(2), 10, seed=1), Recipe())
