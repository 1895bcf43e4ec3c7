"""Vectors to a file: Parquet or NumPy's .npy, each with the space that the vectors belong to."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vicino.data.records import Chunk, Document
from vicino.errors import ArtifactError, InputError

__all__ = ["require_ending", "write_vectors"]


def write_vectors(
    path: Path, items: Sequence[Document | Chunk], vectors: Any, made: Mapping[str, Any], *, texts: bool = False
) -> Path:
    """Write one row an item, whole or not at all, by the ending of `path`.

    `.parquet`: columns id, vector (a list of fixed size, of the array's own type), for chunks also start and end; a sparse row
    is two lists, columns and values; with `texts` a column text says what was embedded, so that vectors can be found by it.
    `made`, plain data about the vectors (their space, their precision), stands in the schema's metadata under "vicino".
    `.npy`: the (n, d) array, with `made` and the ids beside it in a file that ends in `.npy.json`. Raises InputError for another
    ending, or a sparse matrix or texts in .npy, ArtifactError for a full disk.
    """
    require_ending(path)
    if path.suffix == ".parquet":
        _replace(path, lambda fresh: _parquet(fresh, items, vectors, made, texts))
    else:
        if texts or not isinstance(vectors, np.ndarray):
            raise InputError("a .npy file holds dense vectors and ids only", mend=f"write {path.with_suffix('.parquet')} instead")
        beside = {**made, "ids": [_place(item) for item in items]}
        _replace(path, lambda fresh: np.save(fresh, vectors, allow_pickle=False))
        _replace(path.with_name(f"{path.name}.json"), lambda fresh: fresh.write_text(json.dumps(beside), encoding="utf-8"))
    return path


def require_ending(path: Path) -> None:
    """Raise InputError unless `path` ends in .parquet or .npy."""
    if path.suffix not in (".parquet", ".npy"):
        raise InputError(f"{path.name} has no known ending", mend="write a .parquet or a .npy file")


def _parquet(path: Path, items: Sequence[Document | Chunk], vectors: Any, made: Mapping[str, Any], texts: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"id": [item.document_id if isinstance(item, Chunk) else item.id for item in items]}
    pieces = [item for item in items if isinstance(item, Chunk)]
    if len(pieces) == len(items):
        columns |= {"start": [piece.start for piece in pieces], "end": [piece.end for piece in pieces]}
    if texts:
        columns["text"] = [item.text if isinstance(item, Chunk) else item.content for item in items]
    if isinstance(vectors, np.ndarray):
        columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    else:
        columns["columns"] = pa.LargeListArray.from_arrays(vectors.indptr.astype(np.int64), pa.array(vectors.indices))
        columns["values"] = pa.LargeListArray.from_arrays(vectors.indptr.astype(np.int64), pa.array(vectors.data))
    table = pa.table(columns).replace_schema_metadata({"vicino": json.dumps(dict(made))})
    pq.write_table(table, path)


def _place(item: Document | Chunk) -> str:
    return f"{item.document_id}:{item.start}-{item.end}" if isinstance(item, Chunk) else item.id


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside `path`, then rename."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        try:
            write(Path(name))
            os.chmod(name, 0o644)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error}", mend="free some space or choose another folder") from error
