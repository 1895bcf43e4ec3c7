"""The index of a collection: chosen by measure on its own vectors, kept with its recall, shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.filters import In
from vicino.data.records import Query
from vicino.errors import EmptyInput, InputError
from vicino.indexes.choose import Choice, Plan, Trial, choose
from vicino.indexes.recall import require_goal
from vicino.retrieval import chosen, from_recipe, store_recall
from vicino.retrieval.at_store import AtStore
from vicino.retrieval.dense import Dense
from vicino.retrieval.stored import Stored, asked_for, leaves
from vicino.spaces import Space
from vicino.store.base import Store
from vicino.store.collection import Collection
from vicino.store.tenants import kept_of, require_tenant, tenants

__all__ = ["Decision", "Standing", "decide", "standing", "upkeep"]

log = logging.getLogger(__name__)

_QUESTIONS = 1000  # that are asked a store at most
_CHANGED = 0.1  # the share of rows that must have come or gone for a store's index to be measured again


@dataclass(frozen=True, eq=False)
class Decision:
    """The choice for one encoder of the recipe, of so many passages of one tenant."""

    encoder: str
    passages: int
    choice: Choice

    def to_json(self) -> dict[str, Any]:
        return {"encoder": self.encoder, "passages": self.passages, **self.choice.to_json()}


@dataclass(frozen=True)
class Standing:
    """What one encoder's passages are searched with: the chosen `plan`, None where `own`, the recipe's index, is all there is.

    `kept` are the manifests of the tenant's indexes on disk, each with its measured recall.
    """

    encoder: str
    space: str
    plan: Mapping[str, Any] | None
    kept: tuple[Mapping[str, Any], ...]
    own: str = "exact"

    @property
    def under(self) -> bool:
        """Whether an index is kept that has not the recall that was asked for."""
        recalls = [one["recall"] for one in self.kept if one["recall"] is not None]
        return any(recall["lower"] < recall["target"] for recall in recalls)

    def brief(self) -> dict[str, Any]:
        """What a listing says, where something was chosen."""
        plan = self.plan or {"index": None, "recall": None}
        return {"encoder": self.encoder, "index": plan["index"], "recall": plan["recall"], "under": self.under}

    def to_json(self) -> dict[str, Any]:
        plain = {"encoder": self.encoder, "space": self.space, "own": self.own, "plan": self.plan}
        return plain | {"kept": list(self.kept), "under": self.under}


def decide(
    collection: Collection,
    *,
    recall: float,
    k: int | None = None,
    memory: int | None = None,
    queries: Sequence[Query] | None = None,
    families: Sequence[str] | None = None,
    tenant: str = "",
) -> list[Decision]:
    """Choose an index for each encoder's vectors, by those of one tenant; it is the choice of all tenants then, who have indexes
    of their own. By default `k` is how many the recipe asks its index for.

    Nothing changes unless every choice has the recall. Raises InputError for a collection that is not searched by dense vectors,
    EmptyInput for one without passages, and what `choose` raises.
    """
    require_tenant(collection, tenant)
    stored = Stored(collection, tenant=tenant)
    stored.refresh()
    parts = [leaf for leaf in stored.dense if not leaf.encoder_.sparse]
    require_goal(recall, 10 if k is None else k)
    if (memory is not None or families) and any(leaf.index == AtStore.family for leaf in parts):
        raise InputError("the store's own index is the only one, in its memory", mend="leave --memory and --with out")
    if not parts:
        raise InputError(
            f"{collection.name!r} is not searched by dense vectors: there is no index to choose",
            mend="this is for collections with an encoder, such as: vicino ingest PATH --collection NAME --encoder minilm",
        )
    if not stored.documents:
        raise EmptyInput(f"{collection.name!r} holds nothing to index", mend=f"vicino ingest PATH --collection {collection.name}")
    k = asked_for(stored.retriever) if k is None else k
    decisions: list[Decision] = []
    plans: dict[str, chosen.Chosen] = {}
    for leaf in parts:
        asked = None if queries is None else leaf.encoder_.encode_query([query.text for query in queries])
        questions = np.empty((0, leaf.space_.dim), dtype=np.float32) if asked is None else np.asarray(asked, dtype=np.float32)
        told: dict[str, Any] = {"tenant": tenant}
        if leaf.index == AtStore.family:
            questions = questions[:_QUESTIONS]
            found, choice = _choose_in_store(collection, leaf.space_, tenant, recall, k, questions)
            rows, told = found.rows, told | _evidence(found, k, recall)
        else:
            keys, vectors = stored.vectors(leaf.space_)
            rows, goal = len(keys), partial(choose, recall=recall, k=k, memory=memory, families=families)
            choice = goal(vectors, asked, ids=keys, similarity=leaf.similarity)
        decisions.append(Decision(leaf.encoder, rows, choice))
        if choice.plan is None:
            return decisions
        plans[chosen.named(leaf.space_, leaf.index)] = chosen.Chosen(choice.plan, questions, {**choice.to_json(), **told})
        if choice.index is not None:
            leaf.take(choice.plan, questions, choice.index)
    stored.keep()
    chosen.write(collection, plans)
    return decisions


def _choose_in_store(
    collection: Collection, space: Space, tenant: str, recall: float, k: int, queries: NDArray[np.float32]
) -> tuple[store_recall.Found, Choice]:
    """What was measured, and the effort at which the store's index has the recall."""
    began = time.perf_counter()
    collection.store.prepare(space)
    spent = time.perf_counter() - began
    found = store_recall.measure(collection.store, space, tenant=tenant, k=k, goal=recall, queries=queries)
    if found is None:
        raise InputError(
            f"{collection.name!r} is searched in its store, where no index stands (yet): all are compared, and nothing is missed",
            mend="leave index=store out of the recipe to have an index here; where another process builds one, wait for that",
        )
    has = found.measured
    asked = len(queries) or len(found.sample)
    few = f"{asked} questions cannot prove that" if store_recall.provable(asked) < recall else "has less at every effort"
    note = "" if has.lower >= recall else few
    trial = Trial(AtStore.family, found.rows, found.rows, has, has.seconds, found.prepared.nbytes, spent, note)
    plan = Plan(AtStore.family, {}, recall, k, has.effort) if has.lower >= recall else None
    return found, Choice(recall, k, None, found.asked, (), (trial,), plan)


