"""Paragraph vectors: against examples worked by hand, a slow plain oracle with the same random numbers, and what must hold."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from vicino.errors import EmptyInput, InputError
from vicino.learning import documents_kernels as kernels
from vicino.learning import draw_kernels
from vicino.learning.documents import TOGETHER, Chances, Embedding, Recipe, infer, new_embedding, train
from vicino.learning.skipgram import keep_probabilities
from vicino.progress import listen

U64 = 2**64
GOLDEN = 0x9E3779B97F4A7C15


# The oracle: float64, one pair at a time, nothing shared with the kernel but the order of the random draws --------------


def mixed(z: int) -> int:
    """SplitMix64's output of a state, after Steele, Lea and Flood 2014."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % U64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % U64
    return z ^ (z >> 31)


class Draws:
    def __init__(self, seed: int, key: int) -> None:
        self.state = mixed((mixed(seed) + key) % U64)

    def bits(self) -> int:
        self.state = (self.state + GOLDEN) % U64
        return mixed(self.state)

    def below(self, n: int) -> int:
        return (self.bits() >> 32) * n >> 32


def key_of(words) -> int:
    key = 0
    for word in words:
        key = mixed((key + GOLDEN + word) % U64)
    return key


def sigmoid(z: float) -> float:
    return 1 / (1 + np.exp(-z))


class Oracle:
    """One epoch of one block."""

    def __init__(self, counts, embedding: Embedding, recipe: Recipe) -> None:
        self.recipe, self.dim = recipe, embedding.dim
        self.words, self.documents, self.outputs = (
            each.astype(np.float64) for each in (embedding.vectors, embedding.document_vectors, embedding.contexts)
        )
        self.keep = keep_probabilities(counts, recipe.sample)
        self.cells = draw_kernels.alias_table(counts**recipe.ns_exponent)
        self.paths = draw_kernels.huffman(counts)

    def run(self, texts, *, epoch: int = 0, frozen: bool = False) -> None:
        recipe = self.recipe
        seed = recipe.seed * 1_000_003 + epoch
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(texts))
        for place, document in enumerate(order.tolist()):
            text = texts[document]
            share = epoch / recipe.epochs if frozen else place / len(texts)
            rate = recipe.alpha + (recipe.min_alpha - recipe.alpha) * share
            draws = Draws(seed, key_of(text) if frozen else document)
            words = [word for word in text if np.float32(draws.bits() >> 40) * np.float32(2**-24) < self.keep[word]]
            self.drawn = self.draw(draws)
            if recipe.skip_gram and (frozen or not recipe.words):
                for place in range(0, len(words), TOGETHER):
                    self.group(document, words[place : place + TOGETHER], rate, draws, frozen)
            else:
                for place in range(len(words)):
                    self.window(document, words, place, rate, draws, frozen)

    def group(self, document, words, rate, draws, frozen) -> None:
        """The document alone predicts several words; those drawn against the first count for all of them."""
        targets = [(target, label, 1.0) for word in words for target, label in self.sure_targets(word)]
        targets += [(target, 0, len(words)) for target in self.negatives(words[0], draws)]
        self.learn([([("document", document)], 1.0)], targets, rate, frozen)

    def window(self, document, words, place, rate, draws, frozen) -> None:
        recipe = self.recipe
        reach = recipe.window
        if recipe.shrink_windows and not recipe.concat:
            reach -= draws.below(recipe.window)
        sides = range(max(0, place - reach), min(len(words), place + reach + 1))
        around = [("word", words[at]) for at in sides if at != place]
        targets = [(target, label, 1.0) for target, label in self.sure_targets(words[place])]
        targets += [(target, 0, 1.0) for target in self.negatives(words[place], draws)]
        if recipe.words:
            predictors = [([one], 1.0) for one in [*around, ("document", document)]]
        elif recipe.concat:
            sides = [at for at in range(place - reach, place + reach + 1) if at != place]
            slots = [("word", words[at]) if 0 <= at < len(words) else None for at in sides]
            predictors = [([("document", document), *slots], 1.0)]
        else:
            predictors = [([("document", document), *around], 1 / (len(around) + 1))]
        self.learn(predictors, targets, rate, frozen)

    def sure_targets(self, word) -> list[tuple[int, float]]:
        targets = [(word, 1.0)] if self.recipe.negative else []
        if self.recipe.hs:
            span = slice(self.paths.starts[word], self.paths.starts[word + 1])
            targets += zip(self.paths.targets[span].tolist(), self.paths.labels[span].tolist(), strict=True)
        return targets

    def negatives(self, word, draws) -> list[int]:
        """What was drawn before; the next ones are drawn at once."""
        found, self.drawn = [drawn for drawn in self.drawn if drawn != word], self.draw(draws)
        return found

    def draw(self, draws) -> list[int]:
        found = []
        for _ in range(self.recipe.negative):
            bits = draws.bits()
            drawn = (bits >> 32) * len(self.cells) >> 32
            alias, threshold = divmod(int(self.cells[drawn]), 2**32)
            found.append(drawn if bits % 2**32 < threshold else alias)
        return found

    def row(self, owner) -> np.ndarray:
        kind, number = owner
        return (self.words if kind == "word" else self.documents)[number]

    def learn(self, predictors, targets, rate, frozen) -> None:
        """Each predictor is owners of rows, with what each counts; None stands for zeros."""
        recipe, before, changes = self.recipe, self.outputs.copy(), []
        for owners, share in predictors:
            if recipe.concat:
                x = np.concatenate([np.zeros(self.dim) if owner is None else self.row(owner) for owner in owners])
            else:
                x = np.sum([self.row(owner) for owner in owners], axis=0) * (share if recipe.mean else 1)
            change = np.zeros_like(x)
            for target, label, times in targets:
                g = times * rate * (label - sigmoid(x @ before[target]))
                change += g * before[target]
                if not frozen:
                    self.outputs[target] += g * x
            for slot, owner in enumerate(owners):
                part = change[slot * self.dim : (slot + 1) * self.dim] if recipe.concat else change
                changes.append((owner, part * (1 if recipe.mean or recipe.concat else share)))
        for owner, change in changes:
            if owner is not None and (owner[0] == "document" or not frozen):
                self.row(owner)[:] += change


