"""Two reports side by side: what changed from one comparison to another over the same data, or why they may not be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vicino.errors import InputError
from vicino.evaluation.contests import MARGIN, UNSEEN, Contest, require_margin
from vicino.evaluation.runs import comparable
from vicino.evaluation.spelling import listed, p_value, signed
from vicino.evaluation.text import table
from vicino.metrics import significance
from vicino.metrics.values import Values

__all__ = ["Beside", "Change", "beside", "beside_text"]

Plain = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """A candidate's mean by the first metric in the first report and in the second, and the contest of the second with the
    first, on the same queries."""

    name: str
    before: float
    after: float
    contest: Contest


@dataclass(frozen=True)
class Beside:
    """`changes` of the candidates that both reports measured, `only` those that one of them did, and `picks`: what each chose,
    the second's against the first's."""

    task: str
    metric: str
    queries: int
    changes: tuple[Change, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]
    picks: tuple[str, str]
    choice: Change

    @property
    def sentence(self) -> str:
        """What became of the choice."""
        before, after = self.picks
        contest = self.choice.contest
        how = {"the same": f"the same within ±{contest.margin:g}"}.get(contest.decision, contest.decision)
        turned = f"{after} is chosen still" if before == after else f"{before} was chosen, {after} is"
        far = f"{signed(contest.difference.mean)} [{signed(contest.difference.low)}, {signed(contest.difference.high)}]"
        scores = f"{self.metric} {self.choice.before:.3f}, then {self.choice.after:.3f}"
        return f"{turned}: {scores} ({far}, p {p_value(contest.p)}): {how}."

    def to_json(self) -> dict[str, Any]:
        """All of it, as plain data."""
        told = {name: value for name, value in vars(self).items() if name not in ("changes", "choice")}
        return told | {
            "changes": [_plain(change) for change in self.changes],
            "choice": _plain(self.choice),
            "sentence": self.sentence,
        }


def beside(first: Plain, second: Plain, *, margin: float = MARGIN, seed: int = 0) -> Beside:
    """Set two records of `vicino.evaluation.report` side by side, query by query: by the metric that decided both.

    The p of all changes are corrected for their number (Holm). Raises InputError, "not comparable, because ...", where the
    documents, the queries, what was judged or the metric are not the same.
    """
    require_margin(margin)
    why = comparable(first, second)
    if why:
        raise InputError(why, mend="run vicino compare again over the same data, with the same first metric")
    held = [{one["name"]: one for one in report["candidates"] if not one["error"]} for report in (first, second)]
    picks = (first["verdict"]["pick"], second["verdict"]["pick"])
    both = [name for name in held[0] if name in held[1]]
    pairs = [(held[0][picks[0]], held[1][picks[1]]), *((held[0][name], held[1][name]) for name in both)]
    units = [query.get("unit") for query in first["queries"]]
    groups = None if None in units else np.array(units)
    metric = first["metrics"][0]["name"]
    choice, *changes = _changes(pairs, metric, groups, margin, seed)
    only = tuple(tuple(name for name in own if name not in other) for own, other in (held, held[::-1]))
    task = first["task"]["name"]
    return Beside(task, metric, len(units), tuple(changes), (only[0], only[1]), picks, choice)


def _changes(pairs: Sequence[tuple[Plain, Plain]], metric: str, groups: Values | None, margin: float, seed: int) -> list[Change]:
    values = [(np.array(after["values"]), np.array(before["values"])) for before, after in pairs]
    p = significance.holm([significance.randomisation_test(*pair, groups=groups, seed=seed) for pair in values])
    same = significance.holm([significance.equivalence_test(*pair, margin, groups=groups, unseen=UNSEEN) for pair in values])
    found = []
    for (before, after), pair, each, alike in zip(pairs, values, p, same, strict=True):
        difference = significance.bootstrap_difference(*pair, groups=groups, seed=seed)
        alone = len(pair[0]) < 2 or (groups is not None and len(np.unique(groups)) < 2)
        detectable = np.inf if alone else significance.detectable_difference(pair[0] - pair[1], groups=groups)
        tally = significance.wins_ties_losses(*pair)
        contest = Contest(before["name"], difference, tally, each, detectable, alike, margin)
        found.append(Change(after["name"], before["metrics"][metric]["mean"], after["metrics"][metric]["mean"], contest))
    return found


def _plain(change: Change) -> dict[str, Any]:
    told = asdict(change)
    contest = told["contest"]
    contest |= {"difference": change.contest.difference._asdict(), "decision": change.contest.decision}
    contest |= {"detectable": contest["detectable"] if np.isfinite(contest["detectable"]) else None}
    contest.pop("tally")
    return {**told, "contest": contest | change.contest.tally._asdict()}


def beside_text(found: Beside, names: tuple[str, str] = ("before", "after"), *, width: int = 160) -> str:
    """The table that a terminal shows; `names` are of the two reports."""
    heads = [Path(name).name for name in names]
    rows = []
    for change in found.changes:
        contest = change.contest
        mean, low, high = contest.difference
        tally = f"+{contest.tally.wins} ={contest.tally.ties} -{contest.tally.losses}"
        far = f"{signed(mean)} [{signed(low)}, {signed(high)}]"
        rows.append(
            [change.name, f"{change.before:.3f}", f"{change.after:.3f}", far, tally, contest.decision, p_value(contest.p)]
        )
    lines = [f"{found.task}, {found.queries:,} queries: {found.metric} in {names[0]} and in {names[1]}", ""]
    if rows:
        lines += [table(["", *heads, "change", "queries", "decision", "p"], rows, right=range(1, 7), width=width)]
        lines += ["  [95 % interval]; queries +better =equal -worse in the second; p is corrected for all changes"]
    lines += [f"  only in {where}: {listed(own, 6)}" for where, own in zip(names, found.only, strict=True) if own]
    return "\n".join([*lines, "", found.sentence])
