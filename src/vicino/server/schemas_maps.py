"""The requests and answers of /api/collections/{name}/map, with examples."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from vicino.server.schemas import Body

__all__ = [
    "MapField",
    "MapInfo",
    "Neighbours",
    "NeighboursRequest",
    "Point",
    "Points",
    "PointsRequest",
]


class MapField(BaseModel):
    """A field to colour by: codes into `values`, the most frequent first; without them it holds numbers."""

    name: str
    kind: str
    values: list[str] | None = None


class MapInfo(BaseModel):
    """A map of a collection's passages: `n` points of `of`. `kept` is the share of neighbours that are near on it too.

    Row i is the same passage on every map of one version, whatever the space and the method; a smaller map has the first rows.
    """

    n: int
    of: int
    method: str
    methods: list[str]
    kept: float | None
    by_chance: float
    seed: int
    space: str
    fields: list[MapField]
    state: Literal["ready", "making"]
    progress: float | None = Field(None, ge=0, le=1)
    stale: bool = Field(False, description="The collection changed since this map was made.")
    measuring: bool = Field(False, description="How many neighbours it keeps is being counted: ask again.")


class PointsRequest(Body):
    """Rows of a map."""

    rows: list[int] = Field(min_length=1, max_length=1000, examples=[[0, 1, 2]])


class Point(BaseModel):
    """What stands at a row."""

    row: int
    document: str
    source: str
    title: str
    text: str
    metadata: dict[str, Any]


class Points(BaseModel):
    """In the order of the rows; those of passages that are gone are left out."""

    points: list[Point]


class NeighboursRequest(Body):
    """Of a text, or of a row: one of the two."""

    query: str | None = Field(None, min_length=1, max_length=1 << 16, examples=["how do wings lift?"])
    row: int | None = Field(None, ge=0)
    k: int = Field(10, ge=1, le=1000)
    space: str | None = Field(None, max_length=200)


class Neighbours(BaseModel):
    """The nearest rows by the vectors themselves, whatever the map shows; `share_kept` of them are near on the map too.

    It is null for a text, which has no place on the map.
    """

    rows: list[int]
    scores: list[float]
    share_kept: float | None
