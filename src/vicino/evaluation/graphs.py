"""How good node vectors are: nodes told by their labels, edges told again that were held out, nodes in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.data.graphs import Graph, UnknownNode
from vicino.data.splits import EdgeSplit, hold_out_edges, non_edges
from vicino.encoders.graphs import NodeEncoder
from vicino.errors import DimensionMismatch, DuplicateIds, InputError
from vicino.metrics.classification import as_indicators, macro_f1, micro_f1, roc_auc
from vicino.metrics.clustering import k_means
from vicino.metrics.similarity import paired_cosine
from vicino.progress import track
from vicino.vectors import as_vectors

__all__ = [
    "OPERATORS",
    "Spread",
    "classified_links",
    "classify_nodes",
    "cluster_nodes",
    "indicators",
    "link_features",
    "neighbourhood_scores",
    "predict_links",
    "told_labels",
]

Vectors = NDArray[np.float32]

OPERATORS: dict[str, Callable[[Vectors, Vectors], Vectors]] = {  # of node2vec: pairs of vectors -> features of an edge
    "hadamard": lambda left, right: left * right,
    "average": lambda left, right: (left + right) * np.float32(0.5),
    "l1": lambda left, right: np.abs(left - right),
    "l2": lambda left, right: (left - right) ** 2,
}

_MOST = 100_000  # edges that a classifier of links learns from
_BLOCK = 4096  # pairs whose common neighbours are counted together

Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class Spread:
    """A measure over several seeds: `values`, their mean, the lowest and the highest."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    def to_json(self) -> dict[str, Any]:
        """The numbers, as JSON can say them."""
        return {"mean": self.mean, "low": min(self.values), "high": max(self.values), "values": list(self.values)}


def indicators(nodes: Sequence[str], labels: Mapping[str, str | Iterable[str]]) -> tuple[NDArray[np.bool_], list[str]]:
    """The (n, k) indicators of n nodes' labels, and the k labels, sorted; a node may have one, several or none.

    Raises UnknownNode for a labelled node that is not among `nodes`, DuplicateIds for two nodes of a name.

    >>> indicators(["a", "b", "c"], {"a": "red", "c": ["red", "blue"]})[0].astype(int).tolist()
    [[0, 1], [0, 0], [1, 1]]
    """
    rows = {node: row for row, node in enumerate(nodes)}
    if len(rows) < len(nodes):
        raise DuplicateIds(f"{len(nodes)} nodes of {len(rows)} names", mend="give each node a name of its own")
    held = {node: {each} if isinstance(each, str) else set(each) for node, each in labels.items()}
    names = sorted(set().union(*held.values()))
    columns = {name: column for column, name in enumerate(names)}
    found = np.zeros((len(rows), len(names)), dtype=np.bool_)
    for node, each in held.items():
        if node not in rows:
            raise UnknownNode(f"{node!r} has a label, and is no node", mend="label nodes by their names in the graph")
        found[rows[node], [columns[name] for name in each]] = True
    return found, names


def classify_nodes(
    vectors: ArrayLike, labels: ArrayLike, *, train_share: float = 0.5, seeds: Sequence[int] = (0, 1, 2), C: float = 1.0
) -> dict[str, Spread]:
    """How well a linear classifier tells the labels of nodes from their vectors: {"micro_f1": ..., "macro_f1": ...}.

    (n, d) vectors and (n, k) indicators; nodes without a label are left out. As DeepWalk's authors judge (Perozzi et al. 2014):
    for each seed `train_share` of the nodes, by chance, teach one logistic regression a label (`C` is its inverse penalty, and
    vectors are taken as they are); of a test node it is known how many labels it has, and so many are told, the likeliest.

    Raises InputError for a share that leaves one side empty, DimensionMismatch, and what `as_vectors` and `as_indicators` raise.
    """
    rows, truth = _labelled(vectors, labels)
    n_train = round(train_share * len(rows))
    if not 0 < n_train < len(rows):
        raise InputError(
            f"a share of {train_share} of {len(rows)} nodes leaves one side empty", mend="choose another train_share"
        )
    micro, macro = [], []
    for seed in track(seeds, "classifying nodes", unit="seeds"):
        order = np.random.default_rng(seed).permutation(len(rows))
        train, test = order[:n_train], order[n_train:]
        told = told_labels(rows[train], truth[train], rows[test], truth[test].sum(axis=1), C=C)
        micro.append(micro_f1(truth[test], told))
        macro.append(macro_f1(truth[test], told))
    return {"micro_f1": Spread(tuple(micro)), "macro_f1": Spread(tuple(macro))}


