"""What a store on a server says of itself at one version, as one record of JSON that a commit writes, and the same for all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from vicino.data.filters import Compare, Filter, Kind, check
from vicino.errors import ArtifactCorrupt, ArtifactTooNew, DuplicateIds, InputError, UnknownName
from vicino.spaces import Space
from vicino.store.base import COLUMNS
from vicino.store.lance_rows import schema_of
from vicino.store.lance_spaces import About, require_storable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["State", "batch_of", "readable", "require_tag"]

FORMAT: Final = 1


@dataclass(frozen=True)
class State:
    """The version, the spaces, and the kinds of the metadata met so far."""

    version: int
    about: About
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    @classmethod
    def first(cls, spaces: Sequence[Space]) -> Self:
        """Version 1, of an empty store. Raises InputError, DuplicateIds for spaces that no store can keep."""
        for space in spaces:
            require_storable(space)
        if len({space.id for space in spaces}) < len(spaces):
            raise DuplicateIds("two spaces have one id", mend="name each space once")
        return cls(1, About(tuple(spaces)))

    def to_json(self) -> str:
        """All but the version."""
        plain = {
            "format": FORMAT,
            "spaces": [space.to_json() for space in self.about.spaces],
            "filling": [space.to_json() for space in self.about.filling],
            "note": self.about.note,
            "kinds": dict(self.kinds),
        }
        return json.dumps(plain, ensure_ascii=False)

    @classmethod
    def from_json(cls, version: int, written: str, where: object) -> Self:
        """What `to_json` gave. Raises ArtifactTooNew, ArtifactCorrupt."""
        try:
            plain = json.loads(written)
            if plain["format"] > FORMAT:
                raise ArtifactTooNew(
                    f"{where} has format {plain['format']}; this vicino reads up to {FORMAT}", mend="pip install --upgrade vicino"
                )
            spaces, filling = (tuple(map(Space.from_json, plain[name])) for name in ("spaces", "filling"))
            return cls(version, About(spaces, filling, str(plain["note"])), dict(plain["kinds"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactCorrupt(f"{where} is damaged: {error!r}", mend="restore it from a copy") from error

    @property
    def columns(self) -> dict[str, Kind]:
        """What a filter may name."""
        return {**COLUMNS, **self.kinds}

    def having(self, **changed: Any) -> Self:
        """The next version, with other spaces or another note."""
        return replace(self, version=self.version + 1, about=replace(self.about, **changed))

    def adding(self, space: Space, where: object) -> Self:
        """With one more space that is filling. Raises InputError."""
        require_storable(space)
        if space.id in {each.id for each in self.about.columns}:
            raise InputError(f"{where} has a column for {space.id} already", mend="fill it, or drop it first")
        return self.having(filling=(*self.about.filling, space))

    def serving(self, spaces: Sequence[Space], note: str, where: object) -> Self:
        """With these served and all others filling. Raises SpaceMismatch."""
        served = tuple(dict.fromkeys(spaces))
        for space in served:
            self.about.require_column(space, where)
        rest = tuple(space for space in self.about.columns if space not in served)
        return self.having(spaces=served, filling=rest, note=note)

    def dropping(self, space: Space, where: object) -> Self:
        """Without this space, which is filling. Raises SpaceMismatch."""
        self.about.require_filling(space, where, "drop")
        return self.having(filling=tuple(each for each in self.about.filling if each != space))

    def checked(self, where: Filter | None, tenant: str | None) -> list[Filter]:
        """The conditions of a filter and a tenant, all of which must hold. Raises UnknownName, InputError."""
        found = [] if where is None else [check(where, self.columns)]
        return found if tenant is None else [*found, Compare("tenant", "=", tenant)]


def readable(columns: Sequence[str]) -> None:
    """Raise UnknownName for what `scan` cannot read."""
    for name in columns:
        if name not in (*COLUMNS, "metadata"):
            raise UnknownName.among(name, (*COLUMNS, "metadata"), kind="column to read")


def require_tag(tag: str) -> None:
    """Raise InputError for what names no snapshot."""
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}", tag):
        raise InputError(f"{tag!r} names no snapshot", mend="use up to 100 letters, digits, dots, dashes and underscores")


def batch_of(columns: Mapping[str, Sequence[Any]], vectors: NDArray[np.float32] | None) -> pa.RecordBatch:
    """What `scan` gives: columns of rows, and with them (n, d) vectors."""
    import pyarrow as pa

    schema = schema_of({}, ())
    arrays = [pa.array(values, schema.field(name).type) for name, values in columns.items()]
    names = list(columns)
    if vectors is not None:
        arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]))
        names.append("vector")
    return pa.record_batch(arrays, names=names)
