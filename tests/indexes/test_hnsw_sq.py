"""hnsw-sq: the walk against one in plain Python, the graph against FAISS's, and saved graphs that would lead it astray."""

from __future__ import annotations

import heapq
import subprocess
import sys

import numpy as np
import pytest

from vicino import artifacts, indexes
from vicino.errors import ArtifactCorrupt
from vicino.indexes import INDEXES
from vicino.indexes.graph_kernels import Layers
from vicino.indexes.kept import Kept, aligned

SIMILARITIES = ("cosine", "dot", "euclidean")
N, DIM = 3000, 40


@pytest.fixture(scope="module")
def HNSWSQ(need):  # noqa: N802 - it is the class
    need(INDEXES.entry("hnsw-sq"))
    return INDEXES["hnsw-sq"]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """In clusters, off the origin, of unlike lengths."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((30, DIM)) * 2 + 1
    return (centres[rng.integers(30, size=N)] + rng.standard_normal((N, DIM)) * rng.uniform(0.2, 1, (N, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors) -> np.ndarray:
    return vectors[::75] + np.random.default_rng(1).standard_normal((40, DIM)).astype(np.float32) / 10


def walked(graph, near, ef: int) -> list[int]:
    """The `ef` best rows that a walk finds, in the words of the paper's algorithms 2 and 5; `near` says how near a row is."""
    place = 0
    while True:
        best = max([place, *(other for other in graph.across[place] if other >= 0)], key=lambda other: near[graph.rows[other]])
        if best == place:
            if graph.down[place] < 0:
                break
            best = graph.down[place]
        place = best
    entry = int(graph.rows[place])
    seen, open_, found = {entry}, [(-near[entry], entry)], [(near[entry], entry)]
    while open_:
        far, row = heapq.heappop(open_)
        if len(found) == ef and -far < found[0][0]:
            break
        for other in graph.links[row][graph.links[row] >= 0].tolist():
            if other in seen:
                continue
            seen.add(other)
            if len(found) < ef or near[other] > found[0][0]:
                heapq.heappush(open_, (-near[other], other))
                heapq.heappush(found, (near[other], other))
                if len(found) > ef:
                    heapq.heappop(found)
    return [row for _, row in sorted(found, reverse=True)]


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("ef", [1, 7, 60, 1500])  # the last sees more rows than its table has places at first
def test_the_walk_finds_what_one_in_plain_python_finds(HNSWSQ, similarity, ef, vectors, queries):
    index = HNSWSQ(similarity=similarity, m=6).build(vectors)
    codes = index.codes_
    values = codes.ranges[0] + (codes.values.astype(np.float64) + 128) * ((codes.ranges[1] - codes.ranges[0]) / 255.0)
    asked = index._check(queries, DIM)
    found = codes.along(asked, index.graph_, ef, ef)
    same = []
    for query, rows in zip(asked.astype(np.float64), found, strict=True):
        near = values @ query if similarity != "euclidean" else -((values - query) ** 2).sum(axis=1)
        expected = walked(index.graph_, near, ef)
        assert len(set(rows.tolist())) == len(rows)
        assert (np.diff(near[rows]) <= 1e-3).all()  # float32 and float64 order the nearly equal differently
        same.append(len(set(rows.tolist()) & set(expected)) / ef)
    assert np.mean(same) >= 0.995


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_it_finds_as_much_as_the_graph_does_that_it_was_made_of(HNSWSQ, similarity, vectors, queries):
    expected = INDEXES["exact"](similarity=similarity).build(vectors).search(queries).ids
    params = {"similarity": similarity, "m": 8, "ef_construction": 60}
    recalls = []
    for family in (INDEXES["hnsw"], HNSWSQ):
        index = family(**params).build(vectors)
        hits = index.search(queries, effort=24).ids
        recalls.append(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(hits, expected, strict=True)]))
    assert 0.5 < recalls[0] < 1
    assert recalls[1] >= recalls[0] - 0.01


