"""Cost against size as one drawing: how seconds and memory grow with words and with nodes.

    python benchmarks/growth.py bench-out/words.json bench-out/graphs.json > growth.svg

Each report may hold "growth": a list of panels {"title", "x", "y", "lines": {name: [[x, y], ...]}}. Both axes are logarithmic, so
that a straight line under 45 degrees is a cost in proportion to size.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, COLUMNS = 470, 300, 2  # of a panel, and panels in a row
LEFT, RIGHT, TOP, BOTTOM = 58, 146, 34, 44  # margins within a panel
COLOURS = ("#0b6e99", "#c2571a", "#5a7d2a", "#7a4fa3", "#8a6d00", "#555555", "#b03a5b")
STYLE = "text{font:12px system-ui,sans-serif;fill:#333}.grid{stroke:#ddd}.title{font-weight:600}"


def main() -> None:
    reports = [json.loads(Path(file).read_text(encoding="utf-8")) for file in sys.argv[1:]]
    panels = [panel for report in reports for panel in report.get("growth", [])]
    if not panels:
        raise SystemExit("none of these reports tells how its cost grows")
    print(drawing(panels))


def drawing(panels: Sequence[dict[str, Any]]) -> str:
    """All panels, side by side."""
    rows = -(-len(panels) // COLUMNS)
    width, height = WIDTH * min(COLUMNS, len(panels)), HEIGHT * rows
    parts = [
        f'<g transform="translate({WIDTH * (number % COLUMNS)},{HEIGHT * (number // COLUMNS)})">{drawn(panel)}</g>'
        for number, panel in enumerate(panels)
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
    told = escape("; ".join(f"{panel['title']}: {summary(panel)}" for panel in panels))
    background = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join(
        [head, f"<style>{STYLE}</style><title>Cost against size</title><desc>{told}</desc>", background, *parts, "</svg>"]
    )


def summary(panel: dict[str, Any]) -> str:
    """The panel in words."""
    ends = {name: (min(points), max(points)) for name, points in panel["lines"].items()}
    return ", ".join(
        f"{name} from {short(low[1])} at {short(low[0])} to {short(high[1])} at {short(high[0])}"
        for name, (low, high) in ends.items()
    )


def drawn(panel: dict[str, Any]) -> str:
    lines = {name: sorted(points) for name, points in panel["lines"].items()}
    xs, ys = ([point[axis] for points in lines.values() for point in points] for axis in (0, 1))
    x_of, y_of = scale(xs, LEFT, WIDTH - RIGHT), scale(ys, HEIGHT - BOTTOM, TOP)
    parts = [f'<text class="title" x="8" y="16">{escape(panel["title"])}</text>']
    below = HEIGHT - BOTTOM + 18
    parts += [f'<text x="{x_of(tick):.1f}" y="{below}" text-anchor="middle">{short(tick)}</text>' for tick in ticks(xs)]
    for tick in ticks(ys):
        y = y_of(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(panel["x"])}; {escape(panel["y"])} upwards</text>'
    )
    labels = apart([y_of(points[-1][1]) for points in lines.values()])
    for colour, label, (name, points) in zip(COLOURS, labels, lines.items(), strict=False):
        places = [(x_of(x), y_of(y)) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
        parts.append(f'<text x="{places[-1][0] + 8:.1f}" y="{label + 4:.1f}" style="fill:{colour}">{escape(name)}</text>')
    return "".join(parts)


def scale(values: Iterable[float], start: float, end: float) -> Any:
    """From numbers to places, by their logarithms."""
    logs = [math.log10(value) for value in values]
    low, high = min(logs) - 0.08, max(logs) + 0.08
    return lambda value: start + (math.log10(value) - low) / (high - low) * (end - start)


def ticks(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 times the powers of ten within; powers alone where those are enough."""
    powers = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    within = [nice * 10.0**power for power in powers for nice in (1, 2, 5)]
    within = [tick for tick in within if min(values) * 0.83 <= tick <= max(values) * 1.2]
    return [tick for tick in within if f"{tick:e}"[0] == "1"] if len(within) > 6 else within


def short(value: float) -> str:
    """Three digits: 26.2 M, 940 k, 1.5.

    >>> short(26210566), short(939328), short(2.1993), short(10000)
    ('26.2 M', '939 k', '2.2', '10 k')
    """
    for unit, letter in ((1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.2g}" if value < 10 else f"{value:.3g}"


def apart(heights: Sequence[float], least: float = 14) -> list[float]:
    """The heights, moved down where labels would touch."""
    moved = list(heights)
    order = sorted(range(len(moved)), key=moved.__getitem__)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + least)
    return moved


if __name__ == "__main__":
    main()