def some_texts(seed: int, n_words: int) -> list[list[int]]:
    random = np.random.default_rng(seed)
    lengths = [*random.integers(1, 25, 12), 0, 1]
    return [np.minimum(random.geometric(0.2, length) - 1, n_words - 1).tolist() for length in lengths]


def packed(texts) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array([word for text in texts for word in text], np.int32)
    return ids, np.cumsum([0, *map(len, texts)], dtype=np.int64)


def started(n_words: int, n_documents: int, dim: int, recipe: Recipe) -> Embedding:
    """Vectors and outputs larger than those that training begins with, so that every term counts."""
    random = np.random.default_rng(7)
    vectors = random.normal(size=(n_words, dim)) / 2 if recipe.reads_words else None
    contexts = random.normal(size=(2 * n_words - 1 if recipe.hs else n_words, dim * recipe.slots)) / 2
    embedding = new_embedding(n_words, n_documents, dim, recipe, vectors=vectors, contexts=contexts)
    embedding.documents[:, :dim] = random.normal(size=(n_documents, dim)) / 2
    return embedding


WAYS = {
    "bag": {},
    "bag and words": {"words": True},
    "mean": {"skip_gram": False},
    "sum": {"skip_gram": False, "mean": False},
    "concat": {"skip_gram": False, "concat": True},
}
CHANGES = [
    {},
    {"negative": 1, "window": 1},
    {"shrink_windows": False, "sample": 0},
    {"hs": True, "negative": 0},
    {"hs": True, "negative": 3, "seed": 12345, "alpha": 0.2},
]


@pytest.mark.parametrize("dim", [3, 16, 20])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_the_kernel_does_what_the_oracle_does(way, changes, dim):
    recipe = Recipe(**{"epochs": 1, "sample": 0.05, "window": 3, "seed": 3, **WAYS[way], **changes})
    texts = some_texts(1, 12)
    ids, offsets = packed(texts)
    counts = np.bincount(ids, minlength=12)
    embedding = started(12, len(texts), dim, recipe)
    oracle = Oracle(counts, embedding, recipe)
    oracle.run(texts)
    train(ids, offsets, counts, embedding, recipe)
    np.testing.assert_allclose(embedding.document_vectors, oracle.documents, atol=1e-5)
    np.testing.assert_allclose(embedding.contexts, oracle.outputs, atol=1e-5)
    if recipe.reads_words:
        np.testing.assert_allclose(embedding.vectors, oracle.words, atol=1e-5)
    assert not embedding.documents[:, dim:].any()
    assert not embedding.inputs[:, dim:].any()
    assert not embedding.outputs.reshape(len(embedding.outputs), -1, embedding.documents.shape[1])[:, :, dim:].any()


