"""What every store promises (store/base.py), for each entry of `STORES`. Nothing here knows one of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vicino import store
from vicino.data.filters import And, Between, Compare, Contains, Filter, In, IsNull, Not, Or, check, matches, parse
from vicino.errors import (
    ArtifactError,
    DimensionMismatch,
    DuplicateIds,
    InputError,
    InvalidVectors,
    SpaceMismatch,
    UnknownName,
    VicinoError,
)
from vicino.indexes.exact import Exact
from vicino.spaces import Space
from vicino.store import Store
from vicino.store.base import COLUMNS, Row

Passages = Callable[..., list[Row]]
Drawn = Callable[..., dict[str, Any]]

EVERYTHING = [*COLUMNS, "metadata"]


def read(kept: Store, columns: Iterable[str] = EVERYTHING, **how: Any) -> list[dict[str, Any]]:
    """The rows of a scan, by key; metadata as a mapping."""
    how = {"tenant": None, **how}
    rows = [row for batch in kept.scan([*{"key": 0, **dict.fromkeys(columns, 0)}], **how) for row in batch.to_pylist()]
    for row in rows:
        if "metadata" in row:
            row["metadata"] = json.loads(row["metadata"])
    return sorted(rows, key=lambda row: str(row["key"]))


def keys(kept: Store, **how: Any) -> list[str]:
    return [row["key"] for row in read(kept, [], **how)]


def plain(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return sorted((asdict(row) for row in rows), key=lambda row: str(row["key"]))


# Writing --------------------------------------------------------------------------------------------------------------


def test_an_empty_store(kept: Store, space: Space, drawn: Drawn) -> None:
    assert keys(kept) == []
    assert kept.count(tenant="us") == 0
    assert kept.search(drawn(2)[space.id], 3, space=space, tenant="us").ids.shape == (2, 0)
    assert kept.delete(parse("document = 'a'"), tenant="us").rows == 0
    assert kept.columns == COLUMNS
    assert kept.spaces == (space,)
    stats = kept.stats()
    assert (stats.rows, stats.documents, stats.version) == (0, 0, kept.version)


HOSTILE = [
    "",
    "it's",
    "nul\x00nul",
    '"; drop table rows; --',
    "\\' or 1=1",
    "🙂 東京 ﷺ",
    "a\r\nb\t",
    "\u2028",
    "%_*?[",
    "${x}`y`",
]


def test_rows_and_vectors_come_back_to_the_bit(kept: Store, scheme: str, location: str, space: Space, passages: Passages) -> None:
    rows = [
        replace(row, title=text, text=text * 2, source=text, metadata={"name": text, "more": {text: [1, None, text]}})
        for document in ("a", "b")
        for row, text in zip(passages(document, len(HOSTILE)), HOSTILE, strict=True)
    ]
    rows[0] = replace(rows[0], number=2**63 - 1, start=-(2**63), end=2**63 - 1)
    values = np.random.default_rng(0).integers(0, 2**32, (len(rows), space.dim), dtype=np.uint32).view(np.float32)
    values[~np.isfinite(values)] = np.float32(1e-45)  # the smallest of all
    values[3] = [-0.0, 0.0, 3.4e38, -3.4e38]
    kept.replace(rows, {space.id: values}, tenant="us")
    for reader in (kept, store.open(location, scheme=scheme)):
        assert [{name: row[name] for name in EVERYTHING} for row in read(reader)] == plain(rows)
        found = {row["key"]: row["vector"] for row in read(reader, [], space=space)}
        stored = np.array([found[row.key] for row in rows], dtype=np.float32)
        assert stored.tobytes() == values.tobytes()


def test_replace_replaces_whole_documents_and_nothing_else(kept: Store, passages: Passages, drawn: Drawn) -> None:
    a, b, c = passages("a", 3), passages("b", 2), passages("c", 1)
    before = kept.replace([*a, *b, *c], drawn(6), tenant="us")
    shorter, longer = passages("a", 1, revision="2"), passages("b", 4, revision="2")
    after = kept.replace([*shorter, *longer], drawn(5, seed=1), tenant="us")
    assert after == kept.version > before
    assert read(kept) == plain([*shorter, *longer, *c])
    assert kept.stats().rows == 6
    assert kept.stats().documents == 3


def test_the_same_key_again_takes_the_new_text_and_vector(kept: Store, space: Space, passages: Passages, drawn: Drawn) -> None:
    (row,) = passages("a")
    kept.replace([row], drawn(1), tenant="us")
    kept.replace([replace(row, text="new")], drawn(1, seed=1), tenant="us")
    (found,) = read(kept, ["text"], space=space)
    assert found == {"key": row.key, "text": "new", "vector": drawn(1, seed=1)[space.id][0].tolist()}


def test_one_id_under_two_sources_and_two_tenants_is_three_documents(kept: Store, passages: Passages, drawn: Drawn) -> None:
    here, there, theirs = passages("a", 2), passages("a", 1, source="disk"), passages("a", 3, tenant="them")
    kept.replace([*here, *there], drawn(3), tenant="us")
    kept.replace(theirs, drawn(3), tenant="them")
    assert kept.stats().documents == 3
    newer = passages("a", 1, revision="2")
    kept.replace(newer, drawn(1), tenant="us")
    assert read(kept) == plain([*newer, *there, *theirs])
    assert keys(kept, tenant="them") == [row.key for row in theirs]
    assert kept.delete(parse("document = 'a' and source = 'web'"), tenant="us").rows == 1
    assert read(kept) == plain([*there, *theirs])


def test_no_rows_change_nothing(kept: Store, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a"), drawn(1), tenant="us")
    version = kept.version
    assert kept.replace([], drawn(0), tenant="us") == version == kept.version


def test_several_spaces_stand_side_by_side(scheme: str, location: str, passages: Passages, drawn: Drawn) -> None:
    spaces = [Space("one", 4), Space("two", 3, "dot"), Space("a strange/id's", 2, "euclidean")]
    kept = store.create(location, spaces, scheme=scheme)
    values = drawn(2, *spaces)
    kept.replace(passages("a", 2), values, tenant="us")
    reader = store.open(location, scheme=scheme)
    assert reader.spaces == tuple(spaces)
    for space in spaces:
        assert [row["vector"] for row in read(reader, [], space=space)] == values[space.id].tolist()
        hits = reader.search(values[space.id][:1], 1, space=space, tenant="us")
        assert hits.ids.shape == (1, 1)


def test_a_store_without_vectors(scheme: str, location: str, space: Space, passages: Passages, drawn: Drawn) -> None:
    kept = store.create(location, [], scheme=scheme)
    kept.replace(passages("a", 2), {}, tenant="us")
    assert kept.count(tenant="us") == 2
    with pytest.raises(SpaceMismatch):
        kept.search(drawn(1)[space.id], 1, space=space, tenant="us")


def wrong(passages: Passages, drawn: Drawn, space: Space) -> list[tuple[type[VicinoError], list[Row], dict[str, Any]]]:
    """What `replace` refuses; each begins with a row that is fine."""
    fine, good = passages("new", 2, fresh=1), drawn(2)
    nan = {space.id: np.array([[0, 0, 0, 0], [0, np.nan, 0, 0]], dtype=np.float32)}
    return [
        (SpaceMismatch, fine, {}),
        (SpaceMismatch, fine, {"other": good[space.id]}),
        (SpaceMismatch, fine, {**good, "other": good[space.id]}),
        (DimensionMismatch, fine, {space.id: good[space.id][:, :3]}),
        (InvalidVectors, fine, nan),
        (InputError, fine, drawn(3)),
        (DuplicateIds, [fine[0], replace(fine[1], key=fine[0].key)], good),
        (DuplicateIds, [fine[0], replace(fine[1], key=passages("old")[0].key)], good),
        (InputError, [fine[0], replace(fine[1], tenant="them")], good),
        (InputError, [fine[0], replace(fine[1], text="half \ud83d")], good),
        (InputError, [fine[0], replace(fine[1], document="half \ud83d")], good),
        (InputError, [fine[0], replace(fine[1], start=2**63)], good),
        (InputError, [fine[0], replace(fine[1], metadata={"year": "MMXX"})], good),
        (InputError, [fine[0], replace(fine[1], metadata={"when": {1, 2}})], good),
        (InputError, [replace(fine[0], metadata={"other": 1}), replace(fine[1], metadata={"other": "one"})], good),
    ]


@pytest.mark.parametrize("case", range(15))
def test_what_is_refused_leaves_nothing_behind(case: int, kept: Store, space: Space, passages: Passages, drawn: Drawn) -> None:
    old = passages("old", 2, year=2020)
    kept.replace(old, drawn(2), tenant="us")
    version, columns = kept.version, dict(kept.columns)
    error, rows, vectors = wrong(passages, drawn, space)[case]
    with pytest.raises(error) as caught:
        kept.replace(rows, vectors, tenant="us")
    assert caught.value.mend
    kept.refresh()
    assert (kept.version, dict(kept.columns)) == (version, columns)
    assert read(kept) == plain(old)


# Metadata -------------------------------------------------------------------------------------------------------------


def test_metadata_gets_columns_as_it_comes(kept: Store, passages: Passages, drawn: Drawn) -> None:
    first = {
        "lang": "en",
        "year": 2020,
        "score": 0.5,
        "draft": True,
        "tags": ["a", "b"],
        "none": None,
        "empty": [],
        "deep": {"a": 1},
    }
    kept.replace(passages("a", **first), drawn(1), tenant="us")
    own = {name: kind for name, kind in kept.columns.items() if name not in COLUMNS}
    assert own == {"lang": "text", "year": "integer", "score": "number", "draft": "flag", "tags": "texts"}
    kept.replace(passages("b", empty=["now not"], none=1, lang=None, tags=[]), drawn(1), tenant="us")
    assert kept.columns["empty"] == "texts"
    assert kept.columns["none"] == "integer"
    assert keys(kept, where=parse("lang is null")) == keys(kept, where=parse("none = 1")) == [passages("b")[0].key]
    assert keys(kept, where=parse("none is null")) == [passages("a")[0].key]
    assert read(kept)[0]["metadata"] == first


def test_integers_make_room_for_other_numbers(kept: Store, scheme: str, location: str, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a", size=2**53 + 1) + passages("b", size=-3), drawn(2), tenant="us")
    assert kept.columns["size"] == "integer"
    assert kept.count(where=parse(f"size = {2**53 + 1}"), tenant="us") == 1
    kept.replace(passages("c", size=0.5), drawn(1), tenant="us")
    kept.replace(passages("d", size=7), drawn(1), tenant="us")
    for reader in (kept, store.open(location, scheme=scheme)):
        assert reader.columns["size"] == "number"
        assert [row["metadata"]["size"] for row in read(reader, where=parse("size >= 0.5"))] == [2**53 + 1, 0.5, 7]
        assert reader.count(where=parse("size in (-3, 0.5)"), tenant="us") == 2


def test_integers_and_other_numbers_in_one_batch_are_numbers(kept: Store, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a", size=1) + passages("b", size=0.5), drawn(2), tenant="us")
    assert kept.columns["size"] == "number"
    assert kept.count(where=parse("size < 1"), tenant="us") == 1


def test_the_ends_of_the_integers(kept: Store, passages: Passages, drawn: Drawn) -> None:
    for document, n in (("a", 2**63 - 1), ("b", -(2**63)), ("c", 0)):
        kept.replace(passages(document, size=n), drawn(1), tenant="us")
    for wanted, rows in (
        (f"size = {2**63 - 1}", 1),
        (f"size = {-(2**63)}", 1),
        (f"size > {-(2**63)}", 2),
        (f"size in ({-(2**63)}, 0)", 2),
    ):
        assert kept.count(where=parse(wanted), tenant="us") == rows, wanted


def test_a_zero_is_a_zero(kept: Store, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a", x=-0.0) + passages("b", x=0.0), drawn(2), tenant="us")
    for wanted in ("x = 0", "x = -0.0", "x <= -0.0 and x >= 0.0", "x in (0.0)", "not x < 0.0"):
        assert kept.count(where=parse(wanted), tenant="us") == 2, wanted


@pytest.mark.parametrize(
    ("had", "comes", "said"),
    [
        ({"x": "one"}, {"x": 1}, "'x'"),
        ({"x": 1}, {"x": "one"}, "'x'"),
        ({"x": 1}, {"x": True}, "'x'"),
        ({"x": True}, {"x": 1}, "'x'"),
        ({"x": ["a"]}, {"x": "a"}, "'x'"),
        ({"x": "a"}, {"x": ["a"]}, "'x'"),
        ({"x": "a"}, {"x": {"a": 1}}, "'x'"),
        ({"x": ["a"]}, {"x": [1]}, "'x'"),
        ({"x": 0.5}, {"x": "a"}, "'x'"),
        ({}, {"x": 2**63}, "64 bits"),
        ({"x": 0.5}, {"x": 10**400}, "64 bits"),
        ({}, {"x": float("nan")}, "JSON"),
        ({}, {"deep": [float("inf")]}, "JSON"),
        ({}, {"x": b"bytes"}, "JSON"),
        ({}, {"x": "\ud83d"}, "half a character"),
        ({}, {"\ud83d": 1}, "half a character"),
        ({}, {5: 1}, "not text"),
    ],
)
def test_metadata_that_does_not_fit(
    had: dict[str, Any], comes: Any, said: str, kept: Store, passages: Passages, drawn: Drawn
) -> None:
    kept.replace([replace(passages("a")[0], metadata=had)], drawn(1), tenant="us")
    assert kept.misfits(had) == ""
    assert said in kept.misfits(comes)
    with pytest.raises(InputError) as caught:
        kept.replace([replace(passages("b")[0], metadata=comes)], drawn(1), tenant="us")
    assert said in str(caught.value)
    assert "'b'" in str(caught.value)
    assert kept.count(tenant="us") == 1


@pytest.mark.parametrize(
    ("had", "comes"), [(1, 0.5), (0.5, 1), (1, None), (["a"], []), (["a"], ["b", "c"]), ("a", ""), (True, False)]
)
def test_metadata_that_fits(had: Any, comes: Any, kept: Store, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a", x=had), drawn(1), tenant="us")
    assert kept.misfits({"x": comes}) == ""
    kept.replace(passages("b", x=comes), drawn(1), tenant="us")
    assert [row["metadata"] for row in read(kept)] == [{"x": had}, {"x": comes}]


def test_names_of_metadata_that_are_ours_or_no_names_stay_in_the_json(kept: Store, passages: Passages, drawn: Drawn) -> None:
    odd = {"key": "mine", "text": 5, "title": True, "vector": "v", "two words": "x", "a.b": 1, "": 2, "it's": 3, "`": 4, "1st": 5}
    odd |= {"metadata": "m", "_rowid": "r", "select": "s", "Year": 1, "year": "2", "naïve": 3, "text_x": 1, "number_year": 0.5}
    row = replace(passages("a")[0], metadata=odd)
    kept.replace([row], drawn(1), tenant="us")
    kept.replace(passages("b", Year=2), drawn(1), tenant="us")
    assert read(kept)[0] == asdict(row)
    named = {"vector", "metadata", "_rowid", "select", "Year", "year", "naïve", "text_x", "number_year"}
    assert kept.columns.keys() - COLUMNS.keys() == named
    for wanted in ("vector = 'v' and _rowid = 'r' and select = 's'", "Year = 1 and year = '2' and naïve = 3", "text_x = 1"):
        assert keys(kept, where=parse(wanted)) == [row.key], wanted
    assert keys(kept, where=parse("title = 'On a' and number_year = 0.5 and metadata = 'm'")) == [row.key]


# Filters --------------------------------------------------------------------------------------------------------------

POOL: dict[str, list[Any]] = {
    "lang": ["", "a", "B", "é", "東", "🙂", "it's", "a\x00b", "\\", "ab", None],
    "year": [-1, 0, 2**62, 2020, 2021, None],
    "score": [0.1, 1, -2.5, 1e300, 5e-324, None],
    "draft": [True, False, None],
    "tags": [[], ["a"], ["a", "it's"], ["🙂", ""], None],
    "source": ["web", "disk"],
    "number": [0, 1, 2],
}
N = 120


@pytest.fixture(scope="module")
def table(scheme: str, roomy: str, passages: Passages, drawn: Drawn) -> tuple[Store, list[Row]]:
    """A store with random rows of two tenants, written in several commits, some of them twice."""
    from_pool, rows = np.random.default_rng(0), []
    for place in range(N):
        tenant = ("us", "them")[place % 2]
        values = {name: pool[from_pool.integers(len(pool))] for name, pool in POOL.items()}
        source, number = values.pop("source"), values.pop("number")
        (row,) = passages(
            f"d{place}", tenant=tenant, source=source, **{k: v for k, v in values.items() if from_pool.random() < 0.9}
        )
        rows.append(replace(row, number=number))
    kept = store.create(roomy, [Space("0123456789abcdef", 4)], scheme=scheme)
    for part in (rows[:50], rows[30:80], rows[80:]):
        for tenant in ("us", "them"):
            own = [row for row in part if row.tenant == tenant]
            kept.replace(own, drawn(len(own)), tenant=tenant)
    return kept, rows


def values_of(name: str) -> st.SearchStrategy[Any]:
    flat = [value for value in POOL[name] if value is not None and not isinstance(value, list)]
    return st.sampled_from(flat)


plain_columns = st.sampled_from(["lang", "year", "score", "number", "source"])
operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
leaves: st.SearchStrategy[Filter] = st.one_of(
    plain_columns.flatmap(lambda name: st.builds(Compare, st.just(name), operators, values_of(name))),
    plain_columns.flatmap(
        lambda name: st.builds(In, st.just(name), st.lists(values_of(name), min_size=1, max_size=3).map(tuple))
    ),
    plain_columns.flatmap(lambda name: st.builds(Between, st.just(name), values_of(name), values_of(name))),
    st.builds(Compare, st.just("draft"), st.sampled_from(["=", "!="]), st.booleans()),
    st.builds(Contains, st.sampled_from(["lang", "tags"]), st.sampled_from(["", "a", "it's", "🙂", "\x00", "zz"])),
    st.builds(IsNull, st.sampled_from([*POOL, "title"])),
)


def joined(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(And, parts), st.builds(Or, parts), st.builds(Not, inner))


@given(wanted=st.recursive(leaves, joined, max_leaves=8), tenant=st.sampled_from(["us", "them", None]))
@example(wanted=parse("not (year in (-1) and not year in (-1))"), tenant="us")  # an optimiser may take unknown for false
@example(wanted=parse("year in (0, 2020) or year not in (0, 2020) or draft or not draft"), tenant="us")
def test_filters_mean_what_they_mean(table: tuple[Store, list[Row]], wanted: Filter, tenant: str | None) -> None:
    kept, rows = table
    meant = check(wanted, kept.columns)
    mine = [row for row in rows if tenant in (None, row.tenant)]
    expected = sorted(row.key for row in mine if matches(meant, {**row.metadata, **asdict(row)}))
    assert keys(kept, where=wanted, tenant=tenant) == expected
    assert kept.count(where=wanted, tenant=tenant) == len(expected)
    hits = kept.search([[1, 2, 3, 4]], N, space=kept.spaces[0], where=wanted, tenant=tenant)
    assert sorted(hits.ids[0]) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(names=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=3, unique=True), text=st.text())
def test_no_name_is_code(kept: Store, passages: Passages, drawn: Drawn, names: list[str], text: str) -> None:
    kept.delete(parse("key is not null"), tenant=None)
    for name in names:
        kept.replace(passages(name, tenant=name, source=name), drawn(1), tenant=name)
    one = names[0]
    assert [row["document"] for row in read(kept, ["document"], tenant=one)] == [one]
    assert kept.count(where=Compare("document", "!=", one), tenant=one) == 0
    assert kept.count(where=And((In("source", tuple(names)), Not(Contains("document", one)))), tenant=names[1]) <= 1
    assert kept.delete(Compare("document", "=", one), tenant=one).rows == 1
    assert sorted(row["tenant"] for row in read(kept, ["tenant"])) == sorted(names[1:])


@pytest.mark.parametrize("method", ["scan", "count", "delete", "search"])
def test_a_filter_that_does_not_fit_is_named(method: str, kept: Store, space: Space, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a", year=2020), drawn(1), tenant="us")

    def ask(wanted: str) -> Any:
        if method == "scan":
            return kept.scan(["key"], where=parse(wanted), tenant="us")
        if method == "search":
            return kept.search(drawn(1)[space.id], 1, space=space, where=parse(wanted), tenant="us")
        return kept.delete(parse(wanted), tenant="us") if method == "delete" else kept.count(where=parse(wanted), tenant="us")

    with pytest.raises(UnknownName, match="yaer") as caught:
        ask("yaer = 2020")
    assert "did you mean year?" in caught.value.mend
    with pytest.raises(InputError, match="whole numbers"):
        ask("year = '2020'")
    with pytest.raises(UnknownName):  # it comes back as JSON, but is no column
        ask("metadata = 'x'")
    assert kept.count(tenant="us") == 1


def test_deleting_by_filter_and_tenant(table: tuple[Store, list[Row]], scheme: str, location: str, drawn: Drawn) -> None:
    _, rows = table
    kept = store.create(location, [Space("0123456789abcdef", 4)], scheme=scheme)
    for tenant in ("us", "them"):
        own = [row for row in rows if row.tenant == tenant]
        kept.replace(own, drawn(len(own)), tenant=tenant)
    wanted = parse("year >= 2020 or tags contains 'a'")
    gone = {row.key for row in rows if row.tenant == "us" and matches(wanted, row.metadata)}
    removed = kept.delete(wanted, tenant="us")
    assert removed.rows == removed.documents == len(gone) > 5
    assert keys(kept) == sorted(row.key for row in rows if row.key not in gone)
    version = kept.version
    assert kept.delete(wanted, tenant="us").rows == 0
    everyone = kept.delete(wanted, tenant=None)
    assert everyone.rows == sum(row.tenant == "them" and matches(wanted, row.metadata) for row in rows)
    assert kept.version > version


def test_deleted_documents_are_counted_by_source_and_tenant(kept: Store, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a", 3) + passages("a", 2, source="disk") + passages("b", 1), drawn(6), tenant="us")
    kept.replace(passages("a", 1, tenant="them"), drawn(1), tenant="them")
    removed = kept.delete(parse("document = 'a'"), tenant=None)
    assert (removed.rows, removed.documents) == (6, 3)
    assert kept.stats().documents == 1


# Reading --------------------------------------------------------------------------------------------------------------


def test_scan_gives_the_columns_asked_for_in_their_order(kept: Store, space: Space, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a", 2), drawn(2), tenant="us")
    (batch,) = kept.scan(["title", "key", "metadata"], tenant="us", space=space)
    assert batch.schema.names == ["title", "key", "metadata", "vector"]
    assert batch["vector"].type.list_size == space.dim
    with pytest.raises(UnknownName, match="titel"):
        kept.scan(["titel"], tenant="us")
    with pytest.raises(SpaceMismatch):
        kept.scan(["key"], tenant="us", space=Space(space.id, 4, "dot"))


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("long", [1, 300])
def test_search_gives_what_the_exact_index_gives(
    similarity: Any, long: int, scheme: str, location: str, passages: Passages, drawn: Drawn
) -> None:
    space = Space("s", 16, similarity)
    kept = store.create(location, [space], scheme=scheme)
    vectors = drawn(600, space)[space.id] * np.float32(long)
    vectors[[7, 400]] = 0
    rows = [row for number in range(100) for row in passages(f"d{number}", 6)]
    for part in (slice(0, 150), slice(150, 600)):
        kept.replace(rows[part], {space.id: vectors[part]}, tenant="us")
    kept.replace(passages("d3", 6, tenant="them"), {space.id: vectors[18:24]}, tenant="them")
    queries = np.concatenate([drawn(5, space, seed=1)[space.id], np.zeros((1, 16)), vectors[:2]]).astype(np.float32)
    exact = Exact(similarity=similarity).build(vectors, [row.key for row in rows])
    for k in (1, 10, 1000):
        hits, expected = kept.search(queries, k, space=space, tenant="us"), exact.search(queries, k)
        np.testing.assert_allclose(hits.scores, expected.scores, rtol=1e-5, atol=1e-5 * long * long ** (similarity == "dot"))
        if k == 10:
            assert hits.ids[:5].tolist() == expected.ids[:5].tolist()
        for found, scores in zip(hits.ids, hits.scores, strict=True):
            assert len(set(found)) == len(found) == min(k, 600)
            assert (np.diff(scores) <= 0).all()
    rare = [row.key for row in rows if row.document == "d9"]  # 1 %
    hits = kept.search(queries, 5, space=space, where=parse("document = 'd9'"), tenant="us")
    expected = exact.search(queries, 5, allow=rare)
    np.testing.assert_allclose(hits.scores, expected.scores, rtol=1e-5, atol=1e-5 * long * long ** (similarity == "dot"))
    assert hits.ids.shape == (8, 5)
    assert set(hits.ids.ravel()) <= set(rare)


def test_search_never_leaves_the_tenant(kept: Store, space: Space, passages: Passages, drawn: Drawn) -> None:
    for tenant in ("us", "them"):
        kept.replace(passages("a", 5, tenant=tenant), drawn(5), tenant=tenant)
    query = drawn(5)[space.id]
    for tenant in ("us", "them"):
        assert set(kept.search(query, 10, space=space, tenant=tenant).ids.ravel()) == {
            row.key for row in passages("a", 5, tenant=tenant)
        }
    assert kept.search(query, 10, space=space, tenant="nobody").ids.shape == (5, 0)
    assert kept.search(query, 20, space=space, tenant=None).ids.shape == (5, 10)


def test_wrong_questions_are_named(kept: Store, space: Space, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a"), drawn(1), tenant="us")
    query = drawn(1)[space.id]
    with pytest.raises(DimensionMismatch):
        kept.search(query[:, :3], 1, space=space, tenant="us")
    with pytest.raises(InvalidVectors):
        kept.search([[1, np.nan, 0, 0]], 1, space=space, tenant="us")
    with pytest.raises(InputError, match="k is 0"):
        kept.search(query, 0, space=space, tenant="us")
    for other in (Space("other", 4), Space(space.id, 4, "dot"), Space(space.id, 5)):
        with pytest.raises(SpaceMismatch):
            kept.search(query, 1, space=other, tenant="us")


def test_who_forgets_the_tenant_finds_out(kept: Store, space: Space, passages: Passages, drawn: Drawn) -> None:
    for forgetful in (
        lambda: kept.scan(["key"]),
        lambda: kept.count(),
        lambda: kept.search(drawn(1)[space.id], 1, space=space),
        lambda: kept.delete(parse("key is null")),
        lambda: kept.replace(passages("a"), drawn(1)),
    ):
        with pytest.raises(TypeError, match="tenant"):
            forgetful()


# Versions -------------------------------------------------------------------------------------------------------------


def test_an_object_reads_its_version_until_it_moves_on(
    kept: Store, scheme: str, location: str, space: Space, passages: Passages, drawn: Drawn
) -> None:
    kept.replace(passages("a", year=1), drawn(1), tenant="us")
    reader = store.open(location, scheme=scheme)
    before = reader.version
    kept.replace(passages("b", lang="en"), drawn(1), tenant="us")
    assert (reader.version, reader.count(tenant="us"), keys(reader)) == (before, 1, [passages("a")[0].key])
    assert reader.search(drawn(1)[space.id], 5, space=space, tenant="us").ids.shape == (1, 1)
    assert "lang" not in reader.columns
    assert reader.refresh()
    assert not reader.refresh()
    assert (reader.version, reader.count(tenant="us")) == (kept.version, 2)
    assert reader.count(where=parse("lang = 'en'"), tenant="us") == 1
    kept.delete(parse("document = 'a'"), tenant="us")
    reader.replace(passages("c"), drawn(1), tenant="us")  # its own write moves it on, over that of others
    assert keys(reader) == [passages("b")[0].key, passages("c")[0].key]


def test_old_versions_and_snapshots_can_be_read(kept: Store, space: Space, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a", 2), drawn(2), tenant="us")
    assert kept.snapshot("first") == kept.version
    first = kept.version
    kept.replace(passages("a", 1, revision="2", year=5), drawn(1), tenant="us")
    kept.replace(passages("b", 1), drawn(1), tenant="us")
    for old in (kept.at("first"), kept.at(first)):
        assert keys(old) == [row.key for row in passages("a", 2)]
        assert "year" not in old.columns
    kept.maintain(keep_seconds=0)
    old = kept.at("first")
    assert (old.version, old.count(tenant="us")) == (first, 2)
    assert old.search(drawn(1)[space.id], 5, space=space, tenant="us").ids.shape == (1, 2)
    assert not old.refresh()
    for write in (
        lambda: old.replace(passages("c"), drawn(1), tenant="us"),
        lambda: old.delete(parse("key is null"), tenant="us"),
        lambda: old.maintain(),
    ):
        with pytest.raises(InputError, match="cannot be changed"):
            write()
    assert kept.count(tenant="us") == 2


def test_snapshots_have_names_of_their_own(kept: Store) -> None:
    kept.snapshot("v1.0_rc-2")
    with pytest.raises(InputError, match="already"):
        kept.snapshot("v1.0_rc-2")
    for bad in ("", "a b", "../up", "é", "x" * 101, ".hidden", "-dash", "a\n"):
        with pytest.raises(InputError):
            kept.snapshot(bad)
    with pytest.raises(UnknownName, match="v1") as caught:
        kept.at("v1")
    assert "v1.0_rc-2" in caught.value.mend
    for version in (kept.version + 1, 0, -1):
        with pytest.raises(UnknownName, match=f"no version {version}"):
            kept.at(version)


def test_maintenance_changes_no_row(kept: Store, space: Space, passages: Passages, drawn: Drawn) -> None:
    for turn in range(12):
        kept.replace(
            passages(f"d{turn % 5}", 1 + turn % 3, revision=str(turn), **{f"m{turn % 4}": turn}), drawn(1 + turn % 3), tenant="us"
        )
    kept.delete(parse("document = 'd1'"), tenant="us")
    before = read(kept, space=space)
    done = kept.maintain(keep_seconds=0)
    assert done.files_after < done.files_before or done.files_before == 0  # a server shows us none
    assert done.bytes_freed > 0
    assert read(kept, space=space) == before
    assert kept.stats().files == done.files_after
    kept.replace(passages("d1"), drawn(1), tenant="us")
    assert kept.stats().documents == 5


def test_a_store_is_made_and_opened_where_it_should_be(kept: Store, scheme: str, location: str, space: Space) -> None:
    with pytest.raises(ArtifactError, match="already"):
        store.create(location, [space], scheme=scheme)
    with pytest.raises(ArtifactError, match="no store"):
        store.open(f"{location}2", scheme=scheme)
    assert store.open(location, scheme=scheme).version == kept.version


def test_spaces_that_cannot_be_kept_are_refused(scheme: str, location: str) -> None:
    with pytest.raises(InputError, match="one vector"):
        store.create(location, [Space("late", 4, "maxsim")], scheme=scheme)
    with pytest.raises(DuplicateIds):
        store.create(location, [Space("a", 4), Space("a", 5)], scheme=scheme)
    store.create(location, [Space("a", 4)], scheme=scheme)  # nothing was left behind


# Processes ------------------------------------------------------------------------------------------------------------

SHARED = """
import sys
import numpy as np
from vicino import store
from vicino.store.base import Row

