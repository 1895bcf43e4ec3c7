"""Candidates of tasks: encoders by their names, and what needs no vectors, as words in common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino import encoders
from vicino.encoders import ENCODERS, Encoder
from vicino.errors import InputError, UnknownName
from vicino.evaluation.suite.base import Contender, Outcome
from vicino.spaces import fingerprint
from vicino.vectors import as_vectors, normalise

__all__ = ["contender", "encoded", "fingerprint_of", "fitted", "overlap", "paired", "parted"]

Plain = Mapping[str, Callable[[], Outcome]]


def contender(name: str, plain: Plain, answer: Callable[[Encoder], Outcome], *, how: str = "") -> Contender:
    """The contender of a name: one of the `plain` baselines, or an encoder, which `answer` asks.

    `how` is what else decides the answers. Raises UnknownName, and what `vicino.encoders.make` raises.
    """
    if name in plain:
        return Contender(plain[name], simple=True, identity=f"{name}:{how}")
    try:
        encoder = encoders.make(name)
    except UnknownName as error:
        listing = f"There are: {', '.join([*plain, *ENCODERS])}; or give a model folder"
        raise UnknownName.among(name, [*plain, *ENCODERS], kind="candidate", listing=listing) from error
    made_of = [encoder.space.id] if _has_learnt(encoder) else [encoder.family, encoder.get_params()]
    return Contender(lambda: answer(encoder), encoder.simple, fingerprint([made_of, how]))


def _has_learnt(encoder: Encoder) -> bool:
    return encoder.__sklearn_is_fitted__()


def fitted(encoder: Encoder, items: Sequence[Any] | None) -> Encoder:
    """The encoder, or where it has learnt nothing yet a clone that learns from items.

    Raises InputError where there is nothing to learn from.
    """
    if encoder.pretrained or _has_learnt(encoder):
        return encoder
    if items is None:
        raise InputError(
            f"{encoder.family} has not learnt yet, and there is no text here to learn from",
            mend="give the folder of one that has: vicino train",
        )
    return encoder.clone().fit_whole(list(items))


def encoded(encoder: Encoder, texts: Sequence[str]) -> tuple[Any, NDArray[np.int64]]:
    """Vectors of the distinct texts, dense or CSR with unit rows, and the row of each text: what is there twice is encoded
    once."""
    rows: dict[str, int] = {}
    places = np.array([rows.setdefault(text, len(rows)) for text in texts], dtype=np.int64)
    return _unit(encoder.encode(list(rows))), places


def _unit(vectors: Any) -> Any:
    if hasattr(vectors, "tocsr"):
        from sklearn.preprocessing import normalize

        rows = normalize(vectors.tocsr(), copy=False)
        if max(rows.nnz, *rows.shape) < 2**31:  # scikit-learn's k-means takes no wider indices
            rows.indices, rows.indptr = rows.indices.astype(np.int32, copy=False), rows.indptr.astype(np.int32, copy=False)
        return rows
    return normalise(as_vectors(vectors))


def paired(vectors: Any, left: ArrayLike, right: ArrayLike) -> NDArray[np.float64]:
    """Cosines of pairs of rows of unit vectors, dense or CSR: (n,)."""
    rows, others = np.asarray(left), np.asarray(right)
    found = np.empty(len(rows))
    for start in range(0, len(rows), 4096):
        part = slice(start, start + 4096)
        one, other = vectors[rows[part]], vectors[others[part]]
        sparse = hasattr(one, "multiply")
        found[part] = np.asarray(one.multiply(other).sum(axis=1)).ravel() if sparse else np.einsum("nd,nd->n", one, other)
    return found


def overlap(left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
    """The share of words that two texts have in common (Jaccard), whatever their case: (n,).

    >>> overlap(["the cat sat"], ["The cat ran"]).tolist()
    [0.5]
    """
    from vicino.data.text import Analyzer

    analyzer = Analyzer()
    bags = {text: frozenset(analyzer.terms(text)) for text in {*left, *right}}
    pairs = [(bags[a], bags[b]) for a, b in zip(left, right, strict=True)]
    return np.array([len(a & b) / max(len(a | b), 1) for a, b in pairs], dtype=np.float64)


def parted(name: str, known: Sequence[str]) -> tuple[str, str]:
    """A name and what follows its last colon outside brackets, where that is one of the `known`; "" elsewhere.

    >>> parted("tfidf(analyzer=a:b):knn", ["knn"]), parted("runs:3", ["knn"])
    (('tfidf(analyzer=a:b)', 'knn'), ('runs:3', ''))
    """
    stem, _, last = name.rpartition(":")
    return (stem, last) if stem and last in known else (name, "")


def fingerprint_of(*parts: Any) -> str:
    """Sixteen digits that name texts and arrays by content; a list of texts is read one at a time."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
        else:
            for text in [part] if isinstance(part, str) else part:
                raw = str(text).encode("utf-8", "surrogatepass")
                digest.update(f"{len(raw)}:".encode() + raw)
        digest.update(b"/")
    return digest.hexdigest()[:16]