@pytest.mark.parametrize("way", WAYS)
def test_new_documents_are_learnt_as_the_oracle_learns_them_and_nothing_else_changes(way):
    recipe = Recipe(**{"epochs": 3, "sample": 0.05, "window": 3, "seed": 3, **WAYS[way]})
    texts = some_texts(1, 12)
    ids, offsets = packed(texts)
    counts = np.bincount(ids, minlength=12)
    embedding = started(12, len(texts), 20, recipe)
    before = [matrix.copy() for matrix in (embedding.inputs, embedding.outputs, embedding.documents)]
    oracle = Oracle(counts, embedding, recipe)
    oracle.documents[:] = 0
    for epoch in range(recipe.epochs):
        oracle.run(texts, epoch=epoch, frozen=True)
    found = infer(ids, offsets, Chances.of(counts, recipe), embedding, recipe)
    np.testing.assert_allclose(found, oracle.documents, atol=1e-5)
    assert not found[12].any()  # it has no words
    for matrix, old in zip((embedding.inputs, embedding.outputs, embedding.documents), before, strict=True):
        np.testing.assert_array_equal(matrix, old)


def test_a_bag_worked_by_hand():
    """Two words have one inner node, (0, 2); the document (1, 1) should turn from it for word 0, twice, and to it for word 1.

    z = 2 for all three words, which meet the document at once. Of word 0, g = 0.1 (0 - 0.880797) = -0.0880797; of word 1,
    g = 0.1 (1 - 0.880797) = 0.0119203. Their sum is -0.1642391. The node becomes (0, 2) - 0.1642391 (1, 1), the document
    (1, 1) - 0.1642391 (0, 2).
    """
    recipe = Recipe(negative=0, hs=True, sample=0, alpha=0.1, min_alpha=0.1, epochs=1)
    embedding = new_embedding(2, 1, 2, recipe, contexts=np.array([[9, 9], [9, 9], [0, 2]], np.float32))
    embedding.documents[0, :2] = 1
    train(np.array([0, 1, 0], np.int32), np.array([0, 3]), np.array([2, 1]), embedding, recipe)
    np.testing.assert_allclose(embedding.contexts, [[9, 9], [9, 9], [-0.1642391, 1.8357609]], atol=1e-6)
    np.testing.assert_allclose(embedding.document_vectors, [[1, 0.6715218]], atol=1e-6)


def test_a_mean_worked_by_hand():
    """Of the document (2, 0) and the only word around, (0, 2), the mean is (1, 1); the node is (0, 2), so z = 2.

    Word 0 is away from the node: g = -0.0880797, and the document and word 1 both change by g (0, 2). Then word 1 is predicted:
    the mean of (2, -0.1761594) and word 0, (0, 0), is (1, -0.0880797), and the node is (-0.0880797, 1.9119203): z = -0.2564811,
    and g = 0.1 (1 - 0.4362289) = 0.0563771.
    """
    recipe = Recipe(skip_gram=False, window=1, negative=0, hs=True, sample=0, alpha=0.1, min_alpha=0.1, epochs=1)
    contexts = np.array([[9, 9], [9, 9], [0, 2]], np.float32)
    embedding = new_embedding(2, 1, 2, recipe, vectors=np.array([[0, 0], [0, 2]], np.float32), contexts=contexts)
    embedding.documents[0, :2] = 2, 0
    train(np.array([0, 1], np.int32), np.array([0, 2]), np.array([2, 1]), embedding, recipe)
    np.testing.assert_allclose(embedding.contexts[2], [-0.0880797 + 0.0563771, 1.9119203 - 0.0563771 * 0.0880797], atol=1e-6)
    change = 0.0563771 * np.array([-0.0880797, 1.9119203])
    np.testing.assert_allclose(embedding.document_vectors, [[2 + change[0], -0.1761594 + change[1]]], atol=1e-6)
    np.testing.assert_allclose(embedding.vectors, [change, [0, 2 - 0.1761594]], atol=1e-6)


# Training -------------------------------------------------------------------------------------------------------------

TOPICS = 4
Texts = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def topics() -> Texts:
    """3000 documents of forty words, sorted by subject; longer than a block.

    Every second word is from one of four sets of ten, and those beside it are from a fifth: what comes, the document knows alone.
    """
    random = np.random.default_rng(0)
    subjects = np.repeat(np.arange(TOPICS), 750)[:, None]
    ids = np.where(np.arange(40) % 2, TOPICS, subjects) * 10 + random.integers(0, 10, (3000, 40))
    ids = ids.astype(np.int32).ravel()
    return ids, np.arange(0, len(ids) + 1, 40), np.bincount(ids)


