"""Which modules a sentence-transformers folder lists in `modules.json`, and its JSON files in general, read with named errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from vicino.errors import UnknownName, UnreadableSource, VicinoError

__all__ = ["CHOOSE", "Module", "listed", "making_sense", "module_at", "read_entries", "read_json"]

Module = tuple[str, str]  # what kind it is, and the subfolder that it is in

# What to do about a folder that asks for more than vicino does.
CHOOSE = "choose a model of the modules Transformer, Pooling, Dense and Normalize"
_AGAIN = "download or save the model again"
_KINDS = ("Transformer", "Pooling", "Dense", "Normalize")


def listed(path: Path) -> list[Module]:
    """The modules of a folder; one without modules.json has the Transformer alone. Raises UnknownName or UnreadableSource."""
    file = path / "modules.json"
    if not file.is_file():
        return [("Transformer", "")]
    return [module_at(file, entry.get("type"), entry.get("path", "")) for entry in read_entries(file)]


def module_at(file: Path, kind: Any, place: str, *, known: Sequence[str] = _KINDS) -> Module:
    """A module whose class and subfolder `file` names. Raises UnknownName or UnreadableSource."""
    package, _, name = str(kind).rpartition(".")
    if package.partition(".")[0] != "sentence_transformers" or name not in known:
        several = "this model is two networks: name it as 'towers(model=...)', or choose a model of one"
        raise UnknownName(f"{file} asks for the module {kind}", mend=several if name == "Router" else CHOOSE)
    where = PurePosixPath(place)
    if where.is_absolute() or ".." in where.parts:
        raise UnreadableSource(f"{file} leads out of its folder ({where})", mend="do not trust this model")
    return name, str(where)


@contextmanager
def making_sense(path: Path) -> Iterator[None]:
    """UnreadableSource where a value is of another kind than the format of a folder has."""
    try:
        yield
    except VicinoError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise UnreadableSource(f"{path} describes itself in a way that makes no sense ({error})", mend=_AGAIN) from error


def read_json(file: Path, *, required: bool = False) -> dict[str, Any]:
    """A JSON object; empty where the file is missing and not required."""
    if not file.is_file() and not required:
        return {}
    found = _parsed(file)
    if not isinstance(found, dict):
        raise UnreadableSource(f"{file} does not hold a JSON object", mend=_AGAIN)
    return found


def read_entries(file: Path) -> list[dict[str, Any]]:
    """The entries of a modules.json. Raises UnreadableSource."""
    entries = _parsed(file)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise UnreadableSource(f"{file} does not list modules", mend=_AGAIN)
    return entries


def _parsed(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableSource(f"{file} cannot be read: {error}", mend=_AGAIN) from error
