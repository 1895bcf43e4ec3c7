"""What a collection holds, looked at: texts that repeat, documents that changed since, vectors of another kind than they were.

Everything is counted where counting is one pass; what looks at pairs or models looks at a sample. Nothing is changed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.catalog import call
from vicino.data.kinds import kind_of
from vicino.data.records import Document
from vicino.data.splits import sample
from vicino.encoders import Encoder
from vicino.errors import EmptyInput, VicinoError
from vicino.evaluation import symptoms
from vicino.evaluation.cures import Cure, Target, try_cures
from vicino.evaluation.doctor import Finding
from vicino.evaluation.symptoms import Mends, finding
from vicino.evaluation.tasks import synthetic
from vicino.retrieval import from_recipe
from vicino.retrieval.cut import Pieces
from vicino.retrieval.dense import Dense
from vicino.retrieval.migrate import called, command
from vicino.retrieval.passages import passages, vectors_of
from vicino.retrieval.stored import leaves
from vicino.spaces import lowest_cosine
from vicino.store import judgments, lineage
from vicino.store.base import EVERYONE
from vicino.store.changes import read_changes, revisions
from vicino.store.collection import Collection
from vicino.store.lineage import Line
from vicino.vectors import similarity

__all__ = ["cures_of", "domain_of", "mends_of", "repeated", "scores_of", "stale", "vectors_looked_at"]

SAMPLE = 5_000  # passages whose vectors are looked at
TEXTS = 50_000  # passages whose texts are compared
AGAIN = 256  # passages that are embedded again
COPY = 2_000  # passages on which cures are tried
QUERIES = 500  # known items that are asked there
ALIKE = 0.99  # cosine of a model's vectors then and now
TWICE = 0.02  # of the documents are another's text
_JUDGED = 100  # pairs that people judged, under which their scores tell nothing
_ENOUGH = 20  # vectors on each side of a shift
_PAUSE = 3600.0  # seconds without a batch, after which another ingest began

Vectors = NDArray[np.float32]


def mends_of(collection: Collection, number: int) -> Mends:
    """What to type about one model of a collection."""
    name = collection.name
    return Mends(
        cure=f"vicino doctor {name} --fix, which names the command that applies the best",
        model=command(collection, number, "--to ENCODER"),
        cut=f"vicino ingest PATH --collection {name}-2 --chunk passage",
        choose=f"compare models on what is there now (vicino compare PATH), then {command(collection, number, '--to ENCODER')}",
        metric=f"make it again (vicino ingest PATH --collection {name}-2 --recipe ENCODER), to be searched by",
    )


# Texts ----------------------------------------------------------------------------------------------------------------


def repeated(collection: Collection) -> Iterator[Finding]:
    """Passages of several documents of one tenant that say the same, and that nearly do."""
    mend = f"vicino delete {collection.name} --ids ID, for one of each; and remove them where they come from"
    texts, documents = list[int](), list[int]()
    for batch in collection.store.scan(["tenant", "source", "document", "digest"], tenant=EVERYONE):
        tenants, sources, names, digests = (column.to_pylist() for column in batch.columns)
        texts += map(hash, zip(tenants, digests, strict=True))
        documents += map(hash, zip(tenants, sources, names, strict=True))
    pairs = np.unique(np.array([texts, documents], np.int64), axis=1)  # a text that one document repeats counts once
    twice = pairs.shape[1] - len(np.unique(pairs[0]))
    yield finding(
        "same texts",
        twice <= TWICE * pairs.shape[1],
        f"{twice:,} of {pairs.shape[1]:,} passages are word by word in another document",
        f"up to {TWICE:.0%}",
        "the same documents from two places, or a heading or footer that was cut off as a passage",
        mend,
    )
    if kind_of(collection.accepts).name == "texts":
        yield _nearly_repeated(collection, len(texts), mend)


def _nearly_repeated(collection: Collection, rows: int, mend: str) -> Finding:
    """Of many passages those are compared whose least hash of three words falls into one class: near ones fall together."""
    classes, seen = -(-rows // TEXTS), set[tuple[str, str]]()
    texts, documents, tenants = list[str](), list[object](), list[str]()
    for batch in collection.store.scan(["tenant", "source", "document", "digest", "title", "text"], tenant=EVERYONE):
        for tenant, source, name, digest, title, text in zip(*(one.to_pylist() for one in batch.columns), strict=True):
            content = Document(name, text, title).content
            if (tenant, digest) not in seen and (classes < 2 or _least(content) % classes == 0):
                seen.add((tenant, digest))  # what is the same to the letter was counted already
                texts.append(content)
                documents.append((source, name))
                tenants.append(tenant)
    return replace(symptoms.repeats(texts, mend, documents=documents, tenants=tenants), about="near texts")


def _least(text: str) -> int:
    """The least hash of three words in a row: two texts share it as probably as they share such threes (Broder 1997)."""
    words = text.split()
    return min((zlib.crc32(" ".join(words[at : at + 3]).encode()) for at in range(max(1, len(words) - 2))), default=0)


def stale(collection: Collection) -> Iterator[Finding]:
    """Sources on this machine whose documents are not any more what was read: nothing is embedded to know it."""
    last = dict[tuple[str, str], str]()
    for line in lineage.read(collection.folder):
        if line.source and line.tenant is not None and line.rows:
            last[line.tenant, line.source] = line.time
    for (tenant, source), time in last.items():
        place = Path(source)
        if not (place.is_absolute() and place.exists()):
            continue
        if _newest(place) <= datetime.fromisoformat(time).timestamp():
            yield finding("stale", True, f"{source}: nothing was written there since {time[:10]}", "none", "", "")
            continue
        known = revisions(collection.store, source=source, tenant=tenant)
        try:
            with read_changes(kind_of(collection.accepts).read(place, None), cut=collection.cut, known=known) as changes:
                new, gone = changes.documents - changes.unchanged, len(changes.vanished)
                unlike = not changes.unchanged
        except (VicinoError, OSError):  # it was read with options that are not known here
            continue
        if unlike:
            continue
        owner = f" --tenant {tenant}" if tenant else ""
        yield finding(
            "stale",
            new + gone == 0,
            f"{source}: {new:,} documents are new or changed since {time[:10]}, {gone:,} are gone",
            "none",
            "the documents changed after they were embedded",
            f"vicino ingest {source} --collection {collection.name}{owner} embeds only these",
        )


def _newest(place: Path) -> float:
    """When anything under a path last changed, in seconds since 1970; folders too, from which files may be gone."""
    times = [place.stat().st_mtime]
    for each in place.rglob("*") if place.is_dir() else ():
        try:
            times.append(each.stat().st_mtime)
        except OSError:
            continue
    return max(times)


# Vectors --------------------------------------------------------------------------------------------------------------


def vectors_looked_at(collection: Collection, number: int, encoder: Encoder | None, *, seed: int) -> Iterator[Finding]:
    """The signs that a sample of one model's stored vectors shows; what needs the model itself where it could be opened."""
    space, mends = collection.spaces[number], mends_of(collection, number)
    some = passages(collection, SAMPLE, seed=seed)
    if not some:
        return
    keys, documents = [key for key, _ in some], [document for _, document in some]
    vectors = vectors_of(collection, number, keys)
    sound = vectors[np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)]
    found = list[Finding]()
    if len(sound) > 1:
        found += [symptoms.lengths(sound, mends), *symptoms.shape(sound, mends, seed=seed)]
        found.append(symptoms.metric(sound, space.similarity, _searched_by(collection, number), mends))
    if encoder is not None and "asks" not in collection.models[number]:
        cut = encoder.truncation(documents)
        found += [] if cut is None else [symptoms.length_limit(cut, mends)]
        found.append(_made_again(collection, number, encoder, documents, vectors, seed))
    name = collection.models[number]["name"]
    yield from (replace(one, about=f"{one.about} of {name}") for one in found)