def cluster_nodes(vectors: ArrayLike, labels: ArrayLike, *, seeds: Sequence[int] = (0, 1, 2)) -> dict[str, Spread]:
    """How well k-means finds the groups that labels make: {"nmi": ..., "ari": ...}.

    (n, d) vectors, divided by their lengths, and (n, k) indicators with one label a node (nodes without are left out); as many
    clusters as labels. Normalised mutual information by the arithmetic mean of entropies, and the adjusted Rand index (Hubert
    and Arabie 1985). Raises InputError for nodes of several labels, and what `classify_nodes` raises.
    """
    rows, truth = _labelled(vectors, labels)
    if (truth.sum(axis=1) > 1).any():
        raise InputError("a node with several labels is in no one group", mend="give one label a node")
    groups = truth.argmax(axis=1)
    found = [k_means(rows, groups, seed=seed) for seed in track(seeds, "clustering nodes", unit="seeds")]
    return {"nmi": Spread(tuple(each.nmi for each in found)), "ari": Spread(tuple(each.ari for each in found))}


def predict_links(
    encoder: NodeEncoder, graph: Graph, *, test_share: float = 0.3, seeds: Sequence[int] = (0, 1, 2)
) -> dict[str, Spread]:
    """How well edges that were held out are told from pairs without an edge: the area under the ROC curve, by name.

    For each seed the graph is split (`hold_out_edges`), and a clone of the encoder learns from what is left. "dot" and "cosine"
    score a pair by the product of its vectors; "hadamard", "average", "l1" and "l2" by a logistic regression on features of the
    pair (Grover and Leskovec 2016, table 1), which learns from edges that are left and from pairs that no such edge joins; no
    pair of the test is among them. Beside these stand two scores that need no vectors, over the edges that are left and without
    directions: "common_neighbours", and "adamic_adar", where a common neighbour counts 1 / ln(its degree) (Adamic and Adar
    2003).

    Raises what `hold_out_edges` and `fit` raise.
    """
    found: dict[str, list[float]] = {}
    for seed in track(seeds, "predicting links", unit="seeds"):
        split = hold_out_edges(graph, test_share=test_share, seed=seed)
        rows = encoder.clone().fit_whole(split.train).encode(split.train.nodes)
        pairs = np.concatenate([split.held_out, split.non_edges])
        truth = np.repeat([1, 0], [len(split.held_out), len(split.non_edges)])
        left, right = rows[pairs[:, 0]], rows[pairs[:, 1]]
        scores = {"dot": np.einsum("nd,nd->n", left, right), "cosine": paired_cosine(left, right)}
        scores |= neighbourhood_scores(split.train, pairs) | classified_links(rows, split, pairs, seed)
        for name, each in scores.items():
            found.setdefault(name, []).append(roc_auc(truth, each))
    return {name: Spread(tuple(values)) for name, values in found.items()}


def link_features(vectors: Vectors, pairs: Pairs, operator: str) -> Vectors:
    """What tells of an edge: (n, d) vectors and (m, 2) rows -> (m, d). Raises InputError for another operator.

    >>> link_features(np.array([[1, 2], [3, -2]], np.float32), np.array([[0, 1]]), "l2").tolist()
    [[4.0, 16.0]]
    """
    left, right = vectors[pairs[:, 0]], vectors[pairs[:, 1]]
    if operator not in OPERATORS:
        raise InputError(f"there is no operator {operator!r}", mend=f"choose one of {', '.join(OPERATORS)}")
    return OPERATORS[operator](left, right)


