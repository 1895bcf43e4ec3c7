"""The table of a task as text: what was asked, the rungs, what the columns mean, the verdict."""

from __future__ import annotations

from collections.abc import Iterator

from vicino.evaluation.ladder_text import Told, text
from vicino.evaluation.suite.base import MARGIN, Rung, Table
from vicino.metrics.significance import Interval

__all__ = ["table_text"]


def table_text(found: Table, *, width: int = 160) -> str:
    """The whole table for a terminal of so many characters."""
    return text(_told(found), found.verdict, width=width)


def _told(found: Table) -> Told:
    first = found.measures[0]
    head = ["", *found.measures, f"vs {found.baseline}", "p", "beside the best", "seconds"]
    ranked = sorted(found.rungs, key=lambda rung: -rung.metrics[first].mean if rung.metrics else 2)
    rows = [_row(rung, found, len(head)) for rung in ranked]
    return Told([f"{found.task.name}: {found.task.about}", *found.task.notes], head, rows, list(_beneath(found)))


def _row(rung: Rung, found: Table, cells: int) -> list[str]:
    if rung.error:
        return [rung.name, "failed", *[""] * (cells - 2)]
    name = rung.name + (" *" if rung.name == found.pick else "")
    scores = [_score(rung.metrics[one], with_interval=not place) for place, one in enumerate(found.measures)]
    gain = "baseline" if rung.gain is None else f"{rung.gain.mean:+.3f} [{rung.gain.low:+.3f}, {rung.gain.high:+.3f}]"
    p = "" if rung.p is None else "<.001" if rung.p < 0.001 else f"{rung.p:.3f}"
    return [name, *scores, gain, p, rung.decision, f"{rung.seconds:.1f}"]


def _score(score: Interval, *, with_interval: bool) -> str:
    return f"{score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]" if with_interval else f"{score.mean:.3f}"


def _beneath(found: Table) -> Iterator[str]:
    yield (
        f"* the choice; [95 % interval] over {found.task.unit}; vs {found.baseline}: difference of {found.measures[0]}; p: how "
        "often chance alone would set two so far apart (from the best; corrected for all pairs of candidates)"
    )
    yield f"the same: surely within ±{MARGIN:g} of the best; not told apart: these {found.task.unit} cannot tell"
    for name in found.measures:
        yield f"{name}: {found.task.measures[name].summary}"
    for rung in found.rungs:
        if rung.error:
            yield f"{rung.name} failed: {rung.error}"
