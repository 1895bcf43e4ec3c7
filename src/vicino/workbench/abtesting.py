"""The verbs of experiments on users: plan one, and read what its log says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from vicino.errors import InputError

if TYPE_CHECKING:
    from vicino.evaluation.abtest import Plan, Preference, Reading

__all__ = ["abtest_interleaved", "abtest_plan", "abtest_read"]


def abtest_plan(
    baseline: float,
    effect: float,
    *,
    spread: float | None = None,
    level: float = 0.05,
    power: float = 0.8,
    groups: int = 2,
    per_day: float | None = None,
) -> Plan:
    """How many users find a change of `effect`; see `vicino.evaluation.abtest.plan`."""
    from vicino.evaluation.abtest import plan

    return plan(baseline, effect, spread=spread, level=level, power=power, groups=groups, per_day=per_day)


def abtest_read(
    log: str | PathLike[str],
    metrics: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    start: str | None = None,
    end: str | None = None,
    **asked: Any,
) -> Reading:
    """What a log of an experiment says, metric by metric; `start` and `end` are dates, such as "2026-05-01".

    `asked` are the options of `vicino.evaluation.abtest.read`: control, shares, effect, margin, peek. Raises what that raises,
    and `vicino.data.experiment_logs.read_log`.
    """
    from vicino.data.experiment_logs import read_log
    from vicino.data.interaction_tables import seconds
    from vicino.evaluation.abtest import read

    span = {name: seconds(date) for name, date in (("start", start), ("end", end)) if date is not None}
    for name, moment in span.items():
        if math.isnan(moment):
            raise InputError(f"{name} is no date", mend="write such as 2026-05-31 or 2026-05-31T12:00:00")
    return read(read_log(log, columns=columns, **span), metrics, **asked)


def abtest_interleaved(log: str | PathLike[str], *, event: str = "", columns: Mapping[str, str] | None = None) -> Preference:
    """Which of two interleaved rankings users prefer; see `vicino.metrics.experiments.team_draft`."""
    from vicino.data.experiment_logs import read_interleaved
    from vicino.evaluation.abtest import prefer

    return prefer(read_interleaved(log, columns=columns, event=event))
