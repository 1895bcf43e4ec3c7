"""The verbs that make vectors: of anything, into memory or a file; and how a text becomes numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vicino import encoders, progress
from vicino.data import chunking, readers, writers
from vicino.data.records import Document
from vicino.encoders import Encoder
from vicino.encoders.base import Tokens, Truncation
from vicino.vectors import as_vectors, quantise

__all__ = ["Written", "embed", "embed_to_file", "tokens"]


def embed(items: Any, *, encoder: str | PathLike[str] | Encoder = "minilm", chunk: str | None = None, **options: Any) -> Any:
    """From anything to vectors: texts, documents, or a `Path` to a folder or file -> (n, d) float32 rows.

    An encoder that must learn is fitted on the items first. `chunk` cuts documents by a method of `vicino.data.chunking`.
    `options` are those of `Encoder.encode`. One str is one text and gives one vector (d,).
    """
    single = isinstance(items, str | Document) and chunk is None
    listed = _listed(items, chunk)
    vectors = _ready(encoder, listed).encode_document(listed, **options)
    return vectors[0] if single else vectors


@dataclass(frozen=True)
class Written:
    """A file of vectors: how many, what they are (space, precision, ...), and what a length limit cut off on the way."""

    path: Path
    rows: int
    made: Mapping[str, Any]
    truncation: Truncation | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        cut = None if self.truncation is None else asdict(self.truncation)
        return {"path": str(self.path), "rows": self.rows, **self.made, "truncation": cut, "notes": self.notes}


def embed_to_file(
    source: Path | BinaryIO,
    out: Path,
    *,
    encoder: str | PathLike[str] | Encoder = "minilm",
    chunk: str | None = None,
    text: str | None = None,
    normalize_embeddings: bool | None = None,
    truncate_dim: int | None = None,
    precision: str = "float32",
    texts: bool = False,
) -> Written:
    """Embed a folder, a file, or the lines of a stream, and write the vectors with their space: `.parquet` or `.npy`.

    With `texts` a Parquet file says what was embedded too. Beside the space stand the precision, whether rows were normalised,
    and for int8 the ranges that were mapped on its 256 steps. Raises what reading, encoding and
    `vicino.data.writers.write_vectors` raise; nothing is written then.
    """
    writers.require_ending(out)
    items, notes = _read(source, text, chunk)
    encode = _ready(encoder, items)
    vectors = encode.encode_document(items, truncate_dim=truncate_dim, normalize_embeddings=normalize_embeddings)
    space = encode.space if truncate_dim is None else encode.space.truncated(truncate_dim)
    made = {"space": space.to_json(), "precision": precision, "normalized": bool(normalize_embeddings)}
    if precision != "float32":
        dense = as_vectors(vectors)
        ranges = np.stack([dense.min(axis=0), dense.max(axis=0)]) if precision == "int8" else None
        vectors = quantise(dense, precision, ranges=ranges)
        made |= {} if ranges is None else {"ranges": ranges.tolist()}
    cut = encode.truncation(items)
    if cut is not None and cut.items_cut:
        notes.append(
            f"{cut.items_cut:,} of {cut.items:,} items are longer than {cut.limit} tokens: {cut.share:.1%} of all tokens "
            "were cut (--chunk paragraph keeps them)"
        )
    return Written(writers.write_vectors(out, items, vectors, made, texts=texts), len(items), made, cut, tuple(notes))


def tokens(text: str, *, encoder: str | PathLike[str] | Encoder = "minilm") -> Tokens:
    """How an encoder reads a text: pieces, ids, which are unknown, and the dense row of each."""
    return _ready(encoder, [text]).tokens(text)


def _ready(encoder: str | PathLike[str] | Encoder, items: Sequence[Any]) -> Encoder:
    """The encoder, fitted on the items where it has to learn and has not."""
    made = encoder if isinstance(encoder, Encoder) else encoders.make(encoder)
    return made if made.pretrained or made.__sklearn_is_fitted__() else made.fit(items)


def _listed(items: Any, chunk: str | None) -> list[Any]:
    if isinstance(items, PathLike):
        return _read(Path(items), None, chunk)[0]
    listed = [items] if isinstance(items, str | Document) else list(items)
    if chunk is None:
        return listed
    documents = (item if isinstance(item, Document) else Document(str(row), item) for row, item in enumerate(listed))
    return _cut(documents, chunk)


def _read(source: Path | BinaryIO, text: str | None, chunk: str | None) -> tuple[list[Any], list[str]]:
    """Documents or chunks, and what was skipped, in words."""
    reading = readers.read_documents(source, text=text) if isinstance(source, Path) else readers.read_lines(source)
    items = _cut(progress.track(reading, "Reading", unit="documents"), chunk)
    return items, [reading.summary()] if reading.counts else []


def _cut(documents: Iterable[Document], chunk: str | None) -> list[Any]:
    if chunk is None:
        return list(documents)
    return [piece for document in documents for piece in chunking.chunk(document, chunk)]
