"""What nobody judged may be relevant: how low and how high a metric would be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vicino.metrics import Metric
from vicino.metrics.ranking import Judged

__all__ = ["bounds"]


def bounds(judged: Judged, metric: Metric) -> tuple[float, float]:
    """The metric's mean were every unjudged document that it sees irrelevant, and were each of them ideal.

    The first is the metric itself. For the second an unjudged document has the highest grade that anybody gave, and the queries'
    known relevant documents stay what the ideal is made of: no judging could lift the mean above it. Far apart, they say that
    the judgements say little.

    >>> from vicino.metrics import parse
    >>> from vicino.metrics.ranking import judge
    >>> judged = judge(np.array([["unseen", "good", "poor"]], dtype=object), [{"good": 1, "poor": 0}])
    >>> bounds(judged, parse("MRR@10"))
    (0.5, 1.0)
    """
    unknown = judged.retrieved & ~judged.known
    generous = replace(judged, gains=np.where(unknown, judged.ideal.max(initial=1.0), judged.gains))
    return float(metric(judged).mean()), float(np.minimum(metric(generous), 1.0).mean())
