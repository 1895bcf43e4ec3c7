"""Space: which vectors may meet.

Two vectors may be compared only when one function made both, or when two functions were trained into one space. A `Space`
names that function by content: weights, vocabulary, tokeniser, preprocessing, prompts, pooling, normalisation, dimension.
Renaming a model changes nothing; changing one weight changes the id. Arithmetic precision is not part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import SpaceMismatch
from vicino.vectors import Similarity, normalise

__all__ = ["Canaries", "Space", "fingerprint", "lowest_cosine", "require_same"]


@dataclass(frozen=True)
class Space:
    """Where vectors live: the fingerprint of what made them, their width, and the similarity they were made for."""

    id: str
    dim: int
    similarity: Similarity = "cosine"

    def __str__(self) -> str:
        return f"{self.id} ({self.dim} dimensions, {self.similarity})"

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "dim": self.dim, "similarity": self.similarity}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Space:
        return cls(str(plain["id"]), int(plain["dim"]), plain["similarity"])

    def truncated(self, dim: int) -> Space:
        """The space of the first `dim` dimensions: another space."""
        return self if dim == self.dim else Space(fingerprint({"of": self.id, "dim": dim}), dim, self.similarity)


def fingerprint(plain: Any, arrays: Mapping[str, NDArray[Any]] | None = None) -> str:
    """Sixteen hexadecimal digits that name plain data and arrays by content (SHA-256, cut).

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1})
    True
    """
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode())
    for name, array in sorted((arrays or {}).items()):
        digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()[:16]


def require_same(left: Space, right: Space, *, doing: str) -> None:
    """Raise SpaceMismatch unless both spaces are one; `doing` finishes the sentence "cannot …"."""
    if left != right:
        raise SpaceMismatch(
            f"cannot {doing}: the vectors live in two spaces, {left} and {right}",
            mend="encode both sides with the same model; to change a model, embed everything again with the new one",
        )


@dataclass(frozen=True, eq=False)
class Canaries:
    """A few texts and the vectors they had: a model whose outputs moved is noticed even when its name did not."""

    texts: Sequence[str]
    vectors: NDArray[np.float32]

    def check(self, encode: Callable[[list[str]], NDArray[np.float32]], *, tolerance: float = 0.99) -> float:
        """The lowest cosine between a canary's vector then and now; raises SpaceMismatch where it is under `tolerance`.

        The default leaves room for bfloat16 against float32 and for other processors, not for another model.
        """
        now = np.asarray(encode(list(self.texts)), dtype=np.float32)
        moved = lowest_cosine(now, self.vectors)
        if not moved >= tolerance:  # NaN too has moved
            raise SpaceMismatch(
                f"the model no longer gives the vectors that were stored (lowest cosine {moved:.4f})",
                mend="bring the old model back, or build this again with the new one",
            )
        return moved


def lowest_cosine(now: NDArray[np.float32], then: NDArray[np.float32]) -> float:
    """The lowest cosine between rows (n, d) then and now; 0 for arrays of two shapes; two zero rows are alike.

    >>> lowest_cosine(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0]]))
    1.0
    """
    if now.shape != then.shape:
        return 0.0
    empty = ~(now.any(axis=1) | then.any(axis=1))
    cosines = (normalise(now) * normalise(then)).sum(axis=1)
    return float(np.where(empty, 1.0, cosines).min(initial=1.0))
