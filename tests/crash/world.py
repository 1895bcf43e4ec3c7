"""A collection whose every row is known, what is done to it, and the check of what is there afterwards.

Documents are made of a number and an edition, so that a process that was killed leaves nothing to guess: each document has the
edition that was acknowledged last, or, where the process died inside a write, the one that it was writing.
"""

from __future__ import annotations

import json
import random
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vicino import workbench
from vicino.data.filters import Compare
from vicino.data.records import Document
from vicino.errors import ArtifactCorrupt, ArtifactError
from vicino.retrieval import maintenance
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.stored import Stored
from vicino.store.changes import write_changes
from vicino.store.collection import Collection

NAME = "c"
TENANTS = ("ann", "bob")
NUMBERS = 24  # documents of a tenant
CUT = "paragraph"
KINDS = ("ingest", "update", "delete", "maintenance", "index", "migration")
RECIPE = "bm25+lsa(n_components=6,index=planned,worth=0)"
DIMENSIONS = (6, 5, 7)  # of the models that it migrates to, in turn

Editions = dict[str, int]  # "tenant/document" -> edition; a document that is not in it is not there
MODEL = "model"  # beside these: the dimension of the model that serves


def document(number: int, edition: int) -> Document:
    """One to three passages; a word of its own in each."""
    draw = random.Random(f"{number} {edition}")
    parts = [
        f"Own{number}x{edition}p{part} " + " ".join(f"word{draw.randrange(60)}" for _ in range(30))
        for part in range(1 + (number + edition) % 3)
    ]
    return Document(f"d{number}", "\n\n".join(parts), metadata={"edition": edition, "which": number})


def passages(number: int, edition: int) -> list[str]:
    return document(number, edition).text.split("\n\n")


# What is done ---------------------------------------------------------------------------------------------------------


@dataclass
class Work:
    """A process's view of the collection, and what it does there; `want` is what one act will have changed."""

    home: Path
    editions: Editions
    draw: random.Random
    turn: int = field(default=0)

    def open(self) -> Collection:
        return Collection.open(self.home, NAME)

    def acts(self, kind: str) -> Iterator[tuple[str, dict[str, int | None], Callable[[], object]]]:
        """Acts of a kind, again and again, with what makes room for them: its name, what it changes, and the act."""
        while True:
            self.turn += 1
            yield from getattr(self, f"_{kind}")()

    def _ingest(self) -> Iterator[Any]:
        """Documents that are not there; once all are, all go first."""
        tenant = self.draw.choice(TENANTS)
        absent = [n for n in range(NUMBERS) if f"{tenant}/d{n}" not in self.editions]
        if not absent:
            yield from self._delete_of(tenant, list(range(NUMBERS)))
            return
        yield self._write("ingest", tenant, self.draw.sample(absent, min(len(absent), self.draw.randint(1, 9))))

    def _update(self) -> Iterator[Any]:
        tenant = self.draw.choice(TENANTS)
        there = [n for n in range(NUMBERS) if f"{tenant}/d{n}" in self.editions]
        if not there:
            yield self._write("ingest", tenant, list(range(NUMBERS)))
            return
        yield self._write("update", tenant, self.draw.sample(there, min(len(there), self.draw.randint(1, 9))))

    def _delete(self) -> Iterator[Any]:
        tenant = self.draw.choice(TENANTS)
        there = [n for n in range(NUMBERS) if f"{tenant}/d{n}" in self.editions]
        if len(there) < 5:
            yield self._write("ingest", tenant, list(range(NUMBERS)))
            return
        yield from self._delete_of(tenant, self.draw.sample(there, self.draw.randint(1, 5)))

    def _maintenance(self) -> Iterator[Any]:
        yield from self._update()
        yield "maintenance", {}, lambda: maintenance.maintain(self.open(), keep_seconds=self.draw.choice([0, 0, 600]))

    def _index(self) -> Iterator[Any]:
        yield from self._update()
        tenant = self.draw.choice(TENANTS)
        if self.draw.random() < 0.5:
            yield "index", {}, lambda: Stored(self.open(), tenant=tenant).settle()
        else:
            families = self.draw.choice([["exact"], ["hnsw", "exact"]])
            yield "index", {}, lambda: workbench.index(NAME, recall=0.9, k=3, families=families, tenant=tenant)

    def _migration(self) -> Iterator[Any]:
        """To the next model; then back again, or the way back given up. What was begun and killed goes on."""
        yield from self._update()
        now = self.editions[MODEL]
        then = DIMENSIONS[(DIMENSIONS.index(now) + 1) % len(DIMENSIONS)]
        yield "migration", {MODEL: then}, lambda: workbench.migrate(NAME, f"lsa(n_components={then})", force=True, sample=20)
        yield from self._update()
        if self.draw.random() < 0.5:
            yield "migration", {MODEL: now}, lambda: workbench.roll_back(NAME)
        else:
            yield "migration", {}, lambda: workbench.finish_migration(NAME)

    def _write(self, kind: str, tenant: str, numbers: list[int]) -> tuple[str, dict[str, int | None], Callable[[], object]]:
        want: dict[str, int | None] = {f"{tenant}/d{n}": self.draw.randrange(1 << 30) for n in numbers}
        batch = self.draw.choice([4, 1024])  # several commits, or one

        def act() -> None:
            write_changes.__kwdefaults__["batch"] = batch
            made = [document(n, want[f"{tenant}/d{n}"] or 0) for n in numbers]
            ingest(self.home, NAME, Source("s", made, lacks=lambda _: False), tenant=tenant)

        return kind, want, act

    def _delete_of(self, tenant: str, numbers: list[int]) -> Iterator[Any]:
        names = [f"d{n}" for n in numbers]
        want = {f"{tenant}/{name}": None for name in names}
        yield "delete", want, lambda: maintenance.delete(self.open(), tenant=tenant, ids=names)


