"""Tasks on graphs: against plain scikit-learn and networks small enough to count, and what the numbers mean."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier

from vicino.data.graphs import Graph, UnknownNode
from vicino.encoders.graphs import LINE, DeepWalk
from vicino.errors import DimensionMismatch, DuplicateIds, InputError
from vicino.evaluation.graphs import classify_nodes, cluster_nodes, indicators, link_features, neighbourhood_scores, predict_links
from vicino.metrics.classification import roc_auc


def planted(groups: int = 3, size: int = 25, seed: int = 0) -> tuple[Graph, np.ndarray]:
    """A planted partition (Condon and Karp 2001): edges inside a group at 0.4, across at 0.02; and the groups."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), size)
    left, right = np.triu_indices(len(group), 1)
    joined = random.random(len(left)) < np.where(group[left] == group[right], 0.4, 0.02)
    return Graph.of_edges(left[joined], right[joined], nodes=[f"n{i}" for i in range(len(group))]), group


@pytest.fixture(scope="module")
def nodes() -> tuple[DeepWalk, np.ndarray]:
    graph, group = planted()
    encoder = DeepWalk(vector_size=16, num_walks=10, walk_length=20, window=5, epochs=5).fit(graph)
    return encoder, indicators(graph.nodes, {f"n{i}": f"g{each}" for i, each in enumerate(group)})[0]


# Nodes ----------------------------------------------------------------------------------------------------------------


