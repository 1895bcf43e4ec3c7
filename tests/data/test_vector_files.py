"""Files of vectors: what vicino and others write is read to the bit; what lies or is broken is named before it costs memory."""

from __future__ import annotations

import gzip
import json
import lzma
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.records import Chunk, Document
from vicino.data.vector_files import read_vectors
from vicino.data.writers import write_vectors
from vicino.errors import DimensionMismatch, DuplicateIds, EmptyInput, InputError, InvalidVectors, UnreadableSource
from vicino.spaces import Space

KEYS = ["wing", "tea", "Straße", "東京"]
ROWS = np.array([[1, 0, 0.5], [0, -1, 2], [0.25, 3, 0], [1e-3, 0, 7]], dtype=np.float32)
SPACE = Space("0123456789abcdef", 3)
TEXT = "4 3\n" + "".join(f"{key} {' '.join(map(str, row))}\n" for key, row in zip(KEYS, ROWS.tolist(), strict=True))
BINARY = b"4 3\n" + b"".join(key.encode() + b" " + row.tobytes() for key, row in zip(KEYS, ROWS, strict=True))


def write(path: Path, data: bytes | str) -> Path:
    data = data.encode() if isinstance(data, str) else data
    pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
    path.write_bytes(pack(data))
    return path


def write_npy(path: Path, rows: np.ndarray, ids: object = KEYS) -> Path:
    np.save(path, rows, allow_pickle=rows.dtype == object)
    path.with_name(f"{path.name}.json").write_text(json.dumps(ids))
    return path


def write_table(path: Path, metadata: dict[str, str] | None = None, **columns: object) -> Path:
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


# What is right --------------------------------------------------------------------------------------------------------

LINES = [f"{' '.join([key, *map(str, row)])}" for key, row in zip(KEYS, ROWS.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", TEXT),
        ("a.vec", TEXT),
        ("GloVe.TXT", "\n".join(LINES)),
        ("a.txt.gz", TEXT),
        ("a.vec.xz", "\n".join(LINES)),
        ("spaces at the ends.vec", TEXT.replace("\n", " \n")),
        ("tabs.txt", TEXT.replace(" ", "\t").replace("4\t3", "4 3")),
        ("windows.txt", TEXT.replace("\n", "\r\n")),
        ("blank lines.txt", TEXT.replace("\n", "\n\n")),
        ("a.bin", BINARY),
        ("a.bin.gz", BINARY),
        (
            "breaks after rows.bin",
            b"4 3\n" + b"\n".join(k.encode() + b" " + r.tobytes() for k, r in zip(KEYS, ROWS, strict=True)),
        ),
    ],
)
def test_word2vec_files(tmp_path, name, data):
    file = read_vectors(write(tmp_path / name, data))
    assert list(file.keys) == KEYS
    np.testing.assert_array_equal(file.vectors, ROWS, strict=True)
    assert file.space is None


def test_words_with_spaces_and_words_that_are_not_utf8(tmp_path):
    lines = b". . . 1 2 3\nnew york 4 5 6\n\xff 7 8 9\n\xfe 1 1 1\n"
    file = read_vectors(write(tmp_path / "a.txt", b"4 3\n" + lines))
    assert list(file.keys) == [". . .", "new york", "\udcff", "\udcfe"]
    assert file.vectors[1].tolist() == [4, 5, 6]
    assert len(file.fingerprint) == 16


def test_many_rows_are_read_in_blocks(tmp_path):
    rows = np.random.default_rng(0).normal(size=(9000, 300)).astype(np.float32)
    blob = b"9000 300\n" + b"".join(f"w{place} ".encode() + row.tobytes() for place, row in enumerate(rows))
    file = read_vectors(write(tmp_path / "a.bin", blob))
    np.testing.assert_array_equal(file.vectors, rows)
    lines = [f"w{place} {' '.join(map(repr, row))}" for place, row in enumerate(rows[:4000].tolist())]
    file = read_vectors(write(tmp_path / "a.txt", "\n".join(lines)))
    np.testing.assert_array_equal(file.vectors, rows[:4000])
    assert file.keys[3999] == "w3999"


