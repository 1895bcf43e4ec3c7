"""Search in a collection: its recipe, over the passages of one tenant, kept in line with the store.

Each tenant has indexes of its own, so that not even the weight of a word tells one what another keeps. Passages are ranked; a
document is as good as its best passage.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data import filters
from vicino.data.filters import Filter, In
from vicino.data.records import Hits, Query
from vicino.errors import ArtifactError
from vicino.indexes.planned import Planned
from vicino.retrieval import Retriever, chosen, from_recipe
from vicino.retrieval.base import Passages
from vicino.retrieval.dense import Dense
from vicino.retrieval.reranked import Reranked
from vicino.retrieval.scoring import Census
from vicino.retrieval.stored_passages import StoredPassages
from vicino.spaces import Space
from vicino.store.collection import Collection
from vicino.store.tenants import kept_of, matching, require_tenant

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LOCK", "Answers", "Found", "Ranked", "Stored", "asked_for", "leaves"]

log = logging.getLogger(__name__)

_KEPT_AT = 0.02  # the share of passages that must have changed for indexes to be kept anew
LOCK = ".kept.lock"  # of the collection's folder: who holds it writes or reads kept indexes
_FILTERS = 32  # whose answers are remembered


@dataclass(frozen=True)
class Found:
    """One answer: a document, and its best passage: `text == document text[start:end]`, in characters."""

    document: str
    source: str
    score: float
    start: int
    end: int
    title: str
    text: str
    metadata: Mapping[str, Any]
    why: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Answers(list[Found]):
    """What was found, best first. `complete` and `how` are those of `Hits`: whether all was looked at, and what was done."""

    def __init__(self, found: Iterable[Found], hits: Hits) -> None:
        super().__init__(found)
        self.complete, self.how = hits.complete, hits.how


def leaves(retriever: Retriever) -> Iterator[Retriever]:
    """The retrievers that are not made of others, in the recipe's order."""
    parts: Sequence[Retriever] = getattr(retriever, "parts", ())
    if not parts:
        yield retriever
    for part in parts:
        yield from leaves(part)


def asked_for(retriever: Retriever) -> int:
    """How many answers a retriever asks its indexes for, at least 10."""
    return max([10, *_depths(retriever)])


def _depths(retriever: Retriever) -> Iterator[int]:
    if not isinstance(retriever, Dense):
        yield getattr(retriever, "depth", 10)
    for part in getattr(retriever, "parts", ()):
        yield from _depths(part)


