"""Charts: pure functions from numbers to SVG, for `vicino.evaluation.page`.

Colours are classes that the page's style sheet defines; shape and text say the same as colour does. Each chart takes the `name`
that is its own on the page, and a `title` and `desc` that say what it shows to whom cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

from vicino.errors import EmptyInput
from vicino.evaluation import svg
from vicino.evaluation.svg import Anchor, Svg
from vicino.metrics.significance import TIE

__all__ = [
    "Mark",
    "bars",
    "differences",
    "intervals",
    "log_ticks",
    "nice_ticks",
    "pareto",
    "scale",
    "scatter",
    "shares",
    "tick_labels",
]

Role = Literal["pick", "baseline", "other"]

_LETTER, _LINE = 6.7, 15  # pixels of a letter of 12 pixel text, on average, and from one line to the next
_BOLD = 8.5  # pixels of a letter of a bold label, on average
_WIDTHS = (300, 900)  # pixels: in the narrowest place, the widest one and any between them, labels must not collide
_LEFT, _RIGHT = 0.1, 0.95  # the share of the width that data fill; the numbers of the axis stand left of it
_ON_TOP = ("other", "baseline", "pick")  # the last is drawn over its twins
LABELLED = 12  # marks of a scatter that all get a label; of more, only those that matter do
_SHAPES = {"pick": "M0-7.5 7.5 0 0 7.5-7.5 0Z", "baseline": "M-5-5H5V5H-5Z", "other": "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z"}


@dataclass(frozen=True)
class Mark:
    """A candidate on a chart. `low` and `high` bound its quality, `cost` is in seconds, `note` is a word beside its label,
    `dots` are single measurements of the same, such as those of several seeds."""

    label: str
    quality: float
    low: float = 0.0
    high: float = 0.0
    cost: float = 0.0
    role: Role = "other"
    note: str = ""
    dots: tuple[float, ...] = ()


# Axes -------------------------------------------------------------------------------------------------------------------


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten apart) from at most `low` to at least `high`.

    Bounds that are equal, or nearly so, are widened first. Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990.

    >>> nice_ticks(0.31, 0.58)
    [0.3, 0.4, 0.5, 0.6]
    """
    size = max(1.0, abs(low), abs(high))
    if high - low < 1e-9 * size:
        low, high = low - 0.05 * size, high + 0.05 * size
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(nice for nice in (1, 2, 5, 10) if nice * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between two positive bounds, for a logarithmic axis; the powers of ten first.

    There is one at least where `high` is 2.5 times `low`.

    >>> log_ticks(0.5, 20)
    [1.0, 10.0, 0.5, 2.0, 5.0, 20.0]
    """
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    between = [nice * power for power in powers for nice in (2, 5)]
    return [tick for tick in (*powers, *between) if low <= tick <= high]


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


def intervals(
    marks: Sequence[Mark],
    *,
    name: str,
    title: str,
    desc: str,
    reference: float,
    span: tuple[float, float] | None = None,
) -> Svg:
    """A row for each mark: its label, and below it a dot on the line from `low` to `high`; a dashed line at `reference`.

    Several charts with one `span`, the least and the largest value of them all, have one axis.
    """
    _require(marks, title)
    row, top = 46, 8
    bottom = top + row * len(marks)
    ticks = nice_ticks(*(span or (min(mark.low for mark in marks), max(mark.high for mark in marks))))
    x = scale(ticks[0], ticks[-1], 0.02, 0.98)
    parts = [svg.line(x(tick), x(tick), top, bottom, "grid") for tick in ticks]
    parts.append(svg.line(x(reference), x(reference), top, bottom, "reference"))
    for number, mark in enumerate(marks):
        y = top + row * number
        short = _short(mark.label, 30)
        fits = _BOLD * len(short) + _LETTER * (len(mark.note) + 8) < _WIDTHS[0]  # beside the value, in the narrowest place
        note = [svg.tag("tspan", mark.note, dx=8, class_="note" if fits else "note spare")] if mark.note else []
        parts += [
            svg.line(0, 1, y, y, "rule") if number else Svg(""),
            svg.tag("text", short, *note, x="0", y=y + 18, class_=f"label {mark.role}"),
            svg.text(f"{mark.quality:.3f}", 1, y + 18, anchor="end", class_=f"value {mark.role}"),
            svg.line(x(mark.low), x(mark.high), y + 32, y + 32, f"whisker {mark.role}"),
            *(svg.line(x(dot), x(dot), y + 25, y + 39, f"seed {mark.role}") for dot in mark.dots),
            _dot(mark, x(mark.quality), y + 32, f"{mark.label}: {mark.quality:.3f}, from {mark.low:.3f} to {mark.high:.3f}"),
        ]
    parts += _ticks_below(ticks, x, bottom + 18)
    return svg.drawing(name, title, desc, bottom + 26, parts)


def scatter(marks: Sequence[Mark], *, name: str, title: str, desc: str, x_label: str, y_label: str) -> Svg:
    """Quality against cost on a logarithmic axis, with the Pareto front as a line of steps, and labels that do not collide.

    Costs below a millisecond are drawn as one. Where there are many marks, those that are beaten and play no role have no label.
    """
    _require(marks, title)
    top, bottom = 42, 308
    costs = [max(mark.cost, 1e-3) for mark in marks]
    low, high = min(costs) / 1.6, max(costs) * 1.6
    x_of = scale(math.log(low), math.log(high), _LEFT, _RIGHT)
    qualities = [mark.quality for mark in marks]
    ticks = nice_ticks(min(qualities), max(qualities), 4)
    y_of = scale(ticks[0], ticks[-1], bottom, top)
    places = [(x_of(math.log(cost)), y_of(quality)) for cost, quality in zip(costs, qualities, strict=True)]
    parts = [svg.text(y_label, 0, 14, class_="axis"), svg.text(x_label, 1, bottom + 42, anchor="end", class_="axis")]
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts += [svg.line(0, 1, y_of(tick), y_of(tick), "grid"), svg.text(label, 0, y_of(tick) - 4, class_="tick")]
    for tick in _apart(log_ticks(low, high), lambda cost: x_of(math.log(cost))):
        parts.append(svg.text(_seconds(tick), x_of(math.log(tick)), bottom + 20, anchor="middle", class_="tick"))
    front = pareto(list(zip(costs, qualities, strict=True)))
    steps = [places[index] for index in front]
    taken = [_Box(x, x, -7, 7, y - 7, y + 7) for x, y in places]
    taken += [_Box(0, 0, 0, 30, y_of(tick) - _LINE, y_of(tick)) for tick in ticks]
    lines = []
    for (x0, y0), (x1, y1) in pairwise(steps):
        parts += [svg.line(x0, x1, y0, y0, "front"), svg.line(x1, x1, y0, y1, "front")]
        lines += [_Box(x0, x1, 0, 0, y0 - 1, y0 + 1), _Box(x1, x1, -1, 1, y1, y0)]
    kept = range(len(marks)) if len(marks) <= LABELLED else {*front, *(i for i, mark in enumerate(marks) if mark.role != "other")}
    labels = [_short(mark.label, 26) if index in kept else "" for index, mark in enumerate(marks)]
    drawn = list(zip(marks, places, labels, _place(labels, places, taken, lines, top - 22, bottom), strict=True))
    for mark, (x, y), label, spot in sorted(drawn, key=lambda each: _ON_TOP.index(each[0].role)):
        parts += [_label(mark, label, spot, x, y)] if label else []
        parts.append(_dot(mark, x, y, f"{mark.label}: {mark.quality:.3f} at {mark.cost:.3g} s"))
    return svg.drawing(name, title, desc, bottom + 48, parts)


def bars(values: Sequence[tuple[str, float]], *, name: str, title: str, desc: str, x_label: str) -> Svg:
    """An upright bar for each (label, share from 0 to 1), with its share in per cent above it."""
    _require(values, title)
    top, bottom = 20, 140
    y_of = scale(0, max(0.1, *(share for _, share in values)), bottom, top)
    slot = 1 / len(values)
    parts = [svg.line(0, 1, bottom, bottom, "zero"), svg.text(x_label, 1, bottom + 38, anchor="end", class_="axis")]
    for number, (label, share) in enumerate(values):
        middle, y = (number + 0.5) * slot, y_of(share)
        parts += [
            svg.rect(middle - 0.38 * slot, 0.76 * slot, y, bottom - y, "bar", f"{label}: {share:.1%}"),
            svg.text(_per_cent_of(share), middle, y - 5, anchor="middle", class_="value small"),
            svg.text(label, middle, bottom + 17, anchor="middle", class_="tick"),
        ]
    return svg.drawing(name, title, desc, bottom + 44, parts)


def differences(values: Sequence[float], *, name: str, title: str, desc: str) -> Svg:
    """Paired differences, one a query, sorted: gains above the line on the left, losses below it on the right."""
    _require(values, title)
    top, bottom = 12, 212
    ordered = sorted((round(value, 3) for value in values), reverse=True)
    ticks = nice_ticks(min(0.0, ordered[-1]), max(0.0, ordered[0]))
    y_of = scale(ticks[0], ticks[-1], bottom, top)
    gains, losses = sum(value > TIE for value in values), sum(value < -TIE for value in values)
    grid = [svg.line(0, 1, y_of(tick), y_of(tick), "grid" if tick else "zero") for tick in ticks]
    numbers = [svg.text(label, 0, y_of(tick) - 4, class_="tick") for tick, label in zip(ticks, tick_labels(ticks), strict=True)]
    paths = [svg.tag("path", d=_area(ordered, sign), class_=kind) for sign, kind in ((1, "gain"), (-1, "loss"))]
    box = f"0 {-ticks[-1]} {len(ordered)} {ticks[-1] - ticks[0]}"
    area = svg.stretched(_LEFT, 1 - _LEFT, top, bottom - top, box, *paths)
    words = [
        svg.text(f"better on {gains:,}", _LEFT + 0.01, y_of(0) + 18, class_="value gain"),
        svg.text(f"worse on {losses:,}", 0.99, y_of(0) - 8, anchor="end", class_="value loss"),
    ]
    return svg.drawing(name, title, desc, bottom + 8, [*grid, area, *numbers, *words])


def shares(rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], *, name: str, title: str, desc: str) -> Svg:
    """A row for each (label, weights that add up to 1): one bar, cut into the parts `names`, in their order."""
    _require(rows, title)
    parts: list[Svg] = []
    for number, (label, weights) in enumerate(rows):
        y, start, whole = 4 + 32 * number, 0.15, 0.85
        parts.append(svg.text(label, 0, y + 18, class_="label small"))
        for place, (part, weight) in enumerate(zip(names, weights, strict=True)):
            width, long, short = weight * whole, f"{part} {weight:.2f}", f"{weight:.2f}"
            parts.append(svg.rect(start, width, y, 26, f"part part{place % 4}", f"{label}: {long}"))
            text = next((text for text in (long, short) if _LETTER * len(text) + 8 < width * _WIDTHS[0]), "")
            parts.append(svg.text(text, start + width / 2, y + 18, anchor="middle", class_=f"part-text{place % 4}"))
            start += width
    return svg.drawing(name, title, desc, 4 + 32 * len(rows), parts)


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
    """What a label, a dot or a line covers: from `left` pixels beside the share `start` of the width to `right` pixels
    beside the share `stop`, and between two heights."""

    start: float
    stop: float
    left: float
    right: float
    top: float
    bottom: float

    def before(self, other: _Box) -> bool:
        """Whether this ends left of where the other begins, in the narrowest and in the widest place, and so in all."""
        return all(width * self.stop + self.right <= width * other.start + other.left for width in _WIDTHS)

    def meets(self, other: _Box) -> bool:
        level = self.top < other.bottom and other.top < self.bottom
        return level and not self.before(other) and not other.before(self)

    def outside(self, top: float, bottom: float) -> bool:
        left, right = _WIDTHS[0] * self.start + self.left, _WIDTHS[0] * (self.stop - 1) + self.right
        return left < 0 or right > 0 or self.top < top or self.bottom > bottom


_NEAR = [_Spot(11, 0, "start"), _Spot(-11, 0, "end"), _Spot(0, -_LINE, "middle"), _Spot(0, _LINE, "middle")]
_FAR = [_Spot(12 * side, dy, "start" if side > 0 else "end") for dy in range(16, 130, 6) for side in (1, -1)]
_SPOTS = [*_NEAR, *(spot for far in _FAR for spot in (far, _Spot(far.dx, -far.dy, far.anchor)))]


def _place(
    labels: Sequence[str],
    places: Sequence[tuple[float, float]],
    taken: Sequence[_Box],
    lines: Sequence[_Box],
    top: float,
    bottom: float,
) -> list[_Spot]:
    """A spot for each label, in order: inside, on nothing `taken`, on no other label; if it can be, near and off the `lines`."""
    covered = list(taken)
    spots = []

    def cost(spot: _Spot, box: _Box) -> tuple[bool, int, float]:
        crossed = sum(box.meets(line) for line in lines)
        return box.outside(top, bottom), sum(box.meets(other) for other in covered), 1.5 * _LINE * crossed + abs(spot.dy)

    for label, (x, y) in zip(labels, places, strict=True):
        if not label:
            spots.append(_NEAR[0])
            continue
        spot, box = min(((spot, _label_box(label, x, y, spot)) for spot in _SPOTS), key=lambda choice: cost(*choice))
        spots.append(spot)
        covered.append(box)
    return spots


def _apart(ticks: Sequence[float], x: Callable[[float], float]) -> list[float]:
    """The ticks whose labels fit beside one another in the narrowest place; those named first have the first right."""
    kept: list[float] = []
    for tick in ticks:
        if all(abs(x(tick) - x(other)) * _WIDTHS[0] >= 6 * _LETTER for other in kept):
            kept.append(tick)
    return kept


def _label_box(label: str, x: float, y: float, spot: _Spot) -> _Box:
    width = _LETTER * len(label)
    left = spot.dx - {"start": 0.0, "middle": width / 2, "end": width}[spot.anchor]
    return _Box(x, x, left, left + width, y + spot.dy - _LINE / 2, y + spot.dy + _LINE / 2)


# Parts of charts ----------------------------------------------------------------------------------------------------


def _label(mark: Mark, label: str, spot: _Spot, x: float, y: float) -> Svg:
    text = svg.tag("text", label, x=spot.dx, y=spot.dy + 4, text_anchor=spot.anchor, class_=f"label small {mark.role}")
    leader = svg.tag("path", d=f"M0 0L{svg.rounded(0.8 * spot.dx)} {svg.rounded(spot.dy)}", class_="leader")
    return svg.at(x, y, *([leader] if spot.far else []), text)


def _dot(mark: Mark, x: float, y: float, hint: str) -> Svg:
    return svg.at(x, y, svg.tag("path", svg.tag("title", hint), d=_SHAPES[mark.role], class_=f"dot {mark.role}"))


def _ticks_below(ticks: Sequence[float], x: Callable[[float], float], y: float) -> list[Svg]:
    anchors: list[Anchor] = ["start", *["middle"] * (len(ticks) - 2), "end"]  # type: ignore[list-item]
    labels = tick_labels(ticks)
    return [svg.text(text, x(tick), y, anchor=a, class_="tick") for tick, text, a in zip(ticks, labels, anchors, strict=True)]


def _area(ordered: Sequence[float], sign: int) -> str:
    """The outline of the values of one sign, each one wide, upside down as SVG counts; equal neighbours are one step."""
    path, x = "M0 0", 0
    for value, group in groupby(max(0.0, sign * value) for value in ordered):
        x += len(list(group))
        path += f"V{svg.rounded(-sign * value)}H{x}"
    return path + "V0Z"


def scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    """Straight from values to places: `low` is at `start`, `high` at `stop`."""
    return lambda value: start + (stop - start) * (value - low) / (high - low)


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
