"""TwoTowers: one network reads queries, another documents, into one space; a sentence-transformers folder with a Router.

What is asked is short and what is found is long: two networks need not read both alike (Karpukhin et al. 2020, "Dense passage
retrieval for open-domain question answering").
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.typing import NDArray

from vicino.encoders.base import Encoder, Role, Tokens, Truncation
from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.routes import ROUTES, Route, RouterFolder, read_router
from vicino.encoders.transformer.saving import bind_towers, check_files, save_stamped, write_folder
from vicino.encoders.transformer.sources import find
from vicino.errors import InputError
from vicino.vectors import Similarity

if TYPE_CHECKING:
    from vicino.encoders.transformer.network import Arithmetic

__all__ = ["TwoTowers"]


class TwoTowers(Encoder):
    """A pair of pretrained networks: `encode_query` uses the one, `encode_document` the other.

    `model` is a folder, or a hub name, of sentence-transformers' Router with the routes "query" and "document", such as `vicino
    train text --set towers=separate` writes. `encode` uses the route that the folder names as its default, which is that of
    documents where vicino wrote it. The other parameters are those of `Transformer`, for both networks.

    The space is that of both: it changes with the weights of either. A network opens with the first text that it reads. Raises
    UnknownName, UnreadableSource, InputError and MissingExtra then.

    >>> TwoTowers(model="my-towers")
    TwoTowers(model='my-towers')
    """

    family: ClassVar[str] = "towers"
    outputs: ClassVar[frozenset[str]] = frozenset({"sentence_embedding", "token_embeddings"})
    pretrained: ClassVar[bool] = True

    _origin: Path | None = None  # the saved folder that this was loaded from
    _read: RouterFolder | None = None

    def __init__(
        self,
        *,
        model: str = "",
        max_seq_length: int | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        truncate_dim: int | None = None,
        precision: Arithmetic = "auto",
        device: str = "auto",
    ) -> None:
        self.model = model
        self.max_seq_length = max_seq_length
        self.prompts = prompts
        self.default_prompt_name = default_prompt_name
        self.truncate_dim = truncate_dim
        self.precision = precision
        self.device = device
        self._opened: dict[Route, Transformer] = {}

    def set_params(self, **params: Any) -> Self:
        super().set_params(**params)
        self._read, self._opened = None, {}
        if "model" in params:
            self._origin = None
        return self

    @property
    def similarity(self) -> Similarity:  # type: ignore[override]  # the model says it, not the family
        """What the model was trained for."""
        return self._tower("document").similarity

    @property
    def dim(self) -> int:
        """The width of a vector."""
        return self._tower("document").dim

    @property
    def arithmetic(self) -> str:
        """What the opened networks compute with: "float32", or "bfloat16" where one of them does."""
        found = {self._tower(route).arithmetic for route in ROUTES}
        return "bfloat16" if "bfloat16" in found else "float32"

    def truncation(self, inputs: Any) -> Truncation | None:
        """What the length limit of documents cuts off these items; None for a network without a limit."""
        return self._tower("document").truncation(inputs)

    def tokens(self, text: str) -> Tokens:
        """How the network for texts of no role reads one: pieces, special tokens among them, cut at the limit."""
        return self._tower(None).tokens(text)

    def save(self, path: str | PathLike[str], *, record: Mapping[str, Any] | None = None) -> Path:
        """Write a folder that both vicino and sentence-transformers open, whole or not at all.

        Its `training.json` is the `record` of how it was made, if any.
        """
        towers = {route: self._tower(route)._folder for route in ROUTES}
        bound = RouterFolder(**towers, default=self._folder.default)
        data = {"encoder": self.family, "params": {**self.get_params(), "model": str(self.model)}, "space": self.space.to_json()}

        def write(target: Path) -> None:
            for route, folder in towers.items():
                (target / route).mkdir()
                write_folder(folder, target / route)
            bind_towers(bound, target)

        return save_stamped(path, "encoder", data, write, record)

    # What the contract asks of a family ---------------------------------------------------------------------------------

    def _fit(self, items: list[Any], y: Any, validation: Any) -> None:
        """Nothing: the networks have learnt already."""

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> Any:
        return self._tower(role)._encode(items, role, batch_size, output_value)

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        towers = {route: self._tower(route)._identity()[0] for route in ROUTES}
        return {"default": self._folder.default, "towers": towers}, {}

    def _arrays(self) -> dict[str, Any]:
        return {}  # the weights stay in the files of the model

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002 - there are none
        check_files(folder, data["files"])
        self._origin = folder

    # What is opened late ------------------------------------------------------------------------------------------------

    @property
    def _folder(self) -> RouterFolder:
        if self._read is None:
            if not str(self.model):
                raise InputError("TwoTowers was given no model", mend="name a folder: towers(model=...)")
            self._read = read_router(self._origin or find(self.model, read=read_router))
        return self._read

    def _tower(self, role: Role) -> Transformer:
        route: Route = role or self._folder.default
        if route not in self._opened:
            params = {name: value for name, value in self.get_params().items() if name != "model"}
            self._opened[route] = Transformer.described(self._folder.of(route), **params)
        return self._opened[route]
