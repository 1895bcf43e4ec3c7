"""Examples of text as batches of tokens: an anchor, its positive, and as many negatives for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import EmptyInput, InputError

__all__ = ["TextBatches", "asked", "embedded", "parted", "told"]

Ids = NDArray[np.int32]


class TextBatches:
    """Batches of n examples, which are rows of tokens (or of texts): (anchor, positive, negative, ...), as many for each.

    A batch is {"texts": rows, "positive": (b,) what number its positive has, "answers": of each row all positives of its anchor,
    "target": (b,) if there is one}. Equal numbers, of `anchors` and of `positives`, are equal texts. They are kept apart where
    that is possible, because in one batch they would be each other's negatives: an example whose anchor or positive is there
    already waits for the next batch. What is left at the end of an epoch is left out for it, so that all batches are as large.
    Batches of an epoch depend on its number and the seed.

    Raises EmptyInput for no examples, InputError for rows of different lengths.
    """

    def __init__(
        self,
        texts: Sequence[Sequence[Ids | str]],
        anchors: Sequence[Any],
        positives: Sequence[Any],
        batch_size: int,
        *,
        targets: NDArray[np.float32] | None = None,
    ) -> None:
        if not len(texts):
            raise EmptyInput("no examples to learn from", mend="give some hundred")
        if len({len(each) for each in texts}) > 1:
            raise InputError("examples of several numbers of texts", mend="give each as many negatives")
        self.texts, self.targets = [tuple(each) for each in texts], targets
        self.anchors, self.positives = (np.unique(np.asarray(each), return_inverse=True)[1] for each in (anchors, positives))
        self.batch_size = min(batch_size, len(texts))
        self.answers: dict[int, list[Ids | str]] = {}  # of each anchor
        for anchor, (_, *told) in zip(self.anchors.tolist(), self.texts, strict=True):
            self.answers.setdefault(anchor, []).extend(told[:1])

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.texts) // self.batch_size

    def epoch(self, number: int, seed: int) -> Iterator[dict[str, Any]]:
        """The batches of an epoch, in the order that its number and the seed give."""
        import torch

        for rows in self.order(number, seed):
            batch: dict[str, Any] = {
                "texts": [self.texts[row] for row in rows],
                "positive": torch.from_numpy(self.positives[rows].astype(np.int64)),
                "answers": [self.answers[anchor] for anchor in self.anchors[rows].tolist()],
            }
            if self.targets is not None:
                batch["target"] = torch.from_numpy(self.targets[rows])
            yield batch

    def order(self, number: int, seed: int) -> Iterator[NDArray[np.int64]]:
        """The examples of each batch of an epoch."""
        fresh = iter(np.random.default_rng([seed, number]).permutation(len(self.texts)).tolist())
        waiting: dict[tuple[str, int], deque[int]] = {}  # rows, by the text that kept them out
        for _ in range(len(self)):
            chosen: list[int] = []
            taken: set[tuple[str, int]] = set()
            again = list(islice(waiting, self.batch_size))
            for row in chain((self._first_of(waiting, text) for text in again), fresh):
                own = [("anchor", int(self.anchors[row])), ("positive", int(self.positives[row]))]
                if (kept_out_by := next((text for text in own if text in taken), None)) is not None:
                    waiting.setdefault(kept_out_by, deque()).append(row)
                    continue
                taken.update(own)
                chosen.append(row)
                if len(chosen) == self.batch_size:
                    break
            while len(chosen) < self.batch_size:  # only equal texts are left
                chosen.append(self._first_of(waiting, next(iter(waiting))))
            yield np.array(chosen, dtype=np.int64)

    @staticmethod
    def _first_of(waiting: dict[tuple[str, int], deque[int]], text: tuple[str, int]) -> int:
        """The row that waited longest for a text, taken out; the text goes to the end."""
        rows = waiting.pop(text)
        row = rows.popleft()
        if rows:
            waiting[text] = rows
        return row


def embedded(network: Any, batch: Any) -> Any:
    """The vectors of a batch's texts, (b, t · d): those of an example side by side. All go through the network together."""
    return _side_by_side(network, batch["texts"])


def asked(towers: Any, batch: Any) -> Any:
    """The vectors of a batch's questions, which stand first, (b, d): one half of what `embedded` gives."""
    return towers.tower("query")([example[0] for example in batch["texts"]])


def told(towers: Any, batch: Any) -> Any:
    """The vectors of a batch's documents, (b, (t - 1) · d): the other half."""
    return _side_by_side(towers.tower("document"), [example[1:] for example in batch["texts"]])


def _side_by_side(network: Any, texts: Sequence[Sequence[Any]]) -> Any:
    each = len(texts[0])
    vectors = network([example[place] for place in range(each) for example in texts])
    return vectors.view(each, len(texts), -1).transpose(0, 1).reshape(len(texts), -1)


def parted(vectors: Any, texts: int) -> tuple[Any, Any, Any]:
    """What stands side by side: anchors (b, d), positives (b, d), negatives (b, t - 2, d) or None."""
    apart = vectors.view(len(vectors), texts, -1)
    return apart[:, 0], apart[:, 1], apart[:, 2:] if texts > 2 else None
