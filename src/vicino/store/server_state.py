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
from vicino.errors import ArtifactCorrupt, ArtifactTooNew, InputError
from vicino.spaces import Space
from vicino.store.about import About
from vicino.store.base import COLUMNS
from vicino.store.rows import schema_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["State", "batch_of", "require_tag"]

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
        return cls(1, About.first(spaces))

    def to_json(self) -> str:
        """All but the version."""
        plain = {"format": FORMAT, **self.about.to_json(), "kinds": dict(self.kinds)}
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
            return cls(
                version, About.from_json({name: plain[name] for name in ("spaces", "filling", "note")}), dict(plain["kinds"])
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactCorrupt(f"{where} is damaged: {error!r}", mend="restore it from a copy") from error

    @property
    def columns(self) -> dict[str, Kind]:
        """What a filter may name."""
        return {**COLUMNS, **self.kinds}

    def after(self, about: About | None = None) -> Self:
        """The next version, which may say something else of itself."""
        return replace(self, version=self.version + 1, about=about or self.about)

    def checked(self, where: Filter | None, tenant: str | None) -> list[Filter]:
        """The conditions of a filter and a tenant, all of which must hold. Raises UnknownName, InputError."""
        found = [] if where is None else [check(where, self.columns)]
        return found if tenant is None else [*found, Compare("tenant", "=", tenant)]


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
