"""The requests and answers of /v1 and of health, with examples: what the OpenAPI document says."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

__all__ = [
    "Body",
    "Embedding",
    "Embeddings",
    "EmbeddingsRequest",
    "Failure",
    "FailureBody",
    "Health",
    "Model",
    "Models",
    "Passage",
    "Ranked",
    "Ready",
    "RerankRequest",
    "Reranking",
    "Tolerant",
    "Usage",
]


class Body(BaseModel):
    """What a request says: unknown fields are refused, NaN and infinities too, and `true` or "5" where a number is asked."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, strict=True)


class Tolerant(BaseModel):
    """What clients of others send: fields that mean something elsewhere are passed over."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, frozen=True, strict=True)


# What is checked by hand, for errors that say more than a pattern can, and stands in the OpenAPI document all the same.
_TEXT = {"type": "string", "minLength": 1, "pattern": r"\S"}
_INPUT = {
    "anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}],
    "title": "Input",
    "description": "One text or several. Token ids are refused: a vocabulary is the model's own.",
    "examples": [["Near means alike.", "A map of meaning"]],
}
Text = Annotated[str, WithJsonSchema(_TEXT)]


class FailureBody(BaseModel):
    """OpenAI's error, with what mends it."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None
    mend: str = ""
    request_id: str = ""


class Failure(BaseModel):
    """What every request is told that goes wrong."""

    error: FailureBody

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "error": {
                    "message": "there is no model named 'mini'",
                    "type": "not_found_error",
                    "param": "model",
                    "code": "model_not_found",
                    "mend": "did you mean minilm? There are: minilm",
                    "request_id": "5f0c6a0e3f4b4a0c",
                }
            }
        }
    )


class EmbeddingsRequest(Tolerant):
    """OpenAI's "Create embeddings"; and `input_type` where a model has prompts or towers, `truncate` to cut what is too long."""

    model: str = Field(max_length=200, description="A name of /v1/models.", examples=["minilm"])
    input: Annotated[str | list[str] | list[int] | list[list[int]], WithJsonSchema(_INPUT)]
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: little-endian float32.")
    dimensions: int | None = Field(None, ge=1, le=1 << 20, description="Keep the first ones, at length 1.")
    input_type: Literal["query", "document", "search_query", "search_document"] | None = None
    truncate: bool = Field(False, description="Cut what is over the model's limit and count it, instead of refusing it.")
    user: str | None = Field(None, max_length=512, description="Passed over.")


class Usage(BaseModel):
    """Tokens that were read; `truncated_tokens` were cut off before, of `truncated_texts` texts."""

    prompt_tokens: int
    total_tokens: int
    truncated_texts: int = 0
    truncated_tokens: int = 0


class Embedding(BaseModel):
    """One vector, as numbers or as base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Embeddings(BaseModel):
    """The vectors, in the order of the texts. `space` names what they may be compared with."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage
    space: str = ""


class Model(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "vicino"
    kind: Literal["encoder", "reranker"]
    dim: int | None = None
    space: str | None = None
    similarity: str | None = None
    limit: int | None = Field(
        None, description="Tokens that it reads of one text; null for no limit, or while it is being opened."
    )
    arithmetic: str | None = None


class Models(BaseModel):
    """OpenAI's list of models."""

    object: Literal["list"] = "list"
    data: list[Model]


class Passage(Tolerant):
    """A document in Cohere's and Jina's long form."""

    text: Text


class RerankRequest(Tolerant):
    """The shape that Cohere (v1, v2) and Jina share."""

    model: str | None = Field(None, max_length=200, description="A reranker or an encoder; by default the first that is served.")
    query: Text = Field(examples=["how do wings lift?"])
    documents: list[Text | Passage] = Field(
        json_schema_extra={"minItems": 1}, examples=[["Wings lift because ...", "Tea steeps in boiling water."]]
    )
    top_n: int | None = Field(None, ge=1, le=1 << 20)
    return_documents: bool = False


class Ranked(BaseModel):
    """One document's place."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class Reranking(BaseModel):
    """Best first. `scoring` says what the scores are: a reranker's, from 0 to 1, or an encoder's similarity."""

    id: str
    object: Literal["list"] = "list"
    model: str
    results: list[Ranked]
    scoring: str
    usage: Usage
    meta: dict[str, Any]


class Health(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"
    version: str


class Ready(BaseModel):
    """Whether models and indexes are loaded; `waiting` are not yet, `failed` could not be."""

    ready: bool
    waiting: list[str] = []
    failed: dict[str, str] = {}
