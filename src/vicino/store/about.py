"""What a store says of itself: the spaces that every row has, those that are filling, and a note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vicino.errors import DuplicateIds, InputError, SpaceMismatch
from vicino.spaces import Space
from vicino.vectors import as_vectors

__all__ = ["About", "checked"]


@dataclass(frozen=True)
class About:
    """`spaces` are served, `filling` have a column too. `where`, in all of these, is the store, for people."""

    spaces: tuple[Space, ...]
    filling: tuple[Space, ...] = ()
    note: str = ""

    @classmethod
    def first(cls, spaces: Sequence[Space]) -> Self:
        """Of an empty store. Raises InputError, DuplicateIds for spaces that no store can keep."""
        for space in spaces:
            _require_storable(space)
        if len({space.id for space in spaces}) < len(spaces):
            raise DuplicateIds("two spaces have one id", mend="name each space once")
        return cls(tuple(spaces))

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """What `to_json` gave. Raises KeyError, TypeError, ValueError."""
        spaces, filling = (tuple(map(Space.from_json, plain.get(name, []))) for name in ("spaces", "filling"))
        return cls(spaces, filling, str(plain.get("note", "")))

    def to_json(self) -> dict[str, Any]:
        spaces, filling = ([space.to_json() for space in each] for each in (self.spaces, self.filling))
        return {"spaces": spaces, "filling": filling, "note": self.note}

    @property
    def columns(self) -> tuple[Space, ...]:
        """All spaces that have a column."""
        return (*self.spaces, *self.filling)

    # Changes ----------------------------------------------------------------------------------------------------------

    def adding(self, space: Space, where: object) -> Self:
        """With one more space that is filling. Raises InputError."""
        _require_storable(space)
        if space.id in {each.id for each in self.columns}:
            raise InputError(f"{where} has a column for {space.id} already", mend="fill it, or drop it first")
        return replace(self, filling=(*self.filling, space))

    def serving(self, spaces: Sequence[Space], note: str, where: object) -> Self:
        """With these served and all others filling. Raises SpaceMismatch."""
        served = tuple(dict.fromkeys(spaces))
        for space in served:
            self.require_column(space, where)
        rest = tuple(space for space in self.columns if space not in served)
        return replace(self, spaces=served, filling=rest, note=note)

    def dropping(self, space: Space, where: object) -> Self:
        """Without this space, which is filling. Raises SpaceMismatch."""
        self.require_filling(space, where, "drop")
        return replace(self, filling=tuple(each for each in self.filling if each != space))

    # Checks -----------------------------------------------------------------------------------------------------------

    def require_column(self, space: Space, where: object) -> None:
        if space not in self.columns:
            listing = "; ".join(map(str, self.columns)) or "none"
            raise SpaceMismatch(f"{where} has no vectors of {space}", mend=f"use a space that it has: {listing}")

    def require_filling(self, space: Space, where: object, doing: str) -> None:
        if space not in self.filling:
            listing = "; ".join(map(str, self.filling)) or "none"
            raise SpaceMismatch(f"cannot {doing} {space}: {where} is not filling it", mend=f"those that are filling: {listing}")

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

    def require_vectors(self, given: Sequence[Space], where: object) -> None:
        """Raise SpaceMismatch unless rows that have vectors of `given` can be written."""
        if not set(self.spaces) <= set(given) <= set(self.columns):
            raise SpaceMismatch(
                f"the rows have vectors of {_listed(given)}, and every row of {where} has those of {_listed(self.spaces)}",
                mend="encode with the models of this store; if it changed its model meanwhile, run the command again",
            )


def checked(space: Space, vectors: Any, n: int) -> NDArray[np.float32]:
    """Vectors of a space, one for each of n rows: (n, d). Raises InvalidVectors, DimensionMismatch, InputError."""
    array = as_vectors(vectors, dim=space.dim)
    if len(array) != n:
        raise InputError(f"{len(array)} vectors for {n} rows", mend="give one vector a row")
    return array


def _listed(spaces: Sequence[Space]) -> str:
    return ", ".join(sorted(space.id for space in spaces)) or "no space"


def _require_storable(space: Space) -> None:
    """Raise InputError for a space whose vectors a table cannot keep."""
    if space.similarity == "maxsim" or space.dim < 1:
        raise InputError(f"a store cannot keep vectors of {space}", mend="choose a model with one vector a passage")