def prepare(home: Path) -> Editions:
    """The collection, with all its documents."""
    editions = {MODEL: DIMENSIONS[0]}
    for tenant in TENANTS:
        ingest(home, NAME, Source("s", [document(n, 0) for n in range(NUMBERS)]), recipe=RECIPE, cut=CUT, tenant=tenant)
        editions |= {f"{tenant}/d{n}": 0 for n in range(NUMBERS)}
    return editions


def perform(kind: str, home: Path, editions: Editions, seed: str, told: Callable[[dict[str, Any]], None]) -> None:
    """Do acts of a kind until killed; `told` hears of each before it begins, and after it was acknowledged."""
    work = Work(home, dict(editions), random.Random(seed))
    for name, want, act in work.acts(kind):
        told({"in": name, "want": want})
        act()
        told({"out": name})
        apply(work.editions, want)


def apply(editions: Editions, want: Mapping[str, int | None]) -> None:
    for name, edition in want.items():
        if edition is None:
            editions.pop(name, None)
        else:
            editions[name] = edition


# A crowd, and a full disk ---------------------------------------------------------------------------------------------


def write(home: Path, own: Editions, until: float, told: Callable[[dict[str, Any]], None]) -> None:
    """Give documents of one's own new editions, one after the other, and tell each that was acknowledged."""
    draw = random.Random(min(own))
    while time.monotonic() < until:
        tenant = draw.choice(TENANTS)
        names = draw.sample(sorted(name for name in own if name.startswith(f"{tenant}/")), draw.randint(1, 6))
        want = {name: own[name] + 1 for name in names}
        made = [document(int(name.split("/d")[1]), edition) for name, edition in want.items()]
        ingest(home, NAME, Source("s", made, lacks=lambda _: False), tenant=tenant)
        own |= want
        told({"wrote": want})


def read(home: Path, until: float, number: int, told: Callable[[dict[str, Any]], None]) -> None:
    """Read and search: every document is there, whole, and never of an older edition than before."""
    collection, rounds, seen = Collection.open(home, NAME), 0, Editions()
    searches = [Stored(collection, tenant=tenant) for tenant in TENANTS]
    draw = random.Random(number)
    while time.monotonic() < until:
        collection.store.refresh()
        there = {name: _edition(name, held) for name, held in _rows(collection).items()}
        if len(there) < len(TENANTS) * NUMBERS or any(there[name] < edition for name, edition in seen.items()):
            raise Wrong(f"a reader sees what it saw before no more: {seen}, {there}")
        seen = there
        n = draw.randrange(NUMBERS)
        for search in searches:
            found = search.find("edition word1", NUMBERS, where=Compare("which", "=", n))
            if [one.document for one in found] != [f"d{n}"]:
                raise Wrong(f"d{n} is not found: {found}")
        rounds += 1
    told({"rounds": rounds})


def keep_up(home: Path, until: float, told: Callable[[dict[str, Any]], None]) -> None:
    """Maintain all the time."""
    rounds = 0
    while time.monotonic() < until:
        maintain(home, keep_seconds=600.0)
        rounds += 1
    told({"rounds": rounds})


def maintain(home: Path, keep_seconds: float = 0.0) -> None:
    maintenance.maintain(Collection.open(home, NAME), keep_seconds=keep_seconds)


