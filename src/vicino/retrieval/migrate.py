"""Another model for a collection: embed into a second column while the first serves, switch in one commit, and a way back.

Chapters, each safe to kill at any point and to call again: `begin` writes who is to come (`about-7`) and gives it a column,
`fill` embeds what lacks a vector of it, `switch` serves it, `roll_back` serves the model before it, `finish` gives up the old
column. Rows that others write meanwhile are filled before the switch; what is filled is never embedded again.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from vicino import progress
from vicino.catalog import spell
from vicino.data.kinds import kind_of
from vicino.data.records import Document, Recipe
from vicino.errors import InputError, SpaceMismatch
from vicino.retrieval import from_recipe, parse
from vicino.retrieval.dense import Dense
from vicino.retrieval.passages import ROW, cut_documents, passage_of, passages
from vicino.spaces import Space
from vicino.store import lineage
from vicino.store.base import EVERYONE
from vicino.store.collection import Collection, Model
from vicino.store.succession import before, discard, pending, served_by, succeed

__all__ = ["begin", "called", "command", "fill", "finish", "lacking", "model_named", "number_of", "roll_back", "switch"]

_BATCH = 1024  # passages encoded together
_COMMIT = 8192  # passages committed together, or what is ready after so many seconds:
_SECONDS = 30.0
_READING = 240.0  # seconds that one version is read, under the ten minutes that maintenance keeps it
_TRIES = 100  # at the switch, while others write
_TEACHERS = 100_000  # passages, at most, that an encoder learns from


def number_of(collection: Collection, name: str | None = None) -> int:
    """Which model of the recipe: the one of this name, or the only one. Raises InputError.

    Where two have one name, their parameters belong to it: "lsa(n_components=8)".
    """
    names = _names(collection)
    if not names:
        raise InputError(
            f"the collection {collection.name!r} has no model to change: it searches by words",
            mend=f"ingest into another collection: vicino ingest PATH --collection {collection.name}-2 --encoder ENCODER",
        )
    if name is None and len(names) == 1:
        return 0
    if name not in names:
        what = f"there is no model {name!r}" if name else f"the collection {collection.name!r} has {len(names)} models"
        raise InputError(what, mend=f"say which is to go: --from with one of {', '.join(names)}")
    return names.index(name)


def command(collection: Collection, number: int, options: str) -> str:
    """What to type about one of the models: the command with these options, and which model is meant where there are several."""
    names = _names(collection)
    return f"vicino migrate {collection.name} {options}" + (f" --from {shlex.quote(names[number])}" if len(names) > 1 else "")


def begin(collection: Collection, to: str | PathLike[str], *, number: int = 0, seed: int = 0) -> Collection:
    """The collection as it will be with the encoder `to` for its model `number`; its column is there, and maybe not full.

    What was begun before goes on. An encoder that must learn is taught by a sample of the passages. Raises InputError (another
    change is under way; the model is that already; it takes other things, or its vectors cannot be kept), and what opening
    and teaching it raise.
    """
    waiting, leaf = pending(collection), _leaf(to, collection)
    if waiting is None:
        model = _taught(leaf, collection, seed)
        _require_fit(collection, number, model)
        recipe = _with_model(collection.recipe, iter(range(len(collection.models))), number, model)
        waiting = succeed(collection, from_recipe(recipe).recipe, number, model)
        waiting.use(number, model.encoder)
    elif (begun := waiting.models[number]) and (begun["name"], begun["params"]) != _named(leaf):
        raise InputError(
            f"a change to {begun['name']} is under way, not to {to}",
            mend=f"go on with it, or give it up first: vicino migrate {collection.name} --rollback",
        )
    for space in served_by(waiting):
        if space not in (*collection.store.spaces, *collection.store.filling):
            collection.store.add_space(space)
    return waiting


def model_named(to: str | PathLike[str], collection: Collection, *, seed: int = 0) -> Model:
    """An encoder by its name or folder, taught by the collection where it must learn. Raises InputError, UnknownName."""
    return _taught(_leaf(to, collection), collection, seed)


def lacking(collection: Collection) -> int:
    """How many rows lack a vector of a space that these models need."""
    store = collection.store
    spaces = [space for space in served_by(collection) if space in store.filling]
    return sum(batch.num_rows for space in spaces for batch in store.scan(["key"], tenant=EVERYONE, lacking=space))


def fill(collection: Collection) -> int:
    """Embed what lacks a vector of these models, until nothing does; how many passages were embedded.

    Killed, it goes on where it was. Raises what encoding and the store raise; what was committed stays.
    """
    collection.store.refresh()
    total = lacking(collection)
    done = 0
    if total:
        with progress.task("Embedding", total=total, unit="passages") as bar:
            for number in collection.stored:
                if collection.spaces[number] in collection.store.filling:
                    done += _Filling(collection, number, bar).run()
    return done


def switch(collection: Collection, to: Collection) -> int:
    """Fill what is still lacking, and serve `to` instead, in one commit; how many passages were embedded for it.

    Raises SpaceMismatch where its column is gone, or where others write faster than rows are embedded.
    """
    embedded = 0
    for attempt in range(_TRIES):
        embedded += fill(to)
        try:
            version = to.store.serve(served_by(to), note=to.note)
        except SpaceMismatch:  # rows came between the two
            if attempt == _TRIES - 1:
                raise
        else:
            break
    lineage.append(collection.folder, "switch", model=lineage.told(to), version=version, note=f"{collection.note} -> {to.note}")
    return embedded


def roll_back(collection: Collection) -> str:
    """One step back, in words: what was begun and does not serve is given up; else the model before this one serves again.

    Rows written since are embedded by the old model first. Raises InputError where there is no step to take, SpaceMismatch where
    the old model is not what it was.
    """
    waiting = pending(collection)
    old = before(collection)
    if waiting is not None:
        needed = served_by(old) if old else []
        for space in served_by(waiting):
            if space in collection.store.filling and space not in needed:
                collection.store.drop_space(space)
        discard(collection, waiting.note)
        lineage.append(
            collection.folder, "give up", model=lineage.told(waiting), version=collection.store.version, note=waiting.note
        )
        return f"gave up {waiting.models_named}, which does not serve"
    if old is None:
        raise InputError(
            f"there is no way back: {collection.name!r} has one model's vectors",
            mend=f"vicino migrate {collection.name} --to OLD-ENCODER embeds again",
        )
    embedded = switch(collection, old)
    return f"{old.models_named} serves again; {embedded:,} passages written since were embedded by it"


def finish(collection: Collection) -> list[Space]:
    """Give up the columns that serve no more, with who made them: there is no way back then. Raises InputError."""
    waiting = pending(collection)
    if waiting is not None:
        raise InputError(
            f"{waiting.models_named} does not serve yet",
            mend=f"go on (vicino migrate {collection.name} --to ...), or give it up: vicino migrate {collection.name} --rollback",
        )
    gone = list(collection.store.filling)
    if not gone:
        raise InputError(f"{collection.name!r} has no old vectors to give up", mend="there is nothing to do")
    for space in gone:
        collection.store.drop_space(space)
    for path in collection.folder.glob("about*"):
        if path.name != collection.note:
            discard(collection, path.name)
    lineage.append(
        collection.folder,
        "finish",
        model=lineage.told(collection),
        version=collection.store.version,
        note=f"gave up {', '.join(map(str, gone))}",
    )
    return gone


class _Filling:
    """One column, from where it is to full."""

    def __init__(self, collection: Collection, number: int, bar: progress.Task) -> None:
        self.collection, self.number, self.bar = collection, number, bar
        self.space, self.encoder = collection.spaces[number], collection.encoder(number)
        self._keys: list[str] = []
        self._vectors: list[Any] = []
        self._documents = set[str]()
        self._since = time.monotonic()

    def run(self) -> int:
        done = 0
        while True:
            self.collection.store.refresh()
            filled, whole = self._read()
            done += filled
            if whole and not filled:
                return done

    def _read(self) -> tuple[int, bool]:
        """Fill what one version lacks; how many, and whether to its end."""
        store = self.collection.store
        until, filled = time.monotonic() + _READING, 0
        rows = cut_documents(store)
        try:
            for batch in store.scan(ROW, tenant=EVERYONE, lacking=self.space):
                for begin_ in range(0, batch.num_rows, _BATCH):
                    some = batch.slice(begin_, _BATCH).to_pylist()
                    self._embed(some, [passage_of(row, rows) for row in some])
                    if len(self._keys) >= _COMMIT or time.monotonic() - self._since > _SECONDS:
                        filled += self._commit()
                        if time.monotonic() > until:
                            return filled, False
        except KeyboardInterrupt:
            self._commit()  # what is ready is not embedded again
            raise
        return filled + self._commit(), True

    def _embed(self, rows: list[dict[str, Any]], documents: list[Document]) -> None:
        vectors = self.encoder.encode_document(documents)
        self._keys += [row["key"] for row in rows]
        self._vectors.append(np.asarray(vectors, dtype=np.float32))
        self._documents.update(f"{row['tenant']}\0{row['source']}\0{row['document']}" for row in rows)
        self.bar.advance(len(rows))

    def _commit(self) -> int:
        keys, documents = self._keys, len(self._documents)
        if not keys:
            return 0
        filled = self.collection.store.fill(self.space, keys, np.concatenate(self._vectors))
        model = lineage.told(self.collection, [self.number])
        version = self.collection.store.version
        lineage.append(self.collection.folder, "fill", model=model, version=version, keys=keys, documents=documents)
        self._keys, self._vectors, self._documents, self._since = [], [], set(), time.monotonic()
        return max(filled, 1)  # rows that are gone were work too: read again


# Models ---------------------------------------------------------------------------------------------------------------


def _names(collection: Collection) -> list[str]:
    """The names of the models; with their parameters where two have one name."""
    names = [str(model["name"]) for model in collection.models]
    return [each if names.count(each) == 1 else called(model) for each, model in zip(names, collection.models, strict=True)]


def called(model: Mapping[str, Any]) -> str:
    """A model of a collection as `--to` takes it: its name with its parameters."""
    return spell(str(model["name"]), model["params"])


def _leaf(to: str | PathLike[str], collection: Collection) -> Dense:
    plan = from_recipe(parse(str(to), analyzer="code" if _reads_code(collection.recipe) else "words"))
    if not isinstance(plan, Dense):
        raise InputError(f"{to} is no encoder", mend="give one encoder: a name, a model folder, or a hub name")
    return plan


def _reads_code(recipe: Recipe) -> bool:
    return recipe.params.get("analyzer") == "code" or any(map(_reads_code, recipe.parts))


def _taught(leaf: Dense, collection: Collection, seed: int) -> Model:
    encoder = leaf.encoder_
    if not (encoder.pretrained or encoder.__sklearn_is_fitted__()):
        encoder.fit_whole([document for _, document in passages(collection, _TEACHERS, seed=seed)])
    return Model(*_named(leaf), encoder)


def _named(leaf: Dense) -> tuple[str, dict[str, Any]]:
    """The encoder's name, a folder by its full path so that it is found from anywhere; and its parameters."""
    folder = Path(leaf.encoder)
    return str(folder.resolve()) if folder.is_dir() else leaf.encoder, dict(leaf.encoder_params or {})


