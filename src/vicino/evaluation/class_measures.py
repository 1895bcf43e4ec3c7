"""What vectors of items with classes are measured by: each measure by its name, from vectors and numbers of classes alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, InputError, UnknownName
from vicino.metrics.clustering import k_means
from vicino.metrics.neighbours import class_average_precision, knn_classes, recall_at_1
from vicino.metrics.significance import Interval, bootstrap_interval
from vicino.metrics.verification import threshold_at_far
from vicino.vectors import as_vectors, normalise

__all__ = ["FAR", "MEASURES", "NEIGHBOURS", "Measure", "Scored", "Sides", "measure_vectors"]

NEIGHBOURS = 20
FAR = 1e-2
_PROBED = 10_000  # items that a linear probe learns from
_C = 0.1  # its inverse penalty
_STEPS = 500  # of its solver
_ASKED = 1000  # items that rank all others
_PAIRED = 1500  # items of which all pairs are verified: a million
_CLUSTERED = 5000

Rows = NDArray[np.int64]


class Scored(NamedTuple):
    """A measure: its value, the interval, a value for each item (or pair), and the `groups` that hang together."""

    value: float
    interval: Interval | None = None
    values: NDArray[np.float64] | None = None
    groups: Rows | None = None


@dataclass(frozen=True, eq=False)
class Sides:
    """(n, d) vectors that are learnt from, (m, d) that are asked, and (n,) and (m,) numbers of their classes.

    `of` raises what `vicino.vectors.as_vectors` raises, DimensionMismatch where there are not as many classes as vectors, and
    InputError for nothing to ask.
    """

    learn: NDArray[np.float32]
    learn_classes: Rows
    asked: NDArray[np.float32]
    asked_classes: Rows
    seed: int = 0

    @classmethod
    def of(cls, learn: ArrayLike, learn_labels: ArrayLike, asked: ArrayLike, asked_labels: ArrayLike, *, seed: int = 0) -> Sides:
        """From vectors and classes of any names.

        >>> Sides.of([[1, 0]], ["cat"], [[1, 1], [0, 1]], ["dog", "cat"]).asked_classes.tolist()
        [1, 0]
        """
        known = as_vectors(learn)
        told = as_vectors(asked, dim=known.shape[1])
        names = [np.asarray(each).astype(str) for each in (learn_labels, asked_labels)]
        for rows, labels in zip((known, told), names, strict=True):
            if labels.shape != (len(rows),):
                raise DimensionMismatch(f"{len(rows):,} vectors and classes of shape {labels.shape}", mend="give one for each")
        if not len(told):
            raise InputError("there is nothing to ask", mend="give at least two items to ask")
        numbers = np.unique(np.concatenate(names), return_inverse=True)[1].astype(np.int64)
        return cls(known, numbers[: len(known)], told, numbers[len(known) :], seed)

    @cached_property
    def unseen(self) -> bool:
        """Whether none of the classes that are asked is learnt from."""
        return not np.isin(self.asked_classes, self.learn_classes).any()

    @property
    def together(self) -> Rows | None:
        """What hangs together among the asked: of classes that nobody saw, the items of one."""
        return self.asked_classes if self.unseen else None

    def draw(self, n: int, size: int) -> Rows:
        """`n` of `size` rows, or all, in their order."""
        return np.sort(np.random.default_rng(self.seed).permutation(size)[:n])


@dataclass(frozen=True)
class Measure:
    """How it is made, in words, whether each item has a value, and whether the classes must be those that are learnt from."""

    function: Callable[[Sides], Scored]
    summary: str
    each: bool = True
    seen: bool = False


def measure_vectors(sides: Sides, names: Sequence[str] | None = None) -> dict[str, Scored]:
    """The measures of these names, or all that fit.

    Raises UnknownName, and InputError for a measure of classes that are learnt from where the asked have others.

    >>> sides = Sides.of([[1, 0], [0, 1]], ["a", "b"], [[1, 0.1], [0.2, 1]], ["a", "b"])
    >>> measure_vectors(sides, ["kNN"])["kNN"].value
    1.0
    """
    chosen = [name for name, one in MEASURES.items() if not (one.seen and sides.unseen)] if names is None else names
    for name in chosen:
        if name not in MEASURES:
            raise UnknownName.among(name, MEASURES, kind="measure")
        if MEASURES[name].seen and sides.unseen:
            raise InputError(
                f"{name} tells classes that are learnt from; the asked have others", mend="choose recall@1, TAR or mAP"
            )
    return {name: MEASURES[name].function(sides) for name in chosen}


def _each(sides: Sides, values: ArrayLike, groups: Rows | None) -> Scored:
    array = np.asarray(values, dtype=np.float64)
    interval = bootstrap_interval(array, groups=groups, seed=sides.seed)
    return Scored(interval.mean, interval, array, groups)


def _knn(sides: Sides) -> Scored:
    told = knn_classes(sides.learn, sides.learn_classes, sides.asked, NEIGHBOURS)
    return _each(sides, told == sides.asked_classes, None)


def _linear(sides: Sides) -> Scored:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = sides.draw(_PROBED, len(sides.learn))
    if len(np.unique(sides.learn_classes[rows])) < 2:
        raise InputError("a linear probe of one class tells nothing", mend="learn from two classes or more")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=_C, max_iter=_STEPS))
    with warnings.catch_warnings():  # the steps are part of the protocol
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(sides.learn[rows], sides.learn_classes[rows])
    return _each(sides, model.predict(sides.asked) == sides.asked_classes, None)


def _recall(sides: Sides) -> Scored:
    return _each(sides, recall_at_1(sides.asked, sides.asked_classes), sides.together)


def _retrieval(sides: Sides) -> Scored:
    rows = sides.draw(_ASKED, len(sides.asked))
    asked, own = sides.asked[rows], sides.asked_classes[rows]
    if sides.unseen:
        values = class_average_precision(sides.asked, sides.asked_classes, asked, own, themselves=rows)
        return _each(sides, values, own)
    return _each(sides, class_average_precision(sides.learn, sides.learn_classes, asked, own), None)


def _verified(sides: Sides) -> Scored:
    rows = _some_of_each(sides)
    unit, classes = normalise(sides.asked[rows]), sides.asked_classes[rows]
    left, right = np.triu_indices(len(rows), 1)
    cosines, same = (unit @ unit.T)[left, right], classes[left] == classes[right]
    if same.all() or not same.any():
        raise InputError("there are no pairs of both kinds, of one class and of two", mend="ask two items or more of each class")
    threshold = threshold_at_far(cosines[~same], FAR)
    return _each(sides, cosines[same] >= threshold, classes[left[same]])


def _some_of_each(sides: Sides) -> Rows:
    """Rows of the asked, as many of each class, and whole classes rather than parts of them."""
    drawn = np.random.default_rng(sides.seed).permutation(len(sides.asked))
    if len(drawn) <= _PAIRED:
        return np.sort(drawn)
    classes = sides.asked_classes[drawn]
    order = np.argsort(classes, kind="stable")
    begins = np.searchsorted(classes[order], classes[order])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - begins
    most = max(2, _PAIRED // len(np.unique(classes)))
    kept = drawn[rank < most]
    place = np.random.default_rng(sides.seed).permutation(int(sides.asked_classes.max()) + 1)[sides.asked_classes[kept]]
    return np.sort(kept[np.argsort(place, kind="stable")][:_PAIRED])


def _clusters(sides: Sides, what: str) -> Scored:
    rows = sides.draw(_CLUSTERED, len(sides.asked))
    return Scored(float(getattr(k_means(sides.asked[rows], sides.asked_classes[rows], seed=sides.seed), what)))


def _nmi(sides: Sides) -> Scored:
    return _clusters(sides, "nmi")


def _ari(sides: Sides) -> Scored:
    return _clusters(sides, "ari")


MEASURES: Mapping[str, Measure] = {
    "kNN": Measure(_knn, f"told by the {NEIGHBOURS} nearest by cosine; of as many votes the nearest decides", seen=True),
    "linear": Measure(
        _linear, f"told by logistic regression (C = {_C}) on standardised vectors of {_PROBED:,} items at most", seen=True
    ),
    "recall@1": Measure(_recall, "the nearest other of the asked is of the same class"),
    "TAR": Measure(_verified, f"pairs of one class accepted where {FAR:.1%} of pairs of two are (TAR@FAR), by cosine"),
    "mAP": Measure(_retrieval, "average precision where one's own class is to be found"),
    "NMI": Measure(_nmi, "k-means, as many clusters as classes: normalised mutual information", each=False),
    "ARI": Measure(_ari, "k-means, as many clusters as classes: adjusted Rand index", each=False),
}
