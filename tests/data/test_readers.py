"""Folders and files on disk, well-behaved and hostile."""

import gzip
import json
import lzma
import os
import tracemalloc
from pathlib import Path

import pytest

from vicino.data.readers import Reading, Skipped, distinct, read_documents
from vicino.data.records import Document
from vicino.errors import DuplicateIds, EmptyInput, InputTooLarge, UnknownName, UnreadableSource


def ids(reading: Reading) -> list[str]:
    return [document.id for document in reading]


def texts(path: Path, **options: object) -> list[str]:
    return [document.text for document in read_documents(path, **options)]  # type: ignore[arg-type]


def test_folder_is_read_in_a_fixed_order_with_portable_ids(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two words.txt").write_text("second")
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "Z.md").write_text("# Title\n\nSome *text*.\n")
    found = list(read_documents(tmp_path))
    assert [document.id for document in found] == ["Z.md", "a.py", "b/two words.txt"]
    assert found[0].text == "# Title\n\nSome text."
    assert found[1].metadata == {"format": "code", "language": "python"}


def test_hidden_and_installed_folders_are_left_out(tmp_path: Path) -> None:
    for folder in (".git", "node_modules", "__pycache__", ".venv", "environment", "kept"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("text")
    (tmp_path / "environment" / "pyvenv.cfg").write_text("home = /usr/bin")
    (tmp_path / ".hidden.txt").write_text("text")
    reading = read_documents(tmp_path)
    assert ids(reading) == ["kept/a.txt"]
    assert not reading.counts  # what is left out by rule is not reported as a failure


def test_links_to_files_are_read_and_loops_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.txt").symlink_to(tmp_path / "self.txt")
    reading = read_documents(tmp_path)
    assert ids(reading) == ["a.txt", "b.txt"]
    assert reading.counts.total() == 1
    assert reading.skipped[0].path == "self.txt"


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "a.txt").write_text("text")
    reading = read_documents(tmp_path)
    assert ids(reading) == ["a.txt"]
    assert reading.skipped == [Skipped("pipe.txt", None, "not a regular file")]
    with pytest.raises(UnreadableSource, match="not a regular file"):
        list(read_documents(tmp_path / "pipe.txt"))


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(EmptyInput, match="holds no documents"):
        list(read_documents(tmp_path))


def test_missing_path_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource, match=r"there is no .*nowhere"):
        read_documents(tmp_path / "nowhere")


def test_unknown_kind(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(b"\x00\x01")
    with pytest.raises(UnreadableSource, match="unknown kind of file"):
        read_documents(tmp_path / "a.xyz")
    with pytest.raises(UnreadableSource, match=r"nothing that could be read; skipped 1: unknown kind of file \(1, first a.xyz\)"):
        list(read_documents(tmp_path))


def test_permission_denied_is_counted_in_a_folder_and_named_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked.txt").write_text("secret")
    (tmp_path / "open.txt").write_text("text")
    really = Path.open

    def locked(self: Path, *arguments: object, **options: object) -> object:
        if self.name == "locked.txt":
            raise PermissionError(13, "Permission denied", str(self))
        return really(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", locked)  # a mode of 000 does not stop the superuser
    reading = read_documents(tmp_path)
    assert ids(reading) == ["open.txt"]
    assert reading.skipped == [Skipped("locked.txt", None, "permission denied")]
    with pytest.raises(UnreadableSource, match=r"locked\.txt: permission denied"):
        list(read_documents(tmp_path / "locked.txt"))


def test_folder_that_cannot_be_listed_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "open.txt").write_text("text")
    really = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    reading = read_documents(tmp_path)
    assert ids(reading) == ["open.txt"]
    assert reading.skipped == [Skipped("locked", None, "a folder that cannot be read: permission denied")]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("naïve 東京".encode(), "naïve 東京"),
        ("naïve".encode("utf-8-sig"), "naïve"),
        ("naïve 東京".encode("utf-16"), "naïve 東京"),
        (b"\xfe\xff" + "naïve".encode("utf-16-be"), "naïve"),
        (b"one\r\ntwo\n", "one\r\ntwo\n"),
    ],
)
def test_encodings_are_recognised(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    assert texts(tmp_path) == [expected]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("naïve".encode("latin-1"), "bytes that are not UTF-8"),
        (b"a" * 100_000 + b"\xff", "bytes that are not UTF-8"),
        (b"\xff\xfea", "bytes that are not UTF-8"),  # half a character of UTF-16
        (b"text\x00text", "binary data"),
        (b"a" * 100_000 + b"\x00", "binary data"),
        (b" \n\t ", "no text"),
        (b"", "no text"),
    ],
)
def test_undecodable_files_are_counted_and_named(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "bad.txt").write_bytes(data)
    (tmp_path / "good.txt").write_text("text")
    reading = read_documents(tmp_path)
    assert ids(reading) == ["good.txt"]
    assert reading.skipped == [Skipped("bad.txt", None, reason)]
    with pytest.raises(UnreadableSource, match=reason):
        list(read_documents(tmp_path / "bad.txt"))


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_text_and_its_damage(tmp_path: Path, ending: str, compress: object) -> None:
    data = compress("\n".join(f"line {number}" for number in range(9999)).encode())  # type: ignore[operator]
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(data)
    assert texts(path)[0].endswith("line 9998")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableSource, match="ends too early") as caught:
        list(read_documents(path))
    assert "again" in caught.value.mend
    path.write_bytes(b"not compressed at all")
    with pytest.raises(UnreadableSource, match="not valid compressed data"):
        list(read_documents(path))
    (tmp_path / "good.txt").write_text("text")
    assert texts(tmp_path) == ["text"]


