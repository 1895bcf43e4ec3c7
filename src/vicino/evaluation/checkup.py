"""A collection looked at: models that moved, rows without vectors, changes half done, indexes under target, odd vectors."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.errors import VicinoError
from vicino.evaluation.doctor import Finding
from vicino.retrieval.chosen import kept_recalls
from vicino.retrieval.migrate import called, command, lacking
from vicino.retrieval.passages import drift
from vicino.spaces import Space
from vicino.store.base import EVERYONE
from vicino.store.collection import Collection
from vicino.store.succession import before, pending

__all__ = ["look_at"]

ALIKE = 0.99  # cosine of a model's vectors then and now
FEW_ROWS = 500  # a file, where there are `MANY_FILES`
MANY_FILES = 200
SHARED = 0.01  # of the passages may have the vector of another text
_SAMPLE = 64  # stored vectors that are made again


def look_at(collection: Collection) -> list[Finding]:
    """Every finding with its value, the threshold, the cause and the command that mends it; fine ones too.

    Opens the models and reads all vectors once.
    """
    collection.refresh()
    looks: list[Callable[[Collection], Iterator[Finding]]] = [_models, _migration, _vectors, _indexes, _files]
    return [finding for look in looks for finding in look(collection)]


def _models(collection: Collection) -> Iterator[Finding]:
    for number, model in enumerate(collection.models):
        about, threshold = f"model {model['name']}", f"canaries' cosine at least {ALIKE}"
        try:
            collection.encoder(number)
        except (VicinoError, OSError) as error:
            what, mend = (error.what, error.mend) if isinstance(error, VicinoError) else (str(error), "bring the old model back")
            cause = "its weights, its library or its server changed, or it is not there any more"
            yield Finding(about, "problem", what, mend, threshold, cause)
            continue
        yield Finding(about, "ok", f"gives the vectors of {collection.spaces[number]}", "", threshold)
        if number not in collection.stored or "asks" in model:
            continue
        lowest = drift(collection, number, limit=_SAMPLE)
        about, threshold = f"vectors of {model['name']}", f"at least {ALIKE}, of {_SAMPLE} rows"
        value = f"lowest cosine to what it makes now {lowest:.4f}"
        if lowest >= ALIKE:
            yield Finding(about, "ok", value, "", threshold)
        else:
            cause = "what is stored was made by another model, or from another text"
            yield Finding(
                about, "problem", value, f"embed again: {command(collection, number, '--to ENCODER')}", threshold, cause
            )


def _migration(collection: Collection) -> Iterator[Finding]:
    name, waiting, old = collection.name, pending(collection), before(collection)
    if waiting is not None:
        empty = lacking(waiting) if set(waiting.spaces) & set(collection.store.filling) else collection.store.stats().rows
        number = next(at for at, model in enumerate(waiting.models) if model not in collection.models)
        to = called(waiting.models[number])
        value = f"to {to}: {empty:,} rows lack its vector"
        goes_on = command(collection, number, f"--to {shlex.quote(to)}")
        mend = f"{goes_on} goes on; vicino migrate {name} --rollback gives it up"
        cause = "it was stopped, or the comparison kept the old model"
        yield Finding("migration", "problem", value, mend, "none under way", cause)
    elif old is not None:
        value = f"{old.models_named} stands by, and {lacking(old):,} rows written since lack its vector"
        yield Finding("migration", "ok", value, f"vicino migrate {name} --finish frees its vectors, when nobody will go back")
    elif collection.store.filling:
        value = f"vectors that nobody uses: {', '.join(map(str, collection.store.filling))}"
        cause = "a process was killed while it gave them up"
        yield Finding("migration", "problem", value, f"vicino migrate {name} --finish", "none", cause)
    for space in collection.store.spaces:
        empty = sum(batch.num_rows for batch in collection.store.scan(["key"], tenant=EVERYONE, lacking=space))
        if empty:
            value, cause = f"{empty:,} rows have none of {space}", "the store was changed by hand"
            mend = "restore the store from a copy, or delete these documents and ingest them again"
            yield Finding("vectors", "problem", value, mend, "0", cause)


def _indexes(collection: Collection) -> Iterator[Finding]:
    recalls = [one["recall"] for one in kept_recalls(collection.kept) if one.get("recall")]
    under = [one for one in recalls if one["lower"] < one["target"]]
    if under:
        worst = min(under, key=lambda one: float(one["lower"] - one["target"]))
        value = f"{len(under)} of {len(recalls)} under their target; the worst has recall {worst['lower']:.3f}"
        mend = f"vicino index {collection.name} --recall {worst['target']:g}"
        yield Finding("index", "problem", value, mend, f"{worst['target']:g}", "the vectors changed since it was chosen")
    elif recalls:
        lowest = min(float(one["lower"]) for one in recalls)
        yield Finding("index", "ok", f"{len(recalls)} kept, recall at least {lowest:.3f}", "", "their targets")


def _files(collection: Collection) -> Iterator[Finding]:
    stats = collection.store.stats()
    rows = stats.rows / max(1, stats.files)
    value = f"{stats.files:,} files, {stats.bytes / 2**20:,.1f} MB, {stats.rows:,} rows"
    threshold = f"{FEW_ROWS} rows a file, where there are over {MANY_FILES}"
    if stats.files > MANY_FILES and rows < FEW_ROWS:
        cause = "many small writes, or old versions that nobody freed"
        yield Finding("files", "problem", value, f"vicino maintain {collection.name}", threshold, cause)
    else:
        yield Finding("files", "ok", value, "", threshold)


# Vectors --------------------------------------------------------------------------------------------------------------


@dataclass
class _Counted:
    """One pass over the vectors of a space; `names` and `texts` are one number a row."""

    rows: int = 0
    zero: int = 0
    broken: int = 0
    names: list[NDArray[np.uint64]] = field(default_factory=list)
    texts: list[NDArray[np.uint64]] = field(default_factory=list)

    @property
    def shared(self) -> int:
        """How many rows have the vector of a row with another text."""
        nothing = np.empty(0, np.uint64)
        names, texts = np.concatenate([nothing, *self.names]), np.concatenate([nothing, *self.texts])
        _, first, which, times = np.unique(names, return_index=True, return_inverse=True, return_counts=True)
        alone = np.ones(len(first), dtype=bool)
        np.logical_and.at(alone, which, texts == texts[first][which])
        return int(times[~alone].sum())


def _vectors(collection: Collection) -> Iterator[Finding]:
    for number in collection.stored:
        space, name = collection.spaces[number], collection.models[number]["name"]
        if space not in collection.store.spaces:
            continue
        counted = _count(collection, space)
        zero = counted.zero if space.similarity == "cosine" else 0
        if zero or counted.broken:
            value = f"{zero:,} zero and {counted.broken:,} with NaN or infinity, of {counted.rows:,}"
            cause = "texts without a word that the model knows" if zero else "the model overflowed"
            mend = f"choose a model that knows these texts: {command(collection, number, '--to ENCODER')}"
            yield Finding(f"values of {name}", "problem", value, mend, "none", cause)
        else:
            yield Finding(f"values of {name}", "ok", f"all {counted.rows:,} finite, none zero", "", "none")
        value = f"{counted.shared:,} of {counted.rows:,} rows have the vector of another text"
        if counted.shared > SHARED * counted.rows:
            cause = "texts that begin alike and were cut at the model's limit, or a model that tells them not apart"
            mend = (
                f"choose another model: {command(collection, number, '--to ENCODER')}; or cut documents shorter, in another "
                f"collection: vicino ingest PATH --collection {collection.name}-2 --chunk passage"
            )
            yield Finding(f"duplicates of {name}", "problem", value, mend, f"{SHARED:.0%}", cause)
        else:
            yield Finding(f"duplicates of {name}", "ok", value, "", f"{SHARED:.0%}")


def _count(collection: Collection, space: Space) -> _Counted:
    counted = _Counted()
    odd = np.random.default_rng(0).integers(0, 2**63, space.dim, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    with progress.task("Looking at vectors", total=collection.store.count(tenant=EVERYONE), unit="rows") as bar:
        for batch in collection.store.scan(["digest"], tenant=EVERYONE, space=space):
            rows = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(-1, space.dim)
            rows = np.ascontiguousarray(rows, dtype=np.float32)
            counted.rows += len(rows)
            counted.zero += int((~rows.any(axis=1)).sum())
            counted.broken += int((~np.isfinite(rows).all(axis=1)).sum())
            counted.names.append((rows.view(np.uint32) * odd).sum(axis=1, dtype=np.uint64))  # modulo 2**64
            texts = [hash(text) for text in batch.column("digest").to_pylist()]
            counted.texts.append(np.array(texts, dtype=np.int64).view(np.uint64))
            bar.advance(len(rows))
    return counted
