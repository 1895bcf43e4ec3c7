"""Numbers as people read them, for every face of a report: the page and the markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["bytes_", "count", "listed", "p_value", "percent", "score", "seconds", "signed"]

_MINUS = str.maketrans("-", "−")


def score(value: float | None) -> str:
    """A metric's value in three decimals.

    >>> score(0.25), score(None)
    ('0.250', '–')
    """
    return "–" if value is None else f"{value:.3f}".translate(_MINUS)


def signed(value: float | None) -> str:
    """A difference, with its sign.

    >>> signed(0.0123), signed(-0.5)
    ('+0.012', '−0.500')
    """
    return "–" if value is None else f"{value:+.3f}".translate(_MINUS)


def p_value(p: float | None) -> str:
    """A probability as papers write it.

    >>> p_value(0.0002), p_value(0.03), p_value(1.0)
    ('< .001', '.030', '1.000')
    """
    if p is None:
        return "–"
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def percent(share: float | None) -> str:
    """A share in per cent.

    >>> percent(0.1234)
    '12.3%'
    """
    return "–" if share is None else f"{share:.1%}"


def count(number: float | None) -> str:
    """A whole number, its thousands apart.

    >>> count(12345.4)
    '12,345'
    """
    return "–" if number is None else f"{round(number):,}"


def seconds(value: float | None) -> str:
    """Seconds in the unit that people would use.

    >>> [seconds(value) for value in (0.0042, 3.14, 75, 5000)]
    ['4.2 ms', '3.1 s', '75 s', '1 h 23 min']
    """
    if value is None:
        return "–"
    if value < 1:
        return f"{1000 * value:.2g} ms" if value < 0.0995 else f"{1000 * value:.0f} ms"
    if value < 120:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def bytes_(value: float | None) -> str:
    """Bytes in thousands.

    >>> bytes_(999), bytes_(12_345_678)
    ('999 B', '12.3 MB')
    """
    if value is None:
        return "–"
    if value < 1000:
        return f"{value:.0f} B"
    power = min(4, int(math.log10(float(f"{value:.3g}")) / 3))
    return f"{value / 1000**power:.3g} {'kMGT'[power - 1]}B"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Names in a sentence; beyond `most`, how many more.

    >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a and b', 'a, b, c and 2 more')
    """
    shown = list(names) if len(names) <= most + 1 else [*names[:most], f"{len(names) - most} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
