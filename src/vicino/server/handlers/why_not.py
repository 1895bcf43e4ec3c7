"""POST /api/why-not: why a document is not among the answers."""

from __future__ import annotations

from typing import Any

from fastapi import Depends

from vicino.retrieval.missing import why_not as follow
from vicino.server.handlers.openai import require_texts
from vicino.server.handlers.reaching import reached
from vicino.server.handlers.searching import asking_of, require_askable, reranker_of
from vicino.server.schemas_searching import WhyNotRequest
from vicino.server.security import Caller, caller_of
from vicino.server.served import Served, served_of

__all__ = ["why_not"]


async def why_not(
    body: WhyNotRequest, served: Served = Depends(served_of), caller: Caller = Depends(caller_of)
) -> dict[str, Any]:
    """The document's place in every stage of the search, and the one where it was lost.

    Filtered, without a shared word, too far, passed by in an approximate index, or below the last that is shown.
    """
    tenant = caller.tenant_for(body.tenant)
    require_texts([body.query], served, param="query")
    return await served.run(_follow, served, body, tenant)


def _follow(served: Served, body: WhyNotRequest, tenant: str) -> dict[str, Any]:
    asking, reranker = asking_of(served, body), reranker_of(served, body.rerank)
    with reached(served, body.collection, tenant) as stored:
        require_askable(stored, asking, reranked=reranker is not None)
        return follow(stored, asking, body.document, source=body.source, reranker=reranker).to_json()
