"""Documents in and out of a collection, and its upkeep.

An ingest answers as it goes, a line of JSON each: {"event": "progress", ...}, at the end {"event": "done", "summary": ...} or
{"event": "error", "error": ...}. What is wrong before anything is written is an error with a status of its own. Whatever was
committed stays; to send the same again costs little, for what did not change is left as it is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final
from weakref import WeakKeyDictionary

from fastapi import Depends, Header, Path, Query, Request
from pydantic import ValidationError
from starlette.responses import Response, StreamingResponse

from vicino import progress
from vicino.data.filters import Compare, parse
from vicino.data.records import Document
from vicino.errors import EmptyInput, InputError
from vicino.retrieval import maintenance
from vicino.retrieval.ingest import Source, default_recipe, ingest
from vicino.server import failures
from vicino.server.failures import Busy, Refused
from vicino.server.handlers.reaching import collection_of, not_found
from vicino.server.handlers.searching import require_words
from vicino.server.idempotency import Once, Requests, require_key
from vicino.server.schemas_collections import DeleteRequest, DocumentIn, IngestRequest
from vicino.server.security import Caller, caller_of
from vicino.server.served import Served, served_of
from vicino.server.strict_json import loads
from vicino.store.collection import Collection, require_name

__all__ = ["INGEST_BODY", "LINES", "delete", "keep", "maintain"]

log = logging.getLogger(__name__)

Name = Annotated[str, Path(min_length=1, max_length=100, examples=["docs"])]
Line = dict[str, Any]

LINES: Final = "application/x-ndjson"


def _body_described() -> dict[str, Any]:
    """For the OpenAPI document: FastAPI knows no body that is one of two kinds."""
    schema = IngestRequest.model_json_schema()
    schema["properties"]["documents"]["items"] = schema.pop("$defs")["DocumentIn"]
    lines = {"type": "string", "description": "A document a line, as in `documents`."}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}, LINES: {"schema": lines}}}}


INGEST_BODY: Final = _body_described()
_FREE: Final = ("bm25", "tfidf", "lsa", "minilm")  # what anybody may make a collection of, beside the encoders that are served
_writing: WeakKeyDictionary[Served, threading.BoundedSemaphore] = WeakKeyDictionary()


@dataclass(frozen=True)
class _Ingest:
    """What is to be kept, where, and whose."""

    collection: str
    documents: Sequence[DocumentIn]
    source: str
    recipe: str | None
    tenant: str


async def keep(
    request: Request,
    name: Name,
    source: Annotated[str, Query(min_length=1, max_length=1000, description="For lines: where they are from.")] = "api",
    recipe: Annotated[str | None, Query(max_length=200, description="For lines: how they are searched.")] = None,
    tenant: Annotated[str | None, Query(max_length=200)] = None,
    idempotency_key: Annotated[str | None, Header(max_length=255, description="To send the same again without harm.")] = None,
    served: Served = Depends(served_of),
    caller: Caller = Depends(caller_of),
) -> Response:
    """Keep documents: as JSON, or as lines of JSON, one document each (application/x-ndjson).

    Those that changed are embedded and replaced, those that did not cost next to nothing. What is told as done is on disk.
    """
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    plain = await served.run(_read, body, kind, name, source, recipe)
    asked = _Ingest(name, plain.documents, plain.source, plain.recipe, caller.tenant_for(plain.tenant or tenant))
    key = None if idempotency_key is None else require_key(idempotency_key)
    _require_sound(served, asked)
    return await _streamed(served, lambda tell: _keep(served, asked, key, body, tell), str(_id(request)))


def _read(body: bytes, kind: str, name: str, source: str, recipe: str | None) -> IngestRequest:
    """What a body of either kind asks for. Raises Refused and InputError with the line."""
    require_name(name)
    try:
        if kind == "application/json":
            return IngestRequest.model_validate(loads(body))
        if kind in (LINES, "application/jsonl", "application/ndjson"):
            return IngestRequest(documents=list(_lines(body)), source=source, recipe=recipe)
    except ValidationError as error:
        raise _invalid(error) from None
    mend = f"send Content-Type: application/json, or {LINES}"
    raise Refused(415, f"a body of {kind[:100] or 'no type'} cannot be read", mend=mend, code="unknown_type")


def _invalid(error: ValidationError) -> Refused:
    """What is wrong with a body, as FastAPI would have told it."""
    return failures.invalid([{**each, "loc": ("body", *each["loc"])} for each in error.errors()])


def _lines(body: bytes) -> Iterator[DocumentIn]:
    for number, line in enumerate(body.split(b"\n"), start=1):
        if line.strip():
            try:
                yield DocumentIn.model_validate(loads(line))
            except ValidationError as error:
                wrong = _invalid(error)
                raise Refused(400, f"line {number}: {wrong.what}", mend=wrong.mend, code=wrong.code, param=wrong.param) from None
            except InputError as error:
                raise InputError(f"line {number}: {error.what}", mend=error.mend) from error


def _require_sound(served: Served, asked: _Ingest) -> None:
    """Raise what is wrong with it before anything is done."""
    wanted = served.settings.collections
    if wanted is not None and asked.collection not in wanted:
        raise not_found(served, asked.collection, asked.tenant)
    most = served.settings.max_text_bytes
    for place, document in enumerate(asked.documents):
        if len(document.text) > most or len(document.text.encode("utf-8", "replace")) > most:
            what = f"the text of document {place} is over {most:,} bytes"
            raise Refused(413, what, mend="send it in parts", code="text_too_large", param=f"documents.{place}.text")
    if asked.recipe is not None:
        _recipe(served, asked.recipe)


def _recipe(served: Served, recipe: str) -> str:
    """A recipe as `ingest` reads it: nobody may name a folder, a hub's model or a function of this machine from outside."""
    allowed = {name: name for name in _FREE} | {name: one.what for name, one in served.encoders.items()}
    parts = [part.strip() for part in recipe.split("+")]
    unknown = [part for part in parts if part not in allowed]
    if unknown:
        what = f"{unknown[0][:100]!r} is no part of a recipe here"
        raise Refused(400, what, mend=f"add up some of: {', '.join(sorted(allowed))}", code="invalid_recipe", param="recipe")
    return "+".join(allowed[part] for part in parts)


