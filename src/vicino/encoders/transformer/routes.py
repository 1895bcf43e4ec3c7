"""What a sentence-transformers folder of two networks says, read without torch: one reads queries, the other documents.

Its `modules.json` begins with a Router. The Router's `router_config.json` lists modules, each in a subfolder, and which of them a
text of each route runs through; modules that follow the Router are on both routes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from vicino.encoders.transformer.folder import ModelFolder, read_folder
from vicino.encoders.transformer.modules import making_sense, module_at, read_entries, read_json
from vicino.errors import UnreadableSource

__all__ = ["CONFIG", "ROUTES", "Route", "RouterFolder", "is_router", "read_router"]

Route = Literal["query", "document"]
ROUTES: tuple[Route, ...] = get_args(Route)
CONFIG = "router_config.json"
_ROUTERS = ("Router", "Asym")  # Asym until sentence-transformers 5
_CHOOSE = "choose a model whose Router has the routes query and document, each of a Transformer and a Pooling"


@dataclass(frozen=True)
class RouterFolder:
    """The networks for queries and for documents, and the `default`, which reads texts of no role."""

    query: ModelFolder
    document: ModelFolder
    default: Route

    def of(self, route: Route) -> ModelFolder:
        """The folder of a route."""
        return self.query if route == "query" else self.document

    @property
    def weights(self) -> tuple[Path, ...]:
        """The safetensors files of both. Raises UnreadableSource where there are none."""
        return (*self.query.weights, *self.document.weights)


def is_router(folder: Path) -> bool:
    """Whether a folder's `modules.json` begins with a Router."""
    try:
        first = json.loads((folder / "modules.json").read_text("utf-8"))[0]["type"]
    except (OSError, ValueError, TypeError, LookupError):
        return False
    return str(first).rpartition(".")[2] in _ROUTERS


def read_router(path: Path) -> RouterFolder:
    """Read and check the JSON files of a folder of two networks.

    Raises UnknownName (a module that vicino does not have) or UnreadableSource (another kind of model, missing or broken files,
    other routes, a route without a Pooling, vectors of two widths, or what `read_folder` refuses).
    """
    if not is_router(path):
        raise UnreadableSource(f"{path} is not a model of two networks: no Router begins its modules.json", mend=_CHOOSE)
    with making_sense(path):
        file = path / "modules.json"
        first, *after = read_entries(file)
        _, home = module_at(file, first.get("type"), first.get("path", ""), known=_ROUTERS)
        config = path / home / CONFIG
        config = config if config.is_file() else config.with_name("config.json")  # the name under Asym
        said = read_json(config, required=True)
        _require_two(config, said)
        shared = [module_at(file, entry.get("type"), entry.get("path", "")) for entry in after]
        towers = {}
        for route in ROUTES:
            own = [module_at(config, said["types"][name], str(PurePosixPath(home, name))) for name in said["structure"][route]]
            if "Pooling" not in [kind for kind, _ in own + shared]:
                raise UnreadableSource(f"{config} has no Pooling on the route {route}", mend=_CHOOSE)
            towers[route] = read_folder(path, modules=own + shared)
        widths = {folder.width for folder in towers.values()}
        if len(widths) > 1:
            raise UnreadableSource(f"{path} gives vectors of {min(widths)} and of {max(widths)} dimensions", mend=_CHOOSE)
        return RouterFolder(towers["query"], towers["document"], _default(said))


def _require_two(config: Path, said: Mapping[str, Any]) -> None:
    """Raise UnreadableSource unless queries go one way and documents another, whatever else they are."""
    if set(said["structure"]) != set(ROUTES):
        raise UnreadableSource(f"{config} has the routes {', '.join(said['structure']) or 'of nothing'}", mend=_CHOOSE)
    if said.get("parameters", {}).get("route_mappings"):
        raise UnreadableSource(f"{config} asks for route_mappings, which vicino does not do", mend=_CHOOSE)


def _default(said: Mapping[str, Any]) -> Route:
    """The route of texts without a role, as sentence-transformers finds it; documents' where it finds none."""
    parameters = said.get("parameters", {})
    stated = parameters.get("default_route")
    if stated is None:
        stated = next(iter(said["structure"])) if parameters.get("allow_empty_key", True) else "document"
    return ROUTES[ROUTES.index(stated)]
