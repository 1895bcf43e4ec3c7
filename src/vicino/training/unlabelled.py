"""Learning from texts alone: each text its own pair (SimCSE), or written again from what is left of it (TSDAE).

Both are judged as pairs of titles and sentences are, by what was taken out of documents and held back. They learn from all
documents as those are without it, and from what was taken out of those documents only that nothing is chosen or judged by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from vicino.errors import EmptyInput, InputError
from vicino.learning.loop import Batches, Loss
from vicino.training.bases import Base
from vicino.training.distilled import Distilled
from vicino.training.mapped import Mapped
from vicino.training.material import Material
from vicino.training.ranking import Ranking
from vicino.training.recipe import TextRecipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vicino.encoders.transformer.trainable import Trainable
    from vicino.training.towers import Model

__all__ = ["LESSONS", "Contrast", "DamagedTexts", "Denoising", "TwiceTexts", "denoising_loss", "network_to_train"]

_DELETED = 0.6  # of a text's words, the best share in the paper
_MOST_PIECES = 4  # of a word, in the mean over a text: scripts without spaces have more, and there pieces are deleted

Ids = NDArray[np.int32]


class _Texts(Ranking):
    """A lesson that is judged by questions, and learnt from all documents and the questions that nothing is judged or chosen by;
    `how` says it in words."""

    how = ""

    def __init__(self, material: Material, base: Base, recipe: TextRecipe) -> None:
        super().__init__(material, base, recipe)
        found = [one.content for one in material.judge.documents] + list(material.learn.anchors)
        self.texts = [text for text in dict.fromkeys(found) if text.strip()]
        self.told = f"{len(self.texts):,} texts, {self.how}; nothing was mined"

    def __len__(self) -> int:
        """The number of texts to learn from."""
        return len(self.texts)


class Contrast(_Texts):
    """A lesson (see `vicino.training.text`): a text must find itself among all texts of the batch, through another dropout.

    Gao, Yao and Chen 2021, "SimCSE: Simple contrastive learning of sentence embeddings".
    """

    how = "each its own pair through another dropout"

    def batches(self, model: Model, folder: Path) -> Batches:  # noqa: ARG002 - nothing is kept
        """Each text twice, as tokens of the model."""
        return TwiceTexts(model.tower("document").ids(self.texts, self.base.prompt("document")), self.recipe.batch_size)


class Denoising(_Texts):
    """A lesson: from the vector of what is left of a text, a decoder must write all of it (TSDAE; see
    `vicino.encoders.transformer.autoencoder`)."""

    how = "written again from the vectors of what is left of them"

    def batches(self, model: Model, folder: Path) -> Batches:  # noqa: ARG002 - nothing is kept
        """Texts and what is left of them, as tokens of the model."""
        prompt = self.base.prompt("document")
        tower = cast("Trainable", model.tower("document"))
        first = tower.tokenizer.prompt_length(prompt) if prompt else 0
        words = [_parts(own, first) for own in tower.tokenizer.words([prompt + text for text in self.texts])]
        return DamagedTexts(tower.ids(self.texts, prompt), words, self.recipe.batch_size)

    @property
    def loss(self) -> Loss:  # type: ignore[override]  # not one of vectors
        """The cross entropy of the undamaged tokens, a mean over those of the batch."""
        return denoising_loss

    def chooser(self, model: Model) -> Callable[[Any], float]:  # type: ignore[override]  # what is trained is more
        """How good the encoder is while it learns."""
        choose = super().chooser(model)
        return lambda whole: choose(whole.encoder)


LESSONS: dict[str, type[Ranking]] = {
    "pairs": Ranking,
    "distil": Distilled,
    "maps": Mapped,
    "simcse": Contrast,
    "tsdae": Denoising,
}


def network_to_train(model: Model, recipe: TextRecipe) -> nn.Module:
    """What a way of learning trains: the model, a module that holds it as its `encoder`, or maps of its vectors.

    Raises InputError where the model cannot learn that way: without any dropout, or without a decoder of its architecture.
    """
    tower = cast("Trainable", model.tower("document"))  # only pairs, scores and rankings are learnt by others
    if recipe.way == "tsdae":
        from vicino.encoders.transformer.autoencoder import AutoEncoder

        return AutoEncoder(tower, dropout=recipe.dropout, seed=recipe.seed)
    if recipe.way == "maps":
        from vicino.training.maps import Maps

        return Maps(tower.folder.width, shared=recipe.towers == "shared")
    if recipe.way == "simcse":
        _require_dropout(tower)
    if recipe.temperature == "learned" or recipe.queue_size:
        from vicino.training.pupil import Pupil

        return Pupil(model, recipe)
    return model


def denoising_loss(network: Any, batch: Any) -> Tensor:
    """The loss of a batch of `DamagedTexts`, for an `AutoEncoder`."""
    found: Tensor = network(batch["damaged"], batch["whole"]) / batch["tokens"].sum()
    return found


class TwiceTexts:
    """Batches of texts, each with itself as its positive, as `ranking_loss` takes them. Texts of the same tokens are one text."""

    def __init__(self, ids: Sequence[Ids], batch_size: int) -> None:
        self.texts = list({own.tobytes(): own for own in ids}.values())
        if len(self.texts) < 2:
            raise EmptyInput(f"{len(self.texts)} different texts to learn from", mend="give some hundred")
        self.batch_size = min(batch_size, len(self.texts))

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.texts) // self.batch_size

    def epoch(self, number: int, seed: int) -> Iterator[dict[str, Any]]:
        """The batches of an epoch, in the order that its number and the seed give."""
        import torch

        for rows in _order(len(self.texts), self.batch_size, number, seed):
            yield {"texts": [(self.texts[row],) * 2 for row in rows], "positive": torch.from_numpy(rows)}


class DamagedTexts:
    """Batches of texts and what is left of them: {"damaged": tokens, "whole": tokens, "tokens": (b,) what a text's share of all
    tokens to be written is, that is their mean}.

    `words` says of each of a text's `ids` which word it is of, from 0, and -1 of what stays. Of a text's words a share of .6 is
    deleted, by chance, and one stays at least. What is deleted depends on the seed, the epoch and the text. Texts without words
    are left out. Raises EmptyInput where there are no others.
    """

    def __init__(self, ids: Sequence[Ids], words: Sequence[Ids], batch_size: int) -> None:
        self.texts = [pair for pair in zip(ids, words, strict=True) if pair[1].max(initial=-1) >= 0]
        if not self.texts:
            raise EmptyInput("no texts to learn from", mend="give some hundred")
        self.batch_size = min(batch_size, len(self.texts))

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.texts) // self.batch_size

    def epoch(self, number: int, seed: int) -> Iterator[dict[str, Any]]:
        """The batches of an epoch, in the order that its number and the seed give."""
        import torch

        for rows in _order(len(self.texts), self.batch_size, number, seed):
            whole = [self.texts[row][0] for row in rows]
            mean = sum(len(own) - 1 for own in whole) / len(whole)
            damaged = [self.damaged(row, number, seed) for row in rows.tolist()]
            yield {"damaged": damaged, "whole": whole, "tokens": torch.full((len(whole),), mean)}

    def damaged(self, row: int, number: int, seed: int) -> Ids:
        """What is left of a text in an epoch."""
        ids, words = self.texts[row]
        random = np.random.default_rng([seed, number, row + 1])  # 0 is that of the order
        stays = random.random(int(words.max()) + 1) >= _DELETED
        if not stays[words[words >= 0]].any():
            stays[random.choice(words[words >= 0])] = True
        return ids[(words < 0) | stays[words]]


def _order(n: int, batch_size: int, number: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """The rows of each batch of an epoch; those that fill none are left out for it."""
    rows = np.random.default_rng([seed, number]).permutation(n)
    return iter(rows[: n - n % batch_size].reshape(-1, batch_size))


def _parts(words: Ids, first: int) -> Ids:
    """What may be deleted: words, or pieces where words are long; nothing of the `first` tokens, which are a prompt."""
    if (words >= 0).sum() > _MOST_PIECES * len(np.unique(words[words >= 0])):
        words = np.where(words >= 0, np.arange(len(words)), -1).astype(np.int32)
    return np.where(np.arange(len(words)) < first, -1, words).astype(np.int32)


def _require_dropout(model: Trainable) -> None:
    """Raise InputError where two passes of one text give one vector."""
    import torch

    ids = model.ids(["two texts"])
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        if torch.equal(model.train()(ids), model(ids)):
            raise InputError("this network has no dropout, by which simcse learns", mend="give dropout=0.1 as well")
