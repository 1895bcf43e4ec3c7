"""Tables: JSON lines, CSV, TSV, Parquet."""

import csv
import io
import json
import math
import tempfile
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.records import Document
from vicino.data.rows import Columns, recognise, table_documents
from vicino.errors import UnknownName, UnreadableSource


def read(name: str, data: bytes, *, limit: int = 1000, **options: Any) -> tuple[list[Document], list[tuple[int | None, str]]]:
    skipped: list[tuple[int | None, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        documents = list(table_documents(path, Columns(**options), lambda line, why: skipped.append((line, why)), limit=limit))
    return documents, skipped


no_nul = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
field = st.text(no_nul, max_size=30)
records = st.lists(st.fixed_dictionaries({"id": st.uuids().map(str), "title": field, "text": field}), min_size=1, max_size=8)


def expected(rows: list[dict[str, str]]) -> list[Document]:
    return [Document(row["id"], row["text"], row["title"]) for row in rows if (row["title"] + row["text"]).strip()]


@given(records)
def test_json_lines_come_back(rows: list[dict[str, str]]) -> None:
    for escape in (True, False):
        data = "".join(json.dumps(row, ensure_ascii=escape) + "\n" for row in rows).encode()
        documents, skipped = read("a.jsonl", data)
        assert documents == expected(rows)
        assert Counter(why for _, why in skipped) == Counter({"no text": len(rows) - len(documents)} if skipped else {})


@given(records, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]))
def test_csv_comes_back(rows: list[dict[str, str]], separator: str, end: str) -> None:
    file = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if end == "\n" else csv.QUOTE_MINIMAL  # else the writer leaves a lone \r bare
    names = ["id", "title", "text"]
    writer = csv.DictWriter(file, names, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    assert read("a.csv", file.getvalue().encode())[0] == expected(rows)


@given(records)
def test_parquet_comes_back(rows: list[dict[str, str]]) -> None:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    assert read("a.parquet", file.getvalue())[0] == expected(rows)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_end_in_documents_or_counts_or_a_named_error(lines: list[bytes]) -> None:
    data = b'{"text": "x"}\n' + b"\n".join(lines)
    for name in ("a.jsonl", "a.csv", "a.tsv"):
        try:
            documents, _ = read(name, data, limit=50)
        except UnreadableSource:
            continue
        for document in documents:
            document.content.encode()


def test_columns_are_recognised_by_name_whatever_the_case() -> None:
    assert recognise(Columns(), ("Doc_ID", "Headline", "BODY", "n")) == Columns("BODY", "Doc_ID", "Headline")
    assert recognise(Columns(), ("content", "abstract", "text")).text == "text"  # the plainest name wins
    assert recognise(Columns(), ("anything",)) == Columns("anything")
    assert recognise(Columns(text="title"), ("title", "text")) == Columns("title", None, None)
    with pytest.raises(UnreadableSource, match="among: a, b"):
        recognise(Columns(), ("a", "b"))
    with pytest.raises(UnknownName, match="'c'"):
        recognise(Columns(id="c"), ("a", "text"))


def test_broken_lines_are_counted_with_their_numbers() -> None:
    lines = [
        b'{"text": "first"}',
        b"",
        b'{"text": "cut off',
        b'"a string"',
        b'{"text": null}',
        b'{"text": ["a"]}',
        b'{"text": "\xff"}',
        b"[" * 100_000,
        b'{"text": "' + b"x" * 2000 + b'"}',
        b'{"other": "no text", "n": 1}',
        b'{"text": "last"}',
    ]
    documents, skipped = read("a.jsonl", b"\n".join(lines), limit=1500)
    assert [(document.id, document.text) for document in documents] == [("1", "first"), ("11", "last")]
    assert skipped == [
        (3, "broken JSON"),
        (4, "JSON that is not an object"),
        (5, "no text"),
        (6, "text that is not a string"),
        (7, "bytes that are not UTF-8"),
        (8, "a line that is too long"),
        (9, "a line that is too long"),
        (10, "no column of text"),
    ]


def test_deeply_nested_json_is_only_broken() -> None:
    documents, skipped = read("a.jsonl", b'{"text": "x"}\n' + b"[" * 90_000, limit=100_000)
    assert len(documents) == 1
    assert skipped == [(2, "broken JSON")]


def test_a_line_of_exactly_the_limit_is_read() -> None:
    line = b'{"text": "' + b"x" * 88 + b'"}'
    assert len(line) == 100
    for end in (b"\n", b"\r\n", b""):
        assert len(read("a.jsonl", line + end, limit=100)[0]) == 1
        assert read("a.jsonl", line + end, limit=99)[1] == [(1, "a line that is too long")]


def test_lone_surrogates_are_replaced() -> None:
    (document,), _ = read("a.jsonl", b'{"id": "\\ud800", "text": "a\\udc00b", "tag\\udfff": "\\ud83d"}')
    assert document == Document("\ufffd", "a\ufffdb", metadata={"tag\ufffd": "\ufffd"})


def test_remaining_columns_become_metadata_if_they_are_small_scalars() -> None:
    row = {
        "text": "t", "year": 1903, "ok": True, "rate": 0.5, "long": "x" * 501, "empty": "", "nothing": None,
        "list": [1], "tags": ["a", "b"], "many": ["x" * 300] * 2, "none": [], "object": {"a": 1}, "nan": math.nan,
        "metadata": {"author": "Orville", "year": 0, "deep": {}},
    }  # fmt: skip
    (document,), _ = read("a.jsonl", json.dumps(row).encode(), limit=5000)
    assert document.metadata == {"year": 1903, "ok": True, "rate": 0.5, "author": "Orville", "tags": ["a", "b"]}


def test_numbers_are_text_and_nan_is_none() -> None:
    documents, skipped = read(
        "a.jsonl", b'{"title": 1984, "text": "x"}\n{"title": NaN, "text": 2.5}\n{"title": NaN, "text": null}'
    )
    assert [(one.title, one.text) for one in documents] == [("1984", "x"), ("", "2.5")]
    assert skipped == [(3, "no text")]


def test_a_row_without_an_id_takes_its_line_and_cannot_meet_an_id() -> None:
    documents, _ = read("a.jsonl", b'{"id": 2, "text": "x"}\n{"id": null, "text": "y"}\n{"text": "z"}')
    assert [document.id for document in documents] == ["2", "#2", "3"]


def test_csv_of_spreadsheets() -> None:
    documents, _ = read("a.csv", '\ufeffid;text\r\n1;"two\r\nlines; ""quoted"""\r\n'.encode())
    assert documents == [Document("1", 'two\r\nlines; "quoted"')]


def test_csv_rows_are_named_by_the_line_they_begin_on() -> None:
    documents, skipped = read("a.csv", b'text,n\n"a\nb\nc",1\nd\ne,2\n\n"f\xff",3\ng,4\n')
    assert [document.id for document in documents] == ["2", "6", "9"]
    assert skipped == [(5, "a row with another number of columns than the first"), (8, "bytes that are not UTF-8")]


def test_csv_fields_beyond_the_modules_own_limit() -> None:
    long = "x" * 200_000
    assert read("a.csv", f"text,n\n{long},1\n".encode(), limit=300_000)[0][0].text == long
    documents, skipped = read("a.csv", f"text,n\n{long},1\nshort,2\n".encode(), limit=100_000)
    assert [document.text for document in documents] == ["short"]
    assert skipped == [(2, "a line that is too long")]


def test_tsv_takes_quotes_as_they_are() -> None:
    documents, _ = read("a.tsv", b'id\ttext\n1\t"So\n2\tsaid" she\n')
    assert [document.text for document in documents] == ['"So', 'said" she']


def test_utf16_table() -> None:
    assert read("a.csv", "text\nnaïve\n".encode("utf-16"))[0][0].text == "naïve"


def test_parquet_reads_scalars_only() -> None:
    table = pa.table(
        {
            "text": pa.array(["a", None, "b"]).dictionary_encode(),
            "vector": [[1.0], [2.0], [3.0]],
            "day": [date(1903, 12, 17)] * 3,
            "moment": pa.array([1, 2, None], pa.timestamp("ns")),
            "n": [1, 2, None],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    documents, skipped = read("a.parquet", file.getvalue())
    assert documents == [
        Document("1", "a", metadata={"day": "1903-12-17", "moment": "1970-01-01 00:00:00.000000001", "n": 1}),
        Document("3", "b", metadata={"day": "1903-12-17"}),
    ]
    assert skipped == [(2, "no text")]


@pytest.mark.parametrize("keep", [0, 4, 100])
def test_damaged_parquet_is_named(keep: int) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"] * 100}), file)
    with pytest.raises(UnreadableSource, match="not valid Parquet"):
        read("a.parquet", file.getvalue()[:keep])
