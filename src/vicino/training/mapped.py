"""Learning from texts alone what a fused ranking knows, by linear maps of vectors that are there already: in minutes.

The base stays as it is. Each text is read once; then a matrix for queries and one for documents learn to rank all documents as
the base and BM25 rank them together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from vicino.data.known_items import asking_sentences
from vicino.errors import InputError
from vicino.indexes.exact import Exact
from vicino.training.distilled import LEXICAL, Distilled, Teacher
from vicino.training.searchable import values

if TYPE_CHECKING:
    from torch import Tensor

    from vicino.data.records import Document
    from vicino.encoders.transformer.trainable import Trainable
    from vicino.learning.loop import Batches, Loss
    from vicino.training.maps import Maps
    from vicino.training.material import Material
    from vicino.training.towers import Model

__all__ = ["Mapped", "questions"]

_SENTENCES = 4  # of a document, that ask
_ASKING = 50_000  # titles and sentences at most
_SOFTER = 2.0  # the teacher's temperature, in the student's: BM25 doubles the spread of its scores
_RANKED = 8192  # documents at most that a batch's questions rank

Float32 = NDArray[np.float32]
Rows = NDArray[np.int64]


class Mapped(Distilled):
    """A lesson (see `vicino.training.text`) for `Maps`: titles and sentences ask for all documents, or many drawn anew.

    Small layers that learn upon vectors that stay: Yoon et al. 2023, "Search-Adaptor: Embedding customization for information
    retrieval", from labels; here BM25 and the base teach, as in `Distilled`.
    """

    def batches(self, model: Model, folder: Path) -> Batches:  # noqa: ARG002 - nothing is kept
        """What asks, with what the teacher needs to score any document for it.

        Raises InputError for a base that gives some of its dimensions only.
        """
        width = cast("Trainable", model.tower("document")).folder.width
        if self.base.dim != width:
            what = f"{self.base.model} gives {self.base.dim} of its {width} dimensions, and maps are for all"
            raise InputError(what, mend="train a base whose vectors are not cut, or way=distil")
        asking = questions(self.material, self.recipe.seed)
        self.told = (
            f"{len(asking):,} titles and sentences, for which the base and BM25 (weight {LEXICAL:g}) score all documents; "
            "the base's vectors are mapped, and the base stays"
        )
        return _Batches(self.teacher(asking, _SOFTER * self.recipe.first_temperature), self.recipe.batch_size)

    @property
    def loss(self) -> Loss:  # type: ignore[override]  # not one of a network's vectors
        """The divergence of the maps' shares of documents from the teacher's."""
        from vicino.learning.losses.regression import distil_scores

        temperature = self.recipe.first_temperature

        def loss(maps: Any, batch: Mapping[str, Tensor]) -> Tensor:
            cosines = maps(batch["asked"], "query") @ maps(batch["told"], "document").T
            return distil_scores(cosines / temperature, batch["teacher"])

        return loss

    def chooser(self, model: Model) -> Callable[[Any], float]:  # type: ignore[override]  # noqa: ARG002 - maps alone learn
        """How good maps are while they learn, among all documents."""
        task = self.material.choose
        asked, told = self._dense.asked(task.queries), self._dense.vectors
        ids = [one.id for one in task.documents]

        def how_good(maps: Maps) -> float:
            index = Exact(similarity="cosine").build(maps.vectors(told, "document"), ids)
            return float(values(index.search(maps.vectors(asked, "query"), 10), task).mean())

        return how_good


def questions(material: Material, seed: int) -> list[str]:
    """What was taken out of documents to learn from, and of each document some sentences, which the seed chooses; of very many,
    some."""
    documents: Sequence[Document] = material.judge.documents
    found = list(material.learn.anchors)
    for one in documents:
        sentences = asking_sentences(one)
        random.Random(f"{seed} {one.id}").shuffle(sentences)
        found += sentences[:_SENTENCES]
    return found if len(found) <= _ASKING else random.Random(seed).sample(found, _ASKING)


class _Batches:
    """Batches of questions: {"asked": (b, d), "told": (c, d), "teacher": (b, c)}. What is left over is left out for an epoch."""

    def __init__(self, teacher: Teacher, batch_size: int) -> None:
        self.teacher, self.batch_size = teacher, min(batch_size, len(teacher.asked))

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.teacher.asked) // self.batch_size

    def epoch(self, number: int, seed: int) -> Iterator[dict[str, Tensor]]:
        """The batches of an epoch, in the order that its number and the seed give."""
        import torch

        random, teacher = np.random.default_rng([seed, number]), self.teacher
        order, n = random.permutation(len(teacher.asked)), len(teacher.answers)
        for at in range(len(self)):
            rows = order[at * self.batch_size : (at + 1) * self.batch_size]
            documents = np.arange(n) if n <= _RANKED else random.choice(n, _RANKED, replace=False)
            made = teacher.asked[rows], teacher.answers[documents], teacher.logits(rows, documents)
            yield dict(zip(("asked", "told", "teacher"), map(torch.from_numpy, made), strict=True))
