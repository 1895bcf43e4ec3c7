"""Tasks beside retrieval, one table shape for all: `TASKS` lists them, `open_task` reads data for one, `judge` fills the table.

A new task is one function `(path, *, columns, split, seed) -> Task` and one line in TASKS. See `vicino.evaluation.suite.base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import cast

from vicino.catalog import Catalog, Entry
from vicino.evaluation.suite.base import Measure, Rung, Table, Task
from vicino.evaluation.suite.judging import judge

__all__ = ["TASKS", "Measure", "Rung", "Table", "Task", "judge", "open_task"]

TASKS = Catalog(
    "task",
    {
        "similarity": Entry("vicino.evaluation.suite.pairs:similarity", "pairs of texts with a score, for encoders of text"),
        "pairs": Entry("vicino.evaluation.suite.pairs:pairs", "pairs of texts that belong together or not"),
        "duplicates": Entry("vicino.evaluation.suite.duplicates:duplicates", "texts with groups of duplicates, or pairs"),
        "classes": Entry("vicino.evaluation.suite.classes:classes", "texts with classes, told by a probe and by neighbours"),
        "clusters": Entry("vicino.evaluation.suite.classes:clusters", "texts with classes, found by k-means"),
        "words": Entry("vicino.evaluation.suite.words:words", "pairs of words with a score, or analogies"),
        "nodes": Entry("vicino.evaluation.suite.graphs:nodes", "a graph with labels of nodes, for encoders of nodes"),
        "links": Entry("vicino.evaluation.suite.graphs:links", "a graph, of which edges are held out"),
        "anomalies": Entry("vicino.evaluation.suite.anomalies:anomalies", "rows or texts, of which some are anomalies"),
    },
)


def open_task(
    kind: str,
    data: str | PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
    seed: int = 0,
) -> Task:
    """The data of a kind as a task. Raises UnknownName for a kind that does not exist, and what reading the data raises."""
    return cast(Task, TASKS[kind](Path(data), columns=columns, split=split, seed=seed))