@given(
    words=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1), min_size=1, unique=True),
    dim=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_word2vec_files_keep_any_word(tmp_path_factory, words, dim, seed):
    rows = np.random.default_rng(seed).normal(size=(len(words), dim)).astype(np.float32)
    folder = tmp_path_factory.mktemp("any")
    text = "".join(f"{word} {' '.join(map(repr, row))}\n" for word, row in zip(words, rows.tolist(), strict=True))
    blob = b"".join(word.encode() + b" " + row.tobytes() for word, row in zip(words, rows, strict=True))
    for name, data in (("a.txt", text.encode()), ("a.bin", blob)):
        file = read_vectors(write(folder / name, f"{len(words)} {dim}\n".encode() + data))
        assert list(file.keys) == words
        np.testing.assert_array_equal(file.vectors, rows)


@pytest.mark.parametrize("name", ["a.npy", "a.parquet"])
def test_what_vicino_wrote_comes_back_with_its_space(tmp_path, name):
    made = {"space": SPACE.to_json(), "precision": "float32"}
    file = read_vectors(write_vectors(tmp_path / name, [Document(key, "text") for key in KEYS], ROWS, made))
    assert list(file.keys) == KEYS
    np.testing.assert_array_equal(file.vectors, ROWS)
    assert file.space == SPACE
    assert file.made["precision"] == "float32"


@pytest.mark.parametrize("name", ["a.npy", "a.parquet"])
def test_chunks_are_named_by_their_place(tmp_path, name):
    chunks = [Chunk("a", 0, 5, "wings"), Chunk("a", 6, 9, "tea"), Chunk("b", 0, 3, "oak"), Chunk("b", 4, 5, "x")]
    file = read_vectors(write_vectors(tmp_path / name, chunks, ROWS, {"space": SPACE.to_json()}))
    assert list(file.keys) == ["a:0-5", "a:6-9", "b:0-3", "b:4-5"]


def test_an_array_is_left_on_disk(tmp_path):
    file = read_vectors(write_npy(tmp_path / "a.npy", ROWS))
    assert isinstance(file.vectors, np.memmap)
    by_columns = read_vectors(
        write_npy(tmp_path / "b.npy", np.asfortranarray(ROWS.astype(np.float64)), {"ids": KEYS, "texts": KEYS})
    )
    np.testing.assert_array_equal(by_columns.vectors, ROWS.astype(np.float64))
    assert by_columns.texts == KEYS


@pytest.mark.parametrize(
    "columns",
    [
        {"id": KEYS, "vector": ROWS.tolist()},
        {"text": KEYS, "doc_id": KEYS, "my own": pa.array(ROWS.tolist(), pa.list_(pa.float64()))},
        {"Embedding": pa.array(ROWS.tolist(), pa.large_list(pa.float32())), "tags": [["x"]] * 4, "_id": KEYS, "Body": KEYS},
        {"emb": pa.FixedSizeListArray.from_arrays(pa.array(ROWS.ravel().astype(np.float16)), 3), "uuid": KEYS},
    ],
    ids=["plain", "the only list", "by name", "half"],
)
def test_tables_of_others(tmp_path, columns):
    file = read_vectors(write_table(tmp_path / "a.parquet", **columns))
    assert list(file.keys) == KEYS
    np.testing.assert_allclose(file.vectors, ROWS, rtol=1e-3)
    assert (file.texts == KEYS) == bool({"text", "Body"} & set(columns))


