"""What was compared here: every comparison is kept as JSON in `home()/studies`, for the page and for whoever asks later."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from vicino.artifacts import home
from vicino.errors import UnknownName, VicinoError
from vicino.evaluation import report
from vicino.spaces import fingerprint

__all__ = ["keep_study", "studies", "study"]

log = logging.getLogger(__name__)

_ID = re.compile(r"[\w-][\w.-]{0,150}", re.ASCII)


def keep_study(plain: Mapping[str, Any], *, folder: Path | None = None) -> str:
    """Write what `vicino.evaluation.report.to_json` gave into `folder`, by default `home()/studies`; its id.

    Raises ArtifactError for a full disk.
    """
    when = re.sub(r"[^0-9]", "", str(plain["created"]))[:14]
    data = re.sub(r"[^A-Za-z0-9_-]+", "-", str(plain["task"]["name"]))[:40].strip("-") or "data"
    name = f"{when}-{data}-{fingerprint(dict(plain))[:6]}"
    report.write((folder or _folder()) / f"{name}.json", dict(plain))
    return name


def studies(*, folder: Path | None = None) -> list[dict[str, Any]]:
    """What was compared, the latest first: id, name, created, metric, pick, sentence, candidates, queries.

    A file that is none of ours is passed over.
    """
    found = []
    for file in (folder or _folder()).glob("*.json"):
        try:
            state = file.stat()
            found.append(dict(_summary(file, state.st_mtime_ns, state.st_size)))
        except (OSError, VicinoError, KeyError, TypeError, IndexError) as error:
            log.warning("%s is no study: %s", file.name, error)
    return sorted(found, key=lambda one: (str(one["created"]), str(one["id"])), reverse=True)


def study(name: str, *, folder: Path | None = None) -> dict[str, Any]:
    """One of them, whole. Raises UnknownName for another id, UnreadableSource for a file that is damaged."""
    where = folder or _folder()
    file = where / f"{name}.json"
    if not _ID.fullmatch(name) or not file.is_file():
        raise UnknownName.among(name[:200], [each.stem for each in where.glob("*.json")], kind="study")
    return report.read_json(file)


def _folder() -> Path:
    return home() / "studies"


@lru_cache(maxsize=512)
def _summary(file: Path, changed: int, size: int) -> Mapping[str, Any]:  # noqa: ARG001 - another file under the same name
    plain = report.read_json(file)
    verdict = plain["verdict"]
    return {
        "id": file.stem,
        "name": plain["task"]["name"],
        "created": plain["created"],
        "metric": plain["metrics"][0]["name"],
        "pick": verdict["pick"],
        "sentence": verdict["sentence"],
        "candidates": len(plain["candidates"]),
        "queries": len(plain["queries"]),
    }
