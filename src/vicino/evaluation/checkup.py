"""A collection looked at: models that moved, rows without vectors, changes half done, indexes under target, odd vectors.

Here is what the store and its models say; what the texts and vectors show is looked for in `vicino.evaluation.contents`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.data.records import Document
from vicino.encoders import Encoder
from vicino.errors import VicinoError
from vicino.evaluation import contents, symptoms
from vicino.evaluation.contents import ALIKE
from vicino.evaluation.cures import Cure
from vicino.evaluation.diagnosis import Diagnosis
from vicino.evaluation.doctor import Finding
from vicino.retrieval import chosen
from vicino.retrieval.migrate import called, command, lacking
from vicino.spaces import Space
from vicino.store.base import EVERYONE
from vicino.store.collection import Collection
from vicino.store.succession import before, pending

__all__ = ["look_at"]

FEW_ROWS = 500  # a file, where there are `MANY_FILES`
MANY_FILES = 200


def look_at(
    collection: Collection,
    *,
    reference: Sequence[Document] | None = None,
    cure: bool = False,
    precision: float = 0.9,
    seed: int = 0,
) -> Diagnosis:
    """Every finding with its value, the threshold, the cause and the command that mends it; fine ones too.

    Opens the models, reads all vectors once, and embeds a few passages again. `reference` are documents of the domain that the
    models were chosen on: a shift since is looked for (without them, between what came first and what came later). With `cure`
    the cures are tried on a copy of some passages. `precision` is the share of relevant answers that a threshold of scores is
    looked for, where people judged enough. Raises what the store raises.
    """
    collection.refresh()
    findings, encoders = _models(collection)
    looks: list[Callable[[Collection], Iterator[Finding]]] = [_migration, _vectors, contents.repeated, contents.stale]
    findings += [finding for look in looks for finding in look(collection)]
    cures: list[Cure] = []
    for number in collection.stored:
        if collection.spaces[number] not in collection.store.spaces:
            continue
        encoder = encoders.get(number)
        findings += contents.vectors_looked_at(collection, number, encoder, seed=seed)
        moved = contents.domain_of(collection, number, encoder, reference, seed=seed)
        findings += [] if moved is None else [moved]
        if encoder is None or "asks" in collection.models[number]:
            continue
        told = contents.scores_of(collection, number, encoder, precision=precision)
        findings += [] if told is None else [told]
        if cure:
            cures += contents.cures_of(collection, number, encoder, seed=seed)
    return Diagnosis((*findings, *_indexes(collection), *_files(collection)), tuple(cures))


def _models(collection: Collection) -> tuple[list[Finding], dict[int, Encoder]]:
    """What each model says of itself, and those that could be opened."""
    found, opened = list[Finding](), dict[int, Encoder]()
    for number, model in enumerate(collection.models):
        about, threshold = f"model {model['name']}", f"canaries' cosine at least {ALIKE}"
        try:
            opened[number] = collection.encoder(number)
        except (VicinoError, OSError) as error:
            what, mend = (error.what, error.mend) if isinstance(error, VicinoError) else (str(error), "bring the old model back")
            cause = "its weights, its library or its server changed, or it is not there any more"
            found.append(Finding(about, "problem", what, mend, threshold, cause))
        else:
            found.append(Finding(about, "ok", f"gives the vectors of {collection.spaces[number]}", "", threshold))
    return found, opened


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
            yield Finding("unembedded", "problem", value, mend, "0", cause)
        else:
            yield Finding("unembedded", "ok", f"every row has a vector of {space}", "", "0")


def _indexes(collection: Collection) -> Iterator[Finding]:
    recalls = [one["recall"] for _, one in chosen.kept_indexes(collection.kept) if one.get("recall")]
    for space in dict.fromkeys(collection.spaces):
        recalls += [one.evidence["store"]["recall"] for one in chosen.of(collection, space) if "store" in one.evidence]
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
    threshold = f"at least {FEW_ROWS} rows a file, where there are over {MANY_FILES}"
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
        yield symptoms.twins(f"duplicates of {name}", counted.shared, counted.rows, contents.mends_of(collection, number))


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
