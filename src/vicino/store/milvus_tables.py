"""How a store stands in Milvus: one table of rows, one of vectors for each space, one of commits, and what a version is there.

Milvus has no transactions. A writer claims the next number, writes what is `born` with it and marks what has `died` with it,
and then writes one row: the commit. Readers of version v see what is born at v or before and has not died by then. A number that
was claimed and never committed (its writer was killed) is void for ever: what is born with it is not seen, what died with it
lives. So nothing that comes late can tear a document. Upkeep takes what is void away.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vicino.errors import ArtifactError, InputTooLarge
from vicino.spaces import Space, fingerprint
from vicino.store.base import COLUMNS, Row
from vicino.store.milvus_server import ANSWER, Place
from vicino.store.server_state import State

__all__ = [
    "ALIVE",
    "PLAIN",
    "View",
    "bury",
    "claim",
    "commit",
    "document_of",
    "documents_of",
    "entries",
    "look",
    "make",
    "numbers",
    "of_keys",
    "put_commit",
    "require_short",
    "short",
    "values_of",
    "vector_entries",
    "vectors_of",
]

ALIVE: Final = 2**63 - 1  # when a row dies that is there
LONGEST: Final = 65_535  # bytes of a text in Milvus
PLAIN: Final = (*COLUMNS, "metadata")
METRICS: Final = {"cosine": "COSINE", "dot": "IP", "euclidean": "L2"}


@dataclass(frozen=True)
class View:
    """A version, and the numbers that are void in it."""

    state: State
    void: tuple[int, ...] = ()

    def condition(self, tenant: str | None = None) -> str:
        """What a row that is seen fulfils, in the server's words."""
        version = self.state.version
        seen = f"born <= {version} and died > {version}"
        if self.void:
            listed = list(self.void)
            seen = f"born <= {version} and not (born in {listed}) and (died > {version} or died in {listed})"
        return seen if tenant is None else f'{seen} and tenant_id == "{short(tenant)}"'


def short(*names: str) -> str:
    """Names as one of fixed length that needs no quoting anywhere."""
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:32]


def document_of(row: Row) -> str:
    """What stands for a document."""
    return short(row.tenant, row.source, row.document)


def vectors_of(space: Space) -> str:
    """The table of a space's vectors."""
    return f"v_{fingerprint(space.id)}"


# Tables ---------------------------------------------------------------------------------------------------------------


def make(place: Place, what: str, space: Space | None = None) -> None:
    """A table, empty; what a killed process left under this name goes."""
    from pymilvus import DataType

    client = place.client()
    with place.named():
        if client.has_collection(place.table(what), timeout=ANSWER):
            client.drop_collection(place.table(what), timeout=ANSWER)
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=128)
        if what == "commits":
            schema.add_field("version", DataType.INT64)
            schema.add_field("at", DataType.DOUBLE)
            schema.add_field("plain", DataType.VARCHAR, max_length=LONGEST)
        else:
            for name in ("born", "died"):
                schema.add_field(name, DataType.INT64)
            for name in ("tenant_id", "document_id", "key_id"):
                schema.add_field(name, DataType.VARCHAR, max_length=32)
        if what == "rows":
            for name in PLAIN:
                if COLUMNS.get(name) == "integer":
                    schema.add_field(name, DataType.INT64)
                else:
                    schema.add_field(name, DataType.VARCHAR, max_length=LONGEST)
        # Every table of Milvus has vectors; those of two numbers are there for that alone.
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=space.dim if space else 2)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type=METRICS[space.similarity] if space else "L2")
        client.create_collection(place.table(what), schema=schema, index_params=index, consistency_level="Strong", timeout=ANSWER)


def require_short(rows: Sequence[Row]) -> None:
    """Raise InputTooLarge for text that Milvus cannot keep."""
    for row in rows:
        for name, value in _plain(row).items():
            if isinstance(value, str) and len(value.encode()) > LONGEST:
                raise InputTooLarge(
                    f"the {name} of a passage of {row.document[:60]!r} has more than {LONGEST:,} bytes, which Milvus cannot keep",
                    mend="cut the documents into passages (--chunk passage), or keep them in another kind of store",
                )


def entries(rows: Sequence[Row], version: int) -> list[dict[str, Any]]:
    """Rows as the table of rows takes them."""
    return [{**_marks(row, version), **_plain(row), "vector": [0.0, 0.0]} for row in rows]


