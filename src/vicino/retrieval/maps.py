"""Maps of a collection: its passages in two dimensions, one map for each tenant, space and method.

The rows of a map are keys in ascending order, and keys are digests: so the first n are a fair sample, the same on the maps of all
spaces, and a map of fewer points begins as one of more. PCA takes a second, t-SNE minutes; both are kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.filters import Compare
from vicino.errors import ArtifactError, EmptyInput, InputError, UnknownName
from vicino.learning.projection import K, can_tsne, directions, neighbours_kept, tsne
from vicino.retrieval.scoring import Scoring, score_all, score_by_vector
from vicino.retrieval.stored import Stored
from vicino.spaces import Space
from vicino.store.base import COLUMNS, Store
from vicino.store.collection import Collection
from vicino.store.tenants import kept_of
from vicino.vectors import normalise

__all__ = [
    "LARGEST",
    "METHODS",
    "NONE",
    "SEED",
    "Chart",
    "Column",
    "Near",
    "columns_of",
    "draw",
    "is_kept",
    "kept_map",
    "measured",
    "methods_there",
    "near",
    "number_of",
    "require_method",
]

log = logging.getLogger(__name__)

METHODS: Final = ("pca", "tsne")
LARGEST: Final = {"pca": 1_000_000, "tsne": 50_000}  # points: beyond, the first ones stand for all
NONE: Final = 65_535  # the code of a passage without a value
SEED: Final = 0

_VALUES = 1000  # distinct ones of a field that have a code; rarer ones have none
_FEWEST = 5  # points of which t-SNE says more than nothing
_LEARNT = 10_000  # passages that say in which directions all differ
_CELLS = 5e9  # numbers that are compared to count the neighbours that were kept
_SAMPLES = 50, 1000  # points for which they are counted
_LOCK = ".maps.lock"

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Column:
    """A field of the passages of a chart: `codes` (n,) uint16 into `values`, or where there are no values numbers, float32."""

    name: str
    kind: str
    values: list[str] | None
    codes: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Chart:
    """`coordinates` (n, 2) of the passages `keys`, of `of` in all.

    `kept` is the share of neighbours that are near here too; None where that was not measured.
    `columns` are the fields that the passages can be coloured by; `version` is that of the rows it was made of.
    """

    space: str
    method: str
    keys: list[str]
    coordinates: Float32
    of: int
    kept: float | None
    version: int
    columns: Mapping[str, Column]

    @property
    def by_chance(self) -> float:
        """The share that points thrown anywhere would keep."""
        n = len(self.keys)
        return min(K, max(1, n - 2)) / max(1, n - 1)


@dataclass(frozen=True)
class Near:
    """The rows nearest to something by the vectors themselves, best first; `share_kept` of them are among the nearest drawn."""

    rows: list[int]
    scores: list[float]
    share_kept: float | None = field(default=None)


def number_of(collection: Collection, space: str | None) -> int:
    """Which model's space is meant, by the name of its encoder or its id; by default the first.

    Raises UnknownName, and InputError for a collection without dense vectors.
    """
    if not collection.stored:
        mend = "make one with an encoder: vicino ingest PATH --collection NAME --recipe bm25+minilm"
        raise InputError(f"{collection.name!r} has no dense vectors to draw", mend=mend)
    if space is None:
        return collection.stored[0]
    names = {number: str(collection.models[number]["name"]) for number in collection.stored}
    found = [number for number, name in names.items() if space in (name, collection.spaces[number].id)]
    if not found:
        raise UnknownName.among(space, list(names.values()), kind="space")
    return found[0]


def methods_there() -> list[str]:
    """What can be drawn here."""
    return [method for method in METHODS if method != "tsne" or can_tsne()]


def draw(collection: Collection, tenant: str, number: int, method: str) -> Chart:
    """Make a map of what is stored now, and keep it on disk. How many neighbours it keeps is for `measured` to say.

    Raises UnknownName for another method, EmptyInput where nothing is stored, MissingExtra for t-SNE that is not installed.
    """
    require_method(method)
    space, store = collection.spaces[number], collection.store
    keys = _keys(store, tenant)
    if not keys:
        raise EmptyInput(f"{collection.name!r} holds nothing to draw", mend="ingest some documents first")
    of, keys = len(keys), keys[: LARGEST[method]]
    with ThreadPoolExecutor(1, "columns") as beside:  # fields are Python's work, vectors are not
        columns = beside.submit(columns_of, collection, tenant, keys)
        if method == "tsne" and len(keys) >= _FEWEST:
            flat = tsne(_vectors(store, tenant, space, keys), seed=SEED)
        else:
            flat = _laid(store, tenant, space, keys)
    chart = Chart(space.id, method, keys, flat, of, None, store.version, columns.result())
    _try_to_keep(collection, tenant, chart)
    return chart


def measured(collection: Collection, tenant: str, number: int, chart: Chart) -> Chart:
    """A map with the share of neighbours that it keeps, counted exactly for some points; it is kept on disk so.

    None is counted where passages are gone since it was drawn.
    """
    rows = _vectors(collection.store, tenant, collection.spaces[number], chart.keys)
    if not rows.any(axis=1).all() and collection.store.version != chart.version:
        return chart
    sample = int(np.clip(_CELLS / rows.size, *_SAMPLES))
    chart = replace(chart, kept=neighbours_kept(rows, chart.coordinates, sample=sample, seed=SEED))
    _try_to_keep(collection, tenant, chart)
    return chart


def _keys(store: Store, tenant: str) -> list[str]:
    """All, in order."""
    return sorted(key for batch in store.scan(["key"], tenant=tenant) for key in batch.column("key").to_pylist())


def _laid(store: Store, tenant: str, space: Space, keys: Sequence[str]) -> Float32:
    """The PCA (n, 2), its directions learnt from the first vectors; of all others no more than a batch is held."""
    from threadpoolctl import threadpool_limits

    flat = np.zeros((len(keys), 2), dtype=np.float32)
    with threadpool_limits(1, user_api="blas"):  # it is little work, and BLAS's threads would wait for those of a busy server
        mean, axes = directions(_vectors(store, tenant, space, keys[:_LEARNT]))
        for rows, vectors in _batches(store, tenant, space, keys):
            flat[rows] = vectors @ axes - mean @ axes
    return flat


def _vectors(store: Store, tenant: str, space: Space, keys: Sequence[str]) -> Float32:
    """(n, dim) in the order of the keys, which are the first of all, of length 1 where angles count; zeros of what is gone."""
    found = np.zeros((len(keys), space.dim), dtype=np.float32)
    for rows, vectors in _batches(store, tenant, space, keys):
        found[rows] = vectors
    return found


def _batches(store: Store, tenant: str, space: Space, keys: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], Float32]]:
    """The vectors of `_vectors`, as they come, and which keys they are of."""
    place = {key: row for row, key in enumerate(keys)}
    for batch in store.scan(["key"], where=Compare("key", "<=", keys[-1]), tenant=tenant, space=space):
        rows = np.array([place.get(key, -1) for key in batch.column("key").to_pylist()], dtype=np.int64)
        vectors = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(-1, space.dim)
        known = rows >= 0
        if not known.all():
            rows, vectors = rows[known], vectors[known]
        yield rows, vectors if space.similarity == "euclidean" else normalise(vectors)


def is_kept(collection: Collection, tenant: str, number: int, method: str) -> bool:
    """Whether `kept_map` may have one."""
    return _place(collection, tenant, collection.spaces[number].id, method).is_dir()


def kept_map(collection: Collection, tenant: str, number: int, method: str) -> Chart | None:
    """The map that was kept, perhaps of older rows; None for none."""
    require_method(method)
    space = collection.spaces[number].id
    folder = _place(collection, tenant, space, method)
    if not folder.is_dir():
        return None
    try:
        saved = artifacts.read(folder, kind="map")
        data, arrays = saved.data, saved.arrays
        where, keys = np.asarray(arrays["coordinates"], dtype=np.float32), list(arrays["keys"])
        columns = {name: Column(name, kind, values, arrays[f"codes-{name}"]) for name, kind, values in data["columns"]}
        if where.shape != (len(keys), 2) or any(len(each.codes) != len(keys) for each in columns.values()):
            return None
        if data["version"] != collection.store.version:  # what was taken out since is not told
            columns = columns_of(collection, tenant, keys)
        return Chart(space, method, keys, where, data["of"], data["kept"], data["version"], columns)
    except (ArtifactError, KeyError, TypeError, ValueError):
        return None  # it can be made again


def columns_of(collection: Collection, tenant: str, keys: Sequence[str]) -> dict[str, Column]:
    """The fields that these passages can be coloured by: their source, and what their metadata holds."""
    place = {key: row for row, key in enumerate(keys)}
    kinds = {name: kind for name, kind in collection.store.columns.items() if name not in COLUMNS}
    held: dict[str, list[Any]] = {name: [None] * len(keys) for name in ("source", *kinds)}
    for batch in collection.store.scan(["key", "source", "metadata"], tenant=tenant):
        names, sources, plain = (column.to_pylist() for column in batch.columns)
        metadata = json.loads(f"[{','.join(plain)}]")  # at once is five times as fast as one by one
        for key, source, values in zip(names, sources, metadata, strict=True):
            row = place.get(key)
            if row is None:
                continue
            held["source"][row] = source
            for name in kinds.keys() & values.keys():
                held[name][row] = values[name]
    made = (_column(name, kinds.get(name, "text"), values) for name, values in held.items())
    return {column.name: column for column in made if column is not None}


def near(stored: Stored, chart: Chart, *, k: int, query: str | None = None, row: int | None = None) -> Near:
    """The k rows of a chart nearest to a text, or to one of them, compared exactly by their vectors.

    Raises InputError unless it is one of the two, and for a row that is not on the chart, UnknownName where its passage is gone.
    """
    if (query is None) == (row is None):
        raise InputError("neighbours of what?", mend="give a query, or a row of the map")
    part = next((part for part in stored.dense if part.space_.id == chart.space), None)
    if part is None:
        raise UnknownName("the space of this map is not searched any more", mend="draw the map again")
    census = stored.census(part)
    if row is None:
        scores = _by_key(chart, score_all(part, query or "", census))
        rows = _best(scores, k)
        return Near(rows.tolist(), scores[rows].tolist())
    if not 0 <= row < len(chart.keys):
        raise InputError(f"the map has no row {row:,}", mend=f"give 0 to {len(chart.keys) - 1:,}")
    vector = stored.passages.vectors({chart.keys[row]}, part.space_)[1]
    if not len(vector):
        raise UnknownName(f"the passage of row {row:,} is gone", mend="draw the map again")
    scores = _by_key(chart, score_by_vector(part, vector, census))
    scores[row] = -np.inf
    rows = _best(scores, k)
    away = ((chart.coordinates - chart.coordinates[row]) ** 2).sum(axis=1)
    away[row] = np.inf
    shown = _best(-away, len(rows))
    share = len(set(rows.tolist()) & set(shown.tolist())) / len(rows) if len(rows) else None
    return Near(rows.tolist(), scores[rows].tolist(), share)


# How ------------------------------------------------------------------------------------------------------------------


def require_method(method: str) -> None:
    """Raise UnknownName for a method that is none."""
    if method not in METHODS:
        raise UnknownName.among(method, METHODS, kind="method")


def _place(collection: Collection, tenant: str, space: str, method: str) -> Path:
    """Beside the kept indexes, under a name by which upkeep finds what belongs to a tenant who left."""
    name = hashlib.sha256(f"{space} {method}".encode()).hexdigest()[:16]
    return collection.folder / "kept-maps" / kept_of(collection, tenant).name / name


def _try_to_keep(collection: Collection, tenant: str, chart: Chart) -> None:
    try:
        _keep(collection, tenant, chart)
    except (ArtifactError, OSError) as error:
        log.warning("a map of %s is not kept, and will be drawn again: %s", collection.name, error)


def _keep(collection: Collection, tenant: str, chart: Chart) -> None:
    folder = _place(collection, tenant, chart.space, chart.method)
    columns = [[each.name, each.kind, each.values] for each in chart.columns.values()]
    data = {"of": chart.of, "kept": chart.kept, "version": chart.version, "columns": columns}
    arrays = {f"codes-{each.name}": each.codes for each in chart.columns.values()}
    with artifacts.locked(collection.folder / _LOCK):
        artifacts.write(folder, kind="map", data=data, arrays={"keys": chart.keys, "coordinates": chart.coordinates, **arrays})


def _column(name: str, kind: str, values: list[Any]) -> Column | None:
    """Numbers as they are, the rest as codes; None for what no passage has."""
    if all(value is None for value in values):
        return None
    if kind in ("integer", "number"):
        numbers = [value if isinstance(value, int | float) and not isinstance(value, bool) else np.nan for value in values]
        return Column(name, kind, None, np.array(numbers, dtype=np.float32))
    words = values if kind == "text" else [None if value is None else _word(value) for value in values]
    counted = Counter(words)
    del counted[None]
    common = [word for word, _ in counted.most_common(_VALUES)]
    number: Mapping[str | None, int] = {word: code for code, word in enumerate(common)}
    codes = np.array([number.get(word, NONE) for word in words], dtype=np.uint16)
    return Column(name, kind, common, codes)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _by_key(chart: Chart, scoring: Scoring) -> Float32:
    """The score of each row of a chart; -inf where the passage is gone."""
    place, scores = scoring.census.row, scoring.scores
    rows = np.array([place.get(key, -1) for key in chart.keys], dtype=np.int64)
    return np.where(rows < 0, np.float32(-np.inf), scores[rows]).astype(np.float32)


def _best(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    """The places of the k highest, best first, ties to the earlier; those of -inf are none."""
    order: NDArray[np.int64] = np.argsort(-scores, kind="stable")[:k]
    found: NDArray[np.int64] = order[np.isfinite(scores[order])]
    return found
