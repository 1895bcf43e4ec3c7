"""Node vectors: as good as those of PecanPy and gensim, and at what cost, on the same edges; and how walks grow with a graph.

    python -m venv peer && peer/bin/pip install pecanpy==2.0.9 gensim==4.4.0 'numpy<2'
    python benchmarks/graphs.py --data DIR --peer peer/bin/python [--parts blogcatalog cora links growth] [--seeds 3]

Prints one JSON object. PecanPy needs an older NumPy, and so a Python of its own. Each contestant runs in a process of its own, in
turn, once for each seed: it reads a file of edges, walks (80 walks of 40 nodes from each node), and learns 128 dimensions by
skip-gram, window 10, 5 negatives, one epoch. CPU seconds are those of all threads, without reading, and without what compiled
code costs to load, or at first to compile. Node classification is DeepWalk's protocol, by one function for all: half the nodes,
three times by chance, teach one-vs-rest logistic regressions. LINE has no peer here; its orders stand beside DeepWalk. For links
30 % of the edges are held out. Growth: a power-law graph (Chung and Lu 2002, exponent 2.5, about five edges a node), two walks of
40 nodes from each node, without learning. "busy" is the load of the machine as each run began.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rounds import machine, ratio
from vicino.data.edge_lists import read_graph
from vicino.data.graphs import Graph
from vicino.encoders.graphs import LINE, DeepWalk, Node2Vec, NodeEncoder
from vicino.evaluation.graphs import classify_nodes, cluster_nodes, indicators, predict_links
from vicino.learning.walks import Plan, walks
from words import clock, peak_mb, told

SIZES = {"dim": 128, "window": 10, "negative": 5, "epochs": 1, "alpha": 0.025, "num_walks": 80, "walk_length": 40}
BIASES = {"deepwalk": (1.0, 1.0), "node2vec": (0.25, 0.25)}  # p and q: those that node2vec's authors found for BlogCatalog
ORDERS = {"line-1": 1, "line-2": 2, "line": "both"}
NODES = (10_000, 100_000, 1_000_000)
SPLITS = (0, 1, 2)
WALKS = {"plain": "plain", "p_and_q": "p, q", "weights_p_and_q": "p, q, weights"}
MEMORY = {"graph": "graph", "peak": "with walks"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="holds blogcatalog/ and cora/")
    parser.add_argument("--peer", type=Path, help="a Python that has PecanPy; without it nobody is raced")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--sizes", type=int, nargs="+", default=NODES, help="nodes of the power-law graphs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        asked = json.loads(options.one)
        print(json.dumps({"vicino": ours, "growth": grown}[asked.pop("name")](**asked)))
        return
    report: dict[str, Any] = {
        "benchmark": "graphs",
        "machine": machine(),
        "parameters": SIZES | {"p and q": BIASES, "threads": options.threads, "seeds": options.seeds},
    }
    with tempfile.TemporaryDirectory() as folder:
        for part in options.parts:
            report[part] = PARTS[part](part, options, Path(folder))
    print(json.dumps(report, indent=1))


# ---- nodes


def nodes(data_set: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every family on one graph, seed by seed; whoever began a round ends the next."""
    edges, labels = {"blogcatalog": blogcatalog, "cora": cora}[data_set](options.data, folder)
    graph = read_graph(edges)
    contestants = [("vicino", family) for family in (*BIASES, *ORDERS)]
    if options.peer:
        contestants += [("pecanpy", family) for family in BIASES]
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for seed in range(1, options.seeds + 1):
        for name, family in contestants if seed % 2 else reversed(contestants):
            told(f"{data_set}, seed {seed}: {name} {family} (load {os.getloadavg()[0]:.1f})")
            run = {"busy": os.getloadavg()[0], **learnt(name, family, edges, seed, options, folder)}
            run |= judged(folder / "vectors.npz", labels)
            told(json.dumps(run))
            runs.setdefault(family, {}).setdefault(name, []).append(run)
    result: dict[str, Any] = {"nodes": len(graph), "edges": graph.n_edges, "families": {}}
    for family, each in runs.items():
        result["families"][family] = {name: summary(some) for name, some in each.items()}
        if "pecanpy" in each:
            names = [f"{part}_{clock}" for part in ("walking", "learning", "whole") for clock in ("cpu", "wall")]
            times = {name: ratio(column(each["pecanpy"], name), column(each["vicino"], name)) for name in names}
            result["families"][family]["pecanpy/vicino"] = times
    return result