def begun(recipe: Recipe) -> Embedding:
    return new_embedding(50, 3000, 10, recipe)


def apart(vectors: np.ndarray) -> float:
    """The mean cosine inside the subjects less that between them."""
    units = vectors[::10] / np.linalg.norm(vectors[::10], axis=1, keepdims=True)
    cosines, same = units @ units.T, np.kron(np.eye(TOPICS), np.ones((75, 75))) == 1
    return float(cosines[same].mean() - cosines[~same].mean())


@pytest.mark.long
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_documents_of_a_subject_come_together(topics, way, threads):
    recipe = Recipe(epochs=10, alpha=0.05, sample=0, window=1, threads=threads, **WAYS[way])
    embedding = begun(recipe)
    training = train(*topics, embedding, recipe)
    assert (training.ended, len(training.losses)) == ("whole", 10)
    assert training.losses[-1] < 0.95 * training.losses[0]
    assert apart(embedding.document_vectors) > 0.3
    assert apart(infer(*topics[:2], Chances.of(topics[2], recipe), embedding, recipe)) > 0.5


def test_one_thread_is_the_same_to_the_bit_and_a_seed_is_not(topics):
    def learnt(seed: int) -> np.ndarray:
        recipe = Recipe(epochs=1, seed=seed)
        embedding = begun(recipe)
        train(*topics, embedding, recipe)
        return embedding.documents

    np.testing.assert_array_equal(learnt(0), learnt(0))
    assert (learnt(0) != learnt(1)).any()


@pytest.mark.parametrize("way", WAYS)
def test_a_new_document_depends_on_its_words_and_the_seed_alone(topics, way):
    ids, offsets, counts = topics
    recipe = Recipe(epochs=2, window=2, **WAYS[way])
    embedding = begun(recipe)
    train(*topics, embedding, recipe)
    found = infer(ids, offsets, Chances.of(counts, recipe), embedding, recipe)
    threads = Recipe(epochs=2, window=2, threads=3, **WAYS[way])
    np.testing.assert_array_equal(infer(ids, offsets, Chances.of(counts, recipe), embedding, threads), found)
    backwards = packed([ids[offsets[row] : offsets[row + 1]].tolist() for row in (2999, 7, 7, 5)])
    np.testing.assert_array_equal(infer(*backwards, Chances.of(counts, recipe), embedding, recipe), found[[2999, 7, 7, 5]])
    other = Recipe(epochs=2, window=2, seed=1, **WAYS[way])
    assert (infer(ids, offsets, Chances.of(counts, recipe), embedding, other) != found).any()


def test_the_words_read_are_told(topics):
    seen = []
    with listen(seen.append):
        embedding = begun(Recipe())
        train(*topics, embedding, Recipe(epochs=2))
        infer(*topics[:2], Chances.of(topics[2], Recipe()), embedding, Recipe(epochs=2))
    ended = [event for event in seen if event.state == "finish"]
    assert [event.done for event in ended] == [240_000, 240_000]
    assert ended[0].label.startswith("learning documents, loss ")


def stopping(monkeypatch, after: int, outcome):
    """Let the kernel run so many times, then do something else."""
    whole, calls = kernels.learn, []

    def learn(texts, span, weights, *rest):
        calls.append(span)
        return whole(texts, span, weights, *rest) if len(calls) <= after else outcome(weights)

    monkeypatch.setattr(kernels, "learn", learn)


def interrupt(weights):
    weights.documents[:] = 99
    raise KeyboardInterrupt


def spoil(weights):
    weights.documents[0, 0] = np.nan
    return 1.0, 1


@pytest.mark.parametrize(("outcome", "ended"), [(interrupt, "interrupted"), (spoil, "diverged")])
def test_what_ends_too_early_keeps_the_last_whole_epoch(topics, monkeypatch, caplog, outcome, ended):
    blocks, recipe = 3, Recipe(epochs=5)  # blocks of 50,000 words
    expected, found = begun(recipe), begun(recipe)
    with monkeypatch.context() as patch:
        stopping(patch, 2 * blocks, interrupt)
        train(*topics, expected, recipe)
    stopping(monkeypatch, 2 * blocks + 1, outcome)
    with caplog.at_level(logging.WARNING):
        training = train(*topics, found, recipe)
    assert (training.ended, len(training.losses)) == (ended, 2)
    assert f"{ended} in epoch 3 of 5: epoch 2 is kept" in caplog.text
    np.testing.assert_array_equal(found.documents, expected.documents)
    assert abs(found.documents).max() < 5


