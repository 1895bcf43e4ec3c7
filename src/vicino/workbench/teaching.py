"""The verbs that teach, and that ask what was taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vicino import artifacts, encoders
from vicino.encoders import Encoder
from vicino.encoders.expressions import parse_sum
from vicino.errors import InputError

if TYPE_CHECKING:
    from vicino.learning.loop import Plan
    from vicino.training.classifier import ClassifierTraining, TextClassifier
    from vicino.training.outcome import Outcome
    from vicino.training.tagger import Entity, Tagger, TaggerTraining

__all__ = [
    "classify",
    "neighbours",
    "open_classifier",
    "open_tagger",
    "tag",
    "train",
    "train_classifier",
    "train_images",
    "train_reranker",
    "train_tagger",
    "train_text",
]


def train(data: Any, out: str | PathLike[str], *, family: str = "word2vec", thing: str | None = None, **params: Any) -> Encoder:
    """Teach an encoder of a family (a name from `vicino encoders`, with parameters in brackets) and save it to a folder.

    `data` is what the family's `fit` takes: for words a path, texts, or lists of tokens; for nodes a path, a graph, or pairs.
    `thing` ("word", "node") refuses a family that has no vectors of such things. `out` is looked at first, so that an hour of
    learning is not lost to a folder that cannot be written. Raises UnknownName, InputError, and what `fit` raises.
    """
    made = encoders.make(family, **params)
    if made.pretrained:
        raise InputError(f"{family} has learnt already", mend="choose a family that learns from data, such as word2vec")
    if thing is not None and getattr(made, "thing", None) != thing:
        raise InputError(f"{family} makes no vectors of {thing}s", mend="choose another family: vicino encoders")
    artifacts.require_writable(out)
    made.fit(data).save(out)
    return made


def train_text(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    base: str = "minilm",
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    unlabelled: bool = False,
    controls: Sequence[str | PathLike[str]] | None = None,
    dry_run: bool = False,
    **recipe: Any,
) -> Outcome | Plan:
    """Fine-tune a sentence encoder on pairs, triplets, labelled pairs, judged retrieval, or `unlabelled` texts.

    See `vicino.training.text`. `recipe` are the parameters of `TextRecipe`, such as epochs=2; of unlabelled texts, way="distil",
    "maps", "simcse" or "tsdae", or queries=FUNCTION (a list of str -> for each a list of queries). `controls` None takes STS-B
    and Cranfield where VICINO_DATA holds them, and else documents of the data that answer no question. Raises MissingExtra
    without torch, and what `train_text` there raises.
    """
    from vicino.encoders.transformer.opening import require_torch

    require_torch()
    from vicino.training.bases import recipe_for
    from vicino.training.text import train_text as fine_tune

    made = recipe_for(base, **recipe)
    return fine_tune(
        data,
        out,
        base=base,
        recipe=made,
        columns=columns,
        split=split,
        unlabelled=unlabelled,
        controls=None if controls is None else [Path(each) for each in controls],
        dry_run=dry_run,
    )


def train_reranker(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    base: str = "minilm",
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    unlabelled: bool = False,
    dry_run: bool = False,
    **recipe: Any,
) -> Outcome | Plan:
    """Teach a cross-encoder to rerank, on pairs, triplets, judged retrieval, or `unlabelled` texts.

    See `vicino.training.reranker`. `recipe` are the parameters of `RerankerRecipe`, such as negatives=7. Raises MissingExtra
    without torch, and what `vicino.training.reranker.train_reranker` raises.
    """
    from vicino.encoders.transformer.opening import require_torch

    require_torch()
    from vicino.training.reranker import RerankerRecipe
    from vicino.training.reranker import train_reranker as teach

    made = RerankerRecipe.of(**recipe)
    return teach(data, out, base=base, recipe=made, columns=columns, split=split, unlabelled=unlabelled, dry_run=dry_run)


def train_classifier(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    encoder: str = "minilm",
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    **recipe: Any,
) -> ClassifierTraining:
    """Learn the classes of texts on an encoder's vectors, or train it for them; see `vicino.training.classifier`.

    `recipe` are the parameters of `ClassifierRecipe`, such as head="mlp", train_encoder=True, seed=1. Raises MissingExtra where
    these need torch, and what `vicino.training.classifier.train_classifier` raises.
    """
    from vicino.training.classifier import ClassifierRecipe
    from vicino.training.classifier import train_classifier as learn

    return learn(data, out, encoder=encoder, recipe=ClassifierRecipe.of(**recipe), columns=columns, split=split)


def train_images(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    objective: str = "supervised",
    backbone: str | None = None,
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
    dry_run: bool = False,
    **recipe: Any,
) -> Outcome | Plan:
    """Train a network on images, by their labels or without; see `vicino.training.images.train`.

    `recipe` are the parameters of `ImageRecipe`, such as minutes=4, and options of the objective, such as crop=0.5. Raises
    MissingExtra without torch, and what `vicino.training.images.train.train_images` raises.
    """
    from vicino.encoders.transformer.opening import require_torch

    require_torch()
    from vicino.training.images.recipe import ImageRecipe
    from vicino.training.images.train import train_images as learn

    made = ImageRecipe.of(**recipe)
    return learn(data, out, objective=objective, backbone=backbone, recipe=made, columns=columns, split=split, dry_run=dry_run)


def classify(path: str | PathLike[str], texts: Sequence[str], k: int = 3) -> list[tuple[str, list[tuple[str, float]]]]:
    """Each text with its k most probable classes and their probabilities, by a saved classifier. Raises ArtifactError."""
    model = open_classifier(Path(path))
    found = []
    for text, shares in zip(texts, model.probabilities(texts), strict=True):
        best = np.argsort(-shares, kind="stable")[:k]
        found.append((text, [(model.classes[place], float(shares[place])) for place in best]))
    return found


def train_tagger(
    data: str | PathLike[str], out: str | PathLike[str], *, base: str = "minilm", dry_run: bool = False, **recipe: Any
) -> TaggerTraining | Plan:
    """Teach a transformer to tag words, such as named entities, by a CoNLL file, JSON lines, or a folder of these.

    See `vicino.training.tagger`. `recipe` are the parameters of `TaggerRecipe`, such as epochs=2. Raises MissingExtra without
    torch, and what `vicino.training.tagger.train_tagger` raises.
    """
    from vicino.training.tagger import TaggerRecipe
    from vicino.training.tagger import train_tagger as learn

    return learn(data, out, base=base, recipe=TaggerRecipe.of(**recipe), dry_run=dry_run)


def tag(path: str | PathLike[str], texts: Sequence[str]) -> list[tuple[str, list[Entity]]]:
    """Each text with the entities that a saved tagger finds in it, with their offsets. Raises ArtifactError, MissingExtra."""
    return list(zip(texts, open_tagger(Path(path)).tag(texts), strict=True))


def neighbours(path: str | PathLike[str], expression: str, k: int = 10) -> list[tuple[str, float]]:
    """The k words (or nodes) nearest to a sum such as "king - man + 2*woman", with their cosines.

    `path` is a saved encoder of words or nodes, or a file of word vectors. Raises InputError, UnknownName (also a KeyError).
    """
    place = Path(path)
    encoder: Any = encoders.load(place) if place.is_dir() else encoders.ENCODERS["word2vec"].import_(place)
    if not hasattr(encoder, "most_similar"):
        raise InputError(f"{path} has no vectors of words or nodes", mend="train some: vicino train words CORPUS --out words/")
    terms = parse_sum(expression)
    found: list[tuple[str, float]] = encoder.most_similar(
        [name for name, _ in terms], topn=k, weights=[weight for _, weight in terms]
    )
    return found


def open_classifier(path: Path) -> TextClassifier:
    """What `train_classifier` saved. Raises ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
    from vicino.training.classifier import TextClassifier

    return TextClassifier.load(path)


def open_tagger(path: Path) -> Tagger:
    """What `train_tagger` saved. Raises ArtifactError, ArtifactCorrupt, ArtifactTooNew or MissingExtra."""
    from vicino.training.tagger import Tagger

    return Tagger.load(path)
