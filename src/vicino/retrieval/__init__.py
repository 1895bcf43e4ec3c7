"""Retrieval: query -> ranked documents. `RETRIEVERS` lists the kinds; `parse` reads the short names of `--with`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, cast

from vicino import artifacts
from vicino.catalog import Catalog, Entry, call, split
from vicino.data.chunking import CHUNKERS
from vicino.data.records import Recipe
from vicino.encoders import ENCODERS
from vicino.encoders.rerankers import reads_tokens
from vicino.encoders.transformer.pair_folder import is_cross_encoder
from vicino.errors import ArtifactCorrupt, InputError, UnknownName
from vicino.indexes import INDEXES
from vicino.retrieval.base import Retriever

__all__ = ["RETRIEVERS", "Retriever", "from_recipe", "load", "parse"]

_EXEMPLARS = {"svm": "exemplar-svm", "lda": "exemplar-lda"}
_FIRST = "bm25+minilm"  # what a cross-encoder reranks where nothing else is named

RETRIEVERS = Catalog(
    "retriever",
    {
        "lexical": Entry("vicino.retrieval.lexical:Lexical", "BM25 over words"),
        "dense": Entry("vicino.retrieval.dense:Dense", "nearest vectors of an encoder"),
        "fused": Entry("vicino.retrieval.fused:Fused", "several retrievers made into one ranking"),
        "cut": Entry("vicino.retrieval.cut:Cut", "documents by their pieces: sentences, paragraphs, windows"),
        "exemplar-svm": Entry("vicino.retrieval.exemplar:ExemplarSVM", "an SVM of the query against the collection"),
        "exemplar-lda": Entry("vicino.retrieval.exemplar:ExemplarLDA", "the same in closed form, by the covariance"),
        "reranked": Entry("vicino.retrieval.reranked:Reranked", "the best of another, read again by a reranker", "torch"),
    },
)


def from_recipe(recipe: Recipe) -> Retriever:
    """An unbuilt retriever from its recipe. Raises UnknownName or InputError."""
    try:
        return cast(Retriever, RETRIEVERS[recipe.retriever].from_recipe(recipe))
    except TypeError as error:
        raise InputError(f"the recipe of {recipe.retriever} does not fit: {error}", mend="check its parameters") from error


def load(path: str | PathLike[str]) -> Retriever:
    """Open any saved retriever. Raises ArtifactError, ArtifactCorrupt, ArtifactTooNew or SpaceMismatch."""
    saved = artifacts.read(path, kind="retriever")
    try:
        return cast(Retriever, RETRIEVERS[saved.data["retriever"]]._from_artifact(saved))
    except (KeyError, TypeError) as error:
        raise ArtifactCorrupt(f"{saved.path} is damaged: its recipe does not fit ({error})", mend="make it again") from error


def parse(name: str, *, analyzer: str = "words") -> Recipe:
    """A candidate's short name -> its recipe.

    `bm25`, any encoder (`tfidf`, `lsa`, `minilm`, a folder, a hub name), parameters in brackets (`bm25(k1=0.9)`,
    `minilm(index=hnsw)`), and sums: `bm25+minilm` fuses by reciprocal rank, `bm25+minilm:tuned` by learnt weights. A folder
    with a saved retriever gives that retriever's recipe.

    `minilm@sentence` searches pieces, cut by a method of `CHUNKERS`, and pools them back to documents: `bm25@window(size=100,
    overlap=50,pool=top3)`. `minilm:svm` and `minilm:lda` rank by a classifier of the query against the collection:
    `minilm@paragraph:svm(C=1)`. An index takes its parameters by name: `minilm(index=int8,keep=int8)`.

    `bm25+minilm>rr/` has a cross-encoder (a folder, or a hub name) read the first hundred again, `bm25>rr/(depth=50,blend=0.2)`
    fewer, and counting the first stage for a fifth; `bm25+minilm>minilm` has an encoder compare them token by token. A
    cross-encoder's folder alone reranks bm25+minilm. `analyzer` ("words" or "code") says how text is cut where nothing else is
    said. Raises UnknownName or InputError.

    >>> parse("bm25(k1=0.9)").params, parse("bm25+lsa:tuned").params
    ({'k1': 0.9}, {'method': 'convex'})
    >>> parse("bm25>org/model(depth=50)").params
    {'reranker': 'org/model', 'depth': 50}
    >>> parse("lsa@sentence:lda").params, parse("lsa@sentence:lda").parts[0].retriever
    ({'cut': 'sentence'}, 'exemplar-lda')
    """
    if _is_folder(name):
        return _saved(Path(name), analyzer)
    *first, reranker = split(name, ">") or [name]
    if first or ">" in name:
        return _reranked(">".join(first), reranker, analyzer)
    body, _, method = name.rpartition(":") if re.search(r":(rrf|tuned)$", name) else (name, "", "rrf")
    parts = split(body, "+")
    if len(parts) > 1:
        params = {"method": "convex"} if method == "tuned" else {}
        return Recipe("fused", params, tuple(parse(part, analyzer=analyzer) for part in parts))
    if body != name:
        raise InputError(f"{name!r} fuses nothing", mend="name at least two parts, such as bm25+minilm:tuned")
    return _single(body, analyzer)


def _single(text: str, analyzer: str) -> Recipe:
    """Something searched, perhaps cut, perhaps scored by exemplars: NAME@CUT:METHOD."""
    body, scoring = _parted(text, ":")
    if scoring is not None and call(scoring)[0] in _EXEMPLARS:
        name, params = call(scoring)
        inner = _single(body, analyzer)
        cut, inner = (inner, inner.parts[0]) if inner.retriever == "cut" else (None, inner)
        scored = Recipe(_EXEMPLARS[name], params, (inner,))
        return scored if cut is None else Recipe("cut", cut.params, (scored,))
    body, cutting = _parted(text, "@")
    if cutting is not None and "/" not in cutting:
        name, options = call(cutting)
        CHUNKERS.entry(name)  # raises for one that does not exist
        pool = {"pool": options.pop("pool")} if "pool" in options else {}
        return Recipe("cut", {"cut": name, **({"options": options} if options else {}), **pool}, (_single(body, analyzer),))
    return _saved(Path(text), analyzer) if _is_folder(text) else _plain(text, analyzer)


def _is_folder(name: str) -> bool:
    return bool(name.strip()) and name not in ("bm25", *ENCODERS) and Path(name).is_dir()


def _parted(text: str, mark: str) -> tuple[str, str | None]:
    """What stands before and after the last mark outside brackets, None where there is none."""
    *first, last = split(text, mark) or [""]
    return (mark.join(first), last) if first and not text.rstrip().endswith(mark) else (text, None)


def _plain(text: str, analyzer: str) -> Recipe:
    name, params = call(text)
    reads = {} if analyzer == "words" else {"analyzer": analyzer}
    if name == "bm25":
        return Recipe("lexical", {**reads, **params})
    if name not in ENCODERS and not ("/" in name or Path(name).exists()):
        raise UnknownName.among(name, ["bm25", *ENCODERS], kind="candidate")
    dense: dict[str, Any] = {key: params.pop(key) for key in ("index", "index_params") if key in params}
    if params and dense.get("index") in INDEXES:
        knobs = {**_knobs(name, dense["index"], params), **dense.get("index_params", {})}
        dense |= {"index_params": knobs} if knobs else {}
    if name in ENCODERS and "analyzer" in ENCODERS[name].defaults():
        params = {**reads, **params}
    if params:
        dense["encoder_params"] = params
    return Recipe("dense", {"encoder": name, **dense})


def _knobs(encoder: str, index: str, params: dict[str, Any]) -> dict[str, Any]:
    """Takes the index's parameters out of those that somebody gave an encoder; what both have is the encoder's."""
    own = ENCODERS[encoder].defaults() if encoder in ENCODERS else ()
    known = [key for key in INDEXES[index].defaults() if key not in own and key != "similarity"]
    return {key: params.pop(key) for key in known if key in params}


def _reranked(first: str, text: str, analyzer: str) -> Recipe:
    name, params = call(text)
    if not first:
        raise InputError(f"{text!r} has nothing to rerank", mend=f"name a first stage: 'bm25>{text}'")
    if not Path(name).is_dir() and "/" not in name and not reads_tokens(name):
        mend = "give minilm, a folder (vicino train reranker), or a hub name"
        raise UnknownName(f"there is no reranker {name!r}", mend=mend)
    stage = parse(first, analyzer=analyzer)
    if stage.params.get("method") == "convex" and not stage.params.get("weights"):
        mend = "save the winner of a comparison without the reranker, and rerank that: 'winner/>rr/'"
        raise InputError(f"{first} has no weights yet to rerank by", mend=mend)
    return Recipe("reranked", {"reranker": str(Path(name).resolve()) if Path(name).is_dir() else name, **params}, (stage,))


def _saved(folder: Path, analyzer: str) -> Recipe:
    if is_cross_encoder(folder):
        return _reranked(_FIRST, str(folder), analyzer)
    if not (folder / artifacts.MANIFEST).is_file():
        return Recipe("dense", {"encoder": str(folder)})
    saved = artifacts.read(folder)
    recipe: Mapping[str, Any] | None = saved.data.get("recipe")
    if saved.kind != "retriever" or not recipe:
        return Recipe("dense", {"encoder": str(folder)})
    plan = Recipe.from_json(recipe)
    _require_trust(plan, folder)
    return plan


def _require_trust(recipe: Recipe, folder: Path) -> None:
    """A folder from elsewhere may not make this process run a function, or send a key, that nobody here vouched for."""
    for part in recipe.parts:
        _require_trust(part, folder)
    name = str(recipe.params.get("encoder"))
    if name in ENCODERS:
        ENCODERS[name].of(**(recipe.params.get("encoder_params") or {}))._require_trust(folder)
