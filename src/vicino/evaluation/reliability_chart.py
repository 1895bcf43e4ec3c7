"""The reliability diagram: what probabilities said against what was true, bin by bin, as SVG for `vicino.evaluation.page`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from vicino.errors import EmptyInput
from vicino.evaluation import svg
from vicino.evaluation.charts import nice_ticks, scale, tick_labels
from vicino.evaluation.findings import Plain
from vicino.evaluation.svg import Svg

__all__ = ["reliability", "told"]

_TOP, _BOTTOM = 34, 334  # pixels


def told(one: Plain) -> str:
    """A bin in words.

    >>> told({"predicted": 0.25, "observed": 0.3, "low": 0.2, "high": 0.42, "count": 90})
    '0.250 said, 0.300 true (0.200 to 0.420), of 90'
    """
    return f"{one['predicted']:.3f} said, {one['observed']:.3f} true ({one['low']:.3f} to {one['high']:.3f}), of {one['count']:,}"


def reliability(finding: Plain, *, name: str) -> Svg:
    """A finding's bins: a dot at what was said and what was true, its interval upright, and the diagonal, where both are one.

    Both axes go as far as the bins do.

    Raises EmptyInput for a finding without bins.
    """
    bins: list[dict[str, Any]] = finding["numbers"]["bins"]
    title = f"Reliability of {finding['about']}"
    if not bins:
        raise EmptyInput(f"there is nothing to draw in {title!r}", mend="leave the chart out")
    ticks = nice_ticks(0, max(max(one["predicted"], one["high"]) for one in bins))  # few answers may be relevant
    x, y = scale(0, ticks[-1], 0.1, 0.96), scale(0, ticks[-1], _BOTTOM, _TOP)
    parts = [
        svg.text("share that was relevant", 0, 14, class_="axis"),
        svg.text("probability that was said", 1, _BOTTOM + 40, anchor="end", class_="axis"),
    ]
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts += [svg.line(x(0), x(ticks[-1]), y(tick), y(tick), "grid"), svg.text(label, 0, y(tick) + 4, class_="tick")]
        parts.append(svg.text(label, x(tick), _BOTTOM + 20, anchor="middle", class_="tick"))
    parts.append(svg.line(x(0), x(ticks[-1]), y(0), y(ticks[-1]), "reference"))
    for one, other in pairwise(bins):
        parts.append(svg.line(x(one["predicted"]), x(other["predicted"]), y(one["observed"]), y(other["observed"]), "front"))
    for one in bins:
        middle, height = x(one["predicted"]), y(one["observed"])
        dot = svg.tag("path", svg.tag("title", told(one)), d="M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z", class_="dot pick")
        parts += [svg.line(middle, middle, y(one["low"]), y(one["high"]), "whisker pick"), svg.at(middle, height, dot)]
    return svg.drawing(name, title, "; ".join(map(told, bins)), _BOTTOM + 46, parts)