def test_the_graph_is_that_of_faiss_in_another_order(HNSWSQ, vectors):
    import faiss

    made = INDEXES["hnsw"](m=5).build(vectors)
    plain = made.graph_.hnsw
    index = HNSWSQ(m=5).build(vectors)
    graph, order = index.graph_, index.ids_.astype(int)
    flat, starts = faiss.vector_to_array(plain.neighbors), faiss.vector_to_array(plain.offsets)
    assert sorted(order) == list(range(N))
    for row in range(0, N, 97):
        links = graph.links[row]
        assert order[links[links >= 0]].tolist() == [other for other in flat[starts[order[row]] :][:10] if other >= 0]
    heights = faiss.vector_to_array(plain.levels)
    assert order[graph.rows[0]] == plain.entry_point
    assert np.bincount(order[graph.rows], minlength=N).tolist() == (heights - 1).tolist()
    below = graph.down >= 0
    assert (graph.rows[graph.down[below]] == graph.rows[below]).all()
    apart = np.abs(graph.links - np.arange(N)[:, None])[graph.links >= 0].mean()
    assert apart < N / 4  # at random it would be a third


def test_the_same_vectors_give_the_same_index(HNSWSQ, vectors):
    one, two = (HNSWSQ().build(vectors) for _ in range(2))
    assert one.ids_.tolist() == two.ids_.tolist()
    for name, array in one._arrays().items():
        np.testing.assert_array_equal(array, two._arrays()[name])


@pytest.mark.parametrize("keep", ["float32", "int8"])
def test_names_stay_with_their_vectors_in_whatever_order_those_are(HNSWSQ, keep, vectors, tmp_path):
    names = [f"n{row * 7 % N}" for row in range(N)]
    inner = {"index": "hnsw-sq", "index_params": {"keep": keep}, "worth": 100}
    plain, planned = HNSWSQ(keep=keep).build(vectors, names), INDEXES["planned"](**inner).build(vectors, names)
    planned.remove(names[:5])
    planned.add(-vectors[:5], ["new0", "new1", "new2", "new3", "new4"])
    for index in (plain, planned, indexes.load(plain.save(tmp_path / "a")), indexes.load(planned.save(tmp_path / "b"))):
        own = vectors[5:300]
        assert np.mean(index.search(own, 1, effort=100).ids[:, 0] == names[5:300]) >= (0.99 if keep == "float32" else 0.9)
        allowed = index.search(own, 1, allow=frozenset(names[5:300:2])).ids[:, 0]
        assert np.mean(allowed[::2] == names[5:300:2]) >= (0.99 if keep == "float32" else 0.9)
    assert planned.search(-vectors[:5], 1).ids[:, 0].tolist() == ["new0", "new1", "new2", "new3", "new4"]
    assert not set(names[:5]) & set(planned.search(vectors[:5], 50).ids.ravel())


def test_several_threads_find_what_one_finds(HNSWSQ, vectors, queries, monkeypatch):
    index, many = HNSWSQ().build(vectors), np.tile(queries, (5, 1))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = index.search(many)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    together = index.search(many)
    assert together.ids.tolist() == alone.ids.tolist()
    np.testing.assert_array_equal(together.scores, alone.scores)


def test_vectors_that_are_all_the_same_and_a_layer_alone_are_found_too(HNSWSQ):
    same = HNSWSQ().build(np.ones((1000, 4)))
    assert same.search(np.ones((1, 4)), 5).scores.tolist() == [[pytest.approx(1)] * 5]
    flat = HNSWSQ(m=900, ef_construction=5).build(np.random.default_rng(0).standard_normal((200, 8)))
    assert (flat.graph_.rows.shape, flat.graph_.down.tolist()) == ((1,), [-1])
    assert flat.search(np.ones((1, 8)), 3).complete


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("links", lambda links: np.where(links == links.max(), N, links)),
        ("links", lambda links: links[:-1]),
        ("links", lambda links: links.astype(np.int64)),
        ("links", lambda links: links[:, 0]),
        ("links", lambda links: [str(link) for link in links[:, 0]]),
        ("rows", lambda rows: rows - rows.max() - 1),
        ("rows", lambda rows: rows + N),
        ("rows", lambda rows: rows[:0]),
        ("across", lambda across: across + len(across)),
        ("across", lambda across: across[:-1]),
        ("across", lambda across: across[:, 0]),
        ("down", lambda down: np.zeros_like(down)),
        ("down", lambda down: down + len(down)),
        ("down", lambda down: down[None]),
        ("codes_kept", lambda codes: codes[:-1]),
        ("codes_kept", lambda codes: codes[:, :-1]),
        ("codes_kept", lambda codes: codes.astype(np.float32)),
        ("codes_kept_ranges", lambda ranges: ranges[:, :-1]),
        *((name, None) for name in ("links", "rows", "across", "down", "codes_kept", "codes_kept_ranges")),
    ],
)
def test_a_saved_graph_that_leads_nowhere_is_damage(HNSWSQ, name, harm, vectors, tmp_path):
    folder = HNSWSQ(m=4, ef_construction=20).build(vectors).save(tmp_path / "index")
    saved = artifacts.read(folder)
    arrays = dict(saved.arrays)
    harmed = arrays.pop(name)
    if harm is not None:
        arrays[name] = harm(harmed)
    artifacts.write(folder, kind="index", data=saved.data, arrays=arrays)
    with pytest.raises(ArtifactCorrupt, match=r"build (it|the index) again"):
        indexes.load(folder)