def test_numbers_may_be_ids(tmp_path):
    assert list(read_vectors(write_table(tmp_path / "a.parquet", id=[4, 3, 2, 1], vector=ROWS.tolist())).keys) == [
        "4",
        "3",
        "2",
        "1",
    ]
    assert list(read_vectors(write_npy(tmp_path / "a.npy", ROWS, [4, 3, 2, 1])).keys) == ["4", "3", "2", "1"]


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    order = [2, 0, 3, 1]
    files = [
        write(tmp_path / "a.txt", TEXT),
        write(tmp_path / "a.bin.gz", BINARY),
        write_npy(tmp_path / "a.npy", ROWS.astype(np.float64)),
        write_table(tmp_path / "a.parquet", id=[KEYS[row] for row in order], vector=ROWS[order].tolist()),
    ]
    assert len({read_vectors(file).fingerprint for file in files}) == 1
    others = [
        write(tmp_path / "b.txt", TEXT.replace("wing", "kite")),
        write(tmp_path / "c.txt", TEXT.replace("0.25", "0.26")),
        write_table(tmp_path / "d.parquet", id=KEYS, vector=ROWS.tolist(), text=KEYS),
        write_npy(tmp_path / "e.npy", ROWS[:3], KEYS[:3]),
    ]
    assert len({read_vectors(file).fingerprint for file in [*files, *others]}) == 5


# What is wrong --------------------------------------------------------------------------------------------------------


def head(shape: object, kind: str = "<f4") -> bytes:
    text = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("name", "data", "error", "says"),
    [
        # headers that promise more than there is
        ("a.txt", "1000000000000 300\nwing 1 2 3\n", UnreadableSource, "promises 1,000,000,000,000 words"),
        ("a.txt", "1 1000000000000\nwing 1 2 3\n", UnreadableSource, "promises 1 words of 1,000"),
        ("a.bin", b"1000000000000 300\n" + BINARY[4:], UnreadableSource, "more than the file holds"),
        ("a.bin", b"2 1000000000000\n" + BINARY[4:], UnreadableSource, "more than the file holds"),
        ("a.bin.gz", b"1000000000000 300\n" + BINARY[4:], UnreadableSource, "more than the file holds"),
        ("a.npy", head((10**12, 300)) + b"\0" * 99, UnreadableSource, "more than the file holds"),
        ("a.npy", head((10**18, 10**18)) + b"\0" * 99, UnreadableSource, "more than the file holds"),
        ("a.npy", head((-4, 3)) + b"\0" * 99, UnreadableSource, "more than the file holds"),
        # numbers of rows and columns that differ
        ("a.txt", TEXT.replace("4 3", "3 3"), UnreadableSource, "4 words, where its first line promises 3"),
        ("a.txt", TEXT.replace("4 3", "5 3"), UnreadableSource, "4 words, where its first line promises 5"),
        ("a.txt", TEXT.replace("4 3", "4 4"), DimensionMismatch, "line 2 has 3 numbers"),
        ("a.txt", TEXT + "more 1 2\n", DimensionMismatch, "line 6 has 2 numbers"),
        ("a.txt", TEXT + "more\n", DimensionMismatch, "line 6 has 0 numbers"),
        ("a.txt", TEXT + "more 1 2 x\n", UnreadableSource, "could not convert string 'x'"),
        ("a.bin", BINARY.replace(b"4 3", b"5 3"), UnreadableSource, "after 4 of 5 words"),
        ("a.bin", BINARY[:-3], UnreadableSource, "after 3 of 4 words"),
        ("a.bin", BINARY.replace(b"4 3", b"1 9"), UnreadableSource, "goes on after the 1 words"),
        # not what the name says
        ("a.txt", "", UnreadableSource, "not word2vec"),
        ("a.txt", "A page of prose is not a list of vectors.\n", UnreadableSource, "could not convert"),
        ("a.txt", b"\x00\x01" * 3_000_000, UnreadableSource, "a line of more than"),
        ("a.bin", b"\x00\x01" * 300, UnreadableSource, "not word2vec's binary format"),
        ("a.bin", b"2 0\na b ", UnreadableSource, "not word2vec's binary format"),
        ("a.bin", b"", UnreadableSource, "not word2vec's binary format"),
        ("a.npy", b"", UnreadableSource, "not a .npy file"),
        ("a.npy", b"PK\x03\x04" * 9, UnreadableSource, "not a .npy file"),
        ("a.npy", b"\x93NUMPY\x01\x00\x05\x00((((\n", UnreadableSource, "not a .npy file"),
        ("a.npy", head((4, "3")), UnreadableSource, "not a .npy file"),
        ("a.npy", head((4, 3), "zzz"), UnreadableSource, "not a .npy file"),
        ("a.npy", head((4, 3), "|O") + b"\x80\x04N.", InvalidVectors, "type object"),
        ("a.npy", head((4, 3), "<i8") + b"\0" * 96, InvalidVectors, "type int64"),
        ("a.npy", head((4, 3), "|S4") + b"\0" * 48, InvalidVectors, "not float16"),
        ("a.npy", head((4,)) + b"\0" * 16, InvalidVectors, r"shape \(4,\)"),
        ("a.npy", head((4, 0)), InvalidVectors, r"shape \(4, 0\)"),
        ("a.npy", head(()) + b"\0" * 4, InputError, "4 ids|shape"),
        ("a.parquet", b"PAR1 nothing more", UnreadableSource, "not valid Parquet"),
        ("a.parquet", b"", UnreadableSource, "not valid Parquet"),
        ("a.pdf", b"%PDF", UnreadableSource, "ends in one of"),
        # values
        ("a.txt", TEXT.replace("0.25", "nan"), InvalidVectors, "'Straße'.*row 2"),
        ("a.txt", TEXT.replace("0.25", "1e99"), InvalidVectors, "'Straße'.*row 2"),
        ("a.bin", BINARY[:-4] + b"\xff" * 4, InvalidVectors, "'東京'"),
        ("a.txt", TEXT.replace("tea", "wing"), DuplicateIds, "1 of 4 ids repeat.*'wing'"),
        ("a.bin", BINARY.replace("東京".encode(), b"tea"), DuplicateIds, "'tea'"),
        ("a.txt", "0 3\n", EmptyInput, "no vectors"),
        ("a.bin", b"0 3\n", EmptyInput, "no vectors"),
        ("a.txt", "0 999999999999999999\n", EmptyInput, "no vectors"),
        ("a.bin", b"0 999999999999999999\n", EmptyInput, "no vectors"),
    ],
)
def test_a_file_that_lies_or_is_broken_is_named(tmp_path, name, data, error, says):
    path = write(tmp_path / name, data)
    (tmp_path / "a.npy.json").write_text(json.dumps(KEYS))
    with pytest.raises(error, match=f"(?s)^{path}: .*({says})") as caught:
        read_vectors(path)
    assert caught.value.mend


