"""Adapted: another model asks in an old space, through a learnt map, while what is found there is read by the old model.

It belongs to that space by declaration only: a query's vector is near what the old model would have given, not that. So it
only asks: nothing that it made is ever stored beside vectors of the old model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vicino.encoders.base import Encoder, Role
from vicino.errors import InputError
from vicino.learning.alignment import Alignment
from vicino.spaces import Space
from vicino.vectors import normalise

__all__ = ["Adapted"]


class Adapted(Encoder):
    """`asks` encodes queries, `weights` (from, to) and `shift` (to,) map them to `space`; `reader` opens what reads the rest."""

    family: ClassVar[str] = "adapted"
    pretrained: ClassVar[bool] = True

    def __init__(
        self,
        asks: Encoder,
        weights: NDArray[np.float32],
        shift: NDArray[np.float32],
        *,
        space: Space,
        reader: Callable[[], Encoder],
    ) -> None:
        self.asks, self.map = asks, Alignment(weights, shift)
        self._space, self._reader = space, reader
        self.accepts = asks.accepts  # type: ignore[misc]  # it is that of another
        self.similarity = space.similarity  # type: ignore[misc]  # it is the space's

    @cached_property
    def reader(self) -> Encoder:
        """The model of the space, opened when something is to be stored."""
        return self._reader()

    @property
    def dim(self) -> int:
        return self.space.dim

    @property
    def arithmetic(self) -> str:
        return self.asks.arithmetic

    @property
    def usage(self) -> object | None:
        return self.asks.usage

    def _items(self, data: Iterable[Any]) -> list[Any]:
        """As they are: each of the two models unwraps its own."""
        return list(data)

    def _encode(self, items: list[Any], role: Role, batch_size: int, output_value: str) -> Any:  # noqa: ARG002 - there is one
        if role != "query":
            return self.reader.encode_document(items, batch_size=batch_size)
        mapped = self.map(self.asks.encode_query(items, batch_size=batch_size))
        return normalise(mapped) if self.similarity == "cosine" else mapped

    def truncation(self, inputs: Any) -> Any:
        return self.reader.truncation(inputs)

    def _fit(self, *_: Any) -> None:
        raise self._belongs("cannot learn")

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        raise self._belongs("has no identity of its own")

    def _arrays(self) -> dict[str, Any]:
        raise self._belongs("cannot be saved")

    def _restore(self, *_: Any) -> None:
        raise self._belongs("cannot be saved")

    @staticmethod
    def _belongs(what: str) -> InputError:
        return InputError(f"an adapted encoder {what}: it belongs to its collection", mend="use the encoder that it asks with")
