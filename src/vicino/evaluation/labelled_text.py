"""A comparison of encoders on items with classes, as text and as a page: the same table, what its columns mean, the verdict."""

from __future__ import annotations

from collections.abc import Iterator

from vicino.evaluation.class_measures import MEASURES, Scored
from vicino.evaluation.labelled import LabelledComparison, Rung
from vicino.evaluation.ladder_text import Told, page, text

__all__ = ["labelled_page", "labelled_text"]


def labelled_text(found: LabelledComparison, *, width: int = 160) -> str:
    """The whole comparison for a terminal of so many characters."""
    return text(_told(found), found.verdict, width=width)


def labelled_page(found: LabelledComparison, *, command: str = "") -> str:
    """The same as one HTML file; see `vicino.evaluation.ladder_text.page`."""
    return page(_told(found), found.verdict, title=found.task.name, command=command)


def _told(found: LabelledComparison) -> Told:
    task = found.task
    kind = "of classes that nothing is learnt from" if task.unseen else "of classes that are learnt from"
    about = f"{task.name}: {len(task.learn):,} items to learn from; {len(task.asked):,} are asked, {kind} ({len(task.classes):,})"
    head = ["", *found.measures, f"vs {found.baseline}", "p", "dim", "fit s", "items/s"]
    ranked = sorted(found.rungs, key=lambda rung: -rung.scores[found.measures[0]].value if rung.scores else 1)
    rows = [_row(rung, found) for rung in ranked]
    return Told([about, *task.notes], head, rows, list(_beneath(found)))


def _row(rung: Rung, found: LabelledComparison) -> list[str]:
    if rung.error:
        return [rung.name, "failed"] + [""] * (len(found.measures) + 4)
    name = rung.name + (" *" if rung.name == found.pick else "")
    scores = [_score(rung.scores[measure], with_interval=not place) for place, measure in enumerate(found.measures)]
    gain = "baseline" if rung.gain is None else f"{rung.gain.mean:+.3f} [{rung.gain.low:+.3f}, {rung.gain.high:+.3f}]"
    p = "" if rung.p is None else "<.001" if rung.p < 0.001 else f"{rung.p:.3f}"
    return [name, *scores, gain, p, f"{rung.dim:,}", f"{rung.fit_seconds:.1f}", f"{rung.per_second:,.0f}"]


def _score(scored: Scored, *, with_interval: bool) -> str:
    if scored.interval is None or not with_interval:
        return f"{scored.value:.3f}"
    return f"{scored.value:.3f} [{scored.interval.low:.3f}, {scored.interval.high:.3f}]"


def _beneath(found: LabelledComparison) -> Iterator[str]:
    over = "classes" if found.task.unseen else "items"
    yield (
        f"* the choice; [95 % interval] over {over}; vs {found.baseline}: difference of {found.measures[0]}; "
        "p: how often chance alone would set two so far apart (from the best; corrected for several candidates)"
    )
    for name in found.measures:
        yield f"{name}: {MEASURES[name].summary}"
    for rung in found.rungs:
        if rung.error:
            yield f"{rung.name} failed: {rung.error}"
