"""What values the parameters of a training may have: told as a recipe is made, before anything long begins."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from vicino.errors import InputError, UnknownName
from vicino.learning.loop import Settings

__all__ = [
    "Recipe",
    "Rule",
    "between",
    "count",
    "dropout",
    "flag",
    "number",
    "one_of",
    "or_named",
    "or_none",
    "require",
    "require_alone",
    "share",
    "text",
]

Rule = tuple[Callable[[Any], bool], str]  # whether a value fits, and what to give instead


@dataclass(frozen=True)
class Recipe:
    """How to train: named parameters, made from plain data. These are for `vicino.learning.loop.Settings`, whatever is taught."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    patience: int | None = None
    evaluate_every: float = 1.0
    seed: int = 0
    threads: int | None = None

    @classmethod
    def of(cls, **params: Any) -> Self:
        """From plain data. Raises UnknownName for what is no parameter, and what the constructor raises."""
        known = [one.name for one in fields(cls)]
        for name in params:
            if name not in known:
                raise UnknownName.among(name, known, kind="parameter of training")
        return cls(**params)

    @property
    def settings(self) -> Settings:
        """What the loop wants to know. Raises InputError for what it cannot be."""
        return Settings(**{one.name: getattr(self, one.name) for one in fields(Settings) if hasattr(self, one.name)})


def require(recipe: object, rules: Mapping[str, Rule]) -> None:
    """Raise InputError for the parameters of a recipe that break its rules."""
    wrong = [name for name, (fits, _) in rules.items() if not fits(getattr(recipe, name))]
    if wrong:
        what = ", ".join(f"{name}={getattr(recipe, name)!r}" for name in wrong)
        raise InputError(f"{what} cannot be", mend="; ".join(rules[name][1] for name in wrong))


def require_alone() -> None:
    """Raise InputError where a launcher started several processes: who measures, judges and writes the one folder is one.

    What they can do together is `vicino.learning.loop.fit`.
    """
    world = os.environ.get("WORLD_SIZE", "")
    if world.isdigit() and int(world) > 1:
        what = f"{world} processes were started, which would write the same folder"
        raise InputError(what, mend="start one, by python or vicino itself; only vicino.learning.loop.fit shares its work")


def count(least: int, mend: str, *, most: int | None = None) -> Rule:
    """A whole number, `least` or more, up to `most` if that is given."""
    return lambda n: type(n) is int and n >= least and (most is None or n <= most), mend


def share(mend: str) -> Rule:
    """A finite number above zero."""
    return lambda x: _is_number(x) and x > 0, mend


def number(mend: str) -> Rule:
    """A finite number."""
    return _is_number, mend


def between(low: float, high: float, mend: str) -> Rule:
    """A finite number from `low` to `high`."""
    return lambda x: _is_number(x) and low <= x <= high, mend


def dropout(mend: str) -> Rule:
    """A number from 0 to under 1."""
    return lambda x: _is_number(x) and 0 <= x < 1, mend


def one_of(*names: str) -> Rule:
    """One of these names."""
    return lambda name: name in names, f"give {', '.join(names[:-1])} or {names[-1]}"


def flag(mend: str) -> Rule:
    """Yes or no."""
    return lambda value: type(value) is bool, mend


def text(mend: str) -> Rule:
    """A text."""
    return lambda value: isinstance(value, str), mend


def or_none(rule: Rule) -> Rule:
    """The same, or None."""
    fits, mend = rule
    return lambda value: value is None or fits(value), mend


def or_named(rule: Rule, name: str) -> Rule:
    """The same, or this name."""
    fits, mend = rule
    return lambda value: value == name or fits(value), mend


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
