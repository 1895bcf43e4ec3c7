"""LINE against a plain oracle with the same random numbers, an example worked by hand, and what the two orders mean."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.data.graphs import Graph
from vicino.errors import EmptyInput, InputError
from vicino.learning import edges
from vicino.learning.draw_kernels import alias_table
from vicino.learning.edges import new_embedding, train
from vicino.learning.skipgram import Embedding, Recipe
from vicino.progress import listen

U64 = 2**64
GOLDEN = 0x9E3779B97F4A7C15


def rows(graph: Graph) -> tuple:
    return graph.offsets, graph.neighbours, graph.weights


def some_graph(*, weighted: bool = False, directed: bool = False) -> Graph:
    random = np.random.default_rng(0)
    pairs = np.unique(random.integers(0, 11, (40, 2)), axis=0)
    weights = random.uniform(0.1, 3, len(pairs)) if weighted else None
    return Graph.of_edges(*pairs.T, weights, nodes=list("abcdefghijkl"), directed=directed)


# The oracle: float64, one pair at a time ------------------------------------------------------------------------------


def mixed(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % U64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % U64
    return z ^ (z >> 31)


def oracle(graph: Graph, embedding: Embedding, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """One epoch of one block: the inputs and the outputs, the same where these are one table."""
    inputs = embedding.vectors.astype(np.float64)
    outputs = inputs if embedding.inputs is embedding.outputs else embedding.contexts.astype(np.float64)
    state = mixed(recipe.seed * 1_000_003 * 1_000_003)
    matrix = graph.adjacency().toarray().astype(np.float64)
    strengths = matrix.sum(axis=1)
    nodes, noise = alias_table(strengths), alias_table(strengths**recipe.ns_exponent)

    def draw(cells: np.ndarray | None, n: int) -> int:
        nonlocal state
        state = (state + GOLDEN) % U64
        bits = mixed(state)
        drawn = (bits >> 32) * n >> 32
        if cells is not None:
            alias, threshold = divmod(int(cells[drawn]), 2**32)
            drawn = drawn if bits % 2**32 < threshold else alias
        return drawn

    windows = -(-len(graph.neighbours) // edges._GROUP)
    for window in range(windows):
        rate = recipe.alpha + (recipe.min_alpha - recipe.alpha) * window / windows
        node = draw(nodes, len(graph))
        near = np.flatnonzero(matrix[node])
        cells = None if graph.weights is None else alias_table(matrix[node][near])
        sources = [int(near[draw(cells, len(near))]) for _ in range(edges._GROUP)]
        targets = [(node, 1)]
        for _ in range(recipe.negative):
            drawn = draw(noise, len(graph))
            if drawn != node:
                targets.append((drawn, 0))
        x, o = inputs[sources], outputs[[target for target, _ in targets]]
        g = rate * (np.array([label for _, label in targets]) - 1 / (1 + np.exp(-x @ o.T)))
        np.add.at(outputs, [target for target, _ in targets], g.T @ x)
        np.add.at(inputs, sources, g @ o)
    return inputs, outputs


def started(n: int, dim: int, order: int) -> Embedding:
    """Vectors and outputs larger than those that training begins with."""
    embedding = new_embedding(n, dim, 0, order)
    random = np.random.default_rng(1)
    for matrix in (embedding.inputs, embedding.outputs):
        matrix[:, :dim] = random.normal(size=(n, dim)) / 2
    return embedding


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("changes", [{}, {"negative": 1, "alpha": 0.2}, {"negative": 7, "seed": 3, "ns_exponent": 0}], ids=str)
def test_the_kernel_does_what_the_oracle_does(order, weighted, directed, changes):
    graph = some_graph(weighted=weighted, directed=directed)
    if changes.get("ns_exponent") == 0:
        graph = Graph.of_adjacency(graph.adjacency()[:11, :11], directed=directed)  # 0 ** 0 would draw whom nothing leads to
        if not graph.degrees.all():
            graph = graph.undirected()
    recipe = Recipe(**{"epochs": 1, "alpha": 0.05, **changes})
    embedding = started(len(graph), 9, order)
    inputs, outputs = oracle(graph, embedding, recipe)
    train(*rows(graph), embedding, recipe)
    np.testing.assert_allclose(embedding.vectors, inputs, atol=1e-5)
    np.testing.assert_allclose(embedding.contexts, outputs, atol=1e-5)
    assert not embedding.inputs[:, 9:].any()


def test_an_example_worked_by_hand():
    """One edge from a to b, of order 2: the only window is b with five times a, and all negatives are b again, so none.

    a = (1, 0), the output of b = (0, 2): z = 0, g = 0.1 (1 - 0.5) = 0.05; each of the five adds: the output of b becomes
    (0, 2) + 5 · 0.05 (1, 0), and a becomes (1, 0) + 5 · 0.05 (0, 2).
    """
    graph = Graph.of_edges([0], [1], directed=True).reversed()
    embedding = new_embedding(2, 2, 0, order=2)
    embedding.inputs[:, :2] = [[1, 0], [9, 9]]
    embedding.outputs[:, :2] = [[9, 9], [0, 2]]
    train(*rows(graph), embedding, Recipe(epochs=1, negative=3, alpha=0.1, min_alpha=0.1))
    np.testing.assert_allclose(embedding.vectors, [[1, 0.5], [9, 9]], atol=1e-6)
    np.testing.assert_allclose(embedding.contexts, [[9, 9], [0.25, 2]], atol=1e-6)


# What the orders mean -------------------------------------------------------------------------------------------------


def cosines(embedding: Embedding) -> np.ndarray:
    units = embedding.vectors / np.linalg.norm(embedding.vectors, axis=1, keepdims=True)
    return units @ units.T


def test_of_order_1_neighbours_are_near_and_of_order_2_those_who_share_neighbours():
    """Twice a graph of two sides of eight, where all of a side are joined with all of the other, and with none of their own."""
    left, right = (each.ravel() for each in np.meshgrid(np.arange(8), np.arange(8, 16)))
    graph = Graph.of_edges([*left, *(left + 16)], [*right, *(right + 16)])
    near = {}
    for order in (1, 2):
        embedding = new_embedding(32, 8, 0, order)
        assert train(*rows(graph), embedding, Recipe(epochs=100, alpha=0.05)).ended == "whole"
        near[order] = cosines(embedding)
    assert near[1][:8, 8:16].mean() > 0.8  # neighbours
    assert near[1][:16, 16:].mean() < -0.5  # nobody in common
    assert near[2][:8, :8].mean() > 0.9  # all neighbours in common
    assert near[2][:8, 8:16].mean() < 0.6  # neighbours, and none in common


def test_one_thread_gives_the_same_to_the_bit_and_blocks_are_told():
    graph = some_graph(weighted=True)
    events, made = [], []
    for _ in range(2):
        embedding = new_embedding(len(graph), 8, 0, 2)
        with listen(events.append):
            training = train(*rows(graph), embedding, Recipe(epochs=5))
        made.append(embedding.vectors)
    np.testing.assert_array_equal(*made)
    assert len(training.losses) == 5
    assert events[0].unit == "edges"
    embedding = new_embedding(len(graph), 8, 0, 2)
    assert train(*rows(graph), embedding, Recipe(epochs=5, threads=2)).ended == "whole"


def test_a_graph_without_edges_is_named():
    with pytest.raises(EmptyInput):
        train(*rows(Graph.of_edges([], [], nodes=["a"])), new_embedding(1, 4, 0, 1), Recipe())


@pytest.mark.parametrize("order", [1, 2])
def test_arrays_that_do_not_belong_together_are_named(order):
    n = 100_000
    ring = np.arange(n + 1), np.roll(np.arange(n, dtype=np.int32), 1), np.ones(n, np.float32)
    for place, wrong, what in (
        (0, np.append(ring[0][:-1], 10**7), "do not lead from 0 to 100,000"),
        (0, ring[0][::-1], "do not lead"),
        (1, ring[1] + 1, "of 100000 nodes"),
        (1, ring[1] - 1, "of 100000 nodes"),
        (2, ring[2][:5], "weights"),
        (2, ring[2] * np.nan, "weights"),
        (2, -ring[2], "weights"),
    ):
        with pytest.raises(InputError, match=what):
            train(*ring[:place], wrong, *ring[place + 1 :], new_embedding(n, 4, 0, order), Recipe(epochs=1))
    with pytest.raises(InputError, match="new_embedding"):
        train(*ring, new_embedding(2, 4, 0, order), Recipe(epochs=1))


@pytest.mark.parametrize("order", [1, 2])
def test_a_rate_that_is_too_large_is_named_or_the_last_whole_epoch_kept(order, caplog):
    graph = some_graph()
    with pytest.raises(InputError, match="lower alpha"):
        train(*rows(graph), new_embedding(len(graph), 8, 0, order), Recipe(alpha=1e30, epochs=2))


def test_ctrl_c_keeps_the_last_whole_epoch(monkeypatch):
    graph = some_graph()
    whole = new_embedding(len(graph), 8, 0, 2)
    waves = edges._Course.waves

    def stops(self, number):
        if number == 2:
            self.weights.inputs[:] = 7
            raise KeyboardInterrupt
        return waves(self, number)

    monkeypatch.setattr(edges._Course, "waves", stops)
    training = train(*rows(graph), whole, Recipe(epochs=5))
    assert (training.ended, len(training.losses)) == ("interrupted", 2)
    assert np.abs(whole.inputs).max() < 7
