"""Factors of users and items, by alternating least squares over all cells of the matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vicino.data.interactions import Interactions
from vicino.learning.als import factorise
from vicino.retrieval.recommenders.base import Float32, Recommender, Rows, weighted
from vicino.vectors import normalise

__all__ = ["ALS"]


class ALS(Recommender):
    """Scores an item by the product of a user's and the item's factors, learnt so that it is 1 where they met and 0 elsewhere.

    What was met counts 1 + `alpha` times its weight, all else 1. Hu, Koren and Volinsky 2008, "Collaborative filtering for
    implicit feedback datasets"; see `vicino.learning.als` for the parameters.

    >>> seen = Interactions.of(["ann", "ann", "bob", "bob", "eve"], ["tea", "figs", "tea", "figs", "tea"])
    >>> ALS(factors=2).fit(seen).recommend("eve", 1).ids.tolist()
    [['figs']]
    """

    family = "als"
    grid = tuple({"regularization": r, "alpha": a} for r in (5.0, 20.0, 50.0) for a in (3.0, 10.0))

    def __init__(
        self,
        *,
        factors: int = 64,
        regularization: float = 10.0,
        alpha: float = 10.0,
        iterations: int = 15,
        solver: str = "cg",
        weighting: str = "binary",
        threads: int = 1,
        seed: int = 0,
    ) -> None:
        self.factors = factors
        self.regularization = regularization
        self.alpha = alpha
        self.iterations = iterations
        self.solver = solver
        self.weighting = weighting
        self.threads = threads
        self.seed = seed

    def _fit(self, interactions: Interactions) -> None:  # noqa: ARG002 - the history says it all
        self.user_factors_, self.item_factors_ = factorise(
            weighted(self.history_, self.weighting),
            self.factors,
            regularization=self.regularization,
            alpha=self.alpha,
            iterations=self.iterations,
            solver=self.solver,
            threads=self.threads,
            seed=self.seed,
        )

    def _scores(self, rows: Rows) -> Float32:
        found: Float32 = self.user_factors_[rows] @ self.item_factors_.T
        return found

    def _similar(self, row: int) -> Float32:
        unit = normalise(self.item_factors_)
        return np.asarray(unit @ unit[row], np.float32)

    def _arrays(self) -> dict[str, Any]:
        return {"user_factors": self.user_factors_, "item_factors": self.item_factors_}

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        self.user_factors_, self.item_factors_ = arrays["user_factors"], arrays["item_factors"]
