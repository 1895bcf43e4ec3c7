"""What `vicino index` chose for a collection: a plan for each space, and the questions that it was measured with.

An artefact beside `about/`, replaced whole. The indexes themselves are each tenant's own, and can be made again from it.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.errors import ArtifactCorrupt, ArtifactError
from vicino.indexes.choose import Plan
from vicino.retrieval.at_store import AtStore
from vicino.spaces import Space
from vicino.store.collection import Collection

__all__ = ["Chosen", "clear_damaged", "kept_indexes", "named", "of", "read", "stamp", "write"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Chosen:
    """The plan of one space; `queries` (q, dim) are the questions that were given (none: vectors are left out to ask with).

    `evidence` is what was tried and measured, as plain data.
    """

    plan: Plan
    queries: NDArray[np.float32]
    evidence: Mapping[str, Any]


def _place(collection: Collection) -> Path:
    return collection.folder / "chosen"


def stamp(collection: Collection) -> tuple[int, int] | None:
    """Changes whenever another choice is written; None where nothing was chosen."""
    try:
        found = (_place(collection) / artifacts.MANIFEST).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def read(collection: Collection) -> dict[str, Chosen]:
    """Each choice, by its name (see `named`). What cannot be read is as none, with a warning: no index is the worse for it."""
    if not _place(collection).is_dir():
        return {}
    try:
        saved = artifacts.read(_place(collection), kind="chosen")
        spaces = saved.data["spaces"]
        return {
            space: Chosen(Plan(**one["plan"]), saved.arrays[f"queries-{space}"], one["evidence"]) for space, one in spaces.items()
        }
    except (ArtifactError, KeyError, TypeError) as error:
        log.warning("the chosen index of %s cannot be read, choose again: vicino index %s (%s)", *[collection.name] * 2, error)
        return {}


def named(space: Space, index: str) -> str:
    """Under what name the choice for a part is kept: all that have vectors of a space share one, but for what a store answers."""
    return f"{space.id}-{index}" if index == AtStore.family else space.id


def of(collection: Collection, space: Space) -> list[Chosen]:
    """All that was chosen for the vectors of a space."""
    every = read(collection)
    return [every[name] for name in (named(space, ""), named(space, AtStore.family)) if name in every]


def write(collection: Collection, chosen: Mapping[str, Chosen], *, known: Mapping[str, Chosen] | None = None) -> None:
    """Keep the choice under these names; others keep theirs, and so do those that are no longer as they were `known`.

    Raises ArtifactError for a full disk.
    """
    with artifacts.locked(collection.folder / ".chosen.lock"):
        every = read(collection)
        moved = set() if known is None else {name for name in chosen if _plan(every, name) != _plan(known, name)}
        every |= {name: one for name, one in chosen.items() if name not in moved}
        with suppress(ArtifactError):
            clear_damaged(_place(collection))
        data = {space: {"plan": one.plan.to_json(), "evidence": dict(one.evidence)} for space, one in every.items()}
        arrays = {f"queries-{space}": one.queries for space, one in every.items()}
        artifacts.write(_place(collection), kind="chosen", data={"spaces": data}, arrays=arrays)


def _plan(chosen: Mapping[str, Chosen], name: str) -> Plan | None:
    return chosen[name].plan if name in chosen else None


def clear_damaged(folder: Path) -> None:
    """Remove a folder that can be made again and was damaged: it would be in the way. A newer vicino's is left alone.

    Raises ArtifactError for what is not damaged, but none of ours.
    """
    try:
        artifacts.kind_of(folder)
    except ArtifactCorrupt:
        shutil.rmtree(folder, ignore_errors=True)


def kept_indexes(folder: Path) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Each planned index that is kept under `folder`: what it was made by (see `Dense.keep`), and its manifest."""
    for file in sorted(folder.rglob(artifacts.MANIFEST)):
        made, index = _told(file, "kept"), _told(file.parent / "index" / artifacts.MANIFEST, "index")
        if "index" in made and index.get("index") == "planned":
            yield made["index"], index


def _told(file: Path, kind: str) -> Mapping[str, Any]:
    """What a manifest of this kind says; nothing where there is none."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, being replaced, or damaged: it is made again when it is searched
        return {}
    return dict(said.get("data", {})) if isinstance(said, dict) and said.get("kind") == kind else {}
