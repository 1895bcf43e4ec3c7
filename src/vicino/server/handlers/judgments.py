"""/api/judgments: what people say of answers, kept on disk before they are thanked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from starlette.responses import JSONResponse, Response

from vicino.data.filters import And, Compare, In
from vicino.data.pools import write_pool
from vicino.errors import UnknownName
from vicino.server.handlers.reaching import collection_of
from vicino.server.schemas_collections import JudgmentRequest
from vicino.server.security import Caller, caller_of
from vicino.server.served import Served, served_of
from vicino.store import judgments as kept
from vicino.store.collection import Collection
from vicino.store.judgments import Judgment

__all__ = ["judge", "judgments", "unjudge"]

Format = Literal["json", "csv", "qrels"]
Name = Annotated[str, Query(min_length=1, max_length=100, examples=["docs"])]
Tenant = Annotated[str | None, Query(max_length=200)]

_AT_ONCE = 1000  # documents that one condition names


async def judge(
    body: JudgmentRequest, served: Served = Depends(served_of), caller: Caller = Depends(caller_of)
) -> dict[str, Any]:
    """Keep how well a document answers a query. It is on disk when the answer comes."""
    tenant = caller.tenant_for(body.tenant)
    return await served.run(_judge, served, body, tenant, caller.name)


def _judge(served: Served, body: JudgmentRequest, tenant: str, caller: str) -> dict[str, Any]:
    collection = collection_of(served, body.collection, tenant)
    source = _source(collection, tenant, body.document, body.source)
    plain = body.model_dump(include={"query", "document", "grade", "blind", "configuration"})
    judgment = Judgment(**plain, source=source, rater=body.rater or caller, tenant=tenant)
    return {"id": kept.add(collection.folder, judgment)}


def _source(collection: Collection, tenant: str, document: str, source: str | None) -> str:
    """Which document is meant. Raises UnknownName for none."""
    named = Compare("document", "=", document)
    where = named if source is None else And((named, Compare("source", "=", source)))
    batches = collection.store.scan(["source"], where=where, tenant=tenant)
    found = sorted({name for batch in batches for name in batch.column("source").to_pylist()})
    if not found:
        raise UnknownName(f"there is no document {document[:200]!r} in {collection.name!r}", mend="check its id and its source")
    return str(found[0])


async def judgments(
    collection: Name,
    format: Annotated[Format, Query(description="csv is what `vicino compare --judgements` reads, qrels is TREC's.")] = "json",  # noqa: A002
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 10_000,
    tenant: Tenant = None,
    served: Served = Depends(served_of),
    caller: Caller = Depends(caller_of),
) -> Response:
    """The judgments of a collection, as JSON in pages, or all of them as a table or as TREC's qrels."""
    whose = caller.tenant_for(tenant)
    return await served.run(_judgments, served, collection, whose, format, slice(offset, offset + limit))


def _judgments(served: Served, name: str, tenant: str, form: Format, page: slice) -> Response:
    collection = collection_of(served, name, tenant)
    every = list(kept.read(collection.folder, tenant=tenant))
    if form == "json":
        plain = [{key: value for key, value in each.to_json().items() if key != "tenant"} for each in every[page]]
        following = page.stop if page.stop < len(every) else None
        return JSONResponse({"collection": name, "judgments": plain, "next_offset": following})
    pool = kept.pool_of(every, _shown(collection, tenant, every) if form == "csv" else None)
    if form == "qrels":
        return Response(kept.qrels_of(pool), media_type="text/plain; charset=utf-8")
    with tempfile.TemporaryDirectory() as folder:
        write_pool(Path(folder, "judgments.csv"), pool)
        table = Path(folder, "judgments.csv").read_bytes()
    headers = {"Content-Disposition": 'attachment; filename="judgments.csv"'}
    return Response(table, media_type="text/csv; charset=utf-8", headers=headers)


def _shown(collection: Collection, tenant: str, every: Iterable[Judgment]) -> dict[tuple[str, str], str]:
    """The beginning of each judged document that is still there."""
    names = sorted({each.document for each in every})
    found: dict[tuple[str, str], str] = {}
    for start in range(0, len(names), _AT_ONCE):
        where = And((In("document", tuple(names[start : start + _AT_ONCE])), Compare("number", "=", 0)))
        for batch in collection.store.scan(["source", "document", "title", "text"], where=where, tenant=tenant):
            for row in batch.to_pylist():
                found[row["source"], row["document"]] = "\n".join(filter(None, (row["title"], row["text"])))
    return found


async def unjudge(
    id: str,  # noqa: A002 - its name in the path
    collection: Annotated[str | None, Query(max_length=100, description="Where it is; by default it is looked for.")] = None,
    tenant: Tenant = None,
    served: Served = Depends(served_of),
    caller: Caller = Depends(caller_of),
) -> dict[str, Any]:
    """Take a judgment back."""
    await served.run(_unjudge, served, id, collection, caller.tenant_for(tenant))
    return {"id": id}


def _unjudge(served: Served, name: str, collection: str | None, tenant: str) -> None:
    if collection is not None:
        kept.remove(collection_of(served, collection, tenant).folder, name, tenant=tenant)
        return
    for each in served.collection_names():
        folder = served.settings.collections_folder / each
        if any(judgment.id == name for judgment in kept.read(folder, tenant=tenant)):
            kept.remove(folder, name, tenant=tenant)
            return
    raise UnknownName(f"there is no judgment {name[:40]!r}", mend="list them: GET /api/judgments?collection=NAME")
