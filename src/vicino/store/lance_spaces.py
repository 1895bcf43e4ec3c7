"""The spaces of a Lance table: which columns of vectors it has, which of them every row fills, and how that changes.

What the schema's metadata says counts, so that one commit switches. A column that it does not name is what a killed process
left; it is dropped before a column of its name is made, and by upkeep.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vicino.artifacts import locked
from vicino.errors import ArtifactCorrupt, ArtifactTooNew, SpaceMismatch
from vicino.spaces import Space
from vicino.store.about import About
from vicino.store.lance_folder import COMMIT, check_written, latest
from vicino.store.lance_rows import with_vectors
from vicino.store.rows import schema_of, vector_column

if TYPE_CHECKING:
    import pyarrow as pa
    from lance import LanceDataset

__all__ = ["FORMAT", "about_of", "add", "drop", "fill", "first", "serve", "sweep"]

FORMAT: Final = 2  # of a table whose spaces changed; others keep format 1, which an older vicino reads and writes
ABOUT: Final = b"vicino"  # the key in the schema's metadata: this record, as JSON


def about_of(schema: pa.Schema, folder: Path) -> About:
    """What `first` and later changes wrote into the schema, checked against the columns.

    Raises ArtifactCorrupt, ArtifactTooNew.
    """
    try:
        plain = json.loads((schema.metadata or {})[ABOUT])
        if plain["format"] > FORMAT:
            raise ArtifactTooNew(
                f"{folder} has format {plain['format']}; this vicino reads up to {FORMAT}", mend="pip install --upgrade vicino"
            )
        about = About.from_json({"spaces": plain["spaces"], **plain})
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactCorrupt(
            f"{folder} is no store of vicino's, or damaged: {error!r}", mend="restore it from a copy"
        ) from error
    for column in schema_of({}, about.columns):
        if column.name not in schema.names or schema.field(column.name).type != column.type:
            raise ArtifactCorrupt(
                f"{folder} is damaged: its column {column.name!r} is not what it was", mend="restore it from a copy"
            )
    return about


def first(spaces: Sequence[Space]) -> pa.Schema:
    """The schema of an empty table. Raises InputError, DuplicateIds."""
    plain = {"format": 1, "spaces": About.first(spaces).to_json()["spaces"]}
    return schema_of({}, spaces).with_metadata({ABOUT: json.dumps(plain)})


def add(data: LanceDataset, folder: Path, space: Space) -> LanceDataset:
    """A column for one more space, empty. Raises InputError."""
    with locked(folder / COMMIT):
        data = latest(data)
        about = about_of(data.schema, folder).adding(space, folder)
        if vector_column(space) in data.schema.names:  # of a process that was killed here, or in `drop`
            data.drop_columns([vector_column(space)])
        data.add_columns([schema_of({}, [space]).field(vector_column(space))])
        return _write(data, about)


def fill(
    data: LanceDataset, folder: Path, space: Space, keys: Sequence[str], vectors: NDArray[np.float32]
) -> tuple[LanceDataset, int]:
    """Vectors (n, d) for the rows of these keys, in one commit. Raises SpaceMismatch."""
    import pyarrow as pa
    from lance import LanceDataset, LanceOperation

    column = vector_column(space)
    with locked(folder / COMMIT):
        data = latest(data)
        about_of(data.schema, folder).require_filling(space, folder, "fill")
        addresses, which = _places(data, keys)
        changed, fields = [], list[int]()
        parts = addresses >> np.uint64(32)  # the upper half of an address is the fragment
        for part in data.get_fragments():
            here = parts == part.fragment_id
            if not here.any():
                continue
            fresh = with_vectors(pa.table({"_rowaddr": addresses[here]}), {space: vectors[which[here]]})
            written = part.update_columns(fresh.select(["_rowaddr", column]), left_on="_rowaddr")
            changed.append(written[0])
            fields = written[1]
        check_written(folder, changed)
        if changed:
            update = LanceOperation.Update(updated_fragments=changed, fields_modified=fields, update_mode="rewrite_columns")
            data = LanceDataset.commit(data, update, read_version=data.version)
        return data, len(addresses)


def _places(data: LanceDataset, keys: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The addresses of the rows that have these keys, and which key each has."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(keys, pa.string())
    addresses, which = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for batch in data.scanner(["key"], with_row_address=True).to_batches():
        found = pc.index_in(batch["key"], value_set=wanted)
        there = found.is_valid()
        addresses.append(batch["_rowaddr"].filter(there).to_numpy())
        which.append(found.filter(there).to_numpy().astype(np.int64))
    return np.concatenate(addresses), np.concatenate(which)


def serve(data: LanceDataset, folder: Path, spaces: Sequence[Space], note: str) -> LanceDataset:
    """Every row has these from now on, says the table; one commit. Raises SpaceMismatch where one does not."""
    with locked(folder / COMMIT):
        data = latest(data)
        before = about_of(data.schema, folder)
        about = before.serving(spaces, note, folder)
        for space in set(about.spaces) & set(before.filling):
            lacking = data.count_rows(f"`{vector_column(space)}` is null")
            if lacking:
                raise SpaceMismatch(
                    f"cannot serve {space}: {lacking:,} rows of {folder} have no vector of it",
                    mend="fill these rows first: scan(..., lacking=space) finds them",
                )
        return _write(data, about)


def drop(data: LanceDataset, folder: Path, space: Space) -> LanceDataset:
    """Give up the column of a space that is not served. Raises SpaceMismatch."""
    with locked(folder / COMMIT):
        data = latest(data)
        data = _write(data, about_of(data.schema, folder).dropping(space, folder))
        data.drop_columns([vector_column(space)])
        return latest(data)


def sweep(data: LanceDataset, folder: Path) -> LanceDataset:
    """Without the columns of vectors that no space names, of who was killed in `add` or `drop`. The latest version."""
    with locked(folder / COMMIT):
        data = latest(data)
        named = {vector_column(space) for space in about_of(data.schema, folder).columns}
        left = [name for name in data.schema.names if name.startswith("vector_") and name not in named]
        if left:
            data.drop_columns(left)
        return latest(data)


def _write(data: LanceDataset, about: About) -> LanceDataset:
    data.update_schema_metadata({ABOUT.decode(): json.dumps({"format": FORMAT, **about.to_json()})})
    return latest(data)
