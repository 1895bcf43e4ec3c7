"""What a server answers, as frozen records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

__all__ = ["Answer", "Ranked", "Result"]

T = TypeVar("T", "Answer", "Result")


@dataclass(frozen=True)
class Result:
    """A document, and its best passage: `text == document text[start:end]`, in characters. `why` is there where asked for."""

    rank: int
    document: str
    source: str
    score: float
    start: int
    end: int
    title: str
    text: str
    metadata: Mapping[str, Any]
    why: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Answer(Sequence[Result]):
    """The results of a search, best first. `complete` says that nothing better can have been missed, `how` why.

    `timing` is in milliseconds a stage, `configuration` what was asked, `next_offset` where the next page begins (None: none).
    """

    results: tuple[Result, ...]
    timing: Mapping[str, float] = field(default_factory=dict)
    how: str = ""
    complete: bool = True
    configuration: Mapping[str, Any] = field(default_factory=dict)
    next_offset: int | None = None

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __getitem__(self, place: Any) -> Any:
        return self.results[place]

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Answer:
        """What /api/search answers; fields of newer servers are passed over."""
        results = tuple(_known(Result, one) for one in plain["results"])
        return _known(cls, {**plain, "results": results})


@dataclass(frozen=True)
class Ranked:
    """A document's place in the list that was given, and how well it answers: higher is better."""

    index: int
    score: float


def _known(kind: type[T], plain: Mapping[str, Any]) -> T:
    names = {each.name for each in fields(kind)}
    return kind(**{name: value for name, value in plain.items() if name in names})
