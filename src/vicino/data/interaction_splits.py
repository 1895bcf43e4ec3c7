"""Seeded splits of interactions: what each user did next, or once, or with items that nobody knew, is held out.

What is held out of a pair of user and item is all of it: had they met three times, none of the three is left to learn from. Users
and items keep their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vicino.data.interactions import Interactions
from vicino.errors import InputError

__all__ = ["SPLITS", "Held", "cold_items", "leave_one_out", "temporal"]

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Held:
    """What is asked: for each of u users (rows, (u,), ascending) the items `truth` that were held out, and those `seen` before.

    `truth` and `seen` hold one ascending array of item rows a user; no item is in both.
    """

    users: Rows
    truth: tuple[Rows, ...]
    seen: tuple[Rows, ...]

    def __len__(self) -> int:
        return len(self.users)


def leave_one_out(interactions: Interactions, seed: int = 0, *, by_time: bool = False) -> tuple[Interactions, Held]:
    """Of each user with two items or more one is held out: any, every choice equally likely, or the last one `by_time`.

    By time an item counts as met when it was met first; of several met at one time the seed chooses. Raises InputError where no
    user has two items, or where there are no times to go by.

    >>> seen = Interactions.of(["ann", "ann", "bob"], ["tea", "rice", "tea"], times=[1, 2, 3])
    >>> train, held = leave_one_out(seen, by_time=True)
    >>> len(train), held.users.tolist(), [seen.items[row] for row in held.truth[0]]
    (2, [0], ['rice'])
    """
    pairs, of = _pairs(interactions)
    order = np.random.default_rng(seed).permutation(len(pairs))
    if by_time:
        first = np.full(len(pairs), np.inf)
        np.minimum.at(first, of, _times(interactions))
        order = order[np.argsort(first[order], kind="stable")]
    users = pairs // len(interactions.items)
    last = np.zeros(len(interactions.users), np.int64)
    last[users[order]] = order  # the last one of each user stays
    several = np.bincount(users, minlength=len(last)) > 1
    out = np.zeros(len(pairs), np.bool_)
    out[last[several]] = True
    return _parted(interactions, pairs, out[of])


def temporal(interactions: Interactions, share: float = 0.2) -> tuple[Interactions, Held]:
    """The latest `share` of all interactions is held out: what was learnt is asked about its own future.

    Asked are users who were there before, about items that they had not met; what others did after the cut is in neither part.
    Raises InputError without times, for a share that is none, and where nothing can be asked.

    >>> seen = Interactions.of(["ann", "bob", "ann"], ["tea", "tea", "rice"], times=[1, 2, 3])
    >>> train, held = temporal(seen, 0.3)
    >>> len(train), held.users.tolist()
    (2, [0])
    """
    times = _times(interactions)
    _require_share(share)
    ordered = np.sort(times)
    cut = ordered[min(int(np.ceil((1 - share) * len(times))), len(times) - 1)]
    return _parted(interactions, _pairs(interactions)[0], times >= cut)


def cold_items(interactions: Interactions, share: float = 0.1, seed: int = 0) -> tuple[Interactions, Held]:
    """A `share` of the items that anybody met, by chance, is held out with all that happened to it: nobody has met these items.

    Asked are users who met others too. Raises InputError for a share that is none, and where nothing can be asked.

    >>> seen = Interactions.of(["ann", "ann", "bob", "bob"], ["tea", "rice", "tea", "rice"])
    >>> train, held = cold_items(seen, 0.5)
    >>> len(train), len(held), len({row for rows in held.truth for row in rows.tolist()})
    (2, 2, 1)
    """
    _require_share(share)
    met = np.unique(interactions.item)
    wanted = max(1, round(share * len(met)))
    cold = np.zeros(len(interactions.items), np.bool_)
    cold[np.random.default_rng(seed).permutation(met)[:wanted]] = True
    return _parted(interactions, _pairs(interactions)[0], cold[interactions.item])


SPLITS: Mapping[str, Callable[[Interactions, int], tuple[Interactions, Held]]] = {  # by the name that `--split` takes
    "leave-one-out": leave_one_out,
    "last-one": lambda interactions, seed: leave_one_out(interactions, seed, by_time=True),
    "temporal": lambda interactions, seed: temporal(interactions),  # noqa: ARG005 - time leaves nothing to chance
    "cold-items": lambda interactions, seed: cold_items(interactions, seed=seed),
}


def _pairs(interactions: Interactions) -> tuple[Rows, Rows]:
    """The distinct pairs of user and item as ascending numbers, and which of them each interaction is."""
    keys = interactions.user * len(interactions.items) + interactions.item
    pairs, of = np.unique(keys, return_inverse=True)
    return pairs, of


def _parted(interactions: Interactions, pairs: Rows, out: NDArray[np.bool_]) -> tuple[Interactions, Held]:
    """What is not `out`, and of what is out whatever users who are left had not met."""
    train = interactions.subset(~out)
    left, _ = _pairs(train)
    asked = pairs[~np.isin(pairs, left, assume_unique=True)]
    n = len(interactions.items)
    warm = np.zeros(len(interactions.users), np.bool_)
    warm[train.user] = True
    asked = asked[warm[asked // n]]
    if not len(asked):
        raise InputError("there is nothing to hold out", mend="bring users with two items or more, or choose another split")
    users = np.unique(asked // n)
    return train, Held(users, _items_of(users, asked, n), _items_of(users, left, n))


def _items_of(users: Rows, pairs: Rows, n: int) -> tuple[Rows, ...]:
    starts, ends = np.searchsorted(pairs, users * n), np.searchsorted(pairs, (users + 1) * n)
    items = pairs % n
    return tuple(items[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True))


def _times(interactions: Interactions) -> NDArray[np.float64]:
    if interactions.time is None:
        raise InputError(
            "these interactions have no times", mend='choose the split leave-one-out, or name the column: columns={"time": ...}'
        )
    return interactions.time


def _require_share(share: float) -> None:
    if not 0 < share < 1:
        raise InputError(f"share={share!r} is no share", mend="give a number between 0 and 1, such as 0.2")
