"""Families that learn with chance: which recipes do, and the same recipe with another seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vicino.data.records import Recipe
from vicino.encoders import ENCODERS

__all__ = ["reseeded"]


def reseeded(recipe: Recipe, number: int) -> Recipe | None:
    """The recipe with every seed that its encoders learn with moved on by `number`; None where none of them learns with chance.

    A seed that the recipe names itself was chosen, and stays.

    >>> reseeded(Recipe("dense", {"encoder": "lsa"}), 2).params
    {'encoder': 'lsa', 'encoder_params': {'seed': 2}}
    >>> reseeded(Recipe("lexical"), 2) is None
    True
    """
    parts = tuple(reseeded(part, number) or part for part in recipe.parts)
    params = _moved(recipe.params, number)
    if params is None and parts == recipe.parts:
        return None if number or not any(reseeded(part, 1) for part in recipe.parts) else recipe
    return replace(recipe, params=recipe.params if params is None else params, parts=parts)


def _moved(params: Mapping[str, Any], number: int) -> dict[str, Any] | None:
    name, chosen = params.get("encoder"), params.get("encoder_params") or {}
    if not isinstance(name, str) or name not in ENCODERS or "seed" in chosen:
        return None
    standard = ENCODERS[name].defaults().get("seed")
    return None if standard is None else {**params, "encoder_params": {**chosen, "seed": standard + number}}
