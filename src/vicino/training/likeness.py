"""Learning how alike two texts are: pairs with scores, or with labels that only say yes and no."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vicino.encoders.base import Encoder
from vicino.encoders.counts import TfIdf
from vicino.errors import InputError
from vicino.evaluation.gate import Check, check_correlation
from vicino.learning.loop import InParts
from vicino.metrics.similarity import paired_cosine, spearman
from vicino.training.bases import Base
from vicino.training.batches import TextBatches, embedded, parted
from vicino.training.material import Parts
from vicino.training.recipe import TextRecipe

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from vicino.data.examples import Examples
    from vicino.training.towers import Model

__all__ = ["Likeness"]

_OF_RANKING = (
    *("negatives", "mine", "rank_from", "rank_to", "relative", "judge", "remine", "margin"),
    *("symmetric", "queue_size", "momentum", "query_prompt", "document_prompt"),
)


class Likeness:
    """A lesson (see `vicino.training.text`): cosines of pairs learn to be their scores. TF-IDF and the base are measured as it
    is made. Raises InputError for a recipe of two networks: neither text of a pair asks for the other."""

    metric = "Spearman"
    told = "pairs with scores need no negatives"

    def __init__(self, parts: Parts, base: Base, recipe: TextRecipe) -> None:
        if recipe.towers == "separate":
            raise InputError("pairs with scores have no queries and documents to separate", mend="leave towers out")
        usual, ordered = TextRecipe(), recipe.loss == "cosent" and recipe.temperature != "learned"
        unused = _OF_RANKING if ordered else (*_OF_RANKING, "temperature")
        changed = [name for name in unused if getattr(recipe, name) != getattr(usual, name)]
        if changed:
            raise InputError(f"{', '.join(changed)} are for pairs without scores", mend="leave them out")
        self.parts, self.base, self.recipe = parts, base, recipe
        self.found = parts.looked_at()
        self.judge = parts.clean(self.found)
        self.judged_by = parts.told(self.judge)
        self._before = _cosines(base, self.judge)
        words = TfIdf().fit([*parts.learn.anchors, *parts.learn.positives])
        left, right = (words.encode(list(side)) for side in (self.judge.anchors, self.judge.positives))
        shared = np.asarray(left.multiply(right).sum(axis=1)).ravel()  # rows of words have length one
        self.scores: Mapping[str, float] = {
            "tfidf": spearman(shared, self.judge.targets),
            "before": spearman(self._before, self.judge.targets),
        }

    def __len__(self) -> int:
        """The number of examples to learn from."""
        return len(self.parts.learn)

    def batches(self, model: Model, _folder: Path) -> TextBatches:
        """Pairs as tokens of the model."""
        learn, prompt = self.parts.learn, self.base.prompt(None)
        rows = list(zip(*(model.tower(None).ids(list(side), prompt) for side in (learn.anchors, learn.positives)), strict=True))
        alone = range(len(rows))  # no pair is another's negative
        return TextBatches(rows, alone, alone, self.recipe.batch_size, targets=learn.targets)

    @property
    def loss(self) -> InParts:
        """The squared error of cosines, or how far they are out of order."""
        return InParts([embedded], self._loss)

    def chooser(self, model: Model) -> _Chooser:
        """How good weights are while they are learnt."""
        return _Chooser(self.parts.choose, model, self.base.prompt(None))

    def check(self, tuned: Encoder) -> Check:
        """The correlation on the pairs that are judged by, before and after."""
        name = f"{self.metric}, {self.judged_by}"
        return check_correlation(name, self.judge.targets, self._before, _cosines(tuned, self.judge), seed=self.recipe.seed)

    def _loss(self, network: Any, batch: Any, vectors: Tensor) -> Tensor:  # noqa: ARG002 - as `InParts` calls it
        from vicino.learning.losses.matryoshka import matryoshka
        from vicino.learning.losses.regression import cosent, cosine_regression

        left, right, _ = parted(vectors, 2)
        target = batch["target"].to(vectors.device)

        def loss(left: Tensor, right: Tensor) -> Tensor:
            if self.recipe.loss == "cosent":
                return cosent(left, right, target, temperature=self.recipe.first_temperature)
            return cosine_regression(left, right, target)

        dims = self.recipe.dims
        return matryoshka(loss, left, right, dims=[*dims, left.shape[-1]]) if dims else loss(left, right)


class _Chooser:
    def __init__(self, examples: Examples, model: Model, prompt: str) -> None:
        self.sides = [model.tower(None).ids(list(side), prompt) for side in (examples.anchors, examples.positives)]
        self.targets = examples.targets

    def __call__(self, model: Model) -> float:
        left, right = (model.tower(None).vectors(ids) for ids in self.sides)
        return spearman(paired_cosine(left, right), self.targets)


def _cosines(encoder: Encoder, examples: Examples) -> NDArray[np.float64]:
    return paired_cosine(encoder.encode(list(examples.anchors)), encoder.encode(list(examples.positives)))
