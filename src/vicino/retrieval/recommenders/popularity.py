"""What most users met: the baseline that every recommender must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vicino.data.interactions import Interactions
from vicino.errors import InputError
from vicino.retrieval.recommenders.base import Float32, Recommender, Rows

__all__ = ["Popularity"]


class Popularity(Recommender):
    """Scores an item by how many users met it, for everybody alike.

    >>> seen = Interactions.of(["ann", "bob", "bob", "eve"], ["tea", "tea", "rice", "figs"])
    >>> Popularity().fit(seen).recommend("eve", 1).top()
    [('tea', 2.0)]
    """

    family = "popularity"

    def __init__(self) -> None:
        pass

    def _fit(self, interactions: Interactions) -> None:
        """The history says it all."""

    def _scores(self, rows: Rows) -> Float32:
        return np.tile(self._popularity, (len(rows), 1))

    def _similar(self, row: int) -> Float32:  # noqa: ARG002
        raise InputError("popularity does not know which items are alike", mend="choose item-knn, ease, pure-svd or als")

    def _arrays(self) -> dict[str, Any]:
        return {}

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        """The history is back already."""
