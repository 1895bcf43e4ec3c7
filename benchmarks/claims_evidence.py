"""What a claim stands on: trials with the figure that each gave, what rule reads them, and the verdict of all together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from units import Units
from vicino.data.records import Document, Judgement, Query
from vicino.evaluation.tasks import RetrievalTask, judged, open_task
from vicino.metrics.significance import bootstrap_interval

MARGIN = 0.01  # of nDCG@10, accuracy, Spearman: what would change nobody's choice
RESAMPLES = 2000  # of a statistic that is no mean
SETS = ("scifact", "cranfield", "cacm")

Values = NDArray[np.float64]
Rule = Literal["above", "not below", "beside"]


@dataclass(frozen=True, eq=False)
class Trial:
    """One thing that a claim foretells, as it was measured: the effect, of which the claim says that it is above 0.

    `values` (n,) are paired differences, whose mean is the effect; `groups` (n,) number what hangs together. A statistic that is
    no mean gives its `estimate` and `draws` (resamples,) instead. `rule` "not below" asks for no more than that the effect is not
    under -`margin`; "beside" is told for comparison, and decides nothing. `shown` says what was measured, with the plain figures.
    """

    data: str
    shown: str
    measure: str
    n: int
    values: Values | None = None
    groups: NDArray[Any] | None = None
    estimate: float = 0.0
    draws: Values | None = None
    seeds: int = 1
    rule: Rule = "above"
    margin: float = MARGIN

    def row(self, level: float) -> dict[str, Any]:
        """The trial as plain data, with an interval of this level."""
        if self.values is not None:
            mean, low, high = bootstrap_interval(self.values, groups=self.groups, level=level)
        elif self.draws is not None:
            mean, (low, high) = self.estimate, np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        else:
            raise ValueError(f"{self.shown}: neither values nor draws")
        effect = (float(mean), float(low), float(high))
        return read(self.data, self.shown, self.measure, self.n, effect, seeds=self.seeds, rule=self.rule, margin=self.margin)


def read(
    data: str,
    shown: str,
    measure: str,
    n: int,
    effect: Sequence[float],
    *,
    seeds: int = 1,
    rule: Rule = "above",
    margin: float = MARGIN,
    span: str = "",
) -> dict[str, Any]:
    """A trial as plain data. `effect` is (mean, low, high); `span` says what low and high are where they are no interval."""
    mean, low, high = (round(float(one), 4) for one in effect)
    outcome = told(low, high, rule, margin)
    return {
        "data": data,
        "shown": shown,
        "measure": measure,
        "n": n,
        "seeds": seeds,
        "effect": [mean, low, high],
        "span": span,
        "rule": rule,
        "margin": margin,
        "outcome": outcome,
    }


def told(low: float, high: float, rule: Rule, margin: float) -> str:
    """Whether an interval says "yes", "no", or leaves it "open".

    >>> told(0.01, 0.05, "above", 0.01), told(-0.02, 0.005, "above", 0.01), told(-0.02, 0.05, "above", 0.01)
    ('yes', 'no', 'open')
    >>> told(-0.005, 0.02, "not below", 0.01), told(-0.05, -0.02, "not below", 0.01)
    ('yes', 'no')
    """
    if rule == "beside":
        return ""
    if rule == "above":
        return "yes" if low > 0 else "no" if high < margin else "open"
    return "yes" if low > -margin else "no" if high < 0 else "open"


def settled(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Trials as plain data. All that decide hold together in 95 of 100 cases: each has its share of the five (Bonferroni)."""
    deciding = sum(trial.rule != "beside" for trial in trials)
    return [trial.row(1 - 0.05 / max(1, deciding if trial.rule != "beside" else 1)) for trial in trials]


def verdict(rows: Sequence[dict[str, Any]]) -> str:
    """What the outcomes say together.

    >>> verdict([{"outcome": "yes"}, {"outcome": "open"}]), verdict([{"outcome": "open"}, {"outcome": ""}]), verdict([])
    ('holds partly', 'not told apart', 'untested')
    """
    outcomes = {row["outcome"] for row in rows} - {""}
    if not outcomes:
        return "untested"
    if outcomes == {"yes"}:
        return "holds"
    if outcomes == {"open"}:
        return "not told apart"
    return "holds partly" if "yes" in outcomes else "does not hold"


@dataclass(frozen=True)
class Lab(Units):
    """Where data lies, what is kept from one call to the next, and what several claims use."""

    data: Path
    figures: Path
    seeds: int = 3
    threads: int = 1

    def array(self, name: str, made: Any) -> NDArray[Any]:
        """An array that took minutes, from its file if it was made before."""
        file = self.work / f"{name}.npy"
        if not file.exists():
            with file.with_suffix(".part").open("wb") as out:
                np.save(out, made())
            file.with_suffix(".part").replace(file)
        return np.asarray(np.load(file))

    @cached_property
    def tasks(self) -> dict[str, RetrievalTask]:
        """Judged retrieval: three sets, and the snippets of CoNaLa that an intent asks for."""
        return {name: open_task(self.data / name) for name in SETS} | {"conala": conala(self.data / "conala")}

    @cached_property
    def embedded(self) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The vectors of all-MiniLM-L6-v2 of each set's documents and of its queries, of length one; only of what is asked."""
        return Embedded(self)


class Embedded(dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]):
    """The vectors of a set, made when they are asked for."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab = lab

    def __missing__(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        from vicino.encoders.transformer import Transformer

        task, encoder = self.lab.tasks[name], Transformer()
        texts = [one.content for one in task.documents]
        documents = self.lab.array(f"minilm-{name}", lambda: encoder.encode_document(texts))
        queries = self.lab.array(f"minilm-{name}-queries", lambda: encoder.encode_query([one.text for one in task.queries]))
        self[name] = documents, queries
        return self[name]


def conala(folder: Path) -> RetrievalTask:
    """The test split's intents, and all snippets of both splits: one answer each."""
    rows = {
        split: [json.loads(line) for line in (folder / f"{split}.jsonl").read_text("utf-8").splitlines()]
        for split in ("train", "test")
    }
    snippets = list(dict.fromkeys(row["snippet"] for split in rows.values() for row in split))
    place = {snippet: str(number) for number, snippet in enumerate(snippets)}
    documents = [Document(number, snippet) for snippet, number in place.items()]
    intents = dict.fromkeys((row["rewritten_intent"] or row["intent"]) for row in rows["test"])
    names = {intent: f"q{number}" for number, intent in enumerate(intents)}
    grades = {(names[row["rewritten_intent"] or row["intent"]], place[row["snippet"]]) for row in rows["test"]}
    queries = [Query(name, intent) for intent, name in names.items()]
    return judged("conala", documents, queries, [Judgement(*each, 1) for each in sorted(grades)])


def plain(trials: Sequence[Trial], **about: Any) -> dict[str, Any]:
    """What an experiment keeps."""
    return {"rows": settled(trials), **about}


def figure(lab: Lab, name: str) -> dict[str, Any]:
    """What a benchmark of ours printed."""
    return dict(json.loads((lab.figures / f"{name}.json").read_text("utf-8")))
