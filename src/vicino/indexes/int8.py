"""int8: a scan over vectors of one byte a number, a quarter of the memory, and the best rescored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vicino.indexes.kept import Kept
from vicino.indexes.rescored import Rescored

__all__ = ["Int8"]


class Int8(Rescored):
    """Every query against every vector, each number in 256 steps of its dimension's range (scalar quantisation).

    With `keep="float32"` the `depth` best (`effort` overrides it) are scored again with the vectors themselves. With
    `keep="int8"` those are given up: a quarter of exact search's memory, scores off by some 0.001, and no more effort to make.

    >>> Int8().build([[1.0, 0.0], [0.0, 1.0]], ["east", "north"]).search([[1.0, 2.0]], k=1).top()
    [('north', 0.8944271802902222)]
    """

    family: ClassVar[str] = "int8"

    def __init__(self, *, similarity: str = "cosine", keep: str = "float32", depth: int = 50) -> None:
        self.similarity = similarity
        self.keep = keep
        self.depth = depth

    codes_: Kept | None = None  # None where they are all that is kept

    def _learn(self, vectors: NDArray[np.float32]) -> NDArray[np.int64] | None:
        self.codes_ = None if self.keep == "int8" else Kept.of(vectors, self.similarity, "int8")
        return None

    def _candidates(self, queries: NDArray[np.float32], k: int, effort: int | None) -> NDArray[Any]:
        if self.codes_ is None:
            return self.kept_.among(queries, None, k)[0]
        return self.codes_.among(queries, None, max(k, effort or self.depth))[0]

    def _codes(self) -> dict[str, Any]:
        return {} if self.codes_ is None else {f"codes_{name}": array for name, array in self.codes_.arrays().items()}

    def _recall_codes(self, arrays: Mapping[str, Any]) -> None:
        codes = {name.removeprefix("codes_"): array for name, array in arrays.items() if name.startswith("codes_")}
        self.codes_ = None if self.keep == "int8" else Kept.restored(codes, self.similarity, self.kept_.values.shape)

    @property
    def _code_bytes(self) -> int:
        return 0 if self.codes_ is None else self.codes_.nbytes
