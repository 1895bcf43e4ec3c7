"""A comparison of recommenders as text and as a page: what was asked, the table, what its columns mean, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator

from vicino.evaluation.ladder_text import Told, page, text
from vicino.evaluation.recommendation import BASELINE, Ranked, Recommendations

__all__ = ["recommendations_page", "recommendations_text"]


def recommendations_text(found: Recommendations, *, width: int = 160) -> str:
    """The whole comparison for a terminal of so many characters."""
    return text(_told(found), found.verdict, width=width)


def recommendations_page(found: Recommendations, *, command: str = "") -> str:
    """The same as one HTML file; see `vicino.evaluation.ladder_text.page`."""
    return page(_told(found), found.verdict, title=found.task.name, command=command)


def _told(found: Recommendations) -> Told:
    task = found.task
    about = (
        f"{task.name}: {len(task.train):,} interactions of {len(task.train.users):,} users with {len(task.train.items):,} items "
        f"to learn from; {len(task.held):,} users are asked (split {task.split}, seed {task.seed})"
    )
    head = [
        "recommender",
        *found.metric_names,
        f"vs {BASELINE}",
        "p",
        "shown",
        "crowding",
        "bias",
        "surprise",
        "fit s",
        "ms/user",
    ]
    rows = [_row(rung, found, len(head)) for rung in sorted(found.rungs, key=lambda rung: -rung.mean)]
    return Told([about, *task.notes], head, rows, list(_beneath(found)))


def _row(rung: Ranked, found: Recommendations, cells: int) -> list[str]:
    if rung.found is None:
        return [rung.name, "failed", *[""] * (cells - 2)]
    told = rung.found
    name = rung.name + (" *" if rung.name == found.pick else "")
    intervals = [told.metrics[metric] for metric in found.metric_names]
    scores = [f"{mean:.3f} [{low:.3f}, {high:.3f}]" for mean, low, high in intervals]
    gain = f"{rung.gain.mean:+.3f}" if rung.gain else ""
    p = "" if rung.p is None else "<.001" if rung.p < 0.001 else f"{rung.p:.3f}"
    beside = [f"{told.coverage:.1%}", f"{told.crowding:.2f}", f"{told.bias:.1f}×", f"{told.surprise:.1f}"]
    return [name, *scores, gain, p, *beside, f"{rung.fit_seconds:.2f}", f"{told.ms:.2f}"]


def _beneath(found: Recommendations) -> Iterator[str]:
    yield (
        f"* the choice; [95 % interval] over users; vs {BASELINE}: difference of {found.metric_names[0]}; p: how often chance "
        "alone would set two so far apart (from the best; corrected for several candidates)"
    )
    yield (
        "shown: share of all items that anybody was recommended; crowding: Gini coefficient of how often; bias: how many times "
        "more popular than what users had met; surprise: bits of novelty"
    )
    metric = found.metric_names[min(1, len(found.metric_names) - 1)]
    for rung in found.rungs:
        if rung.found is None:
            yield f"{rung.name} failed: {rung.error}"
            continue
        params = " ".join(f"{name}={value}" for name, value in rung.params.items())
        chosen = f", chosen from {rung.tried} on a validation cut in {rung.tuning_seconds:.1f} s" if rung.tried else ""
        yield f"{rung.name}: {params or 'no parameters'}{chosen}"
        new = [f"{interval.mean:.3f} for new {who} ({n:,} users)" for who, (n, interval) in rung.found.new.items()]
        if new:
            yield f"{rung.name}: {metric} {', '.join(new)}; new: 5 interactions or fewer"
