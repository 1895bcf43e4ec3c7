"""Files of vectors -> keys and rows: NumPy's .npy, Parquet, word2vec's formats. The reverse of `writers`.

A header is held against the size of its file before memory is taken; .npy stays on disk, memory-mapped.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.files import COMPRESSED, opened
from vicino.data.word2vec import Rows, read_word2vec_binary, read_word2vec_text
from vicino.errors import DimensionMismatch, DuplicateIds, EmptyInput, InputError, InvalidVectors, UnreadableSource
from vicino.spaces import Space

__all__ = ["VectorFile", "ending", "ids_file", "read_vectors"]

_KEYS = ("id", "_id", "key", "doc_id", "docid", "document_id", "uuid", "word", "name")
_VECTORS = ("vector", "embedding", "embeddings", "vectors", "emb", "values")
_TEXTS = ("text", "content", "body", "document", "passage", "sentence")

_BLOCK = 1 << 20  # numbers looked at together
_AGAIN = "write the file again"


@dataclass(frozen=True, eq=False)
class VectorFile:
    """Row i of `vectors`, (n, d) of a float type and finite, belongs to `keys[i]`: an id or a word.

    `texts` are those that the vectors were made of, where the file has them. `made` is what vicino noted when it wrote the file.
    """

    keys: Sequence[str]
    vectors: NDArray[Any]
    texts: Sequence[str] | None = None
    made: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def space(self) -> Space | None:
        """The space of the vectors, where vicino noted it."""
        return Space.from_json(self.made["space"]) if "space" in self.made else None

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name the keys with their vectors and texts, in any order, format or float type."""
        digest = hashlib.sha256()
        order = sorted(range(len(self)), key=self.keys.__getitem__)
        for rows in _blocks(order, self.vectors.shape[1]):
            names = [[self.keys[row], self.texts and self.texts[row]] for row in rows]
            digest.update(json.dumps(names).encode())
            digest.update(np.asarray(self.vectors[rows], dtype="<f4").tobytes())
        return digest.hexdigest()[:16]


def ending(path: Path) -> str:
    """What decides how a file is read: ".npy", ".parquet", ".txt", ".vec" or ".bin"; empty for any other name.

    >>> ending(Path("GloVe.6B.TXT.gz")), ending(Path("report.pdf"))
    ('.txt', '')
    """
    name = Path(path.name.lower())
    last = Path(name.stem).suffix if name.suffix in COMPRESSED else name.suffix
    squeezable = last in (".txt", ".vec", ".bin")
    return last if last in _READERS and (squeezable or last == name.suffix) else ""


def ids_file(path: Path) -> Path:
    """Where the ids of a .npy file stand."""
    return path.with_name(f"{path.name}.json")


def read_vectors(path: Path) -> VectorFile:
    """All vectors of a file, by its ending.

    `.npy`: the ids stand beside it in `NAME.npy.json`, as a list or as {"ids": list, ...}, which may hold "texts" too.
    `.parquet`: a column of ids, one of lists of float, and optionally one of texts, recognised by their names; an id of a chunk
    is "document:start-end". `.txt`, `.vec`: word2vec's text format, GloVe's too. `.bin`: word2vec's
    binary format. These three may end in .gz or .xz as well.

    Raises UnreadableSource (missing, damaged, not what its name says), InvalidVectors (NaN, another type of number),
    DimensionMismatch (rows of several lengths), DuplicateIds and EmptyInput.
    """
    kind = ending(path)
    try:
        if not kind:
            raise UnreadableSource("not a file of vectors", mend=f"give a file that ends in one of: {', '.join(_READERS)}")
        if not path.is_file():
            raise UnreadableSource("no such file", mend="check the path")
        return _checked(_READERS[kind](path))
    except InputError as error:
        raise type(error)(f"{path}: {error.what}", mend=error.mend) from error