def _evidence(found: store_recall.Found, k: int, recall: float) -> dict[str, Any]:
    return {"store": found.to_json(k, recall), "sample": list(found.sample)}


def upkeep(collection: Collection) -> None:
    """Have the store build an index of its own for what is searched there (index=store), and measure its recall.

    By the tenant whom it was chosen by, else by the largest; again where a tenth of the rows came or went. It is searched farther
    where it has no longer the recall that was chosen; that no effort has it is a warning.
    """
    known, retriever = chosen.read(collection), from_recipe(collection.recipe)
    fresh: dict[str, chosen.Chosen] = {}
    for number, leaf in enumerate(leaf for leaf in leaves(retriever) if isinstance(leaf, Dense)):
        if leaf.index != AtStore.family:
            continue
        space = collection.spaces[number]
        name, built = chosen.named(space, leaf.index), collection.store.prepare(space)
        one = known.get(name)
        if one is None:
            sizes = {each.name: each.passages for each in tenants(collection)}
            largest = max(sizes, key=sizes.__getitem__, default="")
            plan = Plan(AtStore.family, {}, recall=0.0, k=asked_for(retriever), effort=0)
            one = chosen.Chosen(plan, np.empty((0, space.dim), dtype=np.float32), {"tenant": largest})
        if built or _changed(collection.store, one.evidence):
            found = _measured(collection, space, one)
            fresh |= {} if found is None else {name: found}
    if fresh:
        chosen.write(collection, fresh, known=known)


def _changed(store: Store, evidence: Mapping[str, Any]) -> bool:
    """Whether so many rows came or went since they were measured that it is time to do so again."""
    if "store" not in evidence:
        return True
    there, sample, before = partial(store.count, tenant=evidence["tenant"]), evidence["sample"], evidence["store"]["vectors"]
    gone = len(sample) - there(where=In("key", tuple(sample)))
    return gone > _CHANGED * len(sample) or abs(there() - before) > _CHANGED * before


def _measured(collection: Collection, space: Space, one: chosen.Chosen) -> chosen.Chosen | None:
    """The choice with what its recall is now, at the effort that this takes; None where there is no index to measure."""
    plan = one.plan
    found = store_recall.measure(
        collection.store,
        space,
        tenant=one.evidence["tenant"],
        k=plan.k,
        goal=plan.recall,
        start=plan.effort or 0,
        queries=one.queries,
    )
    if found is None or (not plan.recall and found.measured.effort is None):
        return None
    if found.measured.lower < plan.recall:
        what = "the index of the store of %s has no recall of %g any more at any effort; choose another: vicino index %s"
        log.warning(what, collection.name, plan.recall, collection.name)
    effort = found.measured.effort if plan.recall else plan.effort
    return chosen.Chosen(replace(plan, effort=effort), one.queries, {**one.evidence, **_evidence(found, plan.k, plan.recall)})


def standing(collection: Collection, *, tenant: str = "") -> list[Standing]:
    """What a tenant's passages are searched with now; opens no model and no index. Raises UnknownName for no such tenant."""
    if tenant:
        require_tenant(collection, tenant)
    plans = chosen.read(collection)
    kept = list(chosen.kept_indexes(kept_of(collection, tenant)))
    retriever = from_recipe(collection.recipe)
    found = []
    for number, leaf in enumerate(leaf for leaf in leaves(retriever) if isinstance(leaf, Dense)):
        model = collection.models[number]
        if model["sparse"]:
            continue
        leaf.space_, leaf.opens_ = collection.spaces[number], partial(collection.encoder, number)
        known = plans.get(chosen.named(leaf.space_, leaf.index))
        plan = None if known is None or not known.plan.recall else known.plan  # without a recall it is a measure, and no choice
        leaf.plan_ = leaf.own_plan(asked_for(retriever)) if plan is None else plan
        here = tuple(index for made, index in kept if made == leaf._index_made())
        if known is not None and "store" in known.evidence:
            here = (known.evidence["store"],)
        found.append(Standing(str(model["name"]), leaf.space_.id, None if plan is None else plan.to_json(), here, leaf.index))
    return found
