"""Names with a vector each: what encoders of words and of nodes share."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vicino.data.text import Vocabulary
from vicino.data.word2vec_writing import WordFormat, write_word_vectors
from vicino.encoders.base import Encoder
from vicino.errors import ArtifactCorrupt, DuplicateIds, InputError, UnknownName
from vicino.vectors import normalise, top_k

__all__ = ["HasNames", "NamedVectors", "damaged", "saved_array"]

_NEAR = 10_000  # names looked at for a near spelling, the first of those that could be: a tenth of a second

Float32 = NDArray[np.float32]


@runtime_checkable
class HasNames(Protocol):
    """An encoder that has vectors of things by their names, and can say which: `thing` is what one is called."""

    thing: ClassVar[str]

    def most_frequent(self, n: int) -> tuple[list[str], Float32, int]:
        """At most n names, the most frequent first, their vectors (n, d), and how many names there are."""


class NamedVectors(Encoder):
    """A vector a name: `"x" in encoder`, `encoder["x"]`, `most_similar`, `doesnt_match`, `export`, and all that is saved.

    A family sets `vectors_` (n, d), then calls `_take` with the names; it says what a name is (`thing`), and which error an
    unknown one raises.
    """

    thing: ClassVar[str]
    unknown: ClassVar[type[UnknownName]]

    vocabulary_: Vocabulary | None = None
    vectors_: Float32 | None = None
    counts_: NDArray[np.int64] | None = None
    units_: Float32 | None = None

    def _take(self, vocabulary: Vocabulary, counts: NDArray[np.int64]) -> None:
        self.vocabulary_, self.counts_, self.units_, self._space = vocabulary, counts, None, None

    def __contains__(self, name: object) -> bool:
        return name in self._require("vocabulary_")

    def __getitem__(self, name: str) -> Float32:
        """The vector of a name, (d,). Raises `unknown`, a KeyError that names near spellings."""
        row: Float32 = self._require("vectors_")[self._row(name)]
        return row.copy()

    def most_similar(
        self,
        positive: str | Sequence[str] = (),
        negative: str | Sequence[str] = (),
        topn: int = 10,
        *,
        weights: Sequence[float] | None = None,
    ) -> list[tuple[str, float]]:
        """The `topn` names nearest to a sum of names, with their cosines, best first; the names given are left out.

        The sum is of unit vectors, those of `negative` subtracted ("3CosAdd": Mikolov, Yih and Zweig 2013); `weights` multiply
        them, one a name of `positive`, then of `negative`. Raises `unknown`, and InputError for nothing given, for weights that
        are no numbers, and for a sum without a direction, such as the zeros of a node without edges.
        """
        plus, minus = ([names] if isinstance(names, str) else list(names) for names in (positive, negative))
        names = plus + minus
        rows, of_names = self._find(names)
        factors = np.ones(len(names)) if weights is None else np.array(weights, dtype=np.float64)
        if not names or factors.shape != (len(names),):
            raise InputError(
                f"{len(names)} {self.thing}s with {factors.size} weights",
                mend=f"give at least one {self.thing}, and a weight for each",
            )
        if not np.isfinite(factors).all():
            raise InputError(f"weights {factors.tolist()} are no numbers to multiply with", mend="give finite ones, such as 1.0")
        units = self._unit_vectors()
        sought = (np.repeat([1.0, -1.0], [len(plus), len(minus)]) * factors) @ of_names
        if not np.linalg.norm(sought) > 0:
            raise InputError(
                f"the vector of {', '.join(map(repr, names))} has no direction, so that nothing is near",
                mend=f"give a {self.thing} whose vector is not zeros, and weights that do not cancel out",
            )
        scores = units @ normalise(sought[None])[0]
        scores[rows] = -np.inf
        best, cosines = top_k(scores[None], min(topn, max(len(units) - len(set(rows)), 1)))
        found = zip(best[0].tolist(), cosines[0].tolist(), strict=True)
        return [(self._require("vocabulary_").terms[row], cosine) for row, cosine in found if math.isfinite(cosine)]

    def doesnt_match(self, names: Sequence[str]) -> str:
        """The name that is farthest from the mean direction of all of them. Raises `unknown`, InputError for no names."""
        if isinstance(names, str) or not names:
            raise InputError(f"no list of {self.thing}s", mend='give several, such as ["breakfast", "lunch", "car"]')
        units = self._find(names)[1]
        return names[int(np.argmin(units @ units.mean(axis=0)))]

    def most_frequent(self, n: int) -> tuple[list[str], Float32, int]:
        """At most n names, those counted most often first (as they stand where nobody counted), their vectors, and how many
        names there are."""
        vectors: Float32 = self._require("vectors_")
        counted = self.counts_ if self.counts_ is not None and len(self.counts_) else np.zeros(len(vectors))
        rows = np.argsort(-counted, kind="stable")[:n]
        terms = self._require("vocabulary_").terms
        return [terms[row] for row in rows.tolist()], vectors[rows], len(terms)

    def export(self, path: str | os.PathLike[str], format: WordFormat = "word2vec") -> Path:  # noqa: A002
        """Write the vectors for others: "word2vec" (text), "word2vec-binary" or "glove". gensim reads them back to the bit.

        Raises UnknownName for another format, InputError for a name with white space in it, ArtifactError for a full disk.
        """
        vectors: Float32 = self._require("vectors_")
        return write_word_vectors(Path(path), self._require("vocabulary_").terms, vectors, format)

    def _cosine(self, left: str, right: str) -> float:
        units = self._find([left, right])[1]
        return float(units[0] @ units[1])

    def _find(self, names: Sequence[str]) -> tuple[list[int], Float32]:
        """The rows of names that have one of their own, and the unit vectors of all, (n, d). Raises `unknown`."""
        rows = [self._row(name) for name in names]
        return rows, self._unit_vectors()[rows]

    def _row(self, name: str) -> int:
        vocabulary: Vocabulary = self._require("vocabulary_")
        if not isinstance(name, str):
            raise self.unknown(f"{name!r} is no name of a {self.thing}", mend=f"names are str, such as {vocabulary.terms[0]!r}")
        row = vocabulary.get(name)
        if row < 0:
            listing = f"{len(vocabulary):,} {self.thing}s are known"
            raise self.unknown.among(name, self._alike(name), kind=self.thing, listing=listing)
        return row

    def _alike(self, name: str) -> list[str]:
        """Names that could have been meant: about as long, and with one end in common."""
        ends = {name[:1], name[-1:]}
        near = (each for each in self._require("vocabulary_") if abs(len(each) - len(name)) < 3 and ends & {each[:1], each[-1:]})
        return list(islice(near, _NEAR))

    def _unit_vectors(self) -> Float32:
        if self.units_ is None:
            self.units_ = normalise(self._require("vectors_"))
        return self.units_

    # Kept -------------------------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        return int(self._require("vectors_").shape[1])

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        vectors: Float32 = self._require("vectors_")
        return {"terms": self._require("vocabulary_").terms}, {"vectors": vectors}

    def _arrays(self) -> dict[str, Any]:
        vectors: Float32 = self._require("vectors_")
        return {"terms": list(self._require("vocabulary_")), "vectors": vectors, "counts": self.counts_}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Raises ArtifactCorrupt where the arrays do not belong together."""
        try:
            vocabulary = Vocabulary(arrays["terms"])
        except (DuplicateIds, KeyError, TypeError) as error:
            raise damaged(folder, "terms") from error
        n = len(vocabulary)
        self.vectors_ = saved_array(folder, arrays, "vectors", np.float32, (n, None))
        counted = n if len(arrays.get("counts", ())) else 0  # words from a file of others were not
        self._take(vocabulary, saved_array(folder, arrays, "counts", np.int64, (counted,)))


def saved_array(
    folder: Path, arrays: Mapping[str, Any], name: str, kind: type[np.generic], shape: tuple[int | None, ...]
) -> NDArray[Any]:
    """An array of a saved folder, known to be of this kind and shape, in which None stands for any length.

    What it is not would be read past its end by compiled code: who makes a folder can make its SHA-256 too. Raises
    ArtifactCorrupt.
    """
    array: Any = arrays.get(name)
    fits = isinstance(array, np.ndarray) and array.dtype == kind and array.ndim == len(shape)
    if not fits or any(wanted not in (None, size) for wanted, size in zip(shape, array.shape, strict=True)):
        raise damaged(folder, name)
    return np.asarray(array)


def damaged(folder: Path, name: str) -> ArtifactCorrupt:
    """The error for an array of a saved folder that cannot be what was written."""
    return ArtifactCorrupt(
        f"{folder} is damaged: its {name} do not belong to the rest", mend="restore it from a copy, or make it again"
    )
