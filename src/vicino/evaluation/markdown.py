"""A comparison as Markdown, for a pull request or a wiki: what the page says, without its charts, from the same record.

What names and indexed text hold is escaped: none of it becomes markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from vicino.evaluation import findings, spelling
from vicino.evaluation.charts import pareto
from vicino.evaluation.findings import Plain

__all__ = ["escaped", "grid", "render"]

_MARKUP = re.compile(r"([\\`*_\[\]<>#|~&$]|^[-+])")
_NUMBERED = re.compile(r"^(\d+)([.)])")
_SHOWN = 10  # queries in each of the two lists of gains and losses
_LONG = 160  # characters of a query


def render(plain: Plain) -> str:
    """The text of a record whose schema was checked: use `vicino.evaluation.report.to_markdown`."""
    standing = findings.measured(plain)
    parts = (_head(plain), _table(plain, standing), _costs(standing), _study(plain), _queries(plain), _slices(plain))
    rest = (_trust(plain), _failures(plain), _repeat(plain, standing))
    return "\n".join(line for part in (*parts, *rest) for line in part).strip() + "\n"


def escaped(text: str) -> str:
    r"""Text on one line in which nothing is markup.

    >>> print(escaped("a|b *c*\n# <d>"))
    a\|b \*c\* \# \<d\>
    """
    return _NUMBERED.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", " ".join(text.split())))


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose cells are escaped already; all columns but the first are aligned to the right."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join([' --- ', *[' ---: '] * (len(head) - 1)])}|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _head(plain: Plain) -> Iterator[str]:
    task = plain["task"]
    yield f"# {escaped(task['name'])}: use {escaped(plain['verdict']['pick'])}"
    yield ""
    yield escaped(findings.decision(plain))
    yield ""
    if plain.get("study"):
        yield escaped(plain["study"]["sentence"])
        yield ""
    if task["synthetic"]:
        made = escaped(task["synthetic"].rstrip("."))
        yield f"**The queries are synthetic.** No person asked them. How they were made: {made}."
        yield ""
    yield f"In the words of the test: {escaped(plain['verdict']['sentence'])}"
    yield ""
    counts = ", ".join(f"{spelling.count(task[name])} {name}" for name in ("documents", "queries", "judgements"))
    yield f"{counts}; {len(plain['candidates'])} candidates."
    yield ""


def _table(plain: Plain, standing: Sequence[Plain]) -> Iterator[str]:
    names, verdict = [each["name"] for each in plain["metrics"]], plain["verdict"]
    known = [one for one in standing if one["cost_seconds"] is not None]
    front = {known[place]["name"] for place in pareto([(one["cost_seconds"], one["metrics"][names[0]]["mean"]) for one in known])}
    yield "## Quality"
    yield ""
    rows = []
    for one in standing:
        contest = one["against_baseline"]
        role = {"pick": one["name"] == verdict["pick"], "baseline": one["name"] == plain["baseline"]}
        marks = [word for word, holds in role.items() if holds] + (["front"] if one["name"] in front else [])
        tally = "–" if contest is None else f"+{contest['wins']} ={contest['ties']} −{contest['losses']}"
        change = "–" if contest is None else _range(contest["difference"], spelling.signed)
        decision = findings.relation(contest) or "–"
        p = "–" if contest is None else escaped(spelling.p_value(contest["p"]))
        values = [_range(one["metrics"][name], spelling.score) for name in names]
        rows.append([_named(one["name"]), *values, change, tally, p, decision, ", ".join(marks)])
    against = f"against {escaped(plain['baseline'])}"
    yield from grid(["candidate", *map(escaped, names), against, "queries", "p", "decision", ""], rows)
    yield (
        f"Means with their {100 * plain['statistics']['level']:g} % intervals; queries better, equal and worse than "
        f"{escaped(plain['baseline'])}, {findings.baseline_is(plain)}; front: nothing beats it in both quality and cost."
    )
    yield ""


def _costs(standing: Sequence[Plain]) -> Iterator[str]:
    yield "## Cost"
    yield ""
    rows = [
        [
            _named(one["name"]),
            spelling.seconds(one["cost_seconds"]),
            spelling.seconds(one["build_seconds"]),
            *(spelling.seconds(None if one["query_ms"][p] is None else one["query_ms"][p] / 1000) for p in ("p50", "p95")),
            spelling.bytes_(one["index_bytes"]),
            spelling.percent(one["truncation"]["share"]) if one["truncation"] else "–",
        ]
        for one in standing
    ]
    head = ["candidate", "taking in and 1,000 queries", "taking in", "typical query", "slow query", "index", "text cut off"]
    yield from grid(head, rows)


def _study(plain: Plain) -> Iterator[str]:
    study = plain.get("study")
    if not study:
        return
    metric = plain["metrics"][0]["name"]
    by_name = {one["name"]: one["metrics"][metric] for one in findings.measured(plain)}
    yield "## Question by question"
    yield ""
    for answer in study["answers"]:
        yield f"### {escaped(answer['question'])}"
        yield ""
        yield escaped(answer["sentence"])
        yield ""
        levels = [name for name in answer["levels"] if name in by_name]
        if len(levels) > 1:
            rows = []
            for name in levels:
                marks = [word for word, who in (("chosen", answer["pick"]), ("default", answer["default"])) if who == name]
                rows.append([_named(name), _range(by_name[name], spelling.score), ", ".join(marks)])
            yield from grid(["candidate", escaped(metric), ""], rows)
        for name, why in answer["skipped"].items():
            yield f"- not measured: {_named(name)} ({escaped(why)})"
        if answer["skipped"]:
            yield ""


def _queries(plain: Plain) -> Iterator[str]:
    duel = findings.duel(plain)
    if duel is None:
        return
    yield "## Query by query"
    yield ""
    ours, theirs = escaped(duel["ours"]["name"]), escaped(duel["theirs"]["name"])
    yield f"{ours} against {theirs}: better on {len(duel['won'])} of {len(duel['rows'])} queries, worse on {len(duel['lost'])}."
    yield ""
    for title, rows in (("Gained most", duel["won"]), ("Lost most", duel["lost"])):
        if rows:
            cells = [[_quoted(row["text"]), *map(spelling.score, (row["theirs"], row["ours"]))] for row in rows[:_SHOWN]]
            changes = [spelling.signed(row["difference"]) for row in rows]
            yield f"### {title}"
            yield ""
            yield from grid(["query", theirs, ours, "change"], [[*row, by] for row, by in zip(cells, changes, strict=False)])


def _slices(plain: Plain) -> Iterator[str]:
    parts = findings.slices(plain)
    if not parts:
        return
    yield "## Where it is weak"
    yield ""
    weak = sum(findings.is_weak(plain, part) for part in parts)
    yield f"The worst parts of the queries first; p is corrected for all {len(parts)}. Worse than the rest beyond chance: {weak}."
    yield ""
    rows = [
        [
            f"{escaped(part['by'])}: {escaped(part['name'])}",
            spelling.count(part["queries"]),
            _range(part["pick"], spelling.score),
            spelling.score(part["rest"]),
            escaped(spelling.p_value(part["p"])),
            _range(part["against_baseline"], spelling.signed) if part["against_baseline"] else "–",
            escaped(spelling.p_value(part["baseline_p"])),
        ]
        for part in parts
    ]
    head = ["part", "queries", plain["metrics"][0]["name"], "rest", "p", f"against {escaped(plain['baseline'])}", "p"]
    yield from grid(head, rows)


def _trust(plain: Plain) -> Iterator[str]:
    yield "## How sure is it?"
    yield ""
    foreseen, shown = findings.foreseen(plain), findings.detectable(plain)
    if foreseen:
        yield f"- {escaped(foreseen)}"
    if shown:
        yield f"- A true difference of {spelling.score(shown)} from {_named(plain['baseline'])} would show four times in five."
    unjudged = findings.bounds(plain)
    if unjudged:
        ends = "; ".join(
            f"{_named(row['name'])} {spelling.score(row['low'])} to {spelling.score(row['high'])}" for row in unjudged["rows"]
        )
        yield f"- Were all unjudged documents irrelevant, or as good as can be: {ends}."
    for one in findings.seeds(plain):
        yield (
            f"- {_named(one['name'])} over {len(one['means'])} seeds: {spelling.score(one['low'])} to "
            f"{spelling.score(one['high'])}, standard deviation {spelling.score(one['deviation'])} between seeds, where the "
            f"interval over queries is ±{spelling.score(one['queries'])}."
        )
    yield ""


def _failures(plain: Plain) -> Iterator[str]:
    odd = [f"- {_named(one['name'])} {escaped(note)}" for one in plain["candidates"] for note in one.get("notes") or ()]
    yield from [*odd, ""] if odd else []
    lost = findings.failed(plain)
    if lost:
        yield "## Failed"
        yield ""
        yield from (f"- {_named(one['name'])}: {escaped(one['error'])}" for one in lost)
        yield ""


def _repeat(plain: Plain, standing: Sequence[Plain]) -> Iterator[str]:
    task, said, machine = plain["task"], plain["statistics"], plain["machine"]
    yield "## Repeat it"
    yield ""
    if plain["command"]:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", plain["command"])), default=0))
        yield from (fence, " ".join(plain["command"].split()), fence, "")
    yield from (f"- {escaped(note.rstrip('.'))}." for note in task["notes"])
    yield f"- Data: fingerprint {task['fingerprint']}, documents {task['documents_fingerprint']}."
    yield f"- Chance: seed {plain['seed']}, {plain['folds']} folds."
    yield (
        f"- Intervals: {said['interval']}, {said['resamples']:,} resamples. Tests: {said['test']}, {said['rounds']:,} rounds, "
        f"corrected for several candidates: {said['correction']}; level {said['alpha']:g}."
    )
    yield f"- Made {plain['created']} on {escaped(machine['processor'])}, {machine['cores']} cores, Python {machine['python']}."
    yield f"- Versions: {', '.join(f'{name} {version}' for name, version in plain['versions'].items())}."
    yield from (f"- {_named(one['name'])}: `{_code(one['recipe'])}`" for one in standing if one["recipe"])
    yield ""


def _range(value: dict[str, float], write: Any) -> str:
    return f"{write(value['mean'])} ({write(value['low'])} to {write(value['high'])})"


def _named(name: str) -> str:
    return f"**{escaped(name)}**"


def _quoted(text: str) -> str:
    return escaped(text if len(text) <= _LONG else f"{text[:_LONG]}…")


def _code(recipe: object) -> str:
    """Plain data within a span of code, which a backtick would end."""
    return json.dumps(recipe, ensure_ascii=False).replace("`", "'")
