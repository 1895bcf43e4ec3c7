"""Which encoder is best for items with classes: one task, several encoders, and what the items can and cannot tell apart.

Nothing here knows what the items are. Where the asked have classes that are learnt from, they are told by their neighbours and by
a linear probe; where their classes are unseen, as with people's faces, it is judged whether the like find each other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import encoders
from vicino.encoders import Encoder
from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnknownName
from vicino.evaluation.class_measures import MEASURES, Scored, Sides, measure_vectors
from vicino.evaluation.compare import ALPHA, FAILURES
from vicino.evaluation.contests import named
from vicino.evaluation.ladder_text import sentence
from vicino.metrics.significance import Interval, bootstrap_difference, pairwise_tests
from vicino.progress import track
from vicino.vectors import as_vectors

__all__ = ["SEEN", "UNSEEN", "LabelledComparison", "LabelledTask", "Rung", "compare_labelled"]

log = logging.getLogger(__name__)

SEEN = ("kNN", "linear", "mAP", "NMI", "ARI")
UNSEEN = ("recall@1", "TAR", "mAP", "NMI", "ARI")

_FEW, _MANY = 20, 10  # items a class, on average, below which so many classes or more are taken for identities
_LEARN, _ASKED = 50_000, 10_000  # items: more tell no more

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LabelledTask:
    """n items to learn from and m that are asked, of any kind, each with the name of its class.

    >>> task = LabelledTask.of("abcdefgh" * 30, ["vowel" if each in "ae" else "other" for each in "abcdefgh" * 30])
    >>> len(task.learn), len(task.asked), task.unseen
    (192, 48, False)
    """

    name: str
    learn: Sequence[Any]
    learn_labels: Sequence[str]
    asked: Sequence[Any]
    asked_labels: Sequence[str]
    seed: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for items, labels in ((self.learn, self.learn_labels), (self.asked, self.asked_labels)):
            if len(items) != len(labels):
                raise DimensionMismatch(f"{len(items):,} items and {len(labels):,} classes", mend="give one for each")
            if len(items) < 2:
                raise InputError(f"{len(items)} items are too few", mend="give some hundred, of several classes")
        if len({*self.learn_labels, *self.asked_labels}) < 2:
            raise InputError("all items are of one class: there is nothing to tell", mend="give two classes or more")

    @classmethod
    def of(
        cls,
        items: Sequence[Any] | NDArray[Any],
        labels: Sequence[str],
        *,
        name: str = "items",
        asked: Sequence[bool] | NDArray[np.bool_] | None = None,
        unseen: bool | None = None,
        seed: int = 0,
    ) -> LabelledTask:
        """Part items with classes: `asked` (n,) says which are asked, where that is settled.

        Otherwise a fifth of each class is asked, or half of the classes where these are `unseen`; None: where a class has fewer
        than 20 items on average, as people have photographs. Of many so many are drawn: 50,000 to learn from, 10,000 to ask.
        Raises DimensionMismatch, and InputError where one side would be left with less than two, and for one class.
        """
        names = np.asarray(labels, dtype=str)
        if len(names) != len(items):
            raise DimensionMismatch(f"{len(items):,} items and {len(names):,} classes", mend="give one for each")
        random = np.random.default_rng(seed)
        if asked is None:
            classes = len(np.unique(names))
            few = classes >= _MANY and len(names) < _FEW * classes if unseen is None else unseen
            chosen = _half_of_the_classes(names, random) if few else _fifth_of_each(names, random)
        else:
            chosen = np.asarray(asked, dtype=np.bool_)
        notes, sides = [], []
        for rows, most, what in ((np.flatnonzero(~chosen), _LEARN, "learnt from"), (np.flatnonzero(chosen), _ASKED, "asked")):
            if len(rows) > most:
                notes.append(f"{most:,} of {len(rows):,} items are {what}")
            sides.append(np.sort(random.permutation(rows)[:most]).tolist())
        learn, told = sides
        parts = ([items[row] for row in learn], names[learn].tolist(), [items[row] for row in told], names[told].tolist())
        return cls(name, *parts, seed, tuple(notes))

    @property
    def classes(self) -> list[str]:
        """The classes of the asked, sorted."""
        return sorted(set(self.asked_labels))

    @property
    def unseen(self) -> bool:
        """Whether none of the classes that are asked is learnt from."""
        return set(self.learn_labels).isdisjoint(self.asked_labels)

    @property
    def measures(self) -> tuple[str, ...]:
        """What it is measured by where nobody says."""
        return UNSEEN if self.unseen else SEEN


@dataclass(frozen=True, eq=False)
class Rung:
    """One encoder: what was measured, what it took, or the error.

    `p` is of the paired test against the best, corrected for the number of candidates, and None for the best itself; `gain` is
    the mean difference from the best simple baseline.
    """

    name: str
    simple: bool = False
    dim: int = 0
    fit_seconds: float = 0.0
    per_second: float = 0.0
    scores: Mapping[str, Scored] = field(default_factory=dict)
    error: str = ""
    p: float | None = None
    gain: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        """The numbers, as JSON can say them."""
        told = ("name", "simple", "dim", "fit_seconds", "per_second", "error", "p")
        scores = {
            name: {"value": one.value, "low": one.interval and one.interval.low, "high": one.interval and one.interval.high}
            for name, one in self.scores.items()
        }
        return {name: getattr(self, name) for name in told} | {"metrics": scores, "gain": self.gain and self.gain._asdict()}


@dataclass(frozen=True, eq=False)
class LabelledComparison:
    """The evidence: the task, the measures, the rungs in the order asked for, the best simple one, and the verdict."""

    task: LabelledTask
    measures: tuple[str, ...]
    rungs: tuple[Rung, ...]
    baseline: str
    pick: str
    verdict: str

    def __getitem__(self, name: str) -> Rung:
        return named(name, self.rungs)

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        task = self.task
        about = {"name": task.name, "seed": task.seed, "unseen": task.unseen, "notes": list(task.notes)}
        counts = {"learn": len(task.learn), "asked": len(task.asked), "classes": len(task.classes)}
        return {
            "schema": "vicino.labelled/1",
            "task": about | counts,
            "metrics": [{"name": name, "summary": MEASURES[name].summary} for name in self.measures],
            "candidates": [rung.to_json() for rung in self.rungs],
            "baseline": self.baseline,
            "pick": self.pick,
            "verdict": self.verdict,
        }


def compare_labelled(
    task: LabelledTask, candidates: Sequence[str | PathLike[str] | Encoder], *, measures: Sequence[str] | None = None
) -> LabelledComparison:
    """Climb the ladder of encoders; the first measure decides, and gives one value an item.

    Candidates are names, with parameters or without ("pixels", "eigenimages(n_components=64)"), folders of saved encoders, or
    encoders. What has not learnt yet learns from the items to learn from. One that fails is reported, and does not stop the
    others. Raises UnknownName and InputError for names and measures that cannot be, before anything is measured, and EmptyInput
    where none could be measured.
    """
    wanted = tuple(measures or task.measures)
    for name in wanted:
        if name not in MEASURES:
            raise UnknownName.among(name, MEASURES, kind="measure")
    if not candidates or not MEASURES[wanted[0]].each:
        raise InputError("nothing to decide by", mend=f"name a candidate, and first one of {', '.join(_deciding())}")
    if task.unseen and any(MEASURES[name].seen for name in wanted):
        mend = f"choose from {', '.join(UNSEEN)}"
        raise InputError("the asked are of classes that nothing is learnt from: nothing tells these by name", mend=mend)
    made = {_name(each): each if isinstance(each, Encoder) else encoders.make(each) for each in candidates}
    rungs = []
    for name, encoder in track(list(made.items()), "Climbing the ladder", unit="candidates"):
        try:
            rungs.append(_rung(name, encoder, task, wanted))
        except FAILURES as error:
            log.info("%s failed", name, exc_info=True)
            rungs.append(Rung(name, error=str(error) or type(error).__name__))
    standing = [rung for rung in rungs if not rung.error]
    if not standing:
        told = "; ".join(f"{rung.name}: {rung.error}" for rung in rungs)
        raise EmptyInput(f"no candidate could be measured: {told}", mend="look at the data, then at the names")
    first = wanted[0]
    best = max(standing, key=lambda rung: rung.scores[first].value)
    simple = [rung for rung in standing if rung.simple] or [best]
    baseline = max(simple, key=lambda rung: rung.scores[first].value)
    judged = _told_apart(rungs, best, baseline, first, task.seed)
    pick, verdict = _verdict(judged, best.name, first, len(task.asked))
    return LabelledComparison(task, wanted, tuple(judged), baseline.name, pick, verdict)


def _deciding() -> list[str]:
    return [name for name, one in MEASURES.items() if one.each]


def _name(candidate: str | PathLike[str] | Encoder) -> str:
    return repr(candidate) if isinstance(candidate, Encoder) else str(candidate)


def _fifth_of_each(names: NDArray[Any], random: np.random.Generator) -> NDArray[np.bool_]:
    """Of each class a fifth, one at least and never all."""
    asked = np.zeros(len(names), dtype=np.bool_)
    for name in np.unique(names):
        rows = random.permutation(np.flatnonzero(names == name))
        asked[rows[: min(max(1, len(rows) // 5), len(rows) - 1)]] = True
    return asked


def _half_of_the_classes(names: NDArray[Any], random: np.random.Generator) -> NDArray[np.bool_]:
    classes = random.permutation(np.unique(names))
    if len(classes) < 4:
        raise InputError(f"{len(classes)} classes are too few to leave half of them unseen", mend="give four classes or more")
    return np.isin(names, classes[: len(classes) // 2])


def _rung(name: str, encoder: Encoder, task: LabelledTask, wanted: Sequence[str]) -> Rung:
    began = time.perf_counter()
    if not (encoder.pretrained or encoder.__sklearn_is_fitted__()):
        encoder = encoder.clone().fit(task.learn)
    fitted = time.perf_counter()
    learn, asked = (_dense(encoder.encode(list(items))) for items in (task.learn, task.asked))
    seconds = time.perf_counter() - fitted
    sides = Sides.of(learn, task.learn_labels, asked, task.asked_labels, seed=task.seed)
    scores = measure_vectors(sides, wanted)
    per_second = (len(learn) + len(asked)) / max(seconds, 1e-9)
    return Rung(name, encoder.simple, encoder.dim, fitted - began, per_second, scores)


def _dense(vectors: Any) -> NDArray[np.float32]:
    return as_vectors(vectors.toarray() if hasattr(vectors, "toarray") else vectors)


def _told_apart(rungs: Sequence[Rung], best: Rung, baseline: Rung, measure: str, seed: int) -> list[Rung]:
    """Each rung with its test against the best, and its gain over the baseline."""
    standing = [best, *(rung for rung in rungs if not rung.error and rung is not best)]
    tests = pairwise_tests([_units(rung.scores[measure]) for rung in standing], seed=seed).p[0]  # of all pairs: best was chosen
    p = dict(zip((rung.name for rung in standing[1:]), tests[1:].tolist(), strict=True))
    told = []
    for rung in rungs:
        gain = None
        if not rung.error and rung is not baseline:
            (_, _, own, groups), base = rung.scores[measure], baseline.scores[measure].values
            gain = None if own is None or base is None else bootstrap_difference(own, base, groups=groups, seed=seed)
        told.append(replace(rung, p=p.get(rung.name), gain=gain))
    return told


def _units(scored: Scored) -> NDArray[np.float64]:
    """One value for each that is drawn by itself: an item, or the mean of those that hang together."""
    values = np.asarray(scored.values, dtype=np.float64)
    if scored.groups is None:
        return values
    places = np.unique(scored.groups, return_inverse=True)[1]
    means: NDArray[np.float64] = np.bincount(places, weights=values) / np.bincount(places)
    return means


def _verdict(rungs: Sequence[Rung], best: str, measure: str, asked: int) -> tuple[str, str]:
    standing = {rung.name: rung for rung in rungs if not rung.error}
    tied = [rung for rung in standing.values() if rung.p is not None and rung.p >= ALPHA]
    simple = [rung for rung in (standing[best], *tied) if rung.simple]
    contenders = simple or [standing[best], *tied]
    pick = max(contenders, key=lambda rung: rung.scores[measure].value if simple else rung.per_second)
    scored = standing[best].scores[measure]
    shown = "" if scored.interval is None else f" [{scored.interval.low:.3f}, {scored.interval.high:.3f}]"
    why = "is the best of the simple ones" if simple else "encodes fastest of them"
    return pick.name, sentence(
        best,
        f"{measure} {scored.value:.3f}{shown}",
        [rung.name for rung in tied],
        pick=pick.name,
        why=why,
        asked=f"{asked:,} items",
        alone=len(standing) == 1,
        failed=[rung.name for rung in rungs if rung.error],
    )
