"""Topics: against a slow plain oracle in float64, values worked by hand, and topics that were planted."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.special import psi

from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnknownName
from vicino.learning import topics as topics_module
from vicino.learning import topics_kernels as kernels
from vicino.learning.counts import as_counts, halves
from vicino.learning.topics import Recipe, Stream, Topics, mixtures, perplexity, train
from vicino.progress import listen

LEARNERS = ["batch", "scvb0", "online"]


def planted(n_topics=4, n_words=40, documents=300, length=40, seed=0):
    """(topics, counts): documents of topics that share few words."""
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(n_words, 0.08), n_topics)
    shares = rng.dirichlet(np.full(n_topics, 0.2), documents)
    counts = np.array([rng.multinomial(rng.poisson(length), share @ topics) for share in shares])
    return topics, csr_array(counts.astype(float))


# The oracle: float64, every share r(d, w, k) in an array, nothing shared with the kernels but the random numbers --------


def expectation(parameters, variational):
    return np.exp(psi(parameters)) if variational else parameters


def infer(counts, words, alpha, gamma, variational, sweeps, tolerance):
    for d, row in enumerate(counts):
        for _ in range(sweeps):
            r = expectation(gamma[d], variational)[None, :] * words
            r /= r.sum(axis=1, keepdims=True)
            new = alpha + (row[:, None] * r).sum(axis=0)
            moved, gamma[d] = np.abs(new - gamma[d]).sum(), new
            if moved <= tolerance * row.sum():
                break


def oracle(counts, recipe):
    """lambda and the perplexity of each pass."""
    counts = counts.toarray()
    n, n_words = counts.shape
    k, variational = recipe.n_components, recipe.learner == "online"
    lam = np.random.default_rng([recipe.seed, 0]).gamma(100, 1 / 100, (n_words, k))
    order = np.random.default_rng([recipe.seed, 1])
    alpha, eta = np.broadcast_to(recipe.alpha, k), float(recipe.smoothing)
    start = alpha + counts.sum(axis=1, keepdims=True) / k
    whole, steps, perplexities = start.copy(), 0, []
    for _ in range(recipe.passes):
        likelihood = 0.0
        batch = recipe.learner == "batch"
        for rows in [np.arange(n)] if batch else np.array_split(order.permutation(n), -(-n // recipe.chunksize)):
            rows = np.sort(rows)
            gamma = whole if batch else start[rows]
            words = expectation(lam, variational) / expectation(lam.sum(axis=0), variational)
            infer(counts[rows], words, alpha, gamma, variational, 5 if batch else 50, 1e-2)
            weights = expectation(gamma, variational)
            z = np.einsum("dk,wk->dw", weights, words)
            r = weights[:, None, :] * words[None, :, :] / z[:, :, None]
            rate = 1 if batch else (recipe.offset + steps) ** -recipe.decay
            lam = (1 - rate) * lam + rate * (eta + n / len(rows) * np.einsum("dw,dwk->wk", counts[rows], r))
            likelihood += (counts[rows] * np.log(z / expectation(gamma.sum(axis=1), variational)[:, None])).sum()
            steps += 1
        perplexities.append(math.exp(-likelihood / counts.sum()))
    return lam, perplexities


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("alpha", [0.1, (0.05, 0.1, 0.4)])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_oracle_counts_the_same(learner, alpha, seed):
    _, counts = planted(3, 25, 50, 20)
    recipe = Recipe(3, alpha, learner=learner, passes=3, chunksize=16, offset=2.0, decay=0.6, seed=seed)
    topics, training = train(counts, recipe)
    expected, perplexities = oracle(counts, recipe)
    np.testing.assert_allclose(topics.parameters / counts.sum(), expected / counts.sum(), atol=1e-5)
    np.testing.assert_allclose(training.perplexities, perplexities, rtol=1e-5)


def test_exp_digamma_is_that_of_scipy():
    values = np.array([[0.0, 1e-3, 0.05, 0.5, 1, 2, 5.999, 6, 40, 1e6]], np.float32)
    found = np.empty_like(values)
    kernels.exp_digamma(values, found)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(found, np.exp(psi(values.astype(float))), rtol=2e-6, atol=1e-38)


# By hand --------------------------------------------------------------------------------------------------------------

TWO = Topics(np.array([[0.9, 0.1], [0.1, 0.9]], np.float32), np.array([0.1, 0.3], np.float32))


def test_a_mixture_by_hand():
    # One word eight times, x = gamma of the first topic, 8.4 - x of the second: x = 0.1 + 8 · 0.9 x / (0.9 x + 0.1 (8.4 - x)),
    # that is 0.8 x² - 6.44 x - 0.084 = 0, and x is its only root above zero.
    x = (6.44 + math.sqrt(6.44**2 + 4 * 0.8 * 0.084)) / 1.6
    np.testing.assert_allclose(mixtures(TWO, csr_array([[8, 0]])), [[x / 8.4, 1 - x / 8.4]], atol=2e-4)


def test_an_empty_document_has_the_mean_of_the_prior():
    np.testing.assert_allclose(mixtures(TWO, csr_array((2, 2))), [[0.25, 0.75]] * 2, rtol=1e-6)
    assert mixtures(TWO, csr_array((0, 2))).shape == (0, 2)


def test_one_topic_is_what_was_counted():
    counts = csr_array([[3, 0, 1], [1, 1, 0]])
    topics, training = train(counts, Recipe(1, eta=0.5, passes=2))
    np.testing.assert_allclose(topics.parameters, [[4.5], [1.5], [1.5]], rtol=1e-6)
    np.testing.assert_allclose(topics.distributions, [[0.6, 0.2, 0.2]], rtol=1e-6)
    assert training.perplexities[1] == pytest.approx(math.exp(-(4 * math.log(0.6) + 2 * math.log(0.2)) / 6), rel=1e-5)


def test_perplexity_by_hand():
    first = mixtures(TWO, csr_array([[8, 0]]))[0]
    expected = math.exp(-(2 * math.log(first @ [0.9, 0.1]) + math.log(first @ [0.1, 0.9])) / 3)
    found = perplexity(TWO.distributions, csr_array([[8, 0]]), csr_array([[2, 1]]), alpha=TWO.prior)
    assert found == pytest.approx(expected, rel=1e-5)
    assert perplexity([[1, 0]], csr_array([[1, 0]]), csr_array([[0, 1]])) == math.inf
    assert perplexity([[1, 1, 1]], csr_array((1, 3)), csr_array([[0, 1, 0]])) == pytest.approx(3)


def test_the_mixture_is_the_highest_posterior_of_a_prior_one_larger():
    topics, counts = planted()
    rng = np.random.default_rng(1)
    words = topics.T @ np.eye(4)
    model = Topics(topics.T.astype(np.float32), np.full(4, 0.1, np.float32))
    for row, best in zip(counts.toarray()[:20], mixtures(model, counts)[:20], strict=True):
        rivals = 0.98 * best + 0.02 * rng.dirichlet(np.ones(4), 50)

        def posterior(mixture, row=row):
            return row @ np.log(words @ mixture + 1e-30) + 0.1 * np.log(mixture).sum()

        assert max(map(posterior, rivals)) < posterior(best.astype(float)) + 1e-3


# What must hold -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", LEARNERS)
def test_planted_topics_are_found(learner):
    topics, counts = planted(documents=600)
    found, _ = train(counts, Recipe(4, learner=learner, passes=30, chunksize=100, seed=1))
    distances = 0.5 * np.abs(topics[:, None, :] - found.distributions[None, :, :]).sum(axis=2)  # total variation
    assert distances[linear_sum_assignment(distances)].max() < 0.15
    np.testing.assert_allclose(found.distributions.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("learner", LEARNERS)
def test_equal_seeds_give_equal_bits_with_any_number_of_threads(learner, monkeypatch):
    monkeypatch.setattr(topics_module, "_SPAN", 200)
    _, counts = planted()
    recipe = {"n_components": 20, "learner": learner, "passes": 3, "chunksize": 64}
    first, training = train(counts, Recipe(**recipe))
    again, repeated = train(counts, Recipe(**recipe, threads=3))
    np.testing.assert_array_equal(first.parameters, again.parameters)
    assert training.perplexities == repeated.perplexities
    assert np.abs(train(counts, Recipe(**recipe, seed=1))[0].parameters - first.parameters).max() > 1
    np.testing.assert_array_equal(mixtures(first, counts), mixtures(first, counts, threads=3))


def test_each_pass_over_everything_surprises_less():
    _, counts = planted()
    _, training = train(counts, Recipe(4, passes=20))
    assert len(training.perplexities) == 20
    assert (np.diff(training.perplexities) < 1e-3).all()


def test_a_document_stands_for_itself():
    topics, counts = planted()
    model = Topics(topics.T.astype(np.float32), np.full(4, 0.1, np.float32))
    together = mixtures(model, counts)
    np.testing.assert_array_equal(mixtures(model, counts[[7, 3]]), together[[7, 3]])


@pytest.mark.parametrize("learner", LEARNERS)
def test_empty_documents_teach_nothing(learner):
    _, counts = planted(documents=40)
    recipe = Recipe(4, learner=learner, passes=2, chunksize=8)
    padded = csr_array(np.concatenate([np.zeros((30, 40)), counts.toarray()]))
    np.testing.assert_array_equal(train(padded, recipe)[0].parameters, train(counts, recipe)[0].parameters)


def test_better_topics_are_less_surprised_by_new_documents():
    topics, counts = planted(documents=600)
    observed, held = halves(counts[400:])
    found, _ = train(counts[:400], Recipe(4))
    true, learnt, one = (perplexity(t, observed, held) for t in (topics + 1e-9, found.distributions, np.ones((1, 40))))
    assert true < learnt * 1.01 < 0.6 * one
    assert one == pytest.approx(40, rel=1e-5)
    order = [2, 0, 3, 1]
    assert perplexity(7 * found.distributions[order], observed, held) == pytest.approx(learnt, rel=1e-4)


def test_a_stream_goes_on_where_it_was():
    _, counts = planted()
    recipe = Recipe(4)
    whole, start = Stream(40, recipe), Stream(40, recipe)
    for rows in (slice(0, 100), slice(100, 200)):
        whole.learn(counts[rows])
    start.learn(counts[:100])
    later = Stream(40, recipe, topics=start.topics, steps=start.steps, seen=start.seen)
    assert 1 < later.learn(counts[100:200]) < 40
    np.testing.assert_array_equal(later.topics.parameters, whole.topics.parameters)
    assert (later.steps, later.seen) == (2, 200)


def test_the_progress_tells_the_perplexity():
    events = []
    with listen(events.append):
        _, training = train(planted()[1], Recipe(4, passes=2))
    assert events[-1].label == f"learning topics, perplexity {training.perplexities[-1]:.0f}"
    assert (events[-1].done, events[-1].total) == (600, 600)


class _Stopped:
    """Ctrl-C in a certain step."""

    def __init__(self, monkeypatch, at):
        self.left, step = at, Stream._step

        def stopping(stream, chunk, **how):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return step(stream, chunk, **how)

        monkeypatch.setattr(Stream, "_step", stopping)


@pytest.mark.parametrize(("learner", "steps"), [("batch", 2), ("scvb0", 7)])  # three chunks a pass
def test_ctrl_c_keeps_the_last_whole_pass(learner, steps, monkeypatch, caplog):
    _, counts = planted()
    recipe = {"n_components": 4, "learner": learner, "chunksize": 100}
    expected, _ = train(counts, Recipe(**recipe, passes=2))
    _Stopped(monkeypatch, steps)
    with caplog.at_level(logging.WARNING):
        found, training = train(counts, Recipe(**recipe, passes=9))
    assert training.ended == "interrupted"
    assert "2 of 9 passes are kept" in caplog.text
    np.testing.assert_array_equal(found.parameters, expected.parameters)


def test_ctrl_c_before_the_first_pass_is_ctrl_c(monkeypatch):
    _Stopped(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        train(planted()[1], Recipe(4))


@given(arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 9)), st.integers(0, 99))
def test_halves_are_halves(counts, seed):
    first, second = halves(csr_array(counts), seed)
    np.testing.assert_array_equal((first + second).toarray(), counts)
    np.testing.assert_array_equal(first.sum(axis=1), (counts.sum(axis=1) + 1) // 2)
    assert (second.toarray() >= 0).all()


def test_halves_are_drawn_without_favour():
    first, _ = halves(csr_array(np.tile([30, 10], (500, 1))))
    assert first.toarray().mean(axis=0) == pytest.approx([15, 5], abs=0.3)
    assert (first.toarray() != halves(csr_array(np.tile([30, 10], (500, 1))), 1)[0].toarray()).any()


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [csr_array((0, 3)), csr_array((3, 0)), csr_array((3, 3))])
def test_an_empty_corpus_is_named(empty):
    with pytest.raises(EmptyInput):
        train(empty, Recipe(2))


@pytest.mark.parametrize("wrong", [[[1, -1]], [[1, np.nan]], [[np.inf, 1]], [1, 2]])
def test_counts_that_cannot_be_are_named(wrong):
    with pytest.raises(InputError, match="count"):
        as_counts(np.array(wrong, float))


def test_other_words_are_named():
    stream = Stream(3, Recipe(2))
    for use in (
        stream.learn,
        lambda counts: mixtures(stream.topics, counts),
        lambda counts: perplexity([[1, 1, 1]], counts, counts),
    ):
        with pytest.raises(DimensionMismatch, match="2 words, not 3"):
            use(csr_array([[1, 1]]))
    with pytest.raises(DimensionMismatch, match="1 documents were seen and 2"):
        perplexity([[1, 1]], csr_array([[1, 1]]), csr_array([[1, 1], [1, 1]]))
    with pytest.raises(EmptyInput):
        Stream(0, Recipe(2))


@pytest.mark.parametrize("wrong", [[[0, 0]], [[1, -1]], [[1, math.nan]], [1, 1]])
def test_topics_that_cannot_be_are_named(wrong):
    with pytest.raises(InputError, match="topics must be rows"):
        perplexity(wrong, csr_array([[1, 1]]), csr_array([[1, 1]]))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"n_components": 0}, {"passes": 0}, {"chunksize": 0}, {"threads": 0}, {"seed": -1}, {"passes": 2.5}),
        *({"alpha": 0}, {"alpha": math.nan}, {"alpha": (0.1, 0.1)}, {"alpha": "auto"}, {"eta": 0}, {"eta": -1}),
        *({"offset": 0}, {"decay": 0}, {"decay": 1.5}),
    ],
    ids=str,
)
def test_recipes_that_cannot_be_are_named(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))}=.* cannot be"):
        Recipe(**wrong)


def test_a_learner_that_there_is_not():
    with pytest.raises(UnknownName, match="did you mean batch"):
        Recipe(learner="bacth")
