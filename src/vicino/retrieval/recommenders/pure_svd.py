"""The truncated SVD of the whole matrix, what was not met counted as 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vicino.data.interactions import Interactions
from vicino.errors import InputError
from vicino.learning.spectral import truncated_svd
from vicino.retrieval.recommenders.base import Float32, Recommender, Rows, weighted
from vicino.vectors import normalise

__all__ = ["PureSVD"]


class PureSVD(Recommender):
    """Scores an item by r V v_i: a user's row r, laid on the `factors` strongest directions V of all rows.

    Cremonesi, Koren and Turrin 2010, "Performance of recommender algorithms on top-N recommendation tasks".

    >>> seen = Interactions.of(["ann", "ann", "bob", "bob", "eve"], ["tea", "figs", "tea", "figs", "tea"])
    >>> PureSVD(factors=1).fit(seen).recommend("eve", 1).ids.tolist()
    [['figs']]
    """

    family = "pure-svd"
    grid = tuple({"factors": factors, "weighting": how} for factors in (16, 32, 64, 128) for how in ("binary", "log"))

    def __init__(self, *, factors: int = 64, weighting: str = "binary", seed: int = 0) -> None:
        self.factors = factors
        self.weighting = weighting
        self.seed = seed

    def _fit(self, interactions: Interactions) -> None:  # noqa: ARG002 - the history says it all
        if self.factors < 1:
            raise InputError(f"factors={self.factors} cannot be", mend="give 1 or more, such as 64")
        self.directions_, _ = truncated_svd(weighted(self.history_, self.weighting), self.factors, seed=self.seed)

    def _scores(self, rows: Rows) -> Float32:
        laid = weighted(self.history_[rows], self.weighting) @ self.directions_
        return np.asarray(laid @ self.directions_.T, np.float32)

    def _similar(self, row: int) -> Float32:
        unit = normalise(self.directions_)
        found: Float32 = unit @ unit[row]
        return found

    def _arrays(self) -> dict[str, Any]:
        return {"directions": self.directions_}

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        self.directions_ = arrays["directions"]
