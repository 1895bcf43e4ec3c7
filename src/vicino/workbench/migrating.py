"""The model of a collection: changed, changed back, adapted; and what was embedded with what."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from vicino.artifacts import home
from vicino.data.judged import is_beir, read_judgements, read_qrels, read_queries, splits_of
from vicino.data.records import Judgement
from vicino.encoders import Encoder
from vicino.errors import InputError, VicinoError
from vicino.evaluation.migration import MAPS, Recovery, Verdict, by_judgements, by_known_items, learn, overlap
from vicino.retrieval import chosen
from vicino.retrieval import migrate as steps
from vicino.retrieval.passages import batches_of, drift, passages, vectors_of
from vicino.retrieval.stored import Stored
from vicino.store import lineage as lines
from vicino.store.collection import Collection
from vicino.store.succession import adapt, alone, discard, served_by, unadapt
from vicino.store.tenants import require_tenant

__all__ = ["Migration", "adapt_queries", "finish_migration", "lineage", "migrate", "roll_back"]

_SAMPLE = 2000  # passages that known items are made of
_LESSONS = 5000  # passages that an adapter is learnt from
_ALIKE = 0.99  # the lowest cosine between a stored vector and what its model makes now


@dataclass(frozen=True)
class Migration:
    """What came of it. `done` says whether the collection is as was asked for; `embedded` counts passages."""

    collection: str
    done: bool
    sentences: tuple[str, ...]
    embedded: int = 0
    verdict: Verdict | None = None
    recovery: Recovery | None = None
    advice: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def to_json(self) -> dict[str, Any]:
        return {
            "collection": self.collection,
            "done": self.done,
            "sentences": list(self.sentences),
            "embedded": self.embedded,
            "verdict": self.verdict and self.verdict.to_json(),
            "recovery": self.recovery and self.recovery.to_json(),
            "advice": list(self.advice),
        }


def migrate(
    collection: str,
    to: str | PathLike[str],
    *,
    instead_of: str | None = None,
    queries: str | PathLike[str] | None = None,
    qrels: str | PathLike[str] | None = None,
    tenant: str = "",
    force: bool = False,
    sample: int = _SAMPLE,
    seed: int = 0,
) -> Migration:
    """Give a collection another encoder: embed beside the old vectors, compare, and switch in one commit if nothing is lost.

    Searches go on with the old model until the switch. A stopped or killed call goes on where it was. What is compared: judged
    `queries` and `qrels` (a BEIR folder has both) of a `tenant` by nDCG@10, or known items of `sample` passages; without
    judgements `queries` tell how many answers change. `force` switches whatever comes of that. `instead_of` names the model that
    is to go, where the recipe has several. Raises what `vicino.retrieval.migrate` and reading the queries raise.
    """
    if qrels is not None and queries is None:
        raise InputError("qrels judge queries", mend="give --queries FILE too")
    asked = None if queries is None else read_queries(Path(queries))
    judgements = _judgements(queries, qrels)
    old = Collection.open(home() / "collections", collection)
    number = steps.number_of(old, instead_of)
    with alone(old):
        old.refresh()
        new = steps.begin(old, to, number=number, seed=seed)
        embedded = steps.fill(new)
        said, verdict = list[str](), None
        here = old.under(old.note)  # it stays what it is while the store moves on
        try:
            lowest = drift(new, number, seed=seed)
            sound = lowest >= _ALIKE
            if not sound:
                said.append(f"the new column does not hold what {new.models_named} makes (lowest cosine {lowest:.4f})")
            if asked is not None:
                pair = Stored(here, tenant=tenant), Stored(new, tenant=tenant)
                said.append(f"of the first ten documents {overlap(*pair, asked):.0%} stay the same")
                verdict = None if judgements is None else by_judgements(*pair, asked, judgements, seed=seed)
            if verdict is None:
                some = passages(new, sample, seed=seed)
                verdict = by_known_items(here.encoder(number), new.encoder(number), some, seed=seed)
        except VicinoError as error:
            if not force:
                raise
            sound = False
            said.append(f"not compared: {error.what}")
        if verdict is not None:
            said.append(f"{verdict.gate.sentence} (p = {verdict.p:.3g}; {verdict.basis})")
        opens = sound and verdict is not None and verdict.gate.accepted
        if not (opens or force):
            said.append(f"{old.models_named} serves on; what is embedded for {new.models_named} stays")
            advice = (
                *(verdict.gate.advice if verdict else ()),
                f"{steps.command(old, number, _to(to))} --force switches all the same",
            )
            return Migration(collection, False, tuple(said), embedded, verdict, None, advice)
        embedded += steps.switch(here, new)
    said.append(f"{new.models_named} serves; {old.models_named} stands by" + ("" if opens else " (forced)"))
    after = [f"back again: vicino migrate {collection} --rollback", f"free its vectors: vicino migrate {collection} --finish"]
    if any(one.plan.recall for one in chosen.of(old, old.spaces[number])):
        after.append(f"its index was chosen for the old vectors: vicino index {collection} --recall 0.97")
    return Migration(collection, True, tuple(said), embedded, verdict, None, tuple(after))


def _judgements(queries: str | PathLike[str] | None, qrels: str | PathLike[str] | None) -> list[Judgement] | None:
    """Those of a file, or those that a BEIR folder of queries has (its test split, or the first)."""
    if qrels is not None:
        return list(read_qrels(Path(qrels)))
    folder = None if queries is None else Path(queries)
    if folder is None or not is_beir(folder):
        return None
    splits = splits_of(folder)
    return read_judgements(folder, "test" if "test" in splits else splits[0])


def roll_back(collection: str) -> Migration:
    """One step back: to the model before, or, where a change was begun and does not serve, to before that."""
    opened = Collection.open(home() / "collections", collection)
    with alone(opened):
        opened.refresh()
        return Migration(collection, True, (steps.roll_back(opened),))


def finish_migration(collection: str) -> Migration:
    """Give up the old vectors: there is no way back then."""
    opened = Collection.open(home() / "collections", collection)
    with alone(opened):
        opened.refresh()
        gone = steps.finish(opened)
    said = f"gave up the vectors of {', '.join(map(str, gone))}"
    return Migration(collection, True, (said,), advice=(f"free their space now: vicino maintain {collection}",))


def adapt_queries(
    collection: str,
    kind: str,
    to: str | PathLike[str] | None = None,
    *,
    instead_of: str | None = None,
    force: bool = False,
    sample: int = _LESSONS,
    seed: int = 0,
) -> Migration:
    """Let another encoder ask the vectors that are there, through a map learnt from `sample` passages; "none" takes it away.

    `kind` is "orthogonal" or "linear". It serves where it recovers nine tenths of the recall of held-out known items, or with
    `force`. What is ingested meanwhile is still read by the old model: no mapped vector is ever stored.
    """
    opened = Collection.open(home() / "collections", collection)
    number = steps.number_of(opened, instead_of)
    with alone(opened):
        opened.refresh()
        if kind == "none":
            return _plain_again(opened, number)
        if kind not in MAPS:
            raise InputError(f"there is no adapter {kind!r}", mend=f"choose one of {', '.join(MAPS)}, none")
        if to is None or "asks" in opened.models[number]:
            what = "an adapter is there already" if to is not None else "an adapter maps what another encoder makes"
            raise InputError(what, mend="give --to ENCODER" if to is None else steps.command(opened, number, "--adapter none"))
        asks = steps.model_named(to, opened, seed=seed)
        if asks.encoder.space == opened.spaces[number]:
            raise InputError(f"{to} is the model of {collection!r} already", mend="name another encoder")
        some = passages(opened, sample, seed=seed)
        documents = [replace(document, id=key) for key, document in some]
        vectors = vectors_of(opened, number, [key for key, _ in some])
        try:
            old: Encoder | None = opened.encoder(number)
            gone = ""
        except (VicinoError, OSError) as error:
            old = None
            gone = f"the old model cannot be opened ({str(error).splitlines()[0]}): nothing new can be ingested"
        learnt, recovery = learn(kind, asks.encoder, documents, vectors, opened.spaces[number], old=old, seed=seed)
        said = [str(recovery), *filter(None, [gone])]
        if not (recovery.accepted or force):
            whole = steps.command(opened, number, _to(to))
            advice = (f"--adapter linear, a larger --sample, or --force; {whole} embeds all again",)
            return Migration(collection, False, (*said, "too little is recovered: nothing changed"), 0, None, recovery, advice)
        there = adapt(opened, number, asks, learnt, {"map": kind, "recovers": recovery.to_json()})
        version = opened.store.serve(served_by(there), note=there.note)
        lines.append(opened.folder, "adapt", model=lines.told(there), version=version, note=str(recovery))
    said.append(f"queries are encoded by {asks.name} and mapped; the vectors are those of {opened.models[number]['name']}")
    whole, away = (steps.command(opened, number, options) for options in (_to(to), "--adapter none"))
    after = (f"all of it: {whole}", f"away again: {away}")
    return Migration(collection, True, tuple(said), 0, None, recovery, after)


def lineage(collection: str, *, tenant: str | None = None, document: str | None = None) -> Sequence[Mapping[str, Any]]:
    """Who embedded what with what, oldest first; of a `tenant` alone; or, of one `document`, the batches its vectors are from.

    Raises UnknownName for no such collection or document, and for a tenant that has nothing, nor ever had.
    """
    opened = Collection.open(home() / "collections", collection)
    if document is None:
        found = [line.to_json() for line in lines.read(opened.folder, tenant=tenant)]
        if tenant is not None and not found:
            require_tenant(opened, tenant)
        return found
    return batches_of(opened, document, tenant=tenant)


def _to(encoder: str | PathLike[str]) -> str:
    return f"--to {shlex.quote(str(encoder))}"


def _plain_again(opened: Collection, number: int) -> Migration:
    if "asks" not in opened.models[number]:
        raise InputError(f"{opened.name!r} has no adapter", mend="there is nothing to take away")
    plain = unadapt(opened, number)
    version = opened.store.serve(served_by(plain), note=plain.note)
    if plain.note == opened.about.data.get("before"):
        discard(opened, opened.note)
    lines.append(opened.folder, "unadapt", model=lines.told(plain), version=version, note=f"{opened.note} -> {plain.note}")
    return Migration(opened.name, True, (f"{plain.models_named} asks again",))