def learnt(name: str, family: str, edges: Path, seed: int, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What one contestant took, in a process of its own; it leaves vectors.npz."""
    asked = {"edges": str(edges), "out": str(folder / "vectors.npz"), "seed": seed, "threads": options.threads}
    if name == "vicino":
        return child({"name": name, "family": family, **asked}, options)
    p, q = BIASES[family]
    command = [str(options.peer), str(Path(__file__).with_name("graphs_peer.py")), json.dumps({**SIZES, **asked, "p": p, "q": q})]
    run = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return run | {f"whole_{each}": run[f"walking_{each}"] + run[f"learning_{each}"] for each in ("cpu", "wall")}


def judged(path: Path, labels: Mapping[str, Sequence[str]]) -> dict[str, float]:
    with np.load(path) as file:
        names, vectors = file["names"].tolist(), file["vectors"]
    truth = indicators(names, {name: labels[name] for name in names})[0]
    scores = classify_nodes(vectors, truth, train_share=0.5, seeds=SPLITS)
    if all(len(each) == 1 for each in labels.values()):
        scores |= cluster_nodes(vectors, truth, seeds=SPLITS)
    return {name: spread.mean for name, spread in scores.items()}


def blogcatalog(data: Path, folder: Path) -> tuple[Path, dict[str, list[str]]]:
    """The network and each blogger's groups."""
    from scipy.io import loadmat

    found = loadmat(data / "blogcatalog" / "blogcatalog.mat")
    pairs, _ = Graph.of_adjacency(found["network"]).edges()
    np.savetxt(folder / "blogcatalog.tsv", pairs, fmt="%d", delimiter="\t")
    rows, columns = found["group"].nonzero()
    labels: dict[str, list[str]] = {}
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        labels.setdefault(str(row), []).append(f"{column:02}")
    return folder / "blogcatalog.tsv", labels


def cora(data: Path, folder: Path) -> tuple[Path, dict[str, list[str]]]:
    """The citations, without directions, and each paper's field; papers of which no edge is known are left out."""
    pairs, _ = read_graph(data / "cora" / "edges.tsv").edges()
    names = read_graph(data / "cora" / "edges.tsv").nodes
    np.savetxt(folder / "cora.tsv", np.array(names)[pairs], fmt="%s", delimiter="\t")
    with (data / "cora" / "nodes.tsv").open(encoding="utf-8") as file:
        return folder / "cora.tsv", {row["node"]: [row["label"]] for row in csv.DictReader(file, delimiter="\t")}


# ---- links


def links(_: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The area under the ROC curve, by graph, family and score."""
    found: dict[str, Any] = {}
    for data_set, take in {"cora": cora, "blogcatalog": blogcatalog}.items():
        graph = read_graph(take(options.data, folder)[0])
        for family in ("deepwalk", "node2vec", "line"):
            told(f"links, {data_set}: {family}")
            spreads = predict_links(encoder(family, 1, options.threads), graph, test_share=0.3, seeds=range(options.seeds))
            scores = {name: spread.to_json() for name, spread in spreads.items()}
            told(json.dumps({name: score["mean"] for name, score in scores.items()}))
            found.setdefault(data_set, {})[family] = scores
    return found


# ---- growth


def growth(_: str, options: argparse.Namespace, __: Path) -> list[dict[str, Any]]:
    """What `growth.py` draws: CPU seconds and memory against nodes, by kind of walk."""
    points = []
    for size in options.sizes:
        told(f"growth: {size:,} nodes")
        points.append(child({"name": "growth", "size": size, "threads": options.threads}, options))
        told(json.dumps(points[-1]))
    seconds = {told: [[each["nodes"], each[f"{name}_cpu"]] for each in points] for name, told in WALKS.items()}
    memory = {told: [[each["nodes"], each[f"{name}_mb"]] for each in points] for name, told in MEMORY.items()}
    return [
        {"title": "walks", "x": "nodes", "y": "CPU seconds", "lines": seconds, "points": points},
        {"title": "walks", "x": "nodes", "y": "MB", "lines": memory},
    ]


def power_law(size: int, seed: int = 0) -> Graph:
    """Edges between nodes drawn by how many each should have."""
    random = np.random.default_rng(seed)
    ahead = np.cumsum((np.arange(size) + 10.0) ** (-1 / 1.5))
    ends = np.searchsorted(ahead, random.random((2, 5 * size)) * ahead[-1])
    low, high = ends.min(axis=0), ends.max(axis=0)
    keys = np.unique((low * size + high)[low < high])
    return Graph.of_edges(*np.divmod(keys, size), nodes=[str(node) for node in range(size)])


# ---- one contestant, in a process of its own


def child(asked: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--data", str(options.data), "--one", json.dumps(asked)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def encoder(family: str, seed: int, threads: int) -> NodeEncoder:
    more = {"seed": seed, "threads": threads, "negative": SIZES["negative"], "vector_size": SIZES["dim"], "alpha": SIZES["alpha"]}
    if family in ORDERS:
        return LINE(order=ORDERS[family], **more)
    p, q = BIASES[family]
    more |= {name: SIZES[name] for name in ("num_walks", "walk_length", "window", "epochs")}
    return DeepWalk(**more) if family == "deepwalk" else Node2Vec(p=p, q=q, **more)


def ours(family: str, edges: str, out: str, seed: int, threads: int) -> dict[str, Any]:
    """Walks are made once more by themselves, to tell them from learning."""
    clocks: dict[str, float] = {}
    model = encoder(family, seed, threads)
    with clock("compiling", clocks):
        model.clone().set_params(epochs=1).fit([("a", "b"), ("b", "c")])
    with clock("reading", clocks):
        graph = read_graph(edges)
    with clock("whole", clocks):
        model.fit(graph)
    peak = peak_mb()
    if isinstance(model, DeepWalk):
        with clock("walking", clocks):
            walks(graph.offsets, graph.neighbours, graph.weights, model._plan())
        clocks |= {f"learning_{each}": clocks[f"whole_{each}"] - clocks[f"walking_{each}"] for each in ("cpu", "wall")}
    np.savez(out, names=np.array(graph.nodes), vectors=model.vectors_)
    return {**clocks, "peak_mb": peak}


def grown(size: int, threads: int) -> dict[str, Any]:
    """Walks over a graph without weights, with p and q, and with weights."""
    clocks: dict[str, float] = {}
    for weights in (None, [1.0, 2.0]):
        small = Graph.of_edges([0, 1], [1, 2], weights)
        walks(small.offsets, small.neighbours, small.weights, Plan(p=0.5))
    with clock("building", clocks):
        graph = power_law(size)
    before = peak_mb()
    weights = np.random.default_rng(0).random(len(graph.neighbours), np.float32) + np.float32(0.1)
    steps = 0
    for name, given, p, q in (("plain", None, 1, 1), ("p_and_q", None, 0.5, 2), ("weights_p_and_q", weights, 0.5, 2)):
        with clock(name, clocks):
            ids, _ = walks(graph.offsets, graph.neighbours, given, Plan(2, 40, p, q, threads=threads))
        steps = len(ids)
        del ids
    degrees = graph.degrees
    about = {"nodes": size, "edges": graph.n_edges, "largest_degree": int(degrees.max()), "steps": steps}
    return {**about, **clocks, "graph_mb": before, "peak_mb": peak_mb()}


# ---- in short


def column(runs: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [run[name] for run in runs]


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """[median, lowest, highest] over the seeds."""
    plain = {
        name: [round(each(column(runs, name)), 4) for each in (statistics.median, min, max)]
        for name in runs[0]
        if name != "versions"
    }
    return plain | ({"versions": runs[0]["versions"]} if "versions" in runs[0] else {})


PARTS = {"blogcatalog": nodes, "cora": nodes, "links": links, "growth": growth}

if __name__ == "__main__":
    main()
