"""Recommending by two towers: the items whose vectors are nearest to a user's, found by an index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, encoders
from vicino.catalog import call
from vicino.data.interactions import Interactions
from vicino.data.records import Hits
from vicino.encoders.interactions import TwoTower
from vicino.encoders.transformer.saving import check_files, file_stamps
from vicino.errors import InputError
from vicino.indexes import INDEXES, Index
from vicino.retrieval.recommenders.base import Float32, Recommender, Rows

__all__ = ["TwoTowerRecommender"]

_ENCODER, _RECORD = "encoder", "training.json"  # beside the arrays
_BLOCK = 1024  # users at a time


class TwoTowerRecommender(Recommender):
    """Scores are cosines of the vectors of users and items, by `encoder`: a `vicino.encoders.interactions.TwoTower`.

    It is named with its parameters, such as "two-tower(epochs=20, vector_size=128)". Items are found by `index`, a name of
    `vicino.indexes.INDEXES` with its parameters: "exact", or "hnsw" for millions. Raises what these raise.

    >>> seen = Interactions.of([*"aaabbbccc"], ["tea", "rice", "figs"] * 3)
    >>> Recommender.recommend(TwoTowerRecommender(encoder="two-tower(epochs=1)").fit(seen), "a", 2, seen=True).ids.shape
    (1, 2)
    """

    family: ClassVar[str] = "two-tower"
    simple: ClassVar[bool] = False

    encoder_: TwoTower
    _built: Index | None = None

    def __init__(self, *, encoder: str = "two-tower", index: str = "exact") -> None:
        self.encoder = encoder
        self.index = index

    @classmethod
    def around(cls, encoder: TwoTower, interactions: Interactions, *, index: str = "exact") -> Self:
        """With an encoder that has learnt from these users and items; `interactions` are the histories from now on."""
        params = ", ".join(f"{name}={json.dumps(value)}" for name, value in encoder.changed().items())
        made = cls(encoder=f"{encoder.family}({params})", index=index)
        made._hold(interactions)
        made.encoder_ = encoder.remember(interactions)
        return made

    def recommend_rows(self, rows: Rows, k: int = 10, *, seen: bool = False) -> Hits:
        """As `recommend`, for rows of `users_`. An index that does not compare with every item may find fewer than k."""
        self._require_fitted()
        if k < 1:
            raise InputError(f"k is {k}", mend="ask for at least one item")
        rows = np.asarray(rows, np.int64)
        k = min(k, len(self.items_))
        ids, scores = np.full((len(rows), k), None, object), np.full((len(rows), k), -np.inf, np.float32)
        warm = np.diff(self.history_.indptr)[rows] > 0
        if not warm.all():
            popular = super().recommend_rows(rows[~warm], k, seen=seen)
            ids[~warm], scores[~warm] = popular.ids, popular.scores
        places = np.flatnonzero(warm)
        for start in range(0, len(places), _BLOCK):
            some = places[start : start + _BLOCK]
            met = [frozenset() if seen else frozenset(self.items_[self.history_[[row]].indices]) for row in rows[some].tolist()]
            ids[some], scores[some] = self._nearest(self.encoder_.user_vectors(rows[some]), k, met)
        return Hits(ids, scores)

    def liked(self, items: Iterable[str], k: int = 10) -> Hits:
        """The k best items for somebody unknown who liked these, which are left out: `Hits` of one row.

        Raises NotFitted, UnknownName where none of the items is known, InputError for a k under 1.
        """
        self._require_fitted()
        if k < 1:
            raise InputError(f"k is {k}", mend="ask for at least one item")
        names = list(items)
        return Hits(*self._nearest(self.encoder_.encode_query([names]), min(k, len(self.items_)), [frozenset(names)]))

    def save(self, path: str | PathLike[str], *, record: Mapping[str, Any] | None = None) -> Path:
        """As every recommender; its `training.json` is the `record` of how it was made, if any."""
        users = self._require_fitted()
        arrays = {"users": users.tolist(), "items": self.items_.tolist(), "history": self.history_}
        data: dict[str, Any] = {"recommender": self.family, "params": self.get_params(), "item_names": dict(self.item_names_)}

        def note(folder: Path) -> None:  # runs before the manifest is written
            if record is not None:
                (folder / _RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
                data["files"] = {_RECORD: file_stamps(folder)[_RECORD]}

        return artifacts.write(
            path, kind="recommender", data=data, arrays=arrays, parts={_ENCODER: self.encoder_.save, ".": note}
        )

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Self:
        made = super()._from_artifact(saved)
        check_files(saved.path, saved.data.get("files", {}))
        made.encoder_ = TwoTower.load(saved.path / _ENCODER)
        return made

    # What the contract asks of a family ---------------------------------------------------------------------------------

    def _fit(self, interactions: Interactions) -> None:
        made = encoders.make(self.encoder)
        if not isinstance(made, TwoTower):
            raise InputError(f"{self.encoder} is no encoder of users and items", mend='give encoder="two-tower"')
        self.encoder_, self._built = made.fit(interactions), None

    def _scores(self, rows: Rows) -> Float32:
        return self.encoder_.user_vectors(rows) @ self.encoder_.item_vectors().T

    def _similar(self, row: int) -> Float32:
        vectors = self.encoder_.item_vectors()
        if not vectors[row].any():
            mend = "choose an item that somebody met, or of which something is known"
            raise InputError(f"nobody met the item {self.items_[row]!r}, and nothing is known of it", mend=mend)
        found: Float32 = vectors @ vectors[row]
        return found

    def _arrays(self) -> dict[str, Any]:
        return {}  # they are the encoder's, in a folder of its own

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        """The encoder is opened with its own checks."""

    def _hold(self, interactions: Interactions) -> None:
        self._take(np.array(interactions.users, object), np.array(interactions.items, object), interactions.matrix())
        self.item_names_, self._built = dict(interactions.item_names), None

    def _nearest(
        self, vectors: Float32, k: int, without: list[frozenset[str]]
    ) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """The k nearest items of each vector that are not in its set, padded with None."""
        if self._built is None:
            name, params = call(self.index)
            index: Index = INDEXES[name].of(**params, similarity="cosine")
            self._built = index.build(self.encoder_.item_vectors(), self.items_.tolist())
        found = self._built.search(vectors, min(k + max(map(len, without)), len(self.items_)))
        ids, scores = np.full((len(vectors), k), None, object), np.full((len(vectors), k), -np.inf, np.float32)
        for row, left_out in enumerate(without):
            best = [(name, score) for name, score in found.top(row) if name not in left_out][:k]
            ids[row, : len(best)] = [name for name, _ in best]
            scores[row, : len(best)] = [score for _, score in best]
        return ids, scores
