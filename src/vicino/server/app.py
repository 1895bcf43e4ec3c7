"""The table of routes, and the application that is made of it. Start reading here.

From the outside in: `logs.Recording` (an id, a log line, figures, a 500 that tells nothing), `security.Guard` (who is asking, and
whether what comes in is bearable), `abandoning.Attended` (nobody works for a client that went away), then the routes.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vicino import __version__
from vicino.errors import VicinoError
from vicino.server import failures
from vicino.server import schemas_collections as about
from vicino.server import schemas_maps as drawn
from vicino.server import schemas_searching as asked
from vicino.server.abandoning import Attended
from vicino.server.handlers import collections, health, ingesting, judgments, maps, openai, reranking, searching, studies, why_not
from vicino.server.handlers.ingesting import INGEST_BODY, LINES
from vicino.server.listing import listing
from vicino.server.logs import Recording
from vicino.server.page import PATHS, page
from vicino.server.schemas import Embeddings, Failure, Health, Model, Models, Ready, Reranking
from vicino.server.security import Guard, require
from vicino.server.served import Served
from vicino.server.settings import Settings
from vicino.server.strict_json import StrictRoute

__all__ = ["ROUTES", "Route", "build"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Route:
    """An endpoint: who may ask it ("open", or from "read" over "write" to "admin"), and the model of what it answers.

    Where `answer` is None the handler's response says for itself what it is, `kind` names its type.
    """

    method: str
    path: str
    handler: Callable[..., Any]
    scope: str
    summary: str
    answer: type[BaseModel] | None = None
    status: int = 200
    kind: str = "application/json"
    body: Mapping[str, Any] | None = None  # what the OpenAPI document says of a body that the handler reads by itself

    @property
    def tag(self) -> str:
        """The part of the API that it belongs to."""
        return self.path.split("/")[1]


_COLLECTION = "/api/collections/{name}"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", health.health, "open", "Is the process alive?", Health),
    Route("GET", "/ready", health.ready, "open", "Are models and indexes loaded?", Ready),
    Route("GET", "/metrics", health.metrics, "read", "Figures for Prometheus", kind="text/plain"),
    Route("GET", "/v1/models", openai.models, "read", "The models that are served", Models),
    Route("GET", "/v1/models/{name:path}", openai.model, "read", "One model", Model),
    Route("POST", "/v1/embeddings", openai.embeddings, "read", "Vectors of texts, as OpenAI's clients ask for them", Embeddings),
    Route("POST", "/v1/rerank", reranking.rerank, "read", "Documents in the order of how well they answer", Reranking),
    Route("POST", "/v2/rerank", reranking.rerank, "read", "The same, where Cohere's newer client asks", Reranking),
    Route("GET", "/api/collections", collections.collections, "read", "What there is to search", about.Collections),
    Route("GET", "/api/search", searching.search_by_get, "read", "Search, by a link", asked.SearchAnswer),
    Route("POST", "/api/search", searching.search, "read", "Search a collection", asked.SearchAnswer),
    Route("POST", "/api/why-not", why_not.why_not, "read", "Why a document is not among the answers", asked.WhyNot),
    Route("GET", "/api/judgments", judgments.judgments, "read", "What people said of answers", about.Judgments),
    Route("POST", "/api/judgments", judgments.judge, "write", "Keep a judgment", about.Kept, status=201),
    Route("DELETE", "/api/judgments/{id}", judgments.unjudge, "write", "Take a judgment back", about.Kept),
    Route("GET", "/api/studies", studies.studies, "read", "What was compared", about.Studies),
    Route("GET", "/api/studies/{id}", studies.study, "read", "One comparison, whole"),
    Route("POST", f"{_COLLECTION}/documents", ingesting.keep, "write", "Keep documents", kind=LINES, body=INGEST_BODY),
    Route("DELETE", f"{_COLLECTION}/documents", ingesting.delete, "write", "Take documents out", about.Deleted),
    Route("POST", f"{_COLLECTION}/maintain", ingesting.maintain, "admin", "Merge files, renew indexes", about.Maintenance),
    Route("GET", f"{_COLLECTION}/map", maps.map_info, "read", "The map of a collection", drawn.MapInfo),
    Route("POST", f"{_COLLECTION}/map", maps.map_make, "write", "Begin to make a map", drawn.MapInfo, status=202),
    Route("GET", f"{_COLLECTION}/map/coordinates", maps.coordinates, "read", "Where its points are", kind=maps.BINARY),
    Route("GET", f"{_COLLECTION}/map/field/{{field}}", maps.field, "read", "What colours its points", kind=maps.BINARY),
    Route("POST", f"{_COLLECTION}/map/points", maps.points, "read", "What its points are", drawn.Points),
    Route("POST", f"{_COLLECTION}/map/neighbours", maps.neighbours, "read", "What is truly near", drawn.Neighbours),
)

_FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Failure, "description": "What was asked cannot be, and what to do instead"},
    "5XX": {"model": Failure, "description": "The server failed"},
}
_bearer = HTTPBearer(auto_error=False, description="A key that `vicino keys add` made; without any keys, none is needed.")


def build(settings: Settings) -> FastAPI:
    """The application. Raises UnknownName and InputError for settings that name what is not there."""
    served = Served(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        served.start()
        yield
        await served.close()

    app = FastAPI(
        title="vicino",
        version=__version__,
        description="Embeddings, reranking and search over your collections.",
        lifespan=lifespan,
        docs_url=None,  # it would load scripts from elsewhere; `listing` is a page without any
        redoc_url=None,
    )
    app.router.route_class = StrictRoute
    app.state.served = served
    for route in ROUTES:
        _add(app, route)
    for path in PATHS:
        app.add_api_route(path, page, methods=["GET"], include_in_schema=False)
    app.add_api_route("/docs", listing, methods=["GET"], include_in_schema=False)
    app.add_exception_handler(VicinoError, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(Attended)
    app.add_middleware(Guard, settings=settings, routes=ROUTES)
    app.add_middleware(Recording, metrics=served.metrics)  # the last one added is the outermost
    return app


def _add(app: FastAPI, route: Route) -> None:
    keyed = [] if route.scope == "open" else [Depends(_bearer), Depends(require(route.scope))]
    unkeyed: dict[str, Any] = {"security": [{}]} if keyed else {}  # before the first key is made, none is needed
    told: dict[int | str, dict[str, Any]] = {} if route.answer else {route.status: {"content": {route.kind: {}}}}
    app.add_api_route(
        route.path,
        route.handler,
        methods=[route.method],
        summary=route.summary,
        response_model=route.answer,
        status_code=route.status,
        responses={**told, **_FAILURES},
        dependencies=keyed,
        openapi_extra={**unkeyed, **(route.body or {})},
        tags=[route.tag],
        operation_id=f"{route.method.lower()}{route.path.replace(':path', '')}".translate(str.maketrans("/-", "__", "{}")),
    )


async def _failed(request: Request, error: Exception) -> Response:
    if failures.status_of(error) >= 500:
        log.error("failed", exc_info=error, extra={"fields": {"request_id": _id(request)}})
    return failures.answer(error, _id(request))


async def _invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    return failures.answer(failures.invalid(found), _id(request))


async def _refused(request: Request, error: Exception) -> Response:
    """What the router says: no such path, or not by this method."""
    status = getattr(error, "status_code", 500)
    codes = {404: "not_found", 405: "method_not_allowed"}
    made = failures.Refused(
        status,
        str(getattr(error, "detail", "it failed")),
        mend="see /docs for what there is",
        code=codes.get(status, "invalid_request"),
        headers=getattr(error, "headers", None),
    )
    return failures.answer(made, _id(request))


def _id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))
