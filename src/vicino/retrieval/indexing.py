"""The index of a collection: chosen by measure on its own vectors, kept with its recall, shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vicino.data.records import Query
from vicino.errors import EmptyInput, InputError
from vicino.indexes.choose import Choice, choose
from vicino.retrieval import chosen, from_recipe
from vicino.retrieval.at_store import AtStore
from vicino.retrieval.dense import Dense
from vicino.retrieval.stored import Stored, asked_for, leaves
from vicino.store.collection import Collection
from vicino.store.tenants import kept_of, require_tenant

__all__ = ["Decision", "Standing", "decide", "standing"]


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
    if not parts:
        raise InputError(
            f"{collection.name!r} is not searched by dense vectors: there is no index to choose",
            mend="this is for collections with an encoder, such as: vicino ingest PATH --collection NAME --encoder minilm",
        )
    if not stored.documents:
        raise EmptyInput(f"{collection.name!r} holds nothing to index", mend=f"vicino ingest PATH --collection {collection.name}")
    if any(leaf.index == AtStore.family for leaf in parts):
        raise InputError(
            f"{collection.name!r} is searched in its store: there is no index to choose",
            mend=f"the store's own is built by: vicino maintain {collection.name}",
        )
    goal: dict[str, Any] = {
        "recall": recall,
        "k": asked_for(stored.retriever) if k is None else k,
        "memory": memory,
        "families": families,
    }
    decisions: list[Decision] = []
    plans: dict[str, chosen.Chosen] = {}
    for leaf in parts:
        asked = None if queries is None else leaf.encoder_.encode_query([query.text for query in queries])
        keys, vectors = stored.vectors(leaf.space_)
        choice = choose(vectors, asked, ids=keys, similarity=leaf.similarity, **goal)
        decisions.append(Decision(leaf.encoder, len(keys), choice))
        if choice.plan is None or choice.index is None:
            return decisions
        questions = np.empty((0, leaf.space_.dim), dtype=np.float32) if asked is None else np.asarray(asked, dtype=np.float32)
        plans[leaf.space_.id] = chosen.Chosen(choice.plan, questions, {**choice.to_json(), "tenant": tenant})
        leaf.take(choice.plan, questions, choice.index)
    stored.keep()
    chosen.write(collection, plans)
    return decisions


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
        plan = plans[leaf.space_.id].plan if leaf.space_.id in plans else None
        leaf.plan_ = leaf.own_plan(asked_for(retriever)) if plan is None else plan
        here = tuple(index for made, index in kept if made == leaf._index_made())
        found.append(Standing(str(model["name"]), leaf.space_.id, None if plan is None else plan.to_json(), here, leaf.index))
    return found
