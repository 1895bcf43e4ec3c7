"""GET and POST /api/search: a question to a collection."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.responses import JSONResponse, Response

from vicino.data.kinds import kind_of
from vicino.encoders.rerankers import Reranker
from vicino.errors import InputError
from vicino.retrieval.asking import Asking, ask, view
from vicino.retrieval.stored import Stored
from vicino.server.failures import Refused
from vicino.server.handlers.openai import require_texts
from vicino.server.handlers.reaching import reached
from vicino.server.models import unknown
from vicino.server.schemas_searching import SearchLink, SearchRequest
from vicino.server.security import Caller, caller_of
from vicino.server.served import Served, served_of
from vicino.store.collection import Collection

__all__ = ["asking_of", "configuration_of", "require_askable", "require_words", "reranker_of", "search", "search_by_get"]


async def search(body: SearchRequest, served: Served = Depends(served_of), caller: Caller = Depends(caller_of)) -> Response:
    """The documents that answer, each by its best passage, with the time of each stage.

    `mode` asks parts of the recipe apart; with `explain` each answer says why it is there. What was ingested last is found.
    """
    tenant = caller.tenant_for(body.tenant)
    require_texts([body.query], served, param="query")
    return await served.run(_search, served, body, tenant)


async def search_by_get(
    body: Annotated[SearchLink, Query()], served: Served = Depends(served_of), caller: Caller = Depends(caller_of)
) -> Response:
    """The same, for links and for curl."""
    return await search(body, served, caller)


def _search(served: Served, body: SearchRequest, tenant: str) -> Response:
    asking = asking_of(served, body)
    reranker = reranker_of(served, body.rerank)
    with reached(served, body.collection, tenant) as stored:
        require_askable(stored, asking, reranked=reranker is not None)
        answer = ask(stored, asking, reranker=reranker)
    plain: dict[str, Any] = {
        "results": [result.to_json() for result in answer.results],
        "timing": answer.timing,
        "how": answer.how,
        "complete": answer.complete,
        "configuration": configuration_of(body),
        "next_offset": answer.next_offset if answer.next_offset is None or _goes_on(served, answer.next_offset) else None,
    }
    return JSONResponse(plain)


def _goes_on(served: Served, offset: int) -> bool:
    return offset <= served.settings.max_offset


def configuration_of(body: SearchRequest) -> dict[str, Any]:
    """What was asked, without the question: what a judgment keeps."""
    return body.model_dump(exclude={"query", "tenant", "explain", "document", "source"}, exclude_none=True)


def asking_of(served: Served, body: SearchRequest) -> Asking:
    """What is asked, within the limits of this server. Raises Refused."""
    for name, most in (("k", served.settings.max_k), ("offset", served.settings.max_offset)):
        if getattr(body, name) > most:
            mend = f"give at most {most:,}; a filter (where) finds what is further down"
            raise Refused(400, f"{name} is {getattr(body, name):,}", mend=mend, code="too_large", param=name)
    wanted = ("query", "k", "offset", "where", "mode", "weight", "space", "depth", "explain")
    return Asking(**{name: getattr(body, name) for name in wanted})


def reranker_of(served: Served, name: str | None) -> Reranker | None:
    """A reranker that is served, opened. Raises Refused, a 404."""
    if name is None:
        return None
    if name not in served.rerankers:
        raise unknown(name, served.rerankers)
    return served.rerankers[name].open()


def require_askable(stored: Stored, asking: Asking, *, reranked: bool) -> None:
    """Raise Refused, a 400, for a filter or a space that the collection does not know, and as `require_words`."""
    require_words(stored.collection, reranked=reranked)
    for name, look in (("where", lambda: stored.allowed(asking.where)), ("mode", lambda: view(stored, asking))):
        try:
            look()
        except InputError as error:
            raise Refused(400, error.what, mend=error.mend, code="invalid_value", param=name) from error


def require_words(collection: Collection, *, reranked: bool = False) -> None:
    """Raise Refused for a collection that is asked by files: nobody may name a file of this machine from outside."""
    kind = kind_of(collection.accepts)
    if kind.by_file:
        what = f"{collection.name!r} is a collection of {kind.name}, and is asked by a file"
        raise Refused(400, what, mend="ask it on the machine itself: vicino search NAME --image FILE", code="not_by_words")
    kind.require_question("", reranked=reranked)