def refused(kind: str, home: Path, editions: Editions, seed: str, largest: int | None) -> dict[str, Any]:
    """Do an act of a kind: whether it was refused by name, and what it would have changed. Raises what is no named error.

    No file may grow beyond `largest` bytes, where given.
    """
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    work = Work(home, dict(editions), random.Random(seed))
    acts = work.acts(kind)
    if kind in ("maintenance", "index"):
        next(acts)  # what makes work for them
    name, want, act = next(acts)
    try:
        act()
    except ArtifactError as error:
        if isinstance(error, ArtifactCorrupt):
            raise
        return {"refused": True, "want": want, "error": str(error), "act": name}
    return {"refused": False, "want": want, "act": name}


# The check ------------------------------------------------------------------------------------------------------------


class Wrong(Exception):
    """What was acknowledged is not there, or what is there is torn."""


def check(home: Path, editions: Editions, want: Mapping[str, int | None], seed: str) -> Editions:
    """What is there now, which must be `editions`, or for each document of `want` that instead. Raises Wrong.

    Nothing is mended by hand before: the collection is opened as any process opens it.
    """
    collection = Collection.open(home, NAME)
    there = {MODEL: collection.encoder(0).dim}
    rows = _rows(collection)
    for name, held in rows.items():
        there[name] = _edition(name, held)
    for name in there.keys() | editions.keys():
        allowed = {editions.get(name), want.get(name, editions.get(name))}
        if there.get(name) not in allowed:
            raise Wrong(f"{name} has edition {there.get(name)}; may have {allowed}")
    _check_vectors(collection, rows)
    _check_search(collection, there, random.Random(seed))
    return there


def _rows(collection: Collection) -> dict[str, list[dict[str, Any]]]:
    """All rows with their vectors, by tenant and document, in order."""
    rows: dict[str, list[dict[str, Any]]] = {}
    columns = ["key", "tenant", "document", "number", "text", "revision", "metadata"]
    for batch in collection.store.scan(columns, tenant=None, space=collection.spaces[collection.stored[0]]):
        for row in batch.to_pylist():
            rows.setdefault(f"{row['tenant']}/{row['document']}", []).append(row)
    keys = [row["key"] for held in rows.values() for row in held]
    if len(set(keys)) < len(keys):
        raise Wrong("a key stands there twice")
    return {name: sorted(held, key=lambda row: row["number"]) for name, held in rows.items()}


def _edition(name: str, held: list[dict[str, Any]]) -> int:
    """The edition of a document, all of whose passages are there."""
    edition = json.loads(held[0]["metadata"])["edition"]
    if [row["text"] for row in held] != passages(int(name.split("/d")[1]), edition):
        raise Wrong(f"{name} is torn: {[row['text'][:20] for row in held]}, of edition {edition}")
    if len({row["revision"] for row in held}) > 1:
        raise Wrong(f"{name} has two revisions at once")
    return int(edition)


def _check_vectors(collection: Collection, rows: Mapping[str, list[dict[str, Any]]]) -> None:
    """Each row has the vector that the collection's model makes of it."""
    held = [row for part in rows.values() for row in part]
    if not held:
        return
    made = collection.encoder(collection.stored[0]).encode_document([Document(row["key"], row["text"]) for row in held])
    stored = np.array([row["vector"] for row in held], dtype=np.float32)
    apart = np.abs(made - stored).max(axis=1)
    if apart.max() > 1e-4:
        raise Wrong(f"{(apart > 1e-4).sum()} of {len(held)} rows have a vector that is not theirs, up to {apart.max():.3f} off")


def _check_search(collection: Collection, there: Editions, draw: random.Random) -> None:
    """Documents are found by a word of their own; what is gone is not; nobody finds another's."""
    for tenant in TENANTS:
        own = {name.split("/")[1]: edition for name, edition in there.items() if name.startswith(f"{tenant}/")}
        if not own:
            continue
        search = Stored(collection, tenant=tenant)
        if search.documents != own.keys():
            raise Wrong(f"{tenant} can search {sorted(search.documents ^ own.keys())} too, or not")
        for name in draw.sample(sorted(own), min(6, len(own))):
            text = passages(int(name[1:]), own[name])[-1]
            for where in (None, Compare("edition", "=", own[name])):
                best = search.find(text, 1, where=where)
                if not best or (best[0].document, best[0].text) != (name, text):
                    raise Wrong(f"{tenant} looks for {text[:20]!r} of {name} and finds {best[:1]}")
