"""Rows as columns: the quick way over all rows of a write says what the way row by row says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from vicino.catalog import Entry
from vicino.errors import InputError
from vicino.store import STORES, lance_rows
from vicino.store import rows as store_rows
from vicino.store.base import Row

KINDS = {"lang": "text", "year": "integer", "score": "number", "draft": "flag", "tags": "texts"}
FITTING = {
    "lang": ["", "en", "é", "🙂", "a\nb", None],
    "year": [0, -(2**63), 2**63 - 1, None],
    "score": [0.5, -0.0, 1e300, None],
    "draft": [True, False, None],
    "tags": [[], ["a"], ["a", "東"], None],
}
ROWS = [{name: values[place % len(values)] for name, values in FITTING.items()} for place in range(12)]
OTHERS = [*(value for values in FITTING.values() for value in values), 2**63, float("nan"), "\ud83d", ("a",), ["a", 1], {}, b"x"]


def row(metadata: Mapping[Any, Any]) -> Row:
    return Row("k", "us", "web", "d", 0, 0, 1, "", "x", "", "", metadata)


def said(metadata: list[dict[Any, Any]]) -> Any:
    """What `missing` gives or raises."""
    try:
        return store_rows.missing([row(each) for each in metadata], KINDS)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("name", [*KINDS, "new", "two words", "\ud83d", 5])
def test_all_rows_at_once_fit_as_each_by_itself_does(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = [[*ROWS, {name: value}] for value in OTHERS]
    at_once = [said(rows) for rows in writes]
    monkeypatch.setattr(store_rows, "_are_known", lambda *_: False)
    assert [said(rows) for rows in writes] == at_once
    assert any(isinstance(each, str) for each in at_once)  # an error


def test_what_fits_is_seen_at_once() -> None:
    """Row by row would be right too, and slow."""
    rows = [row(metadata) for metadata in ROWS]
    assert store_rows._are_known(rows, KINDS)
    assert not store_rows._are_known([*rows, row({"year": 0.5})], KINDS)


@pytest.mark.parametrize("columns", [0, store_rows.MOST_COLUMNS - len(KINDS), store_rows.MOST_COLUMNS])
@pytest.mark.parametrize("name", [*KINDS, "new", "two words", "\ud83d", 5])
def test_what_surely_fits_is_no_misfit(name: Any, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {**KINDS, **{f"column{number}": "text" for number in range(columns)}}
    metadata = [{name: value} for value in OTHERS]
    at_once = [store_rows.misfit(each, kinds) for each in metadata]
    monkeypatch.setattr(store_rows, "_surely_fits", lambda *_: False)
    assert [store_rows.misfit(each, kinds) for each in metadata] == at_once
    assert any(at_once)


@pytest.mark.parametrize(
    "nested",
    [
        {},
        {"a": {}},
        {"a": "}\n{"},
        {"a": "\r\t\n \x00 , : \u2028"},
        {"é": ["}, {", {"b": [1, 2.5, None]}]},
        {"a": [{"b": 1}, {"c": 2}]},
    ],
)
def test_metadata_is_written_as_each_by_itself_is(nested: dict[str, Any], need: Callable[[Entry], None]) -> None:
    need(STORES.entry("lance"))
    metadata = [{"title": "x", "n": 1}, nested, {}, nested, {"last": True}]
    expected = [json.dumps(each, ensure_ascii=False) for each in metadata]
    assert lance_rows._written(metadata) == expected
    assert lance_rows._written([MappingProxyType(each) for each in metadata]) == expected
    assert lance_rows._written([nested]) == [json.dumps(nested, ensure_ascii=False)]