def _keep(served: Served, asked: _Ingest, key: str | None, body: bytes, tell: Callable[[Line], None]) -> Line:
    """Do it, telling how far it is; the last line. Blocks."""
    with _one_of_few(served), _once(served, asked, key, body) as once:
        if once is not None and once.did is not None:
            return {"event": "done", "summary": dict(once.did), "replayed": True}
        folder = served.settings.collections_folder
        if asked.collection in Collection.names(folder):
            require_words(Collection.open(folder, asked.collection))
        documents = [Document(one.id, one.text, one.title, one.metadata) for one in asked.documents]
        recipe = None if asked.recipe is None else _recipe(served, asked.recipe)
        if recipe is None and asked.collection not in Collection.names(folder):
            recipe = default_recipe()
        with _told(tell):
            source = Source(asked.source, documents, lacks=lambda _: False)  # others may come later
            did = ingest(folder, asked.collection, source, recipe=recipe, tenant=asked.tenant)
        summary = asdict(did) | _whole(Collection.open(folder, asked.collection), asked.tenant)
        if once is not None:
            once.done(summary)
        return {"event": "done", "summary": summary}


def _whole(collection: Collection, tenant: str) -> dict[str, int]:
    """How much the tenant has there now; what others have is not told."""
    store = collection.store
    documents = store.count(where=Compare("number", "=", 0), tenant=tenant)
    return {"total_documents": documents, "total_passages": store.count(tenant=tenant)}


