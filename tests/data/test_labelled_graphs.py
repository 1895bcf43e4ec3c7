"""Graphs with labels: folders, lists of neighbours, matrices, and what is none of these."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csr_array

from vicino.data.labelled_graphs import read_labelled_graph
from vicino.errors import InputError, UnknownName, UnreadableSource


def test_a_folder_holds_edges_and_nodes(tmp_path):
    (tmp_path / "edges.tsv").write_text("source\ttarget\na\tb\nb\tc\n")
    (tmp_path / "nodes.tsv").write_text("node\tlabel\na\tred\na\tround\nb\tblue\nc\t\nd\tred\n")
    read = read_labelled_graph(tmp_path)
    assert sorted(read.graph.nodes) == ["a", "b", "c", "d"]  # d has no edges, and is a node
    assert read.graph.n_edges == 2
    assert read.labels == {"a": {"red", "round"}, "b": {"blue"}, "d": {"red"}}
    (tmp_path / "nodes.tsv").unlink()
    assert read_labelled_graph(tmp_path).labels == {}
    assert read_labelled_graph(tmp_path / "edges.tsv").graph.n_edges == 2


def test_columns_are_named(tmp_path):
    (tmp_path / "edges.csv").write_text("who,whom,times\na,b,2\n")
    (tmp_path / "nodes.csv").write_text("person,colour\na,red\nb,blue\n")
    asked = {"source": "who", "target": "whom", "weight": "times", "node": "person", "label": "colour"}
    assert read_labelled_graph(tmp_path, columns=asked).labels == {"a": {"red"}, "b": {"blue"}}
    with pytest.raises(UnreadableSource, match="line 2: no node"):
        read_labelled_graph(tmp_path, columns={"source": "who", "target": "whom"})
    with pytest.raises(UnknownName, match="color"):
        read_labelled_graph(tmp_path, columns=asked | {"label": "color"})
    with pytest.raises(UnknownName, match="column of a graph"):
        read_labelled_graph(tmp_path, columns={"sorce": "who"})


def test_lists_of_neighbours_give_each_edge_once(tmp_path):
    path = tmp_path / "club.adjlist"
    path.write_text("# a club\n1 2 3\n2 1\n3 1\n4\n")
    graph = read_labelled_graph(path).graph
    assert graph.n_edges == 2
    assert graph.neighbours_of("1") == ["2", "3"]
    assert read_labelled_graph(tmp_path).graph.n_edges == 2  # alone in its folder


def test_matrices_of_matlab(tmp_path):
    path = tmp_path / "g.mat"
    network = csr_array(np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]], dtype=float))
    savemat(path, {"network": network, "group": np.array([[1, 0], [1, 1], [0, 0]], dtype=float)})
    read = read_labelled_graph(path)
    assert read.graph.n_edges == 2
    assert read.labels == {"0": {"0"}, "1": {"0", "1"}}
    savemat(path, {"network": network, "group": np.ones((2, 2))})
    with pytest.raises(UnreadableSource, match="labels of 2 nodes, of 3"):
        read_labelled_graph(path)
    savemat(path, {"links": network})
    with pytest.raises(InputError, match="no matrix named network"):
        read_labelled_graph(path)
    path.write_bytes(b"not a matrix")
    with pytest.raises(UnreadableSource, match="no MATLAB file"):
        read_labelled_graph(path)


def test_what_is_no_graph_is_named(tmp_path):
    with pytest.raises(UnreadableSource, match="there is no"):
        read_labelled_graph(tmp_path / "nowhere.tsv")
    with pytest.raises(UnreadableSource, match="holds no edges"):
        read_labelled_graph(tmp_path)
    (tmp_path / "edges.tsv").write_text("source\ttarget\na\tb\n")
    (tmp_path / "nodes.md").write_text("a red")
    with pytest.raises(UnreadableSource, match="not a table of nodes"):
        read_labelled_graph(tmp_path)
