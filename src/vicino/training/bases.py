"""What a sentence encoder that is to be taught begins as: a transformer, or static vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vicino import artifacts, encoders
from vicino.encoders.static import Static
from vicino.encoders.transformer import Transformer
from vicino.errors import InputError
from vicino.spaces import fingerprint
from vicino.training.material import Parts
from vicino.training.recipe import TextRecipe

__all__ = ["Base", "is_static", "open_base", "ready", "recipe_for"]

Base = Transformer | Static

_OF_STATIC: Mapping[str, Any] = {"epochs": 10, "learning_rate": 5e-3, "batch_size": 128, "limit": None, "precision": "float32"}


def is_static(name: str) -> bool:
    """Whether a base is of static vectors: "static", with parameters or without, or a folder of them."""
    if name == Static.family:
        return True
    if (Path(name) / artifacts.MANIFEST).is_file() and artifacts.kind_of(name) == "encoder":
        return bool(artifacts.read(name, kind="encoder").data.get("encoder") == Static.family)
    return name.partition("(")[0] == Static.family


def recipe_for(base: str, **params: Any) -> TextRecipe:
    """`TextRecipe.of`, with other defaults for static vectors: they take large steps, and read texts to the end."""
    return TextRecipe.of(**{**_OF_STATIC, **params} if is_static(base) else params)


def open_base(name: str, recipe: TextRecipe) -> Base:
    """A model's folder or hub name, "minilm", or static vectors, which may be unfitted still.

    Raises InputError for a recipe that static vectors cannot follow, and what opening raises.
    """
    if not is_static(name):
        return Transformer() if name == "minilm" else Transformer(model=name)
    refused = {
        f"towers={recipe.towers}": recipe.towers != "shared",
        f"way={recipe.way}": recipe.way not in ("pairs", "distil"),
        f"limit={recipe.limit}": recipe.limit is not None,
        f"dropout={recipe.dropout}": bool(recipe.dropout),
        "prompts": bool(recipe.prompts),
    }
    wrong = [what for what, asked in refused.items() if asked]
    if wrong:
        raise InputError(f"static vectors know no {' and no '.join(wrong)}", mend="leave them out, as recipe_for does")
    made = encoders.make(name)
    if not isinstance(made, Static):
        raise InputError(f"{name} is no encoder of static vectors", mend="give static, or a folder of one")
    return made


def ready(base: Static, parts: Parts, workplace: Path | None) -> Static:
    """Static vectors to learn from: distilled here, where that was not done, and weighed by the texts of the data.

    What is distilled is kept in the `workplace`, if any: a training that goes on finds the same to the bit.
    """
    if base.__sklearn_is_fitted__():
        return base
    kept = None if workplace is None else workplace / f"static-{fingerprint([base.get_params(), parts.digest])[:12]}"
    if kept is not None and kept.is_dir():
        return Static.load(kept)
    corpus = parts.learn.corpus
    base.fit([*parts.learn.anchors, *parts.learn.positives] if corpus is None else corpus.documents)
    if kept is not None:
        base.save(kept)
    return base
