"""A classifier of texts: a head on an encoder's vectors, and whether it is worth more than counting words.

The head is a logistic regression; a small network, or an encoder that is trained under its head, must first beat that.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, encoders
from vicino.data.examples import read_examples
from vicino.data.lint import Lint, lint
from vicino.encoders.base import Encoder
from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.opening import require_torch
from vicino.encoders.transformer.saving import save_anew
from vicino.errors import ArtifactCorrupt, ArtifactTooNew, InputError
from vicino.evaluation.gate import Check, Gate, check_means, decide
from vicino.learning.loop import Run, Settings
from vicino.metrics.classification import ClassScore, by_class
from vicino.training.held_out import stratified
from vicino.training.rules import Recipe, count, dropout, or_none, require, require_alone
from vicino.vectors import normalise

if TYPE_CHECKING:
    from vicino.training.class_heads import Layer

__all__ = ["ClassifierRecipe", "ClassifierTraining", "TextClassifier", "train_classifier"]

_VERSION = 2  # of what `save` writes: 1 had no hidden layer, and did not say its number
_HELD_OUT, _CHOOSE = 0.2, 0.1  # of the examples; of those that are left, to choose weights by
_FEWEST, _JUDGED_BY = 2, 10  # examples of a class; texts to judge by
_PENALTIES = 10  # that are tried, from 1e-4 to 1e4, by cross-validation
_FOLDS = 5
_SMALL = 1 << 21  # numbers

_BY_GRADIENTS = {"epochs", "batch_size", "learning_rate", "weight_decay", "patience", "evaluate_every", "threads"}
_OF_NETWORKS = frozenset({"hidden", "dropout", *_BY_GRADIENTS})  # parameters that have an effect
_OF_ENCODERS = frozenset({"encoder_dropout", "limit", "precision", *_BY_GRADIENTS})
_RULES = {
    "train_encoder": (lambda flag: type(flag) is bool, "give train_encoder=True, or False"),
    "hidden": count(1, "give hidden=256 units"),
    "dropout": dropout("give dropout=0.2"),
    "encoder_dropout": or_none(dropout("give encoder_dropout=0.1, or None for the network's own")),
    "limit": or_none(count(3, "give limit=256, or None for all that the model reads")),
}

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class ClassifierRecipe(Recipe):
    """What learns, and how. Raises InputError for what cannot be.

    `head` "mlp" puts a layer of `hidden` rectified units, with `dropout`, before the linear head; `train_encoder` trains a
    transformer together with a linear one. What is None is chosen by these: 100 epochs of 64 at 1e-3 for a network, which ends
    after `patience` epochs without a better one; 3 epochs of 32 at 3e-5 for an encoder, whose texts are cut to `limit` tokens.
    The rest is for `vicino.learning.loop.Settings`.
    """

    head: Literal["linear", "mlp"] = "linear"
    train_encoder: bool = False
    hidden: int = 256
    dropout: float = 0.2
    encoder_dropout: float | None = 0.0
    limit: int | None = 256
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        if self.head not in ("linear", "mlp"):
            raise InputError(f"head={self.head!r} cannot be", mend="give linear or mlp")
        if self.head == "mlp" and self.train_encoder:
            raise InputError("an encoder is trained under a linear head", mend="leave out head=mlp, or train_encoder")
        require(self, _RULES)
        self._require_effect()
        self.settings  # noqa: B018 - raises

    def _require_effect(self) -> None:
        """Raises InputError for what was chosen and would change nothing."""
        way = "an encoder" if self.train_encoder else "a network as head" if self.head == "mlp" else "a linear head"
        counts = _OF_ENCODERS if self.train_encoder else _OF_NETWORKS if self.head == "mlp" else frozenset()
        defaults = {one.name: one.default for one in fields(self) if one.name not in ("head", "train_encoder", "seed", *counts)}
        without = [name for name, usual in defaults.items() if getattr(self, name) != usual]
        if self.head == "mlp" and self.precision == "float32":  # which it has anyway
            without.remove("precision")
        if without:
            what = f"{', '.join(without)} would have no effect on the training of {way}"
            raise InputError(what, mend="leave them out, or give head=mlp or train_encoder")

    @property
    def settings(self) -> Settings:
        """What the loop wants to know."""
        usual: dict[str, Any] = {"epochs": 100, "batch_size": 64, "learning_rate": 1e-3, "patience": 5, "precision": "float32"}
        if self.train_encoder:
            usual = {"epochs": 3, "batch_size": 32, "learning_rate": 3e-5, "patience": None, "precision": self.precision}
        given = {name: getattr(self, name) for name in ("epochs", "batch_size", "learning_rate", "patience")}
        chosen = {**usual, **{name: value for name, value in given.items() if value is not None}}
        more = {name: getattr(self, name) for name in ("weight_decay", "evaluate_every", "seed", "threads")}
        return Settings(**chosen, **more)


class TextClassifier:
    """An encoder, `classes`, and for each class weights (k, d) and an intercept (k,) for unit vectors.

    With a `hidden` layer, weights (h, d) and intercepts (h,), the classes' weights are (k, h) and read what that layer makes of
    a vector, where that is positive.

    >>> import vicino.encoders.counts as counts
    >>> texts = ["wings lift", "planes fly", "tea steeps", "coffee brews"] * 3
    >>> model = TextClassifier.fitted(counts.TfIdf().fit(texts), texts, ["air", "air", "cup", "cup"] * 3)
    >>> model.predict(["wings fly", "tea brews"])
    ['air', 'cup']
    """

    def __init__(
        self, encoder: Encoder, classes: Sequence[str], weights: Float32, intercepts: Float32, hidden: Layer | None = None
    ) -> None:
        self.encoder, self.classes, self.weights, self.intercepts = encoder, list(classes), weights, intercepts
        self.hidden = hidden

    @classmethod
    def fitted(cls, encoder: Encoder, texts: Sequence[str], labels: Sequence[str], *, seed: int = 0) -> Self:
        """Learn from texts and their classes; the encoder must be ready. The penalty is chosen by cross-validation.

        Raises InputError for fewer than two classes, and for a class with a single text.
        """
        return cls(encoder, *_linear(_unit(encoder, texts), labels, seed))

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(n, k): how probable each class is for each text."""
        return self._shares(_unit(self.encoder, texts))

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable class of each text."""
        return self._best(_unit(self.encoder, texts))

    def save(self, path: str | PathLike[str], about: Mapping[str, Any] | None = None) -> Path:
        """Write it with its encoder to a folder, whole or not at all; `vicino.load(path)` opens it."""
        arrays: dict[str, Any] = {"weights": self.weights, "intercepts": self.intercepts, "classes": self.classes}
        if self.hidden is not None:
            arrays |= {"hidden_weights": self.hidden[0], "hidden_intercepts": self.hidden[1]}
        data = {"version": _VERSION, "about": dict(about or {})}
        return artifacts.write(path, kind="classifier", data=data, arrays=arrays, parts={"encoder": self.encoder.save})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Open what `save` wrote. Raises ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
        saved = artifacts.read(path, kind="classifier")
        version = saved.data.get("version", 1)
        if type(version) is not int:
            raise _apart(path)
        if version > _VERSION:
            what = f"{path} is a classifier of version {version}; this vicino reads up to {_VERSION}"
            raise ArtifactTooNew(what, mend="pip install --upgrade vicino")
        encoder, classes = encoders.load(saved.path / "encoder"), saved.arrays.get("classes")
        if not isinstance(classes, list):
            raise _apart(path)
        width, hidden = encoder.dim, None
        if "hidden_weights" in saved.arrays:
            width = len(np.atleast_1d(saved.arrays.get("hidden_intercepts", ())))
            hidden = _layer(saved, "hidden_weights", "hidden_intercepts", (width, encoder.dim))
        return cls(encoder, classes, *_layer(saved, "weights", "intercepts", (len(classes), width)), hidden)

    def _shares(self, rows: Any) -> NDArray[np.float64]:
        if self.hidden is not None:
            rows = np.maximum(rows @ self.hidden[0].T + self.hidden[1], 0)
        scores = np.asarray(rows @ self.weights.T, dtype=np.float64) + self.intercepts
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def _best(self, rows: Any) -> list[str]:
        return [self.classes[best] for best in self._shares(rows).argmax(axis=1)]


@dataclass(frozen=True, eq=False)
class ClassifierTraining:
    """What came of it. `scores` are accuracies on the `held_out` texts, `macro_f1` the mean F1 of the classes that these have;
    `classes` has each class's scores by what was trained, `found` is what the lint says of the texts, and `run` how training by
    gradients went, if any."""

    path: Path
    classifier: TextClassifier
    learnt: int
    held_out: int
    scores: Mapping[str, float]
    macro_f1: Mapping[str, float]
    classes: Mapping[str, ClassScore]
    gate: Gate
    found: Lint
    run: Run | None = None

    def to_json(self) -> dict[str, Any]:
        """All but the weights, as JSON can say it."""
        found: dict[str, Any] = {
            "path": str(self.path),
            "classes": self.classifier.classes,
            "learnt": self.learnt,
            "held_out": self.held_out,
            "accuracy": dict(self.scores),
            "macro_f1": dict(self.macro_f1),
            "by_class": {name: score._asdict() for name, score in self.classes.items()},
            "gate": self.gate.to_json(),
            "lint": self.found.to_json(),
        }
        if self.run is not None:
            found |= {"steps": self.run.steps, "ended": self.run.ended, "kept_step": self.run.kept}
            found["chosen_by"] = {str(step): value for step, value in self.run.metrics.items()}
        return found


def train_classifier(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    encoder: str = "minilm",
    recipe: ClassifierRecipe | None = None,
    columns: Mapping[str, str] | None = None,
    split: str = "train",
) -> ClassifierTraining:
    """Learn the classes of texts from a table with a text and a label, and write the classifier to `out`.

    A fifth of the texts of each class is held back. For a linear head on the encoder as it is, the gate accepts what tells them
    better than always the largest class, beyond the interval, and not worse by more than .01 than the same regression on TF-IDF,
    which costs next to nothing. What costs more, a network as head or an encoder that is trained, must beat that regression and
    the linear head on the encoder as it was, both beyond the interval. What was rejected is written all the same, and says so.

    A training by gradients that was killed goes on where it stopped, by the same call. Raises what `read_examples` and
    `TextClassifier.fitted` raise, InputError for examples without classes, and for an encoder that cannot be trained, and
    KeyboardInterrupt after Ctrl-C.
    """
    recipe, target = recipe or ClassifierRecipe(), Path(out).absolute()
    require_alone()
    artifacts.require_writable(target)
    examples = read_examples(Path(data), columns=columns, split=split)
    if examples.kind != "classes" or examples.labels is None:
        raise InputError(f"{data} holds {examples.kind}, and no texts with a class", mend="give columns text and label")
    if recipe.train_encoder or recipe.head == "mlp":
        require_torch()
    seed = recipe.seed
    learn, held = stratified(examples.anchors, examples.labels, _HELD_OUT, seed, fewest=_JUDGED_BY)
    texts = np.array(examples.anchors, dtype=object)
    labels = np.array(examples.class_names, dtype=object)[examples.labels].astype(str)
    given = _Given(texts[learn].tolist(), labels[learn], texts[held].tolist())
    names, counts = np.unique(given.labels, return_counts=True)
    told: dict[str, list[str]] = {"largest class": [str(names[counts.argmax()])] * len(held)}
    made: dict[str, TextClassifier] = {}
    rows: Any = None
    for name in dict.fromkeys(["tfidf", encoder]):
        ready = encoders.make(name)
        if recipe.train_encoder and name == encoder and not isinstance(ready, Transformer):
            raise InputError(f"{name} is no transformer, which could be trained under a head", mend="give minilm, or a folder")
        if not ready.pretrained:
            ready.fit_whole(given.texts)
        rows = _unit(ready, given.texts)
        made[name] = TextClassifier(ready, *_linear(rows, given.labels, seed))
        told[name] = made[name].predict(given.asked)
    best, run, workplace = encoder, None, target.with_name(f".{target.name}.training")
    if recipe.train_encoder or recipe.head == "mlp":
        best = f"{encoder}, trained" if recipe.train_encoder else f"{encoder}, mlp"
        made[best], run = _by_gradients(given, rows, made[encoder], recipe, workplace)
        told[best] = made[best].predict(given.asked)
    truth = labels[held]
    right = {name: (np.array(each) == truth).astype(np.float64) for name, each in told.items()}
    gate = _verdict(right, best, encoder, seed)
    tables = {name: by_class(truth.tolist(), each) for name, each in told.items()}
    found = ClassifierTraining(
        target,
        made[best],
        len(learn),
        len(held),
        {name: float(each.mean()) for name, each in right.items()},
        {name: float(np.mean([one.f1 for one in each.values()])) for name, each in tables.items()},
        tables[best],
        gate,
        lint(examples.subset(learn), held_out=examples.subset(held)),
        run,
    )
    about = {"accuracy": dict(found.scores), "macro_f1": dict(found.macro_f1), "gate": gate.to_json(), "recipe": asdict(recipe)}
    made[best].save(target, about)  # last: until it was judged, a kill leaves all that going on needs
    if run is not None:  # else what is there is another training's
        shutil.rmtree(workplace)
    return replace(found, classifier=TextClassifier.load(target)) if recipe.train_encoder else found  # its folder went


@dataclass(frozen=True)
class _Given:
    """Texts to learn from and their classes, and texts to judge by."""

    texts: list[str]
    labels: NDArray[Any]
    asked: list[str]


def _verdict(right: Mapping[str, NDArray[np.float64]], best: str, encoder: str, seed: int) -> Gate:
    """Against always the largest class and counting words; for what costs more than a linear head, against this too."""
    n = f"{len(right[best]):,} texts that were held back"
    if best == encoder:
        gain = check_means(f"accuracy on {n}", right["largest class"], right[best], seed=seed)
        beside = [] if encoder == "tfidf" else [check_means("accuracy beside TF-IDF", right["tfidf"], right[best], seed=seed)]
        return decide(gain, beside)
    rivals = {"the linear head on the encoder as it was": encoder} | ({"TF-IDF": "tfidf"} if encoder != "tfidf" else {})
    checks = [
        check_means(f"accuracy against {what}, on {n}", right[name], right[best], seed=seed) for what, name in rivals.items()
    ]
    return _beats_all(checks)


def _beats_all(checks: Sequence[Check]) -> Gate:
    """Accepted where each check by itself would be; the reasons say which was not."""
    gates = [decide(check) for check in checks]
    accepted = all(gate.accepted for gate in gates)
    advice = () if accepted else ("keep the simpler one, which is as good as far as these texts can show", "give more examples")
    return Gate(accepted, checks[0], tuple(checks[1:]), tuple(reason for gate in gates for reason in gate.reasons), advice)


def _by_gradients(
    given: _Given, rows: Any, linear: TextClassifier, recipe: ClassifierRecipe, workplace: Path
) -> tuple[TextClassifier, Run]:
    """The network on the vectors `rows` as they are, or the encoder trained under its head, and how it went."""
    from vicino.training.class_heads import learn_encoder, learn_hidden

    numbers = np.searchsorted(np.array(linear.classes), given.labels).astype(np.int64)
    parts = stratified(given.texts, numbers, _CHOOSE, recipe.seed)
    digest = hashlib.sha256("\0".join([*given.texts, *given.labels.tolist()]).encode("utf-8", "surrogatepass")).hexdigest()
    plain = {name: value for name, value in asdict(recipe).items() if name != "threads"}
    about = {"data": digest, "encoder": linear.encoder.space.id, "recipe": plain}
    where: dict[str, Any] = {"folder": workplace, "fingerprint": about}
    if not isinstance(linear.encoder, Transformer) or not recipe.train_encoder:
        hidden, (weights, intercepts), run = learn_hidden(rows, numbers, parts, recipe, **where)
        model = TextClassifier(linear.encoder, linear.classes, weights, intercepts, hidden)
    else:
        known, *start = _linear(rows[parts[0]], given.labels[parts[0]], recipe.seed)  # those to choose by are new to it
        if known != linear.classes:
            what = f"the classes {', '.join(sorted(set(linear.classes) - set(known)))} have too few texts of their own"
            raise InputError(what, mend="give each class at least five texts that no other class has")
        trained, (weights, intercepts), run = learn_encoder(
            linear.encoder, given.texts, numbers, parts, (start[0], start[1]), recipe, **where
        )
        with artifacts.writing(workplace):
            written = str(save_anew(trained, workplace / "model"))
        model = TextClassifier(Transformer(model=written), linear.classes, weights, intercepts)
    if run.ended == "interrupted":
        raise KeyboardInterrupt
    return model, run


def _linear(rows: Any, labels: Sequence[str] | NDArray[Any], seed: int) -> tuple[list[str], Float32, Float32]:
    """The classes, and a logistic regression's weights (k, d) and intercepts (k,), from unit vectors (n, d)."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits

    names, counts = np.unique(np.asarray(labels, dtype=object).astype(str), return_counts=True)
    if len(names) < 2 or counts.min() < _FEWEST:
        rare = names[counts.argmin()]
        what = f"{len(names)} classes, of which {rare!r} has {counts.min()} texts"
        raise InputError(what, mend=f"give at least two classes, with {_FEWEST} texts each, better dozens")
    folds = StratifiedKFold(min(_FOLDS, int(counts.min())), shuffle=True, random_state=seed)
    model = LogisticRegressionCV(
        Cs=_PENALTIES, cv=folds, max_iter=2000, use_legacy_attributes=False, l1_ratios=(0,), scoring="neg_log_loss"
    )
    # In products this small threads of the linear algebra mostly wait for one another.
    with threadpool_limits(1 if rows.shape[0] * rows.shape[1] < _SMALL else None, user_api="blas"):
        model.fit(rows, np.asarray(labels).astype(str))
    weights: Float32 = np.asarray(model.coef_, dtype=np.float32)
    intercepts: Float32 = np.asarray(model.intercept_, dtype=np.float32)
    if len(names) == 2:  # scikit-learn keeps one row, for the second class
        weights, intercepts = (np.concatenate([-each, each]) * np.float32(0.5) for each in (weights, intercepts))
    return names.tolist(), weights, intercepts


def _layer(saved: artifacts.Artifact, weights: str, intercepts: str, shape: tuple[int, int]) -> Layer:
    """Two saved arrays. Raises ArtifactCorrupt where they are not of this shape."""
    found = saved.arrays.get(weights), saved.arrays.get(intercepts)
    for array, wanted in zip(found, (shape, shape[:1]), strict=True):
        if not isinstance(array, np.ndarray) or array.shape != wanted or array.dtype.kind != "f":
            raise _apart(saved.path)
    return found  # type: ignore[return-value]


def _apart(path: str | PathLike[str]) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"{path}: classes, weights and encoder do not meet", mend="restore it, or train it again")


def _unit(encoder: Encoder, texts: Sequence[str]) -> Any:
    """Vectors of length one, dense or sparse; zeros stay zeros."""
    vectors = encoder.encode(list(texts))
    return vectors if hasattr(vectors, "tocsr") else normalise(vectors)
