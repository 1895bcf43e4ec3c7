"""Learning to rank: pairs and triplets, whose questions must find their own answers among all documents."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vicino.encoders.base import Encoder
from vicino.evaluation.gate import Check, check_means
from vicino.evaluation.tasks import RetrievalTask
from vicino.indexes.exact import Exact
from vicino.learning.loop import Batches, InParts
from vicino.retrieval import from_recipe, parse
from vicino.training.bases import Base
from vicino.training.batches import TextBatches, asked, embedded, parted, told
from vicino.training.candidates import Search, with_negatives
from vicino.training.material import Material
from vicino.training.recipe import TextRecipe
from vicino.training.remining import Learner, Remined
from vicino.training.searchable import METRIC, Searchable, values
from vicino.vectors import normalise

if TYPE_CHECKING:
    from torch import Tensor

    from vicino.training.towers import Model

__all__ = ["Ranking", "ranking_loss"]

logger = logging.getLogger(__name__)

Ids = NDArray[np.int32]
_POOLED = 10  # documents of each retriever that stand against the answers while weights are chosen


class Ranking:
    """A lesson (see `vicino.training.text`): BM25 and the base are measured as it is made; `told` says what was mined.

    `dense` are the documents of the material with the base's vectors, for who has them already.
    """

    metric = METRIC

    def __init__(self, material: Material, base: Base, recipe: TextRecipe, *, dense: Searchable | None = None) -> None:
        self.material, self.base, self.recipe = material, base, recipe
        self.found, self.judged_by = material.found, material.judged_by
        self.told = ""
        task = material.judge
        self._lexical = from_recipe(parse("bm25")).build(task.documents).search
        self._dense = Searchable(base, task.documents) if dense is None else dense
        self._before = values(self._dense.search(task.queries, 10), task)
        bm25 = values(self._lexical(task.queries, 10), task)
        self.scores: Mapping[str, float] = {"bm25": float(bm25.mean()), "before": float(self._before.mean())}

    def __len__(self) -> int:
        """The number of examples to learn from."""
        return len(self.material.learn)

    def batches(self, model: Model, folder: Path) -> Batches:
        """Questions with their answers and negatives, which are mined here, as tokens of the model."""
        learn, recipe = self.material.learn, self.recipe
        negatives, self.told = with_negatives(learn, self._dense, self._lexical, recipe)
        pairs = self.pairs(model)
        prompt = self.base.prompt("document")

        def made(negatives: list[list[str]]) -> TextBatches:
            texts = ([own[place] for own in negatives] for place in range(len(negatives[0])))
            rows = list(zip(*pairs, *(model.tower("document").ids(each, prompt) for each in texts), strict=True))
            return TextBatches(rows, learn.query_ids or (), learn.document_ids or (), recipe.batch_size)

        def mined(number: int) -> list[list[str]]:
            dense = Searchable(Learner(model, self.base), self.material.judge.documents)
            found, told = with_negatives(learn, dense, self._lexical, replace(recipe, seed=recipe.seed + number))
            logger.info("%s", told)
            return found

        if recipe.remine is None or recipe.negatives == 0 or recipe.mine in ("bm25", "none"):
            return made(negatives)
        texts = [one.content for one in self.material.judge.documents]
        return Remined(negatives, made, mined, every=recipe.remine, texts=texts, folder=folder)

    def pairs(self, model: Model) -> tuple[list[Ids], list[Ids]]:
        """The questions and the answers to learn from, as tokens of the model."""
        learn, base = self.material.learn, self.base
        questions = model.tower("query").ids(list(learn.anchors), base.prompt("query"))
        return questions, model.tower("document").ids(list(learn.positives), base.prompt("document"))

    @property
    def loss(self) -> InParts:
        """Each question against all answers and negatives of the batch."""
        return self.of_vectors(partial(ranking_loss, recipe=self.recipe))

    def of_vectors(self, loss: Callable[..., Tensor]) -> InParts:
        """A loss of a batch's texts, which go through one network together, or questions and documents through their own."""
        return InParts([embedded] if self.recipe.towers == "shared" else [asked, told], loss)

    def chooser(self, model: Model) -> _Chooser:
        """How good weights are while they are learnt."""
        return _Chooser(self.material.choose, model, [self._dense.search, self._lexical], self.base)

    def check(self, tuned: Encoder) -> Check:
        """The questions that are judged by, before and after."""
        task = self.material.judge
        after = values(Searchable(tuned, task.documents).search(task.queries, 10), task)
        name = f"{self.metric}, {self.judged_by}"
        return check_means(name, self._before, after, groups=task.groups, seed=self.recipe.seed)


def ranking_loss(network: Any, batch: Any, *vectors: Tensor, recipe: TextRecipe) -> Tensor:
    """The loss of a batch of `TextBatches`, as `InParts` calls it: in-batch and given negatives, at all widths of the recipe.

    What is learnt or remembered beside (a temperature, a queue) is that of `network`, a `Pupil`, which takes the batch in.
    """
    import torch

    from vicino.learning.losses.in_batch import FalseNegatives, info_nce
    from vicino.learning.losses.matryoshka import matryoshka

    anchors, positives, negatives = parted(torch.cat(vectors, dim=1), len(batch["texts"][0]))
    others = [] if negatives is None else [negatives.flatten(0, 1)]
    known = None
    if recipe.queue_size:
        known = torch.zeros(len(anchors), sum(map(len, [positives, *others])), dtype=torch.bool, device=anchors.device)
        known = torch.cat([known, network.past.answers(batch)], dim=1)
        others.append(network.past.vectors)
    left_out = FalseNegatives(ids=batch["positive"].to(anchors.device), margin=recipe.margin, known=known)
    temperature = network.temperature() if recipe.temperature == "learned" else recipe.first_temperature

    def loss(queries: Tensor, documents: Tensor, *more: Tensor) -> Tensor:
        return info_nce(
            queries,
            documents,
            negatives=more[0] if more else None,
            temperature=temperature,
            symmetric=recipe.symmetric,
            left_out=left_out,
        )

    given = (anchors, positives, *([torch.cat(others)] if others else []))
    found = matryoshka(loss, *given, dims=[*recipe.dims, anchors.shape[-1]]) if recipe.dims else loss(*given)
    if recipe.queue_size:
        network.past.take_in(batch, network.tower("document"))
    return found


class _Chooser:
    """The metric over the answers and what retrievers took for them."""

    def __init__(self, task: RetrievalTask, model: Model, searches: Sequence[Search], base: Base) -> None:
        names = {name for grades in task.rows for name in grades}
        for search in searches:
            names |= {name for row in search(task.queries, _POOLED).ids for name in row if name is not None}
        self.task = replace(task, documents=[one for one in task.documents if one.id in names])
        self.similarity = base.space.similarity
        self.documents = model.tower("document").ids([one.content for one in self.task.documents], base.prompt("document"))
        self.queries = model.tower("query").ids([one.text for one in task.queries], base.prompt("query"))

    def __call__(self, model: Model) -> float:
        shape = normalise if self.similarity == "cosine" else np.asarray
        documents = shape(model.tower("document").vectors(self.documents))
        queries = shape(model.tower("query").vectors(self.queries))
        index = Exact(similarity=self.similarity).build(documents, [one.id for one in self.task.documents])
        return float(values(index.search(queries, 10), self.task).mean())
