"""The verb of all tasks beside retrieval: similarity, pairs, duplicates, classes, clusters, words, nodes, links, anomalies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicino.artifacts import home

if TYPE_CHECKING:
    from vicino.evaluation.suite import Table, Task

__all__ = ["compare_task"]


def compare_task(
    kind: str,
    data: str | PathLike[str] | Task,
    *,
    candidates: Sequence[str] = (),
    metrics: Sequence[str] = (),
    cache: bool = True,
    report_to: str | PathLike[str] | None = None,
    command: str = "",
    **reading: Any,
) -> Table:
    """Which candidate is best at a task of a kind, a name of `vicino.evaluation.suite.TASKS`, with the evidence.

    `data` is what that kind reads (see its function there), or a task; `reading` holds options of `open_task` there: columns that
    are not recognised, the split that is asked, the seed. `candidates` and `metrics` are by default those of the task; the first
    metric decides. Answers are kept under `home()` unless `cache` is False, so that adding one candidate costs one candidate.
    `report_to` writes a report by its ending, .html, .md or .json, which shows `command`. Raises UnknownName and InputError for
    what cannot be, before anything is asked, and what reading the data raises.
    """
    from vicino.evaluation import page, report
    from vicino.evaluation.suite import Task, judge, open_task
    from vicino.evaluation.suite.text import table_text

    if report_to is not None:
        report.require_ending(report_to)
    task = data if isinstance(data, Task) else open_task(kind, data, **reading)
    found = judge(task, candidates, measures=metrics or None, cache=home() / "cache" if cache else None)
    if report_to is not None:
        plain = found.to_json() | {"command": command}
        ending = Path(report_to).suffix.lower()
        if ending == ".json":
            report.write_text(report_to, json.dumps(plain, indent=1, allow_nan=False) + "\n")
        elif ending == ".md":
            report.write_text(report_to, f"# {task.name}: {task.kind}\n\n{found.verdict}\n\n```\n{table_text(found)}\n```\n")
        else:
            report.write_text(report_to, page.render_table(plain))
    return found
