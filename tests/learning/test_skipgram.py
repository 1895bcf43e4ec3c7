"""Skip-gram and CBOW: against an example worked by hand, a slow plain oracle with the same random numbers, and what must hold."""

from __future__ import annotations

import heapq
import logging
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vicino.errors import EmptyInput, InputError
from vicino.learning import draw_kernels, window_kernels
from vicino.learning import skipgram_kernels as kernels
from vicino.learning.skipgram import Embedding, Recipe, keep_probabilities, new_embedding, train
from vicino.progress import listen

U64 = 2**64
GOLDEN = 0x9E3779B97F4A7C15


# The oracle: float64, one pair at a time, nothing shared with the kernel but the order of the random draws --------------


class Draws:
    """SplitMix64, after Steele, Lea and Flood 2014."""

    def __init__(self, seed: int) -> None:
        self.state = self.mixed(seed)

    @staticmethod
    def mixed(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % U64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % U64
        return z ^ (z >> 31)

    def bits(self) -> int:
        self.state = (self.state + GOLDEN) % U64
        return self.mixed(self.state)

    def below(self, n: int) -> int:
        return (self.bits() >> 32) * n >> 32


def sigmoid(z: float) -> float:
    return 1 / (1 + np.exp(-z))


def drawn_words(recipe, cells, draws) -> list[int]:
    """As many words as are set against a centre."""
    words = []
    for _ in range(recipe.negative):
        bits = draws.bits()
        drawn = (bits >> 32) * len(cells) >> 32
        alias, threshold = divmod(int(cells[drawn]), 2**32)
        words.append(drawn if bits % 2**32 < threshold else alias)
    return words


def targets_of(centre, drawn, recipe, paths) -> list[tuple[int, int]]:
    """The targets of a window with their labels."""
    targets = [(centre, 1)] if recipe.negative else []
    targets += [(word, 0) for word in drawn if word != centre]
    if recipe.hs:
        span = slice(paths.starts[centre], paths.starts[centre + 1])
        targets += zip(paths.targets[span].tolist(), paths.labels[span].tolist(), strict=True)
    return targets


class Plain:
    """The vectors of a sentence's words: those that are learnt."""

    def __init__(self, inputs, words, window) -> None:
        self.inputs, self.words, self.window = inputs, words, window
        self.sizes = np.ones(len(words))

    def move(self, centre: int) -> None:
        pass

    def __getitem__(self, place: int) -> np.ndarray:
        return self.inputs[self.words[place]].copy()

    def learn(self, place: int, change) -> None:
        self.inputs[self.words[place]] += change


class Composed(Plain):
    """Each the mean of the word's parts, as they were when it came into reach; they learn when it is out of reach."""

    def __init__(self, inputs, words, window, parts) -> None:
        super().__init__(inputs, words, window)
        self.parts = [parts[word] for word in words]
        self.sizes = np.array([len(each) for each in self.parts])
        self.made, self.learnt = [], []

    def move(self, centre: int) -> None:
        gone = centre - self.window - 1
        if 0 <= gone < len(self.words):
            for row in self.parts[gone]:
                self.inputs[row] += self.learnt[gone]
        for rows in self.parts[len(self.made) : centre + self.window + 1]:
            self.made.append(np.mean([self.inputs[row] for row in rows], axis=0))
            self.learnt.append(np.zeros_like(self.made[-1]))

    def __getitem__(self, place: int) -> np.ndarray:
        return self.made[place] + self.learnt[place]

    def learn(self, place: int, change) -> None:
        self.learnt[place] += change


def oracle(sentences, counts, embedding: Embedding, recipe: Recipe, parts=None) -> tuple[np.ndarray, np.ndarray]:
    """One epoch of one block; word w is the mean of the inputs parts[w]."""
    inputs, outputs = (each.astype(np.float64) for each in (embedding.vectors, embedding.contexts))
    keep = keep_probabilities(counts, recipe.sample)
    cells = draw_kernels.alias_table(counts**recipe.ns_exponent)
    paths = draw_kernels.huffman(counts)
    draws = Draws(recipe.seed * 1_000_003 * 1_000_003)
    drawn = drawn_words(recipe, cells, draws)  # one window early
    total, done = sum(map(len, sentences)), 0
    for sentence in sentences:
        rate = recipe.alpha + (recipe.min_alpha - recipe.alpha) * done / total
        done += len(sentence)
        words = [word for word in sentence if np.float32(draws.bits() >> 40) * np.float32(2**-24) < keep[word]]
        near = Composed(inputs, words, recipe.window, parts) if parts else Plain(inputs, words, recipe.window)
        for place, centre in enumerate(words):
            near.move(place)
            reach = recipe.window - (draws.below(recipe.window) if recipe.shrink_windows else 0)
            around = [at for at in range(max(0, place - reach), min(len(words), place + reach + 1)) if at != place]
            if not around:
                continue
            targets = targets_of(centre, drawn, recipe, paths)
            drawn = drawn_words(recipe, cells, draws)
            before = outputs.copy()
            if recipe.skip_gram:
                predictors = [(near[at], [(at, 1.0)]) for at in around]
            else:
                whole = near.sizes[around].sum()
                mean = near.sizes[around] @ [near[at] for at in around] / (whole if recipe.mean else 1)
                predictors = [(mean, [(at, 1.0 if recipe.mean else 1 / whole) for at in around])]
            for x, owners in predictors:
                for target, label in targets:
                    g = rate * (label - sigmoid(x @ before[target]))
                    outputs[target] += g * x
                    for at, share in owners:
                        near.learn(at, share * g * before[target])
        for place in range(len(words), len(words) + recipe.window + 1):
            near.move(place)
    return inputs, outputs


def some_sentences(seed: int, n_words: int) -> list[list[int]]:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 15, 20)
    return [np.minimum(random.geometric(0.2, length) - 1, n_words - 1).tolist() for length in lengths]


