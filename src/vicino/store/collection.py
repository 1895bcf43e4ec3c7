"""Collection: a name under which documents are kept, the recipe that answers questions about them, and the models it needs.

On disk: `about/` (an artefact: recipe, way of cutting, models with their spaces and canaries; written once, whole or not at
all), the store's rows, and `kept/`, indexes that can be made again from the rows. Who changes the model writes `about-7/`, and
so on (see `vicino.store.succession`); the store's note says which of them counts, so that one commit switches vectors and model.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, encoders, store
from vicino.data.records import Recipe
from vicino.encoders import Encoder
from vicino.encoders.adapted import Adapted
from vicino.errors import ArtifactCorrupt, ArtifactError, InputError, SpaceMismatch, UnknownName
from vicino.spaces import Canaries, Space
from vicino.store.base import Store

__all__ = ["Collection", "Model", "entry_of", "require_name", "rows_of", "vouch", "vouched"]

Encode = Callable[[list[str]], Any]

_NAME = re.compile(r"\w[\w.-]{0,99}")
_CANARIES = 3
_MADE_HERE = ".made-here"  # beside the collections: what may run the functions and send the keys that its makers named


@dataclass(frozen=True, eq=False)
class Model:
    """An encoder of the recipe: the name and parameters that make it again, and itself.

    What was learnt here, from the documents, is saved in the collection; what `name` brings back anywhere is not copied.
    """

    name: str
    params: Mapping[str, Any]
    encoder: Encoder


class Collection:
    """Documents under a name. `create` makes one, `open` finds one again; several processes may have it open.

    `models` has one entry for each encoder of the recipe, in the recipe's order; `spaces` those whose vectors are stored (not
    the sparse ones, whose vectors are made again from the text).
    """

    def __init__(self, folder: Path, about: artifacts.Artifact, kept: Store, *, pinned: bool = False) -> None:
        self.folder, self.name, self.store = folder, folder.name, kept
        self._pinned = pinned
        self._take(about)

    def _take(self, about: artifacts.Artifact) -> None:
        try:
            self.recipe = Recipe.from_json(about.data["recipe"])
            self.cut = str(about.data["cut"])
            self.models: list[dict[str, Any]] = about.data["models"]
        except (KeyError, TypeError) as error:
            raise ArtifactCorrupt(f"{about.path} is damaged: {error}", mend="restore it from a copy, or ingest again") from error
        self.about = about
        self._opened: dict[int, Encoder] = {}

    # Making and finding ---------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        home: Path,
        name: str,
        recipe: Recipe,
        *,
        cut: str,
        models: Sequence[Model],
        canaries: Sequence[str],
        at: str | None = None,
    ) -> Collection:
        """An empty collection under `home`. `canaries` are a few texts whose vectors are kept, to notice a model that moved.

        Its rows are kept beside it, or `at` a server's address. Raises InputError for a name that cannot be a folder's,
        ArtifactError where a collection of this name is there.
        """
        require_name(name)
        folder = home / name
        with _alone(folder):
            if (folder / "about").exists():
                raise ArtifactError(f"there is a collection {name!r} already", mend="choose another name")
            for left in ("rows", "kept"):  # by a process that was killed here
                shutil.rmtree(folder / left, ignore_errors=True)
            dense = [model.encoder.space for model in models if not model.encoder.sparse]
            there = {"scheme": "lance"} if at is None else store.place(at, name)
            store.create(there.get("location", folder / "rows"), list(dict.fromkeys(dense)), scheme=there["scheme"])
            cls._write_about(folder / "about", recipe, cut, models, list(canaries)[:_CANARIES], there)
            vouch(folder / "about")
        return cls.open(home, name)

    @staticmethod
    def _write_about(
        folder: Path, recipe: Recipe, cut: str, models: Sequence[Model], canaries: list[str], there: Mapping[str, str]
    ) -> None:
        entries = [entry_of(model) for model in models]
        data = {"recipe": recipe.to_json(), "cut": cut, **there, "canaries": canaries, "models": entries}
        reads = [n for n, model in enumerate(models) if canaries and "text" in model.encoder.accepts]
        arrays = {f"canaries-{n}": rows_of(models[n].encoder.encode_document(canaries)) for n in reads}
        parts = {f"model-{n}": models[n].encoder.save for n, entry in enumerate(entries) if entry["saved"]}
        artifacts.write(folder, kind="collection", data=data, arrays=arrays, parts=parts)

    @classmethod
    def open(cls, home: Path, name: str) -> Collection:
        """Raises UnknownName (did you mean ...), ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
        folder = home / name
        if not _NAME.fullmatch(name) or not (folder / "about").is_dir():
            raise UnknownName.among(name, cls.names(home), kind="collection", listing=_listing(cls.names(home), name))
        about = artifacts.read(folder / "about", kind="collection")
        try:
            kept = store.open(about.data.get("location", folder / "rows"), scheme=about.data["scheme"])
        except (KeyError, TypeError) as error:
            raise ArtifactCorrupt(f"{folder} is damaged: {error}", mend="restore it from a copy, or ingest again") from error
        opened = cls(folder, about, kept)
        opened._follow_note()
        return opened

    @property
    def note(self) -> str:
        """The name of the folder that says which models serve: "about", or such as "about-7" after a change of the model."""
        return self.about.path.name

    def refresh(self) -> bool:
        """See what any process wrote; True where other models serve now: who keeps anything of theirs starts over."""
        self.store.refresh()
        return not self._pinned and self._follow_note()

    def _follow_note(self) -> bool:
        """Take what the store's note names, where that is something else now."""
        for last in (False, True):
            note = self.store.note or "about"
            if note == self.note:
                return False
            try:
                self._take(artifacts.read(self.folder / note, kind="collection"))
            except ArtifactError:
                if last or not self.store.refresh():  # it was given up meanwhile, or it is lost
                    raise
            else:
                return True
        return True

    def under(self, note: str) -> Collection:
        """The same rows as `note` has them served, whatever the store says: for who compares models, or fills a column."""
        return type(self)(self.folder, artifacts.read(self.folder / note, kind="collection"), self.store, pinned=True)

    @staticmethod
    def names(home: Path) -> list[str]:
        """The collections under `home`, sorted."""
        return sorted(path.parent.name for path in home.glob("[!.]*/about") if path.is_dir())

    # Models ---------------------------------------------------------------------------------------------------------

    @property
    def spaces(self) -> list[Space]:
        """The space of each model, in the recipe's order."""
        return [Space.from_json(model["space"]) for model in self.models]

    @property
    def accepts(self) -> list[frozenset[str]]:
        """The kinds of item that each model takes, in the recipe's order."""
        return [frozenset(model.get("accepts", ["text"])) for model in self.models]

    @property
    def stored(self) -> list[int]:
        """Which models have their vectors in the store: the first of each space."""
        models = self.models
        first = {model["space"]["id"]: n for n, model in reversed(list(enumerate(models))) if not model["sparse"]}
        return sorted(first.values())

    def encoder(self, number: int) -> Encoder:
        """A model, opened when first needed, and known to give the vectors it gave.

        Raises SpaceMismatch where the name stands for another model now, or the model's outputs moved.
        """
        if number not in self._opened:
            asks = self.models[number].get("asks")
            self._opened[number] = self._adapted(number, asks) if asks else self._own(number)
        return self._opened[number]

    def _own(self, number: int) -> Encoder:
        """The model that made the vectors."""
        model = self.models[number]
        made = self._made(model, f"model-{number}")
        self._require(made, self.spaces[number], model["name"])
        return made

    def _made(self, model: Mapping[str, Any], part: str) -> Encoder:
        made = encoders.load(self.about.path / part) if model["saved"] else encoders.make(model["name"], **model["params"])
        if not self.made_here:
            made._require_trust(self.folder)
        return made

    def _adapted(self, number: int, asks: Mapping[str, Any]) -> Encoder:
        """Another model asks, and what it says is mapped into the space of the vectors; their own model reads what is new."""
        made = self._made(asks, f"asks-{number}")
        self._check(made, Space.from_json(asks["space"]), asks["name"], f"asks-canaries-{number}", made.encode_query)
        arrays = [self.about.arrays[f"{name}-{number}"] for name in ("weights", "shift")]
        return Adapted(made, *arrays, space=self.spaces[number], reader=lambda: self._own(number))

    def arithmetic(self, number: int) -> str:
        """What a model computes with, where it was needed so far; empty where not."""
        return self._opened[number].arithmetic if number in self._opened else ""

    def open_models(self) -> None:
        """Open what the first question would wait for. Raises as `encoder`."""
        for number in range(len(self.models)):
            self.encoder(number)

    @property
    def opened(self) -> list[Encoder]:
        """The models that were needed so far."""
        return list(self._opened.values())

    @property
    def models_named(self) -> str:
        """The names of the models, as a person gave them; those that ask through a map are said to."""
        names = [(model["name"], model.get("asks", {}).get("name")) for model in self.models]
        return " and ".join(f"{asks} (mapped into {name})" if asks else name for name, asks in names)

    @property
    def made_here(self) -> bool:
        """Whether what is named here may run: its makers worked in this home."""
        return vouched(self.about.path, self.folder.parent)

    def use(self, number: int, encoder: Encoder) -> None:
        """Take an encoder that is open already. Raises SpaceMismatch."""
        self._require(encoder, self.spaces[number], self.models[number]["name"])
        self._opened[number] = encoder

    def _require(self, encoder: Encoder, space: Space, name: str) -> None:
        self._check(encoder, space, name, f"canaries-{self.spaces.index(space)}", encoder.encode_document)

    def _check(self, encoder: Encoder, space: Space, name: str, canaries: str, encode: Encode) -> None:
        """Raise SpaceMismatch unless the encoder is of this space, and gives the vectors that it gave."""
        mend = (
            f"bring the old {name} back, change the model (vicino migrate {self.name} --to ENCODER), "
            f"or ingest into a new collection: vicino ingest PATH --collection {self.name}-2"
        )
        if encoder.space != space:
            raise SpaceMismatch(
                f"the collection {self.name!r} holds vectors of {space}, and {name} now makes {encoder.space}", mend=mend
            )
        then = self.about.arrays.get(canaries)
        if then is not None:
            try:
                Canaries(self.about.data["canaries"], then).check(lambda texts: rows_of(encode(texts)))
            except SpaceMismatch as error:
                raise SpaceMismatch(f"{name}: {error.what}", mend=mend) from error

    @property
    def kept(self) -> Path:
        """Where indexes are kept that the rows can make again."""
        return self.folder / self.note.replace("about", "kept")


