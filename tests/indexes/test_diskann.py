"""diskann: what lies in its files is found again, by threads and processes at once, and what does not is said."""

from __future__ import annotations

import gc
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vicino import artifacts, indexes
from vicino.errors import ArtifactCorrupt, ArtifactError, InputError, MissingExtra
from vicino.indexes import INDEXES
from vicino.indexes.exact import Exact
from vicino.indexes.on_disk import digests

N, DIM = 2500, 30


@pytest.fixture(scope="module")
def DiskANN(need):  # noqa: N802 - it is the class
    need(INDEXES.entry("diskann"))
    return INDEXES["diskann"]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """In clusters, of unlike lengths."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, DIM)) * rng.uniform(0.2, 4, (40, 1))
    return (centres[rng.integers(40, size=N)] + rng.standard_normal((N, DIM))).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors) -> np.ndarray:
    return vectors[::50] + np.float32(0.1)


@pytest.fixture(scope="module")
def folder(DiskANN, vectors, tmp_path_factory) -> Path:
    return DiskANN().build(vectors).save(tmp_path_factory.mktemp("diskann") / "index")


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """The saved index, to be harmed."""
    return indexes.load(folder).save(tmp_path / "copy")


def recall(found, expected) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.ids.tolist(), expected.ids.tolist(), strict=True)]))


def signed(folder: Path) -> Path:
    """The folder, as if its files were what was written."""
    saved = artifacts.read(folder)
    files = digests(folder / "files")
    with artifacts.replacing(folder) as fresh:
        (folder / "files").rename(fresh / "files")
        kept = {"files": lambda to: (fresh / "files").rename(to)}
        artifacts.write(fresh / "inner", kind="index", data={**saved.data, "files": files}, arrays=saved.arrays, parts=kept)
        for each in (fresh / "inner").iterdir():
            each.rename(fresh / each.name)
        (fresh / "inner").rmdir()
    return folder


# What is found --------------------------------------------------------------------------------------------------------


def test_what_is_on_disk_is_not_in_memory(folder):
    opened = indexes.load(folder)
    assert opened.folder_.parent == folder
    assert 0 < opened.nbytes < N * DIM * 4 / 2
    assert isinstance(opened.kept_.values.base, np.memmap)


@pytest.mark.parametrize("similarity", ["cosine", *(pytest.param(one, marks=pytest.mark.long) for one in ("dot", "euclidean"))])
def test_its_answers_are_near_to_exact_ones(DiskANN, similarity, vectors, queries):
    exact = Exact(similarity=similarity).build(vectors)
    index = DiskANN(similarity=similarity).build(vectors)
    hits, expected = index.search(queries, effort=200), exact.search(queries)
    assert recall(hits, expected) >= 0.97
    np.testing.assert_allclose(hits.scores[:, 0], expected.scores[:, 0], rtol=1e-4, atol=1e-3)
    assert index.search(queries, effort=N).ids.tolist() == expected.ids.tolist()


@pytest.mark.parametrize("n", [0, 40, N])
def test_zero_vectors_are_like_nothing(DiskANN, n, vectors, tmp_path):
    """Their distance to a unit vector would be that of a cosine of one half."""
    held = np.concatenate([np.zeros((30, DIM), np.float32), vectors[:n], np.zeros((30, DIM), np.float32)])
    asked = np.concatenate([vectors[:5] + np.float32(0.3), np.zeros((1, DIM), np.float32)])
    exact = Exact().build(held)
    built = DiskANN().build(held)
    for index in (built, indexes.load(built.save(tmp_path / "index"))):
        for allow in (None, {str(row) for row in range(0, len(held), 3)}):
            hits, expected = index.search(asked, 10, allow=allow, effort=500), exact.search(asked, 10, allow=allow)
            assert hits.scores == pytest.approx(expected.scores, abs=0.05)
            assert not hits.scores[-1].any()


@pytest.mark.parametrize("held", [np.ones((1500, 8)), np.zeros((1500, 8)), np.arange(1500.0)[:, None]], ids=["alike", "0", "1-d"])
@pytest.mark.parametrize("similarity", ["dot", "euclidean"])
def test_odd_sets_have_answers(DiskANN, held, similarity):
    hits = DiskANN(similarity=similarity).build(held).search(held[::100], 10)
    expected = Exact(similarity=similarity).build(held).search(held[::100], 1)
    assert all(len(set(row)) == 10 and None not in row for row in hits.ids.tolist())
    np.testing.assert_allclose(hits.scores[:, 0], expected.scores[:, 0], rtol=1e-6)


def test_an_outlier_does_not_blur_the_others(DiskANN, vectors, queries):
    """It is a thousand times as long: scores come from the vectors, not from distances between far points."""
    held = np.concatenate([vectors, -1000 * vectors[:1]])
    index = DiskANN(similarity="dot").build(held)
    allowed = {str(row) for row in range(len(held))}
    hits, exact = index.search(queries, 5, effort=300), index.search(queries, len(held), allow=allowed)
    for ids, scores, all_ids, all_scores in zip(hits.ids, hits.scores, exact.ids, exact.scores, strict=True):
        true = dict(zip(all_ids, all_scores, strict=True))
        np.testing.assert_allclose(scores, [true[name] for name in ids], rtol=1e-5, atol=1e-4)


# Files, threads and processes -------------------------------------------------------------------------------------------


def test_threads_get_the_same_answers(folder, queries):
    opened = indexes.load(folder)
    expected = opened.search(queries, 5).ids.tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: opened.search(queries, 5).ids.tolist(), range(24)))
    assert all(each == expected for each in found)


def test_many_queries_are_shared_out_alike(folder, vectors, monkeypatch):
    opened = indexes.load(folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = opened.search(vectors[:300], 5)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert opened.search(vectors[:300], 5).ids.tolist() == alone.ids.tolist()


def test_another_process_reads_the_same_files_at_once(folder, queries, python):
    program = """