def packed(sentences) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array([word for sentence in sentences for word in sentence], np.int32)
    return ids, np.cumsum([0, *map(len, sentences)], dtype=np.int64)


def started(n: int, dim: int, *, hs: bool = False) -> Embedding:
    """Vectors and outputs larger than those that training begins with, so that every term counts."""
    random = np.random.default_rng(7)
    vectors, contexts = random.normal(size=(n, dim)), random.normal(size=(2 * n - 1 if hs else n, dim))
    return new_embedding(n, dim, 0, hs=hs, vectors=vectors / 2, contexts=contexts / 2)


@pytest.mark.parametrize("dim", [3, 16, 50])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"negative": 1},
        {"negative": 2, "window": 1},
        {"negative": 7, "shrink_windows": False},
        {"sample": 0, "ns_exponent": -0.5},
        {"hs": True, "negative": 0},
        {"hs": True, "negative": 3},
        {"skip_gram": False},
        {"skip_gram": False, "mean": False, "negative": 4},
        {"skip_gram": False, "hs": True, "negative": 0},
        {"seed": 12345, "alpha": 0.2},
    ],
    ids=str,
)
def test_the_kernel_does_what_the_oracle_does(changes, dim):
    recipe = Recipe(**{"epochs": 1, "sample": 0.05, "window": 4, "seed": 3, **changes})
    sentences = some_sentences(1, 12)
    ids, offsets = packed(sentences)
    counts = np.bincount(ids, minlength=12)
    embedding = started(12, dim, hs=recipe.hs)
    inputs, outputs = oracle(sentences, counts, embedding, recipe)
    train(ids, offsets, counts, embedding, recipe)
    np.testing.assert_allclose(embedding.vectors, inputs, atol=1e-5)
    np.testing.assert_allclose(embedding.contexts, outputs, atol=1e-5)
    assert not embedding.inputs[:, dim:].any()
    assert not embedding.outputs[:, dim:].any()


