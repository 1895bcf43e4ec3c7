"""Random walks against a plain oracle with the same random numbers, and node2vec's steps against their exact probabilities."""

from __future__ import annotations

import errno
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import chisquare

from vicino.data.graphs import Graph
from vicino.errors import ArtifactError, InputError
from vicino.learning import walks_kernels as kernels
from vicino.learning.draw_kernels import alias_table
from vicino.learning.skipgram import Recipe, new_embedding, train
from vicino.learning.walks import Plan, links, walked, walks
from vicino.progress import listen

U64 = 2**64
GOLDEN = 0x9E3779B97F4A7C15


def some_graph(*, weighted: bool = False, directed: bool = False, n: int = 30, seed: int = 0) -> Graph:
    """A random graph with a hub, a loop, a dead end and, last, a node without edges."""
    random = np.random.default_rng(seed)
    edges = np.concatenate([random.integers(0, n - 2, (2 * n, 2)), [(0, other) for other in range(1, n - 1)], [(3, 3)]])
    edges = edges[edges[:, 0] != n - 2]  # which nothing leaves, where edges have a direction
    weights = random.uniform(0.1, 5, len(edges)) if weighted else None
    if not weighted:
        edges = np.unique(np.sort(edges, axis=1), axis=0)
    return Graph.of_edges(*edges.T, weights, nodes=[str(node) for node in range(n)], directed=directed)


def as_lists(ids: np.ndarray, offsets: np.ndarray) -> list[list[int]]:
    return [ids[a:b].tolist() for a, b in pairwise(offsets)]


# The oracle: one draw at a time, with Python's own numbers ------------------------------------------------------------


def mixed(z: int) -> int:
    """SplitMix64, after Steele, Lea and Flood 2014."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % U64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % U64
    return z ^ (z >> 31)


class Oracle:
    def __init__(self, graph: Graph, plan: Plan) -> None:
        self.rows = [graph.neighbours[a:b].tolist() for a, b in pairwise(graph.offsets)]
        self.weights = None
        if graph.weights is not None:
            self.weights = [graph.weights[a:b].astype(float) for a, b in pairwise(graph.offsets)]
            self.cells = [alias_table(row).tolist() if len(row) else [] for row in self.weights]
        self.plan = plan

    def bits(self) -> int:
        self.state = (self.state + GOLDEN) % U64
        return mixed(self.state)

    def neighbour(self, node: int) -> int:
        bits = self.bits()
        drawn = (bits >> 32) * len(self.rows[node]) >> 32
        if self.weights is not None:
            alias, threshold = divmod(self.cells[node][drawn], 2**32)
            drawn = drawn if bits % 2**32 < threshold else alias
        return self.rows[node][drawn]

    def step(self, last: int | None, node: int) -> int:
        back, away = 1 / self.plan.p, 1 / self.plan.q
        if last is None or (back == away == 1):
            return self.neighbour(node)
        if len(self.rows[node]) == 1:
            return self.rows[node][0]
        most, beside = max(1, away), 0.0
        if back > most and last in self.rows[node]:
            at = self.rows[node].index(last)
            beside = (back - most) * self.shares(node)[at]
        for _ in range(max(16, min(len(self.rows[node]), len(self.rows[last])))):
            height = (self.bits() >> 11) * 2.0**-53 * (most + beside)
            if height >= most:
                return last
            drawn = self.neighbour(node)
            if height < (back if drawn == last else 1 if drawn in self.rows[last] else away):
                return drawn
        shares = dict(zip(self.rows[node], self.shares(node).tolist(), strict=True))
        known = {x: shares[x] * (back if x == last else 1) for x in [last, *self.rows[last]] if x in shares}
        if len(self.rows[last]) < len(shares) and sum(shares[x] for x in known) <= 0.5:
            height = (self.bits() >> 11) * 2.0**-53 * (sum(known.values()) + (1 - sum(shares[x] for x in known)) * away)
            while height >= sum(known.values()):
                if (drawn := self.neighbour(node)) not in known:
                    return drawn
            return list(known)[int(np.searchsorted(np.cumsum(list(known.values())), height, side="right"))]
        heights = np.cumsum([known.get(x, each * away) for x, each in shares.items()])
        return self.rows[node][int(np.searchsorted(heights, (self.bits() >> 11) * 2.0**-53 * heights[-1], side="right"))]

    def shares(self, node: int) -> np.ndarray:
        """Of all that is drawn at a node, by weight alone."""
        if self.weights is None:
            return np.full(len(self.rows[node]), 1 / len(self.rows[node]))
        return (self.weights[node] / self.weights[node].sum()).astype(np.float32).astype(float)

    def walk(self, number: int, start: int) -> list[int]:
        self.state = mixed((mixed(self.plan.seed) + number * GOLDEN) % U64)
        nodes, last = [start], None
        while len(nodes) < self.plan.walk_length and self.rows[nodes[-1]]:
            following = self.step(last, nodes[-1])
            last = nodes[-1]
            nodes.append(following)
        return nodes


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize(("p", "q"), [(1, 1), (0.25, 4), (4, 0.25), (0.02, 1), (0.5, 0.5), (1, 3), (9, 9), (900, 300)])
def test_the_kernel_walks_as_the_oracle_does(weighted, directed, p, q):
    graph = some_graph(weighted=weighted, directed=directed)
    plan = Plan(num_walks=4, walk_length=12, p=p, q=q, seed=5)
    found = as_lists(*walks(graph.offsets, graph.neighbours, graph.weights, plan))
    oracle = Oracle(graph, plan)
    assert found == [oracle.walk(number, walk[0]) for number, walk in enumerate(found)]


# Chances --------------------------------------------------------------------------------------------------------------


def exact(graph: Graph, last: int, node: int, p: float, q: float) -> dict[int, float]:
    """Grover and Leskovec's transition probabilities, by their formula."""
    matrix = graph.adjacency().toarray().astype(float)
    bias = {x: 1 / p if x == last else 1 if matrix[last, x] else 1 / q for x in np.flatnonzero(matrix[node]).tolist()}
    total = sum(matrix[node, x] * each for x, each in bias.items())
    return {x: matrix[node, x] * each / total for x, each in bias.items()}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("p", "q"), [(1, 1), (0.25, 4), (4, 0.25), (0.05, 0.5), (3, 3), (90, 60)])
