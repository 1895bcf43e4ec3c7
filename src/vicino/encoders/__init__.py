"""Encoders: item -> vector. `ENCODERS` lists the families; `make` builds one from whatever names it.

The classes can be imported from here too, each with its own module only: `from vicino.encoders import Word2Vec`.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, cast

from vicino import artifacts
from vicino.catalog import Catalog, Entry, call
from vicino.encoders.base import Encoder
from vicino.errors import UnknownName

__all__ = ["ENCODERS", "Encoder", "load", "make"]

ENCODERS = Catalog(
    "encoder",
    {
        "tfidf": Entry("vicino.encoders.counts:TfIdf", "weighted word counts; sparse, exact, no training"),
        "lsa": Entry("vicino.encoders.counts:LSA", "TF-IDF reduced by a truncated SVD (Deerwester et al. 1990)"),
        "lda": Entry("vicino.encoders.topics:LDA", "mixtures of topics, latent Dirichlet allocation (Blei et al. 2003)"),
        "word2vec": Entry("vicino.encoders.words:Word2Vec", "the mean of word vectors, skip-gram or CBOW (Mikolov et al. 2013)"),
        "fasttext": Entry("vicino.encoders.fasttext:FastText", "the mean of word vectors, of subwords (Bojanowski et al. 2017)"),
        "glove": Entry("vicino.encoders.cooccurrence:GloVe", "the mean of word vectors, GloVe (Pennington et al. 2014)"),
        "swivel": Entry("vicino.encoders.cooccurrence:Swivel", "the mean of word vectors, Swivel (Shazeer et al. 2016)"),
        "doc2vec": Entry("vicino.encoders.documents:Doc2Vec", "paragraph vectors, PV-DBOW or PV-DM (Le and Mikolov 2014)"),
        "mean-of-words": Entry("vicino.encoders.means:MeanOfWords", "word vectors, rare ones more: SIF (Arora et al. 2017), IDF"),
        "isotropic": Entry("vicino.encoders.isotropic:Isotropic", "another's vectors, centred, less their top, or white"),
        "deepwalk": Entry("vicino.encoders.graphs:DeepWalk", "nodes of a graph, by random walks (Perozzi et al. 2014)"),
        "node2vec": Entry("vicino.encoders.graphs:Node2Vec", "nodes of a graph, by biased walks (Grover and Leskovec 2016)"),
        "line": Entry("vicino.encoders.graphs:LINE", "nodes of a graph, by its edges, order 1 and 2 (Tang et al. 2015)"),
        "two-tower": Entry("vicino.encoders.interactions:TwoTower", "users and items, by who met what (Yi et al. 2019)", "torch"),
        "static": Entry("vicino.encoders.static:Static", "token vectors distilled from a transformer, then without it", "torch"),
        "minilm": Entry("vicino.encoders.transformer:Transformer", "all-MiniLM-L6-v2, works offline", "torch"),
        "transformer": Entry("vicino.encoders.transformer:Transformer", "any sentence-transformers folder or hub name", "torch"),
        "towers": Entry("vicino.encoders.transformer.towers:TwoTowers", "one network for queries, one for documents", "torch"),
        "image": Entry("vicino.encoders.images:ImageEncoder", "a network of images, trained here or of transformers", "torch"),
        "pixels": Entry("vicino.encoders.pixels:Pixels", "images as their pixels; no training", "images"),
        "eigenimages": Entry("vicino.encoders.pixels:Eigenimages", "PCA of pixels, eigenfaces (Turk, Pentland 1991)", "images"),
        "module": Entry("vicino.encoders.images.module:ModuleEncoder", "a torch module of yours that reads images", "torch"),
        "ready": Entry("vicino.encoders.ready:Ready", "vectors made elsewhere: .npy, .parquet, word2vec and GloVe files"),
        "remote": Entry("vicino.encoders.remote:Remote", "a model behind OpenAI's, Cohere's or Ollama's API", "remote"),
        "callable": Entry("vicino.encoders.wrapped:Callable", "a Python function of yours: callable(function=module:name)"),
    },
)


def __getattr__(name: str) -> Any:
    return ENCODERS.attribute(name)


def make(name: str | PathLike[str], **params: Any) -> Encoder:
    """An encoder from a catalogue name ("lsa", "lsa(n_components=100)"), a saved folder, a folder of sentence-transformers or of
    a network of images, or the hub name of a model of text ("org/model"; one of images is "image(model=org/model)").

    Raises UnknownName (with the nearest names), MissingExtra, or what opening the folder raises.
    """
    from vicino.encoders.images import is_network_of_images
    from vicino.encoders.transformer.routes import is_router

    folder, text = Path(name), str(name)
    if not folder.is_dir():
        text, given = call(text)
        params = {**given, **params}
    if text in ENCODERS:
        return cast(Encoder, ENCODERS[text].of(**params))
    if (folder / artifacts.MANIFEST).is_file():
        return load(folder)
    if is_network_of_images(folder):
        return cast(Encoder, ENCODERS["image"].of(model=text, **params))
    if (folder / "config.json").is_file() or (folder / "modules.json").is_file() or _is_hub_name(text):
        return cast(Encoder, ENCODERS["towers" if is_router(folder) else "transformer"].of(model=text, **params))
    listing = f"There are: {', '.join(ENCODERS)}; or give a model folder or a hub name such as org/model"
    raise UnknownName.among(text, ENCODERS, kind="encoder", listing=listing)


def load(path: str | PathLike[str]) -> Encoder:
    """Open any saved encoder. Raises ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
    saved = artifacts.read(path, kind="encoder")
    return cast(Encoder, ENCODERS[saved.data["encoder"]]._from_artifact(saved))


def _is_hub_name(name: str) -> bool:
    owner, slash, model = name.partition("/")
    return bool(slash and owner and model and "/" not in model and owner not in (".", "..", "~") and not Path(owner).is_dir())