def _made_again(
    collection: Collection, number: int, encoder: Encoder, documents: Sequence[Document], vectors: Vectors, seed: int
) -> Finding:
    """Whether the model still makes of passages what is stored of them."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(documents))[:AGAIN])
    now = np.asarray(encoder.encode_document([documents[row] for row in rows.tolist()]), np.float32)
    then = np.nan_to_num(vectors[rows])
    moved = sum(lowest_cosine(now[at : at + 1], then[at : at + 1]) < ALIKE for at in range(len(rows)))
    return finding(
        "vectors",
        moved == 0,
        f"{moved:,} of {len(rows):,} are not what it makes now; lowest cosine {lowest_cosine(now, then):.4f}",
        f"at least {ALIKE}, of {AGAIN} rows",
        "what is stored was made by another model, or from another text",
        f"embed again: {command(collection, number, '--to ENCODER')}",
        "rounding of bfloat16 against float32 stays over .999",
    )


def _searched_by(collection: Collection, number: int) -> Any:
    """The metric of the index that the recipe asks for."""
    dense = [leaf for leaf in leaves(from_recipe(collection.recipe)) if isinstance(leaf, Dense)]
    params = dense[number].index_params or {} if number < len(dense) else {}
    return params.get("similarity", collection.spaces[number].similarity)


def domain_of(
    collection: Collection, number: int, encoder: Encoder | None, reference: Sequence[Document] | None, *, seed: int
) -> Finding | None:
    """What is there now beside `reference`; without one, what later ingests brought beside what the first one did.

    None where there are not enough vectors on both sides, or all came at once.
    """
    some = passages(collection, SAMPLE, seed=seed)
    keys, names = [key for key, _ in some], [document.id for _, document in some]
    vectors = vectors_of(collection, number, keys)
    name, mends = collection.models[number]["name"], mends_of(collection, number)
    if reference is not None and encoder is not None:
        method, options = call(collection.cut)  # passages beside whole documents would be a shift of their own
        cut = Pieces.of(_drawn(reference, seed), method, options).texts
        before, earlier = np.asarray(encoder.encode_document(_drawn(cut, seed)), np.float32), "the reference"
    else:
        of = _ingests(collection, keys, collection.spaces[number].id)
        first = np.array([of.get(key) == 0 for key in keys], bool)
        before, earlier = vectors[first], "what was ingested first"
        vectors, names = vectors[~first], [name for name, is_first in zip(names, first.tolist(), strict=True) if not is_first]
    if min(len(before), len(vectors)) < _ENOUGH:
        return None
    found = symptoms.domain(before, vectors, names, mends, earlier=earlier, seed=seed)
    return replace(found, about=f"domain of {name}")


def _drawn(documents: Sequence[Document], seed: int) -> list[Document]:
    return sample(list(documents), min(SAMPLE, len(documents)), seed)


def _ingests(collection: Collection, keys: Sequence[str], space: str) -> dict[str, int]:
    """For each key which ingest it came with, from 0 on: another process, source or hour begins another."""
    lines = list(lineage.read(collection.folder))
    numbers = np.cumsum([0, *(_apart(one, other) for one, other in pairwise(lines))])
    stamps = {line.stamp: int(number) for line, number in zip(lines, numbers, strict=False)}
    found = lineage.last_of(lines, keys)
    return {key: stamps[by[space].stamp] for key, by in found.items() if space in by}


def _apart(one: Line, other: Line) -> bool:
    pause = datetime.fromisoformat(other.time).timestamp() - datetime.fromisoformat(one.time).timestamp()
    return (one.pid, one.source, one.tenant) != (other.pid, other.source, other.tenant) or pause > _PAUSE


# Judgements -----------------------------------------------------------------------------------------------------------


def scores_of(collection: Collection, number: int, encoder: Encoder, *, precision: float = 0.9) -> Finding | None:
    """Whether a score means one thing, by what people judged of this collection; None for fewer than a hundred pairs.

    `precision` is the share that a threshold is looked for. Only pairs that were judged count, a document by its best passage; of
    a pair that several judged the last word.
    """
    tenants = {name for batch in collection.store.scan(["tenant"], tenant=EVERYONE) for name in batch.column(0).to_pylist()}
    asked = dict[tuple[str, str], dict[tuple[str, str, str], int]]()
    texts = dict[tuple[str, str], str]()
    for one in (one for tenant in sorted(tenants) for one in judgments.read(collection.folder, tenant=tenant)):
        query = one.tenant, judgments.query_id(one.query)
        texts.setdefault(query, one.query)
        asked.setdefault(query, {})[one.tenant, one.source, one.document] = one.grade
    if sum(map(len, asked.values())) < _JUDGED:
        return None
    stored = _stored(collection, number, {pair for pairs in asked.values() for pair in pairs})
    vectors = np.asarray(encoder.encode_query([texts[query] for query in asked]), np.float32)
    scores, relevant = list[NDArray[np.float64]](), list[NDArray[np.float64]]()
    for vector, pairs in zip(vectors, asked.values(), strict=True):
        there = [(pair, grade) for pair, grade in pairs.items() if pair in stored]
        if there:
            best = [similarity(vector[None], stored[pair], collection.spaces[number].similarity).max() for pair, _ in there]
            scores.append(np.array(best, np.float64))
            relevant.append(np.array([grade > 0 for _, grade in there], np.float64))
    found = symptoms.calibration(scores, relevant, precision=precision)
    return None if found is None else replace(found, about=f"scores of {collection.models[number]['name']}")


def _stored(collection: Collection, number: int, wanted: Set[tuple[str, str, str]]) -> dict[tuple[str, str, str], Vectors]:
    """The vectors of the passages of documents: tenant, source ("" where none is told), id."""
    found = dict[tuple[str, str, str], list[Vectors]]()
    space = collection.spaces[number]
    for batch in collection.store.scan(["tenant", "source", "document"], tenant=EVERYONE, space=space):
        rows = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(-1, space.dim)
        names = zip(*(batch.column(name).to_pylist() for name in ("tenant", "source", "document")), strict=True)
        for (tenant, source, document), row in zip(names, rows, strict=True):
            for name in {(tenant, source, document), (tenant, "", document)} & wanted:
                found.setdefault(name, []).append(row)
    return {name: np.asarray(each, np.float32) for name, each in found.items()}


# Cures ----------------------------------------------------------------------------------------------------------------


def cures_of(collection: Collection, number: int, encoder: Encoder, *, seed: int) -> tuple[Cure, ...]:
    """The cures tried on a copy of at most 2,000 passages, on known items of theirs: nobody judged this collection.

    What is asked is withheld from the passages, so they are embedded again. None where nothing can be asked.
    """
    some = passages(collection, COPY, seed=seed)
    try:
        task = synthetic(collection.name, [replace(document, id=key) for key, document in some], queries=QUERIES, seed=seed)
    except EmptyInput:
        return ()
    with progress.task("Trying cures on a copy", total=len(task.documents), unit="passages") as bar:
        vectors = np.asarray(encoder.encode_document(list(task.documents)), np.float32)
        bar.advance(len(task.documents))
        queries = np.asarray(encoder.encode_query([query.text for query in task.queries]), np.float32)
    target = Target(called(collection.models[number]), command(collection, number, "--to ENCODER"))
    return try_cures(vectors, queries, task, encoder.similarity, target=target, seed=seed)
