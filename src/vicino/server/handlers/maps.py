"""/api/collections/{name}/map: a collection's passages in two dimensions, what they are, and what is truly near."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, Path, Query
from starlette.responses import Response

from vicino.data.filters import In
from vicino.errors import InputError, UnknownName
from vicino.retrieval import maps
from vicino.retrieval.maps import Chart
from vicino.server.charts import Which, charts_of
from vicino.server.failures import Refused
from vicino.server.handlers.reaching import collection_of, reached
from vicino.server.handlers.searching import require_words
from vicino.server.schemas_maps import NeighboursRequest, PointsRequest
from vicino.server.security import Caller, caller_of
from vicino.server.served import Served, served_of
from vicino.store.collection import Collection

__all__ = ["BINARY", "coordinates", "field", "map_info", "map_make", "neighbours", "points"]

Name = Annotated[str, Path(min_length=1, max_length=100, examples=["docs"])]
Space = Annotated[str | None, Query(max_length=200, description="An encoder's name or a space's id; by default the first.")]
Method = Annotated[str | None, Query(max_length=20, description="pca, or tsne; by default the best that was made.")]
Tenant = Annotated[str | None, Query(max_length=200)]
BINARY = "application/octet-stream"


async def map_info(
    name: Name,
    space: Space = None,
    method: Method = None,
    tenant: Tenant = None,
    served: Served = Depends(served_of),
    caller: Caller = Depends(caller_of),
) -> dict[str, Any]:
    """What there is to see: points, fields, and the share of neighbours that are near on the map too. PCA is drawn at once."""
    return await served.run(_info, served, name, caller.tenant_for(tenant), space, method)


async def map_make(
    name: Name,
    space: Space = None,
    method: Method = "tsne",
    tenant: Tenant = None,
    served: Served = Depends(served_of),
    caller: Caller = Depends(caller_of),
) -> dict[str, Any]:
    """Begin to make a map by t-SNE in the background; ask for it again (GET) to see how far it is."""
    return await served.run(_make, served, name, caller.tenant_for(tenant), space, method or "tsne")


async def coordinates(
    name: Name,
    space: Space = None,
    method: Method = None,
    tenant: Tenant = None,
    served: Served = Depends(served_of),
    caller: Caller = Depends(caller_of),
) -> Response:
    """x and y of each point: n * 2 little-endian float32."""
    chart = await served.run(_shown, served, name, caller.tenant_for(tenant), space, method)
    return Response(chart.coordinates.astype("<f4").tobytes(), media_type=BINARY)


async def field(
    name: Name,
    field: Annotated[str, Path(max_length=1000)],
    space: Space = None,
    method: Method = None,
    tenant: Tenant = None,
    served: Served = Depends(served_of),
    caller: Caller = Depends(caller_of),
) -> Response:
    """A field of each point: little-endian uint16 codes into its values (65535: none), or float32 where it holds numbers."""
    chart = await served.run(_shown, served, name, caller.tenant_for(tenant), space, method)
    if field not in chart.columns:
        raise UnknownName.among(field[:200], chart.columns, kind="field")
    codes = chart.columns[field].codes
    return Response(codes.astype("<f4" if codes.dtype == np.float32 else "<u2").tobytes(), media_type=BINARY)


async def points(
    name: Name,
    body: PointsRequest,
    space: Space = None,
    method: Method = None,
    tenant: Tenant = None,
    served: Served = Depends(served_of),
    caller: Caller = Depends(caller_of),
) -> dict[str, Any]:
    """What stands at these rows."""
    return {"points": await served.run(_points, served, name, caller.tenant_for(tenant), space, method, body.rows)}


async def neighbours(
    name: Name,
    body: NeighboursRequest,
    space: Space = None,
    method: Method = None,
    tenant: Tenant = None,
    served: Served = Depends(served_of),
    caller: Caller = Depends(caller_of),
) -> dict[str, Any]:
    """The rows truly nearest to a text or to a row: by the vectors themselves, never by the map."""
    return await served.run(_neighbours, served, name, caller.tenant_for(tenant), body.space or space, method, body)


# How ------------------------------------------------------------------------------------------------------------------


def _which(served: Served, collection: Collection, tenant: str, space: str | None, method: str | None) -> Which:
    """The map that is meant. Raises UnknownName and InputError."""
    number = maps.number_of(collection, space)
    if method is not None:
        maps.require_method(method)
    made = (collection.folder / "about").stat().st_ino
    best = Which(collection.name, tenant, collection.spaces[number].id, number, method or "tsne", made)
    if method is None and not charts_of(served).there(collection, best):
        return replace(best, method="pca")
    return best


def _info(served: Served, name: str, tenant: str, space: str | None, method: str | None) -> dict[str, Any]:
    collection = collection_of(served, name, tenant)
    which = _which(served, collection, tenant, space, method)
    making = charts_of(served).making(which)
    if making is not None:
        return _being_made(collection, which, making)
    return _told(charts_of(served).latest(collection, which), collection)


def _make(served: Served, name: str, tenant: str, space: str | None, method: str) -> dict[str, Any]:
    collection = collection_of(served, name, tenant)
    which = _which(served, collection, tenant, space, method)
    if which.method == "pca":
        return _told(charts_of(served).latest(collection, which), collection)
    if which.method not in maps.methods_there():
        raise Refused(501, "t-SNE is not installed here", mend="pip install 'vicino[map]', or look at PCA", code="not_installed")
    charts_of(served).make(collection, which)
    return _being_made(collection, which, charts_of(served).making(which) or 0.0)


def _being_made(collection: Collection, which: Which, progress: float) -> dict[str, Any]:
    of = collection.store.count(tenant=which.tenant)
    n = min(of, maps.LARGEST[which.method])
    plain = _head(which.method, which.space, n, of)
    return {**plain, "kept": None, "by_chance": 0.0, "fields": [], "state": "making", "progress": progress}


def _told(chart: Chart, collection: Collection) -> dict[str, Any]:
    fields = [{"name": one.name, "kind": one.kind, "values": one.values} for one in chart.columns.values()]
    plain = _head(chart.method, chart.space, len(chart.keys), chart.of)
    stale = chart.version != collection.store.version
    return {**plain, "kept": chart.kept, "by_chance": chart.by_chance, "fields": fields, "state": "ready", "stale": stale}


def _head(method: str, space: str, n: int, of: int) -> dict[str, Any]:
    return {"n": n, "of": of, "method": method, "methods": maps.methods_there(), "seed": maps.SEED, "space": space}


def _shown(served: Served, name: str, tenant: str, space: str | None, method: str | None) -> Chart:
    collection = collection_of(served, name, tenant)
    return charts_of(served).shown(collection, _which(served, collection, tenant, space, method))


def _points(
    served: Served, name: str, tenant: str, space: str | None, method: str | None, rows: list[int]
) -> list[dict[str, Any]]:
    collection = collection_of(served, name, tenant)
    chart = charts_of(served).shown(collection, _which(served, collection, tenant, space, method))
    outside = [row for row in rows if not 0 <= row < len(chart.keys)]
    if outside:
        raise InputError(f"the map has no row {outside[0]:,}", mend=f"give rows from 0 to {len(chart.keys) - 1:,}")
    found = _passages(collection, tenant, [chart.keys[row] for row in rows])
    return [{"row": row, **found[chart.keys[row]]} for row in rows if chart.keys[row] in found]


def _passages(collection: Collection, tenant: str, keys: list[str]) -> dict[str, dict[str, Any]]:
    columns = ["key", "document", "source", "title", "text", "metadata"]
    batches = collection.store.scan(columns, where=In("key", tuple(dict.fromkeys(keys))), tenant=tenant)
    rows = [row for batch in batches for row in batch.to_pylist()]
    return {row.pop("key"): {**row, "metadata": json.loads(row["metadata"])} for row in rows}


def _neighbours(
    served: Served, name: str, tenant: str, space: str | None, method: str | None, body: NeighboursRequest
) -> dict[str, Any]:
    collection = collection_of(served, name, tenant)
    chart = charts_of(served).shown(collection, _which(served, collection, tenant, space, method))
    if body.query is not None:
        require_words(collection)
    with reached(served, name, tenant) as stored:
        found = maps.near(stored, chart, k=body.k, query=body.query, row=body.row)
    return {"rows": found.rows, "scores": found.scores, "share_kept": found.share_kept}
