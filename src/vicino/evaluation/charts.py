"""Charts as SVG text: pure functions from numbers to markup, for `vicino.evaluation.report`.

Every chart is as wide as its place and keeps its text at one size, on a desk and on a phone: horizontal positions are shares
of the width, vertical ones are pixels. Colours are classes that the page's style sheet defines; shape and text say the same
as colour does. Every text goes through `_tag`, which escapes it, so that an `Svg` is safe to show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby, pairwise
from typing import Literal

from vicino.errors import EmptyInput

__all__ = [
    "Mark",
    "Svg",
    "bars",
    "differences",
    "intervals",
    "log_ticks",
    "nice_ticks",
    "pareto",
    "scatter",
    "shares",
    "tick_labels",
]

Role = Literal["pick", "baseline", "other"]
Anchor = Literal["start", "middle", "end"]

_LETTER, _LINE = 6.7, 15  # pixels of a letter of 12 pixel text, on average, and from one line to the next
_NARROWEST = 300  # pixels: the narrowest place in which labels must not collide
_LEFT, _RIGHT = 0.1, 0.95  # the share of the width that data fill; the numbers of the axis stand left of it
_SHAPES = {"pick": "M0-7.5 7.5 0 0 7.5-7.5 0Z", "baseline": "M-5-5H5V5H-5Z", "other": "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z"}


class Svg(str):
    """Markup in which every text is escaped; Jinja shows it as it is."""

    __slots__ = ()

    def __html__(self) -> Svg:
        return self


@dataclass(frozen=True)
class Mark:
    """A candidate on a chart. `low` and `high` bound its quality, `cost` is in seconds, `note` is a word beside its label."""

    label: str
    quality: float
    low: float = 0.0
    high: float = 0.0
    cost: float = 0.0
    role: Role = "other"
    note: str = ""


# Axes -------------------------------------------------------------------------------------------------------------------


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten apart) from at most `low` to at least `high`.

    Equal bounds are widened first. Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990.

    >>> nice_ticks(0.31, 0.58)
    [0.3, 0.4, 0.5, 0.6]
    """
    if not high > low:
        low, high = low - 0.05 * max(1.0, abs(low)), low + 0.05 * max(1.0, abs(low))
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(nice for nice in (1, 2, 5, 10) if nice * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive bounds for a logarithmic axis, at most seven or so: powers of ten, with 2 and 5
    between them where there are few.

    >>> log_ticks(0.5, 2000), log_ticks(3, 60)
    ([1.0, 10.0, 100.0, 1000.0], [5.0, 10.0, 20.0, 50.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    decades = [10.0**power for power in powers]
    inside = [tick for tick in decades if low <= tick <= high]
    if len(inside) < 3:
        inside = [nice * tick for tick in decades for nice in (1, 2, 5) if low <= nice * tick <= high]
    return inside[:: math.ceil(len(inside) / 7)] if inside else []


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Ticks in the fewest decimals that tell them apart.

    >>> tick_labels([0.25, 0.3, 0.35]), tick_labels([-20, 0, 20])
    (['0.25', '0.30', '0.35'], ['−20', '0', '20'])
    """
    decimals = next(n for n in range(13) if all(math.isclose(t, round(t, n), abs_tol=1e-12) for t in ticks))
    return [f"{tick:,.{decimals}f}".replace("-", "−") for tick in ticks]


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which (cost, quality) points nothing beats: none costs less at no less quality, nor gives more at no more cost.

    Their positions, the cheapest first; equal points stand or fall together.

    >>> pareto([(1, 0.5), (2, 0.4), (3, 0.7)])
    [0, 2]
    """
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[index][1] > points[front[-1]][1] or points[index] == points[front[-1]]:
            front.append(index)
    return front


# Charts -----------------------------------------------------------------------------------------------------------------


def intervals(marks: Sequence[Mark], *, name: str, title: str, desc: str, reference: float) -> Svg:
    """A row for each mark: its label, and below it a dot on the line from `low` to `high`; a dashed line at `reference`."""
    _require(marks, title)
    row, top = 46, 8
    bottom = top + row * len(marks)
    ticks = nice_ticks(min(mark.low for mark in marks), max(mark.high for mark in marks))
    x = _scale(ticks[0], ticks[-1], 0.02, 0.98)
    parts = [_line(x(tick), x(tick), top, bottom, "grid") for tick in ticks]
    parts.append(_line(x(reference), x(reference), top, bottom, "reference"))
    for number, mark in enumerate(marks):
        y = top + row * number
        note = [_tag("tspan", mark.note, dx=8, class_="note")] if mark.note else []
        parts += [
            _line(0, 1, y, y, "rule") if number else Svg(""),
            _tag("text", _short(mark.label, 30), *note, x="0", y=y + 18, class_=f"label {mark.role}"),
            _text(f"{mark.quality:.3f}", 1, y + 18, anchor="end", class_=f"value {mark.role}"),
            _line(x(mark.low), x(mark.high), y + 32, y + 32, f"whisker {mark.role}"),
            _dot(mark, x(mark.quality), y + 32, f"{mark.label}: {mark.quality:.3f}, from {mark.low:.3f} to {mark.high:.3f}"),
        ]
    parts += _ticks_below(ticks, x, bottom + 18)
    return _svg(name, title, desc, bottom + 26, parts)


def scatter(marks: Sequence[Mark], *, name: str, title: str, desc: str, x_label: str, y_label: str) -> Svg:
    """Quality against cost on a logarithmic axis, with the Pareto front as a line of steps, and labels that do not collide.

    Costs below a millisecond are drawn as one.
    """
    _require(marks, title)
    top, bottom = 34, 300
    costs = [max(mark.cost, 1e-3) for mark in marks]
    low, high = min(costs) / 1.5, max(costs) * 1.5
    x_of = _scale(math.log(low), math.log(high), _LEFT, _RIGHT)
    qualities = [mark.quality for mark in marks]
    ticks = nice_ticks(min(qualities), max(qualities), 4)
    y_of = _scale(ticks[0], ticks[-1], bottom, top)
    places = [(x_of(math.log(cost)), y_of(quality)) for cost, quality in zip(costs, qualities, strict=True)]
    parts = [_text(y_label, 0, 14, class_="axis"), _text(x_label, 1, bottom + 42, anchor="end", class_="axis")]
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts += [_line(0, 1, y_of(tick), y_of(tick), "grid"), _text(label, 0, y_of(tick) - 4, class_="tick")]
    parts += [_text(_seconds(tick), x_of(math.log(tick)), bottom + 20, class_="tick") for tick in log_ticks(low, high)]
    steps = [places[index] for index in pareto(list(zip(costs, qualities, strict=True)))]
    for (x0, y0), (x1, y1) in pairwise(steps):
        parts += [_line(x0, x1, y0, y0, "front"), _line(x1, x1, y0, y1, "front")]
    labels = [_short(mark.label, 26) for mark in marks]
    for mark, (x, y), label, spot in zip(marks, places, labels, _place(labels, places, top, bottom), strict=True):
        text = _tag("text", label, x=spot.dx, y=spot.dy + 4, text_anchor=spot.anchor, class_=f"label small {mark.role}")
        leader = [_tag("path", d=f"M0 0L{_number(0.8 * spot.dx)} {_number(spot.dy)}", class_="leader")] if spot.far else []
        hint = f"{mark.label}: {mark.quality:.3f} at {mark.cost:.3g} s"
        parts += [_at(x, y, *leader), _dot(mark, x, y, hint), _at(x, y, text)]
    return _svg(name, title, desc, bottom + 48, parts)


def bars(values: Sequence[tuple[str, float]], *, name: str, title: str, desc: str, x_label: str) -> Svg:
    """An upright bar for each (label, share from 0 to 1), with its share in per cent above it."""
    _require(values, title)
    top, bottom = 20, 140
    y_of = _scale(0, max(0.1, *(share for _, share in values)), bottom, top)
    slot = 1 / len(values)
    parts = [_line(0, 1, bottom, bottom, "zero"), _text(x_label, 1, bottom + 38, anchor="end", class_="axis")]
    for number, (label, share) in enumerate(values):
        middle, y = (number + 0.5) * slot, y_of(share)
        parts += [
            _rect(middle - 0.38 * slot, 0.76 * slot, y, bottom - y, "bar", f"{label}: {share:.1%}"),
            _text(_per_cent_of(share), middle, y - 5, anchor="middle", class_="value small"),
            _text(label, middle, bottom + 17, anchor="middle", class_="tick"),
        ]
    return _svg(name, title, desc, bottom + 44, parts)


def differences(values: Sequence[float], *, name: str, title: str, desc: str) -> Svg:
    """Paired differences, one a query, sorted: gains above the line on the left, losses below it on the right."""
    _require(values, title)
    top, bottom = 12, 212
    ordered = sorted((round(value, 3) for value in values), reverse=True)
    reach = max(0.01, *(abs(value) for value in ordered))
    ticks = nice_ticks(-reach, reach, 4)
    y_of = _scale(-ticks[-1], ticks[-1], bottom, top)
    gains, losses = sum(value > 0 for value in ordered), sum(value < 0 for value in ordered)
    grid = [_line(0, 1, y_of(tick), y_of(tick), "grid" if tick else "zero") for tick in ticks]
    numbers = [_text(label, 0, y_of(tick) - 4, class_="tick") for tick, label in zip(ticks, tick_labels(ticks), strict=True)]
    paths = [_tag("path", d=_area(ordered, sign), class_=kind) for sign, kind in ((1, "gain"), (-1, "loss"))]
    box = f"0 {-ticks[-1]} {len(ordered)} {2 * ticks[-1]}"
    area = _stretched(box, *paths, x=_percent(_LEFT), y=top, width=_percent(1 - _LEFT), height=bottom - top)
    words = [
        _text(f"better on {gains:,}", _LEFT + 0.01, y_of(0) + 18, class_="value gain"),
        _text(f"worse on {losses:,}", 0.99, y_of(0) - 8, anchor="end", class_="value loss"),
    ]
    return _svg(name, title, desc, bottom + 8, [*grid, area, *numbers, *words])


def shares(rows: Sequence[tuple[str, Sequence[float]]], *, name: str, title: str, desc: str) -> Svg:
    """A row for each (label, weights that add up to 1): one bar, cut into parts in their order."""
    _require(rows, title)
    parts: list[Svg] = []
    for number, (label, weights) in enumerate(rows):
        y, start = 4 + 32 * number, 0.22
        parts.append(_text(label, 0, y + 18, class_="label small"))
        for place, weight in enumerate(weights):
            width = weight * (1 - 0.22)
            parts.append(_rect(start, width, y, 26, f"part part{place % 4}", f"{label}: {weight:.2f}"))
            if weight >= 0.1:
                middle = start + width / 2
                parts.append(_text(f"{weight:.2f}", middle, y + 18, anchor="middle", class_=f"part-text{place % 4}"))
            start += width
    return _svg(name, title, desc, 4 + 32 * len(rows), parts)


# Labels -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Spot:
    """A label's place beside its point: pixels from the point, and which end of the text is there."""

    dx: float
    dy: float
    anchor: Anchor

    @property
    def far(self) -> bool:
        return abs(self.dy) > _LINE


@dataclass(frozen=True)
class _Box:
    """What a label or a dot covers: pixels around the share `x` of the width, and between two heights."""

    x: float
    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        """Whether the two overlap in the narrowest place, or could in a wider one.

        A wider place moves boxes apart only where the one further left belongs to the point further left.
        """
        if self.top >= other.bottom or other.top >= self.bottom:
            return False
        first, second = sorted((self, other), key=lambda box: box.x)
        gap = _NARROWEST * (second.x - first.x) + second.left - first.right
        return gap < 0 and not (first.x == second.x and first.left >= second.right)

    def outside(self, top: float, bottom: float) -> bool:
        x = _NARROWEST * self.x
        return x + self.left < 0 or x + self.right > _NARROWEST or self.top < top or self.bottom > bottom


_NEAR = [_Spot(11, 0, "start"), _Spot(-11, 0, "end"), _Spot(0, -_LINE, "middle"), _Spot(0, _LINE, "middle")]
_FAR = [_Spot(12 * side, dy, "start" if side > 0 else "end") for dy in range(16, 130, 6) for side in (1, -1)]
_SPOTS = [*_NEAR, *(spot for far in _FAR for spot in (far, _Spot(far.dx, -far.dy, far.anchor)))]


def _place(labels: Sequence[str], places: Sequence[tuple[float, float]], top: float, bottom: float) -> list[_Spot]:
    """A spot for each label that meets no other label and no point, in order; the least bad one where all are taken."""
    taken = [_Box(x, -7, 7, y - 7, y + 7) for x, y in places]
    spots = []
    for label, (x, y) in zip(labels, places, strict=True):
        boxes = [_label_box(label, x, y, spot) for spot in _SPOTS]
        costs = [100 * box.outside(top - 22, bottom) + sum(box.meets(other) for other in taken) for box in boxes]
        best = costs.index(min(costs))
        spots.append(_SPOTS[best])
        taken.append(boxes[best])
    return spots


def _label_box(label: str, x: float, y: float, spot: _Spot) -> _Box:
    width = _LETTER * len(label)
    left = spot.dx - {"start": 0.0, "middle": width / 2, "end": width}[spot.anchor]
    return _Box(x, left, left + width, y + spot.dy - _LINE / 2, y + spot.dy + _LINE / 2)


# Markup -----------------------------------------------------------------------------------------------------------------


def _svg(name: str, title: str, desc: str, height: float, parts: Sequence[Svg]) -> Svg:
    told = [_tag("title", title, id=f"{name}-title"), _tag("desc", desc, id=f"{name}-desc")]
    named = {"role": "img", "aria_labelledby": f"{name}-title", "aria_describedby": f"{name}-desc"}
    return _tag("svg", *told, *parts, class_="chart", width="100%", height=height, **named)


def _tag(element: str, *inside: str, **attributes: str | float) -> Svg:
    """An element; `class_` and `stroke_width` are written class and stroke-width. What is not Svg yet is escaped."""
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    written = "".join(f' {key}="{escape(value if isinstance(value, str) else _number(value))}"' for key, value in pairs)
    body = "".join(part if isinstance(part, Svg) else escape(part) for part in inside)
    return Svg(f"<{element}{written}>{body}</{element}>")


def _at(x: float, y: float, *inside: Svg) -> Svg:
    """A group whose origin is at a share of the width and a height in pixels."""
    return _tag("svg", *inside, x=_percent(x), y=y, class_="at") if inside else Svg("")


def _dot(mark: Mark, x: float, y: float, hint: str) -> Svg:
    return _at(x, y, _tag("path", _tag("title", hint), d=_SHAPES[mark.role], class_=f"dot {mark.role}"))


def _text(text: str, x: float, y: float, *, anchor: Anchor = "start", class_: str) -> Svg:
    return _tag("text", text, x=_percent(x), y=y, text_anchor=anchor, class_=class_)


def _rect(x: float, width: float, y: float, height: float, class_: str, hint: str) -> Svg:
    box = {"x": _percent(x), "width": _percent(width)}
    return _tag("rect", _tag("title", hint), **box, y=y, height=height, class_=class_)


def _stretched(box: str, *inside: Svg, **place: str | float) -> Svg:
    """Drawn in the units of `box`, pulled to the size of its place: for shapes only, text would be distorted."""
    return _tag("svg", *inside, viewBox=box, preserveAspectRatio="none", **place)


def _line(x1: float, x2: float, y1: float, y2: float, class_: str) -> Svg:
    return _tag("line", x1=_percent(x1), x2=_percent(x2), y1=y1, y2=y2, class_=class_)


def _ticks_below(ticks: Sequence[float], x: Callable[[float], float], y: float) -> list[Svg]:
    anchors: list[Anchor] = ["start", *["middle"] * (len(ticks) - 2), "end"]  # type: ignore[list-item]
    labels = tick_labels(ticks)
    return [_text(text, x(tick), y, anchor=a, class_="tick") for tick, text, a in zip(ticks, labels, anchors, strict=True)]


def _area(ordered: Sequence[float], sign: int) -> str:
    """The outline of the values of one sign, each one wide, upside down as SVG counts; equal neighbours are one step."""
    path, x = "M0 0", 0
    for value, group in groupby(max(0.0, sign * value) for value in ordered):
        x += len(list(group))
        path += f"V{_number(-sign * value)}H{x}"
    return path + "V0Z"


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    return lambda value: start + (stop - start) * (value - low) / (high - low)


def _number(value: float) -> str:
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _percent(share: float) -> str:
    return f"{_number(100 * share)}%"


def _per_cent_of(share: float) -> str:
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"


def _seconds(value: float) -> str:
    return f"{value:,.0f} s" if value >= 1 else f"{1000 * value:g} ms"


def _short(text: str, length: int) -> str:
    """Cut in the middle: the ends of a path or of `a+b:tuned` say most."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def _require(values: Sequence[object], title: str) -> None:
    if not values:
        raise EmptyInput(f"there is nothing to draw in {title!r}", mend="leave the chart out")
