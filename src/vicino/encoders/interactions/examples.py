"""What two towers learn from: of each user some items to find, and the others as the history to find them by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.interactions import Interactions

__all__ = ["NOTHING", "Examples", "HardNegatives", "Histories"]

NOTHING = -1  # fills a row that holds fewer items than others

Rows = NDArray[np.int64]
Mine = Callable[[int], NDArray[np.int32]]


@dataclass(frozen=True, eq=False)
class Histories:
    """The items of user u are `items[offsets[u]:offsets[u + 1]]`, each once; `size` is how many items there are in all.

    >>> met = Histories.of(Interactions.of(["ann", "ann", "ann", "bob"], ["tea", "rice", "tea", "rice"]))
    >>> met.items.tolist(), met.offsets.tolist(), met.size
    ([0, 1, 1], [0, 2, 3], 2)
    """

    items: Rows
    offsets: Rows
    size: int

    @classmethod
    def of(cls, interactions: Interactions) -> Histories:
        """By the rows of users and items."""
        size = len(interactions.items)
        pairs = np.unique(interactions.user.astype(np.int64) * size + interactions.item)
        offsets = np.searchsorted(pairs // size, np.arange(len(interactions.users) + 1))
        return cls(pairs % size, offsets, size)

    @property
    def lengths(self) -> Rows:
        """How many items each user met."""
        return np.diff(self.offsets)

    @property
    def counts(self) -> Rows:
        """How many users met each item."""
        return np.bincount(self.items, minlength=self.size)


class HardNegatives:
    """Items that a model ranks high for users who did not meet them: `mine(round)` gives (users, depth) rows of items.

    They are mined anew each `every` epochs, with the model as it is by then; the first epochs have any items instead, for what a
    model that learnt nothing ranks high tells nothing. `folder` keeps what was mined, so that a training that goes on in the
    middle of an epoch finds it there: by then the model has moved on. Xiong et al. 2021, "Approximate nearest neighbor negative
    contrastive learning for dense text retrieval".
    """

    def __init__(self, mine: Mine, every: int, each: int, folder: Path | None = None) -> None:
        self.each = each
        self._mine, self._every, self._folder = mine, every, folder
        self._round, self._mined = 0, np.empty((0, 0), np.int32)

    def of_epoch(self, number: int) -> NDArray[np.int32] | None:
        """What may be drawn for each user in an epoch, (users, depth), NOTHING for none; None for any item."""
        wanted = number // self._every
        if wanted != self._round:
            self._mined, self._round = self._kept(wanted), wanted
        return self._mined if wanted else None

    def _kept(self, wanted: int) -> NDArray[np.int32]:
        if self._folder is None:
            return self._mine(wanted)
        file = self._folder / f"negatives-{wanted}.npy"
        if not file.exists():
            with open(part := file.with_suffix(".part"), "wb") as stream:
                np.save(stream, self._mine(wanted), allow_pickle=False)
            part.replace(file)
        return np.asarray(np.load(file, allow_pickle=False), np.int32)


class Examples:
    """Batches of examples: a user, up to `targets` of the user's items to find, and up to `history` of the others.

    In an epoch each interaction is a target once. A user with few items has fewer targets an example, so that half of the items
    stay in the history. A batch holds tensors of b rows: "user" (b,), "target" (b, targets), "history" (b, history), and where
    negatives are given "negative" (b, each); NOTHING fills them up. "target_log_q" and "negative_log_q" are the logarithms of how
    often each item is a candidate of a batch, up to a constant.
    """

    def __init__(
        self,
        histories: Histories,
        *,
        batch_size: int,
        targets: int,
        history: int,
        negatives: HardNegatives | None = None,
    ) -> None:
        self.histories, self.targets, self.negatives = histories, targets, negatives
        lengths = histories.lengths
        each = np.clip(lengths // 2, 1, targets)
        examples = -(-lengths // each)
        self._user = np.repeat(np.arange(len(lengths)), examples)
        place = np.arange(len(self._user)) - np.repeat(np.cumsum(examples) - examples, examples)
        self._start = place * each[self._user]
        self._size = np.minimum(each[self._user], lengths[self._user] - self._start)
        self._batches = -(-len(self._user) // batch_size)
        self._history = int(min(history, max(1, lengths.max(initial=1))))
        self._share = histories.counts / max(1, len(histories.items))

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return self._batches

    def epoch(self, number: int, seed: int) -> Iterator[dict[str, Any]]:
        """The batches of an epoch, the same for the same number and seed."""
        import torch

        random = np.random.default_rng([seed, number])
        met = self.histories
        owner = np.repeat(np.arange(len(met.lengths)), met.lengths)
        mixed = met.items[np.lexsort((random.random(len(owner)), owner))]
        mined = None if self.negatives is None else self.negatives.of_epoch(number)
        share = self._shares(mined)
        for rows in np.array_split(random.permutation(len(self._user)), self._batches):
            batch = self._batch(rows, mixed)
            if self.negatives is not None:
                batch["negative"] = self._drawn(batch["user"], mined, random)
            for name in ("target", "negative"):
                if name in batch:
                    batch[f"{name}_log_q"] = np.log(share[batch[name]] + 1e-12).astype(np.float32)
            yield {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in batch.items()}

    def _batch(self, rows: Rows, mixed: Rows) -> dict[str, NDArray[Any]]:
        user, start, size = (each[rows][:, None] for each in (self._user, self._start, self._size))
        first, length = self.histories.offsets[user], self.histories.lengths[user]
        at, others = np.arange(self.targets), np.arange(self._history)
        target = mixed[np.minimum(first + start + at, len(mixed) - 1)]
        history = mixed[first + (start + size + others) % length]  # whatever comes after the targets, in a circle
        return {
            "user": user[:, 0],
            "target": np.where(at < size, target, NOTHING),
            "history": np.where(others < length - size, history, NOTHING),
        }

    def _drawn(self, users: Rows, mined: NDArray[np.int32] | None, random: np.random.Generator) -> Rows:
        each = self.negatives.each if self.negatives else 0
        if mined is None:
            return random.integers(0, self.histories.size, (len(users), each))
        return mined[users[:, None], random.integers(0, mined.shape[1], (len(users), each))].astype(np.int64)

    def _shares(self, mined: NDArray[np.int32] | None) -> NDArray[np.float64]:
        """How often each item is a candidate, for each user of a batch (Yang et al. 2020, "Mixed negative sampling")."""
        drawn = self._share * len(self.histories.items) / len(self._user)
        if self.negatives is None:
            return drawn
        if mined is None:
            return drawn + self.negatives.each / self.histories.size
        found = np.bincount(mined[mined != NOTHING], minlength=self.histories.size)
        return drawn + self.negatives.each * found / max(1, mined.size)
