"""What can be chosen where a sentence encoder is fine-tuned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from vicino.errors import InputError, UnknownName
from vicino.learning.loop import Settings
from vicino.training.questions import called

__all__ = ["TextRecipe"]

_WAYS = ("pairs", "distil", "simcse", "tsdae")
_TOWERS = ("shared", "separate")


def _count(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


# What each parameter must be, and what to give instead.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "negatives": (lambda n: _count(n, 0), "give negatives=1, or 0"),
    "temperature": (lambda x: _number(x) and x > 0, "give temperature=0.05"),
    "relative": (lambda x: x is None or (_number(x) and x > 0), "give relative=0.95, or None"),
    "remine": (lambda n: n is None or _count(n, 1), "give remine=1, a number of epochs, or None"),
    "margin": (lambda x: x is None or _number(x), "give margin=0.1, or None"),
    "dims": (lambda dims: all(_count(n, 1) for n in dims), "give dims=64, or several in brackets"),
    "limit": (lambda n: n is None or _count(n, 3), "give limit=256, or None for all that the model reads"),
    "dropout": (lambda x: x is None or (_number(x) and 0 <= x < 1), "give dropout=0.1, or None for the network's own"),
}


@dataclass(frozen=True)
class TextRecipe:
    """How to train. `negatives` hard ones for each pair, mined by `mine` ("none": only what the examples bring), and mined anew
    with the model as it is each `remine` epochs; none that is nearer than `relative` of the answer's nearness.

    `towers` are "shared", one network for queries and documents, or "separate", one for each; both begin as the base.
    `temperature` divides cosines; `limit` cuts texts, for speed, to so many tokens; `dims` has the first so many dimensions learn
    as well (Matryoshka), `margin` leaves out candidates that are nearly as near as the answer. The rest is for
    `vicino.learning.loop.Settings`. Raises InputError where a value cannot be.

    Of texts without labels, `way` makes pairs of their titles and sentences ("pairs"), or learns from them as they are: "simcse"
    or "tsdae" (see `vicino.training.unlabelled`). simcse learns by dropout: where none is given, by the network's own. `queries`
    is a function that writes queries for texts, or its name: pairs are then made of these (see `vicino.training.questions`).
    """

    epochs: int = 3
    batch_size: int = 32
    small_batch: int | None = None
    learning_rate: float = 3e-5
    way: Literal["pairs", "distil", "simcse", "tsdae"] = "pairs"
    queries: str | Callable[[list[str]], Any] | None = None
    towers: Literal["shared", "separate"] = "shared"
    temperature: float = 0.05
    negatives: int = 1
    mine: Literal["hybrid", "dense", "bm25", "none"] = "hybrid"
    relative: float | None = 0.95
    remine: int | None = None
    margin: float | None = None
    dims: tuple[int, ...] = ()
    limit: int | None = 256
    dropout: float | None = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    patience: int | None = None
    evaluate_every: float = 1.0
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.mine not in ("hybrid", "dense", "bm25", "none"):
            raise InputError(f"mine={self.mine!r} cannot be", mend="give hybrid, dense, bm25 or none")
        if self.towers not in _TOWERS:
            raise InputError(f"towers={self.towers!r} cannot be", mend=f"give {' or '.join(_TOWERS)}")
        for name, (fits, mend) in _RULES.items():
            if not fits(getattr(self, name)):
                raise InputError(f"{name}={getattr(self, name)!r} cannot be", mend=mend)
        self._require_way()
        self.settings  # noqa: B018 - raises

    def _require_way(self) -> None:
        if self.way not in _WAYS:
            raise InputError(f"way={self.way!r} cannot be", mend=f"give {', '.join(_WAYS[:-1])} or {_WAYS[-1]}")
        if self.way == "tsdae" and (self.dims or self.small_batch is not None):
            raise InputError("tsdae learns neither dims nor by a small_batch", mend="leave dims and small_batch out")
        if self.way in ("simcse", "tsdae") and self.queries is not None:
            raise InputError(f"queries make pairs, from which {self.way} does not learn", mend="leave queries out, or way")
        if self.way in ("simcse", "tsdae") and self.towers == "separate":
            raise InputError(f"{self.way} knows no queries and documents to separate", mend="leave towers out, or way")
        if self.way == "simcse" and not self.dropout:
            object.__setattr__(self, "dropout", None)

    @classmethod
    def of(cls, **params: Any) -> Self:
        """From plain data. Raises UnknownName for what is no parameter, and what the constructor raises."""
        known = [one.name for one in fields(cls)]
        for name in params:
            if name not in known:
                raise UnknownName.among(name, known, kind="parameter of training")
        dims = params.get("dims", ())
        return cls(**{**params, "dims": (dims,) if isinstance(dims, int) else tuple(dims)})

    @property
    def settings(self) -> Settings:
        """What the loop wants to know."""
        names = (
            "epochs",
            "batch_size",
            "small_batch",
            "learning_rate",
            "precision",
            "patience",
            "evaluate_every",
            "seed",
            "threads",
        )
        return Settings(**{name: getattr(self, name) for name in names})

    def to_json(self) -> dict[str, Any]:
        """The parameters as plain data."""
        asked = None if self.queries is None else called(self.queries)
        return {one.name: getattr(self, one.name) for one in fields(self)} | {"dims": list(self.dims), "queries": asked}