def _checked(file: VectorFile) -> VectorFile:
    if file.vectors.ndim != 2 or file.vectors.shape[1] == 0:
        raise InvalidVectors(f"an array of shape {file.vectors.shape} is not (n, d) vectors", mend="write one row an item")
    if len(file.keys) != len(file.vectors):
        raise UnreadableSource(f"{len(file.keys):,} ids for {len(file.vectors):,} vectors", mend=_AGAIN)
    if len(file) == 0:
        raise EmptyInput("no vectors in there", mend="embed at least one item")
    counts = Counter(file.keys)
    if len(counts) < len(file):
        twice = next(key for key, count in counts.items() if count > 1)
        raise DuplicateIds(
            f"{len(file) - len(counts):,} of {len(file):,} ids repeat (first: {twice!r})", mend="give each row an id of its own"
        )
    for rows in _blocks(range(len(file)), file.vectors.shape[1]):
        finite = np.isfinite(file.vectors[rows[0] : rows[-1] + 1]).all(axis=1)
        if not finite.all():
            bad = rows[int(np.argmin(finite))]
            raise InvalidVectors(
                f"the vector of {file.keys[bad]!r} (row {bad}) holds NaN or infinite numbers", mend="embed this item again"
            )
    return file


def _blocks(rows: Sequence[int], dim: int) -> Iterator[Sequence[int]]:
    step = max(1, _BLOCK // dim)
    return (rows[start : start + step] for start in range(0, len(rows), step))


# NumPy ----------------------------------------------------------------------------------------------------------------


def _npy(path: Path) -> VectorFile:
    beside = ids_file(path)
    try:
        noted = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnreadableSource(
            f"its ids are missing: there is no {beside.name}",
            mend=f'write {beside.name} with a JSON list, such as ["id 1", "id 2"]',
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableSource(f"{beside.name} cannot be read: {error}", mend=_AGAIN) from error
    made = {"ids": noted} if isinstance(noted, list) else noted
    if not isinstance(made, dict) or not _is_texts(made.get("ids")) or not _is_texts(made.get("texts", [])):
        raise UnreadableSource(f"{beside.name} holds no list of ids", mend='write a JSON list, such as ["id 1", "id 2"]')
    ids, texts = [str(key) for key in made.pop("ids")], made.pop("texts", None)
    return VectorFile(ids, _mapped(path), texts, _noted(made))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str | int) for each in value)


def _mapped(path: Path) -> NDArray[Any]:
    """The array of a .npy file, left on disk; its header is held against the file's size."""
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with opened(path) as stream:
        try:
            shape, by_columns, kind = headers[np.lib.format.read_magic(stream)](stream)
        except (ValueError, KeyError, TypeError, SyntaxError, TokenError, RecursionError) as error:
            raise UnreadableSource(f"not a .npy file ({error})", mend="write it again with numpy.save") from error
        start = stream.tell()
    _require_float(kind)
    count = 1
    for size in shape:
        count *= size
    if min(shape, default=0) < 0 or start + count * kind.itemsize > path.stat().st_size:
        raise UnreadableSource(f"its header promises an array of {shape}, which is more than the file holds", mend=_AGAIN)
    if count == 0:
        return np.empty(shape, dtype=kind)
    return np.memmap(path, dtype=kind, mode="r", offset=start, shape=shape, order="F" if by_columns else "C")


def _require_float(kind: Any) -> None:
    if kind not in (np.float16, np.float32, np.float64):
        raise InvalidVectors(
            f"its numbers are of type {kind}, not float16, float32 or float64",
            mend="write the vectors as float32 (vicino embed does without --precision)",
        )


def _noted(made: Any) -> dict[str, Any]:
    """What vicino noted, with a space that can be read or without one."""
    if not isinstance(made, dict):
        return {}
    try:
        VectorFile([], np.empty((0, 0)), made=made).space  # noqa: B018 - asked whether it can be read
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableSource(f"what is noted of its space cannot be read ({error})", mend=_AGAIN) from error
    return made


# Parquet --------------------------------------------------------------------------------------------------------------


def _parquet(path: Path) -> VectorFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return _of_table(file)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableSource(f"not valid Parquet ({str(error).splitlines()[0]})", mend=_AGAIN) from error


