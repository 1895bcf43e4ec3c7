"""/api/collections/{name}/map: a collection's passages in two dimensions, what they are, and what is truly near."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, Path, Query
from starlette.responses import Response

from vicino.data.filters import In
from vicino.errors import InputError, UnknownName
from vicino.retrieval import maps
from vicino.retrieval.maps import Chart
from vicino.server.charts import Charts, Which, charts_of
from vicino.server.failures import Refused
from vicino.server.handlers.reaching import collection_of, reached
from vicino.server.handlers.searching import require_words
from vicino.server.schemas_maps import NeighboursRequest, PointsRequest
from vicino.server.security import Caller, caller_of
from vicino.server.served import Served, served_of
from vicino.store.collection import Collection

__all__ = ["BINARY", "Meant", "coordinates", "field", "map_info", "map_make", "neighbours", "points"]

Name = Annotated[str, Path(min_length=1, max_length=100, examples=["docs"])]
Space = Annotated[str | None, Query(max_length=200, description="An encoder's name or a space's id; by default the first.")]
Method = Annotated[str | None, Query(max_length=20, description="pca, or tsne; by default the best that was made.")]
Tenant = Annotated[str | None, Query(max_length=200)]
BINARY = "application/octet-stream"


@dataclass(frozen=True)
class Meant:
    """The map that a request is about. Its methods block."""

    served: Served
    name: str
    tenant: str
    space: str | None
    method: str | None

    def found(self) -> tuple[Collection, Which]:
        """The collection, opened anew, and which map of it. Raises UnknownName, InputError, and what opening raises."""
        collection = collection_of(self.served, self.name, self.tenant)
        number = maps.number_of(collection, self.space)
        if self.method is not None:
            maps.require_method(self.method)
        made = (collection.folder / "about").stat().st_ino
        best = Which(self.name, self.tenant, collection.spaces[number].id, number, self.method or "tsne", made)
        if self.method is None and not charts_of(self.served).there(collection, best):
            return collection, replace(best, method="pca")
        return collection, best

    def shown(self) -> tuple[Collection, Chart]:
        """The map that was told of last. Raises as `found`, and what drawing raises."""
        collection, which = self.found()
        return collection, charts_of(self.served).shown(collection, which)


def _meant(usual: str | None = None) -> Any:
    """A dependency: the map that the address names, by the `usual` method where it names none."""

    async def meant(
        name: Name,
        space: Space = None,
        method: Method = usual,
        tenant: Tenant = None,
        served: Served = Depends(served_of),
        caller: Caller = Depends(caller_of),
    ) -> Meant:
        return Meant(served, name, caller.tenant_for(tenant), space, method)

    return Depends(meant)


async def map_info(meant: Meant = _meant()) -> dict[str, Any]:
    """What there is to see: points, fields, and the share of neighbours that are near on the map too. PCA is drawn at once."""
    return await meant.served.run(_info, meant)


async def map_make(meant: Meant = _meant("tsne")) -> dict[str, Any]:
    """Begin to make a map by t-SNE in the background; ask for it again (GET) to see how far it is."""
    return await meant.served.run(_make, meant)


async def coordinates(meant: Meant = _meant()) -> Response:
    """x and y of each point: n * 2 little-endian float32."""
    _, chart = await meant.served.run(meant.shown)
    return Response(chart.coordinates.astype("<f4").tobytes(), media_type=BINARY)


async def field(field: Annotated[str, Path(max_length=1000)], meant: Meant = _meant()) -> Response:
    """A field of each point: little-endian uint16 codes into its values (65535: none), or float32 where it holds numbers."""
    _, chart = await meant.served.run(meant.shown)
    if field not in chart.columns:
        raise UnknownName.among(field[:200], chart.columns, kind="field")
    codes = chart.columns[field].codes
    return Response(codes.astype("<f4" if codes.dtype == np.float32 else "<u2").tobytes(), media_type=BINARY)


async def points(body: PointsRequest, meant: Meant = _meant()) -> dict[str, Any]:
    """What stands at these rows."""
    return {"points": await meant.served.run(_points, meant, body.rows)}


async def neighbours(body: NeighboursRequest, meant: Meant = _meant()) -> dict[str, Any]:
    """The rows truly nearest to a text or to a row: by the vectors themselves, never by the map."""
    return await meant.served.run(_neighbours, replace(meant, space=body.space or meant.space), body)


# How ------------------------------------------------------------------------------------------------------------------


def _info(meant: Meant) -> dict[str, Any]:
    collection, which = meant.found()
    charts = charts_of(meant.served)
    making = charts.making(which)
    if making is not None:
        return _being_made(collection, which, making)
    return _told(charts, collection, which)


def _make(meant: Meant) -> dict[str, Any]:
    collection, which = meant.found()
    charts = charts_of(meant.served)
    if which.method == "pca":
        return _told(charts, collection, which)
    if which.method not in maps.methods_there():
        raise Refused(501, "t-SNE is not installed here", mend="pip install 'vicino[map]', or look at PCA", code="not_installed")
    charts.make(collection, which)
    return _being_made(collection, which, charts.making(which) or 0.0)


def _being_made(collection: Collection, which: Which, progress: float) -> dict[str, Any]:
    of = collection.store.count(tenant=which.tenant)
    n = min(of, maps.LARGEST[which.method])
    plain = _head(which.method, which.space, n, of)
    return {**plain, "kept": None, "by_chance": 0.0, "fields": [], "state": "making", "progress": progress}


def _told(charts: Charts, collection: Collection, which: Which) -> dict[str, Any]:
    chart, measuring = charts.latest(collection, which), charts.measuring(which)
    if chart.kept is None and not measuring:  # it was counted between the two
        chart = charts.latest(collection, which)
    fields = [{"name": one.name, "kind": one.kind, "values": one.values} for one in chart.columns.values()]
    plain = _head(chart.method, chart.space, len(chart.keys), chart.of)
    more = {"stale": chart.version != collection.store.version, "measuring": measuring}
    return {**plain, "kept": chart.kept, "by_chance": chart.by_chance, "fields": fields, "state": "ready", **more}


def _head(method: str, space: str, n: int, of: int) -> dict[str, Any]:
    return {"n": n, "of": of, "method": method, "methods": maps.methods_there(), "seed": maps.SEED, "space": space}


def _points(meant: Meant, rows: list[int]) -> list[dict[str, Any]]:
    collection, chart = meant.shown()
    outside = [row for row in rows if not 0 <= row < len(chart.keys)]
    if outside:
        raise InputError(f"the map has no row {outside[0]:,}", mend=f"give rows from 0 to {len(chart.keys) - 1:,}")
    found = _passages(collection, meant.tenant, [chart.keys[row] for row in rows])
    return [{"row": row, **found[chart.keys[row]]} for row in rows if chart.keys[row] in found]


def _passages(collection: Collection, tenant: str, keys: list[str]) -> dict[str, dict[str, Any]]:
    columns = ["key", "document", "source", "title", "text", "metadata"]
    batches = collection.store.scan(columns, where=In("key", tuple(dict.fromkeys(keys))), tenant=tenant)
    rows = [row for batch in batches for row in batch.to_pylist()]
    return {row.pop("key"): {**row, "metadata": json.loads(row["metadata"])} for row in rows}


def _neighbours(meant: Meant, body: NeighboursRequest) -> dict[str, Any]:
    collection, chart = meant.shown()
    if body.query is not None:
        require_words(collection)
    with reached(meant.served, meant.name, meant.tenant) as stored:
        found = maps.near(stored, chart, k=body.k, query=body.query, row=body.row)
    return {"rows": found.rows, "scores": found.scores, "share_kept": found.share_kept}
