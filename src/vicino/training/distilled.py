"""Learning from texts alone what a fused ranking knows: the encoder beside BM25 ranks better than the encoder, and teaches it.

The titles and sentences that were taken out of documents ask; of the documents of a batch, which are of one topic, the teacher
says how well each answers; the encoder learns to say the same. No answer is taken for right or wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.records import Hits, Query
from vicino.learning.loop import Batches, InParts
from vicino.training.batches import parted
from vicino.training.ranking import Ranking
from vicino.training.recipe import TextRecipe
from vicino.vectors import normalise

if TYPE_CHECKING:
    from torch import Tensor

    from vicino.training.towers import Model

__all__ = ["Distilled", "TopicalBatches", "distilling_loss", "topics"]

_LEXICAL = 0.3  # BM25's weight in the ranking that teaches
_RANKED = 200  # documents that BM25 scores for each question; others have the score of the last

Float32 = NDArray[np.float32]
Ids = NDArray[np.int32]
Rows = NDArray[np.int64]


class Distilled(Ranking):
    """A lesson (see `vicino.training.text`): a batch's documents are scored as BM25 and the base score them together.

    Of margins between documents, not of labels: Hofstätter et al. 2020, "Improving efficient neural ranking models with
    cross-architecture knowledge distillation"; batches of one topic: Hofstätter et al. 2021, "Efficiently teaching an effective
    dense retriever with balanced topic aware sampling".
    """

    def batches(self, model: Model, folder: Path) -> Batches:  # noqa: ARG002 - nothing is kept
        """Questions and the documents that they were taken out of, with what the teacher needs to score any of a batch."""
        learn, documents = self.material.learn, self.material.judge.documents
        numbers = {one.id: number for number, one in enumerate(documents)}
        own = np.array([numbers[name] for name in learn.document_ids or ()], dtype=np.int64)
        queries = [Query(name, text) for name, text in zip(learn.query_ids or (), learn.anchors, strict=True)]
        words = _scores(self._lexical(queries, min(_RANKED, len(documents))), numbers)
        asked, answers = normalise(self._dense.asked(queries)), normalise(self._dense.vectors[own])
        self.told = f"{len(learn):,} questions, for which the base and BM25 (weight {_LEXICAL:g}) score documents of their topics"
        teacher = _Teacher(own, asked, answers, *words, temperature=self.recipe.temperature)
        return TopicalBatches(list(zip(*self.pairs(model), strict=True)), answers, teacher, self.recipe.batch_size)

    @property
    def loss(self) -> InParts:
        """The divergence of the encoder's shares of a batch's documents from the teacher's."""
        return self.of_vectors(partial(distilling_loss, recipe=self.recipe))


class TopicalBatches:
    """Batches of (question, document) rows whose documents are near each other, with the teacher's logits (b, b).

    `vectors` (n, d) are the documents'; topics differ from epoch to epoch. What is left over is left out for an epoch.
    """

    def __init__(self, texts: Sequence[tuple[Ids, Ids]], vectors: Float32, teacher: _Teacher, batch_size: int) -> None:
        self.texts, self.vectors, self.teacher = texts, vectors, teacher
        self.batch_size = min(batch_size, len(texts))

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.texts) // self.batch_size

    def epoch(self, number: int, seed: int) -> Iterator[dict[str, Any]]:
        """The batches of an epoch, in the order that its number and the seed give."""
        import torch

        random = np.random.default_rng([seed, number])
        parts = topics(self.vectors, self.batch_size, random)
        for place in random.permutation(len(parts)).tolist():
            rows = parts[place]
            yield {"texts": [self.texts[row] for row in rows], "teacher": torch.from_numpy(self.teacher.logits(rows))}


def topics(vectors: Float32, size: int, random: np.random.Generator) -> list[Rows]:
    """Rows of vectors (n, d) in ⌊n / size⌋ parts of `size`, near ones together; what is left over is left out.

    Halved again and again, by which of two random rows is nearer.

    >>> at = np.array([[0.0], [9.0], [0.1], [9.1]], dtype=np.float32)
    >>> sorted(sorted(part.tolist()) for part in topics(at, 2, np.random.default_rng(1)))
    [[0, 2], [1, 3]]
    """
    found: list[Rows] = []
    waiting = [random.permutation(len(vectors))[: len(vectors) // size * size]]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= size:
            found += [rows] if len(rows) else []
            continue
        one, other = random.choice(rows, 2, replace=False)
        half = len(rows) // size // 2 * size
        order = np.argpartition(vectors[rows] @ (vectors[one] - vectors[other]), half)
        waiting += [rows[order[:half]], rows[order[half:]]]
    return found


class _Teacher:
    """What BM25 and the base say of questions and documents: convex fusion (Bruch, Gai and Ingber 2023) of cosines, scaled from
    -1, and BM25's scores, scaled from 0, each to the best found; sharpened until cosines weigh what they weigh in the student."""

    def __init__(self, own: Rows, asked: Float32, answers: Float32, found: Rows, scores: Float32, *, temperature: float) -> None:
        self.own, self.asked, self.answers, self.temperature = own, asked, answers, temperature
        self.found, self.scores = found, scores  # (n, k): documents in ascending order, and BM25's scores of them

    def logits(self, rows: Rows) -> Float32:
        """Of each of these questions for each of their documents, (b, b)."""
        cosines = self.asked[rows] @ self.answers[rows].T
        words = np.empty_like(cosines)
        wanted = self.own[rows]
        for place, row in enumerate(rows.tolist()):
            at = np.minimum(np.searchsorted(self.found[row], wanted), self.found.shape[1] - 1)
            there = self.found[row][at] == wanted
            words[place] = np.where(there, self.scores[row][at], self.scores[row].min()) / max(self.scores[row].max(), 1e-9)
        best = cosines.max(axis=1, keepdims=True)
        weight = _LEXICAL / (1 - _LEXICAL) * (best + 1)
        return np.asarray((cosines + weight * words) / self.temperature, dtype=np.float32)


def _scores(hits: Hits, numbers: dict[str, int]) -> tuple[Rows, Float32]:
    """Documents in ascending order, (n, k), and their scores; -1 and 0 for none."""
    found = np.array([[-1 if name is None else numbers[name] for name in row] for row in hits.ids], dtype=np.int64)
    order = np.argsort(found, axis=1)
    scores = np.where(found < 0, 0, hits.scores).astype(np.float32)
    return np.take_along_axis(found, order, 1), np.take_along_axis(scores, order, 1)


def distilling_loss(_network: Any, batch: Any, *vectors: Tensor, recipe: TextRecipe) -> Tensor:
    """The loss of a batch of `TopicalBatches`, as `InParts` calls it, at all widths of the recipe."""
    import torch
    from torch.nn import functional

    from vicino.learning.losses.matryoshka import matryoshka
    from vicino.learning.losses.regression import distil_scores

    def loss(asked: Tensor, told: Tensor) -> Tensor:
        cosines = functional.normalize(asked) @ functional.normalize(told).T
        return distil_scores(cosines / recipe.temperature, teacher)

    asked, told, _ = parted(torch.cat(vectors, dim=1), 2)
    teacher = batch["teacher"].to(asked.device)
    return matryoshka(loss, asked, told, dims=[*recipe.dims, asked.shape[-1]]) if recipe.dims else loss(asked, told)
