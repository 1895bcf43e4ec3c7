"""Passages of a collection read back: as models read them at ingest, with their vectors, and the batches that these are from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.filters import Compare
from vicino.data.records import Document
from vicino.data.splits import sample
from vicino.errors import ArtifactError, UnknownName
from vicino.spaces import lowest_cosine
from vicino.store import lineage
from vicino.store.base import EVERYONE, Store
from vicino.store.collection import Collection

__all__ = ["ROW", "batches_of", "cut_documents", "drift", "passage_of", "passages", "vectors_of"]

Named = tuple[str, str, str]  # tenant, source, id

ROW = ("key", "tenant", "source", "document", "start", "end", "title", "text", "metadata")  # what `passage_of` wants


def cut_documents(store: Store) -> set[Named]:
    """The documents that were cut: tenant, source, id."""
    found = set[Named]()
    for batch in store.scan(["tenant", "source", "document"], where=Compare("number", "=", 1), tenant=EVERYONE):
        found.update(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return found


def passage_of(row: Mapping[str, Any], several: AbstractSet[Named]) -> Document:
    """What the model reads of a row, as at ingest: a document that is in one piece keeps its id."""
    cut = (row["tenant"], row["source"], row["document"]) in several
    name = f"{row['document']}:{row['start']}-{row['end']}" if cut else row["document"]
    return Document(name, row["text"], row["title"], json.loads(row["metadata"]))


def passages(collection: Collection, limit: int, *, seed: int = 0, tenant: str | None = EVERYONE) -> list[tuple[str, Document]]:
    """At most `limit` passages by key, drawn by seed, in the order of their keys."""
    keys = [key for batch in collection.store.scan(["key"], tenant=tenant) for key in batch.column("key").to_pylist()]
    wanted = set(sample(sorted(keys), min(limit, len(keys)), seed))
    several = cut_documents(collection.store)
    found = {
        row["key"]: passage_of(row, several)
        for batch in collection.store.scan(ROW, tenant=tenant)
        for row in batch.to_pylist()
        if row["key"] in wanted
    }
    return sorted(found.items())


def batches_of(collection: Collection, document: str, *, tenant: str | None) -> list[dict[str, Any]]:
    """For each passage of a document and each space the batch that its vector is from. Raises UnknownName for none."""
    where = Compare("document", "=", document)
    rows = [
        row
        for batch in collection.store.scan(["key", "tenant", "source", "start", "end"], where=where, tenant=tenant)
        for row in batch.to_pylist()
    ]
    if not rows:
        raise UnknownName(f"there is no document {document!r} in {collection.name!r}", mend="check its id, and --tenant")
    found = lineage.last_of(lineage.read(collection.folder), [row["key"] for row in rows])
    return [
        {**row, "space": space, "batch": line.to_json()}
        for row in sorted(rows, key=lambda row: (row["tenant"], row["source"], row["start"]))
        for space, line in found.get(row["key"], {}).items()
    ]


def vectors_of(collection: Collection, number: int, keys: Sequence[str]) -> NDArray[np.float32]:
    """The stored vectors (n, dim) of a model's space, in the order of these keys. Raises ArtifactError where one is gone."""
    space, places = collection.spaces[number], {key: place for place, key in enumerate(keys)}
    found = np.full((len(keys), space.dim), np.nan, dtype=np.float32)
    for batch in collection.store.scan(["key"], tenant=EVERYONE, space=space):
        there = [(row, places[key]) for row, key in enumerate(batch.column("key").to_pylist()) if key in places]
        if there:
            values = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(-1, space.dim)
            rows, to = zip(*there, strict=True)
            found[list(to)] = values[list(rows)]
    if np.isnan(found).any():
        raise ArtifactError(f"rows of {collection.name!r} were removed meanwhile", mend="run the command again")
    return found


def drift(collection: Collection, number: int, *, limit: int = 64, seed: int = 0) -> float:
    """The lowest cosine between vectors that are stored and what the model makes of the same passages now; 1 for no rows."""
    some = passages(collection, limit, seed=seed)
    if not some:
        return 1.0
    stored = vectors_of(collection, number, [key for key, _ in some])
    return lowest_cosine(np.asarray(collection.encoder(number).encode_document([document for _, document in some])), stored)
