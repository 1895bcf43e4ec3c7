"""Graphs from edges, matrices and files: what stands in the rows, and what is refused, with its place."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import lzma
import tracemalloc
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array, save_npz

from vicino.data.edge_lists import as_graph, read_graph
from vicino.data.graphs import Graph, UnknownNode
from vicino.errors import DimensionMismatch, DuplicateIds, EmptyInput, InputError, InputTooLarge, UnknownName, UnreadableSource


def told(graph: Graph) -> dict[str, dict[str, float]]:
    """The graph as a mapping, with names for rows."""
    rows = graph.adjacency().toarray()
    return {name: {other: rows[i, j] for j, other in enumerate(graph.nodes) if rows[i, j]} for i, name in enumerate(graph.nodes)}


# What stands in the rows ----------------------------------------------------------------------------------------------


weights = st.just(0) | st.floats(2**-10, 100, width=32)


@pytest.mark.parametrize("directed", [False, True])
@given(edges=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), weights), max_size=40))
def test_rows_are_those_of_a_dense_matrix(directed, edges):
    matrix = np.zeros((9, 9))
    for source, target, weight in edges:
        matrix[source, target] += weight
        if not directed and source != target:
            matrix[target, source] += weight
    sources, targets, weights = zip(*edges, strict=True) if edges else ((), (), ())
    graph = Graph.of_edges(sources, targets, weights, nodes=list("abcdefghi"), directed=directed)
    np.testing.assert_allclose(graph.adjacency().toarray(), matrix, rtol=1e-6)
    assert (graph.neighbours.dtype, graph.offsets.dtype) == (np.int32, np.int64)
    assert all((np.diff(graph.neighbours[a:b]) > 0).all() for a, b in zip(graph.offsets, graph.offsets[1:], strict=False))
    assert graph.n_edges == (np.count_nonzero(matrix) if directed else np.count_nonzero(np.triu(matrix)))
    again = Graph.of_edges(*graph.edges()[0].T, graph.edges()[1], nodes=graph.nodes, directed=directed)
    np.testing.assert_array_equal(again.adjacency().toarray(), graph.adjacency().toarray())


def test_an_undirected_edge_stands_in_both_rows_and_a_loop_once():
    graph = as_graph([("a", "b"), ("b", "b"), ("c", "a")])
    assert told(graph) == {"a": {"b": 1, "c": 1}, "b": {"a": 1, "b": 1}, "c": {"a": 1}}
    assert (graph.n_edges, graph.weights, graph.degrees.tolist()) == (3, None, [2, 2, 1])
    assert repr(graph) == "<Graph of 3 nodes and 3 edges, undirected, unweighted>"


def test_a_directed_edge_stands_in_one_and_can_be_turned_round():
    graph = as_graph([("a", "b", 2.0), ("b", "a", 3.0), ("c", "a", 1.0)], directed=True)
    assert told(graph) == {"a": {"b": 2}, "b": {"a": 3}, "c": {"a": 1}}
    assert told(graph.reversed()) == {"a": {"b": 3, "c": 1}, "b": {"a": 2}, "c": {}}
    assert told(graph.undirected()) == {"a": {"b": 5, "c": 1}, "b": {"a": 5}, "c": {"a": 1}}


def test_edges_given_several_times_are_summed():
    assert told(as_graph([("a", "b", 2.0), ("b", "a", 0.5), ("a", "c", 1.0)])) == {
        "a": {"b": 2.5, "c": 1}, "b": {"a": 2.5}, "c": {"a": 1}
    }  # fmt: skip
    assert told(as_graph([("a", "b"), ("a", "b"), ("a", "c")]))["a"] == {"b": 2, "c": 1}
    assert as_graph([("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")]).weights is None  # all edges both ways are no weights
    assert as_graph([("a", "b", 2), ("c", "b", 2)]).weights.tolist() == [2, 2, 2, 2]
    assert as_graph([("a", "b", 1), ("c", "b", 0)]).n_edges == 1


def test_isolated_nodes_are_named():
    graph = Graph.of_edges([0], [1], nodes=["a", "b", "alone"])
    assert told(graph) == {"a": {"b": 1}, "b": {"a": 1}, "alone": {}}
    assert graph.neighbours_of("alone") == []
    with pytest.raises(UnknownNode, match="did you mean alone"):
        graph.row("alona")
    for other in (5, None):
        with pytest.raises(UnknownNode, match="names are str"):
            graph.row(other)


def test_nodes_named_by_numbers_are_spelt_out():
    for graph in (
        Graph.of_edges([0], [1], nodes=[7, np.int64(8), np.str_("c")]),
        Graph.of_adjacency(np.diag([1, 1], 1), nodes=[7, np.int64(8), "c"]),
    ):
        assert list(map(type, graph.nodes)) == [str] * 3
        assert graph.row("8") == 1


def test_gaps_between_numbers_are_no_obstacle_within_reason_or_with_names(monkeypatch):
    monkeypatch.setattr("vicino.data.graphs._NAMELESS", 100)
    assert len(Graph.of_edges([0], [109])) == 110
    assert len(Graph.of_edges([0], [110], nodes=range(111))) == 111
    with pytest.raises(InputTooLarge, match="111 nodes for 1 edges"):
        Graph.of_edges([0], [110])


BROKEN = [  # of which compiled code would read and write outside of its arrays
    ("indices", [0, 10**9, 2]),
    ("indices", [0, -1, 2]),
    ("indptr", [0, 10**8, 10**9, 3]),
    ("indptr", [0, 3, 3, 0]),
]


def broken(part: str, numbers: list[int]) -> csr_array:
    """The identity of three rows, spoilt."""
    matrix = csr_array(np.eye(3))
    getattr(matrix, part)[:] = numbers
    return matrix


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Graph.of_edges([], []), EmptyInput, "without nodes"),
        (lambda: as_graph([]), EmptyInput, "no edges"),
        (lambda: Graph.of_edges([0], [2], nodes=["a", "b"]), InputError, "from 0 to 2, with 2 nodes"),
        (lambda: Graph.of_edges([0], [-1]), InputError, "from -1"),
        (lambda: Graph.of_edges([0.5], [1]), InputError, "float64"),
        (lambda: Graph.of_edges([0], [1, 2]), DimensionMismatch, "1 and 2"),
        (lambda: Graph.of_edges([0, 1], [1, 2], [1]), DimensionMismatch, "2 and 2 and 1"),
        (lambda: Graph.of_edges([0], [1], nodes=["a", "a"]), DuplicateIds, "twice"),
        *((lambda w=w: Graph.of_edges([0, 0], [1, 2], [1, w]), InputError, "edge 1") for w in (-1, np.nan, np.inf, 1e39)),
        (lambda: Graph.of_edges([0, 0], [1, 1], [3e38, 3e38]), InputError, "cannot be"),
        (lambda: Graph.of_edges([0, 0], [1, 2], [1, 1e-50]), InputError, "too small for float32 (first: edge 1, 1e-50)"),
        (lambda: as_graph([("a", "b", 1e-40)]), InputError, "too small"),
        *(
            (lambda each=each: Graph.of_edges([0], [1], nodes=["a", each]), InputError, f"node 1 is named {each!r}")
            for each in (None, float("nan"), True, "", ("b",))
        ),
        (lambda: Graph.of_adjacency(np.eye(2), nodes=["a", None]), InputError, "node 1 is named None"),
        (lambda: Graph.of_edges([0], [1], nodes=[1, "1"]), DuplicateIds, "twice"),
        (lambda: Graph.of_edges([0], [2**31 - 2]), InputTooLarge, "2,147,483,647 nodes for 1 edges"),
        (lambda: Graph.of_adjacency(coo_array(([1.0], ([0], [1])), shape=(2**31 - 1,) * 2)), InputTooLarge, "2,147,483,647"),
        (lambda: Graph.of_adjacency(np.eye(2) * 1j), InputError, "complex128"),
        (lambda: Graph.of_adjacency([["a", "b"], ["c", "d"]]), InputError, "<U1"),
        (lambda: Graph.of_adjacency([[1, 2], [3]]), InputError, "no matrix"),
        (lambda: Graph.of_adjacency(np.ones(3)), DimensionMismatch, "(3,)"),
        (lambda: Graph.of_adjacency(np.empty((0, 0))), EmptyInput, "without nodes"),
        *((lambda part=part: Graph.of_adjacency(broken(*part)), InputError, "matrix") for part in BROKEN),
        (lambda: as_graph(5), InputError, "int is no graph"),
        (lambda: as_graph([("a",)]), UnreadableSource, "edge 0"),
        (lambda: as_graph(["ab"]), UnreadableSource, "edge 0"),
        (lambda: as_graph([("a", None)]), UnreadableSource, "the node None"),
        (lambda: as_graph([("a", "")]), UnreadableSource, "the node ''"),
        (lambda: as_graph([("a", "b", "heavy")]), UnreadableSource, "'heavy' is no number"),
        (lambda: as_graph([("a", "b", -1)]), InputError, "-1 cannot be"),
        (lambda: Graph.of_adjacency(np.ones((2, 3))), DimensionMismatch, "(2, 3)"),
        (lambda: Graph.of_adjacency(np.eye(2), nodes=["a"]), DimensionMismatch, "1 names for 2"),
        (lambda: Graph.of_adjacency([[0, 1], [0, 0]], directed=False), InputError, "not symmetric"),
    ],
)
def test_what_is_no_graph_is_named(make, error, says):
    with pytest.raises(error) as caught:
        make()
    assert says in caught.value.what


# In memory ------------------------------------------------------------------------------------------------------------


def test_matrices_and_arrays_and_pairs_are_the_same_graph():
    matrix = csr_array(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]))
    wanted = {"0": {"1": 1}, "1": {"0": 1, "2": 1}, "2": {"1": 1}}
    for data in (matrix, np.array([[0, 1], [1, 2]]), [(0, 1), (1, 2)], iter([("0", "1"), ["1", "2"]])):
        graph = as_graph(data)
        assert told(graph) == wanted
        assert as_graph(graph) is graph
    one_way = as_graph(csr_array(np.triu(matrix.toarray())))
    assert one_way.directed
    assert told(one_way) == {"0": {"1": 1}, "1": {"2": 1}, "2": {}}


# Files ----------------------------------------------------------------------------------------------------------------

WEIGHTED = {"ann": {"bob lee": 2, "éva": 0.5}, "bob lee": {"ann": 2}, "éva": {"ann": 0.5}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.tsv", "ann\tbob lee\t2\nann\téva\t.5\n"),
        ("e.tsv", "source\ttarget\tweight\nann\tbob lee\t2\nann\téva\t.5"),
        ("e.csv", "ann, bob lee, 2\r\nann, éva, 0.5\r\n"),
        ("e.csv", 'kind,w,To,From\nx,2,"bob lee",ann\ny,.5,éva,ann\n'),
        ("e.csv", "\ufeffsrc;dst;value\nann;bob lee;2\nann;éva;5e-1\n"),
        ("e.txt", "# a comment\n# another\nann\tbob lee\t2\n\nann\téva\t0.5\n"),
        ("e.jsonl", '{"source": "ann", "target": "bob lee", "weight": 2}\n\n["ann", "éva", 0.5]\n'),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_a_file_is_read_as_its_ending_and_its_first_line_say(tmp_path, name, text, ending):
    pack = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[ending]
    (tmp_path / (name + ending)).write_bytes(pack(text.encode()))
    assert told(read_graph(tmp_path / (name + ending))) == WEIGHTED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.txt", "% sym unweighted\n  1 2  \n2\t 30\n\n"),
        ("e.edgelist", "1 2\n2 30"),
        ("e.tsv", "userID\tfriendID\n1\t2\n2\t30\n"),  # no number above numbers: names of columns
        ("e.csv", "1,2\n2,30\n2,1\n30,2\n"),
        ("e.jsonl", "[1, 2]\n[2, 30]\n"),
    ],
)
def test_pairs_in_files_are_a_graph_without_weights(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    graph = read_graph(tmp_path / name)
    assert told(graph) == {"1": {"2": 1}, "2": {"1": 1, "30": 1}, "30": {"2": 1}}
    assert graph.weights is None


def test_columns_and_nodes_are_named_by_the_caller(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("who,whom,since,how\na,b,1990,3\n")
    graph = read_graph(path, source="who", target="whom", weight="how", nodes=["z", "b", "a"], directed=True)
    assert told(graph) == {"z": {}, "b": {}, "a": {"b": 3}}
    with pytest.raises(UnknownName, match="did you mean who or whom"):
        read_graph(path, source="who", target="whon")
    with pytest.raises(UnknownNode, match="'b'"):
        read_graph(path, source="who", target="whom", nodes=["a"])
    with pytest.raises(InputError, match=r"e\.csv: node 1 is named None"):
        read_graph(path, source="who", target="whom", nodes=["a", None])


def test_a_matrix_of_scipy_is_read_and_nothing_else_in_npz(tmp_path):
    save_npz(tmp_path / "m.npz", csr_array(np.array([[0, 2.0], [2, 0]])))
    assert told(read_graph(tmp_path / "m.npz", nodes=["a", "b"])) == {"a": {"b": 2}, "b": {"a": 2}}
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    (tmp_path / "broken.npz").write_bytes(b"PK no zip")
    for name in ("other.npz", "broken.npz"):
        with pytest.raises(UnreadableSource, match=name):
            read_graph(tmp_path / name)


GOOD = {"format": b"csr", "shape": [3, 3], "data": np.ones(3), "indices": [0, 1, 2], "indptr": [0, 1, 2, 3]}


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        *(({name: numbers}, InputError) for name, numbers in BROKEN),
        ({"format": b"coo", "shape": [2**31 - 1] * 2, "row": [0, 1, 2], "col": [1, 2, 0]}, InputTooLarge),
        ({"format": b"coo", "row": [0, 1, 2], "col": [1, 2, 3]}, UnreadableSource),
        ({"shape": [3.0, 3.0]}, UnreadableSource),
        ({"shape": [3, 4]}, DimensionMismatch),
        ({"indices": [0.0, 1, 2]}, UnreadableSource),
        ({"data": ["a", "b", "c"]}, UnreadableSource),
        ({"data": np.ones(3) * 1j}, UnreadableSource),
        ({"data": np.array([None] * 3)}, UnreadableSource),
        ({"format": [1, 2]}, UnreadableSource),
        ({"format": b"lil"}, UnreadableSource),
    ],
    ids=str,
)
def test_a_matrix_whose_parts_contradict_each_other_is_named(tmp_path, parts, error):
    np.savez(tmp_path / "m.npz", **{name: np.array(each) for name, each in GOOD.items()})
    assert len(read_graph(tmp_path / "m.npz")) == 3
    np.savez(tmp_path / "m.npz", **{name: np.array(each) for name, each in (GOOD | parts).items()})
    with pytest.raises(error, match=r"m\.npz") as caught:
        read_graph(tmp_path / "m.npz")
    assert type(caught.value) is error


def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9,)})
    np.savez(tmp_path / "m.npz", **{name: np.array(each) for name, each in GOOD.items() if name != "data"})
    with ZipFile(tmp_path / "m.npz", "a") as archive:
        archive.writestr("data.npy", header.getvalue() + bytes(80))
    tracemalloc.start()
    with pytest.raises(UnreadableSource, match="not a sparse matrix"):
        read_graph(tmp_path / "m.npz")
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()


@settings(max_examples=200)
@given(kind=st.sampled_from(["csr", "csc", "coo", "bsr", "dia"]), harm=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255))))
def test_any_bytes_of_a_matrix_are_a_graph_or_named(tmp_path_factory, kind, harm):
    path = tmp_path_factory.mktemp("matrix") / "m.npz"
    save_npz(path, coo_array(np.diag(np.ones(4), 1)).asformat(kind), compressed=False)
    content = bytearray(path.read_bytes())
    for place, byte in harm:
        content[int(place * (len(content) - 1))] = byte
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert len(read_graph(path))


@pytest.mark.parametrize("name", ["u v", "from to", "End Start"])
@pytest.mark.parametrize(("name_of", "cell"), [("e.tsv", "\t"), ("e.txt", " "), ("e.csv", ",")])
def test_names_of_columns_that_may_be_nodes_are_an_edge_where_one_comes_again(tmp_path, name, name_of, cell):
    path, (source, target) = tmp_path / name_of, name.split()
    lines = [[source, target], ["a", "b"], [target, "c"]]
    path.write_text("\n".join(map(cell.join, lines)))
    assert told(read_graph(path)).keys() == {source, target, "a", "b", "c"}
    assert read_graph(path, source=source, target=target).n_edges == 2  # who names columns has some
    path.write_text("\n".join(map(cell.join, lines[:2])))
    assert told(read_graph(path)).keys() == {"a", "b"}
    path.write_text("\n".join(cell.join([*line, weight]) for line, weight in zip(lines, ["weight", "1", "2"], strict=True)))
    assert told(read_graph(path)).keys() == {"a", "b", target, "c"}  # no number, so no edge
    path.write_text("\n".join(cell.join([*line, "2"]) for line in lines))
    assert read_graph(path).n_edges == 3


def test_names_that_can_only_be_columns_are_never_nodes(tmp_path):
    (tmp_path / "e.tsv").write_text("source\ttarget\ntarget\tsource\n")
    assert told(read_graph(tmp_path / "e.tsv")) == {"target": {"source": 1}, "source": {"target": 1}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.tsv", "a\tb\n# a comment\n%\n#b\tc\n# with\ttab\nc\td\n# the end"),
        ("e.txt", "a b\n# comment\n #b c\n#a longer comment\nc d\n#\n"),
        ("e.csv", "a,b\r\n# one, two\r\n#b,c\r\n%a,b,c\r\nc,d\r\n"),
        ("e.csv", "source,target\n# c,d\na,b\n#b,c\nc,d\n"),
    ],
)
def test_comments_between_edges_are_passed_over_and_nodes_are_not(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    assert told(read_graph(tmp_path / name)) == {
        "a": {"b": 1}, "b": {"a": 1}, "#b": {"c": 1}, "c": {"#b": 1, "d": 1}, "d": {"c": 1}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "error", "says"),
    [
        ("e.tsv", "", EmptyInput, "no edges"),
        ("e.tsv", "# nothing\n\n", EmptyInput, "no edges"),
        ("e.tsv", "source\ttarget\n", EmptyInput, "no edges"),
        ("e.tsv", "a\n", UnreadableSource, "line 1: 1 columns"),
        ("e.tsv", "#\na\tb\tc\td\n", UnreadableSource, "line 2: 4 columns"),
        ("e.txt", "a b\n\nb\n", UnreadableSource, "line 3: 1 columns, not 2"),
        ("e.csv", "source,target\na,b\nb,c,1\n", UnreadableSource, "line 3: 3 columns, not 2"),
        ("e.csv", "a,b,1\nb,c,heavy\n", UnreadableSource, "line 2: the weight 'heavy'"),
        ("e.csv", "a,b,1\nb,c,\n", UnreadableSource, "line 2: the weight ''"),
        ("e.csv", "a,b,1\nb,c,-2\n", InputError, "line 2: the weight -2"),
        ("e.csv", "a,b,1\nb,c,nan\n", InputError, "line 2: the weight nan"),
        ("e.csv", "a,b,1\nb,c,inf\n", InputError, "line 2: the weight inf"),
        ("e.csv", "a,b\n# c\n,c\n", UnreadableSource, "line 3: a node without a name"),
        ("e.csv", "a,b\rc,d\r", UnreadableSource, "new-line character"),
        ("e.csv", "a,b\n,c\n", UnreadableSource, "line 2: a node without a name"),
        ("e.tsv", f"a\tb\n{'x' * 200_000}\n", InputTooLarge, "line 2: more than"),
        ("e.jsonl", '["a", "b"]\n{"source": "a"}\n', UnreadableSource, "line 2: no source and target"),
        ("e.jsonl", '["a", "b"]\n["a"\n', UnreadableSource, "line 2: broken JSON"),
        ("e.jsonl", '["a", "b", 1, 2]\n', UnreadableSource, "edge 1"),
        ("e.mat", "", UnreadableSource, "not a file of edges"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_line(tmp_path, name, text, error, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(error) as caught:
        read_graph(tmp_path / name)
    assert type(caught.value) is error
    assert says in caught.value.what
    assert name in caught.value.what


def test_bytes_that_are_no_text_are_named(tmp_path):
    for content in (b"a\tb\n\xff\tc\n", b"a\tb\0"):
        (tmp_path / "e.tsv").write_bytes(content)
        with pytest.raises(UnreadableSource, match=r"e\.tsv: (bytes that are not UTF-8|binary)"):
            read_graph(tmp_path / "e.tsv")
    with pytest.raises(UnreadableSource, match="not a regular file"):
        read_graph(tmp_path / "absent.tsv")


def test_blocks_of_a_large_file_fit_together(tmp_path, monkeypatch):
    edges = np.random.default_rng(0).integers(0, 300, (2000, 2))
    lines = [f"n{source}   n{target}" for source, target in edges.tolist()]
    (tmp_path / "e.txt").write_text("\n".join(lines))
    monkeypatch.setattr("vicino.data.edge_lists._BLOCK", 100)
    assert told(read_graph(tmp_path / "e.txt")) == {
        f"n{name}": {f"n{other}": weight for other, weight in row.items()} for name, row in told(as_graph(edges.tolist())).items()
    }


def test_json_edges_and_pairs_agree(tmp_path):
    edges = [("a", "b", 1.5), ("b", "c", 2.0)]
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(edge) + "\n" for edge in edges))
    assert told(read_graph(tmp_path / "e.jsonl")) == told(as_graph(edges))
