"""Encoder: the contract of everything that turns an item into a vector.

A family writes `_fit`, `_encode`, `_identity`, `_arrays` and `_restore`; the public methods are written once, here, so that
all families validate, normalise, truncate, quantise, save and name themselves alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, progress
from vicino.data.records import Chunk, Document, Query
from vicino.errors import EmptyInput, InputError, NotFitted
from vicino.parameters import Parameterised
from vicino.spaces import Space, fingerprint
from vicino.vectors import Precision, Ragged, Similarity, normalise, quantise, truncate

__all__ = ["Encoder", "Role", "Tokens", "Truncation", "Vectors"]

Vectors = "NDArray[Any] | csr_array | Ragged"
Role = Literal["query", "document"] | None


@dataclass(frozen=True, eq=False)
class Tokens:
    """How an encoder reads one text: its pieces, their numbers in the vocabulary, and the row that each one picks.

    `ids` is (n,) int, -1 where the vocabulary does not hold the piece; `known` is (n,) bool; the one-hot matrix is
    (n, vocabulary); `rows` is (n, d), what that matrix times the embedding table gives, or None where there is no table.
    """

    pieces: Sequence[str]
    ids: NDArray[np.int64]
    known: NDArray[np.bool_]
    vocabulary: int
    rows: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Truncation:
    """What a length limit cut off: counts over all items, and for each tenth of the items by length.

    Each decile is (longest item in tokens, items, items cut, tokens, tokens cut).
    """

    limit: int
    items: int
    items_cut: int
    tokens: int
    tokens_cut: int
    deciles: tuple[tuple[int, int, int, int, int], ...]

    @classmethod
    def of(cls, lengths: NDArray[np.int64], limit: int) -> Truncation:
        """Count from the full length of each item, in tokens.

        >>> cut = Truncation.of(np.array([2, 4, 10]), limit=4)
        >>> cut.items_cut, cut.tokens_cut, cut.share
        (1, 6, 0.375)
        """
        ordered = np.sort(lengths)
        over = np.maximum(ordered - limit, 0)
        tenths = [
            (int(length.max()), len(length), int((cut > 0).sum()), int(length.sum()), int(cut.sum()))
            for length, cut in zip(np.array_split(ordered, 10), np.array_split(over, 10), strict=True)
            if len(length)
        ]
        return cls(limit, len(ordered), int((over > 0).sum()), int(ordered.sum()), int(over.sum()), tuple(tenths))

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Truncation:
        """The reverse of `dataclasses.asdict`, after JSON made lists of the tuples."""
        return cls(**{**plain, "deciles": tuple(tuple(tenth) for tenth in plain["deciles"])})

    @property
    def share(self) -> float:
        """The share of all tokens that was cut."""
        return self.tokens_cut / self.tokens if self.tokens else 0.0


class Encoder(Parameterised, ABC):
    """A learned map from items to vectors.

    `accepts` names the kinds of item, `sparse` says that vectors are SciPy CSR rows, `outputs` lists what `output_value` may
    be. `fit` may be a no-op for a pretrained family (`pretrained` is then True). `simple` marks an honest baseline: no weights to
    download, no training to speak of.
    """

    family: ClassVar[str]
    accepts: ClassVar[frozenset[str]] = frozenset({"text"})
    outputs: ClassVar[frozenset[str]] = frozenset({"sentence_embedding"})
    similarity: ClassVar[Similarity] = "cosine"
    sparse: ClassVar[bool] = False
    pretrained: ClassVar[bool] = False
    simple: ClassVar[bool] = False

    _space: Space | None = None

    # What a family writes -------------------------------------------------------------------------------------------

    @abstractmethod
    def _fit(self, items: list[Any], y: Any, validation: Any) -> None:
        """Learn from items; set attributes that end in an underscore."""

    @abstractmethod
    def _encode(self, items: list[Any], role: Role, batch_size: int, output_value: str) -> Any:
        """One float32 row an item (or CSR rows, or Ragged for token embeddings); `items` is never empty."""

    @abstractmethod
    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """All that decides the output: plain data and arrays. Raises NotFitted before `fit`."""

    @abstractmethod
    def _arrays(self) -> dict[str, Any]:
        """What was learnt, as arrays to save."""

    @abstractmethod
    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Put back what `_arrays` gave."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """The width of a vector. Raises NotFitted before `fit`."""

    # What all families share ----------------------------------------------------------------------------------------

    @property
    def arithmetic(self) -> str:
        """What it computes with. Not part of the space: it changes vectors by rounding only."""
        return "float32"

    @property
    def usage(self) -> object | None:
        """What asking a server cost in this process, as `str` tells it; None for a model on this machine."""
        return None

    @property
    def foundation(self) -> str:
        """The space of a model that it learns on top of; "" where its parameters say all."""
        return ""

    def sketch(self) -> Encoder:
        """An unfitted encoder that does the same work, and can learn it from two short texts: what warms it up."""
        return type(self)()

    def _require_trust(self, folder: Path) -> None:
        """Raise InputError where `folder`, that names this encoder, wants more than arithmetic and nobody vouched for it."""

    @property
    def space(self) -> Space:
        """Where this encoder's vectors live; it changes when the function changes and not otherwise."""
        if self._space is None:
            plain, arrays = self._identity()
            self._space = Space(fingerprint({"family": self.family, **plain}, arrays), self.dim, self.similarity)
        return self._space

    def set_params(self, **params: Any) -> Self:
        self._space = None
        return super().set_params(**params)

    def fit(self, data: Iterable[Any], y: Any = None, *, validation: Any = None) -> Self:
        """Learn the map from items (str, `Document`, ...). Raises EmptyInput."""
        items = self._items(data)
        if not items:
            raise EmptyInput(f"{type(self).__name__} has nothing to learn from", mend="give at least one item to fit")
        self._fit(items, y, validation)
        self._space = None
        return self

    def encode(
        self,
        inputs: Any,
        *,
        batch_size: int = 32,
        normalize_embeddings: bool | None = None,
        truncate_dim: int | None = None,
        precision: Precision = "float32",
        output_value: str = "sentence_embedding",
        show_progress_bar: bool | None = None,
    ) -> Any:
        """Items -> vectors: (n, dim) float32, CSR for sparse families, `Ragged` for token embeddings.

        One item alone gives one vector (dim,), or one CSR row. `normalize_embeddings` True divides rows by their length; None
        and False leave them as the model gives them. `truncate_dim` keeps the first columns (before normalising). `precision`
        is one of float32, float16, int8, binary, ubinary; int8 is scaled to the range of these items, so that codes of two
        calls do not compare. Raises InputError for items of a kind that the encoder does not accept.
        """
        return self._run(inputs, None, batch_size, normalize_embeddings, truncate_dim, precision, output_value, show_progress_bar)

    def encode_query(
        self,
        inputs: Any,
        *,
        batch_size: int = 32,
        normalize_embeddings: bool | None = None,
        truncate_dim: int | None = None,
        precision: Precision = "float32",
        output_value: str = "sentence_embedding",
        show_progress_bar: bool | None = None,
    ) -> Any:
        """As `encode`, for what is asked: the query prompt or tower, where the model has one."""
        return self._run(
            inputs, "query", batch_size, normalize_embeddings, truncate_dim, precision, output_value, show_progress_bar
        )

    def encode_document(
        self,
        inputs: Any,
        *,
        batch_size: int = 32,
        normalize_embeddings: bool | None = None,
        truncate_dim: int | None = None,
        precision: Precision = "float32",
        output_value: str = "sentence_embedding",
        show_progress_bar: bool | None = None,
    ) -> Any:
        """As `encode`, for what is found: the document prompt or tower, where the model has one."""
        return self._run(
            inputs,
            "document",
            batch_size,
            normalize_embeddings,
            truncate_dim,
            precision,
            output_value,
            show_progress_bar,
        )

    def transform(self, X: Any) -> Any:
        """`encode`, under the name that a scikit-learn Pipeline calls."""
        return self.encode(X)

    def fit_whole(self, data: Any) -> Self:
        """`fit`, for whoever goes on with the result at once: a training that ended early is no result.

        Raises KeyboardInterrupt where it was interrupted, InputError where its weights grew past all bounds.
        """
        self.fit(data)
        ended = getattr(getattr(self, "training_", None), "ended", "whole")
        if ended == "interrupted":
            raise KeyboardInterrupt
        if ended != "whole":
            raise InputError(f"{self.family} {ended} before it had learnt from everything", mend="lower its learning rate")
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """`fit`, then `transform`."""
        return self.fit(X, y).transform(X)

    def truncation(self, inputs: Any) -> Truncation | None:  # noqa: ARG002 - families without a limit ignore it
        """What a length limit would cut off these items; None for families without a limit."""
        return None

    def tokens(self, text: str) -> Tokens:
        """How the encoder reads one text. Raises InputError for families that do not read tokens."""
        raise InputError(f"{type(self).__name__} does not read tokens ({text[:40]!r})", mend="choose an encoder of text")

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the encoder to a folder, whole or not at all; `vicino.load(path)` opens it."""
        data = {"encoder": self.family, "params": self.get_params(), "space": self.space.to_json()}
        return artifacts.write(path, kind="encoder", data=data, arrays=self._arrays())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Open what `save` wrote. Raises ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
        return cls._from_artifact(artifacts.read(path, kind="encoder"))

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Self:
        if saved.data.get("encoder") != cls.family:
            raise InputError(
                f"{saved.path} holds a {saved.data.get('encoder')} encoder, not {cls.family}",
                mend="open it with vicino.load(path)",
            )
        encoder = cls(**saved.data["params"])
        encoder._restore(saved.path, saved.data, saved.arrays)
        return encoder

    def _run(
        self,
        inputs: Any,
        role: Role,
        batch_size: int,
        normalize_embeddings: bool | None,
        truncate_dim: int | None,
        precision: Precision,
        output_value: str,
        show_progress_bar: bool | None,
    ) -> Any:
        if output_value not in self.outputs:
            raise InputError(
                f"{type(self).__name__} has no output {output_value!r}",
                mend=f"choose one of {', '.join(sorted(self.outputs))}",
            )
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}", mend="give at least 1")
        single = self._is_one(inputs)
        items = self._items([inputs] if single else inputs)
        with progress.bars() if show_progress_bar else nullcontext():
            vectors = self._encode(items, role, batch_size, output_value) if items else self._none(output_value)
        if isinstance(vectors, np.ndarray):
            vectors = self._shape(vectors, normalize_embeddings, truncate_dim, precision)
            return vectors[0] if single else vectors
        if truncate_dim is not None or precision != "float32":
            raise InputError(
                f"{output_value} of {type(self).__name__} is not a dense matrix",
                mend="leave out truncate_dim and precision",
            )
        if isinstance(vectors, Ragged):
            if normalize_embeddings:
                vectors = Ragged(normalise(vectors.values), vectors.offsets)
            return vectors[0] if single else vectors
        return vectors

    @staticmethod
    def _shape(
        vectors: NDArray[np.float32], normalize_embeddings: bool | None, truncate_dim: int | None, precision: Precision
    ) -> NDArray[Any]:
        if truncate_dim is not None:
            vectors = truncate(vectors, truncate_dim)
        if normalize_embeddings:
            vectors = normalise(vectors)
        return quantise(vectors, precision)

    def _none(self, output_value: str) -> Any:
        """The answer to no items at all."""
        if self.sparse:
            from scipy.sparse import csr_array

            return csr_array((0, self.dim), dtype=np.float32)
        empty = np.empty((0, self.dim), dtype=np.float32)
        return Ragged(empty, np.zeros(1, dtype=np.int64)) if output_value == "token_embeddings" else empty

    def _is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, str | Document | Query | Chunk)

    def _items(self, data: Iterable[Any]) -> list[Any]:
        """Check and unwrap the items; text families read the content of documents."""
        if isinstance(data, str | bytes) or not isinstance(data, Iterable):
            raise InputError(f"{type(data).__name__} is not a list of items", mend="give a list, even of one item")
        return [self._item(row, item) for row, item in enumerate(data)]

    def _item(self, row: int, item: Any) -> Any:
        if isinstance(item, str):
            return item
        if isinstance(item, Document):
            return item.content
        if isinstance(item, Query | Chunk):
            return item.text
        raise InputError(
            f"item {row} is of type {type(item).__name__}; {type(self).__name__} accepts {', '.join(sorted(self.accepts))}",
            mend="give str or Document items, or choose an encoder for this kind: vicino encoders",
        )

    def _require(self, attribute: str) -> Any:
        """A learnt attribute, or NotFitted."""
        value = getattr(self, attribute, None)
        if value is None:
            raise NotFitted(
                f"{type(self).__name__} has not been fitted", mend="call .fit(items) first, or vicino.load a saved one"
            )
        return value

    def __sklearn_is_fitted__(self) -> bool:
        try:
            return self.dim > 0
        except NotFitted:
            return False

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks a step of a Pipeline."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        inputs = InputTags(string=True, two_d_array=False)
        return Tags(
            estimator_type="transformer",
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=inputs,
            requires_fit=not self.pretrained,
        )
