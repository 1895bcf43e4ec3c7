"""Who comes after whom: the folders `about`, `about-7`, ... of a collection, of which the store's note names the one that counts.

Each is written once, whole, under a number that none had before it (the store's version then), and says which came `before` it.
One that counts no more stays until somebody finishes, so that there is a way back.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.records import Recipe
from vicino.errors import ArtifactError
from vicino.learning.alignment import Alignment
from vicino.spaces import Space
from vicino.store.collection import Collection, Model, entry_of, rows_of, vouch

__all__ = ["adapt", "alone", "before", "discard", "pending", "served_by", "succeed", "unadapt"]

_LOCK = ".migrating.lock"
_ABOUT = re.compile(r"about-(\d+)")


@contextmanager
def alone(collection: Collection) -> Iterator[None]:
    """One process at a time changes the model of a collection. Raises ArtifactError where another does."""
    with artifacts.locked(collection.folder / _LOCK, wait=False) as mine:
        if not mine:
            raise ArtifactError(
                f"another process is changing the model of {collection.name!r}", mend="wait for it, or stop it: its work is kept"
            )
        yield


def served_by(collection: Collection) -> list[Space]:
    """The spaces that a store must serve for these models."""
    return [collection.spaces[number] for number in collection.stored]


def before(collection: Collection) -> Collection | None:
    """The same rows as they were served before the last change; None where there was none, or where there is no way back."""
    name = collection.about.data.get("before")
    if name is None or not (collection.folder / name / artifacts.MANIFEST).is_file():
        return None
    old = collection.under(name)
    columns = {*collection.store.spaces, *collection.store.filling}
    return old if set(served_by(old)) <= columns else None


def pending(collection: Collection) -> Collection | None:
    """What was begun to come after what serves now, and does not serve."""
    for name in sorted(_names(collection), key=_number, reverse=True):
        if _number(name) > _number(collection.note) and (collection.folder / name / artifacts.MANIFEST).is_file():
            made = collection.under(name)
            adapted = any("asks" in model and model not in collection.models for model in made.models)
            if made.about.data.get("before") == collection.note and not adapted:
                return made
    return None


def succeed(collection: Collection, recipe: Recipe, number: int, model: Model) -> Collection:
    """Write the folder under which `model` takes the place of one of the collection's, with canaries."""
    texts = list(collection.about.data["canaries"]) if "text" in model.encoder.accepts else []
    arrays, parts = _kept(collection, but=number)
    if texts:
        arrays[f"canaries-{number}"] = rows_of(model.encoder.encode_document(texts))
    entry = entry_of(model)
    if entry["saved"]:
        parts[f"model-{number}"] = model.encoder.save
    return _write(collection, {"recipe": recipe.to_json()}, number, entry, arrays, parts)


def adapt(collection: Collection, number: int, asks: Model, alignment: Alignment, learnt: Mapping[str, Any]) -> Collection:
    """Write the folder under which `asks` asks, mapped into the space of a model of the collection. Raises ArtifactError."""
    arrays, parts = _kept(collection)
    texts = list(collection.about.data["canaries"]) if "text" in asks.encoder.accepts else []
    if texts:
        arrays[f"asks-canaries-{number}"] = rows_of(asks.encoder.encode_query(texts))
    arrays |= {f"weights-{number}": alignment.weights, f"shift-{number}": alignment.shift}
    entry = {**collection.models[number], "asks": {**entry_of(asks), **learnt}}
    if entry["asks"]["saved"]:
        parts[f"asks-{number}"] = asks.encoder.save
    return _write(collection, {}, number, entry, arrays, parts)


def unadapt(collection: Collection, number: int) -> Collection:
    """The same models, but one asks for itself again: what served before, if that is it, else a folder written for it."""
    entry = {name: value for name, value in collection.models[number].items() if name != "asks"}
    models = [entry if place == number else model for place, model in enumerate(collection.models)]
    old = before(collection)
    if old is not None and old.models == models:
        return old
    asks = re.compile(rf"asks-canaries-{number}|(?:asks|weights|shift)-{number}")
    arrays, parts = _kept(collection)
    for name in filter(asks.fullmatch, [*arrays, *parts]):
        arrays.pop(name, None)
        parts.pop(name, None)
    return _write(collection, {}, number, entry, arrays, parts)


def discard(collection: Collection, note: str) -> None:
    """Remove what was written under a name that counts no more, and its indexes. The first stays: it says where the rows are."""
    for name in (note, note.replace("about", "kept")):
        folder = collection.folder / name
        if folder.is_dir() and name != "about":
            gone = folder.with_name(f".{name}.gone")
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)  # at once: half a folder would be damage
    for gone in collection.folder.glob(".*.gone"):
        shutil.rmtree(gone, ignore_errors=True)


def _names(collection: Collection) -> list[str]:
    return [path.name for path in collection.folder.iterdir() if _ABOUT.fullmatch(path.name)]


def _number(note: str) -> int:
    found = _ABOUT.fullmatch(note)
    return int(found[1]) if found else 1


def _kept(
    collection: Collection, *, but: int | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, Callable[[Path], object]]]:
    """The arrays and parts of all models but one, to be written again."""
    about = collection.about
    of_it = re.compile(rf"(?:asks-)?(?:canaries|model|weights|shift|asks)-{but}$")
    parts = [path for path in about.path.iterdir() if path.is_dir() and not of_it.match(path.name)]
    arrays = {name: array for name, array in about.arrays.items() if not of_it.match(name)}
    return arrays, {path.name: _copy(path) for path in parts}


def _copy(path: Path) -> Callable[[Path], object]:
    return lambda to: shutil.copytree(path, to)


def _write(
    collection: Collection,
    changes: Mapping[str, Any],
    number: int,
    entry: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    parts: Mapping[str, Callable[[Path], object]],
) -> Collection:
    last = max(map(_number, [collection.note, *_names(collection)]))
    note = f"about-{max(last + 1, collection.store.version)}"  # of one that was discarded: other processes may still hold it
    models = [entry if place == number else model for place, model in enumerate(collection.models)]
    data = {**collection.about.data, **changes, "models": models, "before": collection.note}
    artifacts.write(collection.folder / note, kind="collection", data=data, arrays=arrays, parts=parts)
    if collection.made_here:
        vouch(collection.folder / note)
    return collection.under(note)
