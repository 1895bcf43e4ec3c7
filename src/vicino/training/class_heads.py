"""What learns classes by gradients: a small network on vectors that stay as they are, and an encoder under its head.

Both begin from, or are set against, the linear head of `vicino.training.classifier`, and learn by `vicino.learning.loop`. Classes
are not weighted: weights trade the accuracy that is judged by for the recall of rare classes, and bend probabilities. That rare
classes are not forgotten is seen to by choosing an encoder's weights by macro-F1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.tokenising import Ids
from vicino.encoders.transformer.trainable import Trainable
from vicino.learning.devices import autocast, usual_precision
from vicino.learning.loop import Run, fit
from vicino.learning.losses.margins import softmax_classification
from vicino.metrics.classification import by_class

if TYPE_CHECKING:
    from vicino.training.classifier import ClassifierRecipe

__all__ = ["LabelledBatches", "learn_encoder", "learn_hidden"]

_AT_ONCE = 1024  # items that are told at a time

Float32 = NDArray[np.float32]
Numbers = NDArray[np.int64]
Layer = tuple[Float32, Float32]  # weights (outputs, inputs) and intercepts (outputs,)


class LabelledBatches:
    """Batches of n items and their classes (n,): {"items": take(rows), "label": (b,)}, in an order that epoch and seed give.

    What is left at the end of an epoch is left out for it, so that all batches are as large.
    """

    def __init__(self, take: Callable[[Numbers], Any], labels: Numbers, batch_size: int) -> None:
        self.take, self.labels, self.batch_size = take, labels, min(batch_size, len(labels))

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.labels) // self.batch_size if len(self.labels) else 0

    def epoch(self, number: int, seed: int) -> Iterator[dict[str, Any]]:
        """The batches of an epoch."""
        order = np.random.default_rng([seed, number]).permutation(len(self.labels))
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            rows = order[start : start + self.batch_size]
            yield {"items": self.take(rows), "label": torch.from_numpy(self.labels[rows])}


def learn_hidden(
    vectors: Any, labels: Numbers, parts: tuple[Numbers, Numbers], recipe: ClassifierRecipe, **where: Any
) -> tuple[Layer, Layer, Run]:
    """A hidden layer of rectified units (Nair and Hinton 2010) and the head on it, from unit vectors (n, d), dense or sparse.

    It learns from the rows of the first of `parts`, and keeps the weights under which those of the second are most probable.
    `where` are `folder` and `fingerprint` of `vicino.learning.loop.fit`, and what it raises is raised.
    """
    learn, choose = parts
    n, width = vectors.shape
    # Entries of about one, as a layer's usual first weights expect; the layer's own weights take the factor over at the end.
    scale = float(np.sqrt((vectors.nnz if hasattr(vectors, "nnz") else np.count_nonzero(vectors)) / max(n, 1)))

    def take(rows: Numbers) -> Tensor:
        some = vectors[rows]
        return torch.from_numpy(np.asarray(some.toarray() if hasattr(some, "toarray") else some, dtype=np.float32) * scale)

    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        layers = [nn.Linear(width, recipe.hidden), nn.ReLU(), nn.Dropout(recipe.dropout)]
        network = nn.Sequential(*layers, nn.Linear(recipe.hidden, int(labels.max()) + 1))

    def certainty(model: nn.Module) -> float:
        logits = _told(model, lambda rows: take(choose[rows]), len(choose))
        return -float(softmax_classification(logits, torch.from_numpy(labels[choose])))

    batches = LabelledBatches(lambda rows: take(learn[rows]), labels[learn], recipe.settings.batch_size)
    run = fit(network, batches, _loss, recipe.settings, evaluate=certainty, label="training the head", **where)
    hidden, head = (_layer(network[place]) for place in (0, 3))
    return (hidden[0] * np.float32(scale), hidden[1]), head, run


def learn_encoder(
    encoder: Transformer,
    texts: Sequence[str],
    labels: Numbers,
    parts: tuple[Numbers, Numbers],
    start: Layer,
    recipe: ClassifierRecipe,
    **where: Any,
) -> tuple[Trainable, Layer, Run]:
    """An encoder and the linear head on its unit vectors, trained together from the head that `start` is.

    To begin from a head that fits keeps the encoder from being bent towards a random one (Kumar et al. 2022, "Fine-tuning can
    distort pretrained features"). The weights are those of the best macro-F1 on the second of `parts`.
    """
    learn, choose = parts
    model = _Headed(encoder, start, recipe)
    ids = model.encoder.ids(list(texts), encoder.prompt(None))
    truth = labels[choose].tolist()

    def score(network: nn.Module) -> float:
        told = _told(network, lambda rows: [ids[row] for row in choose[rows]], len(choose)).argmax(dim=1)
        return float(np.mean([each.f1 for each in by_class(truth, told.tolist()).values()]))

    batches = LabelledBatches(lambda rows: [ids[row] for row in learn[rows]], labels[learn], recipe.settings.batch_size)
    run = fit(model, batches, _loss, recipe.settings, evaluate=score, label="training", **where)
    return model.encoder, _layer(model.head), run


class _Headed(nn.Module):
    """Texts, as rows of tokens, to the logits of their classes: (n, k)."""

    def __init__(self, encoder: Transformer, start: Layer, recipe: ClassifierRecipe) -> None:
        super().__init__()
        self.encoder = encoder.trainable(limit=recipe.limit, dropout=recipe.encoder_dropout)
        folder = self.encoder.folder
        self.prompt = 0 if folder.pooling.include_prompt else self.encoder.tokenizer.prompt_length(encoder.prompt(None))
        weights, intercepts = (torch.from_numpy(each.copy()) for each in start)
        self.head = nn.Linear(weights.shape[1], weights.shape[0])
        self.head.weight, self.head.bias = nn.Parameter(weights), nn.Parameter(intercepts)

    def forward(self, ids: list[Ids]) -> Tensor:
        vectors = self.encoder(ids, self.prompt)[:, : self.head.in_features]
        with torch.autocast(vectors.device.type, enabled=False):  # logits in bfloat16 would be told apart by steps of 1 in 128
            found: Tensor = self.head(functional.normalize(vectors.float()))
        return found


def _loss(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    return softmax_classification(model(batch["items"]), batch["label"])


def _told(model: nn.Module, take: Callable[[Numbers], Any], n: int) -> Tensor:
    """The logits of n items, (n, k), on the processor."""
    device = next(model.parameters()).device
    rows = [np.arange(start, min(start + _AT_ONCE, n)) for start in range(0, n, _AT_ONCE)]
    items = (take(some) for some in rows)
    with autocast(device, usual_precision(device) if isinstance(model, _Headed) else "float32"):
        return torch.cat([model(each.to(device) if isinstance(each, Tensor) else each).float().cpu() for each in items])


def _layer(layer: Any) -> Layer:
    return layer.weight.detach().cpu().numpy().copy(), layer.bias.detach().cpu().numpy().copy()