def test_the_protocol_is_that_of_deepwalk():
    """Against scikit-learn's one-vs-rest, with the number of labels known, as DeepWalk's own script does it."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(200, 8)).astype(np.float32)
    truth = (vectors[:, :5] + random.normal(size=(200, 5)) * 0.5 > 0.7).astype(int)
    some = truth.any(axis=1)
    found = classify_nodes(vectors, truth, train_share=0.4, seeds=[3])
    rows, labels = vectors[some], truth[some]
    order = np.random.default_rng(3).permutation(len(rows))
    train, test = order[: round(0.4 * len(rows))], order[round(0.4 * len(rows)) :]
    scores = OneVsRestClassifier(LogisticRegression(solver="liblinear")).fit(rows[train], labels[train]).predict_proba(rows[test])
    told = np.zeros_like(labels[test])
    for i, row in enumerate(scores):
        told[i, np.argsort(-row)[: labels[test][i].sum()]] = 1
    assert found["micro_f1"].mean == pytest.approx(f1_score(labels[test], told, average="micro"))
    assert found["macro_f1"].mean == pytest.approx(f1_score(labels[test], told, average="macro"))


def test_groups_of_a_graph_are_told_by_their_vectors_and_not_by_chance(nodes):
    encoder, truth = nodes
    found = classify_nodes(encoder.vectors_, truth, train_share=0.3)
    assert found["micro_f1"].mean > 0.95
    assert len(found["micro_f1"].values) == 3
    noise = np.random.default_rng(0).normal(size=encoder.vectors_.shape)
    assert classify_nodes(noise, truth)["micro_f1"].mean < 0.6
    assert found == classify_nodes(encoder.vectors_, truth, train_share=0.3)
    clusters = cluster_nodes(encoder.vectors_, truth)
    assert clusters["nmi"].mean > 0.9 < clusters["ari"].mean
    assert abs(cluster_nodes(noise, truth)["ari"].mean) < 0.1
    plain = clusters["nmi"].to_json()
    assert plain["low"] <= plain["mean"] <= plain["high"]


def test_labels_that_all_or_none_of_the_teaching_nodes_have_are_no_obstacle():
    truth = np.zeros((20, 3), int)
    truth[:, 0] = 1
    truth[np.random.default_rng(0).permutation(20)[19], 2] = 1  # tested, so never taught: the other label is as likely
    found = classify_nodes(np.random.default_rng(0).normal(size=(20, 4)), truth, seeds=[0])
    assert 0.8 < found["micro_f1"].mean < 1


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda v, y: classify_nodes(v, y[:-1]), DimensionMismatch),
        (lambda v, y: classify_nodes(v, y, train_share=0), InputError),
        (lambda v, y: classify_nodes(v, y, train_share=1), InputError),
        (lambda v, y: classify_nodes(v, 0 * y), InputError),
        (lambda v, y: classify_nodes(v * np.nan, y), InputError),
        (lambda v, y: cluster_nodes(v, y | 1), InputError),
        (lambda v, y: indicators(["a"], {"b": "x"}), UnknownNode),
        (lambda v, y: indicators(["a", "a"], {"a": "x"}), DuplicateIds),
        (lambda v, y: link_features(v, np.array([[0, 1]]), "product"), InputError),
    ],
)
def test_what_cannot_be_judged_is_named(call, error):
    with pytest.raises(error):
        call(np.ones((4, 2)), np.array([[1, 0], [0, 1], [1, 0], [0, 1]]))


# Links ----------------------------------------------------------------------------------------------------------------


def test_links_are_told_from_pairs_without_an_edge():
    graph, _ = planted()
    found = predict_links(DeepWalk(vector_size=16, num_walks=10, walk_length=20, window=5, epochs=5), graph, seeds=[0, 1])
    assert set(found) == {
        *("dot", "cosine", "hadamard", "average", "l1", "l2"), *("common_neighbours", "adamic_adar")
    }  # fmt: skip
    for name in ("hadamard", "l2", "cosine", "common_neighbours", "adamic_adar"):
        assert found[name].mean > 0.75, name
    assert len(found["dot"].values) == 2


def test_held_out_edges_leave_no_trace():
    """In a graph of pure chance no edge tells of another: whatever scores above chance has seen the answer."""
    random = np.random.default_rng(1)
    left, right = np.triu_indices(120, 1)
    joined = random.random(len(left)) < 0.1
    graph = Graph.of_edges(left[joined], right[joined])
    found = predict_links(LINE(vector_size=16, epochs=20), graph, test_share=0.4, seeds=[0, 1, 2])
    assert all(0.4 < spread.mean < 0.6 for spread in found.values()), {name: spread.mean for name, spread in found.items()}


def test_neighbourhoods_by_hand():
    """A square 0-1-2-3 with the diagonal 0-2, a loop at 1, and 4 at the end of 3: degrees 3, 2, 3, 3 and 1 without the loop."""
    graph = Graph.of_edges([0, 1, 2, 3, 0, 1, 3], [1, 2, 3, 0, 2, 1, 4], [1, 5, 1, 1, 2, 3, 1])
    found = neighbourhood_scores(graph, np.array([[1, 3], [0, 2], [0, 4], [1, 4], [0, 1]]))
    assert found["common_neighbours"].tolist() == [2, 2, 1, 0, 1]
    by_three, by_two = 1 / np.log(3), 1 / np.log(2)
    np.testing.assert_allclose(found["adamic_adar"], [2 * by_three, by_two + by_three, by_three, 0, by_three])
    directed = Graph.of_edges([0, 1], [1, 2], directed=True)
    assert neighbourhood_scores(directed, np.array([[0, 2]]))["common_neighbours"].tolist() == [1]


def test_operators_by_hand():
    vectors, pairs = np.array([[1, 2], [3, -2]], np.float32), np.array([[0, 1], [1, 1]])
    assert link_features(vectors, pairs, "hadamard").tolist() == [[3, -4], [9, 4]]
    assert link_features(vectors, pairs, "average").tolist() == [[2, 0], [3, -2]]
    assert link_features(vectors, pairs, "l1").tolist() == [[2, 4], [0, 0]]
    assert link_features(vectors, pairs, "l2").tolist() == [[4, 16], [0, 0]]
    assert roc_auc([1, 0], link_features(vectors, pairs, "l2")[:, 0]) == 1