def test_an_interrupt_in_the_first_epoch_goes_on(topics, monkeypatch):
    stopping(monkeypatch, 1, interrupt)
    embedding = begun(Recipe())
    with pytest.raises(KeyboardInterrupt):
        train(*topics, embedding, Recipe())
    assert not embedding.outputs.any()


def test_a_rate_that_is_too_large_is_named(topics):
    embedding = begun(Recipe())
    with pytest.raises(InputError, match="past all bounds"):
        train(*topics, embedding, Recipe(alpha=1e20))
    train(*topics, embedding, Recipe(epochs=1))
    with pytest.raises(InputError, match="past all bounds"):
        infer(*topics[:2], Chances.of(topics[2], Recipe()), embedding, Recipe(alpha=1e38))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"words": True, "skip_gram": False}, "words"),
        ({"concat": True}, "concat"),
        ({"negative": 0}, "negative"),
        ({"window": 0}, "window"),
    ],
    ids=str,
)
def test_a_recipe_that_cannot_be_is_named(changes, what):
    with pytest.raises(InputError, match=what):
        Recipe(**changes)


def test_what_cannot_be_learnt_from_is_named():
    recipe, counts = Recipe(), np.ones(3, int)
    embedding = new_embedding(3, 1, 4, recipe)
    with pytest.raises(EmptyInput, match="no document has a word"):
        train(*packed([[]]), counts, embedding, recipe)
    assert infer(*packed([[]]), Chances.of(counts, recipe), embedding, recipe).tolist() == [[0, 0, 0, 0]]
    for texts, what in (([[0, 3]], "of 3 words"), ([[-1, 0]], "of 3 words"), ([[0], [1]], "documents .* no 2 rows")):
        with pytest.raises(InputError, match=what):
            train(*packed(texts), counts, embedding, recipe)
    for dim in (0, 2.5, "x"):
        with pytest.raises(InputError, match="dimensions"):
            new_embedding(3, 1, dim, recipe)


@pytest.mark.parametrize(
    ("made", "used", "what"),
    [
        ({}, {"hs": True}, "outputs .* no 5 rows"),
        ({}, {"skip_gram": False}, "inputs .* no 3 rows"),
        ({"skip_gram": False}, {"skip_gram": False, "concat": True, "window": 2}, "outputs .* no 3 rows of 80"),
    ],
    ids=str,
)
def test_an_embedding_made_by_another_recipe_is_named(made, used, what):
    recipe, texts = Recipe(**used), packed([[0, 1, 2]])
    embedding = new_embedding(3, 1, 4, Recipe(**made))
    with pytest.raises(InputError, match=what):
        train(*texts, np.ones(3, int), embedding, recipe)
    with pytest.raises(InputError, match=what):
        infer(*texts, Chances.of(np.ones(3, int), recipe), embedding, recipe)


@pytest.mark.parametrize("offsets", [[0, 2_000_000], [1, 3], [0, 2], []], ids=str)
def test_offsets_that_are_not_those_of_the_ids_are_named(offsets):
    recipe, ids = Recipe(), np.array([0, 1, 2], np.int32)
    for learn, chance in ((train, np.ones(3, int)), (infer, Chances.of(np.ones(3, int), recipe))):
        with pytest.raises(InputError, match="do not lead from 0 to 3"):
            learn(ids, np.array(offsets), chance, new_embedding(3, 1, 4, recipe), recipe)


def test_where_subsampling_leaves_nothing_it_is_told(topics, caplog):
    recipe = Recipe(epochs=2, sample=1e-30)
    with caplog.at_level(logging.WARNING):
        train(*topics, begun(recipe), recipe)
    assert "nothing was learnt" in caplog.text


def test_very_long_and_one_word_documents():
    ids = np.concatenate([[0], np.tile([0, 1, 2], 70_000), [2]]).astype(np.int32)
    texts = ids, np.array([0, 1, len(ids) - 1, len(ids)]), np.bincount(ids)
    for way in WAYS.values():
        recipe = Recipe(epochs=1, threads=2, **way)
        embedding = new_embedding(3, 3, 4, recipe)
        assert np.isfinite(train(*texts, embedding, recipe).losses).all()
        assert np.isfinite(infer(*texts[:2], Chances.of(texts[2], recipe), embedding, recipe)).all()
