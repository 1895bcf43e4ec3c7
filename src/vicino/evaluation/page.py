"""The page of a comparison: one HTML file, made from its JSON record alone.

The page asks nothing of any other place: no script, no font, no picture from outside, and its security policy forbids them.
What names and indexed text hold is escaped everywhere. The words are in `report.html.j2`; here are the charts and the order.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vicino.evaluation import charts
from vicino.metrics.significance import TIE

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["render"]

SHOWN = 10  # queries in each of the two lists of gains and losses

Plain = Mapping[str, Any]


def render(plain: Plain) -> str:
    """The page of a record whose schema was checked: use `vicino.evaluation.report.to_html`."""
    metric = plain["metrics"][0]["name"]
    measured = [candidate for candidate in plain["candidates"] if not candidate["error"]]
    standing = sorted(measured, key=lambda candidate: -candidate["metrics"][metric]["mean"])
    return _template().render(
        plain,
        metric=metric,
        standing=standing,
        failed=[candidate for candidate in plain["candidates"] if candidate["error"]],
        quality=_quality(plain, standing, metric),
        cost=_cost(plain, standing, metric),
        baseline_is=_baseline_is(plain, standing),
        duel=_duel(plain, standing, metric),
        cuts=_cuts(standing),
        fusions=_fusions(standing),
        detectable=max((c["against_baseline"]["detectable"] or 0 for c in standing if c["against_baseline"]), default=0),
    )


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    where = PackageLoader("vicino.evaluation", "")
    page = Environment(loader=where, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {
        "bytes": _bytes,
        "count": lambda number: f"{number:,}",
        "p": lambda p: "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0"),
        "percent": lambda share: f"{share:.1%}",
        "pieces": lambda name: re.split(r"(?<=[+:/,(])", name),
        "recipe": lambda recipe: json.dumps(recipe, ensure_ascii=False),
        "score": lambda value: "–" if value is None else f"{value:.3f}".replace("-", "−"),
        "seconds": _seconds,
        "shortened": lambda text: text if len(text) <= 300 else f"{text[:300]}…",
        "signed": lambda value: f"{value:+.3f}".replace("-", "−"),
    }
    return page.get_template("report.html.j2")


def _baseline_is(plain: Plain, standing: Sequence[Plain]) -> str:
    simple = next(candidate["simple"] for candidate in standing if candidate["name"] == plain["baseline"])
    return "the best simple baseline" if simple else "the highest, as nothing simple was measured"


def _marks(plain: Plain, standing: Sequence[Plain], metric: str) -> list[charts.Mark]:
    pick, best, tied = (plain["verdict"][key] for key in ("pick", "best", "tied"))
    marks = []
    for candidate in standing:
        name, is_baseline = candidate["name"], candidate["name"] == plain["baseline"]
        role: charts.Role = "pick" if name == pick else "baseline" if is_baseline else "other"
        words = {"our pick": name == pick, "highest": name == best != pick, "baseline": is_baseline, "tied": name in tied}
        note = ", ".join(word for word, holds in words.items() if holds)
        mean, low, high = (candidate["metrics"][metric][key] for key in ("mean", "low", "high"))
        marks.append(charts.Mark(name, mean, low, high, candidate["cost_seconds"], role, note))
    return marks


def _quality(plain: Plain, standing: Sequence[Plain], metric: str) -> dict[str, Any]:
    marks = _marks(plain, standing, metric)
    baseline = next(mark.quality for mark in marks if mark.label == plain["baseline"])
    told = "; ".join(f"{mark.label} {mark.quality:.3f} from {mark.low:.3f} to {mark.high:.3f}" for mark in marks)
    title = f"{metric} of each candidate, with its interval"
    return {"chart": charts.intervals(marks, name="quality", title=title, desc=told, reference=baseline), "marks": marks}


def _cost(plain: Plain, standing: Sequence[Plain], metric: str) -> dict[str, Any]:
    marks = _marks(plain, standing, metric)
    front = {marks[index].label for index in charts.pareto([(mark.cost, mark.quality) for mark in marks])}
    told = "; ".join(f"{mark.label} {mark.quality:.3f} at {_seconds(mark.cost)}" for mark in marks)
    title = f"{metric} against cost"
    chart = charts.scatter(marks, name="cost", title=title, desc=told, x_label="cost", y_label=metric)
    return {"chart": chart, "marks": marks, "front": front}


def _duel(plain: Plain, standing: Sequence[Plain], metric: str) -> dict[str, Any] | None:
    """The pick against the baseline, query by query; where they are one, the best of the others stands in."""
    by_name = {candidate["name"]: candidate for candidate in standing}
    baseline = by_name.pop(plain["baseline"])
    others = sorted(by_name.values(), key=lambda candidate: candidate["values"] == baseline["values"])  # twins of it last
    challenger = by_name.get(plain["verdict"]["pick"]) or next(iter(others), None)
    if challenger is None:
        return None
    rows = [
        {"text": query["text"], "ours": ours, "theirs": theirs, "difference": ours - theirs}
        for query, ours, theirs in zip(plain["queries"], challenger["values"], baseline["values"], strict=True)
    ]
    rows.sort(key=lambda row: -row["difference"])
    won = [row for row in rows if row["difference"] > TIE]
    lost = [row for row in reversed(rows) if row["difference"] < -TIE]
    desc = f"{challenger['name']} beats {baseline['name']} on {len(won)} of {len(rows)} queries and loses on {len(lost)}"
    title = f"Difference in {metric}, one step a query, sorted"
    chart = charts.differences([row["difference"] for row in rows], name="duel", title=title, desc=desc)
    return {"chart": chart, "ours": challenger, "theirs": baseline, "gained": won[:SHOWN], "lost": lost[:SHOWN]}


def _cuts(standing: Sequence[Plain]) -> list[dict[str, Any]]:
    """Candidates that read through one and the same limit share a chart."""
    groups: dict[str, dict[str, Any]] = {}
    for candidate in standing:
        cut = candidate["truncation"]
        if cut:
            groups.setdefault(json.dumps(cut), {"cut": cut, "names": []})["names"].append(candidate["name"])
    for number, group in enumerate(groups.values()):
        cut = group["cut"]
        lost = [tenth["tokens_cut"] / max(1, tenth["tokens"]) for tenth in cut["deciles"]]
        tall = [(f"{tenth['longest']:,}", share) for tenth, share in zip(cut["deciles"], lost, strict=True)]
        title = "Share of the tokens that was cut, for each tenth of the documents by length"
        desc = "; ".join(f"up to {label} tokens: {share:.1%}" for label, share in tall)
        below = "longest document of each tenth, in tokens"
        chart = charts.bars(tall, name=f"cut{number}", title=title, desc=desc, x_label=below) if cut["items_cut"] else ""
        group |= {"chart": chart, "shares": lost}
    return list(groups.values())


def _fusions(standing: Sequence[Plain]) -> list[dict[str, Any]]:
    fusions = []
    for number, candidate in enumerate(c for c in standing if c["tuning"]):
        tuning = candidate["tuning"]
        rows = [("final", tuning["final"]), *((f"fold {i}", weights) for i, weights in enumerate(tuning["folds"], 1))]
        desc = "; ".join(f"{label}: {', '.join(f'{weight:.2f}' for weight in weights)}" for label, weights in rows)
        title = f"Weights of {candidate['name']}"
        chart = charts.shares(rows, tuning["parts"], name=f"fusion{number}", title=title, desc=desc)
        alone = tuning["parts"][tuning["final"].index(max(tuning["final"]))]
        fusions.append({"name": candidate["name"], "tuning": tuning, "rows": rows, "chart": chart, "alone": alone})
    return fusions


def _seconds(value: float | None) -> str:
    """Seconds in the unit that people would use.

    >>> [_seconds(value) for value in (0.0042, 3.14, 75, 5000)]
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


def _bytes(value: float) -> str:
    """Bytes in thousands.

    >>> _bytes(999), _bytes(12_345_678)
    ('999 B', '12.3 MB')
    """
    if value < 1000:
        return f"{value:.0f} B"
    power = min(4, int(math.log10(float(f"{value:.3g}")) / 3))
    return f"{value / 1000**power:.3g} {'kMGT'[power - 1]}B"