scheme, location, name, turns = *sys.argv[1:4], int(sys.argv[4])
kept = store.open(location, scheme=scheme)
(space,) = kept.spaces

def write(document, turn):
    n = 1 + turn % 3
    revision = f"{name}-{turn}/{n}"
    names = [f"{document}/{number}/{revision}" for number in range(n)]
    rows = [Row(key, "us", "web", document, i, 0, 1, "", "x", "", revision, {"turn": turn}) for i, key in enumerate(names)]
    kept.replace(rows, {space.id: np.full((n, space.dim), turn, dtype=np.float32)}, tenant="us")
    print(document, revision, flush=True)

def documents():
    found = {}
    for batch in kept.scan(["document", "revision"], tenant="us"):
        for row in batch.to_pylist():
            found.setdefault(row["document"], []).append(row["revision"])
    return found
"""

WRITER = (
    SHARED
    + """
for turn in range(turns):
    write(f"{name}{turn % 7}", turn)
    write("both", turn)
write(f"{name} is done", 0)
"""
)

READER = (
    SHARED
    + """
rounds, found = 0, {}
while not {"a is done", "b is done"} <= found.keys():
    kept.refresh()
    found, rounds = documents(), rounds + 1
    for document, revisions in found.items():
        assert len(set(revisions)) == 1 and len(revisions) == int(revisions[0].split("/")[1]), (document, revisions)
    assert kept.count(tenant="us") == sum(map(len, found.values()))
    assert kept.search(np.ones((1, space.dim)), 1000, space=space, tenant="us").ids.shape[1] == kept.count(tenant="us")