@pytest.mark.parametrize("dim", [3, 50])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"window": 1},
        {"window": 20, "shrink_windows": False},
        {"hs": True, "negative": 0},
        {"skip_gram": False},
        {"skip_gram": False, "mean": False},
    ],
    ids=str,
)
def test_words_of_several_parts_learn_as_the_oracle_does(changes, dim):
    recipe = Recipe(**{"epochs": 1, "sample": 0.05, "window": 2, "seed": 3, **changes})
    sentences = some_sentences(2, 12)
    ids, offsets = packed(sentences)
    counts = np.bincount(ids, minlength=12)
    parts = [[word, *{12 + word % 5, 12 + word % 3}][: 1 + word] for word in range(12)]
    random = np.random.default_rng(7)
    embedding = new_embedding(12, dim, 0, hs=recipe.hs, parts=5, contexts=random.normal(size=(23 if recipe.hs else 12, dim)))
    embedding.inputs[:, :dim] = random.normal(size=(17, dim))
    inputs, outputs = oracle(sentences, counts, embedding, recipe, parts)
    flat = np.array([row for rows in parts for row in rows], np.uint32)
    train(ids, offsets, counts, embedding, recipe, parts=kernels.Parts(np.cumsum([0, *map(len, parts)]), flat))
    np.testing.assert_allclose(embedding.vectors, inputs, atol=1e-5)
    np.testing.assert_allclose(embedding.contexts, outputs, atol=1e-5)
    assert not embedding.inputs[:, dim:].any()


def test_words_of_one_part_each_learn_like_words_without():
    """But for what words learn that stand in one window twice: here none does."""
    sentences = np.random.default_rng(0).permuted(np.tile(np.arange(30, dtype=np.int32), (20, 1)), axis=1)
    text = sentences.ravel(), np.arange(0, 601, 30), np.full(30, 20)
    recipe = Recipe(window=14, epochs=2, sample=0, shrink_windows=False)
    plain, parted = new_embedding(30, 8, 1), new_embedding(30, 8, 1)
    train(*text, plain, recipe)
    train(*text, parted, recipe, parts=kernels.Parts(np.arange(31), np.arange(30, dtype=np.uint32)))
    np.testing.assert_allclose(parted.vectors, plain.vectors, atol=1e-6)


def test_an_example_worked_by_hand():
    """Two words have one inner node, (0, 2); word 0 should turn its neighbours away from it, the rarer word 1 towards it.

    Centre 0, neighbour 1 = (1, 0): z = 0, g = 0.1 (0 - 0.5) = -0.05; the node becomes (0, 2) - 0.05 (1, 0), the neighbour
    (1, 0) - 0.05 (0, 2). Centre 1, neighbour 0 = (0, 1): z = 2, g = 0.1 (1 - 0.880797) = 0.0119203; the node becomes
    (-0.05, 2) + 0.0119203 (0, 1), the neighbour (0, 1) + 0.0119203 (-0.05, 2).
    """
    contexts = np.array([[9, 9], [9, 9], [0, 2]])
    embedding = new_embedding(2, 2, 0, hs=True, vectors=np.array([[0, 1], [1, 0]]), contexts=contexts)
    recipe = Recipe(window=1, negative=0, hs=True, sample=0, alpha=0.1, min_alpha=0.1, epochs=1)
    train(np.array([0, 1], np.int32), np.array([0, 2]), np.array([2, 1]), embedding, recipe)
    np.testing.assert_allclose(embedding.vectors, [[-0.000596, 1.0238406], [1, -0.1]], atol=1e-6)
    np.testing.assert_allclose(embedding.contexts, [[9, 9], [9, 9], [-0.05, 2.0119203]], atol=1e-6)


# The parts ------------------------------------------------------------------------------------------------------------


@given(weights=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=60))
def test_the_alias_table_draws_by_the_weights(weights):
    cells = draw_kernels.alias_table(np.array(weights))
    alias, share = (cells >> np.uint64(32)).astype(int), (cells & np.uint64(2**32 - 1)) / (2**32 - 1)
    found = share + np.bincount(alias, 1 - share, minlength=len(weights))
    np.testing.assert_allclose(found / len(weights), np.array(weights) / sum(weights), atol=1e-8)


@given(counts=st.lists(st.integers(1, 10_000), min_size=1, max_size=60))
def test_the_huffman_tree_is_a_tree_and_the_shortest(counts):
    starts, targets, labels = draw_kernels.huffman(np.array(counts))
    depths = np.diff(starts)
    assert depths @ np.array(counts) == shortest(counts)
    assert set(targets.tolist()) == set(range(len(counts), 2 * len(counts) - 1))  # all inner nodes, and nothing else
    ways = {tuple(zip(targets[a:b].tolist(), labels[a:b].tolist(), strict=True)) for a, b in pairwise(starts)}
    assert len(ways) == len(counts)


