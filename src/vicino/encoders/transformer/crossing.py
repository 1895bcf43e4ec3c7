"""CrossEncoder: reads a query and a document together, and gives one score.

An encoder reads each by itself, so that vectors can be kept; here every word of the query meets every word of the document. That
tells more, and costs the whole network for each pair: it is for the best hundred of a search, not for all documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.records import Document, Query
from vicino.encoders.transformer import opening
from vicino.encoders.transformer.folder import read_folder
from vicino.encoders.transformer.pair_folder import (
    PairFolder,
    copy_weights,
    is_cross_encoder,
    read_pair_folder,
    write_pair_folder,
)
from vicino.encoders.transformer.saving import check_files, save_stamped
from vicino.encoders.transformer.sources import find
from vicino.errors import ArtifactCorrupt, InputError, UnknownName
from vicino.parameters import Parameterised
from vicino.spaces import fingerprint

if TYPE_CHECKING:
    from vicino.encoders.transformer.network import Arithmetic
    from vicino.encoders.transformer.pairs import PairNetwork, TrainablePairs

__all__ = ["KIND", "CrossEncoder", "as_pairs", "read_either", "trainable_pairs"]

KIND = "reranker"  # what a saved folder's manifest says that it holds


class CrossEncoder(Parameterised):
    """A network that scores pairs (Nogueira and Cho 2019, "Passage re-ranking with BERT").

    `model` is a folder or a hub name of transformers' sequence classification with one label, in safetensors: what `vicino train
    reranker` and sentence-transformers' `CrossEncoder` write. `max_seq_length` replaces the model's limit, in tokens of both
    texts together; what is too long loses its end, the longer text first. `precision` and `device` are those of
    `vicino.encoders.Transformer`: "auto" takes bfloat16 where the processor has it and scores stay what they are, measured when
    the model is opened.

    Everything opens lazily. Raises UnknownName, UnreadableSource, InputError and MissingExtra then.

    >>> CrossEncoder(model="cross-encoder/ms-marco-MiniLM-L6-v2")
    CrossEncoder(model='cross-encoder/ms-marco-MiniLM-L6-v2')
    """

    family: ClassVar[str] = "cross-encoder"
    blend: ClassVar[float] = 0.0  # the first stage's usual share of the score
    at_once: ClassVar[int] = 64  # queries whose candidates are best scored together

    _origin: Path | None = None  # the saved folder that this was loaded from
    _read: PairFolder | None = None
    _opened: PairNetwork | None = None
    _id: str | None = None

    def __init__(
        self, *, model: str, max_seq_length: int | None = None, precision: Arithmetic = "auto", device: str = "auto"
    ) -> None:
        self.model = model
        self.max_seq_length = max_seq_length
        self.precision = precision
        self.device = device

    def set_params(self, **params: Any) -> Self:
        super().set_params(**params)
        self._read = self._opened = self._id = None
        if "model" in params:
            self._origin = None
        return self

    @property
    def id(self) -> str:
        """Names by content what decides the scores: weights, vocabulary, network, limit. Precision and device do not."""
        if self._id is None:
            self._id = fingerprint({"family": self.family, **self._folder.identity()})
        return self._id

    @property
    def arithmetic(self) -> str:
        """What the opened network computes with: "float32" or "bfloat16"."""
        return self._network.arithmetic

    @property
    def limit(self) -> int | None:
        """How many tokens of a pair are read, special ones included."""
        return self._network.limit

    def predict(self, pairs: Iterable[tuple[Any, Any]], *, batch_size: int = 32, logits: bool = False) -> NDArray[np.float32]:
        """The scores (n,) of n pairs of a query and a document, each a str or a record; higher is better.

        They are those of sentence-transformers' `predict`, after the activation that the model names; with `logits`, before it:
        the same order, without the ties that a sigmoid makes of the best ones. Raises InputError for what is not a pair.
        """
        listed = as_pairs(pairs)
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}", mend="give at least 1")
        if not listed:
            return np.empty(0, dtype=np.float32)
        found = self._network.logits(listed, batch_size=batch_size)
        return found if logits else _ACTIVATE[self._folder.activation](found).astype(np.float32)

    def rank(self, query: str | Query, documents: Sequence[Any], k: int | None = None) -> list[tuple[int, float]]:
        """The places of the k best documents (all of them by default) and their scores, best first."""
        scores = self.predict([(query, document) for document in documents], logits=True)
        best = np.argsort(-scores, kind="stable")[:k]
        shown = _ACTIVATE[self._folder.activation](scores)
        return [(int(place), float(shown[place])) for place in best]

    def shares(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """From logits, scores from 0 to 1 in the same order, whatever the activation is."""
        return _sigmoid(logits)

    def save(self, path: str | PathLike[str], *, record: Mapping[str, Any] | None = None) -> Path:
        """Write a folder that vicino and sentence-transformers' `CrossEncoder` open, whole or not at all.

        Its `training.json` is the `record` of how it was made, if any.
        """
        folder = self._folder
        data: dict[str, Any] = {"params": {**self.get_params(), "model": str(self.model)}, "id": self.id}

        def write(target: Path) -> None:
            copy_weights(folder, target)
            write_pair_folder(folder, target)

        return save_stamped(path, KIND, data, write, record)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Open what `save` wrote. Raises ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
        saved = artifacts.read(path, kind=KIND)
        try:
            made = cls(**saved.data["params"])
            check_files(saved.path, saved.data["files"])
        except (AttributeError, KeyError, TypeError) as error:
            raise ArtifactCorrupt(f"{path} is damaged: its manifest makes no sense ({error})", mend="make it again") from error
        made._origin = saved.path
        return made

    @property
    def _folder(self) -> PairFolder:
        if self._read is None:
            if self.max_seq_length is not None and (type(self.max_seq_length) is not int or self.max_seq_length < 1):
                raise InputError(f"max_seq_length is {self.max_seq_length!r}", mend="give a number of tokens")
            found = read_pair_folder(self._origin or find(self.model, read=read_pair_folder))
            self._read = replace(found, limit=self.max_seq_length or found.limit)
        return self._read

    @property
    def _network(self) -> PairNetwork:
        if self._opened is None:
            opening.require_torch()
            from vicino.encoders.transformer.network import Arithmetic
            from vicino.encoders.transformer.pairs import PairNetwork

            if self.precision not in get_args(Arithmetic):
                raise UnknownName.among(str(self.precision), get_args(Arithmetic), kind="arithmetic precision")
            self._opened = PairNetwork(self._folder, arithmetic=self.precision, device=self.device)
        return self._opened


def trainable_pairs(base: str, *, limit: int | None, dropout: float | None, seed: int) -> TrainablePairs:
    """A cross-encoder to be taught: `base` is one already, or an encoder of text, which then gets a new last layer, by `seed`.

    Raises MissingExtra, UnknownName, UnreadableSource, and InputError for a kind of network that cannot score.
    """
    opening.require_torch()
    from vicino.encoders.transformer.pairs import TrainablePairs

    path = find(base, read=read_either)
    if is_cross_encoder(path):
        return TrainablePairs(read_pair_folder(path), limit=limit, dropout=dropout)
    folder = PairFolder.of(read_folder(path))
    folder = folder if folder.is_plain else replace(folder, limit=None)  # that of single texts
    return TrainablePairs(folder, limit=limit, dropout=dropout, seed=seed)


def read_either(path: Path) -> Any:
    """A cross-encoder's folder, or an encoder's."""
    return read_pair_folder(path) if is_cross_encoder(path) else read_folder(path)


def as_pairs(pairs: Iterable[Any]) -> list[tuple[str, str]]:
    """The texts of pairs of a query and a document, each a str or a record. Raises InputError for what is not a pair."""
    return [_pair(row, pair) for row, pair in enumerate(pairs)]


def _pair(row: int, pair: Any) -> tuple[str, str]:
    if isinstance(pair, str | bytes) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise InputError(f"item {row} is no pair", mend="give (query, document), for each of them")
    texts = tuple(_text(each) for each in pair)
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"pair {row} is not of texts", mend="give str, Query and Document items")
    return texts[0], texts[1]


def _text(item: Any) -> Any:
    return item.content if isinstance(item, Document) else item.text if isinstance(item, Query) else item


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64))))


_ACTIVATE: Mapping[str, Any] = {"Identity": np.asarray, "Sigmoid": _sigmoid, "Tanh": np.tanh}
