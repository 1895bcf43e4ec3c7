"""Retriever: the contract of everything that answers a query with ranked documents.

What competes in `vicino compare` is a retriever. It is described by a `Recipe` (plain data), built over documents, searched
with text, and explains itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.records import Document, Hits, Query, Recipe
from vicino.encoders.base import Truncation
from vicino.errors import DuplicateIds, EmptyInput, InputError, NotFitted
from vicino.parameters import Parameterised
from vicino.retrieval import tracing
from vicino.spaces import Space

__all__ = ["Passages", "Retriever"]


class Passages(Protocol):
    """Where a retriever that follows a collection gets what is new: texts to read and vectors that are made already."""

    def documents(self, keys: AbstractSet[str]) -> Iterable[Document]:
        """The passages under these keys; each key is the id of one."""

    def vectors(self, keys: AbstractSet[str], space: Space) -> tuple[list[str], NDArray[np.float32]]:
        """Their vectors (n, dim), and the keys in the order of the rows."""

    def nearest(
        self, vectors: NDArray[np.float32], k: int, space: Space, among: frozenset[str] | None, effort: int | None
    ) -> Hits:
        """The k nearest of these keys (None: of all), as the store finds them with an `effort`: `Hits` of keys."""


class Retriever(Parameterised, ABC):
    """Queries -> ranked documents. A family writes `_build`, `_search`, `_change`, `_write` and `_restore`.

    A retriever is either built once, over documents, or follows a collection whose passages come and go.
    """

    family: ClassVar[str]
    ids_: NDArray[np.object_] | None = None

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """How to build this retriever again, as plain data."""

    @classmethod
    @abstractmethod
    def from_recipe(cls, recipe: Recipe) -> Retriever:
        """An unbuilt retriever; the reverse of `recipe`."""

    @classmethod
    def of_built(cls, parts: Sequence[Retriever], documents: Sequence[Document], **params: Any) -> Retriever:  # noqa: ARG003
        """From parts that hold what they should hold of these documents already. For kinds that are made of others."""
        raise InputError(f"{cls.__name__} is not made of parts", mend="build it over the documents")

    @classmethod
    def assemble(
        cls, recipe: Recipe, documents: Sequence[Document], build: Callable[[Recipe, Sequence[Document]], Retriever]
    ) -> Retriever:
        """As `of_built`, where `build` makes each part over what it is to hold, or knows where it has it already."""
        return cls.of_built([build(part, documents) for part in recipe.parts], documents, **recipe.params)

    @abstractmethod
    def _build(self, documents: Sequence[Document]) -> None:
        """Take checked documents in."""

    @abstractmethod
    def _search(self, queries: list[str], k: int, explain: bool, allow: Collection[str] | None) -> Hits:
        """Answer at least one query; 1 <= k <= number of documents. What is not in `allow`, where given, is no answer."""

    @abstractmethod
    def _write(self, folder: Path) -> None:
        """Save what was built, as an artifact at `folder` whose data holds "recipe"."""

    @classmethod
    @abstractmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Retriever:
        """The reverse of `_write`."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """The memory that searching needs for these documents, in bytes (the encoder's weights apart)."""

    @property
    def simple(self) -> bool:
        """True for an honest baseline: no weights to download, no training to speak of."""
        return False

    @property
    def floor(self) -> float | None:
        """The lowest score that this retriever can give, None where there is none: what fusing scales from."""
        return None

    def identity(self) -> str:
        """Names by content what this retriever will do once it is built: equal identities over equal documents rank alike."""
        return self.recipe.fingerprint

    @property
    def arithmetic(self) -> str:
        """What an encoder in here computes with ("float32", "bfloat16"), empty without one."""
        return ""

    @property
    def usage(self) -> str:
        """What asking servers cost in this process, empty where there is none."""
        return ""

    def warm_up(self) -> None:
        """Load and compile what the first call would wait for, so that timing can leave it out."""

    def truncation(self, documents: Sequence[Document]) -> Truncation | None:  # noqa: ARG002 - most retrievers have no limit
        """What a length limit cuts off these documents; None without one."""
        return None

    def build(self, documents: Iterable[Document]) -> Self:
        """Index the documents. Raises InputError (not documents), EmptyInput or DuplicateIds."""
        listed = _all_of(Document, documents)
        if not listed:
            raise EmptyInput("there are no documents to search in", mend="give at least one")
        ids = [document.id for document in listed]
        if len(set(ids)) != len(ids):
            raise DuplicateIds(
                f"{len(ids) - len(set(ids))} of {len(ids)} document ids repeat",
                mend="give each document an id of its own",
            )
        self._build(listed)
        self.ids_ = np.array(ids, dtype=object)
        return self

    def follow(self, keys: AbstractSet[str], passages: Passages) -> int:
        """From now on hold exactly the passages `keys`; how many came and went. Raises InputError for one that was built."""
        held = frozenset() if self.ids_ is None else frozenset(name for name in self.ids_ if name is not None)
        self.change(held - keys, keys - held, passages)
        return len(held ^ keys)

    def change(self, removed: AbstractSet[str], added: AbstractSet[str], passages: Passages) -> None:
        """As `follow`, for who knows the difference."""
        if removed or added or self.ids_ is None:
            self._change(removed, added, passages)

    def _change(
        self,
        removed: AbstractSet[str],  # noqa: ARG002 - for those that can
        added: AbstractSet[str],  # noqa: ARG002
        passages: Passages,  # noqa: ARG002
    ) -> None:
        """Give up and take in; set `ids_`, with None in a place that holds nothing."""
        raise InputError(f"{type(self).__name__} cannot follow a collection", mend="choose another recipe for it, such as bm25")

    def keep(self, folder: Path) -> None:
        """Write what following cost, and the collection does not hold anyway; `resume` of an unbuilt copy has it back."""

    def resume(self, folder: Path) -> None:
        """Take back what `keep` wrote. Raises ArtifactError or ArtifactCorrupt."""

    def search(
        self,
        queries: str | Query | Iterable[str | Query],
        k: int = 10,
        *,
        explain: bool = False,
        allow: Collection[str] | None = None,
    ) -> Hits:
        """The k best documents of each query. One query alone gives `Hits` of one row. A k beyond the corpus gives all.

        `allow` restricts the answers to these ids; nothing is missed for that. Raises NotFitted before `build`, InputError for a
        k under 1 or what is not a query.
        """
        self._require_built()
        if k < 1:
            raise InputError(f"k is {k}", mend="ask for at least one answer")
        listed = [queries] if isinstance(queries, str | Query) else _all_of(str | Query, queries)
        texts = [query.text if isinstance(query, Query) else query for query in listed]
        if not texts:
            return Hits(np.empty((0, 0), dtype=object), np.empty((0, 0), dtype=np.float32), why=[] if explain else None)
        k = min(k, len(self._require_built()))
        if k == 0:
            nothing = np.empty((len(texts), 0))
            return Hits(nothing.astype(object), nothing.astype(np.float32), why=[[]] * len(texts) if explain else None)
        with tracing.stage(self.family):
            hits = self._search(texts, k, explain, allow)
        tracing.answered(self, hits)
        return hits

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the retriever, with its encoder and index, to a folder; `vicino.load(path)` opens it."""
        self._require_built()
        self._write(Path(path))
        return Path(path)

    def _require_built(self) -> NDArray[np.object_]:
        if self.ids_ is None:
            raise NotFitted(f"{type(self).__name__} holds no documents", mend="call .build(documents) first")
        return self.ids_

    def _data(self, **more: Any) -> Mapping[str, Any]:
        return {"retriever": self.family, "recipe": self.recipe.to_json(), **more}


def _all_of(kind: Any, items: Any) -> list[Any]:
    """The items as a list, all of one kind. Raises InputError."""
    wanted = " or ".join(each.__name__ for each in getattr(kind, "__args__", [kind]))
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        raise InputError(f"{type(items).__name__} is not a list of {wanted}", mend="give a list, even of one")
    listed = list(items)
    for row, item in enumerate(listed):
        if not isinstance(item, kind):
            raise InputError(f"item {row} is of type {type(item).__name__}, not {wanted}", mend=f"give only {wanted} items")
    return listed
