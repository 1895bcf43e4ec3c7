"""Graphs: are labels of nodes told from their vectors, and edges that were held out from pairs without an edge?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.graphs import Graph
from vicino.data.labelled_graphs import read_labelled_graph
from vicino.data.splits import EdgeSplit, hold_out_edges
from vicino.encoders import Encoder
from vicino.encoders.graphs import NodeEncoder
from vicino.errors import InputError
from vicino.evaluation.graphs import OPERATORS, classified_links, indicators, neighbourhood_scores, told_labels
from vicino.evaluation.suite.base import Contender, Measure, Outcome, Task
from vicino.evaluation.suite.contenders import contender, encoded, fingerprint_of, paired, parted
from vicino.evaluation.suite.pairs import told_apart
from vicino.metrics import resampled
from vicino.metrics.values import Values

__all__ = ["links", "nodes"]

_HELD_OUT = 0.3  # of the edges

Rows = NDArray[np.int64]
Indicators = NDArray[np.bool_]


def nodes(path: Path, *, columns: Mapping[str, str] | None = None, split: str | None = None, seed: int = 0) -> Task:
    """A graph whose nodes have labels, as `vicino.data.labelled_graphs` reads it: are the labels told from the vectors?

    Nodes with labels are parted into two halves by chance, and each half teaches a logistic regression that tells the other (as
    Perozzi et al. 2014, at half of the nodes; of a node it is known how many labels it has). Encoders learn from the whole graph,
    without labels. "majority" tells the commonest labels, "neighbours" those commonest among the neighbours in the other half.
    Raises InputError for a graph without labels, and what reading raises.
    """
    _no_split(split)
    read = read_labelled_graph(path, columns=columns)
    if not read.labels:
        raise InputError(f"{path} says nothing about labels of nodes", mend="put nodes.tsv beside edges.tsv, with node and label")
    graph = read.graph
    of_all, names = indicators(graph.nodes, read.labels)
    rows = np.flatnonzero(of_all.any(axis=1))
    truth = of_all[rows]
    if len(names) < 2:
        raise InputError("all nodes have one label: there is nothing to tell", mend="give two labels or more")
    halves = np.random.default_rng(seed).permutation(len(rows)) % 2

    def f1(place: int, outcome: Outcome, counts: NDArray[np.float64]) -> Values:
        return resampled.f1_scores(truth, outcome["told"], counts)[place]

    measures = {
        "micro-F1": Measure("F1 over all labels at once; where each node has one label, the share told rightly", partial(f1, 0)),
        "macro-F1": Measure("the mean of the labels' F1: rare ones count as frequent ones", partial(f1, 1)),
    }
    return Task(
        kind="nodes",
        name=path.resolve().name,
        about=f"{len(graph):,} nodes, {graph.n_edges:,} edges; {len(rows):,} nodes have labels, of {len(names):,}",
        unit="nodes",
        size=len(rows),
        measures=measures,
        shown=tuple(measures),
        ladder=("majority", "neighbours", "deepwalk"),
        prepare=partial(_teller, graph, rows, truth, halves),
        fingerprint=fingerprint_of(_named(graph), truth),
        seed=seed,
    )


def links(path: Path, *, columns: Mapping[str, str] | None = None, split: str | None = None, seed: int = 0) -> Task:
    """A graph: edges that were held out, told from as many pairs without an edge (Liben-Nowell and Kleinberg 2003).

    30 % of the edges are held out, so that what was connected stays so; everything learns from the others. A candidate is an
    encoder of nodes, whose cosines are the scores, or "deepwalk:hadamard": a logistic regression on the products of both vectors
    ("average", "l1" and "l2" likewise: Grover and Leskovec 2016). "common_neighbours" and "adamic_adar" need no vectors. Raises
    what reading and `vicino.data.splits.hold_out_edges` raise.
    """
    _no_split(split)
    graph = read_labelled_graph(path, columns=columns).graph
    parts = hold_out_edges(graph, test_share=_HELD_OUT, seed=seed)
    pairs = np.concatenate([parts.held_out, parts.non_edges])
    truth = np.repeat([1.0, 0.0], [len(parts.held_out), len(parts.non_edges)])
    measures = told_apart(truth)
    held = f"{len(parts.held_out):,} of {graph.n_edges:,} edges are held out"
    return Task(
        kind="links",
        name=path.resolve().name,
        about=f"{len(graph):,} nodes; {held}, and asked beside as many pairs without an edge",
        unit="pairs of nodes",
        size=len(pairs),
        measures=measures,
        shown=("ROC-AUC", "AP"),
        ladder=("common_neighbours", "adamic_adar", "deepwalk:hadamard"),
        prepare=partial(_scorer, parts, pairs, seed),
        fingerprint=fingerprint_of(_named(graph), pairs),
        seed=seed,
    )


def _no_split(split: str | None) -> None:
    if split is not None:
        raise InputError("a graph is not parted by name", mend="leave --split out: it is parted by chance, under --seed")


def _named(graph: Graph) -> list[str]:
    edges, weights = graph.edges()
    return [*graph.nodes, fingerprint_of(edges, weights)]


def _teller(graph: Graph, rows: Rows, truth: Indicators, halves: Rows, name: str) -> Contender:
    counts = truth.sum(axis=1)

    def told(tell: Any) -> Outcome:
        """What is told of each half by what the other half teaches."""
        found = np.zeros_like(truth)
        for half in (0, 1):
            train, test = np.flatnonzero(halves != half), np.flatnonzero(halves == half)
            found[test] = tell(train, test)
        return {"told": found}

    def majority(train: Rows, test: Rows) -> Indicators:
        return _likeliest(np.tile(truth[train].sum(axis=0, dtype=float), (len(test), 1)), counts[test])

    def neighbours(train: Rows, test: Rows) -> Indicators:
        links = graph.undirected().adjacency()
        votes = links[rows[test]][:, rows[train]] @ truth[train].astype(np.float64)
        common = truth[train].mean(axis=0)  # decides where nobody votes
        return _likeliest(np.asarray(votes) + 1e-6 * common, counts[test])

    def answer(encoder: Encoder) -> Outcome:
        vectors = np.asarray(_learnt(encoder, graph, name).encode([graph.nodes[row] for row in rows.tolist()]))
        return told(lambda train, test: told_labels(vectors[train], truth[train], vectors[test], counts[test]))

    plain = {"majority": partial(told, majority), "neighbours": partial(told, neighbours)}
    return contender(name, plain, answer, how="halves")


def _likeliest(scores: NDArray[np.float64], counts: Rows) -> Indicators:
    """The `counts[i]` highest of row i."""
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    told: Indicators = ranks < counts[:, None]
    return told


def _learnt(encoder: Encoder, graph: Graph, name: str) -> Encoder:
    if "node" not in encoder.accepts:
        raise InputError(f"{name} does not encode nodes", mend="choose an encoder of nodes: deepwalk, node2vec or line")
    return encoder if encoder.__sklearn_is_fitted__() else encoder.clone().fit_whole(graph)


def _scorer(parts: EdgeSplit, pairs: Rows, seed: int, name: str) -> Contender:
    stem, operator = parted(name, tuple(OPERATORS))

    def near(which: str) -> Outcome:
        return {"scores": neighbourhood_scores(parts.train, pairs)[which]}

    def answer(encoder: Encoder) -> Outcome:
        # one that has learnt may have seen what is held out: it learns anew
        if not isinstance(encoder, NodeEncoder):
            raise InputError(f"{stem} does not learn from a graph", mend="choose deepwalk, node2vec or line")
        fresh = encoder.clone().fit_whole(parts.train)
        if operator:
            rows = np.asarray(fresh.encode(parts.train.nodes))
            return {"scores": classified_links(rows, parts, pairs, seed, (operator,))[operator]}
        vectors, places = encoded(fresh, parts.train.nodes)
        return {"scores": paired(vectors, places[pairs[:, 0]], places[pairs[:, 1]])}

    plain = {which: partial(near, which) for which in ("common_neighbours", "adamic_adar")}
    return contender(stem, plain, answer, how=f"{operator} anew")
