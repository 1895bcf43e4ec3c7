"""The spaces of a Lance table: which columns of vectors it has, which of them every row fills, and how that changes.

What the schema's metadata says counts, so that one commit switches. A column that it does not name is what a killed process
left; it is dropped before a column of its name is made, and by upkeep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from vicino.artifacts import locked
from vicino.errors import ArtifactCorrupt, ArtifactTooNew, InputError, SpaceMismatch
from vicino.spaces import Space
from vicino.store.lance_folder import COMMIT, check_written, latest
from vicino.store.lance_rows import schema_of, vector_column, with_vectors
from vicino.vectors import as_vectors

if TYPE_CHECKING:
    import pyarrow as pa
    from lance import LanceDataset

__all__ = ["FORMAT", "About", "add", "checked", "drop", "fill", "require_storable", "serve", "sweep"]

FORMAT: Final = 2  # of a table whose spaces changed; others keep format 1, which an older vicino reads and writes
ABOUT: Final = b"vicino"  # the key in the schema's metadata: this record, as JSON


@dataclass(frozen=True)
class About:
    """What a table says of itself."""

    spaces: tuple[Space, ...]
    filling: tuple[Space, ...] = ()
    note: str = ""
    format: int = 1

    @classmethod
    def of(cls, schema: pa.Schema, folder: Path) -> Self:
        """What `create` and later changes wrote into the schema, checked against the columns.

        Raises ArtifactCorrupt, ArtifactTooNew.
        """
        try:
            plain = json.loads((schema.metadata or {})[ABOUT])
            if plain["format"] > FORMAT:
                raise ArtifactTooNew(
                    f"{folder} has format {plain['format']}; this vicino reads up to {FORMAT}",
                    mend="pip install --upgrade vicino",
                )
            spaces, filling = (
                tuple(Space.from_json(each) for each in listed) for listed in (plain["spaces"], plain.get("filling", []))
            )
            about = cls(spaces, filling, str(plain.get("note", "")), int(plain["format"]))
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

    @property
    def columns(self) -> tuple[Space, ...]:
        """All spaces that have a column."""
        return (*self.spaces, *self.filling)

    def to_metadata(self) -> dict[bytes, str]:
        plain: dict[str, Any] = {"format": self.format, "spaces": [space.to_json() for space in self.spaces]}
        if self.format > 1:
            plain |= {"filling": [space.to_json() for space in self.filling], "note": self.note}
        return {ABOUT: json.dumps(plain)}

    def require_column(self, space: Space, folder: object) -> None:
        if space not in self.columns:
            listing = "; ".join(map(str, self.columns)) or "none"
            raise SpaceMismatch(f"{folder} has no vectors of {space}", mend=f"use a space that it has: {listing}")

    def require_filling(self, space: Space, folder: object, doing: str) -> None:
        if space not in self.filling:
            listing = "; ".join(map(str, self.filling)) or "none"
            raise SpaceMismatch(f"cannot {doing} {space}: {folder} is not filling it", mend=f"those that are filling: {listing}")

    def checked(self, vectors: Mapping[str, Any], n: int) -> dict[Space, NDArray[np.float32]]:
        """What was given for n rows, by space; whether it is enough, only the latest version can tell.

        Raises SpaceMismatch for a space without a column, and as `checked`.
        """
        own = {space.id: space for space in self.columns}
        if not vectors.keys() <= own.keys():
            raise SpaceMismatch(
                f"the rows have vectors of {', '.join(sorted(vectors))}, the store has columns for {_listed(self.columns)}",
                mend="encode with the models of this store, or make a new store for these",
            )
        return {own[name]: checked(own[name], array, n) for name, array in vectors.items()}

    def require_vectors(self, given: Sequence[Space], folder: object) -> None:
        """Raise SpaceMismatch unless rows that have vectors of `given` can be written."""
        if not set(self.spaces) <= set(given) <= set(self.columns):
            raise SpaceMismatch(
                f"the rows have vectors of {_listed(given)}, and every row of {folder} has those of {_listed(self.spaces)}",
                mend="encode with the models of this store; if it changed its model meanwhile, run the command again",
            )


def _listed(spaces: Sequence[Space]) -> str:
    return ", ".join(sorted(space.id for space in spaces)) or "no space"


def checked(space: Space, vectors: Any, n: int) -> NDArray[np.float32]:
    """Vectors of a space, one for each of n rows: (n, d). Raises InvalidVectors, DimensionMismatch, InputError."""
    array = as_vectors(vectors, dim=space.dim)
    if len(array) != n:
        raise InputError(f"{len(array)} vectors for {n} rows", mend="give one vector a row")
    return array


def require_storable(space: Space) -> None:
    """Raise InputError for a space whose vectors a table cannot keep."""
    if space.similarity == "maxsim" or space.dim < 1:
        raise InputError(f"a store cannot keep vectors of {space}", mend="choose a model with one vector a passage")


def add(data: LanceDataset, folder: Path, space: Space) -> LanceDataset:
    """A column for one more space, empty. Raises InputError."""
    require_storable(space)
    with locked(folder / COMMIT):
        data = latest(data)
        about = About.of(data.schema, folder)
        if space.id in {each.id for each in about.columns}:
            raise InputError(f"{folder} has a column for {space.id} already", mend="fill it, or drop it first")
        if vector_column(space) in data.schema.names:  # of a process that was killed here, or in `drop`
            data.drop_columns([vector_column(space)])
        data.add_columns([schema_of({}, [space]).field(vector_column(space))])
        return _write(data, replace(about, filling=(*about.filling, space)))


def fill(
    data: LanceDataset, folder: Path, space: Space, keys: Sequence[str], vectors: NDArray[np.float32]
) -> tuple[LanceDataset, int]:
    """Vectors (n, d) for the rows of these keys, in one commit. Raises SpaceMismatch."""
    import pyarrow as pa
    from lance import LanceDataset, LanceOperation

    column = vector_column(space)
    with locked(folder / COMMIT):
        data = latest(data)
        About.of(data.schema, folder).require_filling(space, folder, "fill")
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
    served = tuple(dict.fromkeys(spaces))
    with locked(folder / COMMIT):
        data = latest(data)
        about = About.of(data.schema, folder)
        for space in served:
            about.require_column(space, folder)
            lacking = data.count_rows(f"`{vector_column(space)}` is null") if space in about.filling else 0
            if lacking:
                raise SpaceMismatch(
                    f"cannot serve {space}: {lacking:,} rows of {folder} have no vector of it",
                    mend="fill these rows first: scan(..., lacking=space) finds them",
                )
        rest = tuple(space for space in about.columns if space not in served)
        return _write(data, replace(about, spaces=served, filling=rest, note=note))


def drop(data: LanceDataset, folder: Path, space: Space) -> LanceDataset:
    """Give up the column of a space that is not served. Raises SpaceMismatch."""
    with locked(folder / COMMIT):
        data = latest(data)
        about = About.of(data.schema, folder)
        about.require_filling(space, folder, "drop")
        data = _write(data, replace(about, filling=tuple(each for each in about.filling if each != space)))
        data.drop_columns([vector_column(space)])
        return latest(data)


def sweep(data: LanceDataset, folder: Path) -> LanceDataset:
    """Without the columns of vectors that no space names, of who was killed in `add` or `drop`. The latest version."""
    with locked(folder / COMMIT):
        data = latest(data)
        named = {vector_column(space) for space in About.of(data.schema, folder).columns}
        left = [name for name in data.schema.names if name.startswith("vector_") and name not in named]
        if left:
            data.drop_columns(left)
        return latest(data)


def _write(data: LanceDataset, about: About) -> LanceDataset:
    data.update_schema_metadata({name.decode(): text for name, text in replace(about, format=FORMAT).to_metadata().items()})
    return latest(data)