def test_steps_have_the_probabilities_of_the_paper(weighted, p, q):
    graph = some_graph(weighted=weighted, n=9)
    plan = Plan(num_walks=400, walk_length=30, p=p, q=q, seed=1)
    seen: dict[tuple[int, int], dict[int, int]] = {}
    for walk in as_lists(*walks(graph.offsets, graph.neighbours, graph.weights, plan)):
        for last, node, following in zip(walk, walk[1:], walk[2:], strict=False):
            row = seen.setdefault((last, node), {})
            row[following] = row.get(following, 0) + 1
    p_values = []
    for (last, node), row in seen.items():
        wanted = exact(graph, last, node, p, q)
        assert set(row) <= set(wanted)
        if len(wanted) > 1 and sum(row.values()) * min(wanted.values()) > 5:
            counts = [row.get(x, 0) for x in wanted]
            p_values.append(chisquare(counts, np.array(list(wanted.values())) * sum(counts)).pvalue)
    assert len(p_values) > 10
    assert min(p_values) > 1e-3 / len(p_values)  # the seed is fixed: this holds or it does not
    assert 0.25 < np.mean(p_values) < 0.75


@pytest.mark.parametrize("draw", [kernels.weighing, kernels.apart])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_weighed_has_these_probabilities_too(weighted, draw):
    graph = some_graph(weighted=weighted, n=9)
    ways, bias = links(graph.offsets, graph.neighbours, graph.weights), kernels.Bias(0.2, 3.0)
    last = min(graph.neighbours_of("0"), key=lambda node: (node == "0", len(graph.neighbours_of(node))))
    state, found, wanted = 0, np.zeros(9), exact(graph, int(last), 0, 5, 1 / 3)
    for _ in range(5000):
        drawn, state = draw(ways, int(last), 0, bias, np.uint64(state))
        found[drawn] += 1
    assert set(np.flatnonzero(found)) == set(wanted)
    assert chisquare(found[list(wanted)], np.array(list(wanted.values())) * 5000).pvalue > 1e-3


