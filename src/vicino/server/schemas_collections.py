"""The requests and answers of /api about collections, judgments and studies, with examples: what the OpenAPI document says."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from vicino.server.schemas import Body

__all__ = [
    "CollectionInfo",
    "CollectionName",
    "Collections",
    "DeleteRequest",
    "Deleted",
    "DocumentId",
    "DocumentIn",
    "IngestRequest",
    "JudgmentOf",
    "JudgmentRequest",
    "Judgments",
    "Kept",
    "Maintenance",
    "SpaceOf",
    "Studies",
    "StudyOf",
    "Tenant",
]

CollectionName = Annotated[str, Field(min_length=1, max_length=100, examples=["docs"])]
Tenant = Annotated[str | None, Field(max_length=200, description="Whose documents; for keys of the scope admin.")]
DocumentId = Annotated[str, Field(min_length=1, max_length=10_000, examples=["wings.md"])]


class SpaceOf(BaseModel):
    """Where one encoder's vectors live."""

    id: str
    dim: int
    similarity: str
    encoder: str


class CollectionInfo(BaseModel):
    """What is kept under a name. One that cannot be opened has a name and an `error` alone."""

    name: str
    documents: int = 0
    passages: int = 0
    recipe: dict[str, Any] = {}
    label: str = ""
    spaces: list[SpaceOf] = []
    fields: dict[str, str] = Field({}, description="What `where` may name, and what each holds.", examples=[{"lang": "text"}])
    accepts: list[str] = []
    indexes: list[dict[str, Any]] = []
    error: str | None = None


class Collections(BaseModel):
    """All that the caller may search."""

    collections: list[CollectionInfo]


class JudgmentRequest(Body):
    """How well a document answers a query: 0 not at all, 3 fully."""

    collection: CollectionName
    query: str = Field(min_length=1, max_length=1 << 16, pattern=r"\S", examples=["how do wings lift?"])
    document: DocumentId
    source: str | None = Field(None, max_length=10_000)
    grade: int = Field(ge=0, le=3, examples=[2])
    rater: str = Field("", max_length=200)
    blind: bool = False
    configuration: dict[str, Any] | None = None
    tenant: Tenant = None


class Kept(BaseModel):
    """It is on disk, under this id."""

    id: str


class JudgmentOf(BaseModel):
    """One that is kept."""

    id: str
    created: str
    query: str
    document: str
    source: str
    grade: int
    rater: str
    blind: bool
    configuration: dict[str, Any] | None = None


class Judgments(BaseModel):
    """In the order in which they were made."""

    collection: str
    judgments: list[JudgmentOf]
    next_offset: int | None = None


class StudyOf(BaseModel):
    """A comparison that `vicino compare` made."""

    id: str
    name: str
    created: str
    metric: str
    pick: str
    sentence: str
    candidates: int
    queries: int


class Studies(BaseModel):
    """The latest first."""

    studies: list[StudyOf]


class DocumentIn(Body):
    """A document to keep. Another one of the same id, from the same source, is replaced."""

    id: DocumentId
    text: str = Field(examples=["Wings lift an aeroplane because the air above them flows faster."])
    title: str = Field("", max_length=100_000)
    metadata: dict[str, Any] = Field({}, examples=[{"lang": "en", "year": 2024}])


class IngestRequest(Body):
    """Documents to keep. `source` names where they are from; `recipe`, at the first time, how they are searched."""

    documents: list[DocumentIn] = Field(min_length=1)
    source: str = Field("api", min_length=1, max_length=1000)
    recipe: str | None = Field(None, max_length=200, examples=["bm25+minilm"])
    tenant: Tenant = None


class DeleteRequest(Body):
    """Which documents go: those that `ids` names, those of which a passage matches `where`, or with both those of both."""

    ids: list[DocumentId] | None = Field(None, min_length=1, max_length=100_000)
    where: str | None = Field(None, min_length=1, max_length=100_000, examples=["year < 2000"])
    tenant: Tenant = None


class Deleted(BaseModel):
    """What went; `unknown` are ids that no document has."""

    documents: int
    passages: int
    unknown: list[str]


class Maintenance(BaseModel):
    """What was done; `busy` says that another process is at it, and nothing was."""

    collection: str
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    reindexed: int
    seconds: float
    busy: bool = False
