"""Collection: a name under which documents are kept, the recipe that answers questions about them, and the models it needs.

On disk: `about/` (an artefact: recipe, way of cutting, models with their spaces and canaries; written once, whole or not at
all), the store's rows, and `kept/`, indexes that can be made again from the rows.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vicino import artifacts, encoders, store
from vicino.data.records import Recipe
from vicino.encoders import Encoder
from vicino.errors import ArtifactCorrupt, ArtifactError, InputError, SpaceMismatch, UnknownName
from vicino.spaces import Canaries, Space
from vicino.store.base import Store

__all__ = ["Collection", "Model"]

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

    def __init__(self, folder: Path, about: artifacts.Artifact, kept: Store) -> None:
        self.folder, self.name, self.store = folder, folder.name, kept
        self.recipe = Recipe.from_json(about.data["recipe"])
        self.cut = str(about.data["cut"])
        self._about = about
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
        scheme: str = "lance",
    ) -> Collection:
        """An empty collection under `home`. `canaries` are a few texts whose vectors are kept, to notice a model that moved.

        Raises InputError for a name that cannot be a folder's, ArtifactError where a collection of this name is there.
        """
        if not _NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name for a collection", mend="use letters, digits, - and _, such as my-docs")
        folder = home / name
        with _alone(folder):
            if (folder / "about").exists():
                raise ArtifactError(f"there is a collection {name!r} already", mend="choose another name")
            for left in ("rows", "kept"):  # by a process that was killed here
                shutil.rmtree(folder / left, ignore_errors=True)
            dense = [model.encoder.space for model in models if not model.encoder.sparse]
            store.create(folder / "rows", list(dict.fromkeys(dense)), scheme=scheme)
            cls._write_about(folder / "about", recipe, cut, models, list(canaries)[:_CANARIES], scheme)
            with (home / _MADE_HERE).open("a", encoding="utf-8") as made:
                made.write(f"{artifacts.file_digest(folder / 'about' / artifacts.MANIFEST)}\n")
        return cls.open(home, name)

    @staticmethod
    def _write_about(folder: Path, recipe: Recipe, cut: str, models: Sequence[Model], canaries: list[str], scheme: str) -> None:
        saved = [not model.encoder.pretrained for model in models]
        data = {
            "recipe": recipe.to_json(),
            "cut": cut,
            "scheme": scheme,
            "canaries": canaries,
            "models": [
                {
                    "name": model.name,
                    "params": dict(model.params),
                    "space": model.encoder.space.to_json(),
                    "accepts": sorted(model.encoder.accepts),
                    "sparse": model.encoder.sparse,
                    "saved": here,
                }
                for model, here in zip(models, saved, strict=True)
            ],
        }
        reads = [n for n, model in enumerate(models) if canaries and "text" in model.encoder.accepts]
        arrays = {f"canaries-{n}": _rows(models[n].encoder, canaries) for n in reads}
        parts = {f"model-{n}": models[n].encoder.save for n, here in enumerate(saved) if here}
        artifacts.write(folder, kind="collection", data=data, arrays=arrays, parts=parts)

    @classmethod
    def open(cls, home: Path, name: str) -> Collection:
        """Raises UnknownName (did you mean ...), ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
        folder = home / name
        if not _NAME.fullmatch(name) or not (folder / "about").is_dir():
            raise UnknownName.among(name, cls.names(home), kind="collection", listing=_listing(cls.names(home), name))
        about = artifacts.read(folder / "about", kind="collection")
        try:
            return cls(folder, about, store.open(folder / "rows", scheme=about.data["scheme"]))
        except (KeyError, TypeError) as error:
            raise ArtifactCorrupt(f"{folder} is damaged: {error}", mend="restore it from a copy, or ingest again") from error

    @staticmethod
    def names(home: Path) -> list[str]:
        """The collections under `home`, sorted."""
        return sorted(path.parent.name for path in home.glob("*/about") if path.is_dir())

    # Models ---------------------------------------------------------------------------------------------------------

    @property
    def spaces(self) -> list[Space]:
        """The space of each model, in the recipe's order."""
        return [Space.from_json(model["space"]) for model in self._about.data["models"]]

    @property
    def accepts(self) -> list[frozenset[str]]:
        """The kinds of item that each model takes, in the recipe's order."""
        return [frozenset(model.get("accepts", ["text"])) for model in self._about.data["models"]]

    @property
    def stored(self) -> list[int]:
        """Which models have their vectors in the store: the first of each space."""
        models = self._about.data["models"]
        first = {model["space"]["id"]: n for n, model in reversed(list(enumerate(models))) if not model["sparse"]}
        return sorted(first.values())

    def encoder(self, number: int) -> Encoder:
        """A model, opened when first needed, and known to give the vectors it gave.

        Raises SpaceMismatch where the name stands for another model now, or the model's outputs moved.
        """
        if number not in self._opened:
            model, space = self._about.data["models"][number], self.spaces[number]
            made = (
                encoders.load(self._about.path / f"model-{number}")
                if model["saved"]
                else encoders.make(model["name"], **model["params"])
            )
            if not self._was_made_here():
                made._require_trust(self.folder)
            self._require(made, space, model["name"])
            self._opened[number] = made
        return self._opened[number]

    @property
    def opened(self) -> list[Encoder]:
        """The models that were needed so far."""
        return list(self._opened.values())

    def _was_made_here(self) -> bool:
        try:
            made = (self.folder.parent / _MADE_HERE).read_text(encoding="utf-8").split()
        except OSError:
            return False
        return artifacts.file_digest(self._about.path / artifacts.MANIFEST) in made

    def use(self, number: int, encoder: Encoder) -> None:
        """Take an encoder that is open already. Raises SpaceMismatch."""
        self._require(encoder, self.spaces[number], self._about.data["models"][number]["name"])
        self._opened[number] = encoder

    def _require(self, encoder: Encoder, space: Space, name: str) -> None:
        mend = f"bring the old {name} back, or ingest into a new collection: vicino ingest PATH --collection {self.name}-2"
        if encoder.space != space:
            raise SpaceMismatch(
                f"the collection {self.name!r} holds vectors of {space}, and {name} now makes {encoder.space}", mend=mend
            )
        texts, then = self._about.data["canaries"], self._about.arrays.get(f"canaries-{self.spaces.index(space)}")
        if then is not None:
            try:
                Canaries(texts, then).check(lambda listed: _rows(encoder, listed))
            except SpaceMismatch as error:
                raise SpaceMismatch(f"{name}: {error.what}", mend=mend) from error

    @property
    def kept(self) -> Path:
        """Where indexes are kept that the rows can make again."""
        return self.folder / "kept"


def _rows(encoder: Encoder, texts: list[str]) -> Any:
    vectors = encoder.encode_document(texts)
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