def test_a_node_of_thousands_of_links_is_walked_by(HNSWSQ, vectors):
    index = HNSWSQ(similarity="dot").build(np.tile(vectors, (2, 1)))
    n = 2 * N
    links = np.full((n, 4096), -1, dtype=np.int32)
    links[:, 0] = 0
    links[0] = np.arange(1, 4097)
    none = np.full((1, 1), -1, dtype=np.int32)
    star = Layers(links, np.zeros(1, dtype=np.int32), none, none[0])
    found = index.codes_.along(vectors[:3], star, 50, 50)
    near = index.codes_.among(vectors[:3], np.arange(4097), 50)
    assert [set(row) for row in found.tolist()] == [set(row) for row in near[0].tolist()]


@pytest.mark.parametrize("keep", ["float32", "int8"])
@pytest.mark.parametrize("change", [{"dim": DIM - 1}, {"dim": DIM + 1}, {"ids": 1}, {"ids": -1}])
def test_vectors_that_are_not_as_many_or_as_long_as_it_says_are_damage(HNSWSQ, keep, change, vectors, tmp_path):
    folder = HNSWSQ(keep=keep, m=4, ef_construction=20).build(vectors).save(tmp_path / "index")
    saved = artifacts.read(folder)
    ids = list(saved.arrays["ids"])
    arrays = saved.arrays | {"ids": {1: [*ids, "more"], -1: ids[:-1]}.get(change.get("ids"), ids)}
    artifacts.write(folder, kind="index", data=saved.data | {"dim": change.get("dim", DIM)}, arrays=arrays)
    with pytest.raises(ArtifactCorrupt, match="build the index again"):
        indexes.load(folder)


def test_building_that_fails_leaves_what_was_there(HNSWSQ, vectors, queries, monkeypatch):
    index = HNSWSQ().build(vectors)
    before = index.search(queries)

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Kept, "taken", full)
    with pytest.raises(MemoryError):
        index.build(vectors[:500])
    assert index.search(queries).ids.tolist() == before.ids.tolist()


def test_more_effort_than_there_are_vectors_is_all_of_them(HNSWSQ, vectors, queries):
    index = HNSWSQ().build(vectors)
    assert index.search(queries, effort=2**70).ids.tolist() == index.search(queries, effort=N).ids.tolist()


def test_rows_begin_where_lines_of_memory_do():
    made = aligned(np.arange(700, dtype=np.int32).reshape(7, 100))
    assert made.ctypes.data % 64 == 0
    assert made.tolist() == np.arange(700).reshape(7, 100).tolist()
    assert Kept.of(np.eye(70, dtype=np.float32), "dot", "int8").values.ctypes.data % 64 == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, and another allocator keeps what it likes")
def test_what_building_took_is_given_back(HNSWSQ):
    """A lean index whose process stays several times as large as it is would be lean on paper only."""
    code = """
import gc, os
import numpy as np
from vicino.indexes import INDEXES
def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
vectors = np.random.default_rng(0).standard_normal((20_000, 96), dtype=np.float32)
make = lambda some: INDEXES["hnsw-sq"](keep="int8", ef_construction=16).build(some)
make(vectors[:500]).search(vectors[:2])  # compiled, and everything imported
before = resident()
index = make(vectors)
print(resident() - before, index.nbytes)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    grown, held = map(int, told.split())
    assert grown < 2 * held + 20_000 * 100  # ids
