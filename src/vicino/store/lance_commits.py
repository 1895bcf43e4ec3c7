"""What a write to a Lance table does: make room for metadata, find what the new rows replace, and commit all at once."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vicino.artifacts import locked
from vicino.data.filters import Kind
from vicino.store.base import Row
from vicino.store.lance_folder import COMMIT, check_written, latest
from vicino.store.lance_rows import kinds_of
from vicino.store.lance_standing import Standing
from vicino.store.rows import missing, physical, schema_of

if TYPE_CHECKING:
    from lance import FragmentMetadata, LanceDataset

__all__ = ["columns_of", "commit", "make_room", "used"]


def used(rows: Sequence[Row]) -> set[str]:
    """The names of metadata under which these rows hold something."""
    return {name for row in rows for name, value in row.metadata.items() if value is not None}


def columns_of(data: LanceDataset, names: Set[str]) -> dict[str, Kind]:
    """The metadata columns of a table that have one of these names."""
    return {name: kind for name, kind in kinds_of(data.schema).items() if name in names}


def make_room(data: LanceDataset, folder: Path, rows: Sequence[Row], tenant: str, standing: Standing) -> LanceDataset:
    """The latest version, with a column for all metadata of these rows that a filter can name. Raises InputError.

    Each new column is a commit of its own that changes no row.
    """
    if not missing(rows, kinds_of(data.schema)):
        return data
    with locked(folder / COMMIT):
        data = latest(data)
        kinds = kinds_of(data.schema)
        wanted = missing(rows, kinds)
        standing.find(data, rows, tenant)  # a key of another document is an error before there is a new column
        fresh = {name: kind for name, kind in wanted.items() if name not in kinds}
        if fresh:
            schema = schema_of(fresh, ())
            data.add_columns([schema.field(physical(name, kind)) for name, kind in fresh.items()])
        for name in wanted.keys() - fresh.keys():
            data = _widen(data, folder, name)
    return data


def _widen(data: LanceDataset, folder: Path, name: str) -> LanceDataset:
    """Give integers a column of numbers, and drop theirs."""
    from lance import LanceDataset, LanceOperation

    integers, numbers = physical(name, "integer"), physical(name, "number")
    done = [part.merge_columns({numbers: f"cast(`{integers}` as double)"}) for part in data.get_fragments()]
    if done:
        parts = [part for part, _ in done]
        check_written(folder, parts)
        data = LanceDataset.commit(data, LanceOperation.Merge(parts, done[0][1]), read_version=data.version)
    else:
        data.add_columns([schema_of({name: "number"}, ()).field(numbers)])
    _drop_integers(data, integers)
    return data


def _drop_integers(data: LanceDataset, integers: str) -> None:
    """Until this is done both columns stand, and the numbers count."""
    data.drop_columns([integers])


def commit(data: LanceDataset, gone: NDArray[np.uint64], files: list[FragmentMetadata]) -> LanceDataset:
    """One commit that takes rows away, by address, and adds files; the new version. The caller holds the lock."""
    from lance import LanceDataset, LanceOperation

    emptied: list[int] = []
    changed: list[FragmentMetadata] = []
    places = gone >> np.uint64(32)  # the upper half of an address is the fragment, the lower the row in it
    for fragment in np.unique(places).tolist():
        offsets = gone[places == fragment] & np.uint64(0xFFFFFFFF)
        part = data.get_fragment(fragment)
        left = part.delete_rows(offsets.tolist()) if part else None
        if left is None:
            emptied.append(fragment)
        else:
            changed.append(left)
    operation: LanceOperation.BaseOperation = LanceOperation.Append(files)
    if len(gone):
        operation = LanceOperation.Update(emptied, changed, files, update_mode="rewrite_rows")
    return LanceDataset.commit(data, operation, read_version=data.version)
