"""Wrapping: what all retrievers share that are made around one other."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Self

from vicino import artifacts
from vicino.data.records import Document, Recipe
from vicino.encoders.base import Truncation
from vicino.errors import InputError
from vicino.retrieval.base import Passages, Retriever
from vicino.spaces import fingerprint

__all__ = ["Wrapping"]


class Wrapping(Retriever):
    """`parts` is the one retriever inside. A family writes `_search` and what it needs to know of the documents."""

    parts: Sequence[Retriever]

    @property
    def inner(self) -> Retriever:
        """The retriever inside. Raises InputError where there is not exactly one."""
        if len(self.parts) != 1:
            raise InputError(f"{type(self).__name__} wraps one retriever, not {len(self.parts)}", mend="give one part")
        return self.parts[0]

    @property
    def recipe(self) -> Recipe:
        params = {name: value for name, value in self.get_params().items() if name != "parts"}
        return Recipe(self.family, params, tuple(part.recipe for part in self.parts))

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        from vicino.retrieval import from_recipe

        made = cls.of(parts=[from_recipe(part) for part in recipe.parts], **recipe.params)
        made._require_sound()
        return made

    def identity(self) -> str:
        params = {name: value for name, value in self.get_params().items() if name != "parts"}
        return fingerprint([self.family, params, self.inner.identity()])

    def clone(self) -> Self:
        """An unbuilt copy with an unbuilt part of its own."""
        return type(self)(**{**self.get_params(), "parts": [part.clone() for part in self.parts]})

    def _require_sound(self) -> None:
        """Raise what is wrong with the parameters; a family adds its own."""
        self.inner  # noqa: B018 - there must be one

    @property
    def arithmetic(self) -> str:
        return self.inner.arithmetic

    @property
    def usage(self) -> str:
        return self.inner.usage

    def warm_up(self) -> None:
        self.inner.warm_up()

    def truncation(self, documents: Sequence[Document]) -> Truncation | None:
        return self.inner.truncation(documents)

    def follow(self, keys: AbstractSet[str], passages: Passages) -> int:
        self._require_sound()
        moved = self.inner.follow(keys, passages)
        self._take_up()
        return moved

    def change(self, removed: AbstractSet[str], added: AbstractSet[str], passages: Passages) -> None:
        self.inner.change(removed, added, passages)
        self._take_up()

    def _take_up(self) -> None:
        """The part holds other documents now."""
        self.ids_ = self.inner._require_built()

    def keep(self, folder: Path) -> None:
        self.inner.keep(folder)

    def resume(self, folder: Path) -> None:
        self.inner.resume(folder)

    @classmethod
    def _reopened(cls, saved: artifacts.Artifact) -> Self:
        """As it was saved, with its part open; what else was saved is the family's."""
        from vicino.retrieval import load

        recipe: dict[str, Any] = saved.data["recipe"]
        made = cls.of(parts=[load(saved.path / "part-0")], **recipe["params"])
        made._require_sound()
        return made
