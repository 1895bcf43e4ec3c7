"""Maps of a collection: the same rows whatever the space, fields as codes, and neighbours that are truly near."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.catalog import Entry
from vicino.data.records import Document
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.retrieval import maps
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.maintenance import delete
from vicino.retrieval.stored import Stored
from vicino.store.collection import Collection

WORDS = ("tea", "kettle", "water", "cello", "harp", "strings", "wing", "lift", "bread", "dough")


def made(n, start=0):
    draw = np.random.default_rng(start)
    for number in range(start, start + n):
        text = " ".join(draw.choice(WORDS, 6))
        tags = ["even"] if number % 2 == 0 else ["odd", "new"]
        more = {"year": 1990 + number} if number % 3 else {}
        yield Document(
            f"d{number}", text, metadata={"lang": "en" if number % 4 else "de", "draft": number < 5, "tags": tags, **more}
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory, need):
    need(Entry("", "", "store"))
    folder = tmp_path_factory.mktemp("home")
    ingest(folder, "two", Source("s", list(made(60))), recipe="lsa(n_components=3)+lsa(n_components=6)")
    ingest(folder, "words", Source("s", list(made(4))), recipe="bm25")
    return folder


@pytest.fixture(scope="module")
def two(home) -> Collection:
    return Collection.open(home, "two")


def test_rows_are_the_same_on_every_map(two, monkeypatch):
    first, second = (maps.draw(two, "", number, "pca") for number in (0, 1))
    assert first.keys == second.keys == sorted(first.keys)
    assert (first.of, first.coordinates.shape, first.coordinates.dtype) == (60, (60, 2), np.float32)
    assert not np.allclose(first.coordinates, second.coordinates)
    assert np.array_equal(first.coordinates, maps.draw(two, "", 0, "pca").coordinates)
    monkeypatch.setitem(maps.LARGEST, "pca", 20)
    few = maps.draw(two, "", 0, "pca")
    assert (few.keys, few.of, few.coordinates.shape) == (first.keys[:20], 60, (20, 2))


def test_what_is_drawn_are_the_vectors(two):
    chart = maps.draw(two, "", 0, "pca")
    stored = Stored(two)
    stored.refresh()
    keys, vectors = stored.vectors(two.spaces[0])
    rows = vectors[np.argsort(np.array(keys))]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    centred = rows - rows.mean(axis=0)
    spread = np.linalg.svd(centred, compute_uv=False)
    assert np.allclose(np.linalg.norm(chart.coordinates, axis=0), spread[:2], rtol=1e-3)
    assert chart.kept is None
    assert 0 <= maps.measured(two, "", 0, chart).kept <= 1
    assert maps.kept_map(two, "", 0, "pca").kept == maps.measured(two, "", 0, chart).kept
    assert chart.by_chance == pytest.approx(10 / 59)


def test_tsne_is_kept_and_opened_again(two, need):
    need(Entry("", "", "map"))
    assert maps.kept_map(two, "", 1, "tsne") is None
    assert not maps.is_kept(two, "", 1, "tsne")
    chart = maps.draw(two, "", 1, "tsne")
    again = maps.kept_map(two, "", 1, "tsne")
    assert maps.is_kept(two, "", 1, "tsne")
    assert (again.keys, again.of, again.kept, again.version) == (chart.keys, chart.of, chart.kept, chart.version)
    assert np.array_equal(again.coordinates, chart.coordinates)
    assert maps.kept_map(two, "", 0, "tsne") is None
    place = maps._place(two, "", two.spaces[1].id, "tsne")
    (place / "manifest.json").write_text("{")
    assert maps.kept_map(two, "", 1, "tsne") is None  # damaged: it can be made again


def test_fields_are_codes_or_numbers(two):
    keys = maps.draw(two, "", 0, "pca").keys
    found = maps.columns_of(two, "", keys)
    assert {name: one.kind for name, one in found.items()} == {
        "source": "text",
        "lang": "text",
        "draft": "flag",
        "tags": "texts",
        "year": "integer",
    }
    rows = [row for batch in two.store.scan(["key", "document"], tenant="") for row in batch.to_pylist()]
    held = {row["key"]: row["document"] for row in rows}
    numbers = np.array([int(held[key][1:]) for key in keys])
    lang = found["lang"]
    assert lang.values == ["en", "de"]  # the most frequent first
    assert lang.codes.dtype == np.uint16
    assert np.array_equal(lang.codes, (numbers % 4 == 0).astype(int))
    assert [found["draft"].values[code] for code in found["draft"].codes] == [str(number < 5).lower() for number in numbers]
    assert set(found["tags"].values) == {"even", "odd, new"}
    year = found["year"]
    assert (year.values, year.codes.dtype) == (None, np.float32)
    assert np.array_equal(np.isnan(year.codes), numbers % 3 == 0)
    assert np.array_equal(year.codes[numbers % 3 > 0], 1990.0 + numbers[numbers % 3 > 0])


def test_of_many_values_the_rare_ones_have_no_code(two, monkeypatch):
    monkeypatch.setattr(maps, "_VALUES", 1)
    lang = maps.columns_of(two, "", maps.draw(two, "", 0, "pca").keys)["lang"]
    assert lang.values == ["en"]
    assert set(lang.codes.tolist()) == {0, maps.NONE}


def test_neighbours_are_those_of_the_vectors(two):
    chart, stored = maps.draw(two, "", 1, "pca"), Stored(two)
    stored.refresh()
    keys, vectors = stored.vectors(two.spaces[1])
    rows = vectors[np.argsort(np.array(keys))]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows[7]
    cosines[7] = -np.inf
    found = maps.near(stored, chart, k=5, row=7)
    assert np.allclose(found.scores, np.sort(cosines)[::-1][:5], atol=1e-5)
    assert np.allclose(cosines[found.rows], found.scores, atol=1e-5)
    away = ((chart.coordinates - chart.coordinates[7]) ** 2).sum(axis=1)
    away[7] = np.inf
    assert found.share_kept == len(set(np.argsort(away, kind="stable")[:5].tolist()) & set(found.rows)) / 5
    asked = maps.near(stored, chart, k=3, query="tea kettle")
    query = np.asarray(two.encoder(1).encode_query(["tea kettle"]))[0]
    best = np.sort(rows @ query / np.linalg.norm(query))[::-1][:3]
    assert np.allclose(asked.scores, best, atol=1e-5)
    assert asked.share_kept is None


def test_an_older_map_outlives_the_rows_that_it_shows(tmp_path, need):
    need(Entry("", "", "store"))
    ingest(tmp_path, "c", Source("s", list(made(12))), recipe="lsa(n_components=3)")
    chart = maps.draw(Collection.open(tmp_path, "c"), "", 0, "pca")
    delete(Collection.open(tmp_path, "c"), tenant="", ids=["d3"])
    stored = Stored(Collection.open(tmp_path, "c"))
    stored.refresh()
    gone = next(row for row, key in enumerate(chart.keys) if key not in stored._places)
    with pytest.raises(UnknownName, match="is gone"):
        maps.near(stored, chart, k=3, row=gone)
    assert gone not in maps.near(stored, chart, k=11, query="tea").rows
    assert maps.columns_of(stored.collection, "", chart.keys)["lang"].codes[gone] == maps.NONE


def test_a_tenant_sees_and_leaves_nothing_of_others(tmp_path, need):
    need(Entry("", "", "store"))
    need(Entry("", "", "map"))
    ingest(tmp_path, "c", Source("s", list(made(12))), recipe="lsa(n_components=3)", tenant="ann")
    ingest(tmp_path, "c", Source("s", list(made(9, 50))), tenant="bob")
    kept = Collection.open(tmp_path, "c")
    ann, bob = (maps.draw(kept, name, 0, "tsne") for name in ("ann", "bob"))
    assert (len(ann.keys), len(bob.keys), ann.of) == (12, 9, 12)
    assert not set(ann.keys) & set(bob.keys)
    delete(kept, tenant="bob")
    kept = Collection.open(tmp_path, "c")
    assert maps.kept_map(kept, "bob", 0, "tsne") is None  # it went with the documents
    assert maps.kept_map(kept, "ann", 0, "tsne") is not None
    with pytest.raises(EmptyInput):
        maps.draw(kept, "bob", 0, "pca")


def test_what_cannot_be_is_named(home, two):
    with pytest.raises(UnknownName, match="method"):
        maps.draw(two, "", 0, "umap")
    with pytest.raises(UnknownName, match="space"):
        maps.number_of(two, "minilm")
    with pytest.raises(InputError, match="no dense vectors"):
        maps.number_of(Collection.open(home, "words"), None)
    assert maps.number_of(two, two.spaces[1].id) == 1
    stored, chart = Stored(two), maps.draw(two, "", 0, "pca")
    stored.refresh()
    for wrong in ({}, {"row": 0, "query": "tea"}, {"row": 60}, {"row": -1}):
        with pytest.raises(InputError):
            maps.near(stored, chart, k=3, **wrong)
