"""Which texts are held back: a share of each class, and nothing that nearly repeats what is learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.near_duplicates import same_text
from vicino.errors import InputError

__all__ = ["stratified"]

# Overlap of words from which two texts nearly repeat each other. Texts of up to eight words only do where their words are the
# same, but for case, order and punctuation: lower, and short texts on one subject would all hang together.
_NEAR = 0.8

Numbers = NDArray[np.int64]


def stratified(texts: Sequence[str], labels: Any, share: float, seed: int, *, fewest: int = 1) -> tuple[Numbers, Numbers]:
    """The rows (n,) to learn from and the others (m,), at most a `share` of each class; near repeats stay together.

    Raises InputError where fewer than `fewest` would be held back.

    >>> texts = ["Wings lift!", "wings lift", "planes fly", "tea steeps", "tea brews", "coffee brews"]
    >>> learn, held = stratified(texts, [0, 0, 0, 1, 1, 1], 0.4, 0)
    >>> len(learn), len(held), {0, 1} <= set(learn.tolist())
    (4, 2, True)
    """
    groups, labels = _groups(texts), np.asarray(labels)
    first, sizes = np.unique(groups, return_index=True)[1], np.bincount(groups)
    random = np.random.default_rng(seed)
    chosen = np.zeros(len(sizes), dtype=np.bool_)
    for label in np.unique(labels):
        own = np.flatnonzero(labels[first] == label)
        left = int(sizes[own].sum() * share)
        for group in random.permutation(own).tolist():
            if sizes[group] <= left:
                chosen[group] = True
                left -= int(sizes[group])
    is_held = chosen[groups]
    if is_held.sum() < fewest:
        what = f"{is_held.sum()} texts can be held back, one in {round(1 / share)} of a class, and {fewest} are wanted"
        raise InputError(what, mend="give some dozens of texts of each class that do not repeat each other")
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def _groups(texts: Sequence[str]) -> Numbers:
    """A number for each text (n,), the same for texts that are equal or nearly so."""
    distinct = list(dict.fromkeys(texts))  # equal ones without a word are like no other, by their words
    numbers = dict(zip(distinct, same_text(distinct, threshold=_NEAR).tolist(), strict=True))
    return np.array([numbers[text] for text in texts], dtype=np.int64)