def told_labels(
    rows: Vectors, truth: NDArray[np.bool_], asked: Vectors, counts: NDArray[np.int64], *, C: float = 1.0
) -> NDArray[np.bool_]:
    """(m, k) indicators that one logistic regression a label tells of (m, d) `asked`, having learnt from (n, d) rows and (n, k)
    indicators: of each the `counts` (m,) likeliest labels, as it is known how many it has (Perozzi et al. 2014)."""
    return _likeliest(_one_against_rest(rows, truth, asked, C), counts)


def _labelled(vectors: ArrayLike, labels: ArrayLike) -> tuple[Vectors, NDArray[np.bool_]]:
    rows, truth = as_vectors(vectors), as_indicators(labels)
    if len(rows) != len(truth):
        raise DimensionMismatch(f"{len(rows)} vectors and labels of {len(truth)} nodes", mend="give both for the same nodes")
    some = truth.any(axis=1)
    if some.sum() < 2:
        raise InputError("fewer than two nodes have a label", mend="label more nodes")
    return rows[some], truth[some]


def _one_against_rest(rows: Vectors, truth: NDArray[np.bool_], asked: Vectors, C: float) -> NDArray[np.float64]:
    """(m, k) scores; a label that all or none of the nodes have which teach is told always, or never."""
    from sklearn.linear_model import LogisticRegression

    scores = np.empty((len(asked), truth.shape[1]))
    for label, column in enumerate(truth.T):
        if column.all() or not column.any():
            scores[:, label] = np.inf if column.all() else -np.inf
        else:
            scores[:, label] = LogisticRegression(C=C, solver="liblinear").fit(rows, column).decision_function(asked)
    return scores


def _likeliest(scores: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The `counts[i]` highest of row i."""
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    told: NDArray[np.bool_] = ranks < counts[:, None]
    return told


def classified_links(
    rows: Vectors, split: EdgeSplit, asked: Pairs, seed: int, operators: Sequence[str] = tuple(OPERATORS)
) -> dict[str, NDArray[np.float64]]:
    """The scores of (m, 2) pairs by a logistic regression on each operator's features of (n, d) vectors of the nodes.

    It learns from edges of `split.train`, and from as many pairs that no edge joins, of which none is asked.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    edges = np.random.default_rng(seed).permutation(split.train.edges()[0])[:_MOST]
    others = non_edges(split.train, len(edges), seed=seed + 1, beside=asked)
    pairs, truth = np.concatenate([edges, others]), np.repeat([1, 0], [len(edges), len(others)])
    scores = {}
    for operator in operators:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(link_features(rows, pairs, operator), truth)
        scores[operator] = model.decision_function(link_features(rows, asked, operator))
    return scores


def neighbourhood_scores(graph: Graph, pairs: Pairs) -> dict[str, NDArray[np.float64]]:
    """Two baselines of (m, 2) pairs of rows: how many neighbours both have in common, and how telling these are.

    Over edges without directions; "adamic_adar" counts a common neighbour as 1 / ln(its degree) (Adamic and Adar 2003).

    >>> square = Graph.of_edges([0, 1, 2, 3], [1, 2, 3, 0])
    >>> neighbourhood_scores(square, np.array([[0, 2], [0, 1]]))["common_neighbours"].tolist()
    [2.0, 0.0]
    """
    from scipy.sparse import diags_array

    links = graph.undirected().adjacency().astype(np.bool_).astype(np.float64)
    links = (links - diags_array(links.diagonal())).tocsr()  # nobody is a neighbour of itself
    degrees = links.sum(axis=1)
    telling = diags_array(1 / np.log(np.maximum(degrees, 2)))  # what two nodes have in common has a degree of at least 2
    common, adamic = [], []
    for at in range(0, len(pairs), _BLOCK):
        left, right = (links[pairs[at : at + _BLOCK, side]] for side in (0, 1))
        both = left.multiply(right)
        common.append(both.sum(axis=1))
        adamic.append((both @ telling).sum(axis=1))
    return {"common_neighbours": np.concatenate(common), "adamic_adar": np.concatenate(adamic)}