@contextmanager
def _one_of_few(served: Served) -> Iterator[None]:
    """Half of the threads may write, so that searches go on. Raises Busy."""
    few = _writing.setdefault(served, threading.BoundedSemaphore(max(1, served.settings.threads // 2)))
    if not few.acquire(blocking=False):
        raise Busy("as many requests as may write at once are writing", retry_after=5.0)
    try:
        yield
    finally:
        few.release()


@contextmanager
def _once(served: Served, asked: _Ingest, key: str | None, body: bytes) -> Iterator[Once | None]:
    if key is None:
        yield None
        return
    requests = Requests(served.settings.home / "requests")
    with requests.once([asked.tenant, asked.collection, asked.source], key, body) as once:
        yield once


@contextmanager
def _told(tell: Callable[[Line], None]) -> Iterator[None]:
    """Tell of the progress that this thread makes."""
    mine = threading.get_ident()

    def hear(event: progress.Event) -> None:
        if event.state == "advance" and threading.get_ident() == mine:
            tell({"event": "progress", "label": event.label, "done": event.done, "total": event.total})

    with progress.listen(hear):
        yield


async def _streamed(served: Served, work: Callable[[Callable[[Line], None]], Line], request_id: str) -> Response:
    """The lines of a long piece of work. What fails before the first of them is raised; the work itself goes on to its end."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[Line | None]()

    def tell(line: Line) -> None:
        loop.call_soon_threadsafe(lines.put_nowait, line)

    running = asyncio.create_task(served.run(work, tell, limit_s=math.inf))
    running.add_done_callback(lambda _: lines.put_nowait(None))
    first = await lines.get()
    if first is None:
        last = await running  # raises what went wrong
        return Response(_line(last), media_type=LINES)
    return StreamingResponse(_told_lines(first, lines, running, request_id), media_type=LINES)


async def _told_lines(
    first: Line, lines: asyncio.Queue[Line | None], running: asyncio.Task[Line], request_id: str
) -> AsyncIterator[bytes]:
    line: Line | None = first
    while line is not None:
        yield _line(line)
        line = await lines.get()
    error = None if running.cancelled() else running.exception()
    if error is None and not running.cancelled():
        yield _line(running.result())
        return
    failed = error or Refused(503, "the server is being stopped", mend="send it again", code="stopped")
    if failures.status_of(failed) >= 500:
        log.error("failed", exc_info=failed, extra={"fields": {"request_id": request_id}})
    yield _line({"event": "error", **failures.body_of(failed, request_id)})


def _line(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def _id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


# Out, and upkeep ------------------------------------------------------------------------------------------------------


async def delete(
    name: Name, body: DeleteRequest, served: Served = Depends(served_of), caller: Caller = Depends(caller_of)
) -> dict[str, Any]:
    """Take documents out for good: those that `ids` names, those that match `where`, or those of both. Documents go whole."""
    tenant = caller.tenant_for(body.tenant)
    return await served.run(_delete, served, name, body, tenant)


def _delete(served: Served, name: str, body: DeleteRequest, tenant: str) -> dict[str, Any]:
    if body.ids is None and body.where is None:
        raise EmptyInput("it is not said which documents go", mend="give ids, or where, or both")
    collection = collection_of(served, name, tenant)
    where = None if body.where is None else parse(body.where)
    return maintenance.delete(collection, tenant=tenant, where=where, ids=body.ids).to_json()


async def maintain(name: Name, served: Served = Depends(served_of), caller: Caller = Depends(caller_of)) -> dict[str, Any]:
    """Merge the collection's files, bring its indexes up to date, free versions that nobody reads. Safe at any time."""
    if caller.tenant:
        mend = "ask the operator: vicino maintain NAME"
        raise Refused(403, "upkeep is about the documents of all tenants", mend=mend, code="other_tenant")
    return await served.run(_maintain, served, name, limit_s=math.inf)


def _maintain(served: Served, name: str) -> dict[str, Any]:
    if name not in served.collection_names():
        raise not_found(served, name, "")
    return maintenance.maintain(served.collection(name)).to_json()
