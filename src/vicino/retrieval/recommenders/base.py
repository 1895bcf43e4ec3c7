"""Recommender: the contract of everything that ranks items for a user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.interactions import Interactions, row_of
from vicino.data.records import Hits
from vicino.data.text import Vocabulary
from vicino.errors import ArtifactCorrupt, EmptyInput, InputError, NotFitted, UnknownName
from vicino.parameters import Parameterised
from vicino.vectors import top_k

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["WEIGHTINGS", "Recommender", "weighted"]

Float32 = NDArray[np.float32]
Rows = NDArray[np.int64]

WEIGHTINGS: Mapping[str, Callable[[Float32], Float32]] = {  # counts have long tails, and a rating of 1 is no half of a 2
    "binary": np.ones_like,
    "log": np.log1p,
    "raw": np.asarray,
}

_CELLS = 1 << 24  # scores in memory at a time


def weighted(history: csr_array, how: str) -> csr_array:
    """A matrix of weights as a family learns from it: 1 for all ("binary"), log(1 + weight), or as they are ("raw").

    Raises UnknownName.
    """
    if how not in WEIGHTINGS:
        raise UnknownName.among(how, WEIGHTINGS, kind="weighting")
    found: csr_array = history.copy()
    found.data = np.asarray(WEIGHTINGS[how](history.data), np.float32)
    return found


class Recommender(Parameterised, ABC):
    """Users -> ranked items. A family writes `_fit`, `_scores`, `_similar`, `_arrays` and `_restore`.

    After `fit`, `users_` and `items_` are the ids, `history_` is the (users, items) matrix of what was met (CSR, float32 weights
    as they came), and `item_names_` how items are shown, by id. A user who is known but met nothing gets what is popular.
    `simple` marks an honest baseline; `grid` holds the parameters that a comparison chooses among, on a validation cut.
    """

    family: ClassVar[str]
    simple: ClassVar[bool] = True
    grid: ClassVar[Sequence[Mapping[str, Any]]] = ()

    users_: NDArray[np.object_] | None = None
    items_: NDArray[np.object_]
    history_: csr_array
    item_names_: Mapping[str, str]

    # What a family writes -------------------------------------------------------------------------------------------

    @abstractmethod
    def _fit(self, interactions: Interactions) -> None:
        """Learn; `history_` and the ids are set already. Set attributes that end in an underscore."""

    @abstractmethod
    def _scores(self, rows: Rows) -> Float32:
        """(u, items) for users who met something; larger is better."""

    @abstractmethod
    def _similar(self, row: int) -> Float32:
        """(items,) how like each item is to the item `row`. Raises InputError where the family does not know."""

    @abstractmethod
    def _arrays(self) -> dict[str, Any]:
        """What was learnt, as arrays to save."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, Any]) -> None:
        """Put back what `_arrays` gave; `history_` and the ids are there already."""

    # What all families share ----------------------------------------------------------------------------------------

    def fit(self, interactions: Interactions) -> Self:
        """Learn from interactions. Raises EmptyInput without any, and InputError for parameters that cannot be."""
        if not isinstance(interactions, Interactions):
            raise InputError(
                f"{type(interactions).__name__} is not Interactions", mend="read_interactions(path), Interactions.of"
            )
        if not len(interactions):
            raise EmptyInput(f"{type(self).__name__} has no interactions to learn from", mend="give at least one")
        self._take(np.array(interactions.users, object), np.array(interactions.items, object), interactions.matrix())
        self.item_names_ = dict(interactions.item_names)
        self._fit(interactions)
        return self

    def scores(self, user_rows: Any) -> Float32:
        """How much each of these users (rows of `users_`) would like each item: (u, items) float32, larger is better.

        What they met already is scored like all else. The rows of users without history hold how many users met each item.
        Raises NotFitted, InputError for rows that are not there.
        """
        known = len(self._require_fitted())
        rows = np.asarray(user_rows, np.int64).ravel()
        if len(rows) and not 0 <= rows.min() <= rows.max() < known:
            raise InputError(f"user rows from {rows.min()} to {rows.max()}, of {known:,} users", mend=f"give 0 to {known - 1}")
        warm = np.diff(self.history_.indptr)[rows] > 0
        if warm.all():
            return self._scores(rows) if len(rows) else np.empty((0, len(self.items_)), np.float32)
        found = np.tile(self._popularity, (len(rows), 1))
        if warm.any():
            found[warm] = self._scores(rows[warm])
        return found

    def recommend(self, users: str | Iterable[str], k: int = 10, *, seen: bool = False) -> Hits:
        """The k best items for each user, by id; those that they met already only where `seen`. One user gives `Hits` of one row.

        A user who is known but met nothing gets what is popular. Where fewer than k items are left, None fills the row.
        Raises NotFitted, UnknownName for a user who is not known, InputError for a k under 1.
        """
        return self.recommend_rows(self.user_rows([users] if isinstance(users, str) else users), k, seen=seen)

    def recommend_rows(self, rows: Rows, k: int = 10, *, seen: bool = False) -> Hits:
        """As `recommend`, for rows of `users_`."""
        self._require_fitted()
        if k < 1:
            raise InputError(f"k is {k}", mend="ask for at least one item")
        n, k = len(self.items_), min(k, len(self.items_))
        block = max(1, _CELLS // n)
        found, scores = np.empty((len(rows), k), np.int64), np.empty((len(rows), k), np.float32)
        for start in range(0, len(rows), block):
            some = rows[start : start + block]
            each = np.array(self.scores(some), np.float32)
            if not seen:
                met = self.history_[some]
                each[np.repeat(np.arange(len(some)), np.diff(met.indptr)), met.indices] = -np.inf
            found[start : start + block], scores[start : start + block] = top_k(each, k)
        return Hits.of_rows(self.items_, np.where(np.isneginf(scores), -1, found), scores)

    def similar(self, item: str, k: int = 10) -> Hits:
        """The k items most like an item, itself left out: `Hits` of one row.

        Raises NotFitted, UnknownName for an item that is not known, InputError for a k under 1 and where the family does not
        know what is alike.
        """
        row = self.item_row(item)
        if k < 1:
            raise InputError(f"k is {k}", mend="ask for at least one item")
        scores = np.array(self._similar(row), np.float32)
        scores[row] = -np.inf
        found, best = top_k(scores[None, :], min(k, len(scores)))
        return Hits.of_rows(self.items_, np.where(np.isneginf(best), -1, found), best)

    def user_rows(self, users: Iterable[str]) -> Rows:
        """The rows of users by id, (u,). Raises NotFitted, UnknownName."""
        self._require_fitted()
        return np.array([row_of(user, self._user_numbers, "user") for user in users], np.int64)

    def item_row(self, item: str) -> int:
        """The row of an item by id. Raises NotFitted, UnknownName."""
        self._require_fitted()
        return row_of(item, self._item_numbers, "item")

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the recommender to a folder, whole or not at all; `vicino.load(path)` opens it."""
        users = self._require_fitted()
        arrays = {"users": users.tolist(), "items": self.items_.tolist(), "history": self.history_, **self._arrays()}
        data = {"recommender": self.family, "params": self.get_params(), "item_names": dict(self.item_names_)}
        return artifacts.write(path, kind="recommender", data=data, arrays=arrays)

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Self:
        arrays = dict(saved.arrays)
        try:
            made = cls(**saved.data["params"])
            users, items = (np.array(arrays.pop(name), object) for name in ("users", "items"))
            made._take(users, items, arrays.pop("history"))
            made.item_names_ = dict(saved.data["item_names"])
            made._restore(arrays)
        except (KeyError, TypeError) as error:
            raise ArtifactCorrupt(f"{saved.path} lacks a part of its recommender ({error})", mend="save it again") from error
        return made

    def _take(self, users: NDArray[np.object_], items: NDArray[np.object_], history: csr_array) -> None:
        for name in ("_user_numbers", "_item_numbers", "_popularity"):
            self.__dict__.pop(name, None)
        if history.shape != (len(users), len(items)):
            raise ArtifactCorrupt(f"a history {history.shape} of {len(users)} users and {len(items)} items", mend="save it again")
        self.users_, self.items_, self.history_ = users, items, history

    @cached_property
    def _user_numbers(self) -> Vocabulary:
        return Vocabulary(self._require_fitted().tolist())

    @cached_property
    def _item_numbers(self) -> Vocabulary:
        return Vocabulary(self.items_.tolist())

    @cached_property
    def _popularity(self) -> Float32:
        """How many users met each item, (items,)."""
        return np.bincount(self.history_.indices, minlength=len(self.items_)).astype(np.float32)

    def _require_fitted(self) -> NDArray[np.object_]:
        if self.users_ is None:
            raise NotFitted(
                f"{type(self).__name__} has not been fitted", mend="call .fit(interactions), or vicino.load a saved one"
            )
        return self.users_
