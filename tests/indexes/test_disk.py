"""disk: what lies in its files is found again, by several processes, and what does not is said."""

from __future__ import annotations

import gc
import shutil

import numpy as np
import pytest

from vicino import indexes
from vicino.errors import ArtifactCorrupt, InputError
from vicino.indexes import INDEXES
from vicino.indexes.exact import Exact

N, DIM = 2500, 30


@pytest.fixture(scope="module")
def Disk(need):  # noqa: N802 - it is the class
    need(INDEXES.entry("disk"))
    return INDEXES["disk"]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, DIM)) * 2
    return (centres[rng.integers(40, size=N)] + rng.standard_normal((N, DIM))).astype(np.float32)


@pytest.fixture(scope="module")
def folder(Disk, vectors, tmp_path_factory):
    return Disk().build(vectors).save(tmp_path_factory.mktemp("disk") / "index")


def test_what_is_on_disk_is_not_in_memory(folder):
    opened = indexes.load(folder)
    assert opened.folder_.parent == folder
    assert 0 < opened.nbytes < N * DIM * 4 / 2


def test_a_small_cache_is_kept_to(Disk, vectors):
    assert Disk(cache=1000).build(vectors).nbytes == 1000


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_its_answers_are_near_to_exact_ones(Disk, similarity, vectors):
    queries = vectors[::50] + np.float32(0.1)
    expected = Exact(similarity=similarity).build(vectors).search(queries)
    hits = Disk(similarity=similarity).build(vectors).search(queries, effort=N)
    shares = [len(set(a) & set(b)) / 10 for a, b in zip(hits.ids.tolist(), expected.ids.tolist(), strict=True)]
    assert np.mean(shares) >= 0.97
    assert hits.scores.max() == pytest.approx(expected.scores.max(), rel=1e-4, abs=1e-3)


def test_another_process_reads_the_same_files(folder, vectors, python):
    program = """
import sys, numpy as np
from vicino import indexes
hits = indexes.load(sys.argv[1]).search(np.load(sys.argv[2]), 5)
print(" ".join(hits.ids.ravel()))
"""
    np.save(folder.parent / "asked.npy", vectors[:20])
    here = indexes.load(folder).search(vectors[:20], 5)
    assert python(program, folder, folder.parent / "asked.npy").split() == here.ids.ravel().tolist()


def test_what_was_never_saved_leaves_nothing(Disk, vectors):
    index = Disk().build(vectors[:10])
    where = index.folder_.parent
    assert where.is_dir()
    del index
    gc.collect()
    assert not where.exists()


def test_files_that_went_are_named(folder, vectors, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    opened = indexes.load(copy)
    shutil.rmtree(copy / "table")
    with pytest.raises(ArtifactCorrupt, match="open the index again"):
        opened.search(vectors[:1], 3, allow={"5", "6"})
    with pytest.raises(ArtifactCorrupt):
        indexes.load(copy)


@pytest.mark.parametrize("params", [{"nlist": 0}, {"nlist": N + 1}, {"m": 0}, {"m": DIM + 1}])
def test_parameters_that_do_not_fit_are_named(Disk, params, vectors):
    with pytest.raises(InputError, match="do not fit"):
        Disk(**params).build(vectors)


@pytest.mark.parametrize("n", [0, 40, N])
def test_zero_vectors_are_like_nothing(Disk, n, vectors, tmp_path):
    """Their distance to a unit vector is that of a cosine of one half, or was."""
    held = vectors[:n].copy()
    held = np.concatenate([np.zeros((30, DIM), np.float32), held, np.zeros((30, DIM), np.float32)])
    asked = np.concatenate([vectors[:5] + np.float32(0.3), np.zeros((1, DIM), np.float32)])
    built = Disk().build(held)
    exact = Exact().build(held)
    for index in (built, indexes.load(built.save(tmp_path / "index"))):
        for allow in (None, {str(row) for row in range(0, len(held), 3)}):
            hits, expected = index.search(asked, 10, allow=allow, effort=N), exact.search(asked, 10, allow=allow)
            assert hits.complete
            assert hits.scores == pytest.approx(expected.scores, abs=0.05)
            assert not hits.scores[-1].any()


def test_a_cache_of_less_than_nothing_is_named(Disk, vectors):
    with pytest.raises(InputError, match="cache"):
        Disk(cache=-1).build(vectors)