@pytest.mark.parametrize(
    "ids", ['{"ids": 5}', "[[1]]", "5", "[", '{"texts": ["a"]}', '{"ids": ["a"], "space": {"id": 5}}', "[" * 99999]
)
def test_ids_that_are_no_list_of_names_are_named(tmp_path, ids):
    write_npy(tmp_path / "a.npy", ROWS)
    (tmp_path / "a.npy.json").write_text(ids)
    with pytest.raises(UnreadableSource, match=r"a\.npy: "):
        read_vectors(tmp_path / "a.npy")


def test_an_array_without_ids_says_how_to_write_them(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    with pytest.raises(UnreadableSource, match=r"no a\.npy\.json\n.*JSON list"):
        read_vectors(tmp_path / "a.npy")
    with pytest.raises(UnreadableSource, match="3 ids for 4 vectors"):
        read_vectors(write_npy(tmp_path / "a.npy", ROWS, KEYS[:3]))
    with pytest.raises(DuplicateIds, match="2 of 4 ids repeat"):
        read_vectors(write_npy(tmp_path / "a.npy", ROWS, ["x", "x", "y", "y"]))
    with pytest.raises(InvalidVectors, match=r"'tea' \(row 1\)"):
        read_vectors(write_npy(tmp_path / "a.npy", np.where(ROWS == -1, np.inf, ROWS)))
    with pytest.raises(EmptyInput):
        read_vectors(write_npy(tmp_path / "a.npy", ROWS[:0], []))


NULLED = pa.array([*ROWS[:3].tolist(), None], pa.list_(pa.float32()))
FIXED = pa.array([*ROWS[:3].tolist(), None], pa.list_(pa.float32(), 3))


@pytest.mark.parametrize(
    ("columns", "error", "says"),
    [
        ({"id": KEYS}, UnreadableSource, "no column of vectors.*among: id"),
        ({"vector": ROWS.tolist()}, UnreadableSource, "no column of ids.*among: vector"),
        ({"id": KEYS, "one": ROWS.tolist(), "two": ROWS.tolist()}, UnreadableSource, "no column of vectors"),
        ({"id": KEYS, "vector": [[1], [2], [3], [4]]}, InvalidVectors, "int64"),
        ({"id": KEYS, "vector": [[1.0, 2.0], [1.0, 2.0], [1.0], [1.0, 2.0, 3.0]]}, DimensionMismatch, "several lengths"),
        ({"id": KEYS, "vector": [[1.0, 2.0], [1.0, 2.0], [1.0], [1.0]]}, DimensionMismatch, "several lengths"),
        ({"id": KEYS, "vector": [[1.0], [1.0], [None], [1.0]]}, InvalidVectors, "missing numbers"),
        ({"id": KEYS, "vector": NULLED}, InvalidVectors, "missing numbers"),
        ({"id": KEYS, "vector": FIXED}, InvalidVectors, "missing numbers"),
        ({"id": [*KEYS[:3], None], "vector": ROWS.tolist()}, UnreadableSource, "a row without id"),
        ({"id": ["a", "a", "b", "c"], "vector": ROWS.tolist()}, DuplicateIds, "'a'"),
        ({"id": KEYS, "vector": [[1.0], [float("nan")], [1.0], [1.0]]}, InvalidVectors, "'tea'"),
        ({"id": KEYS, "columns": [[1], [2], [1], [1]], "values": ROWS.tolist()}, InvalidVectors, "sparse"),
    ],
)
def test_tables_without_what_is_needed_are_named(tmp_path, columns, error, says):
    with pytest.raises(error, match=f"(?s){says}"):
        read_vectors(write_table(tmp_path / "a.parquet", **columns))


def test_codes_are_not_taken_for_vectors(tmp_path):
    items = [Document(key, "text") for key in KEYS]
    for name in ("a.npy", "a.parquet"):
        path = write_vectors(tmp_path / name, items, ROWS.astype(np.int8), {"space": SPACE.to_json(), "precision": "int8"})
        with pytest.raises(InvalidVectors, match=r"int8.*\n.*float32"):
            read_vectors(path)


@pytest.mark.parametrize("noted", ["[", '{"space": 5}', '{"space": {"id": "x"}}'])
def test_a_note_that_cannot_be_read_is_named(tmp_path, noted):
    path = write_table(tmp_path / "a.parquet", {"vicino": noted}, id=KEYS, vector=ROWS.tolist())
    with pytest.raises(UnreadableSource, match="noted"):
        read_vectors(path)


def test_what_is_missing_or_cut_off_is_named(tmp_path):
    with pytest.raises(UnreadableSource, match="no such file"):
        read_vectors(tmp_path / "none.npy")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(UnreadableSource, match="no such file"):
        read_vectors(tmp_path / "folder.txt")
    path = write(tmp_path / "a.bin.gz", BINARY * 50)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableSource, match=r"ends too early|not valid compressed"):
        read_vectors(path)


def test_a_header_takes_no_memory(tmp_path):
    import tracemalloc

    path = write(tmp_path / "a.bin.gz", b"40000 300\nword " + bytes(1200) + b"\0" * 20_000_000)  # possible, by its size
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read_vectors(path)
        assert tracemalloc.get_traced_memory()[1] < 150e6
    finally:
        tracemalloc.stop()


def test_a_long_first_line_takes_no_memory(tmp_path):
    import tracemalloc

    path = write(tmp_path / "a.txt", "word " + "1 " * 1_000_000 + "\n")
    tracemalloc.start()
    try:
        assert read_vectors(path).vectors.shape == (1, 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 500e6
    finally:
        tracemalloc.stop()