def shortest(counts) -> int:
    """The cost of any Huffman tree: the sum of what is merged."""
    heap, cost = sorted(counts), 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        heapq.heappush(heap, merged)
        cost += merged
    return cost


@given(z=st.floats(-60, 60, width=32), label=st.sampled_from([0.0, 1.0]))
@settings(max_examples=200)
def test_the_step_is_that_of_the_logistic_function(z, label):
    G = np.array([z, 5, 5], np.float32)
    window_kernels.grade(G, np.array([label], np.float32), 1, 1, 3, np.float32(0.5))
    assert G[0] == pytest.approx(0.5 * (label - sigmoid(z)), abs=5e-6)
    assert not G[1:].any()


def test_frequent_words_are_left_out_at_times():
    keep = keep_probabilities(np.array([960_000, 39_000, 1000]), 1e-3)
    np.testing.assert_allclose(keep, [np.sqrt(1e-3 / 0.96) + 1e-3 / 0.96, np.sqrt(1e-3 / 0.039) + 1e-3 / 0.039, 1], rtol=1e-6)
    assert (keep_probabilities(np.array([5, 0]), 0) == 1).all()


def test_rows_begin_with_a_cache_line():
    embedding = new_embedding(5, 33, seed=1)
    assert embedding.inputs.shape == (5, 48)
    assert embedding.inputs.ctypes.data % 64 == embedding.outputs.ctypes.data % 64 == 0
    assert embedding.vectors.shape == embedding.contexts.shape == (5, 33)


# Training -------------------------------------------------------------------------------------------------------------

TOPICS = 4


