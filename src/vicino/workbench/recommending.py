"""The verbs of users and items: teach a recommender, and ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicino.errors import InputError, UnknownName

if TYPE_CHECKING:
    from vicino.learning.loop import Plan
    from vicino.retrieval.recommenders import Recommender
    from vicino.training.outcome import Outcome

__all__ = ["open_recommender", "recommend", "train_recommender"]


def train_recommender(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    items: str | PathLike[str] | None = None,
    users: str | PathLike[str] | None = None,
    index: str = "exact",
    dry_run: bool = False,
    **params: Any,
) -> Outcome | Plan:
    """Teach two towers on interactions of users with items, and save a recommender; see `vicino.training.recommender`.

    `params` are the parameters of `vicino.encoders.interactions.TwoTower`, such as epochs=20. Raises MissingExtra without torch,
    and what `vicino.training.recommender.train_recommender` raises.
    """
    from vicino.encoders.interactions import TwoTower
    from vicino.training.recommender import train_recommender as teach

    made = TwoTower.of(**params)
    return teach(data, out, encoder=made, columns=columns, items=items, users=users, index=index, dry_run=dry_run)


def recommend(
    path: str | PathLike[str],
    user: str | None = None,
    k: int = 10,
    *,
    liked: Sequence[str] = (),
    seen: bool = False,
) -> list[tuple[str, str, float]]:
    """The k best items for a user, or for somebody who `liked` some items, as (id, name, score), best first.

    `path` is a saved recommender; what the user met already comes only where `seen`. Items are given by id or by name; several
    of them only to a recommender that reads histories of people unknown. The name is the id where there is none. Raises
    InputError for both or none of user and liked, UnknownName, and what opening the recommender raises.
    """
    recommender: Any = open_recommender(Path(path))
    if (user is None) == (not liked):
        raise InputError("a recommendation is for a user, or by what was liked", mend="give one of these: USER, or --liked ITEM")
    if user is not None:
        hits = recommender.recommend(user, k, seen=seen)
    else:
        items = _items(recommender, liked)
        if len(items) > 1 and not hasattr(recommender, "liked"):
            raise InputError(f"{recommender.family} knows what is like one item only", mend="give one, or train two towers")
        hits = recommender.liked(items, k) if hasattr(recommender, "liked") else recommender.similar(items[0], k)
    return [(item, recommender.item_names_.get(item, item), score) for item, score in hits.top()]


def open_recommender(path: Path) -> Recommender:
    """A saved recommender. Raises ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
    from vicino.retrieval import recommenders

    return recommenders.load(path)


def _items(recommender: Any, given: Sequence[str]) -> list[str]:
    """The ids of items that are given by id or by name, whatever its case. Raises UnknownName."""
    by_name: dict[str, str] = {}
    for item, name in recommender.item_names_.items():
        by_name.setdefault(name.casefold(), item)
    found = []
    for one in given:
        try:
            recommender.item_row(one)
            found.append(one)
        except UnknownName:
            if one.casefold() not in by_name:
                raise
            found.append(by_name[one.casefold()])
    return found