print(rounds)
"""
)


def whole(kept: Store) -> dict[str, str]:
    """The revision of each document, all of whose passages must be there."""
    revisions: dict[str, list[str]] = {}
    for row in read(kept, ["document", "revision"]):
        revisions.setdefault(row["document"], []).append(row["revision"])
    for document, found in revisions.items():
        assert len(set(found)) == 1, document
        assert len(found) == int(found[0].split("/")[1]), document
    return {document: found[0] for document, found in revisions.items()}


@pytest.mark.long
def test_two_processes_write_and_one_reads(kept: Store, scheme: str, location: str, python: Callable[..., str]) -> None:
    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(python, WRITER, scheme, location, name, 30) for name in "ab"]
        rounds = pool.submit(python, READER, scheme, location, "reader", 0)
        assert all(len(writer.result().splitlines()) == 61 for writer in writers)
        assert int(rounds.result()) >= 1
    kept.refresh()
    found = whole(kept)
    last = {f"{name}{turn % 7}": f"{name}-{turn}/{1 + turn % 3}" for name in "ab" for turn in range(23, 30)}
    assert {document: revision for document, revision in found.items() if document in last} == last
    assert found["both"] in ("a-29/3", "b-29/3")
    assert kept.stats().documents == 14 + 1 + 2


@pytest.mark.long
@pytest.mark.parametrize("commits", [1, 2, 7, 33, 34, 50])
def test_a_writer_that_is_killed_leaves_whole_documents(
    commits: int, kept: Store, scheme: str, location: str, passages: Passages, drawn: Drawn
) -> None:
    command = [sys.executable, "-c", WRITER, scheme, location, "a", "1000"]
    told: dict[str, str] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        for _ in range(commits):
            document, revision = writer.stdout.readline().split()
            told[document] = revision
        writer.kill()
        for line in writer.stdout.read().splitlines():  # what it told while it was being killed
            document, revision = line.split()
            told[document] = revision
    reader = store.open(location, scheme=scheme)
    found = whole(reader)
    for document, revision in told.items():  # what was told is there, or what came after it
        assert int(found[document].split("-")[1].split("/")[0]) >= int(revision.split("-")[1].split("/")[0])
    reader.replace(passages("after"), drawn(1), tenant="us")  # no lock was left behind
    reader.maintain(keep_seconds=0)
    assert reader.delete(parse("document = 'after'"), tenant="us").rows == 1
    assert whole(reader) == found