import sys, numpy as np
from vicino import indexes
print(" ".join(indexes.load(sys.argv[1]).search(np.load(sys.argv[2]), 5).ids.ravel()))
"""
    np.save(folder.parent / "asked.npy", queries)
    here = indexes.load(folder)
    expected = here.search(queries, 5).ids
    assert python(program, folder, folder.parent / "asked.npy").split() == expected.ravel().tolist()
    assert here.search(queries, 5).ids.tolist() == expected.tolist()


def test_searching_writes_nothing(folder, queries):
    before = digests(folder)
    opened = indexes.load(folder)
    opened.search(queries)
    del opened
    gc.collect()
    assert digests(folder) == before


def test_what_was_never_saved_leaves_nothing(DiskANN, vectors):
    index = DiskANN().build(vectors[:1500])
    first = index.folder_
    second = index.build(vectors[:1200]).folder_
    assert not first.exists()
    assert second.is_dir()
    del index
    gc.collect()
    assert not second.exists()


def test_files_are_given_back(DiskANN, copy):
    """Nobody can open a graph for writing that is open somewhere."""
    import zvec

    opened = indexes.load(copy)
    with pytest.raises(RuntimeError, match="lock"):
        zvec.open(str(copy / "files" / "graph"))
    del opened
    gc.collect()
    zvec.open(str(copy / "files" / "graph")).close()


def test_a_forked_process_leaves_its_parents_files(DiskANN, python):
    program = """
import gc, os, numpy as np
from vicino.indexes.diskann import DiskANN
rows = np.random.default_rng(0).standard_normal((1500, 8))
index = DiskANN().build(rows)
child = os.fork()
if not child:
    del index
    gc.collect()
    os._exit(0)
os.waitpid(child, 0)
print(index.folder_.is_dir(), *index.search(rows[:3], 1).ids.ravel(), index.save("kept").name)
"""
    assert python(f"import os, tempfile; os.chdir(tempfile.mkdtemp())\n{program}").split() == ["True", "0", "1", "2", "kept"]


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [{"max_degree": 3}, {"max_degree": 101}, {"build_list_size": 9}, {"build_list_size": 101}, {"m": 0}, {"m": DIM + 1}],
)
def test_parameters_that_do_not_fit_are_named(DiskANN, params, vectors):
    with pytest.raises(InputError, match="cannot be"):
        DiskANN(**params).build(vectors)


def test_too_many_dimensions_are_named(DiskANN):
    with pytest.raises(InputError, match="20,000 dimensions"):
        DiskANN().build(np.ones((2, 20_000)))


def test_a_disk_without_room_is_named(DiskANN, vectors, monkeypatch, tmp_path):
    """Before anything is written: zvec maps its files, and a process dies of writing where the disk is full."""
    index = DiskANN().build(vectors[:20])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10 << 20))
    with pytest.raises(ArtifactError, match="10 MB are free"):
        index.build(vectors)
    assert list(tmp_path.iterdir()) == []
    assert index.search(vectors[:1], 1).ids.tolist() == [["0"]]


def test_an_effort_of_nothing_is_named(folder, queries):
    for allow in (None, {"1"}):
        with pytest.raises(InputError, match="effort is 0"):
            indexes.load(folder).search(queries, effort=0, allow=allow)


def test_a_library_that_is_not_there_is_named(DiskANN, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "zvec", None)
    for use in (lambda: DiskANN().build(np.eye(3)), lambda: indexes.load(folder)):
        with pytest.raises(MissingExtra, match=r"vicino\[zvec\]"):
            use()


@pytest.mark.parametrize("name", ["graph/0/vector*", "graph/0/scalar*", "graph/idmap*/*.sst", "graph/manifest*", "vectors.npy"])
def test_files_that_cannot_be_read_are_damage_and_silent(copy, name, capfd):
    (file,) = (copy / "files").glob(name)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ArtifactCorrupt, match="a file differs"):
        indexes.load(copy)
    with pytest.raises(ArtifactCorrupt, match="cannot be opened"):
        indexes.load(signed(copy))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:1200],
        lambda rows: rows[:900],
        lambda rows: rows[:, :9],
        lambda rows: rows.astype(float),
        lambda rows: rows[0],
    ],
)
def test_rows_that_are_not_those_of_the_graph_are_damage(copy, change):
    file = copy / "files" / "vectors.npy"
    np.save(file, change(np.load(file)))
    with pytest.raises(ArtifactCorrupt, match="cannot be opened"):
        indexes.load(signed(copy))


def test_rows_that_hold_code_are_not_run(copy):
    np.save(copy / "files" / "vectors.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactCorrupt, match="cannot be opened"):
        indexes.load(signed(copy))


def test_a_graph_that_names_other_rows_is_damage(DiskANN, copy, vectors, queries):
    import zvec

    opened = indexes.load(copy)
    path = copy / "strange"
    field = zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, DIM, zvec.FlatIndexParam(metric_type=zvec.MetricType.L2))
    made = zvec.create_and_open(str(path), zvec.CollectionSchema(name="rows", fields=[], vectors=[field]))
    made.insert([zvec.Doc(id=str(10**9 + row), vectors={"vector": vector}) for row, vector in enumerate(vectors[:1000])])
    made.create_index("vector", zvec.DiskAnnIndexParam(metric_type=zvec.MetricType.L2, pq_chunk_num=4))
    made.close()
    opened.graph_ = zvec.open(str(path), zvec.CollectionOption(read_only=True))
    with pytest.raises(ArtifactCorrupt, match="can no longer be read"):
        opened.search(queries)
    opened.graph_.close()
