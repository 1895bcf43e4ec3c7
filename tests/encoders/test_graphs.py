"""DeepWalk, node2vec and LINE: what they learn from, what their nodes are near to, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from vicino import encoders
from vicino.data.graphs import Graph, UnknownNode
from vicino.encoders.graphs import LINE, DeepWalk, Node2Vec, NodeEncoder, _counted
from vicino.errors import DuplicateIds, EmptyInput, InputError, UnknownName, UnreadableSource

FAMILIES = [DeepWalk, Node2Vec, LINE]
SMALL = {
    DeepWalk: {"vector_size": 16, "num_walks": 10, "walk_length": 20, "window": 5, "epochs": 8},
    Node2Vec: {"vector_size": 16, "num_walks": 10, "walk_length": 20, "window": 5, "epochs": 8, "p": 0.5, "q": 2.0},
    LINE: {"vector_size": 16, "epochs": 150},
}
bincount = np.bincount
every_family = pytest.mark.parametrize("family", FAMILIES)


def communities() -> list[tuple[str, str]]:
    """Two groups of twelve, a0 to a11 and b0 to b11, with many edges inside and two across."""
    random = np.random.default_rng(0)
    edges = [
        (f"{group}{i}", f"{group}{j}")
        for group in "ab"
        for i in range(12)
        for j in range(i)
        if j == i - 1 or random.random() < 0.4
    ]
    return [*edges, ("a0", "b0"), ("a5", "b7")]


@pytest.fixture(scope="module", params=FAMILIES)
def fitted(request) -> NodeEncoder:
    """Only for looking."""
    return request.param(**SMALL[request.param]).fit(communities())


# What is near ---------------------------------------------------------------------------------------------------------


def test_nodes_of_a_group_are_near(fitted):
    for node in ("a3", "b4"):
        assert {name[0] for name, _ in fitted.most_similar(node, topn=5)} == {node[0]}
    assert fitted.doesnt_match(["a1", "a2", "b3", "a4"]) == "b3"
    assert fitted.node_similarity("a1", "a2") > fitted.node_similarity("a1", "b9")


@pytest.mark.parametrize("order", [1, 2, "1", "both"])
def test_each_order_of_line_tells_the_groups_apart(order):
    nodes = LINE.of(order=order, vector_size=16, epochs=150).fit(communities())
    assert {name[0] for name, _ in nodes.most_similar("a3", topn=5)} == {"a"}
    halves = nodes.vectors_.reshape(24, -1, 8 if order == "both" else 16)
    np.testing.assert_allclose(np.linalg.norm(halves, axis=2), 1, atol=1e-5)


def test_both_orders_are_those_that_are_learnt_alone():
    both, first, second = (
        LINE(order=order, vector_size=size, epochs=3).fit(communities()).vectors_
        for order, size in (("both", 16), (1, 8), (2, 8))
    )
    np.testing.assert_array_equal(both, np.hstack([first, second]))


def stopped(monkeypatch, at: int) -> LINE:
    """LINE of both orders, of 4 epochs each; Ctrl-C is pressed in the epoch `at`, counted from 0 over both."""
    from vicino.learning.edges import _Course

    started = []
    waves = _Course.waves

    def until(course, epoch):
        started.append(epoch)
        if len(started) > at:
            raise KeyboardInterrupt
        return waves(course, epoch)

    monkeypatch.setattr(_Course, "waves", until)
    nodes = LINE(vector_size=16, epochs=4).fit(communities())
    assert len(started) == at + 1
    return nodes


@pytest.mark.parametrize(("at", "first", "second"), [(2, 2, 0), (4, 4, 0), (6, 4, 2)])
def test_ctrl_c_stops_both_orders_of_line_and_keeps_what_is_learnt(monkeypatch, caplog, at, first, second):
    nodes = stopped(monkeypatch, at)
    lengths = np.linalg.norm(nodes.vectors_.reshape(24, 2, 8), axis=2)
    np.testing.assert_allclose(lengths, np.broadcast_to([1, second > 0], (24, 2)), atol=1e-5)
    assert nodes.training_.ended == "interrupted"
    assert len(nodes.training_.losses) == (second or first)
    assert ("order 2 are zeros" in caplog.text) == (second == 0)


def test_ctrl_c_before_anything_is_learnt_is_raised(monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        stopped(monkeypatch, 0)


def test_the_training_of_line_is_that_of_both_orders():
    both, first, second = (LINE(order=order, vector_size=8, epochs=3).fit(communities()) for order in ("both", 1, 2))
    losses = [first.training_.losses, second.training_.losses]
    np.testing.assert_allclose(both.training_.losses, np.mean(losses, axis=0), rtol=0.1)  # of vectors half as long
    assert both.training_.ended == "whole"


def test_what_comes_how_often_is_counted_piece_by_piece(monkeypatch):
    monkeypatch.setattr("vicino.encoders.graphs._COUNTED", 7)
    asked = []
    monkeypatch.setattr("numpy.bincount", lambda ids, **more: asked.append(len(ids)) or bincount(ids, **more))
    ids = np.random.default_rng(0).integers(0, 5, 40).astype(np.int32)
    np.testing.assert_array_equal(_counted(ids, 6), bincount(ids, minlength=6))
    assert asked == [7, 7, 7, 7, 7, 5]


def test_node2vec_with_p_and_q_of_one_is_deepwalk_and_otherwise_not():
    small = SMALL[DeepWalk]
    plain = DeepWalk(**small).fit(communities())
    np.testing.assert_array_equal(Node2Vec(**small).fit(communities()).vectors_, plain.vectors_)
    assert not np.array_equal(Node2Vec(**small, q=0.5).fit(communities()).vectors_, plain.vectors_)


def test_edges_that_weigh_more_draw_nearer(fitted):
    """All of sixteen nodes are joined, and only the weights make two groups of them."""
    edges = [(str(i), str(j), 50.0 if (i < 8) == (j < 8) else 1.0) for i in range(16) for j in range(i)]
    nodes = fitted.clone().fit(edges)
    assert {int(name) // 8 for name, _ in nodes.most_similar("3", topn=5)} == {0}
    assert {int(name) // 8 for name, _ in nodes.most_similar("12", topn=5)} == {1}


@every_family
def test_a_direction_is_kept(family):
    """Of two nodes that both lead to the same ones, nothing leads anywhere else: walks from their targets end."""
    edges = [(source, target) for source in ("s0", "s1") for target in ("t0", "t1", "t2")]
    one_way = family(**SMALL[family], directed=True).fit(edges)
    assert one_way.space != family(**SMALL[family]).fit(edges).space
    graph = Graph.of_edges([0, 0, 1, 1], [2, 3, 2, 3], nodes=["s0", "s1", "t0", "t1"], directed=True)
    assert family(**SMALL[family]).fit(graph).vectors_.shape == (4, 16)  # a Graph knows its directions itself


# What it learns from --------------------------------------------------------------------------------------------------


@every_family
def test_every_source_gives_the_same_nodes_and_vectors(family, tmp_path):
    edges = communities()
    (tmp_path / "e.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in edges))
    graph = encoders.make(family.family, **{**SMALL[family], "epochs": 1}).fit(tmp_path / "e.tsv")
    from vicino.data.edge_lists import read_graph

    for source in (str(tmp_path / "e.tsv"), read_graph(tmp_path / "e.tsv")):
        again = graph.clone().fit(source)
        assert again.space == graph.space
        np.testing.assert_array_equal(again.vectors_, graph.vectors_)
    for source in (edges, iter(edges), [(*edge, 1) for edge in edges]):
        assert sorted(graph.clone().fit(source).vocabulary_) == sorted(graph.vocabulary_)


def test_nodes_without_edges_have_zeros(fitted):
    graph = Graph.of_edges([0, 1], [1, 2], nodes=["a", "b", "c", "alone"])
    nodes = fitted.clone().fit(graph)
    assert not nodes["alone"].any()
    assert nodes.vectors_[:3].any(axis=1).all()
    assert nodes.counts_.tolist() == [2, 4, 2, 0]
    with pytest.raises(InputError, match="'alone' has no direction"):
        nodes.most_similar("alone")
    assert len(nodes.most_similar(["alone", "a"])) == 2


def test_nodes_named_by_numbers_are_spelt_out_encoded_and_saved(fitted, tmp_path):
    import vicino

    nodes = fitted.clone().fit(Graph.of_edges([0, 1], [1, 2], nodes=[1, 2, 3]))
    nodes.save(tmp_path / "nodes")
    np.testing.assert_array_equal(vicino.load(tmp_path / "nodes").encode(["3", "1"]), nodes.encode(["3", "1"]))


def test_parts_that_do_not_hang_together_are_learnt_too(fitted):
    edges = [edge for edge in communities() if edge[0][0] == edge[1][0]]
    assert {name[0] for name, _ in fitted.clone().fit(edges).most_similar("a3", topn=5)} == {"a"}


@every_family
@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([], EmptyInput),
        (np.empty((0, 2), int), EmptyInput),
        (Graph.of_edges([], [], nodes=["a"]), EmptyInput),
        ([("a", "b", -1.0)], InputError),
        ([("a", "b", float("nan"))], InputError),
        ("no such file.tsv", UnreadableSource),
        ("one text", UnreadableSource),
        (5, InputError),
        ([5], UnreadableSource),
    ],
    ids=str,
)
def test_what_cannot_be_learnt_from_is_named(family, data, error):
    with pytest.raises(error):
        family().fit(data)


@every_family
def test_documents_teach_nothing_and_are_not_encoded(family, documents):
    for texts in (documents, [document.text for document in documents], (document.text for document in documents)):
        with pytest.raises(InputError, match="these are texts"):
            family().fit(texts)
    with pytest.raises(InputError, match="item 0 is of type Document"):
        family(**SMALL[family]).fit([("a", "b")]).encode(documents)


@pytest.mark.parametrize(
    ("family", "params"),
    [
        *((each, {"vector_size": 0}) for each in FAMILIES),
        *((each, {"negative": 0}) for each in FAMILIES),
        (DeepWalk, {"walk_length": 1}),
        (DeepWalk, {"num_walks": 0}),
        (Node2Vec, {"p": 0}),
        (Node2Vec, {"q": float("inf")}),
        (LINE, {"order": 3}),
        (LINE, {"vector_size": 7}),
        (LINE, {"vector_size": "8"}),
        (LINE, {"epochs": 0}),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_are_named(family, params):
    with pytest.raises(InputError, match=next(iter(params))[:5].replace("vecto", "vector|dimension")):
        family(**params).fit([("a", "b")])


def test_small_graphs_are_read_more_often():
    from vicino.encoders.graphs import _times

    assert [_times(None, size, 8_000_000) for size in (1, 80_000, 10**9)] == [1000, 100, 1]
    assert _times(7, 1, 8_000_000) == 7


# Nodes and whole graphs -----------------------------------------------------------------------------------------------


def test_an_unknown_node_is_told_the_nearest(fitted):
    assert "a1" in fitted
    assert "c1" not in fitted
    for ask in (lambda: fitted["a99"], lambda: fitted.encode(["a1", "a99"]), lambda: fitted.most_similar("a99")):
        with pytest.raises(UnknownNode, match="did you mean a9"):
            ask()
    with pytest.raises(KeyError):
        fitted["zz"]
    with pytest.raises(UnknownNode, match="names are str"):
        fitted[7]


def test_a_graph_has_the_pooled_vector_of_its_nodes(fitted):
    vectors = fitted.vectors_
    for pool in ("mean", "max", "sum"):
        np.testing.assert_allclose(fitted.encode_graph(pool=pool), getattr(vectors, pool)(axis=0))
        np.testing.assert_allclose(fitted.encode_graph(["a1"], pool), fitted["a1"])
    some = fitted.encode_graph(iter(["a1", "b2"]))
    np.testing.assert_allclose(some, (fitted["a1"] + fitted["b2"]) / 2, atol=1e-6)
    with pytest.raises(UnknownName, match="max, mean, sum"):
        fitted.encode_graph(pool="median")
    with pytest.raises(UnknownNode):
        fitted.encode_graph(["nobody"])
    with pytest.raises(EmptyInput):
        fitted.encode_graph([])


def test_nodes_are_exported_for_others(fitted, tmp_path):
    from gensim.models import KeyedVectors

    opened = KeyedVectors.load_word2vec_format(fitted.export(tmp_path / "nodes.bin", format="word2vec-binary"), binary=True)
    assert opened.index_to_key == fitted.vocabulary_.terms
    np.testing.assert_array_equal(opened.vectors, fitted.vectors_)


def test_a_node_has_one_name():
    with pytest.raises(DuplicateIds):
        Graph.of_edges([0], [1], nodes=["a", "a"])