def vouch(about: Path) -> None:
    """Note that this folder was made here, by who may run what it names."""
    with (about.parent.parent / _MADE_HERE).open("a", encoding="utf-8") as made:
        made.write(f"{artifacts.file_digest(about / artifacts.MANIFEST)}\n")


def vouched(about: Path, home: Path) -> bool:
    """Whether this folder, or the one that it is a copy of, was made in this home."""
    try:
        made = (home / _MADE_HERE).read_text(encoding="utf-8").split()
    except OSError:
        return False
    return artifacts.file_digest(about / artifacts.MANIFEST) in made


def require_name(name: str) -> None:
    """Raise InputError for a name that cannot be a folder's."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a collection", mend="use letters, digits, - and _, such as my-docs")


def entry_of(model: Model) -> dict[str, Any]:
    """What is written of a model. What `name` brings back anywhere is not saved."""
    return {
        "name": model.name,
        "params": dict(model.params),
        "space": model.encoder.space.to_json(),
        "accepts": sorted(model.encoder.accepts),
        "sparse": model.encoder.sparse,
        "saved": not model.encoder.pretrained,
    }


def rows_of(vectors: Any) -> NDArray[np.float32]:
    """Vectors as dense float32 rows."""
    return np.asarray(vectors.toarray() if hasattr(vectors, "toarray") else vectors, dtype=np.float32)


def _listing(names: list[str], name: str) -> str:
    there = f"There are: {', '.join(names)}; make one" if names else "There are none yet; make one"
    return f"{there} with: vicino ingest PATH --collection {name}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time makes a collection."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with artifacts.locked(folder / ".making"):
            yield
    except OSError as error:
        raise ArtifactError(f"cannot write {folder}: {error}", mend="free some space, or set VICINO_HOME elsewhere") from error
