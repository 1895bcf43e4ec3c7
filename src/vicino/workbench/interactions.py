"""The verb that compares recommenders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vicino.evaluation.recommendation import Recommendations

__all__ = ["compare_interactions"]


def compare_interactions(
    data: str | PathLike[str],
    *,
    candidates: Sequence[str] = (),
    metrics: Sequence[str] = (),
    split: str | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    report_to: str | PathLike[str] | None = None,
    command: str = "",
) -> Recommendations:
    """Which recommender is best for these interactions of users with items, with the evidence.

    `data` and `columns` are those of `vicino.data.interactions.read_interactions`; `split` is one of
    `vicino.data.interaction_splits.SPLITS`, leave-one-out by default. `candidates` are names or saved recommenders, by default
    all baselines; see `vicino.evaluation.recommendation.compare_recommenders`. `report_to` writes a report, HTML or JSON by the
    ending, which shows `command`. Raises what these raise.
    """
    from vicino.data.interactions import read_interactions
    from vicino.evaluation import report
    from vicino.evaluation.recommendation import LADDER, METRICS, RecommendationTask, compare_recommenders
    from vicino.evaluation.recommendation_text import recommendations_page

    if report_to is not None:
        report.require_ending(report_to, markdown=False)
    read = read_interactions(data, columns=columns)
    task = RecommendationTask.of(read, name=Path(data).name, split=split or "leave-one-out", seed=seed)
    found = compare_recommenders(task, candidates or LADDER, metric_names=metrics or METRICS)
    if report_to is not None:
        as_json = Path(report_to).suffix.lower() == ".json"
        plain = json.dumps(found.to_json() | {"command": command}, indent=1, allow_nan=False) + "\n"
        report.write_text(report_to, plain if as_json else recommendations_page(found, command=command))
    return found