def _of_table(file: Any) -> VectorFile:
    schema = file.schema_arrow
    note = (schema.metadata or {}).get(b"vicino")
    try:
        made = _noted(json.loads(note or b"{}"))
    except ValueError as error:
        raise UnreadableSource("what vicino noted in it is no JSON", mend=_AGAIN) from error
    id_, vector, text = _columns(schema)
    chunked = ["start", "end"] if note and {"start", "end"} <= set(schema.names) else []
    wanted = [id_, *chunked, vector, *([text] if text else [])]
    keys: list[str] = []
    texts: list[str] = []
    rows: Rows | None = None
    for batch in file.iter_batches(batch_size=4096, columns=wanted):
        block = _lists(batch.column(vector), vector)
        rows = rows or Rows(block.shape[1])
        rows.add(block)
        for column in [id_, *chunked]:
            if batch.column(column).null_count:
                raise UnreadableSource(f"a row without {column}", mend="give each row an id of its own")
        names = zip(*(batch.column(column).to_pylist() for column in [id_, *chunked]), strict=True)
        keys += [f"{name[0]}:{name[1]}-{name[2]}" if chunked else str(name[0]) for name in names]
        texts += [each or "" for each in batch.column(text).to_pylist()] if text else []
    return VectorFile(keys, rows.done() if rows else np.empty((0, 1), np.float32), texts if text else None, made)


def _columns(schema: Any) -> tuple[str, str, str | None]:
    """The names of the columns that hold ids, vectors and (or None) texts."""
    import pyarrow.types as types

    def among(names: Sequence[str], fits: Callable[[Any], bool]) -> str | None:
        known = {each.name.lower(): each.name for each in schema if fits(each.type)}
        return next((known[name] for name in names if name in known), None)

    def is_list(kind: Any) -> bool:
        lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        return bool(lists and types.is_primitive(kind.value_type))

    def is_text(kind: Any) -> bool:
        return bool(types.is_string(kind) or types.is_large_string(kind))

    listed = [each.name for each in schema if is_list(each.type)]
    vector = among(_VECTORS, is_list) or (listed[0] if len(listed) == 1 else None)
    id_ = among(_KEYS, lambda kind: is_text(kind) or types.is_integer(kind))
    if set(listed) == {"columns", "values"}:
        raise InvalidVectors("its vectors are sparse", mend="embed with an encoder of dense vectors, such as lsa or minilm")
    if vector is None or id_ is None:
        lacking, known = ("vectors (lists of float)", _VECTORS) if vector is None else ("ids", _KEYS)
        raise UnreadableSource(
            f"no column of {lacking} among: {', '.join(schema.names[:40])}", mend=f"name it one of: {', '.join(known)}"
        )
    _require_float(np.dtype(schema.field(vector).type.value_type.to_pandas_dtype()))
    return id_, vector, among(_TEXTS, is_text)


def _lists(column: Any, name: str) -> NDArray[np.float32]:
    """A column of lists as one block (n, d)."""
    flat = column.flatten()
    if column.null_count or flat.null_count:
        raise InvalidVectors(f"missing numbers in the column {name}", mend="embed these items again")
    if not len(flat) or len(flat) % len(column):
        raise DimensionMismatch(f"lists of several lengths in the column {name}", mend="embed all items with one model")
    dim = len(flat) // len(column)
    lengths = getattr(column.type, "list_size", None) or set(column.value_lengths().to_pylist())
    if lengths not in (dim, {dim}):
        raise DimensionMismatch(f"lists of several lengths in the column {name}", mend="embed all items with one model")
    return np.asarray(flat.to_numpy(zero_copy_only=False), dtype=np.float32).reshape(len(column), dim)


_READERS: Mapping[str, Callable[[Path], VectorFile]] = {
    ".npy": _npy,
    ".parquet": _parquet,
    ".txt": lambda path: VectorFile(*read_word2vec_text(path)),
    ".vec": lambda path: VectorFile(*read_word2vec_text(path)),
    ".bin": lambda path: VectorFile(*read_word2vec_binary(path)),
}
