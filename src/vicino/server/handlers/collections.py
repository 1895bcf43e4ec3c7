"""GET /api/collections: what the caller may search."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from fastapi import Depends, Query

from vicino.data.filters import Compare, IsNull, Not
from vicino.data.records import Recipe
from vicino.errors import VicinoError
from vicino.retrieval.indexing import standing
from vicino.server.security import Caller, caller_of
from vicino.server.served import Served, served_of
from vicino.store.base import COLUMNS, EVERYONE, Store
from vicino.store.collection import Collection

__all__ = ["collections", "label_of"]

log = logging.getLogger(__name__)


async def collections(
    tenant: Annotated[str | None, Query(max_length=200, description="Whose documents; for keys of the scope admin.")] = None,
    served: Served = Depends(served_of),
    caller: Caller = Depends(caller_of),
) -> dict[str, Any]:
    """What is kept: of each collection its recipe, spaces, fields and indexes, and how much the caller has there."""
    whose = caller.tenant_for(tenant)
    return {"collections": await served.run(_listed, served, whose)}


def _listed(served: Served, tenant: str) -> list[dict[str, Any]]:
    found = []
    for name in served.collection_names():
        try:
            one = served.collection(name)
            if one.store.count(tenant=tenant) or (not tenant and not one.store.count(tenant=EVERYONE)):
                found.append(_about(one, tenant))
            elif not tenant:
                found.append({"name": name, "label": label_of(one.recipe), "error": "what is in it belongs to tenants"})
        except VicinoError as error:  # its server is away, or it is damaged: the others are listed
            log.warning("%s cannot be opened: %s", name, error)
            found += [] if tenant else [{"name": name, "error": error.what}]
    return found


def _about(one: Collection, tenant: str) -> dict[str, Any]:
    store = one.store
    passages = store.count(tenant=tenant)
    plans = standing(one, tenant=tenant if passages else "")
    spaces = [
        {"id": space.id, "dim": space.dim, "similarity": space.similarity, "encoder": str(model["name"])}
        for space, model in zip(one.spaces, one.models, strict=True)
    ]
    return {
        "name": one.name,
        "documents": store.count(where=Compare("number", "=", 0), tenant=tenant),
        "passages": passages,
        "recipe": one.recipe.to_json(),
        "label": label_of(one.recipe),
        "spaces": spaces,
        "fields": _fields(store, tenant),
        "accepts": sorted(frozenset({"text"}).intersection(*one.accepts) if one.accepts else {"text"}),
        "indexes": [each.brief() for each in plans if each.plan is not None],
    }


def _fields(store: Store, tenant: str) -> dict[str, str]:
    """The columns in which this tenant has something."""
    own = (name for name in store.columns if name not in COLUMNS)
    return {name: store.columns[name] for name in own if store.count(where=Not(IsNull(name)), tenant=tenant)}


def label_of(recipe: Recipe) -> str:
    """A recipe in a word, as a person would type it.

    >>> label_of(Recipe("fused", {}, (Recipe("lexical"), Recipe("dense", {"encoder": "minilm"}))))
    'bm25+minilm'
    """
    parts = [label_of(part) for part in recipe.parts]
    if recipe.retriever == "lexical":
        return "bm25"
    if recipe.retriever == "dense":
        return str(recipe.params.get("encoder", "minilm")).rstrip("/").rpartition("/")[2]
    if recipe.retriever == "fused":
        return "+".join(parts)
    inner = parts[0] if parts else ""
    if recipe.retriever == "reranked":
        return f"{inner}>{str(recipe.params.get('reranker', '')).rstrip('/').rpartition('/')[2]}"
    return f"{inner}:{recipe.retriever.removeprefix('exemplar-')}"
