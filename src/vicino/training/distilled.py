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

from vicino.data.records import Query
from vicino.learning.loop import Batches, InParts
from vicino.training.batches import parted
from vicino.training.ranking import Ranking
from vicino.training.recipe import TextRecipe
from vicino.vectors import normalise

if TYPE_CHECKING:
    from torch import Tensor

    from vicino.training.towers import Model

__all__ = ["LEXICAL", "Distilled", "Teacher", "TopicalBatches", "distilling_loss", "topics"]

LEXICAL = 0.3  # BM25's weight in the ranking that teaches
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
        learn = self.material.learn
        own = self.numbers(learn.document_ids or ())
        self.told = f"{len(learn):,} questions, for which the base and BM25 (weight {LEXICAL:g}) score documents of their topics"
        teacher = self.teacher(learn.anchors, self.recipe.first_temperature)
        return TopicalBatches(list(zip(*self.pairs(model), strict=True)), own, teacher, self.recipe.batch_size)

    def numbers(self, names: Sequence[str]) -> Rows:
        """The places of documents, by their ids."""
        places = {one.id: place for place, one in enumerate(self.material.judge.documents)}
        return np.array([places[name] for name in names], dtype=np.int64)

    def teacher(self, questions: Sequence[str], temperature: float) -> Teacher:
        """What BM25 and the base say of some questions and all documents."""
        documents = self.material.judge.documents
        queries = [Query(str(number), text) for number, text in enumerate(questions)]
        hits = self._lexical(queries, min(_RANKED, len(documents)))
        found = np.full(hits.ids.shape, -1, dtype=np.int64)
        there = hits.ids != None  # noqa: E711 - of each
        found[there] = self.numbers(hits.ids[there].tolist())
        scores = np.where(there, hits.scores, 0).astype(np.float32)
        asked, answers = normalise(self._dense.asked(queries)), normalise(self._dense.vectors)
        return Teacher(asked, answers, found, scores, temperature=temperature)

    @property
    def loss(self) -> InParts:
        """The divergence of the encoder's shares of a batch's documents from the teacher's."""
        return self.of_vectors(partial(distilling_loss, recipe=self.recipe))


class TopicalBatches:
    """Batches of (question, document) rows whose documents are near each other, with the teacher's logits (b, b).

    `own` (n,) says which document each row's is to the teacher. Topics differ from epoch to epoch. What is left over is left out
    for an epoch.
    """

    def __init__(self, texts: Sequence[tuple[Ids, Ids]], own: Rows, teacher: Teacher, batch_size: int) -> None:
        self.texts, self.own, self.teacher = texts, own, teacher
        self.batch_size = min(batch_size, len(texts))

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.texts) // self.batch_size

    def epoch(self, number: int, seed: int) -> Iterator[dict[str, Any]]:
        """The batches of an epoch, in the order that its number and the seed give."""
        import torch

        random = np.random.default_rng([seed, number])
        parts = topics(self.teacher.answers[self.own], self.batch_size, random)
        for place in random.permutation(len(parts)).tolist():
            rows = parts[place]
            logits = torch.from_numpy(self.teacher.logits(rows, self.own[rows]))
            yield {"texts": [self.texts[row] for row in rows], "teacher": logits}


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


class Teacher:
    """What BM25 and the base say of questions and documents: convex fusion (Bruch, Gai and Ingber 2023) of cosines, scaled from
    -1, and BM25's scores, scaled from 0, each to the best found; sharpened until cosines weigh what they weigh in a student of
    this temperature.

    `asked` (q, d) and `answers` (n, d) are the base's vectors, of length one; `found` (q, k) are the documents that BM25 found,
    -1 for none, and `scores` (q, k) what it gave them.
    """

    def __init__(self, asked: Float32, answers: Float32, found: Rows, scores: Float32, *, temperature: float) -> None:
        order = np.argsort(found, axis=1)
        self.asked, self.answers, self.temperature = asked, answers, temperature
        self.found, self.scores = (np.take_along_axis(each, order, axis=1) for each in (found, scores))

    def logits(self, questions: Rows, documents: Rows) -> Float32:
        """Of each of these questions for each of these documents, (b, c)."""
        cosines = self.asked[questions] @ self.answers[documents].T
        words = np.empty_like(cosines)
        for place, (found, scores) in enumerate(zip(self.found[questions], self.scores[questions], strict=True)):
            at = np.minimum(np.searchsorted(found, documents), len(found) - 1)
            words[place] = np.where(found[at] == documents, scores[at], scores.min()) / max(scores.max(), 1e-9)
        best = cosines.max(axis=1, keepdims=True)
        weight = LEXICAL / (1 - LEXICAL) * (best + 1)
        return np.asarray((cosines + weight * words) / self.temperature, dtype=np.float32)


def distilling_loss(_network: Any, batch: Any, *vectors: Tensor, recipe: TextRecipe) -> Tensor:
    """The loss of a batch of `TopicalBatches`, as `InParts` calls it, at all widths of the recipe."""
    import torch
    from torch.nn import functional

    from vicino.learning.losses.matryoshka import matryoshka
    from vicino.learning.losses.regression import distil_scores

    def loss(asked: Tensor, told: Tensor) -> Tensor:
        cosines = functional.normalize(asked) @ functional.normalize(told).T
        return distil_scores(cosines / recipe.first_temperature, teacher)

    asked, told, _ = parted(torch.cat(vectors, dim=1), 2)
    teacher = batch["teacher"].to(asked.device)
    return matryoshka(loss, asked, told, dims=[*recipe.dims, asked.shape[-1]]) if recipe.dims else loss(asked, told)