def _plain(row: Row) -> dict[str, Any]:
    plain = {name: getattr(row, name) for name in COLUMNS}
    return {**plain, "metadata": json.dumps(dict(row.metadata), ensure_ascii=False)}


def vector_entries(rows: Sequence[Row], vectors: NDArray[np.float32], version: int) -> list[dict[str, Any]]:
    """Vectors as the table of a space takes them."""
    return [{**_marks(row, version), "vector": vector} for row, vector in zip(rows, vectors, strict=True)]


def _marks(row: Row, version: int) -> dict[str, Any]:
    return {
        "id": f"{short(row.key)}-{version:x}",
        "born": version,
        "died": ALIVE,
        "tenant_id": short(row.tenant),
        "document_id": document_of(row),
        "key_id": short(row.key),
    }


# Versions -------------------------------------------------------------------------------------------------------------


def look(place: Place, version: int | None = None) -> View:
    """The latest version, or another. Raises ArtifactError where there is no store, or no such version any more."""
    committed, claimed = numbers(place)
    if not committed:
        raise ArtifactError(f"there is no store in {place}", mend="check the address and the name")
    number = max(committed) if version is None else version
    plain = [row["plain"] for row in place.pick("commits", [f"c{number:x}"], ["plain"])]
    if not plain:
        raise ArtifactError(
            f"version {number} of {place} was superseded long ago, and its rows were freed",
            mend="call refresh() to read the latest, or make a snapshot of a version that must stay",
        )
    void = tuple(sorted(each for each in claimed - committed if each < max(committed)))
    return View(State.from_json(number, plain[0], place), void)


def numbers(place: Place) -> tuple[set[int], set[int]]:
    """The numbers that were committed, and those that were claimed and are not known to be."""
    found: dict[str, set[int]] = {"c": set(), "x": set()}
    for page in place.read("commits", "version >= 0", ["id", "version"]):
        for row in page:
            found[row["id"][0]].add(row["version"])
    return found["c"], found["x"]


def claim(place: Place) -> int:
    """A number that nobody ever had. The caller holds the turn of the writers."""
    number = 1 + max(set.union(*numbers(place)), default=0)
    put_commit(place, f"x{number:x}", number)
    return number


def commit(place: Place, state: State) -> None:
    """From now on there is this version. Raises InputTooLarge, and ArtifactError where somebody on another machine writes too."""
    plain = state.to_json()
    if len(plain.encode()) > LONGEST:
        raise InputTooLarge("the metadata has more names over all rows than Milvus can keep", mend="put some under one name")
    if max(set.union(*numbers(place)), default=0) > state.version:
        raise ArtifactError(
            f"another machine writes to {place} at the same time", mend="let one machine write at a time, and run this again"
        )
    put_commit(place, f"c{state.version:x}", state.version, plain)
    place.remove("commits", [f"x{state.version:x}"])


def put_commit(place: Place, name: str, version: int, plain: str = "") -> None:
    """One row of the table of commits, which is there at once or not at all."""
    place.put("commits", [{"id": name, "version": version, "at": time.time(), "plain": plain, "vector": [0.0, 0.0]}])


def documents_of(place: Place, view: View, documents: Iterable[str]) -> Iterator[str]:
    """The ids of the rows of some documents."""
    names = sorted(set(documents))
    for begin in range(0, len(names), 500):
        listed = ", ".join(f'"{name}"' for name in names[begin : begin + 500])
        for page in place.read("rows", f"{view.condition()} and document_id in [{listed}]", ["id"]):
            yield from (row["id"] for row in page)


def of_keys(place: Place, view: View, keys: Sequence[str], fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows that are seen of some keys."""
    for begin in range(0, len(keys), 500):
        listed = ", ".join(f'"{short(key)}"' for key in keys[begin : begin + 500])
        for page in place.read("rows", f"{view.condition()} and key_id in [{listed}]", fields):
            yield from page


def values_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a filter can ask of a row as it came."""
    own = {name: row[name] for name in COLUMNS if name in row}
    return {**json.loads(row["metadata"]), **own} if "metadata" in row else own


def bury(place: Place, tables: Sequence[str], ids: Sequence[str], died: int) -> None:
    """Mark rows as dead from a version on, or alive again (`ALIVE`), in all of these tables; the rest of them stays."""
    for what in tables:
        for begin in range(0, len(ids), 500):
            part = list(place.pick(what, ids[begin : begin + 500], ["*"]))
            place.put(what, [{**row, "died": died} for row in part])
