"""A look at an encoder or a collection as a record: plain JSON that says all, and the HTML and Markdown made from that alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vicino.evaluation import page, report, spelling
from vicino.evaluation.diagnosis import Diagnosis
from vicino.evaluation.findings import Plain
from vicino.evaluation.markdown import escaped, grid
from vicino.evaluation.provenance import machine, versions
from vicino.metrics.calibration import LEVEL

__all__ = ["SCHEMA", "to_json", "to_markdown", "write"]

SCHEMA = "vicino.diagnosis/1"


def to_json(looked: Diagnosis, *, about: str, seed: int = 0, command: str = "") -> dict[str, Any]:
    """Everything that was found, as plain data with finite numbers; `about` is what was looked at, `command` what repeats it."""
    plain = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "about": about,
        "seed": seed,
        "level": LEVEL,
        **looked.to_json(),
        "machine": machine(),
        "versions": versions(),
    }
    return {key: report.as_plain(value) for key, value in plain.items()}


def write(path: str | os.PathLike[str], plain: Plain) -> Path:
    """Write what `to_json` gave, as `.json`, `.md` or an `.html` page by the ending. Raises InputError or ArtifactError."""
    return report.write_as(path, plain, html=page.render_diagnosis, markdown=to_markdown)


def to_markdown(plain: Plain) -> str:
    """The record as Markdown, without the charts."""
    parts = (_findings(plain), _cures(plain), _scores(plain))
    return "\n".join(line for part in parts for line in part).strip() + "\n"


def _findings(plain: Plain) -> Iterator[str]:
    problems = sum(one["state"] == "problem" for one in plain["findings"])
    yield f"# {escaped(plain['about'])}: {problems or 'no'} problem{'' if problems == 1 else 's'}"
    yield ""
    for one in sorted(plain["findings"], key=lambda one: one["state"] != "problem"):
        healthy = f" (healthy: {escaped(one['threshold'])})" if one["threshold"] else ""
        yield f"- **{escaped(one['about'])}**: {one['state']}. {escaped(one['value'])}{healthy}"
        yield from (f"  - {escaped(one[key])}" for key in ("cause", "mend", "reference") if one[key])
    yield ""
    if plain["command"]:
        yield from (f"    {plain['command']}", "")


def _cures(plain: Plain) -> Iterator[str]:
    if not plain["cures"]:
        return
    yield from ("## Cures, tried on a copy", "", *(f"{escaped(sentence)}\n" for sentence in plain["advice"]))
    signs = list(plain["cures"][0]["signs"])
    rows = []
    for one in plain["cures"]:
        gain = one["difference"]
        change = f"{spelling.signed(gain['mean'])} ({spelling.signed(gain['low'])} to {spelling.signed(gain['high'])})"
        moved = [f"{spelling.score(each['before'])} → {spelling.score(each['after'])}" for each in one["signs"].values()]
        cells = [escaped(one["encoder"]), escaped(one["cure"]), spelling.score(one["before"]), spelling.score(one["after"])]
        rows.append([*cells, change, spelling.p_value(one["p"]), one["decision"], *moved])
    yield from grid(["encoder", "cure", "before", "after", "change", "p", "", *signs], rows)


def _scores(plain: Plain) -> Iterator[str]:
    for one in plain["findings"]:
        if one.get("numbers"):
            yield from (f"## Reliability of {escaped(one['about'])}", "")
            shares = ("predicted", "observed", "low", "high")
            bins = one["numbers"]["bins"]
            rows = [[*(spelling.score(each[share]) for share in shares), spelling.count(each["count"])] for each in bins]
            yield from grid(["said", "true", "from", "to", "pairs"], rows)