def _require_fit(collection: Collection, number: int, model: Model) -> None:
    encoder, old = model.encoder, collection.spaces[number]
    if encoder.space in collection.spaces:
        raise InputError(
            f"{model.name} makes vectors of {encoder.space}, which the collection {collection.name!r} has already",
            mend="name another encoder",
        )
    if encoder.sparse or encoder.similarity == "maxsim":
        raise InputError(f"{model.name} does not make one dense vector a passage", mend="choose a dense encoder: vicino encoders")
    if kind_of([encoder.accepts]) != kind_of([collection.accepts[number]]):
        raise InputError(f"{model.name} does not take what {old} was made of", mend="choose an encoder of the same kind of item")


def _with_model(recipe: Recipe, numbers: Iterator[int], wanted: int, model: Model) -> Recipe:
    """The recipe with another encoder in its dense leaf of this number."""
    if recipe.retriever == Dense.family:
        if next(numbers) != wanted:
            return recipe
        params = {name: value for name, value in recipe.params.items() if not name.startswith("encoder")}
        return Recipe(recipe.retriever, {"encoder": model.name, "encoder_params": dict(model.params) or None, **params})
    parts = tuple(_with_model(part, numbers, wanted, model) for part in recipe.parts)
    return Recipe(recipe.retriever, recipe.params, parts)