@pytest.fixture(scope="module")
def topics() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sentences of ten words, each from one of four sets of five; longer than a block."""
    random = np.random.default_rng(0)
    ids = (random.integers(0, TOPICS, (12_000, 1)) * 5 + random.integers(0, 5, (12_000, 10))).astype(np.int32).ravel()
    return ids, np.arange(0, len(ids) + 1, 10), np.bincount(ids)


def apart(embedding: Embedding) -> float:
    """The mean cosine inside the sets less that between them."""
    units = embedding.vectors / np.linalg.norm(embedding.vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    same = np.kron(np.eye(TOPICS), np.ones((5, 5)))
    return float(cosines[(same == 1) & ~np.eye(20, dtype=bool)].mean() - cosines[same == 0].mean())


@pytest.mark.parametrize(
    "changes",
    [{}, {"threads": 3}, {"skip_gram": False}, {"hs": True, "negative": 0}, {"skip_gram": False, "mean": False}],
    ids=str,
)
def test_what_stands_together_comes_together(topics, changes):
    embedding = new_embedding(20, 10, seed=1, hs=changes.get("hs", False))
    training = train(*topics, embedding, Recipe(epochs=4, alpha=0.05, sample=0, **changes))
    assert apart(embedding) > 0.4
    assert training.ended == "whole"
    assert len(training.losses) == 4
    assert training.losses[-1] < 0.95 * training.losses[0]


def test_one_thread_is_the_same_to_the_bit_and_a_seed_is_not(topics):
    def learnt(seed: int) -> np.ndarray:
        embedding = new_embedding(20, 10, seed=1)
        train(*topics, embedding, Recipe(epochs=1, seed=seed))
        return embedding.inputs

    np.testing.assert_array_equal(learnt(0), learnt(0))
    assert (learnt(0) != learnt(1)).any()


def test_the_loss_stands_in_the_label_as_it_goes(topics, monkeypatch):
    monkeypatch.setattr("vicino.progress._INTERVAL", 0)
    events = []
    with listen(events.append):
        training = train(*topics, new_embedding(20, 10, seed=1), Recipe(epochs=2), label="walking")
    assert events[-1].done == events[-1].total == 2 * len(topics[0])
    told = [float(event.label.removeprefix("walking, loss ")) for event in events[1:]]
    assert told[-1] == pytest.approx(training.losses[-1], abs=1e-3)
    assert told[0] > told[-1]


def stopping(monkeypatch, after: int, outcome):
    """Let the kernel run so many times, then do something else."""
    whole, calls = kernels.learn, []

    def learn(text, span, weights, *rest):
        calls.append(span)
        return whole(text, span, weights, *rest) if len(calls) <= after else outcome(weights)

    monkeypatch.setattr(kernels, "learn", learn)


def interrupt(weights):
    weights.inputs[:] = 99
    raise KeyboardInterrupt


def spoil(weights):
    weights.outputs[0, 0] = np.nan
    return 1.0, 1


@pytest.mark.parametrize(("outcome", "ended"), [(interrupt, "interrupted"), (spoil, "diverged")])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_ends_too_early_keeps_the_last_whole_epoch(topics, monkeypatch, caplog, outcome, ended, threads):
    recipe = Recipe(epochs=5)
    blocks = 3  # of 50,000 tokens
    expected, found = new_embedding(20, 10, seed=1), new_embedding(20, 10, seed=1)
    with monkeypatch.context() as patch:
        stopping(patch, 2 * blocks, interrupt)
        train(*topics, expected, recipe)
    stopping(monkeypatch, 2 * blocks + 1, outcome)
    with caplog.at_level(logging.WARNING):
        training = train(*topics, found, Recipe(epochs=5, threads=threads))
    assert training.ended == ended
    assert len(training.losses) == 2
    assert f"{ended} in epoch 3 of 5: epoch 2 is kept" in caplog.text
    if threads == 1:
        np.testing.assert_array_equal(found.inputs, expected.inputs)
    assert np.isfinite(found.inputs).all()
    assert abs(found.inputs).max() < 5


def test_a_rate_that_is_too_large_is_named_and_leaves_the_beginning(topics):
    embedding = new_embedding(20, 10, seed=1)
    begun = embedding.inputs.copy()
    with pytest.raises(InputError, match="past all bounds"):
        train(*topics, embedding, Recipe(alpha=1e9))
    np.testing.assert_array_equal(embedding.inputs, begun)


def test_an_interrupt_in_the_first_epoch_goes_on(topics, monkeypatch):
    stopping(monkeypatch, 1, interrupt)
    embedding = new_embedding(20, 10, seed=1)
    with pytest.raises(KeyboardInterrupt):
        train(*topics, embedding, Recipe())
    assert not embedding.outputs.any()


def test_learning_goes_on_from_what_was_learnt(topics):
    ids, offsets, counts = topics
    first = new_embedding(20, 10, seed=1)
    train(ids, offsets, counts, first, Recipe(epochs=4, alpha=0.05, sample=0))
    grown = new_embedding(22, 10, seed=2, vectors=first.vectors, contexts=first.contexts)
    np.testing.assert_array_equal(grown.vectors[:20], first.vectors)
    assert (grown.outputs[20:] == 0).all()
    more = np.array([[20, 0, 1], [0, 20, 2], [21, 6, 7], [7, 21, 8]] * 200, np.int32).ravel()
    train(more, np.arange(0, len(more) + 1, 3), np.bincount([*ids, *more]), grown, Recipe(sample=0))
    units = grown.vectors / np.linalg.norm(grown.vectors, axis=1, keepdims=True)
    assert units[20] @ units[0] > units[20] @ units[6]
    assert units[21] @ units[6] > units[21] @ units[0]


@pytest.mark.parametrize("sentences", [[], [[]], [[0], [1], [2]]], ids=str)
def test_nothing_to_predict_is_named(sentences):
    with pytest.raises(EmptyInput, match="neighbours"):
        train(*packed(sentences), np.ones(3, int), new_embedding(3, 4, 0), Recipe())


@pytest.mark.parametrize("ids", [[0, 3], [-1, 0]])
def test_ids_without_a_vector_are_named(ids):
    with pytest.raises(InputError, match="of 3 words"):
        train(np.array(ids, np.int32), np.array([0, 2]), np.ones(3, int), new_embedding(3, 4, 0), Recipe())


@pytest.mark.parametrize("offsets", [[0, 2_000_000], [0, 3, 2, 4], [1, 4], [-1, 4], [0, 3], [], [0.0, 4.0]], ids=str)
def test_offsets_that_are_not_those_of_the_ids_are_named(offsets):
    with pytest.raises(InputError, match="do not lead from 0 to 4"):
        train(np.array([0, 1, 2, 0], np.int32), np.array(offsets), np.ones(3, int), new_embedding(3, 4, 0), Recipe())


WRONG_ROWS = {
    "no rows for the tree": (new_embedding(3, 4, 0), Recipe(hs=True)),
    "few vectors": (Embedding(4, new_embedding(2, 4, 0).inputs, new_embedding(3, 4, 0).outputs), Recipe()),
    "few outputs": (Embedding(4, new_embedding(3, 4, 0).inputs, new_embedding(2, 4, 0).outputs), Recipe()),
    "other widths": (Embedding(4, new_embedding(3, 4, 0).inputs, new_embedding(3, 40, 0).outputs), Recipe()),
    "no padding": (Embedding(4, np.zeros((3, 4), np.float32), np.zeros((3, 4), np.float32)), Recipe()),
    "float64": (Embedding(4, np.zeros((3, 16)), np.zeros((3, 16))), Recipe()),
}


@pytest.mark.parametrize("what", WRONG_ROWS)
def test_an_embedding_made_for_something_else_is_named(what):
    embedding, recipe = WRONG_ROWS[what]
    with pytest.raises(InputError, match="new_embedding"):
        train(np.array([0, 1, 2, 0], np.int32), np.array([0, 4]), np.ones(3, int), embedding, recipe)


@pytest.mark.parametrize(
    ("starts", "rows"),
    [
        ([0, 1, 2, 4], [0, 1, 2, 5]),
        ([0, 1, 1, 2], [0, 1]),
        ([0, 1, 2], [0, 1]),
        ([0, 1, 2, 9], [0, 1, 2]),
        ([0, 2, 1, 3], [0, 1, 2]),
    ],
    ids=str,
)
def test_parts_out_of_range_are_named(starts, rows):
    parts = kernels.Parts(np.array(starts), np.array(rows, np.uint32))
    text = np.array([0, 1, 2, 0], np.int32), np.array([0, 4]), np.ones(3, int)
    with pytest.raises(InputError):
        train(*text, new_embedding(3, 4, 0, parts=2), Recipe(), parts=parts)


def test_where_subsampling_leaves_nothing_it_is_told(topics, caplog):
    embedding = new_embedding(20, 8, seed=0)
    begun = embedding.vectors
    for sample, told in ((1e-30, True), (0, False)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            train(*topics, embedding, Recipe(epochs=2, sample=sample))
        assert ("nothing was learnt" in caplog.text) == told == (embedding.vectors == begun).all()


def test_very_long_and_one_word_sentences():
    ids = np.concatenate([[0], np.tile([0, 1, 2], 70_000), [2]]).astype(np.int32)
    embedding = new_embedding(3, 4, 0)
    training = train(ids, np.array([0, 1, len(ids) - 1, len(ids)]), np.bincount(ids), embedding, Recipe(epochs=1, threads=2))
    assert np.isfinite(training.losses).all()
    assert embedding.outputs.any()


@pytest.mark.parametrize(
    "changes",
    [
        {"window": 0},
        {"window": 10**9},
        {"negative": -1},
        {"negative": 10**9},
        {"negative": 0},
        {"epochs": 0},
        {"epochs": 1.5},
        {"threads": 0},
        {"alpha": float("nan")},
        {"alpha": -1},
        {"sample": float("inf")},
        {"ns_exponent": "high"},
    ],
    ids=str,
)
def test_a_recipe_that_cannot_be_is_named(changes):
    with pytest.raises(InputError, match=f"{next(iter(changes))}="):
        Recipe(**changes)


@pytest.mark.parametrize("dim", [0, -1, 2.5, "x", 10**9])
def test_vectors_of_dimensions_that_cannot_be_are_named(dim):
    with pytest.raises(InputError, match="dimensions"):
        new_embedding(3, dim, seed=0)