def test_truncated_table_gives_what_came_before_and_then_the_error(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"row {number} {os.urandom(9).hex()}"}) + "\n" for number in range(5000))
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(rows.encode())[:60_000])
    found = iter(read_documents(path))
    assert next(found).text.startswith("row 0")
    with pytest.raises(UnreadableSource, match=r"rows\.jsonl\.gz: compressed data that ends too early"):
        list(found)


@pytest.mark.parametrize("name", ["long.txt", "long.jsonl", "long.csv", "long.tsv", "long.html"])
def test_a_single_line_of_50_megabytes_is_skipped(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.write(b"text\n" if name.endswith("sv") else b"")
        for _ in range(50):
            file.write(b"x" * 1_000_000)
    (tmp_path / "short.txt").write_text("text")
    reading = read_documents(tmp_path)
    assert ids(reading) == ["short.txt"]
    (one,) = reading.skipped
    assert one.reason in ("a document of more than 20,000,000 characters", "a line that is too long")


@pytest.mark.parametrize("name", ["long.txt", "long.jsonl", "long.csv", "long.tsv"])
def test_what_is_too_long_is_never_read_whole(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.write(b"text\n" if name.endswith("sv") else b"")
        file.write(b"x" * 8_000_000)
    (tmp_path / "short.txt").write_text("text")
    tracemalloc.start()
    try:
        assert ids(read_documents(tmp_path, max_characters=10_000)) == ["short.txt"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_a_table_streams(tmp_path: Path) -> None:
    with (tmp_path / "rows.jsonl").open("w") as file:
        for number in range(20_000):
            file.write(json.dumps({"id": number, "text": "word " * 100}) + "\n")  # 10 MB
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_documents(tmp_path / "rows.jsonl"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 1_000_000


def test_one_document_too_large_is_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 101)
    assert texts(tmp_path / "a.txt", max_characters=101) == ["x" * 101]
    with pytest.raises(InputTooLarge, match="more than 100 characters"):
        list(read_documents(tmp_path / "a.txt", max_characters=100))


def test_rows_in_a_folder_are_named_after_their_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "rows.jsonl").write_text('{"id": "x", "text": "one"}\n{"text": "two"}\n')
    (tmp_path / "more.csv").write_text("body\nthree\n")
    assert ids(read_documents(tmp_path)) == ["more.csv#2", "a/rows.jsonl#x", "a/rows.jsonl#2"]


def test_tables_without_text_stop_a_file_but_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("width,height\n1,2\n")
    (tmp_path / "a.txt").write_text("text")
    reading = read_documents(tmp_path)
    assert ids(reading) == ["a.txt"]
    assert "width, height" in reading.summary()
    with pytest.raises(UnreadableSource, match=r"numbers\.csv: no column is known to hold text among: width, height") as caught:
        list(read_documents(tmp_path / "numbers.csv"))
    assert "--text COLUMN" in caught.value.mend
    assert texts(tmp_path / "numbers.csv", text="height") == ["2"]
    with pytest.raises(UnknownName, match="there is no column named 'heigth'\n  → did you mean height"):
        list(read_documents(tmp_path / "numbers.csv", text="heigth"))


def test_counts_are_exact_while_the_sample_is_bounded_and_start_anew(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "one"}\n' + "broken\n" * 250 + "[]\n")
    reading = read_documents(tmp_path / "rows.jsonl")
    for _ in range(2):
        assert ids(reading) == ["1"]
        assert reading.counts == {"broken JSON": 250, "JSON that is not an object": 1}
        assert len(reading.skipped) == 100
        assert reading.skipped[0] == Skipped("rows.jsonl", 2, "broken JSON")
    assert reading.summary() == ("skipped 251: broken JSON (250, first rows.jsonl line 2); JSON that is not an object (1)")


def test_names_that_are_no_unicode(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("text")
    assert ids(read_documents(tmp_path)) == ["caf\\xe9.txt"]


def test_distinct_names_the_second() -> None:
    twice = [Document("a", "one"), Document("b", "two"), Document("a", "three")]
    found = distinct(twice)
    assert [next(found).id, next(found).id] == ["a", "b"]
    with pytest.raises(DuplicateIds, match="'a'"):
        next(found)
