"""The plain records that move between rooms. All are frozen; none knows a file format or a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError

__all__ = ["Chunk", "Document", "Hits", "Judgement", "Query", "Recipe"]

NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Document:
    """One thing to be found. `content` is what models read: the title, where there is one, and the text.

    >>> Document("7", "Wings lift.", title="On lift").content
    'On lift\\nWings lift.'
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: `text == document.text[start:end]`, in characters."""

    document_id: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """One thing that somebody asks. What is known about it (`metadata`) makes it no other query."""

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How well a document answers a query: 0 not at all, higher is better."""

    query_id: str
    document_id: str
    grade: int


@dataclass(frozen=True, eq=False)
class Hits:
    """Ranked answers to n queries, best first.

    `ids` is (n, k) of str, None where a query has fewer than k answers; `scores` is (n, k) float32, -inf there.
    `complete` is False where an approximate or filtered search knows that it may have missed something. `why`, asked for
    with `explain=True`, holds for each query one plain mapping for each answer. `how` says in words how an index found them.
    """

    ids: NDArray[np.object_]
    scores: NDArray[np.float32]
    complete: bool = True
    why: Sequence[Sequence[Mapping[str, Any]]] | None = None
    how: str = ""

    def __post_init__(self) -> None:
        if self.ids.ndim != 2 or self.ids.shape != self.scores.shape:
            raise InputError(
                f"hits of ids {self.ids.shape} and scores {self.scores.shape} do not fit",
                mend="give both as (queries, k) arrays of one shape",
            )

    @classmethod
    def of_rows(
        cls,
        names: NDArray[np.object_],
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
        complete: bool | None = True,
        **more: Any,
    ) -> Hits:
        """From places in `names`, -1 for none. `complete` None: where there is none of those.

        >>> names = np.array(["x", "y"], dtype=object)
        >>> Hits.of_rows(names, np.array([[1, -1]]), np.array([[0.5, 0.0]], dtype=np.float32)).top()
        [('y', 0.5)]
        """
        ids = names[rows]
        lacking = rows.size > 0 and rows.item(rows.argmin()) < 0
        if lacking:
            nobody = rows < 0
            ids[nobody] = None
            scores = np.where(nobody, -np.inf, scores)
        return cls(ids, np.asarray(scores, dtype=np.float32), not lacking if complete is None else complete, **more)

    def __len__(self) -> int:
        return len(self.ids)

    def top(self, row: int = 0) -> list[tuple[str, float]]:
        """The (id, score) pairs of one query, without padding."""
        pairs = zip(self.ids[row], self.scores[row], strict=True)
        return [(str(name), float(score)) for name, score in pairs if name is not None]


@dataclass(frozen=True)
class Recipe:
    """How to build a retriever, as plain data: a name from RETRIEVERS, its parameters and the recipes of its parts.

    `params` holds only what JSON can say; an encoder stands in it as "encoder", a name, and "encoder_params".

    >>> recipe = Recipe("lexical", {"k1": 1.2})
    >>> Recipe.from_json(recipe.to_json()) == recipe
    True
    """

    retriever: str
    params: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Recipe, ...] = ()

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = {"retriever": self.retriever, "params": dict(self.params)}
        if self.parts:
            plain["parts"] = [part.to_json() for part in self.parts]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Recipe:
        parts = tuple(cls.from_json(part) for part in plain.get("parts", ()))
        return cls(str(plain["retriever"]), dict(plain.get("params", NOTHING)), parts)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name this recipe by content."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]
