"""What came of a training, whatever was taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicino.data.lint import Lint
from vicino.evaluation.gate import Gate
from vicino.learning.loop import Run

__all__ = ["Outcome"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Where it lies, what was found in the data, how training went, and the verdict.

    `judged_by` says in words what the verdict stands on, by `metric`; `scores` are means over that: of the baselines, "before"
    (where something was there before) and after. `told` says what was learnt from: negatives that were mined, or how much and how
    fast. `seconds` are those of each step.
    """

    path: Path
    found: Lint
    judged_by: str
    metric: str
    told: str
    run: Run
    gate: Gate
    scores: Mapping[str, float]
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            "path": str(self.path),
            "lint": self.found.to_json(),
            "judged_by": self.judged_by,
            "told": self.told,
            "steps": self.run.steps,
            "ended": self.run.ended,
            "kept_step": self.run.kept,
            "chosen_by": {str(step): value for step, value in self.run.metrics.items()},
            "examples_per_second": self.run.examples_per_second,
            "gate": self.gate.to_json(),
            self.metric: dict(self.scores),
            "seconds": dict(self.seconds),
        }
