"""Dense retrieval: encode documents and queries into one space, rank by nearness."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, encoders, indexes
from vicino.data.records import Document, Hits, Recipe
from vicino.encoders import ENCODERS, Encoder
from vicino.encoders.base import Truncation
from vicino.errors import InputError, NotFitted
from vicino.indexes import Index, choose
from vicino.indexes.choose import Plan
from vicino.indexes.exact import Exact
from vicino.indexes.planned import Planned
from vicino.retrieval import tracing
from vicino.retrieval.at_store import AtStore
from vicino.retrieval.base import Passages, Retriever
from vicino.spaces import Canaries, Space, fingerprint, require_same

__all__ = ["Dense"]

_CANARIES = 3


class Dense(Retriever):
    """An encoder and an index.

    `encoder` is anything `vicino.encoders.make` understands; a family that must learn is fitted on the documents.
    Opening a saved retriever encodes a few documents again: a model that moved is noticed (SpaceMismatch).
    """

    family: ClassVar[str] = "dense"

    def __init__(
        self,
        *,
        encoder: str = "minilm",
        encoder_params: Mapping[str, Any] | None = None,
        index: str = "exact",
        index_params: Mapping[str, Any] | None = None,
    ) -> None:
        self.encoder = encoder
        self.encoder_params = encoder_params
        self.index = index
        self.index_params = index_params

    index_: Index | None = None
    plan_: Plan | None = None  # a collection's: its choice in place of `index`, or `own_plan`
    asked_: Any = None  # (q, dim) questions that its recall is measured with
    opens_: Callable[[], Encoder] | None = None  # a collection's: the model of `space_`, whose dense vectors it holds

    @cached_property
    def encoder_(self) -> Encoder:
        """The encoder, opened when first needed: where a collection holds the vectors, with the first question."""
        if self.opens_ is not None:
            return self.opens_()
        return encoders.make(self.encoder, **(self.encoder_params or {}))

    @property
    def recipe(self) -> Recipe:
        params = self.get_params()
        if self.encoder in ENCODERS:  # the encoder's own defaults too, so that the recipe keeps its meaning when they change
            params["encoder_params"] = ENCODERS[self.encoder].of(**(self.encoder_params or {})).get_params()
        return Recipe(self.family, params)

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Dense:
        return cls.of(**recipe.params)

    @property
    def simple(self) -> bool:
        return self.encoder_.simple and self.index == "exact"

    @property
    def floor(self) -> float | None:
        return -1.0 if self.encoder_.similarity == "cosine" else None

    def identity(self) -> str:
        """The recipe and, where the encoder is there already, its space: a file that changed under the same name is noticed."""
        space = self.encoder_.foundation if self._learns else self.encoder_.space.id
        return fingerprint([self.recipe.to_json(), space])

    @property
    def arithmetic(self) -> str:
        return self.encoder_.arithmetic

    @property
    def usage(self) -> str:
        return "" if self.encoder_.usage is None else str(self.encoder_.usage)

    def warm_up(self) -> None:
        words = ["one two", "two three"]
        encoder = self.encoder_.sketch().fit_whole(words) if self._learns else self.encoder_
        if not self._reads_text:
            return
        vectors = encoder.encode(words)
        self._new_index().build(vectors).search(vectors, 1)

    def truncation(self, documents: Sequence[Document]) -> Truncation | None:
        return self.encoder_.truncation(documents)

    def _build(self, documents: Sequence[Document]) -> None:
        if self.index == AtStore.family:  # which says that there is none, before anything is encoded
            self._new_index()._build(None)
        if self._learns:
            self.encoder_.fit_whole(documents)
        vectors = self.encoder_.encode_document(documents)
        self.index_ = self._new_index().build(vectors, [document.id for document in documents])
        self.space_ = self.encoder_.space
        places = np.linspace(0, len(documents) - 1, _CANARIES).astype(int)
        sample = [documents[row].content for row in places] if self._reads_text else []
        self.canaries_ = Canaries(sample, _dense(self.encoder_.encode_document(sample)))

    def build_again(self, other: Dense) -> Self:
        """As `build` over the documents of `other`, which has the same encoder and an exact index: nothing is encoded anew."""
        self.encoder_, self.space_, self.canaries_, self.ids_ = other.encoder_, other.space_, other.canaries_, other.ids_
        self.index_ = self._new_index().build(cast(Exact, other.index_).vectors_, other._require_built().tolist())
        return self

    @property
    def _learns(self) -> bool:
        """Whether the documents teach the encoder: a family's name says so, a saved encoder or a model has learnt already."""
        return self.encoder in ENCODERS and not ENCODERS[self.encoder].pretrained

    @property
    def _reads_text(self) -> bool:
        """Whether any text may be encoded; vectors that are looked up by id cannot move, and need no warming."""
        return "text" in self.encoder_.accepts

    @property
    def _sparse(self) -> bool:
        return self.opens_ is None and self.encoder_.sparse

    @property
    def similarity(self) -> str:
        """What its index ranks by: as the encoder was trained, or as the recipe says."""
        return self._new_index().similarity

    @property
    def _trained(self) -> str:
        """What its encoder was made for."""
        return self.encoder_.similarity if self.opens_ is None else self.space_.similarity

    def require_possible(self) -> None:
        """Raise UnknownName or InputError for an index that cannot be, or not in a collection: before anything is embedded."""
        index = self._new_index()
        index._require_possible()
        if isinstance(index, AtStore) and self._sparse:
            raise InputError(f"{self.encoder} counts words, which no store holds", mend="leave index=store out of its recipe")
        if isinstance(index, AtStore) and index.similarity != self._trained:
            what = f"a store ranks by {self._trained}, as the vectors were made, not by {index.similarity}"
            raise InputError(what, mend="leave the similarity out of index_params")

    def _new_index(self) -> Index:
        params = {"similarity": self._trained, **(self.index_params or {})}
        if self.index == AtStore.family:
            return AtStore.of(**params)
        return cast(Index, indexes.INDEXES[self.index].of(**params))

    def own_plan(self, k: int) -> Plan | None:
        """`index` as a collection has it: measured at k, though nobody said what recall it must have, and able to change.

        None where there is nothing to measure: all is compared, or the store answers, or it is a planned one already.
        """
        if self._sparse or self.index in (AtStore.family, Planned.family):
            return None
        params = {name: value for name, value in (self.index_params or {}).items() if name != "similarity"}
        return None if "exact" in self._new_index().capabilities else Plan(self.index, params, recall=0.0, k=k)

    def _indexed(self, vectors: Any, ids: Sequence[str]) -> Index:
        if self.plan_ is None:
            return self._new_index().build(vectors, ids)
        return choose.build(self.plan_, vectors, ids, similarity=self.similarity, queries=self.asked_)

    def _change(self, removed: AbstractSet[str], added: AbstractSet[str], passages: Passages) -> None:
        if self.index == AtStore.family:
            self._ask_the_store(removed, added, passages)
            return
        if self.index_ is not None:
            self.index_.remove(removed)
        if added:
            ids, vectors = self._vectors_of(added, passages)
            self.index_ = self._indexed(vectors, ids) if self.index_ is None else self.index_.add(vectors, ids)
        if isinstance(self.index_, Planned) and self.index_.worn:
            self.renew(passages)
        self.ids_ = np.empty(0, dtype=object) if self.index_ is None else self.index_.ids_

    def _ask_the_store(self, removed: AbstractSet[str], added: AbstractSet[str], passages: Passages) -> None:
        self.require_possible()
        index, space = cast(AtStore, self.index_ or self._new_index()), self.space_
        held = [] if self.ids_ is None else [name for name in self.ids_ if name not in removed]
        effort = 0 if self.plan_ is None else self.plan_.effort

        def nearest(asked: NDArray[np.float32], k: int, among: frozenset[str] | None) -> Hits:
            return passages.nearest(asked, k, space, among, effort)

        self.index_ = index.hold([*held, *added], space.dim, nearest)
        self.ids_ = self.index_.ids_

    def take(self, plan: Plan, asked: Any, index: Index) -> None:
        """From now on `index`, which was made by `plan` and measured with `asked`, is the one."""
        self.plan_, self.asked_, self.index_, self.ids_ = plan, asked, index, index.ids_

    def renew(self, passages: Passages) -> None:
        """Build the index again over what it holds, newer rows and all, and measure its recall again."""
        held = frozenset(name for name in self._require_index()._require_built() if name is not None)
        ids, vectors = self._vectors_of(held, passages)
        self.index_ = self._indexed(vectors, ids) if ids else None
        self.ids_ = np.empty(0, dtype=object) if self.index_ is None else self.index_.ids_

    def _vectors_of(self, added: AbstractSet[str], passages: Passages) -> tuple[list[str], Any]:
        """Dense vectors the collection holds; sparse ones are made again, as cheaply as words are read."""
        if not self._sparse:
            return passages.vectors(added, self.space_)
        documents = list(passages.documents(added))
        return [document.id for document in documents], self.encoder_.encode_document(documents)

    @property
    def _is_costly(self) -> bool:
        """Whether the index took more than reading the vectors; to find that none has the recall took it too."""
        index = self._require_index()
        in_vain = isinstance(index, Planned) and self.plan_ is not None and index.worth > self.plan_.worth
        return self._sparse or index.costly or in_vain

    def _index_made(self) -> list[Any]:
        plan = [] if self.plan_ is None else [self.plan_.to_json()]
        return [self.space_.id, self.index, self._new_index().get_params(), *plan]

    def keep(self, folder: Path) -> None:
        parts = {"index": self.index_.save} if self.index_ is not None and self._is_costly else {}
        artifacts.write(folder, kind="kept", data={"index": self._index_made()}, parts=parts)

    def resume(self, folder: Path) -> None:
        saved = artifacts.read(folder, kind="kept")
        if (folder / "index").is_dir() and saved.data["index"] == self._index_made():
            index = indexes.load(folder / "index")
            if index.similarity == self.similarity:
                self.index_, self.ids_ = index, index.ids_

    def _search(self, queries: list[str], k: int, explain: bool, allow: Collection[str] | None) -> Hits:
        require_same(self.encoder_.space, self.space_, doing="search")
        with tracing.stage("embed"):
            vectors = self.encoder_.encode_query(queries)
        index = self._require_index()
        hits = index.search(vectors, k, allow=allow)
        if not explain:
            return hits
        why = [self._explain(row, vectors[[row]], hits) for row in range(len(hits))]
        return Hits(hits.ids, hits.scores, hits.complete, why, hits.how)

    def _explain(self, row: int, query: Any, hits: Hits) -> list[dict[str, Any]]:
        """The score of each answer, and the share of all documents that score lower, in percent."""
        index, held = self._require_index(), [name for name in self._require_built() if name is not None]
        why = [{"part": self.encoder, index.similarity: score, "how": hits.how} for _, score in hits.top(row)]
        if isinstance(index, AtStore):  # which would have to send them all
            return why
        allow = None if "exact" in index.capabilities else held
        everything = np.sort(index.search(query, max(1, len(held)), allow=allow).scores[0])
        below = (float(np.searchsorted(everything, score)) for _, score in hits.top(row))
        return [{**one, "percentile": round(100 * less / len(everything), 2)} for one, less in zip(why, below, strict=True)]

    def _write(self, folder: Path) -> None:
        data = self._data(space=self.space_.to_json(), canaries=list(self.canaries_.texts))
        parts = {"encoder": self.encoder_.save, "index": self._require_index().save}
        arrays = {"canaries": self.canaries_.vectors}
        artifacts.write(folder, kind="retriever", data=data, arrays=arrays, parts=parts)

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Dense:
        retriever = cls.from_recipe(Recipe.from_json(saved.data["recipe"]))
        retriever.encoder_ = encoders.load(saved.path / "encoder")
        retriever.index_ = indexes.load(saved.path / "index")
        retriever.ids_ = retriever._require_index().ids_
        retriever.space_ = Space.from_json(saved.data["space"])
        retriever.canaries_ = Canaries(saved.data["canaries"], saved.arrays["canaries"])
        require_same(retriever.encoder_.space, retriever.space_, doing="open this retriever")
        retriever.canaries_.check(lambda texts: _dense(retriever.encoder_.encode_document(texts)))
        return retriever

    def _require_index(self) -> Index:
        if self.index_ is None:
            raise NotFitted("Dense holds no documents", mend="call .build(documents) first")
        return self.index_

    @property
    def nbytes(self) -> int:
        return self._require_index().nbytes


def _dense(vectors: Any) -> Any:
    return vectors.toarray() if hasattr(vectors, "toarray") else vectors
