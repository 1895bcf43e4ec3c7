"""Negatives mined anew, as the model learns: what was hard for the base is soon easy, and something else is hard.

Xiong et al. 2021, "Approximate nearest neighbor negative contrastive learning for dense text retrieval".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.encoders.base import Role
from vicino.training.bases import Base
from vicino.training.batches import TextBatches
from vicino.vectors import normalise

if TYPE_CHECKING:
    from vicino.training.towers import Model

__all__ = ["Learner", "Remined"]

logger = logging.getLogger(__name__)

Negatives = list[list[str]]
Float32 = NDArray[np.float32]


class Learner:
    """A network as it is now, in the place of the encoder that it began as: what `Searchable` asks of one."""

    def __init__(self, model: Model, base: Base) -> None:
        self.model, self.base, self.space = model, base, base.space

    def encode_document(self, texts: Sequence[str], *, normalize_embeddings: bool) -> Float32:
        """Vectors of documents, (n, d)."""
        return self._encoded(texts, "document", normalize_embeddings)

    def encode_query(self, texts: Sequence[str], *, normalize_embeddings: bool) -> Float32:
        """Vectors of questions, (n, d)."""
        return self._encoded(texts, "query", normalize_embeddings)

    def _encoded(self, texts: Sequence[str], role: Role, normalized: bool) -> Float32:
        tower = self.model.tower(role)
        vectors = tower.vectors(tower.ids(texts, self.base.prompt(role)))
        return normalise(vectors) if normalized else vectors


class Remined:
    """Batches of `made(negatives)`, whose negatives are mined anew by `mine(round)` each `every` epochs; `first` is round 0.

    What was mined is kept in `folder`, so that a training that goes on in the middle of an epoch finds it there: by then the
    model has moved on. `texts` are all that can be mined.
    """

    def __init__(
        self,
        first: Negatives,
        made: Callable[[Negatives], TextBatches],
        mine: Callable[[int], Negatives],
        *,
        every: int,
        texts: Sequence[str],
        folder: Path,
    ) -> None:
        self._batches, self._round = made(first), 0
        self._made, self._mine, self._every, self._texts, self._folder = made, mine, every, texts, folder

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self._batches)

    def epoch(self, number: int, seed: int) -> Iterator[dict[str, Any]]:
        """The batches of an epoch, with the negatives of its round."""
        if (wanted := number // self._every) != self._round:
            self._batches, self._round = self._made(self._kept(wanted)), wanted
        return self._batches.epoch(number, seed)

    def _kept(self, wanted: int) -> Negatives:
        file = self._folder / f"negatives-{wanted}.npy"
        if not file.exists():
            numbers = {text: number for number, text in enumerate(self._texts)}
            rows = np.array([[numbers[text] for text in own] for own in self._mine(wanted)], dtype=np.int64)
            with artifacts.writing(file):
                with open(part := file.with_suffix(".part"), "wb") as stream:
                    np.save(stream, rows, allow_pickle=False)
                part.replace(file)
        return [[self._texts[number] for number in own] for own in np.load(file, allow_pickle=False).tolist()]
