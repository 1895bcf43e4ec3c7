"""The requests and answers of /api/search and /api/why-not, with examples."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vicino.server.schemas import Body
from vicino.server.schemas_collections import CollectionName, DocumentId, Tenant

__all__ = [
    "Extent",
    "FusedPart",
    "Result",
    "SearchAnswer",
    "SearchLink",
    "SearchRequest",
    "StageOf",
    "Term",
    "Timing",
    "Why",
    "WhyDense",
    "WhyFusion",
    "WhyLexical",
    "WhyNot",
    "WhyNotRequest",
    "WhyRerank",
]


class SearchRequest(Body):
    """A question to a collection. What is left out is as the collection was made."""

    collection: CollectionName
    query: str = Field(min_length=1, max_length=1 << 20, examples=["how do wings lift?"])
    k: int = Field(10, ge=1, le=10_000)
    offset: int = Field(0, ge=0, le=1_000_000, description="How many answers to pass over: the `next_offset` of the page before.")
    where: str | None = Field(None, max_length=100_000, description="A filter.", examples=["lang = 'en' and year > 2020"])
    mode: Literal["recipe", "lexical", "dense", "hybrid"] = Field("recipe", description="Which parts of the recipe to ask.")
    weight: float | None = Field(None, ge=0, le=1, description="Of a hybrid: the share of the vectors.")
    space: str | None = Field(None, max_length=200, description="Of several spaces the one to ask: an encoder's name, or an id.")
    rerank: str | None = Field(None, max_length=200, description="A reranker of /v1/models.")
    depth: int = Field(100, ge=1, le=1000, description="How many passages it reads.")
    explain: bool = Field(False, description="Say of each answer why it is there.")
    tenant: Tenant = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"collection": "docs", "query": "how do wings lift?", "k": 3, "explain": True}]},
    )


class SearchLink(SearchRequest):
    """The same in an address, where all is text."""

    model_config = ConfigDict(strict=False)


class Term(BaseModel):
    """A term of the question: what it adds, and how often the passage has it."""

    term: str
    weight: float
    count: int


class WhyLexical(BaseModel):
    """BM25: the sum of what its terms add, and the place among all passages."""

    score: float
    rank: int | None
    terms: list[Term]


class WhyDense(BaseModel):
    """Nearness in one space, the place among all passages, and the share of all documents that score lower, in percent."""

    space: str
    score: float
    rank: int | None
    percentile: float = Field(ge=0, le=100)


class FusedPart(BaseModel):
    """What a list adds: its weight times the share of the place (rrf), or of the score (convex), that it gives."""

    name: str
    rank: int | None
    weight: float
    share: float
    product: float


class WhyFusion(BaseModel):
    """The sum that a fused score is."""

    method: str
    parts: list[FusedPart]
    sum: float


class WhyRerank(BaseModel):
    """Places among the documents, before the reranker read and after."""

    before: int | None
    after: int | None
    score: float | None


class Extent(BaseModel):
    """Where the passage stands in its document, in characters, and some of what stands before and after it."""

    start: int
    end: int
    before: str = ""
    after: str = ""


class Why(BaseModel):
    """Why an answer is there; stages that there were not are left out."""

    lexical: WhyLexical | None = None
    dense: list[WhyDense] | None = None
    fusion: WhyFusion | None = None
    rerank: WhyRerank | None = None
    passage: Extent | None = None


class Result(BaseModel):
    """A document by its best passage: `text` is its characters from `start` to `end`. It is data, never markup."""

    rank: int
    document: str
    source: str
    score: float
    start: int
    end: int
    title: str
    text: str
    metadata: dict[str, Any]
    why: Why | None = None


class Timing(BaseModel):
    """Milliseconds of each stage that there was, and of all."""

    embed_ms: float | None = None
    lexical_ms: float | None = None
    dense_ms: float | None = None
    fuse_ms: float | None = None
    rerank_ms: float | None = None
    fetch_ms: float
    total_ms: float


class SearchAnswer(BaseModel):
    """Best first. `complete` is false where an approximate index knows that it may have missed something."""

    results: list[Result]
    timing: Timing
    how: str
    complete: bool
    configuration: dict[str, Any]
    next_offset: int | None


class WhyNotRequest(SearchRequest):
    """The search, and the document that was expected."""

    document: DocumentId
    source: str | None = Field(None, max_length=10_000, description="Which document, where several sources have one of this id.")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"collection": "docs", "query": "how do wings lift?", "document": "tea.md"}]},
    )


class StageOf(BaseModel):
    """What a stage made of the document."""

    stage: Literal["filter", "lexical", "dense", "index", "fusion", "rerank", "truncation"]
    state: Literal["passed", "missed", "out", "not asked"]
    rank: int | None
    score: float | None
    needed: float | None
    say: str


class WhyNot(BaseModel):
    """Where the document was lost, in one sentence and stage by stage."""

    document: str
    source: str
    rank: int | None
    stages: list[StageOf]
    verdict: str
