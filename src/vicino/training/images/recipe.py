"""What can be chosen where a network of images is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, Self

from vicino.errors import InputError
from vicino.learning.loop import Settings
from vicino.training.rules import Recipe, Rule, count, number, one_of, or_none, require, share

__all__ = ["ImageRecipe"]

_EPOCHS = 10

# What each parameter must be, and what to give instead.
_RULES: dict[str, Rule] = {
    "size": or_none(count(8, "give size=64, or None")),
    "channels": (lambda n: n in (None, 1, 3), "give channels=1 (grey) or 3 (colours), or None"),
    "squeeze": (lambda flag: type(flag) is bool, "give squeeze=True, or False"),
    "judge": one_of("auto", "classes", "identities", "views"),
    "epochs": or_none(count(1, "give epochs=10, or None")),
    "minutes": or_none(share("give minutes=4, or None")),
    "batch_size": or_none(count(2, "give batch_size=256, or None")),
    "learning_rate": or_none(share("give learning_rate=2e-3, or None")),
    "weight_decay": or_none(number("give weight_decay=0.05, or None")),
}


@dataclass(frozen=True)
class ImageRecipe(Recipe):
    """How to train a network of images. What is None is what the objective's author would take.

    Images are brought to the side `size` (None: about that of the images, 64 at most; of a pretrained network, its own) and to so
    many `channels` (None: 1 where all are grey); what is too long is cut off on both sides, or with `squeeze` made shorter.

    `epochs` is how often the images are read (None: 10, or what the objective takes), or `minutes` settles it: as many epochs as
    fit, or a part of one, by steps that are measured before training; `minutes` are for steps on this machine, without reading
    images and judging.

    `judge` says what is held back and judged by: a part of each class ("classes": kNN accuracy), whole classes ("identities":
    recall@1), or views of images ("views", which needs no labels); "auto" takes "identities" for objectives that are meant for
    them and where classes are many and small, else "classes" where there are labels.

    `options` are those of the objective; `of` finds them among its parameters. The rest is for
    `vicino.learning.loop.Settings`. Raises InputError where a value cannot be.
    """

    size: int | None = None
    channels: Literal[1, 3] | None = None
    squeeze: bool = False
    judge: Literal["auto", "classes", "identities", "views"] = "auto"
    epochs: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    _chosen_later: ClassVar[tuple[str, ...]] = ("batch_size", "learning_rate", "weight_decay")

    def __post_init__(self) -> None:
        require(self, _RULES)
        if self.epochs is not None and self.minutes is not None:
            raise InputError("epochs and minutes both say how long", mend="give one of them")
        self.settings  # noqa: B018 - raises

    @classmethod
    def of(cls, **params: Any) -> Self:
        """From plain data: what is no parameter of training is taken for an option of the objective, which knows its own."""
        known = {one.name for one in fields(cls)}
        options = {name: value for name, value in params.items() if name not in known}
        return cls(**{**{name: value for name, value in params.items() if name in known}, "options": options})

    @property
    def settings(self) -> Settings:
        """What the loop wants to know, with its own values for what is None. Raises InputError for what cannot be."""
        return self.settings_after({})

    def settings_after(self, usual: Mapping[str, Any], epochs: int | None = None) -> Settings:
        """What the loop wants to know, where an objective has `usual` values and so many `epochs` were settled."""
        given = {name: getattr(self, name) for name in self._chosen_later if getattr(self, name) is not None}
        shared = {one.name: getattr(self, one.name) for one in fields(Recipe)}
        return replace(Settings(**{**usual, **given, **shared}), epochs=epochs or self.epochs or usual.get("epochs", _EPOCHS))

    def to_json(self) -> dict[str, Any]:
        """The parameters as plain data."""
        return {**{one.name: getattr(self, one.name) for one in fields(self)}, "options": dict(self.options)}
