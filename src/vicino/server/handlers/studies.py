"""GET /api/studies: what was compared here. Studies are the operator's: a tenant has none."""

from __future__ import annotations

from typing import Any

from fastapi import Depends
from starlette.responses import JSONResponse, Response

from vicino.errors import UnknownName
from vicino.server.security import Caller, caller_of
from vicino.server.served import Served, served_of
from vicino.workbench import studies as kept

__all__ = ["studies", "study"]


async def studies(served: Served = Depends(served_of), caller: Caller = Depends(caller_of)) -> dict[str, Any]:
    """What `vicino compare` found, the latest first."""
    if caller.tenant:
        return {"studies": []}
    return {"studies": await served.run(lambda: kept.studies(folder=served.settings.studies_folder))}


async def study(id: str, served: Served = Depends(served_of), caller: Caller = Depends(caller_of)) -> Response:  # noqa: A002
    """One comparison, whole: the JSON of `vicino compare --report x.json` ("vicino.comparison/1")."""
    if caller.tenant:
        raise UnknownName(f"there is no study named {id[:200]!r}", mend="studies are the operator's: a tenant has none")
    return JSONResponse(await served.run(lambda: kept.study(id, folder=served.settings.studies_folder)))