@pytest.mark.parametrize("p", [1e7, 1e300])
def test_where_nearly_every_draw_would_be_refused_walks_go_on(p):
    """A tree has no triangles: with a large p and q together all steps are unlikely, and equally so."""
    size = 200
    graph = Graph.of_edges(np.arange(size) // 2, np.arange(size) + 1)
    plan = Plan(num_walks=20, walk_length=20, p=p, q=p)
    ids, offsets = walks(graph.offsets, graph.neighbours, None, plan)
    assert (np.diff(offsets) == 20).all()
    back = ids.reshape(-1, 20)
    forks = graph.degrees[back[:, 1:-1]] == 3
    assert (back[:, 2:] == back[:, :-2])[forks].mean() == pytest.approx(1 / 3, abs=0.02)


def test_weights_are_drawn_by_alias_cells_of_each_node():
    graph = some_graph(weighted=True)
    ways = links(graph.offsets, graph.neighbours, graph.weights)
    for a, b in pairwise(graph.offsets):
        if b > a:
            own = graph.weights[a:b].astype(float)
            np.testing.assert_array_equal(ways.cells[a:b], alias_table(own))
            np.testing.assert_allclose(ways.shares[a:b], own / own.sum(), rtol=1e-6)
    plain = links(graph.offsets, graph.neighbours, None)
    assert plain.cells.size == plain.shares.size == 0


# What must hold -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directed", [False, True])
def test_walks_follow_edges_and_start_once_a_pass_from_each_node(directed):
    graph = some_graph(directed=directed)
    plan = Plan(num_walks=5, walk_length=9, p=0.5, q=2)
    ids, offsets = walks(graph.offsets, graph.neighbours, graph.weights, plan)
    assert (ids.dtype, offsets.dtype, len(offsets)) == (np.int32, np.int64, 5 * len(graph) + 1)
    rows = graph.adjacency().toarray() > 0
    found = as_lists(ids, offsets)
    for walk in found:
        assert all(rows[a, b] for a, b in pairwise(walk))
        assert len(walk) == 9 or not rows[walk[-1]].any()
    starts = [walk[0] for walk in found]
    passes = [starts[at : at + len(graph)] for at in range(0, len(starts), len(graph))]
    assert all(sorted(each) == list(range(len(graph))) for each in passes)
    assert passes[0] != passes[1]
    assert found[starts.index(29)] == [29]  # the node without edges


def test_threads_and_blocks_change_nothing_and_the_seed_does(monkeypatch):
    graph = some_graph(weighted=True)
    rows = graph.offsets, graph.neighbours, graph.weights
    first = walks(*rows, Plan(seed=3, p=0.5))
    monkeypatch.setattr("vicino.learning.walks._BLOCK", 7)
    for threads in (1, 2, 5):
        for one, other in zip(walks(*rows, Plan(seed=3, p=0.5, threads=threads)), first, strict=True):
            np.testing.assert_array_equal(one, other)
    assert not np.array_equal(walks(*rows, Plan(seed=4, p=0.5))[0], first[0])


def test_any_seed_will_do():
    graph = some_graph()
    rows = graph.offsets, graph.neighbours, None
    found = [walks(*rows, Plan(num_walks=1, seed=seed))[0] for seed in (7, 2**63, 2**64, 2**70 + 7)]
    assert len({each.tobytes() for each in found}) == 4


def test_walks_too_many_for_memory_go_through_a_file(monkeypatch):
    graph = some_graph(directed=True)
    rows = graph.offsets, graph.neighbours, graph.weights
    monkeypatch.setattr("vicino.learning.walks._IN_MEMORY", 1)
    with walked(*rows, Plan()) as (ids, offsets):
        assert isinstance(ids, np.memmap)
        expected = walks(*rows, Plan())
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_array_equal(offsets, expected[1])


def test_a_disk_without_room_for_walks_is_named(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    graph = some_graph()
    monkeypatch.setattr("vicino.learning.walks._IN_MEMORY", 1)
    with pytest.raises(ArtifactError, match="no room") as caught, walked(graph.offsets, graph.neighbours, None, Plan()):
        pass
    assert "TMPDIR" in caught.value.mend
    assert not list(tmp_path.iterdir())


def test_walks_are_sentences_for_skip_gram():
    graph = some_graph()
    ids, offsets = walks(graph.offsets, graph.neighbours, None, Plan())
    embedding = new_embedding(len(graph), 8, 0)
    training = train(ids, offsets, np.bincount(ids, minlength=len(graph)), embedding, Recipe(sample=0, epochs=3))
    assert training.losses[0] > training.losses[-1]


def test_walking_tells_how_far_it_is():
    events = []
    graph = some_graph()
    with listen(events.append):
        walks(graph.offsets, graph.neighbours, None, Plan(num_walks=2))
    assert (events[0].label, events[0].unit, events[-1].done, events[-1].total) == ("walking", "walks", 60, 60)


@pytest.mark.parametrize(
    "params",
    [{"num_walks": 0}, {"walk_length": 1}, {"p": 0}, {"q": -1}, {"p": float("nan")}, {"q": 1e-320}, {"threads": 0}, {"seed": -1}],
    ids=str,
)
def test_plans_that_cannot_be_are_named(params):
    with pytest.raises(InputError, match=next(iter(params))):
        Plan(**params)


def test_walks_that_end_early_are_moved_together():
    ids = np.array([[1, 2, 9], [3, 9, 9], [4, 5, 6]], np.int32)
    assert kernels.close_gaps(ids, np.array([2, 1, 3], np.int32)) == 6
    assert ids.reshape(-1)[:6].tolist() == [1, 2, 3, 4, 5, 6]
