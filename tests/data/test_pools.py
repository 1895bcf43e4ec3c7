"""Pools: blind, resumable, and safe to hand to a spreadsheet."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vicino.data.pools import MADE, Pool, PoolRow, pooled, read_pool, write_pool
from vicino.data.records import Document, Query
from vicino.errors import ArtifactError, DuplicateIds, InputError, UnreadableSource

LIFT, DRAG = Query("q1", "what lifts a wing"), Query("q2", "what is drag")
NAMES = [f"d{number}" for number in range(20)]
DOCUMENTS = {name: Document(name, f"The text of {name}.", title=name.upper()) for name in NAMES}
BM25 = [NAMES[:10], NAMES[3:13]]  # for each of the two queries
DENSE = [NAMES[5:15], NAMES[8:18]]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def save(path: Path, rows: list[dict[str, str]], separator: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)


def test_a_pool_is_the_union_of_what_the_systems_found_each_pair_once():
    rows = pooled([LIFT, DRAG], [BM25, DENSE], DOCUMENTS)
    assert {row.pair for row in rows} == {("q1", name) for name in NAMES[:15]} | {("q2", name) for name in NAMES[3:18]}
    assert len(rows) == 30
    assert all(row.grade is None for row in rows)
    assert rows[0].shown == f"{rows[0].document_id.upper()}\nThe text of {rows[0].document_id}."


def test_the_table_tells_neither_who_found_a_document_nor_how_high():
    rows = pooled([LIFT, DRAG], [BM25, DENSE], DOCUMENTS)
    assert rows == pooled([LIFT, DRAG], [DENSE, BM25], DOCUMENTS)  # the systems in another order
    backwards = [[list(reversed(found)) for found in system] for system in (BM25, DENSE)]
    assert rows == pooled([LIFT, DRAG], backwards, DOCUMENTS)  # and all their ranks turned around
    assert [row.document_id for row in rows] != sorted(row.document_id for row in rows)
    assert rows != pooled([LIFT, DRAG], [BM25, DENSE], DOCUMENTS, seed=1)
    queries = [row.query.id for row in rows]
    assert sorted(queries) in (queries, queries[::-1])  # a query's documents stand together: the judge reads it once


def test_what_the_data_judged_already_is_not_asked_again():
    rows = pooled([LIFT, DRAG], [BM25], DOCUMENTS, judged={"q1": {"d0": 0, "d1": 2}})
    assert {row.pair for row in rows} == {("q1", name) for name in NAMES[2:10]} | {("q2", name) for name in NAMES[3:13]}


def test_judged_rows_stay_and_only_new_pairs_are_added(tmp_path):
    file = tmp_path / "pool.csv"
    write_pool(file, Pool(tuple(pooled([LIFT, DRAG], [BM25], DOCUMENTS))))
    judged = table(file)
    for number, row in enumerate(judged[:7]):
        row["grade"], row["note"] = str(number % 3), f"note {number}"
    save(file, [{"note": "", **row} for row in judged])
    before = read_pool(file)
    assert (len(before.judgements), before.waiting) == (7, 13)
    after = before.with_rows(pooled([LIFT, DRAG], [BM25, DENSE], DOCUMENTS))
    write_pool(file, after)
    again = read_pool(file)
    assert again.rows[:20] == before.rows  # the order and the judge's notes too
    assert len(again.rows) == 30
    assert [row.more["note"] for row in again.rows[:7]] == [f"note {number}" for number in range(7)]
    assert again.judgements == before.judgements


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_it_is_read_as_spreadsheets_of_any_country_save_it(tmp_path, separator):
    file = tmp_path / "pool.csv"
    write_pool(file, Pool(tuple(pooled([LIFT, DRAG], [BM25], DOCUMENTS))))
    rows = table(file)
    rows[0]["grade"], rows[1]["grade"], rows[2]["grade"] = "2", "0", "1.0"
    save(file, rows, separator)
    assert [one.grade for one in read_pool(file).judgements] == [2, 0, 1]


def test_formulas_are_disarmed_and_come_back(tmp_path):
    file = tmp_path / "pool.csv"
    evil = '=HYPERLINK("http://x")'
    texts = [evil, "+1", "-1", "@A1", "'quoted", "plain", "it's"]
    rows = [PoolRow(Query(text, text), text, text) for text in texts]
    write_pool(file, Pool(tuple(rows)))
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in table(file) for cell in row.values())
    assert read_pool(file).rows == tuple(rows)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1), st.none() | st.integers(-3, 9)), max_size=5))
def test_any_text_survives(tmp_path_factory, parts):
    clean = [[part.replace("\0", "").encode("utf-8", "ignore").decode() for part in pair] for *pair, _ in parts]
    rows = {
        tuple(pair): PoolRow(Query(pair[0], pair[1]), pair[1], pair[0], grade)
        for pair, (*_, grade) in zip(clean, parts, strict=True)
        if all(pair)
    }
    file = tmp_path_factory.mktemp("pool") / "pool.csv"
    write_pool(file, Pool(tuple(rows.values())))
    assert read_pool(file).rows == tuple(rows.values())


def test_ids_that_a_spreadsheet_changed_are_noticed(tmp_path):
    file = tmp_path / "pool.csv"
    write_pool(file, Pool((PoolRow(Query("007", "lift"), "1e5", "Wings."),)))
    (row,) = table(file)
    save(file, [row | {"query_id": "7", "grade": "1"}])
    with pytest.raises(UnreadableSource, match=r"line 2: the ids '7' and '1e5' are not those") as caught:
        read_pool(file)
    assert "as text" in caught.value.mend


def test_a_table_of_ones_own_needs_three_columns(tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text('{"query_id": "1", "document_id": 7, "grade": 1}\n{"query_id": "1", "document_id": 8, "grade": null}\n')
    pool = read_pool(file)
    assert [(one.query_id, one.document_id, one.grade) for one in pool.judgements] == [("1", "7", 1)]
    assert pool.waiting == 1
    file.write_text(json.dumps({"query_id": "1", "grade": 1}))
    with pytest.raises(UnreadableSource, match="no column document_id"):
        read_pool(file)


@pytest.mark.parametrize("grade", ["yes", "1.5", "nan", "inf", "1/2"])
def test_a_grade_is_a_whole_number(tmp_path, grade):
    file = tmp_path / "pool.csv"
    save(file, [{"query_id": "1", "document_id": "2", "grade": grade}])
    with pytest.raises(UnreadableSource, match=r"line 2: .* is no grade"):
        read_pool(file)


def test_a_pair_stands_once(tmp_path):
    file = tmp_path / "pool.csv"
    save(file, [{"query_id": "1", "document_id": "2", "grade": grade} for grade in "01"])
    with pytest.raises(DuplicateIds, match="line 3"):
        read_pool(file)


def test_a_broken_row_is_never_skipped(tmp_path):
    file = tmp_path / "pool.csv"
    file.write_text("query_id,document_id,grade\n1,2\n")
    with pytest.raises(UnreadableSource, match="line 2: a row with another number of columns"):
        read_pool(file)


def test_endings_and_places(tmp_path):
    with pytest.raises(InputError, match="no known ending"):
        write_pool(tmp_path / "pool.xlsx", Pool())
    with pytest.raises(UnreadableSource, match="no table"):
        read_pool(tmp_path / "pool.xlsx")
    with pytest.raises(UnreadableSource, match="not a regular file"):
        read_pool(tmp_path / "none.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"):
        write_pool(tmp_path / "file" / "pool.csv", Pool())


def test_long_documents_are_cut_and_what_was_cut_is_not_cut_again(tmp_path):
    file = tmp_path / "pool.csv"
    write_pool(file, Pool((PoolRow(LIFT, "d", "word " * 5000, origin=MADE),)))
    once = read_pool(file)
    assert once.rows[0].shown.endswith(" [...]")
    assert len(once.rows[0].shown) < 5000
    write_pool(file, once)
    assert read_pool(file) == once
