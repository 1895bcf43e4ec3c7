"""Pure array maths on vectors: (n, d) rows in, arrays out. Nothing here knows who made the vectors.

>>> unit = normalise(np.array([[3.0, 4.0]]))
>>> unit.tolist(), similarity(unit, unit, "cosine").tolist()
([[0.6000000238418579, 0.800000011920929]], [[1.0]])
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, InputError, InvalidVectors

__all__ = [
    "Precision",
    "QuantisationLoss",
    "Ragged",
    "Similarity",
    "as_vectors",
    "dequantise",
    "distances",
    "int8_steps",
    "nearness",
    "normalise",
    "product_codebooks",
    "quantisation_loss",
    "quantise",
    "similarity",
    "top_k",
    "truncate",
]

Similarity = Literal["cosine", "dot", "euclidean", "maxsim"]
Precision = Literal["float32", "float16", "bfloat16", "int8", "binary", "ubinary", "pq"]
Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Ragged:
    """Several vectors an item: item i owns `values[offsets[i]:offsets[i + 1]]`, an (n_i, d) block.

    >>> tokens = Ragged(np.ones((3, 2), dtype=np.float32), np.array([0, 1, 3]))
    >>> len(tokens), tokens[1].shape
    (2, (2, 2))
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        steps = np.diff(self.offsets)
        if self.values.ndim != 2 or len(self.offsets) == 0 or self.offsets[0] != 0 or (steps < 0).any():
            raise InvalidVectors("these are not ragged vectors", mend="give (total, d) values and rising offsets from 0")
        if self.offsets[-1] != len(self.values):
            raise InvalidVectors(
                f"offsets end at {self.offsets[-1]}, but there are {len(self.values)} rows",
                mend="make the last offset the number of rows",
            )

    @classmethod
    def of(cls, blocks: list[NDArray[Any]], dim: int) -> Ragged:
        """Join (n_i, dim) blocks."""
        values = np.concatenate(blocks) if blocks else np.empty((0, dim), dtype=np.float32)
        return cls(values, np.cumsum([0, *map(len, blocks)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[Any]:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[row] for row in range(len(self)))


def as_vectors(values: ArrayLike, *, dim: int | None = None) -> Float32:
    """`values` as contiguous (n, d) float32.

    Raises InvalidVectors (not numeric, not two-dimensional, no columns, NaN or infinite: the first bad row is named) and
    DimensionMismatch (width other than `dim`).
    """
    try:
        array = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidVectors(f"these are not vectors: {error}", mend="give a rectangular array of numbers") from error
    if array.ndim != 2 or array.shape[1] == 0:
        raise InvalidVectors(
            f"an array of shape {array.shape} is not (n, d) vectors",
            mend="give one row an item; a single vector is v[None, :]",
        )
    if dim is not None and array.shape[1] != dim:
        raise DimensionMismatch(
            f"vectors of {array.shape[1]} dimensions where {dim} are needed",
            mend="encode both sides with the same model",
        )
    squares = float(np.vdot(array, array))  # one number tells of most arrays that all of theirs are finite
    if not math.isfinite(squares) and len(bad := np.flatnonzero(~np.isfinite(array).all(axis=1))):
        raise InvalidVectors(
            f"{len(bad)} of {len(array)} vectors hold NaN or infinite numbers (first: row {bad[0]})",
            mend="look at the items of these rows, then encode them again",
        )
    return array


def normalise(vectors: ArrayLike) -> Float32:
    """Rows divided by their Euclidean length; zero rows stay zero. (n, d) -> (n, d) float32."""
    array = np.asarray(vectors, dtype=np.float32)
    lengths: Float32 = np.sqrt(np.vecdot(array, array)[..., None])
    if np.count_nonzero(lengths) < lengths.size:
        lengths[lengths == 0] = 1
    return array / lengths


def similarity(a: ArrayLike, b: ArrayLike, how: Similarity = "cosine") -> Float32:
    """How alike each row of `a` is to each row of `b`: (n, d), (m, d) -> (n, m), larger is nearer.

    "euclidean" is the negative distance. "maxsim" compares ragged items, not rows: see the multi-vector index.

    >>> similarity([[0.0, 0.0]], [[3.0, 4.0]], "euclidean").tolist()
    [[-5.0]]
    """
    left, right = as_vectors(a), as_vectors(b)
    if left.shape[1] != right.shape[1]:
        raise DimensionMismatch(
            f"vectors of {left.shape[1]} and {right.shape[1]} dimensions cannot be compared",
            mend="encode both sides with the same model",
        )
    return nearness(left, right, how)


def nearness(left: Float32, right: Float32, how: Similarity) -> Float32:
    """As `similarity`, of rows that are known to be sound and of one width."""
    if how == "cosine":
        return normalise(left) @ normalise(right).T
    if how == "dot":
        return left @ right.T
    if how == "euclidean":
        return -distances(left, right)
    raise InputError(f"rows cannot be compared by {how!r}", mend="choose one of cosine, dot, euclidean")


def distances(left: Any, right: Any) -> Float32:
    """Euclidean distances of dense or CSR rows: (n, d), (m, d) -> (n, m).

    |a - b|² = |a|² + |b|² - 2ab, in float64: in float32 the difference of vectors much longer than it would be noise.

    >>> distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])).tolist()
    [[5.0]]
    """
    a, b = left.astype(np.float64), right.astype(np.float64)
    product = a @ b.T
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :]
    squares -= 2 * (product.toarray() if hasattr(product, "toarray") else product)
    return np.asarray(np.sqrt(np.maximum(squares, 0)), dtype=np.float32)


def top_k(scores: Float32, k: int) -> tuple[NDArray[np.int64], Float32]:
    """The k best columns of each row, best first, ties by smaller column: (n, m) -> rows (n, k'), scores (n, k').

    k' is min(k, m).

    >>> top_k(np.array([[0.1, 0.9, 0.9]], dtype=np.float32), 2)[0].tolist()
    [[1, 2]]
    """
    if k < 1:
        raise InputError(f"k is {k}", mend="ask for at least one answer")
    n, m = scores.shape
    k = min(k, m)
    if k == 0 or n == 0:
        return np.empty((n, k), dtype=np.int64), np.empty((n, k), dtype=np.float32)
    chosen = np.argpartition(scores, m - k, axis=1)[:, m - k :] if k < m else np.broadcast_to(np.arange(m), (n, m)).copy()
    if k < m:  # argpartition is free to take any of several equal scores at the border; we take the first
        border = np.take_along_axis(scores, chosen, axis=1).min(axis=1, keepdims=True)
        for row in np.flatnonzero((scores >= border).sum(axis=1) > k):
            better = np.flatnonzero(scores[row] > border[row])
            equal = np.flatnonzero(scores[row] == border[row])
            chosen[row] = np.concatenate([better, equal[: k - len(better)]])
    best = np.take_along_axis(scores, chosen, axis=1)
    order = np.lexsort((chosen, -best), axis=1)
    return np.take_along_axis(chosen, order, axis=1).astype(np.int64), np.take_along_axis(best, order, axis=1)


def truncate(vectors: Float32, dim: int) -> Float32:
    """The first `dim` columns (Kusupati et al. 2022, "Matryoshka"). Raises DimensionMismatch where there are fewer."""
    if not 1 <= dim <= vectors.shape[1]:
        raise DimensionMismatch(
            f"vectors of {vectors.shape[1]} dimensions cannot be cut to {dim}", mend=f"choose 1 to {vectors.shape[1]}"
        )
    return np.ascontiguousarray(vectors[:, :dim])


def quantise(
    vectors: Float32, precision: str, *, ranges: Float32 | None = None, codebooks: Float32 | None = None
) -> NDArray[Any]:
    """(n, d) float32 -> the same vectors in fewer bits; `dequantise` is the way back, `quantisation_loss` what it costs.

    "float16" and "bfloat16" round; NumPy has no bfloat16, so those are its 16 bits as uint16. "int8" maps each dimension's
    `ranges` (2, d: lowest and highest; by default those of `vectors`) on -128..127. "binary" and "ubinary" keep the sign, eight
    dimensions a byte, as int8 or uint8: (n, ceil(d / 8)). The layouts are those of sentence-transformers' `quantize_embeddings`.
    "pq" gives the nearest of each part's `codebooks`, which `product_codebooks` learns: (n, parts) uint8. Raises InputError.

    >>> quantise(np.array([[1.0, -1, 1, 1, -1, -1, -1, 1]], dtype=np.float32), "ubinary").tolist()
    [[177]]
    """
    if precision == "float32":
        return vectors
    if precision == "float16":
        return vectors.astype(np.float16)
    if precision == "bfloat16":
        bits = np.ascontiguousarray(vectors, dtype=np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)  # to the nearest, ties to the even one
    if precision == "int8":
        ranges = _ranges(vectors) if ranges is None else ranges
        return np.asarray(np.clip((vectors - ranges[0]) / int8_steps(ranges) - 128, -128, 127), dtype=np.int8)
    if precision in ("binary", "ubinary"):
        packed: NDArray[np.uint8] = np.packbits(vectors > 0, axis=-1)
        return packed if precision == "ubinary" else np.asarray(packed.astype(np.int16) - 128, dtype=np.int8)
    if precision == "pq":
        parts = _parts(vectors, _required(codebooks))
        nearest = [distances(part, book).argmin(axis=1) for part, book in zip(parts, _required(codebooks), strict=True)]
        return np.stack(nearest, axis=1).astype(np.uint8)
    raise InputError(f"there is no precision {precision!r}", mend=f"choose one of {', '.join(get_args(Precision))}")


def dequantise(
    codes: NDArray[Any], precision: str, dim: int, *, ranges: Float32 | None = None, codebooks: Float32 | None = None
) -> Float32:
    """The (n, dim) float32 vectors that codes of `quantise` stand for: signs are -1 and 1, int8 the middle of its step.

    "int8" needs the `ranges`, "pq" the `codebooks` that made the codes. Raises InputError.

    >>> dequantise(np.array([[160]], dtype=np.uint8), "ubinary", 3).tolist()
    [[1.0, -1.0, 1.0]]
    """
    if precision in ("float32", "float16"):
        return codes.astype(np.float32)
    if precision == "bfloat16":
        return (codes.astype(np.uint32) << 16).view(np.float32)
    if precision == "int8":
        low, high = _required(ranges)
        middle = codes + 0.5 * np.sign(codes)  # numbers were cut off towards zero
        return np.asarray(np.clip(low + (middle + 128) * int8_steps(_required(ranges)), low, high), dtype=np.float32)
    if precision in ("binary", "ubinary"):
        packed = (codes.astype(np.int16) + 128).astype(np.uint8) if precision == "binary" else codes
        return np.unpackbits(packed, axis=-1, count=dim).astype(np.float32) * 2 - 1
    if precision == "pq":
        books = _required(codebooks)
        return np.concatenate([book[codes[:, part]] for part, book in enumerate(books)], axis=1)[:, :dim]
    raise InputError(f"there is no precision {precision!r}", mend=f"choose one of {', '.join(get_args(Precision))}")


def int8_steps(ranges: Float32) -> NDArray[np.float64]:
    """The width of each dimension's 255 steps between its `ranges` (2, d), 1 where there is one value.

    In float64, for float32 cannot hold the steps of the smallest ranges.
    """
    steps: NDArray[np.float64] = (np.asarray(ranges[1], dtype=np.float64) - ranges[0]) / 255
    steps[steps == 0] = 1
    return steps


def product_codebooks(vectors: Float32, parts: int, *, size: int = 256, seed: int = 0) -> Float32:
    """Codebooks of product quantisation (Jégou, Douze and Schmid 2011): (parts, size, ceil(d / parts)) float32.

    The dimensions are cut into `parts` runs (zeros fill up the last) and each is clustered by itself, k-means over up to 256
    vectors a centre. Raises InputError (parts that do not fit, a size over 256, fewer vectors than `size`).

    >>> product_codebooks(np.array([[0.0, 1], [0, 3], [8, 1]], dtype=np.float32), 2, size=2)[0].ravel().tolist()
    [0.0, 8.0]
    """
    from scipy.cluster.vq import kmeans2

    n, dim = vectors.shape
    if not 1 <= parts <= dim or not 1 <= size <= min(256, n):
        raise InputError(
            f"{parts} codebooks of {size} do not fit {n} vectors of {dim} dimensions",
            mend="ask for at most as many parts as dimensions, and at most 256 entries, no more than vectors",
        )
    rng = np.random.default_rng(seed)
    sample = vectors[np.sort(rng.choice(n, min(n, 256 * size), replace=False))]
    padded = np.pad(sample, ((0, 0), (0, -dim % parts)))
    books = [kmeans2(part, size, minit="++", missing="warn", rng=rng)[0] for part in np.split(padded, parts, axis=1)]
    return np.stack([book[np.lexsort(book.T[::-1])] for book in books]).astype(np.float32)


@dataclass(frozen=True)
class QuantisationLoss:
    """What a precision costs: `recall` is the mean share of the true nearest that stay so, `cosine` how alike vectors stay."""

    recall: float
    cosine: float


def quantisation_loss(
    vectors: ArrayLike, queries: ArrayLike, precision: str, *, k: int = 10, codebooks: Float32 | None = None
) -> QuantisationLoss:
    """Measured: (n, d) `vectors` quantised, (q, d) `queries` as they are, both ranked by cosine; recall@k against no loss.

    Without `codebooks` "pq" learns them, a part for each four dimensions. Raises InputError, InvalidVectors, DimensionMismatch.

    >>> vectors = np.random.default_rng(0).standard_normal((500, 32)).astype(np.float32)
    >>> loss = quantisation_loss(vectors, vectors[:50] + 0.1, "int8")
    >>> loss.recall > 0.9, loss.cosine > 0.999
    (True, True)
    """
    held = as_vectors(vectors)
    asked = normalise(as_vectors(queries, dim=held.shape[1]))
    if not len(held) or not len(asked):
        raise InputError("there is nothing to measure", mend="give at least one vector and one query")
    if precision == "pq" and codebooks is None:
        codebooks = product_codebooks(held, -(-held.shape[1] // 4), size=min(256, len(held)))
    codes = quantise(held, precision, codebooks=codebooks)
    back = dequantise(codes, precision, held.shape[1], ranges=_ranges(held), codebooks=codebooks)
    exact, kept = normalise(held), normalise(back)
    shares = []
    for begin in range(0, len(asked), 256):
        some = asked[begin : begin + 256]
        true, found = (top_k(some @ side.T, k)[0] for side in (exact, kept))
        shares += [len(np.intersect1d(a, b)) / len(a) for a, b in zip(true, found, strict=True)]
    return QuantisationLoss(float(np.mean(shares)), float((exact * kept).sum(axis=1, dtype=np.float64).mean()))


def _ranges(vectors: Float32) -> Float32:
    """The lowest and highest value of each dimension, (2, d)."""
    return np.stack([vectors.min(axis=0), vectors.max(axis=0)]) if len(vectors) else np.zeros((2, vectors.shape[1]), np.float32)


def _parts(vectors: Float32, codebooks: Float32) -> list[Float32]:
    """The runs of dimensions that the codebooks are for."""
    parts, _, width = codebooks.shape
    lacking = parts * width - vectors.shape[1]
    if not 0 <= lacking < parts:
        raise DimensionMismatch(
            f"codebooks of {parts} × {width} dimensions do not fit vectors of {vectors.shape[1]}", mend="learn them from these"
        )
    return np.split(np.pad(vectors, ((0, 0), (0, lacking))), parts, axis=1)


def _required(what: Float32 | None) -> Float32:
    if what is None:
        raise InputError("these codes cannot be read alone", mend="give the ranges of int8, or the codebooks of pq")
    return what
