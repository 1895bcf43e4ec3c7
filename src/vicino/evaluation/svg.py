"""The few SVG elements that charts need, as text in which everything is escaped.

Horizontal places and widths are shares of the drawing's width, from 0 to 1; vertical ones are pixels. So a drawing is as wide as
its place, and its text keeps one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal

__all__ = ["Anchor", "Svg", "at", "drawing", "line", "rect", "rounded", "stretched", "tag", "text"]

Anchor = Literal["start", "middle", "end"]


class Svg(str):
    """Markup in which every text is escaped; Jinja shows it as it is."""

    __slots__ = ()

    def __html__(self) -> Svg:
        return self


def tag(element: str, *inside: str, **attributes: str | float) -> Svg:
    """An element; `class_` and `text_anchor` are written class and text-anchor. What is not Svg yet is escaped.

    >>> tag("text", "a < b", tag("tspan", "!"), text_anchor="end", y=1.50)
    '<text text-anchor="end" y="1.5">a &lt; b<tspan>!</tspan></text>'
    """
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    written = "".join(f' {key}="{escape(value if isinstance(value, str) else rounded(value))}"' for key, value in pairs)
    body = "".join(part if isinstance(part, Svg) else escape(part) for part in inside)
    return Svg(f"<{element}{written}>{body}</{element}>")


def drawing(name: str, title: str, desc: str, height: float, parts: Sequence[Svg]) -> Svg:
    """The whole, which says in words what it shows. `name` must be the page's only one: ids are made from it."""
    told = [tag("title", title, id=f"{name}-title"), tag("desc", desc, id=f"{name}-desc")]
    named = {"role": "img", "aria_labelledby": f"{name}-title", "aria_describedby": f"{name}-desc"}
    return tag("svg", *told, *parts, class_="chart", width="100%", height=height, **named)


def at(x: float, y: float, *inside: Svg) -> Svg:
    """A group with its origin there, counted in pixels both ways."""
    return tag("svg", *inside, x=_percent(x), y=y, class_="at")


def text(words: str, x: float, y: float, *, anchor: Anchor = "start", class_: str) -> Svg:
    """One line of text; `anchor` says which end of it is at x."""
    return tag("text", words, x=_percent(x), y=y, text_anchor=anchor, class_=class_)


def line(x1: float, x2: float, y1: float, y2: float, class_: str) -> Svg:
    """A straight line."""
    return tag("line", x1=_percent(x1), x2=_percent(x2), y1=y1, y2=y2, class_=class_)


def rect(x: float, width: float, y: float, height: float, class_: str, hint: str) -> Svg:
    """A rectangle that shows `hint` under the pointer."""
    box = {"x": _percent(x), "width": _percent(width)}
    return tag("rect", tag("title", hint), **box, y=y, height=height, class_=class_)


def stretched(x: float, width: float, y: float, height: float, box: str, *inside: Svg) -> Svg:
    """Shapes in the units of the view box `box`, pulled to the size of their place."""
    place = {"x": _percent(x), "width": _percent(width)}
    return tag("svg", *inside, **place, y=y, height=height, viewBox=box, preserveAspectRatio="none")


def rounded(value: float) -> str:
    """A number in at most three decimals.

    >>> rounded(2.0), rounded(1 / 3), rounded(-1e-9)
    ('2', '0.333', '0')
    """
    digits = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if digits == "-0" else digits


def _percent(share: float) -> str:
    return f"{rounded(100 * share)}%"
