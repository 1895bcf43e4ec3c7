"""The page of a comparison: one HTML file, made from its JSON record alone.

The page asks nothing of any other place: no script, no font, no picture from outside, and its security policy forbids them.
What names and indexed text hold is escaped everywhere. The words are in `report.html.j2` and the files that it includes; here
are the charts and the order. What the record says is worked out in `vicino.evaluation.findings`.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from vicino.evaluation import charts, findings, reliability_chart, spelling
from vicino.evaluation.findings import Plain

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render", "render_diagnosis", "render_table"]

SHOWN = 10  # queries in each of the two lists of gains and losses
LISTED = 100  # those that the lists hold when opened; the record holds all
DRAWN = 12  # rows of a chart of intervals


def render(plain: Plain) -> str:
    """The page of a record whose schema was checked: use `vicino.evaluation.report.to_html`."""
    metric = plain["metrics"][0]["name"]
    standing = [{"notes": (), **one, "relation": findings.relation(one["against_baseline"])} for one in findings.measured(plain)]
    parts, seeds = findings.slices(plain), findings.seeds(plain)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            plain,
            metric=metric,
            standing=standing,
            failed=findings.failed(plain),
            decision=findings.decision(plain),
            quality=_quality(plain, standing, metric),
            cost=_cost(plain, standing, metric),
            baseline_is=findings.baseline_is(plain),
            study=plain.get("study"),
            factors=_factors(plain, standing, metric),
            left=_left_out(plain.get("study")),
            duel=_duel(plain, metric),
            shown=SHOWN,
            listed=LISTED,
            slices=parts,
            weak=[part for part in parts if findings.is_weak(plain, part)],
            parts=_slices(plain, parts, standing, metric),
            seeds=seeds,
            training=_seeds(seeds, standing, metric),
            unjudged=_unjudged(plain, metric),
            judged_known=all("bounds" in one for one in standing),
            foreseen=findings.foreseen(plain),
            cuts=_cuts(standing),
            fusions=_fusions(standing),
            detectable=findings.detectable(plain),
            units=plain["statistics"].get("units"),
            margin=plain["statistics"].get("margin"),
        )
    )


def render_table(plain: Plain) -> str:
    """The page of a task that is not retrieval, from what `vicino.evaluation.suite.Table.to_json` gave.

    A "command" beside it is shown as the line that repeats it.
    """
    metric, pick, baseline = plain["metrics"][0]["name"], plain["pick"], plain["baseline"]
    standing = [one for one in plain["candidates"] if not one["error"]]
    standing.sort(key=lambda one: -one["metrics"][metric]["mean"])
    marks = []
    for one in standing:
        name, words = one["name"], {"our pick": pick, "baseline": baseline}
        role: charts.Role = "pick" if name == pick else "baseline" if name == baseline else "other"
        note = ", ".join(word for word, who in words.items() if who == name)
        marks.append(_mark(name, one["metrics"][metric], role=role, note=note))
    reference = next(mark.quality for mark in marks if mark.label == baseline)
    words = {"name": "quality", "title": f"{metric} of each candidate, with its interval", "desc": _told(marks)}
    return (
        _environment()
        .get_template("table.html.j2")
        .render(
            {"command": "", **plain},
            metric=metric,
            standing=standing,
            failed=findings.failed(plain),
            chart=charts.intervals(marks, **words, reference=reference),
            marks=marks,
        )
    )


def render_diagnosis(plain: Plain) -> str:
    """The page of a look at an encoder or a collection, from the record of `vicino.evaluation.diagnosis_report`."""
    told = sorted(plain["findings"], key=lambda one: one["state"] != "problem")
    drawn = [one for one in told if one.get("numbers")]
    charted = [{**one, "chart": reliability_chart.reliability(one, name=f"scores{at}")} for at, one in enumerate(drawn)]
    problems = [one["about"] for one in told if one["state"] == "problem"]
    return _environment().get_template("diagnosis.html.j2").render(plain, findings=told, problems=problems, scores=charted)


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    where = PackageLoader("vicino.evaluation", "")
    made = Environment(loader=where, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Callable[..., Any]] = {
        "bytes": spelling.bytes_,
        "count": spelling.count,
        "milliseconds": lambda value: spelling.seconds(None if value is None else value / 1000),
        "p": spelling.p_value,
        "percent": spelling.percent,
        "pieces": lambda name: re.split(r"(?<=[+:/,(@])", name),
        "recipe": lambda recipe: json.dumps(recipe, ensure_ascii=False),
        "score": spelling.score,
        "seconds": spelling.seconds,
        "shortened": lambda text: text if len(text) <= 300 else f"{text[:300]}…",
        "signed": spelling.signed,
    }
    made.filters.update(filters)
    return made


def _marks(plain: Plain, standing: Sequence[Plain], metric: str) -> list[charts.Mark]:
    pick, best, tied = (plain["verdict"][key] for key in ("pick", "best", "tied"))
    marks = []
    for candidate in standing:
        name, is_baseline = candidate["name"], candidate["name"] == plain["baseline"]
        role: charts.Role = "pick" if name == pick else "baseline" if is_baseline else "other"
        words = {"our pick": name == pick, "highest": name == best != pick, "baseline": is_baseline, "tied": name in tied}
        note = ", ".join(word for word, holds in words.items() if holds)
        cost = math.nan if candidate["cost_seconds"] is None else candidate["cost_seconds"]
        marks.append(_mark(name, candidate["metrics"][metric], cost=cost, role=role, note=note))
    return marks


def _mark(label: str, interval: Plain, **more: Any) -> charts.Mark:
    return charts.Mark(label, interval["mean"], interval["low"], interval["high"], **more)


def _told(marks: Sequence[charts.Mark]) -> str:
    """A chart of intervals in words."""
    return "; ".join(f"{mark.label} {mark.quality:.3f} from {mark.low:.3f} to {mark.high:.3f}" for mark in marks)


def _quality(plain: Plain, standing: Sequence[Plain], metric: str) -> dict[str, Any]:
    marks = _marks(plain, standing, metric)
    baseline = next(mark.quality for mark in marks if mark.label == plain["baseline"])
    drawn = [mark for place, mark in enumerate(marks) if place < DRAWN or mark.role != "other"]
    title = f"{metric} of each candidate, with its interval"
    chart = charts.intervals(drawn, name="quality", title=title, desc=_told(drawn), reference=baseline)
    return {"chart": chart, "marks": marks, "drawn": DRAWN if len(marks) > len(drawn) else len(marks)}


def _cost(plain: Plain, standing: Sequence[Plain], metric: str) -> dict[str, Any]:
    marks = _marks(plain, standing, metric)
    known = [mark for mark in marks if not math.isnan(mark.cost)]
    front = {known[index].label for index in charts.pareto([(mark.cost, mark.quality) for mark in known])}
    told = "; ".join(f"{mark.label} {mark.quality:.3f} at {spelling.seconds(mark.cost)}" for mark in known)
    title = f"{metric} against cost"
    words = {"name": "cost", "title": title, "desc": told, "x_label": "cost", "y_label": metric}
    chart = charts.scatter(known, **words) if known else ""
    unknown = [mark.label for mark in marks if mark not in known]
    rows = [{"label": mark.label, "quality": mark.quality, "cost": mark.cost if mark in known else None} for mark in marks]
    return {"chart": chart, "marks": rows, "front": front, "unknown": unknown, "thinned": len(known) > charts.LABELLED}


def _factors(plain: Plain, standing: Sequence[Plain], metric: str) -> list[dict[str, Any]]:
    """The answers of a study, each with a chart of its levels; all charts have one axis."""
    study = plain.get("study")
    if not study:
        return []
    by_name = {one["name"]: one for one in standing}
    levels = [[by_name[name] for name in answer["levels"] if name in by_name] for answer in study["answers"]]
    ends = [one["metrics"][metric][end] for row in levels for one in row for end in ("low", "high")]
    told = []
    for number, (answer, row) in enumerate(zip(study["answers"], levels, strict=True)):
        marks, shown = [], []
        for one in row:
            name = one["name"]
            note = ", ".join(word for word in ("chosen", "default") if name == answer["pick" if word == "chosen" else word])
            role: charts.Role = "pick" if name == answer["pick"] else "baseline" if name == answer["default"] else "other"
            marks.append(_mark(name, one["metrics"][metric], role=role, note=note))
            shown.append({**one, "note": note})
        title, default = f"{answer['factor']}: {metric}", by_name.get(answer["default"])
        chart = ""
        if len(marks) > 1 and default is not None:
            words = {"name": f"factor{number}", "title": title, "desc": _told(marks)}
            reference = default["metrics"][metric]["mean"]
            chart = charts.intervals(marks, **words, reference=reference, span=(min(ends), max(ends)))
        told.append({**answer, "chart": chart, "title": title, "levels": shown})
    return told


def _left_out(study: Plain | None) -> dict[str, str]:
    """What a study skipped that no single question names."""
    if not study:
        return {}
    named = {name for answer in study["answers"] for name in answer["skipped"]}
    return {name: why for name, why in study["skipped"].items() if name not in named}


def _duel(plain: Plain, metric: str) -> dict[str, Any] | None:
    found = findings.duel(plain)
    if found is None:
        return None
    ours, theirs, rows = found["ours"]["name"], found["theirs"]["name"], found["rows"]
    desc = f"{ours} beats {theirs} on {len(found['won'])} of {len(rows)} queries and loses on {len(found['lost'])}"
    title = f"Difference in {metric}, one step a query, sorted"
    return {**found, "chart": charts.differences([row["difference"] for row in rows], name="duel", title=title, desc=desc)}


def _slices(plain: Plain, parts: Sequence[Plain], standing: Sequence[Plain], metric: str) -> dict[str, Any]:
    """The worst parts of the queries; those that are worse beyond chance have another shape."""
    if not parts:
        return {}
    whole = next(one["metrics"][metric]["mean"] for one in standing if one["name"] == plain["verdict"]["pick"])
    marks = []
    for part in parts[:DRAWN]:
        role: charts.Role = "baseline" if findings.is_weak(plain, part) else "other"
        marks.append(_mark(part["name"], part["pick"], role=role, note=f"{part['by']}, {part['queries']:,} queries"))
    title = f"{metric} of {plain['verdict']['pick']} on parts of the queries, the worst first"
    return {"marks": marks, "chart": charts.intervals(marks, name="parts", title=title, desc=_told(marks), reference=whole)}


def _seeds(rows: Sequence[Plain], standing: Sequence[Plain], metric: str) -> dict[str, Any]:
    if not rows:
        return {}
    by_name = {one["name"]: one["metrics"][metric] for one in standing}
    marks = [_mark(row["name"], by_name[row["name"]], dots=tuple(row["means"])) for row in rows]
    ends = [end for mark in marks for end in (mark.low, mark.high, *mark.dots)]
    desc = "; ".join(f"{row['name']} from {row['low']:.3f} to {row['high']:.3f} over {len(row['means'])} seeds" for row in rows)
    words = {"name": "seeds", "title": f"{metric} of each seed", "desc": desc}
    return {"chart": charts.intervals(marks, **words, reference=marks[0].quality, span=(min(ends), max(ends)))}


def _unjudged(plain: Plain, metric: str) -> dict[str, Any] | None:
    found = findings.bounds(plain)
    if found is None:
        return None
    pick = plain["verdict"]["pick"]
    marks = [_mark(row["name"], row, role="pick" if row["name"] == pick else "other") for row in found["rows"]]
    drawn, title = marks[:DRAWN], f"{metric} between none and all of the unjudged documents being relevant"
    reference = next((mark.quality for mark in marks if mark.role == "pick"), marks[0].quality)
    chart = charts.intervals(drawn, name="unjudged", title=title, desc=_told(drawn), reference=reference)
    return {"chart": chart, "marks": marks, "safe": found["safe"]}


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
