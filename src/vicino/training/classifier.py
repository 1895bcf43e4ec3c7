"""A classifier of texts: logistic regression on an encoder's vectors, and whether it is worth more than counting words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, encoders
from vicino.data.examples import Examples, read_examples
from vicino.encoders.base import Encoder
from vicino.errors import ArtifactCorrupt, InputError
from vicino.evaluation.gate import Gate, check_means, decide
from vicino.vectors import normalise

__all__ = ["ClassifierTraining", "TextClassifier", "train_classifier"]

_HELD_OUT = 0.2  # of the examples
_FEWEST = 2  # examples of a class
_PENALTIES = 10  # that are tried, from 1e-4 to 1e4, by cross-validation
_FOLDS = 5

Float32 = NDArray[np.float32]


class TextClassifier:
    """An encoder, `classes`, and for each class weights (k, d) and an intercept (k,) for unit vectors.

    >>> import vicino.encoders.counts as counts
    >>> texts = ["wings lift", "planes fly", "tea steeps", "coffee brews"] * 3
    >>> model = TextClassifier.fitted(counts.TfIdf().fit(texts), texts, ["air", "air", "cup", "cup"] * 3)
    >>> model.predict(["wings fly", "tea brews"])
    ['air', 'cup']
    """

    def __init__(self, encoder: Encoder, classes: Sequence[str], weights: Float32, intercepts: Float32) -> None:
        self.encoder, self.classes, self.weights, self.intercepts = encoder, list(classes), weights, intercepts

    @classmethod
    def fitted(cls, encoder: Encoder, texts: Sequence[str], labels: Sequence[str], *, seed: int = 0) -> Self:
        """Learn from texts and their classes; the encoder must be ready. The penalty is chosen by cross-validation.

        Raises InputError for fewer than two classes, and for a class with a single text.
        """
        from sklearn.linear_model import LogisticRegressionCV
        from sklearn.model_selection import StratifiedKFold

        names, counts = np.unique(np.asarray(labels, dtype=object).astype(str), return_counts=True)
        if len(names) < 2 or counts.min() < _FEWEST:
            rare = names[counts.argmin()]
            what = f"{len(names)} classes, of which {rare!r} has {counts.min()} texts"
            raise InputError(what, mend=f"give at least two classes, with {_FEWEST} texts each, better dozens")
        folds = StratifiedKFold(min(_FOLDS, int(counts.min())), shuffle=True, random_state=seed)
        model = LogisticRegressionCV(
            Cs=_PENALTIES, cv=folds, max_iter=2000, use_legacy_attributes=False, l1_ratios=(0,), scoring="neg_log_loss"
        )
        model.fit(_unit(encoder, texts), np.asarray(labels).astype(str))
        weights: Float32 = np.asarray(model.coef_, dtype=np.float32)
        intercepts: Float32 = np.asarray(model.intercept_, dtype=np.float32)
        if len(names) == 2:  # scikit-learn keeps one row, for the second class
            weights, intercepts = (np.concatenate([-each, each]) * np.float32(0.5) for each in (weights, intercepts))
        return cls(encoder, names.tolist(), weights, intercepts)

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(n, k): how probable each class is for each text."""
        rows = _unit(self.encoder, texts)
        scores = np.asarray(rows @ self.weights.T, dtype=np.float64) + self.intercepts
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable class of each text."""
        return [self.classes[best] for best in self.probabilities(texts).argmax(axis=1)]

    def save(self, path: str | PathLike[str], about: Mapping[str, Any] | None = None) -> Path:
        """Write it with its encoder to a folder, whole or not at all; `vicino.load(path)` opens it."""
        arrays = {"weights": self.weights, "intercepts": self.intercepts, "classes": self.classes}
        data = {"about": dict(about or {})}
        return artifacts.write(path, kind="classifier", data=data, arrays=arrays, parts={"encoder": self.encoder.save})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Open what `save` wrote. Raises ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
        saved = artifacts.read(path, kind="classifier")
        encoder = encoders.load(saved.path / "encoder")
        classes, weights, intercepts = (saved.arrays[name] for name in ("classes", "weights", "intercepts"))
        if weights.shape != (len(classes), encoder.dim) or intercepts.shape != (len(classes),):
            raise ArtifactCorrupt(f"{path}: classes, weights and encoder do not meet", mend="restore it, or train it again")
        return cls(encoder, classes, weights, intercepts)


@dataclass(frozen=True, eq=False)
class ClassifierTraining:
    """What came of it. `scores` are accuracies on the `held_out` texts; `gate` sets it against always the largest class."""

    path: Path
    classifier: TextClassifier
    learnt: int
    held_out: int
    scores: Mapping[str, float]
    gate: Gate

    def to_json(self) -> dict[str, Any]:
        """All but the weights, as JSON can say it."""
        return {
            "path": str(self.path),
            "classes": self.classifier.classes,
            "learnt": self.learnt,
            "held_out": self.held_out,
            "accuracy": dict(self.scores),
            "gate": self.gate.to_json(),
        }


def train_classifier(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    encoder: str = "minilm",
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    seed: int = 0,
) -> ClassifierTraining:
    """Learn the classes of texts from a table with a text and a label, and write the classifier to `out`.

    A fifth of the texts of each class is held back. The gate accepts what tells them better than always the largest class, beyond
    the interval, and not worse by more than .01 than the same regression on TF-IDF, which costs next to nothing. Raises what
    `read_examples` and `TextClassifier.fitted` raise, and InputError for examples without classes.
    """
    artifacts.require_writable(out)
    examples = read_examples(Path(data), columns=columns, split=split)
    if examples.kind != "classes" or examples.labels is None:
        raise InputError(f"{data} holds {examples.kind}, and no texts with a class", mend="give columns text and label")
    labels = np.array(examples.class_names, dtype=object)[examples.labels]
    learn, held = _stratified(examples, seed)
    texts = np.array(examples.anchors, dtype=object)
    truth = labels[held]
    asked = texts[held].tolist()
    right: dict[str, NDArray[np.float64]] = {}
    names, counts = np.unique(labels[learn].astype(str), return_counts=True)
    right["largest class"] = (truth == names[counts.argmax()]).astype(np.float64)
    made: dict[str, TextClassifier] = {}
    for name in dict.fromkeys(["tfidf", encoder]):
        ready = encoders.make(name)
        if not ready.pretrained:
            ready.fit_whole(texts[learn].tolist())
        made[name] = TextClassifier.fitted(ready, texts[learn].tolist(), labels[learn].tolist(), seed=seed)
        right[name] = (np.array(made[name].predict(asked), dtype=object) == truth).astype(np.float64)
    gain = check_means(f"accuracy on {len(held):,} texts that were held back", right["largest class"], right[encoder], seed=seed)
    beside = [] if encoder == "tfidf" else [check_means("accuracy beside TF-IDF", right["tfidf"], right[encoder], seed=seed)]
    gate = decide(gain, beside)
    scores = {name: float(each.mean()) for name, each in right.items()}
    made[encoder].save(out, {"accuracy": scores, "gate": gate.to_json()})
    return ClassifierTraining(Path(out), made[encoder], len(learn), len(held), scores, gate)


def _unit(encoder: Encoder, texts: Sequence[str]) -> Any:
    """Vectors of length one, dense or sparse; zeros stay zeros."""
    vectors = encoder.encode(list(texts))
    return vectors if hasattr(vectors, "tocsr") else normalise(vectors)


def _stratified(examples: Examples, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to learn from and rows to judge by: a fifth of each class. Equal texts stay together."""
    random = np.random.default_rng(seed)
    _, same = np.unique(np.array(examples.anchors, dtype=object).astype(str), return_inverse=True)
    first = np.unique(same, return_index=True)[1]
    held_texts: set[int] = set()
    labels = np.asarray(examples.labels)
    for label in np.unique(labels):
        rows = first[labels[first] == label]
        chosen = random.permutation(rows)[: int(len(rows) * _HELD_OUT)]
        held_texts |= set(same[chosen].tolist())
    is_held = np.isin(same, sorted(held_texts))
    if not is_held.any():
        raise InputError("too few texts to hold a fifth of a class back", mend="give at least five texts of a class")
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)
