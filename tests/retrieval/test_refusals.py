"""Vectors of two spaces never meet: every path that could bring them together refuses, by name and with a way out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino import artifacts, indexes, retrieval
from vicino.catalog import Entry
from vicino.data.records import Document
from vicino.encoders.counts import LSA
from vicino.errors import SpaceMismatch, VicinoError
from vicino.evaluation.compare import compare
from vicino.evaluation.tasks import synthetic
from vicino.retrieval.dense import Dense
from vicino.retrieval.fused import Fused
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.stored import Stored
from vicino.spaces import Canaries, Space, require_same
from vicino.store.changes import read_changes, write_changes
from vicino.store.collection import Collection

WORDS = ["wing", "lift", "tea", "leaf", "bread", "dough", "cello", "viola"]
TEXTS = [" ".join(np.random.default_rng(n).choice(WORDS, 9)) + f" word{n}." for n in range(24)]
DOCUMENTS = [Document(f"d{n}", text, title=f"on word{n}") for n, text in enumerate(TEXTS)]


@pytest.fixture
def home(tmp_path: Path, need: Callable[[Entry], None]) -> Path:
    need(Entry("", "", "store"))
    ingest(tmp_path, "c", Source("s", DOCUMENTS), recipe="bm25+lsa(n_components=3)", cut="whole")
    return tmp_path


@pytest.fixture
def other() -> LSA:
    """Of the same width and name, and another function."""
    return LSA(n_components=3).fit(TEXTS[:12])


def test_searching(home: Path, other: LSA) -> None:
    stored = Stored(Collection.open(home, "c"))
    stored.find("tea")
    stored.dense[0].encoder_ = other
    with pytest.raises(SpaceMismatch, match="cannot search"):
        stored.find("tea")


def test_searching_the_store_itself(home: Path, other: LSA) -> None:
    store = Collection.open(home, "c").store
    with pytest.raises(SpaceMismatch, match="no vectors of"):
        store.search(other.encode_query(["tea"]), 3, space=other.space, tenant="")


def test_opening_with_a_model_that_moved(home: Path, other: LSA) -> None:
    collection = Collection.open(home, "c")
    with pytest.raises(SpaceMismatch, match="now makes"):
        collection.use(0, other)
    part = collection.folder / "about" / "model-0"
    shown = collection.encoder(0)
    object.__setattr__(shown, "_space", None)
    other.save(part)  # put in the place of the one that was saved
    with pytest.raises(VicinoError):
        Collection.open(home, "c").encoder(0)


def test_ingesting(home: Path, other: LSA) -> None:
    with pytest.raises(VicinoError, match="vicino ingest PATH --collection c-2"):
        ingest(home, "c", Source("s", DOCUMENTS), recipe="bm25+lsa(n_components=2)")
    other.save(home / "lsa")
    with pytest.raises(SpaceMismatch, match="another space"):
        ingest(home, "c", Source("s", DOCUMENTS), recipe=f"bm25+{home / 'lsa'}")
    collection = Collection.open(home, "c")
    collection._opened[0] = other
    collection.models[0]["space"] = other.space.to_json()
    new = [Document("new", "green tea")]
    with read_changes(new, cut="whole", known={}) as changes, pytest.raises(SpaceMismatch):
        write_changes(collection, changes, source="t", tenant="")
    assert Collection.open(home, "c").store.stats().rows == len(DOCUMENTS)


def test_opening_a_saved_retriever(tmp_path: Path, other: LSA) -> None:
    made = Dense(encoder="lsa", encoder_params={"n_components": 3}).build(DOCUMENTS)
    made.save(tmp_path / "r")
    held = artifacts.read(tmp_path / "r")
    parts: dict[str, Any] = {"encoder": other.save, "index": made.index_.save}
    artifacts.write(tmp_path / "r", kind="retriever", data=held.data, arrays=held.arrays, parts=parts)
    with pytest.raises(SpaceMismatch, match="cannot open"):
        retrieval.load(tmp_path / "r")
    moved = {"canaries": -held.arrays["canaries"]}
    parts["encoder"] = made.encoder_.save
    artifacts.write(tmp_path / "r", kind="retriever", data=held.data, arrays=moved, parts=parts)
    with pytest.raises(SpaceMismatch, match="no longer gives"):
        retrieval.load(tmp_path / "r")


def test_fusing(home: Path, other: LSA) -> None:
    parts = [Dense(encoder="lsa", encoder_params={"n_components": n}).build(DOCUMENTS) for n in (2, 3)]
    fused = Fused.of_built(parts, DOCUMENTS)
    assert fused.search("tea", 3).top()  # ranks are fused, never vectors
    parts[1].encoder_ = other
    with pytest.raises(SpaceMismatch):
        fused.search("tea", 3)


def test_comparing_makes_again_what_was_kept_of_another_space(tmp_path: Path, other: LSA) -> None:
    task = synthetic("t", DOCUMENTS, queries=20)
    asked: dict[str, Any] = {"candidates": ["lsa(n_components=3)"], "metric_names": ["nDCG@10"], "cache": tmp_path}
    compare(task, **asked)
    (folder,) = (folder for folder in tmp_path.glob("built/*/retriever") if "space" in artifacts.read(folder).data)
    held = artifacts.read(folder)
    parts: dict[str, Any] = {"encoder": other.save, "index": indexes.load(folder / "index").save}
    kept = artifacts.read(folder.parent)
    artifacts.write(folder.parent / "new", kind="retriever", data=held.data, arrays=held.arrays, parts=parts)
    mixed = retrieval_parts(folder.parent / "new")
    artifacts.write(folder.parent, kind="built", data=kept.data, parts={"retriever": mixed})
    with pytest.raises(SpaceMismatch):
        retrieval.load(folder)
    for measured in tmp_path.glob("measured/*"):
        shutil.rmtree(measured)
    compare(task, **asked)
    assert retrieval.load(folder).search("tea", 3).top()


def retrieval_parts(folder: Path) -> Callable[[Path], object]:
    return lambda to: shutil.copytree(folder, to)


def test_comparing_two_sides(other: LSA) -> None:
    with pytest.raises(SpaceMismatch, match="two spaces"):
        require_same(other.space, Space(other.space.id, 3, "dot"), doing="compare these")
    with pytest.raises(SpaceMismatch, match="no longer gives"):
        Canaries(TEXTS[:3], -other.encode(TEXTS[:3])).check(other.encode)
