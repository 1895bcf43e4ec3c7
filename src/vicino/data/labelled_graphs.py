"""A graph with the labels of its nodes: a folder of edges and nodes, a file of edges, lists of neighbours, a MATLAB file.

edges.tsv (.csv, .txt, ...)  as `vicino.data.edge_lists.read_graph` reads it, with nodes.tsv (.csv, .jsonl, .parquet) beside
                             it: a column node, and label, where there are labels; a node may have several rows
NAME.adjlist                 a node and its neighbours a line, parted by white space, as NetworkX writes them; no labels
NAME.mat                     matrices `network` (n, n) and `group` (n, k), as DeepWalk's authors give them
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicino.data.edge_lists import as_graph, read_graph
from vicino.data.files import MAX_CHARACTERS, Lines, opened, text_stream
from vicino.data.formats import kind_of
from vicino.data.graphs import Graph
from vicino.data.rows import TABLES
from vicino.errors import InputError, UnknownName, UnreadableSource

__all__ = ["LabelledGraph", "read_labelled_graph"]

_NODE = ("node", "id", "_id", "name")
_LABEL = ("label", "class", "group", "category")
_PART = ("source", "target", "weight", "node", "label")  # what `columns` may name


@dataclass(frozen=True)
class LabelledGraph:
    """A graph, and the labels of those of its nodes that have any: one, several or none."""

    graph: Graph
    labels: Mapping[str, frozenset[str]] = field(default_factory=dict)


def read_labelled_graph(path: str | Path, *, columns: Mapping[str, str] | None = None) -> LabelledGraph:
    """The graph of a folder or file, as the head of this module lists them.

    `columns` names columns: source, target and weight of edges, node and label of nodes. Raises UnreadableSource for what is none
    of these, UnknownName for a column that is not there or cannot be named, and what `read_graph` raises.
    """
    source, asked = Path(path), dict(columns or {})
    for part in asked:
        if part not in _PART:
            raise UnknownName.among(part, _PART, kind="column of a graph")
    ends: dict[str, Any] = {part: asked[part] for part in ("source", "target", "weight") if part in asked}
    if source.is_dir():
        return _of_folder(source, ends, asked)
    if source.suffix == ".mat":
        return _of_matrices(source)
    if source.suffix == ".adjlist":
        return LabelledGraph(as_graph(dict.fromkeys(_neighbours(source))))
    if not source.exists():
        raise UnreadableSource(f"there is no {source}", mend="give a folder with edges and nodes, or a file of edges")
    return LabelledGraph(read_graph(source, **ends))


def _of_folder(folder: Path, ends: Mapping[str, Any], asked: Mapping[str, str]) -> LabelledGraph:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    by_stem = {file.name.partition(".")[0].lower(): file for file in files}
    edges = by_stem.get("edges") or by_stem.get("links")
    if edges is None:
        alone = [file for file in files if file.suffix in (".adjlist", ".mat", ".edges", ".edgelist")]
        if len(alone) != 1:
            raise UnreadableSource(f"{folder} holds no edges", mend="name a file edges.tsv, and one of labels nodes.tsv")
        return read_labelled_graph(alone[0])
    nodes = by_stem.get("nodes") or by_stem.get("labels")
    if nodes is None:
        return LabelledGraph(read_graph(edges, **ends))
    labels = _labels(nodes, asked)
    # a node without edges is a node all the same
    return LabelledGraph(read_graph(edges, nodes=list(labels), **ends), {node: own for node, own in labels.items() if own})


def _labels(path: Path, asked: Mapping[str, str]) -> dict[str, frozenset[str]]:
    kind = kind_of(path.name)
    if kind not in TABLES:
        raise UnreadableSource(f"{path} is not a table of nodes", mend=f"give a file of {', '.join(TABLES)}")

    def refuse(line: int | None, reason: str) -> None:
        raise UnreadableSource(f"{path}, line {line}: {reason}", mend="mend the line")

    found: dict[str, frozenset[str]] = {}
    for line, row in TABLES[kind](path, MAX_CHARACTERS, refuse):
        node = row.get(_column("node", row, asked, _NODE) or "")
        if node in (None, ""):
            raise UnreadableSource(f"{path}, line {line}: no node", mend="name the column: --columns node=COLUMN,label=COLUMN")
        label = row.get(_column("label", row, asked, _LABEL) or "")
        own = frozenset() if label in (None, "") else frozenset([str(label)])
        found[str(node)] = found.get(str(node), frozenset()) | own
    return found


def _column(part: str, row: Mapping[str, Any], asked: Mapping[str, str], known: tuple[str, ...]) -> str | None:
    if part in asked and asked[part] not in row:
        raise UnknownName.among(asked[part], row, kind="column")
    return asked.get(part) or next((name for name in row if name.lower() in known), None)


def _neighbours(path: Path) -> Iterator[tuple[str, str]]:
    with opened(path) as stream, text_stream(stream) as decoded:
        for line in Lines(decoded, MAX_CHARACTERS):
            node, *others = line.partition("#")[0].split() or [""]
            for other in others:
                yield min(node, other), max(node, other)  # an edge stands in the lists of both its ends


def _of_matrices(path: Path) -> LabelledGraph:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        held = loadmat(path)
    except (MatReadError, RuntimeError, ValueError, TypeError, OSError) as error:  # RuntimeError: version 7.3, which is HDF5
        raise UnreadableSource(
            f"{path} is no MATLAB file that can be read ({error})", mend="save it as version 5 or 7"
        ) from error
    if "network" not in held:
        raise InputError(f"{path} has no matrix named network", mend="save the (n, n) edges under this name, labels as group")
    graph = Graph.of_adjacency(held["network"])
    if "group" not in held:
        return LabelledGraph(graph)
    from scipy.sparse import coo_array

    cells = coo_array(held["group"])
    if cells.shape[0] != len(graph):
        raise UnreadableSource(
            f"{path}: labels of {cells.shape[0]:,} nodes, of {len(graph):,}", mend="give a row of group a node"
        )
    labels: dict[str, set[str]] = {}
    for row, label in zip(cells.row.tolist(), cells.col.tolist(), strict=True):
        labels.setdefault(graph.nodes[row], set()).add(str(label))
    return LabelledGraph(graph, {node: frozenset(own) for node, own in labels.items()})
