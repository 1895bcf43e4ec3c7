"""A model in training with what its loss learns or remembers beside it: a temperature, and documents of batches gone by.

The document network has a slow copy, which reads the documents of each batch once more; the last vectors that it made are further
candidates for the next batches. He, Fan, Wu, Xie and Girshick 2020, "Momentum contrast for unsupervised visual representation
learning"; Radford et al. 2021, "Learning transferable visual models from natural language supervision" (the temperature).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

from vicino.encoders.base import Role
from vicino.encoders.static_network import StaticNetwork
from vicino.encoders.transformer.tokenising import Ids
from vicino.encoders.transformer.trainable import Trainable
from vicino.learning.devices import autocast, usual_precision
from vicino.learning.large_batches import MemoryQueue, follow
from vicino.learning.losses.in_batch import Temperature
from vicino.learning.training import modes
from vicino.training.recipe import TextRecipe
from vicino.training.towers import Model

__all__ = ["PastDocuments", "Pupil"]

_RATE = 3e-3  # at which the logarithm of a temperature learns, whatever the network's own rate: 3e-5 would hardly move it


class Pupil(nn.Module):
    """`encoder`, for which this stands in training, with a `temperature` and the `past` where the recipe wants them.

    All of it is in checkpoints; what is saved in the end is the encoder alone.
    """

    def __init__(self, encoder: Model, recipe: TextRecipe) -> None:
        super().__init__()
        self.encoder = encoder
        if recipe.temperature == "learned":
            self.temperature = Temperature(recipe.first_temperature, pace=_RATE / recipe.learning_rate)
        if recipe.queue_size:
            self.past = PastDocuments(encoder.tower("document"), recipe)

    def forward(self, ids: list[Ids]) -> Tensor:
        """Vectors (n, d) of texts, as the one network of the encoder gives them."""
        found: Tensor = self.encoder(ids)
        return found

    def tower(self, role: Role) -> Trainable | StaticNetwork:
        """What reads texts of a role."""
        return self.encoder.tower(role)


class PastDocuments(nn.Module):
    """The last `recipe.queue_size` documents of batches gone by, as a slow copy of `reader` saw them, without dropout.

    A document has a number beside its vector, one of its tokens, so that no question is kept from its own answers: texts of the
    same tokens are one text.
    """

    def __init__(self, reader: Trainable | StaticNetwork, recipe: TextRecipe) -> None:
        super().__init__()
        self.slow = copy.deepcopy(reader).requires_grad_(False)
        self.momentum, self.precision = recipe.momentum, recipe.precision
        self.queue = MemoryQueue(recipe.queue_size, reader.width)
        self.numbers = MemoryQueue(recipe.queue_size, 1, dtype=torch.int64)

    @property
    def vectors(self) -> Tensor:
        """What is remembered, (m, d), without gradients; the next `take_in` overwrites it."""
        return self.queue.vectors

    def answers(self, batch: Mapping[str, Any]) -> Tensor:
        """Which of them answer which question of a batch of `TextBatches`, (b, m), there or in any other batch."""
        theirs = self.numbers.vectors[:, 0]
        return torch.stack([torch.isin(theirs, self._numbers(own)[:, 0]) for own in batch["answers"]])

    @torch.no_grad()
    def take_in(self, batch: Mapping[str, Any], reader: Trainable | StaticNetwork) -> None:
        """Have the copy follow `reader`, and remember a batch's documents, answers and negatives, as it sees them then."""
        device = self.queue.room.device
        precision = usual_precision(device) if self.precision == "auto" else self.precision
        follow(self.slow, reader, momentum=self.momentum)
        told = [example[1] for example in batch["texts"]]
        told += [text for example in batch["texts"] for text in example[2:]]
        with modes(self.slow, training=False), autocast(device, precision):
            self.queue.push(self.slow(told))
        self.numbers.push(self._numbers(told))

    def _numbers(self, texts: Sequence[Ids]) -> Tensor:
        """One for each document, (n, 1)."""
        return torch.tensor([[_number(text)] for text in texts], device=self.numbers.room.device)


def _number(text: Ids) -> int:
    """Of a text's tokens, the same in every process; another text has another, as good as surely."""
    return int.from_bytes(blake2b(text.tobytes(), digest_size=8).digest(), "little", signed=True)
