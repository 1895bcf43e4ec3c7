"""Recommenders: user -> ranked items. `RECOMMENDERS` lists the kinds, `make` reads their names, `load` opens saved ones."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import cast

from vicino import artifacts
from vicino.catalog import Catalog, Entry, call
from vicino.errors import ArtifactCorrupt
from vicino.retrieval.recommenders.base import Recommender

__all__ = ["RECOMMENDERS", "Recommender", "load", "make"]

RECOMMENDERS = Catalog(
    "recommender",
    {
        "popularity": Entry("vicino.retrieval.recommenders.popularity:Popularity", "what most users met, for everybody"),
        "item-knn": Entry("vicino.retrieval.recommenders.item_knn:ItemKNN", "items that the same users met"),
        "pure-svd": Entry("vicino.retrieval.recommenders.pure_svd:PureSVD", "the few directions of the whole matrix"),
        "ease": Entry("vicino.retrieval.recommenders.ease:EASE", "each item told by all others: a linear map in closed form"),
        "als": Entry("vicino.retrieval.recommenders.als:ALS", "factors of users and items by alternating least squares"),
        "two-tower": Entry(
            "vicino.retrieval.recommenders.two_tower:TwoTowerRecommender",
            "users and items in one space, learnt by contrast",
            "torch",
        ),
    },
)


def make(text: str | PathLike[str]) -> Recommender:
    """A recommender by name, such as "ease" or "als(factors=64)", not fitted; or a saved one, by its folder.

    Raises UnknownName and InputError for names and parameters that are not there, and what `load` raises.
    """
    if Path(text).is_dir():
        return load(text)
    name, params = call(str(text))
    return cast(Recommender, RECOMMENDERS[name].of(**params))


def load(path: str | PathLike[str]) -> Recommender:
    """Open what `Recommender.save` wrote. Raises ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
    saved = artifacts.read(path, kind="recommender")
    name = saved.data.get("recommender")
    if name not in RECOMMENDERS:
        raise ArtifactCorrupt(f"{path} holds a recommender {name!r}, which is not known", mend="save it again, or update vicino")
    return cast(Recommender, RECOMMENDERS[str(name)]._from_artifact(saved))
