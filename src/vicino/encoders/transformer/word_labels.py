"""A network that labels words: what transformers calls token classification, trained here and run here.

A word has the label of its first piece; its other pieces only help (Devlin et al. 2019, "BERT", section 5.3). A sentence that is
longer than the network reads is seen in windows: each word is labelled in one of them, with words before and after it in view.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vicino.encoders.transformer import opening
from vicino.encoders.transformer.folder import ModelFolder
from vicino.encoders.transformer.network import in_batches
from vicino.encoders.transformer.tokenising import Ids, Tokenizer, padded
from vicino.encoders.transformer.trainable import set_dropout
from vicino.errors import InputError, UnreadableSource
from vicino.learning.devices import autocast, usual_precision

__all__ = ["Window", "WordLabeller", "windows"]

_TOKENS = 4096  # of a bucket, padding included
_AT_ONCE = 1024  # windows
_LONGEST = 512  # pieces, for a network that states no limit


@dataclass(frozen=True)
class Window:
    """A piece of a sentence as the network reads it: its tokens, and where the first pieces of some `words` stand among them.

    `sentence` and `words` are counted from 0, in what `WordLabeller.read` was given.
    """

    ids: Ids
    sentence: int
    words: NDArray[np.int64]
    places: NDArray[np.int64]


class WordLabeller(nn.Module):
    """The network of a folder with a linear layer for each token, in float32, all of it to be learnt.

    With `labels` the layer is new, drawn by `seed`; without, the folder brings it, and its labels. `limit` cuts windows shorter
    than the network reads, in tokens; `dropout` replaces the network's own, and None keeps it. Raises UnreadableSource for what
    transformers cannot open as such a network, and for a tokenizer that is not of the tokenizers library; InputError for a limit
    that leaves no room.
    """

    def __init__(
        self,
        folder: ModelFolder,
        labels: Sequence[str] | None = None,
        *,
        limit: int | None = None,
        dropout: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        with opening.quiet(), torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = _open(folder, labels).train().requires_grad_(True)
            self._transformers = opening.open_tokenizer(folder)
        self._fast: Any = getattr(self._transformers, "backend_tokenizer", None)
        if self._fast is None:
            raise UnreadableSource(
                f"{folder.body} has a tokenizer that cannot say what words it read", mend="choose another model"
            )
        self.padding = Tokenizer(self._transformers, None, lower=folder.lower).padding  # sets the tokenizer up, too
        names = self.network.config.id2label
        if set(names) != set(range(len(names))):
            raise UnreadableSource(f"{folder.body} does not name its labels one after another", mend="save the model again")
        self.labels = [str(names[place]) for place in range(len(names))]
        if dropout is not None:
            set_dropout(self.network, dropout)
        self._before, self._after = self._marks()
        marks = len(self._before) + len(self._after)
        longest = min(filter(None, (limit, folder.limit, opening.most_positions(self.network), _LONGEST)))
        if longest <= marks:
            raise InputError(f"a limit of {longest} leaves no room beside {marks} special tokens", mend="give limit=256")
        self.limit, self._room = longest, longest - marks

    def read(self, sentences: Sequence[Sequence[str]]) -> list[Window]:
        """The windows of each sentence, which is a sequence of words. A word of which the tokenizer leaves nothing is in none."""
        found: list[Window] = []
        for number, read in enumerate(self._pieces(sentences)):
            ids = np.array(read.ids, dtype=np.int32)
            of = np.array([-1 if word is None else word for word in read.word_ids], dtype=np.int64)
            present, first, sizes = np.unique(of[of >= 0], return_index=True, return_counts=True)
            ids = ids[of >= 0]
            for start, stop, own, end in windows(sizes.tolist(), self._room):
                tokens = np.concatenate([ids[first[row] : first[row] + sizes[row]][: self._room] for row in range(start, stop)])
                sizes_here = np.minimum(sizes[start:stop], self._room)
                places = len(self._before) + np.cumsum(sizes_here) - sizes_here
                whole = np.concatenate([self._before, tokens, self._after]).astype(np.int32)
                found.append(Window(whole, number, present[own:end], places[own - start : end - start]))
        return found

    def forward(self, given: Sequence[Window]) -> Tensor:
        """The logits of the words of all windows, one after another: (Σ words, labels), in float32."""
        logits: list[Tensor] = []
        order: list[int] = []
        for bucket in in_batches([len(each.ids) for each in given], _TOKENS):
            inputs, _ = padded([given[row].ids for row in bucket], self.padding, self._device)
            found: Tensor = self.network(**inputs).logits
            rows = np.repeat(np.arange(len(bucket)), [len(given[row].words) for row in bucket])
            places = np.concatenate([given[row].places for row in bucket])
            at = [torch.from_numpy(each).to(self._device) for each in (rows, places)]
            logits += torch.split(found[at[0], at[1]].float(), [len(given[row].words) for row in bucket])
            order += bucket
        return torch.cat([logits[place] for place in np.argsort(order).tolist()])

    def told(self, given: Sequence[Window], sizes: Sequence[int]) -> list[NDArray[np.int64]]:
        """The number of the most probable label of each word, for sentences of these sizes; -1 for a word in no window."""
        was = self.training
        self.eval()
        found = [np.full(size, -1, dtype=np.int64) for size in sizes]
        try:
            with torch.inference_mode(), autocast(self._device, usual_precision(self._device)):
                for start in range(0, len(given), _AT_ONCE):
                    some = given[start : start + _AT_ONCE]
                    best = self(some).argmax(dim=1).cpu().numpy()
                    for each, own in zip(some, np.split(best, np.cumsum([len(one.words) for one in some])[:-1]), strict=True):
                        found[each.sentence][each.words] = own
        finally:
            self.train(was)
        return found

    def save(self, target: Path) -> None:
        """Write a folder that transformers opens as AutoModelForTokenClassification."""
        with opening.quiet():
            self.network.save_pretrained(str(target))
            self._transformers.save_pretrained(str(target))

    def _pieces(self, sentences: Sequence[Sequence[str]]) -> Iterator[Any]:
        """The pieces of each sentence; a blank before a word, which all but the first of a text have, is part of some."""
        for start in range(0, len(sentences), _AT_ONCE):
            spaced = [[f" {word}" for word in words] for words in sentences[start : start + _AT_ONCE]]
            yield from self._fast.encode_batch(spaced, is_pretokenized=True, add_special_tokens=False)

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.network.parameters()).device
        return device

    def _marks(self) -> tuple[Ids, Ids]:
        """The special tokens before and after a text."""
        plain, marked = (self._fast.encode("a", add_special_tokens=add).ids for add in (False, True))
        start = next(at for at in range(len(marked)) if marked[at : at + len(plain)] == plain)
        return np.array(marked[:start], dtype=np.int32), np.array(marked[start + len(plain) :], dtype=np.int32)


def windows(sizes: Sequence[int], room: int) -> list[tuple[int, int, int, int]]:
    """How a sentence, whose words have so many pieces each, is cut for a network that reads `room` pieces.

    A window is (start, stop, own, end): it holds the words from start to before stop, and those from own to before end are
    labelled in it, with about a quarter of the room in view on each side. Every word is labelled in exactly one window; a word
    of more pieces than `room` counts as so many.

    >>> windows([1, 2, 1], 10), windows([1] * 8, 4)
    ([(0, 3, 0, 3)], [(0, 4, 0, 3), (2, 6, 3, 5), (4, 8, 5, 8)])
    """
    sizes = [min(size, room) for size in sizes]
    n, found, own = len(sizes), [], 0
    while own < n:
        start, view = own, 0
        while start > 0 and view + sizes[start - 1] <= room // 4:
            start -= 1
            view += sizes[start]
        if view + sizes[own] > room:  # the word alone fills it
            start, view = own, 0
        stop = own
        while stop < n and view + sizes[stop] <= room:
            view += sizes[stop]
            stop += 1
        end, beyond = stop, 0
        while stop < n and end > own + 1 and beyond + sizes[end - 1] <= room // 4:
            end -= 1
            beyond += sizes[end]
        found.append((start, stop, own, end))
        own = end
    return found


def _open(folder: ModelFolder, labels: Sequence[str] | None) -> Any:
    """The network, of whose weights only those of a new layer are not read."""
    from transformers import AutoConfig, AutoModelForTokenClassification

    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with opening.explained(folder):
        named: dict[str, Any] = {}
        if labels is not None:
            named = {"id2label": dict(enumerate(labels)), "label2id": {label: place for place, label in enumerate(labels)}}
        config = AutoConfig.from_pretrained(str(folder.body), **where, **{**folder.config_arguments, **named})
        config.use_cache = False  # nothing is generated
        network, report = AutoModelForTokenClassification.from_pretrained(
            str(folder.body), config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **where
        )
    body = f"{network.base_model_prefix}."
    new = labels is not None
    opening.require_weights(folder, report, lambda name: "pooler" in name or (new and not name.startswith(body)))
    return network
