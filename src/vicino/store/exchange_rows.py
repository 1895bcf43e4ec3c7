"""The rows of a collection as Parquet files that hold whole documents, and back: checked, and never all in memory."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.artifacts import file_digest
from vicino.errors import ArtifactCorrupt
from vicino.spaces import Space
from vicino.store.base import COLUMNS, Row, Store
from vicino.store.rows import schema_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Batch", "check_files", "read_file", "write_files"]

ROWS: Final = 16_384  # of a file; more where a document has more
HEAPS: Final = 256  # at most; each is sorted in memory
COMMIT: Final = 1_024  # rows that are written together, or a document's if it has more
ORDER: Final = ("tenant", "source", "document", "number", "key")
READ: Final = (*COLUMNS, "metadata")

Batch = tuple[str, list[Row], dict[str, NDArray[np.float32]]]  # what `replace` takes


# Out ------------------------------------------------------------------------------------------------------------------


def write_files(store: Store, folder: Path, *, tenant: str | None) -> list[dict[str, Any]]:
    """The rows of the version that is read, into `folder`: name, rows, documents, bytes and SHA-256 of each file.

    Rows come from a store in any order. They are first thrown on heaps, by their document; then each heap is sorted by `ORDER`.
    So the same rows give the same files. Raises what reading raises, and OSError.
    """
    heaps = folder / "heaps"
    heaps.mkdir(parents=True)
    rows = store.count(tenant=tenant)
    count = min(HEAPS, -(-rows // ROWS))
    columns: list[Space | None] = list(store.spaces) or [None]
    with progress.task("Exporting", total=rows * len(columns), unit="rows") as bar:
        for number, space in enumerate(columns):
            for batch in store.scan(READ if number == 0 else ORDER, tenant=tenant, space=space):
                _throw(batch, heaps, number, count)
                bar.advance(batch.num_rows)
    files: list[dict[str, Any]] = []
    for heap in progress.track(range(count), "Sorting", unit="heaps"):
        for table, documents in _cut(_heap(heaps / str(heap), store.spaces)):
            path = folder / f"part-{len(files):06d}.parquet"
            files.append({**_write(path, table), "documents": documents})
    shutil.rmtree(heaps)
    return files


def _throw(batch: pa.RecordBatch, heaps: Path, number: int, count: int) -> None:
    """The rows on the heaps of their documents; one file a heap and space, of batches in a row."""
    import pyarrow as pa

    which = np.array([zlib.crc32(name.encode()) % count for name in batch.column("document").to_pylist()])
    for heap in np.unique(which).tolist():
        (heaps / str(heap)).mkdir(exist_ok=True)
        own = batch.filter(pa.array(which == heap))
        with (heaps / str(heap) / str(number)).open("ab") as file, pa.ipc.new_stream(file, own.schema) as stream:
            stream.write_batch(own)


def _heap(folder: Path, spaces: Sequence[Space]) -> pa.Table:
    """A heap, sorted, with a column of vectors for each space: vector_0, vector_1, ..."""
    import pyarrow as pa

    if not folder.is_dir():
        return _schema(spaces).empty_table()
    tables = [_read(folder / str(number)).sort_by([(name, "ascending") for name in ORDER]) for number in range(len(spaces) or 1)]
    columns = [tables[0][name] for name in READ]
    columns += [table["vector"] for table in tables[: len(spaces)]]
    return pa.table([column.combine_chunks() for column in columns], schema=_schema(spaces))


def _read(path: Path) -> pa.Table:
    import pyarrow as pa

    batches = []
    with path.open("rb") as file:
        while file.peek(1):
            batches += list(pa.ipc.open_stream(file))
    return pa.Table.from_batches(batches)


def _schema(spaces: Sequence[Space]) -> pa.Schema:
    import pyarrow as pa

    fields = [schema_of({}, ()).field(name) for name in READ]
    return pa.schema([*fields, *(pa.field(f"vector_{n}", pa.list_(pa.float32(), s.dim)) for n, s in enumerate(spaces))])


def _starts(table: pa.Table) -> NDArray[np.int64]:
    """Where a document begins, in rows that are sorted."""
    import pyarrow.compute as pc

    begins = np.zeros(table.num_rows, dtype=bool)
    begins[:1] = True
    for name in ("tenant", "source", "document"):
        column = table[name]
        begins[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy()
    return np.flatnonzero(begins)


def _cut(table: pa.Table, size: int = ROWS) -> Iterator[tuple[pa.Table, int]]:
    """Pieces of whole documents, of `size` rows or a little more, and how many documents each has."""
    starts, at = _starts(table), 0
    while at < len(starts):
        begin = starts[at]
        after = max(int(np.searchsorted(starts, begin + size)), at + 1)
        end = int(starts[after]) if after < len(starts) else table.num_rows
        yield table.slice(begin, end - begin), after - at
        at = after


def _write(path: Path, table: pa.Table) -> dict[str, Any]:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")
    return {"name": path.name, "rows": table.num_rows, "bytes": path.stat().st_size, "sha256": file_digest(path)}


# In -------------------------------------------------------------------------------------------------------------------


def check_files(folder: Path, files: Sequence[Mapping[str, Any]]) -> None:
    """Raise ArtifactCorrupt where a file is not what was written."""
    for file in progress.track(files, "Checking", unit="files"):
        path = folder / str(file["name"])
        if not all(type(file[count]) is int and file[count] >= 0 for count in ("rows", "documents", "bytes")):
            raise _corrupt(folder, f"it does not say what {file['name']!r} holds")
        if not re.fullmatch(r"part-\d{6,}\.parquet", path.name) or path.parent != folder or path.is_symlink():
            raise _corrupt(folder, f"{file['name']!r} is no name of its files")
        if not path.is_file():
            raise _corrupt(folder, f"{path.name} is missing")
        size = path.stat().st_size
        if size != file["bytes"]:
            raise _corrupt(folder, f"{path.name} has {size:,} bytes where {file['bytes']:,} were written")
        if file_digest(path) != file["sha256"]:
            raise _corrupt(folder, f"{path.name} is not what was written (its SHA-256 differs)")


def read_file(path: Path, spaces: Sequence[Space], count: int) -> Iterator[Batch]:
    """What `write_files` wrote, so many rows, in batches of whole documents of a tenant. Raises ArtifactCorrupt."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        held = pq.read_metadata(path).num_rows
        if held != count:  # before they are read: a small file can claim to hold very many
            raise _corrupt(path.parent, f"{path.name} has {held:,} rows where {count:,} were written")
        table = pq.read_table(path, partitioning=None)
        table.validate(full=True)  # text that is none
    except (pa.ArrowException, OSError) as error:
        raise _corrupt(path.parent, f"{path.name} cannot be read ({error})") from error
    if table.schema.remove_metadata() != _schema(spaces):
        raise _corrupt(path.parent, f"{path.name} has other columns than an export has")
    if any(column.null_count for column in table.columns):
        raise _corrupt(path.parent, f"{path.name} lacks values")
    for piece, _ in _cut(table, COMMIT):
        rows = _rows(piece, path)
        vectors = {space.id: _matrix(piece[f"vector_{n}"], space.dim) for n, space in enumerate(spaces)}
        begin = 0
        for end in [at for at in range(1, len(rows)) if rows[at].tenant != rows[at - 1].tenant] + [len(rows)]:
            part = {name: array[begin:end] for name, array in vectors.items()}
            yield rows[begin].tenant, rows[begin:end], part
            begin = end


def _rows(piece: pa.Table, path: Path) -> list[Row]:
    rows = []
    for plain in piece.select(READ).to_pylist():
        try:
            metadata = json.loads(plain.pop("metadata"))
        except (ValueError, RecursionError) as error:
            raise _corrupt(path.parent, f"{path.name} has metadata that is no JSON") from error
        if not isinstance(metadata, dict):
            raise _corrupt(path.parent, f"{path.name} has metadata that names nothing")
        rows.append(Row(**plain, metadata=metadata))
    return rows


def _matrix(column: pa.ChunkedArray, dim: int) -> NDArray[np.float32]:
    return np.asarray(column.combine_chunks().flatten().to_numpy(zero_copy_only=False)).reshape(-1, dim)


def _corrupt(folder: Path, why: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"{folder.parent} is damaged: {why}", mend="export it again, or restore it from a copy")
