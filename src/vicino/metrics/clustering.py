"""How well groups that were found agree with groups that are known."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vicino.errors import DimensionMismatch
from vicino.vectors import as_vectors, normalise

__all__ = ["Agreement", "agreement", "k_means"]


class Agreement(NamedTuple):
    """Normalised mutual information, in [0, 1], and the adjusted Rand index, 0 by chance and 1 at most."""

    nmi: float
    ari: float


def agreement(groups: ArrayLike, found: ArrayLike) -> Agreement:
    """NMI by the arithmetic mean of entropies, and ARI (Hubert and Arabie 1985): of (n,) groups and (n,) clusters.

    Names of groups and clusters do not matter. Raises DimensionMismatch for two lengths.

    >>> agreement([0, 0, 1, 1], [5, 5, 2, 2])
    Agreement(nmi=1.0, ari=1.0)
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    left, right = np.asarray(groups), np.asarray(found)
    if left.shape != right.shape or left.ndim != 1:
        raise DimensionMismatch(f"groups of shapes {left.shape} and {right.shape}", mend="give one of each for each item")
    return Agreement(float(normalized_mutual_info_score(left, right)), float(adjusted_rand_score(left, right)))


def k_means(vectors: ArrayLike, groups: ArrayLike, *, seed: int = 0) -> Agreement:
    """How well k-means finds (n,) known groups in (n, d) vectors, divided by their lengths: as many clusters as groups, the best
    of ten starts. Raises DimensionMismatch, and what `vicino.vectors.as_vectors` raises.

    >>> k_means([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], ["a", "a", "b", "b"]).ari
    1.0
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    rows, known = as_vectors(vectors), np.asarray(groups)
    if known.shape != (len(rows),):
        raise DimensionMismatch(f"{len(rows)} vectors and groups of shape {known.shape}", mend="give a group for each vector")
    with warnings.catch_warnings():  # of fewer different vectors than groups, which the agreement tells
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(len(np.unique(known)), n_init=10, random_state=seed).fit_predict(normalise(rows))
    return agreement(known, found)