class Stored:
    """A collection that answers. Opening costs nothing; the first search reads the collection, later ones only what changed.

    With `rerank`, what `open_reranker` takes, the first `depth` passages that its recipe finds are ordered anew by it:
    nothing is indexed for it.
    """

    def __init__(
        self, collection: Collection, *, tenant: str = "", rerank: str | PathLike[str] | None = None, depth: int = 100
    ) -> None:
        self.collection, self.tenant = collection, tenant
        self.rerank, self.depth = rerank, depth
        self._forget()

    def _forget(self) -> None:
        """Know nothing of the collection, as at first."""
        self.retriever = self._unbuilt()
        self._places: dict[str, tuple[str, str]] = {}  # key -> (source, document)
        self._keys: pa.StringArray | None = None
        self._allowed: dict[str, frozenset[str]] = {}
        self._censuses: dict[int, Census] = {}
        self._version = -1
        self._note, self._chosen = self.collection.note, chosen.stamp(self.collection)
        self._unkept = 0  # passages that came and went since the indexes were kept
        self._kept_at = -1  # the version of which this process kept them

    def _unbuilt(self, *, rerank: bool = True) -> Retriever:
        own = from_recipe(self.collection.recipe)
        return own if self.rerank is None or not rerank else Reranked(parts=[own], reranker=str(self.rerank), depth=self.depth)

    def refresh(self) -> bool:
        """See what any process wrote; True where something changed. Searching does it by itself.

        A collection that moved to another model, or another index, is begun anew.
        """
        self.collection.refresh()
        if (self.collection.note, chosen.stamp(self.collection)) != (self._note, self._chosen):
            self._forget()
        if self._version == self.collection.store.version:
            return False
        try:
            self._catch_up()
        except BaseException:  # half a change would never be noticed again
            self._forget()
            raise
        return True

    def _catch_up(self) -> None:
        store = self.collection.store
        removed, added = self._difference()
        passages = StoredPassages(store, self.tenant)
        self._places.update(passages.places(added))
        for key in removed:
            del self._places[key]
        if self._version < 0:
            self._lend_models()
            self._resume()
            self._unkept = self.retriever.follow(self._places.keys(), passages)
        else:
            before = [leaf.index_ for leaf in self.dense]
            self.retriever.change(removed, added, passages)
            renewed = any(leaf.index_ is not index for leaf, index in zip(self.dense, before, strict=True))
            self._unkept += len(self._places) if renewed else len(removed) + len(added)
        self._version = store.version
        self._allowed.clear()
        if self._unkept > _KEPT_AT * len(self._places):
            self.keep()

    def settle(self) -> bool:
        """Keep indexes of exactly what is stored now, for the next process; True where those that were kept were of other rows.

        An index beside which more newer rows stand than it is worth is built again.
        """
        self.refresh()
        for leaf in self.dense:
            if isinstance(leaf.index_, Planned) and leaf.index_.due:
                leaf.renew(StoredPassages(self.collection.store, self.tenant))
                self._unkept += 1
        if self._unkept:
            self.keep()
        return self._kept_at == self._version

    def _difference(self) -> tuple[set[str], set[str]]:
        """The keys that went and came since the version that was seen last."""
        import pyarrow as pa
        import pyarrow.compute as pc

        before = self._keys if self._keys is not None else pa.array([], pa.string())
        columns = [batch.column("key") for batch in self.collection.store.scan(["key"], tenant=self.tenant)]
        self._keys = pa.concat_arrays(columns) if columns else pa.array([], pa.string())
        gone = before.filter(pc.invert(pc.is_in(before, value_set=self._keys)))
        new = self._keys.filter(pc.invert(pc.is_in(self._keys, value_set=before)))
        return set(gone.to_pylist()), set(new.to_pylist())

    def search(
        self,
        queries: str | Query | Iterable[str | Query],
        k: int = 10,
        *,
        where: str | Filter | None = None,
        explain: bool = False,
    ) -> Hits:
        """The k best documents of each query; with `explain`, `why` is about the best passage of each.

        Raises InputError or UnknownName for a filter that cannot be, and what a `Retriever` raises.
        """
        listed = [queries] if isinstance(queries, str | Query) else list(queries)
        answers, hits = self._rank(listed, k, where=where, explain=explain)
        width = max(map(len, answers), default=0)
        ids = np.full((len(listed), width), None, dtype=object)
        scores = np.full((len(listed), width), -np.inf, dtype=np.float32)
        for row, answer in enumerate(answers):
            ids[row, : len(answer)] = [self._places[one.key][1] for one in answer]
            scores[row, : len(answer)] = [one.score for one in answer]
        why = [[one.why or {} for one in answer] for answer in answers] if explain else None
        return Hits(ids, scores, hits.complete, why, hits.how)

    @property
    def empty(self) -> bool:
        """Whether the tenant has nothing here, as of the last refresh."""
        return not self._places

    @property
    def documents(self) -> set[str]:
        """The ids of all documents."""
        self.refresh()
        return {document for _, document in self._places.values()}

    def find(
        self,
        query: str,
        k: int = 10,
        *,
        where: str | Filter | None = None,
        explain: bool = False,
        documents: bool = True,
    ) -> Answers:
        """The k best documents of one query, each with its best passage; or, without `documents`, the k best passages."""
        (answer,), hits = self._rank([query], k, where=where, explain=explain, documents=documents)
        rows = self.rows([one.key for one in answer])
        found = [
            Found(score=one.score, why=one.why, metadata=json.loads(rows[one.key].pop("metadata")), **rows[one.key])
            for one in answer
            if one.key in rows
        ]
        return Answers(found, hits)

    def rank(self, query: str, k: int, *, by: Retriever, where: str | Filter | None = None) -> tuple[list[Ranked], Hits]:
        """The best passage of each of the k best documents, and all passages that were found; `by` holds what `retriever` holds,
        and is made of its parts. As of the last refresh. Raises as `search`.
        """
        answers, hits = self._rank([query], k, where=where, by=by)
        return answers[0], hits

    def _rank(
        self,
        queries: list[str | Query],
        k: int,
        *,
        where: str | Filter | None,
        explain: bool = False,
        documents: bool = True,
        by: Retriever | None = None,
    ) -> tuple[list[list[Ranked]], Hits]:
        """The best passage of each of the k best documents of each query (or the k best passages), and the hits they are from."""
        if by is None:
            self.refresh()
        retriever = self.retriever if by is None else by
        if not self._places:
            require_tenant(self.collection, self.tenant)
        allow = self.allowed(where)
        depth = max(k, getattr(retriever, "depth", k))  # a document may have several of these passages
        while True:
            hits = retriever.search(queries, depth, explain=explain, allow=allow)
            answers = [self._first(hits, row, k, documents) for row in range(len(hits))]
            if all(len(answer) == k or len(hits.top(row)) < depth for row, answer in enumerate(answers)):
                return answers, hits
            depth *= 4

    def _first(self, hits: Hits, row: int, k: int, documents: bool) -> list[Ranked]:
        """The first passage of each document, or each passage, in the order of the ranking."""
        seen: dict[object, Ranked] = {}
        for rank, (key, score) in enumerate(hits.top(row)):
            name = self._places[key] if documents else key
            if name not in seen:
                seen[name] = Ranked(key, score, hits.why[row][rank] if hits.why else None)
            if len(seen) == k:
                break
        return list(seen.values())

    def allowed(self, where: str | Filter | None) -> frozenset[str] | None:
        """The keys that a filter leaves, read from the store once for each version."""
        if where is None:
            return None
        wanted = filters.parse(where) if isinstance(where, str) else where
        name = str(wanted)
        if name not in self._allowed:
            if len(self._allowed) >= _FILTERS:
                self._allowed.pop(next(iter(self._allowed)))
            batches = matching(self.collection.store, ["key"], wanted, self.tenant)
            self._allowed[name] = frozenset(key for batch in batches for key in batch.column("key").to_pylist())
        return self._allowed[name]

    def document_of(self, key: str) -> tuple[str, str]:
        """The source and the id of the document that a passage is of."""
        return self._places[key]

    def census(self, leaf: Retriever) -> Census:
        """Which passage, and which document, stands in each row of a part; counted anew when its rows are others."""
        ids, known = leaf._require_built(), self._censuses.get(id(leaf))
        if known is None or known.ids is not ids:
            known = self._censuses[id(leaf)] = Census.of(ids, self.document_of)
        return known

    @property
    def passages(self) -> Passages:
        """The store, as a retriever sees it that follows it."""
        return StoredPassages(self.collection.store, self.tenant)

    def rows(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What the store holds of these passages, by key."""
        if not keys:
            return {}
        columns = ["key", "document", "source", "start", "end", "title", "text", "metadata"]
        batches = self.collection.store.scan(columns, where=In("key", tuple(keys)), tenant=self.tenant)
        return {row.pop("key"): row for batch in batches for row in batch.to_pylist()}

    # Keeping up -----------------------------------------------------------------------------------------------------

    def _lend_models(self) -> None:
        """Give each encoder of the recipe the collection's own; vectors that are kept are indexed without opening any."""
        plans = chosen.read(self.collection)
        depth = asked_for(self._unbuilt(rerank=False))  # whether it is reranked or not, the same indexes are found again
        for number, leaf in enumerate(self.dense):
            leaf.space_ = self.collection.spaces[number]
            if self.collection.models[number]["sparse"]:
                leaf.encoder_ = self.collection.encoder(number)
            else:
                leaf.opens_ = partial(self.collection.encoder, number)
            known = plans.get(chosen.named(leaf.space_, leaf.index))
            if known is not None:
                leaf.plan_, leaf.asked_ = known.plan, known.queries
            else:
                leaf.plan_ = leaf.own_plan(depth)

    @property
    def dense(self) -> list[Dense]:
        """The parts that search by vectors, in the order of the collection's spaces."""
        return [leaf for leaf in leaves(self.retriever) if isinstance(leaf, Dense)]

    def vectors(self, space: Space) -> tuple[list[str], NDArray[np.float32]]:
        """The keys of all passages and their vectors (n, dim), as of the last refresh."""
        return StoredPassages(self.collection.store, self.tenant).vectors(self._places.keys(), space)

    def _resume(self) -> None:
        if not self._kept.is_dir():
            return
        try:
            with artifacts.locked(self.collection.folder / LOCK):
                self.retriever.resume(self._kept)
        except (ArtifactError, OSError) as error:
            log.warning("indexing again what was lost: %s", error)
            self.retriever = self._unbuilt()
            self._lend_models()

    def keep(self) -> None:
        """So that the next process need not index again; a folder that cannot be written costs only time."""
        try:
            with artifacts.locked(self.collection.folder / LOCK):
                if self._kept.is_dir():
                    chosen.clear_damaged(self._kept)
                self.retriever.keep(self._kept)
        except (ArtifactError, OSError) as error:
            log.warning("the next process will index again: %s", error)
        else:
            self._unkept, self._kept_at = 0, self._version

    @property
    def _kept(self) -> Path:
        return kept_of(self.collection, self.tenant)


class Ranked(NamedTuple):
    """A document's best passage in a ranking."""

    key: str
    score: float
    why: Mapping[str, Any] | None
