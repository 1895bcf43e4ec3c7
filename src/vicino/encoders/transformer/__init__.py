"""Transformer: any sentence-transformers folder or hub name as an encoder of text, fast on a plain processor.

`folder` reads what a model folder says and `modules` what it lists, `sources` finds it, `tokenising` turns text into numbers,
`network` runs batches, `acceleration` makes them fast, `heads` pools, `saving` writes the folder again. `towers` is an encoder of
two such networks, whose folder `routes` reads. None of them imports torch before it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

import numpy as np
from numpy.typing import NDArray

from vicino.encoders.base import Encoder, Role, Tokens, Truncation
from vicino.encoders.transformer import opening
from vicino.encoders.transformer.folder import Dense, ModelFolder, pooling_modes, read_folder
from vicino.encoders.transformer.saving import check_files, save_stamped, write_folder
from vicino.encoders.transformer.sources import MINILM, find
from vicino.errors import DimensionMismatch, InputError, UnknownName
from vicino.vectors import Ragged, Similarity, truncate

if TYPE_CHECKING:
    from vicino.encoders.transformer.network import Arithmetic, Network
    from vicino.encoders.transformer.trainable import Trainable
    from vicino.encoders.transformer.word_labels import WordLabeller

__all__ = ["Transformer"]


class Transformer(Encoder):
    """A pretrained network of the transformer family (Vaswani et al. 2017) with pooled outputs (Reimers & Gurevych 2019).

    `model` is a folder, or a hub name such as "intfloat/e5-small-v2"; all-MiniLM-L6-v2 works without a network. `pooling` (one
    or several of cls, mean, max, mean_sqrt_len_tokens, weightedmean, lasttoken), `max_seq_length` (tokens), `prompts` (by name:
    "query", "document" ...) and `truncate_dim` replace what the model says. `encode` uses the prompt that
    `default_prompt_name` names; `encode_query` uses "query", `encode_document` the first of "document", "passage", "corpus".

    `precision` is the arithmetic: "auto" takes bfloat16 where the processor has it and the vectors keep a mean cosine of 0.9995
    to those of float32, measured when the model is opened. It is not part of the space, nor is `device` ("auto", "cpu",
    "cuda", ...). On a processor all the threads that torch may use (`torch.set_num_threads`) encode different batches;
    `batch_size` states a batch in units of 128 tokens.

    Everything opens lazily: the folder's description with the first question, torch with the first text. Raises UnknownName,
    UnreadableSource, WeightsMismatch, InputError and MissingExtra then.

    >>> Transformer(pooling="cls")
    Transformer(pooling='cls')
    """

    family: ClassVar[str] = "transformer"
    outputs: ClassVar[frozenset[str]] = frozenset({"sentence_embedding", "token_embeddings"})
    pretrained: ClassVar[bool] = True

    _origin: Path | None = None  # the saved folder that this was loaded from
    _read: ModelFolder | None = None
    _opened: Network | None = None

    def __init__(
        self,
        *,
        model: str = MINILM,
        pooling: str | Sequence[str] | None = None,
        max_seq_length: int | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        truncate_dim: int | None = None,
        precision: Arithmetic = "auto",
        device: str = "auto",
    ) -> None:
        self.model = model
        self.pooling = pooling
        self.max_seq_length = max_seq_length
        self.prompts = prompts
        self.default_prompt_name = default_prompt_name
        self.truncate_dim = truncate_dim
        self.precision = precision
        self.device = device

    @classmethod
    def described(cls, folder: ModelFolder, **params: Any) -> Self:
        """One whose folder was read already. Raises what reading its parameters raises."""
        made = cls(model=str(folder.path), **params)
        made._read = made._with_params(folder)
        return made

    def set_params(self, **params: Any) -> Self:
        super().set_params(**params)
        self._read = self._opened = None
        if "model" in params:
            self._origin = None
        return self

    @property
    def similarity(self) -> Similarity:  # type: ignore[override]  # the model says it, not the family
        """What the model was trained for."""
        return self._folder.similarity

    @property
    def dim(self) -> int:
        """The width of a vector."""
        return self._folder.truncate_dim or self._folder.width

    @property
    def arithmetic(self) -> str:
        """What the opened network computes with: "float32" or "bfloat16"."""
        return self._network.arithmetic

    def truncation(self, inputs: Any) -> Truncation | None:
        """What the length limit cuts off these items as documents; None for a model without a limit."""
        limit = self._network.limit
        if limit is None:
            return None
        items = self._items([inputs] if self._is_one(inputs) else inputs)
        return Truncation.of(self._network.lengths(items, prompt=self._folder.prompt("document")), limit)

    def tokens(self, text: str) -> Tokens:
        """How the model reads one text: pieces, special tokens among them, cut at the limit."""
        return self._network.tokens(text)

    def save(self, path: str | PathLike[str], *, record: Mapping[str, Any] | None = None) -> Path:
        """Write a folder that both vicino and sentence-transformers open, whole or not at all.

        Its `training.json` is the `record` of how it was made, if any.
        """
        folder = self._folder
        data = {"encoder": self.family, "params": {**self.get_params(), "model": str(self.model)}, "space": self.space.to_json()}
        return save_stamped(path, "encoder", data, lambda target: write_folder(folder, target), record)

    def prompt(self, role: Role) -> str:
        """What the model puts before a text of this role."""
        return self._folder.prompt(role)

    def trainable(self, *, limit: int | None = None, dropout: float | None = 0.0) -> Trainable:
        """The network with gradients, opened anew: see `trainable.Trainable`."""
        opening.require_torch()
        from vicino.encoders.transformer.trainable import Trainable

        return Trainable(self._folder, limit=limit, dropout=dropout)

    def labeller(
        self, labels: Sequence[str], *, limit: int | None = None, dropout: float | None = None, seed: int = 0
    ) -> WordLabeller:
        """The network with a new layer that labels words, opened anew: see `word_labels.WordLabeller`."""
        opening.require_torch()
        from vicino.encoders.transformer.word_labels import WordLabeller

        return WordLabeller(self._folder, labels, limit=limit, dropout=dropout, seed=seed)

    # What the contract asks of a family ---------------------------------------------------------------------------------

    def _fit(self, items: list[Any], y: Any, validation: Any) -> None:
        """Nothing: the network has learnt already."""

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> NDArray[np.float32] | Ragged:
        prompt = self._folder.prompt(role)
        if output_value == "token_embeddings":
            return self._network.token_vectors(items, prompt=prompt, batch_size=batch_size)
        vectors = self._network.encode(items, prompt=prompt, batch_size=batch_size)
        return vectors if self.dim == vectors.shape[1] else truncate(vectors, self.dim)

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return self._folder.identity(), {}

    def _arrays(self) -> dict[str, Any]:
        return {}  # the weights stay in the files of the model

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002 - there are none
        check_files(folder, data["files"])
        self._origin = folder

    # What is opened late ------------------------------------------------------------------------------------------------

    @property
    def _folder(self) -> ModelFolder:
        if self._read is None:
            self._read = self._with_params(read_folder(self._origin or find(self.model)))
        return self._read

    @property
    def _network(self) -> Network:
        if self._opened is None:
            from vicino.encoders.transformer.network import Arithmetic, Network

            if self.precision not in get_args(Arithmetic):
                raise UnknownName.among(str(self.precision), get_args(Arithmetic), kind="arithmetic precision")
            self._opened = Network(self._folder, arithmetic=self.precision, device=self.device)
        return self._opened

    def _with_params(self, folder: ModelFolder) -> ModelFolder:
        """The folder's description with what the parameters replace."""
        pooling, rest = folder.pooling, folder.steps[1:]
        if self.pooling is not None:
            pooling = replace(pooling, modes=pooling_modes(self.pooling))
            if len(pooling.modes) != len(folder.pooling.modes) and any(isinstance(step, Dense) for step in rest):
                raise InputError(
                    f"the dense layer of {folder.path} does not fit {len(pooling.modes)} pooling mode(s)",
                    mend="leave pooling out",
                )
        if self.max_seq_length is not None and self.max_seq_length < 1:
            raise InputError(f"max_seq_length is {self.max_seq_length}", mend="give a number of tokens")
        prompts = {**folder.prompts, **(self.prompts or {})}
        default = self.default_prompt_name or folder.default_prompt_name
        if default is not None and default not in prompts:
            raise UnknownName.among(default, prompts, kind="prompt")
        changed = replace(
            folder,
            steps=(pooling, *rest),
            limit=self.max_seq_length or folder.limit,
            prompts=prompts,
            default_prompt_name=default,
            truncate_dim=self.truncate_dim or folder.truncate_dim,
        )
        if not 1 <= (changed.truncate_dim or 1) <= changed.width:
            raise DimensionMismatch(
                f"vectors of {changed.width} dimensions cannot be cut to {changed.truncate_dim}",
                mend=f"choose 1 to {changed.width}",
            )
        return changed
