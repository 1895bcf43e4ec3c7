"""Pairs of texts: do cosines follow people's scores, and do they tell pairs that belong together from pairs that do not?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.examples import Examples, read_examples, splits_in
from vicino.errors import InputError, UnknownName
from vicino.evaluation.suite.base import Contender, Measure, Outcome, Task, scored
from vicino.evaluation.suite.contenders import contender, encoded, fingerprint_of, fitted, overlap, paired
from vicino.metrics import resampled

__all__ = ["asked_examples", "labelled_pairs", "pairs", "similarity", "told_apart"]

LADDER = ("overlap", "tfidf", "lsa", "minilm")
_MOST = 20_000  # pairs: more tell no more


def similarity(path: Path, *, columns: Mapping[str, str] | None = None, split: str | None = None, seed: int = 0) -> Task:
    """Pairs of texts with a score, as of a table with sentence1, sentence2 and score: correlations of cosines with scores.

    Cosines are those of what an encoder makes of the two texts (Agirre et al., SemEval 2012). "overlap" is the share of words in
    common; an encoder that has not learnt learns from the texts, without scores. Pairs of one first text are drawn together.
    Raises InputError for pairs without scores, and what `vicino.data.examples.read_examples` raises.
    """
    examples, notes = asked_examples(path, columns, split, seed)
    given = examples.scores if examples.kind == "scored" else examples.labels
    if examples.kind not in ("scored", "labelled") or given is None:
        raise InputError(f"{path} holds {examples.kind}, not pairs with a score", mend="name the column: --columns score=COLUMN")
    scores = given.astype(np.float64)
    measures = {
        "Spearman": scored("rank correlation of cosines with scores", resampled.spearman, scores),
        "Pearson": scored("linear correlation of cosines with scores", resampled.pearson, scores),
    }
    about = f"{len(examples):,} pairs of texts, scored from {scores.min():g} to {scores.max():g}"
    return _task("similarity", path, examples, about, measures, scores, seed, notes)


def pairs(path: Path, *, columns: Mapping[str, str] | None = None, split: str | None = None, seed: int = 0) -> Task:
    """Pairs of texts labelled 1 where they belong together, else 0: how well cosines tell which.

    Average precision, F1 at the best threshold, and the area under the ROC curve. Otherwise as `similarity`. Raises InputError
    for pairs without labels, or all of one.
    """
    examples, notes = asked_examples(path, columns, split, seed)
    return labelled_pairs("pairs", path, examples, seed, notes)


def labelled_pairs(kind: str, path: Path, examples: Examples, seed: int, notes: tuple[str, ...]) -> Task:
    """The task of labelled pairs, under the name of a kind."""
    if examples.kind != "labelled" or examples.labels is None:
        mend = "name the column of 0 and 1: --columns label=COLUMN; pairs with scores: vicino compare similarity"
        raise InputError(f"{path} holds {examples.kind}, not pairs labelled 0 and 1", mend=mend)
    truth = examples.labels.astype(np.float64)
    if truth.all() or not truth.any():
        raise InputError(f"all pairs of {path} are of one label: there is nothing to tell", mend="give pairs labelled 0, and 1")
    about = f"{len(examples):,} pairs of texts, of which {int(truth.sum()):,} belong together"
    return _task(kind, path, examples, about, told_apart(truth), truth, seed, notes)


def told_apart(truth: NDArray[np.float64]) -> dict[str, Measure]:
    """The measures of scores of items that are 0 or 1."""
    return {
        "AP": scored("average precision: the area under precision and recall", resampled.average_precision, truth),
        "F1": scored("F1 at the threshold that is best for these very items, as is usual", resampled.best_f1, truth),
        "ROC-AUC": scored("how probably a positive is scored above a negative", resampled.roc_auc, truth),
    }


def asked_examples(
    path: Path, columns: Mapping[str, str] | None, split: str | None, seed: int
) -> tuple[Examples, tuple[str, ...]]:
    """The examples that are asked: of a folder its `split` (None: test, else dev, else train), of many some by chance."""
    there = splits_in(path)
    if split and there and split not in there:
        raise UnknownName.among(split, there, kind="split")
    chosen = split or next((name for name in ("test", "dev", "validation") if name in there), "train")
    examples = read_examples(path, columns=columns, split=chosen)
    notes = (*examples.notes, *((f"the split {chosen}",) if there else ()))
    if len(examples) <= _MOST:
        return examples, notes
    rows = np.sort(np.random.default_rng(seed).permutation(len(examples))[:_MOST])
    return examples.subset(rows), (*notes, f"{_MOST:,} of {len(examples):,} are asked, drawn by chance")


def _task(
    kind: str,
    path: Path,
    examples: Examples,
    about: str,
    measures: Mapping[str, Measure],
    truth: NDArray[np.float64],
    seed: int,
    notes: tuple[str, ...],
) -> Task:
    left, right = list(examples.anchors), list(examples.positives)
    groups = np.unique(left, return_inverse=True)[1].astype(np.int64)
    return Task(
        kind=kind,
        name=path.resolve().name,
        about=about,
        unit="pairs",
        size=len(examples),
        measures=measures,
        shown=tuple(measures)[:2],
        ladder=LADDER,
        prepare=partial(_prepare, left, right),
        fingerprint=fingerprint_of(left, right, truth),
        groups=groups if groups.max() + 1 < len(groups) else None,
        seed=seed,
        notes=notes,
    )


def _prepare(left: list[str], right: list[str], name: str) -> Contender:
    def answer(encoder: Any) -> Outcome:
        texts = [*left, *right]
        vectors, rows = encoded(fitted(encoder, list(dict.fromkeys(texts))), texts)
        return {"scores": paired(vectors, rows[: len(left)], rows[len(left) :])}

    return contender(name, {"overlap": lambda: {"scores": overlap(left, right)}}, answer)
