"""A comparison as a record and as a page: plain JSON that says all, and one HTML file made from that JSON alone.

The page asks nothing of any other place: no script, no font, no picture from outside, and its security policy forbids them.
What indexed text and names hold is escaped everywhere.
"""

from __future__ import annotations

import functools
import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vicino.errors import ArtifactError, InputError, UnreadableSource
from vicino.evaluation import charts
from vicino.evaluation.compare import ALPHA, Candidate, Comparison, Contest
from vicino.metrics import METRICS, parse
from vicino.metrics.significance import TIE, bootstrap_interval, randomisation_test

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["SCHEMA", "machine", "read_json", "to_html", "to_json", "versions", "write"]

SCHEMA = "vicino.comparison/1"
FIELDS = {"task": dict, "metrics": list, "statistics": dict, "verdict": dict, "baseline": str, "candidates": list, "queries": list}
LIBRARIES = ("vicino", "numpy", "scipy", "numba", "scikit-learn", "torch", "transformers", "faiss-cpu")
SHOWN = 10  # queries in each of the two lists of gains and losses

# The record -----------------------------------------------------------------------------------------------------------


def to_json(comparison: Comparison, *, seconds: float | None = None, command: str = "") -> dict[str, Any]:
    """Everything a comparison found, as plain data with finite numbers: the schema is `SCHEMA`.

    `seconds` is what the whole comparison took, `command` the line that repeats it. Times are in seconds unless their name
    says milliseconds; what cannot be a number (an infinite or undefined value) is null.
    """
    task = comparison.task
    plain = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "seconds": seconds,
        "task": {
            "name": task.name,
            "documents": len(task.documents),
            "queries": len(task.queries),
            "judgements": sum(len(row) for row in task.rows),
            "synthetic": task.synthetic,
            "notes": task.notes,
            "analyzer": task.analyzer,
            "documents_fingerprint": task.documents_fingerprint,
            "fingerprint": task.fingerprint,
        },
        "metrics": [{"name": name, "meaning": METRICS.entry(parse(name).name.partition("@")[0]).summary} for name in comparison.metric_names],
        "seed": comparison.seed,
        "folds": comparison.folds,
        "statistics": _statistics(),
        "verdict": vars(comparison.verdict),
        "baseline": comparison.baseline,
        "candidates": [_candidate(candidate, len(task.documents)) for candidate in comparison.candidates],
        "queries": [{"id": query.id, "text": query.text} for query in task.queries],
        "machine": machine(),
        "versions": versions(),
    }
    return {key: _plain(value) for key, value in plain.items()}


def machine() -> dict[str, Any]:
    """The processor's name and number of cores, memory in bytes, the system and the Python that ran."""
    names = re.findall(r"^model name\s*:\s*(.+)$", _text_of(Path("/proc/cpuinfo")), flags=re.MULTILINE)
    known = getattr(os, "sysconf_names", {})
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in known else None
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """The installed versions of what makes the numbers; nothing is imported."""
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def write(path: str | os.PathLike[str], plain: Mapping[str, Any]) -> Path:
    """Write what `to_json` gave, as `.json` or as an `.html` page by the ending. Raises InputError or ArtifactError."""
    file = Path(path)
    if file.suffix.lower() not in (".html", ".htm", ".json"):
        raise InputError(f"{file.name} says no format that reports have", mend="end the name with .html or .json")
    text = json.dumps(plain, indent=1, allow_nan=False) + "\n" if file.suffix.lower() == ".json" else to_html(plain)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"cannot write {file}: {error}", mend="choose a folder that you may write to") from error
    return file


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `write` wrote. Raises UnreadableSource: no such file, not JSON, of another schema, or with fields missing."""
    file = Path(path)
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableSource(f"{file} cannot be read: {error}", mend="check the path and its permissions") from error
    except ValueError as error:
        raise UnreadableSource(f"{file} is not JSON: {error}", mend="run vicino compare again with --report x.json") from error
    _require_schema(plain)
    return plain  # type: ignore[no-any-return]


def _require_schema(plain: Any) -> None:
    schema = plain.get("schema") if isinstance(plain, Mapping) else None
    if schema != SCHEMA:
        newer = isinstance(schema, str) and schema.startswith("vicino.comparison/")
        mend = "pip install --upgrade vicino" if newer else "give the JSON report of vicino compare"
        raise UnreadableSource(f"the report's schema is {schema!r}; this vicino reads {SCHEMA}", mend=mend)
    wrong = [field for field, kind in FIELDS.items() if not isinstance(plain.get(field), kind)]
    if wrong:
        raise UnreadableSource(f"the report lacks {', '.join(wrong)}", mend="run vicino compare again with --report x.json")


def _statistics() -> dict[str, Any]:
    drawn, tested = (function.__kwdefaults__ for function in (bootstrap_interval, randomisation_test))
    return {
        "interval": "percentile bootstrap over queries",
        "resamples": drawn["resamples"],
        "level": drawn["level"],
        "test": "paired randomisation, two-sided",
        "rounds": tested["rounds"],
        "correction": "Holm",
        "alpha": ALPHA,
    }


def _candidate(candidate: Candidate, documents: int) -> dict[str, Any]:
    recipe, found, cut = candidate.recipe, candidate.found, candidate.truncation
    plain: dict[str, Any] = {
        "name": candidate.name,
        "error": candidate.error,
        "simple": candidate.simple,
        "recipe": recipe and recipe.to_json(),
        "recipe_fingerprint": recipe and recipe.fingerprint,
    }
    if found is None:
        return plain
    return plain | {
        "metrics": {name: interval._asdict() for name, interval in (candidate.metrics or {}).items()},
        "values": candidate.values,
        "against_baseline": _contest(candidate.against_baseline),
        "against_best": _contest(candidate.against_best),
        "build_seconds": found.build_seconds,
        "documents_per_second": documents / found.build_seconds if found.build_seconds > 0 else None,
        "query_ms": {"p50": np.percentile(found.query_ms, 50), "p95": np.percentile(found.query_ms, 95)},
        "cost_seconds": candidate.cost_seconds,
        "index_bytes": found.index_bytes,
        "truncation": cut and vars(cut) | {"share": cut.share, "deciles": [_decile(tenth) for tenth in cut.deciles]},
        "tuning": candidate.tuning and vars(candidate.tuning) | {"fuses": candidate.tuning.fuses, "parts": _parts(candidate)},
        "cached": found.cached,
    }


def _contest(contest: Contest | None) -> dict[str, Any] | None:
    if contest is None:
        return None
    difference, tally = contest.difference._asdict(), contest.tally._asdict()
    return {
        "against": contest.against,
        "difference": difference,
        **tally,
        "p": contest.p,
        "detectable": contest.detectable,
        "clear": contest.clear,
    }


def _decile(tenth: Sequence[int]) -> dict[str, int]:
    return dict(zip(("longest", "items", "items_cut", "tokens", "tokens_cut"), tenth, strict=True))


def _parts(candidate: Candidate) -> list[str]:
    """What the weights of a fused candidate weigh, from its name `a+b:tuned`; numbered where the name does not say."""
    names = re.split(r"\+(?![^(]*\))", re.sub(r":(rrf|tuned)$", "", candidate.name))
    count = len(candidate.tuning.final) if candidate.tuning else 0
    return names if len(names) == count else [f"part {number}" for number in range(1, count + 1)]


def _plain(value: Any) -> Any:
    """JSON's own types: NumPy's become Python's, what is not finite becomes None, and half characters are replaced."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


# The page -------------------------------------------------------------------------------------------------------------


def to_html(plain: Mapping[str, Any]) -> str:
    """One HTML file from what `to_json` gave, or `read_json` read. Raises UnreadableSource for another schema."""
    _require_schema(plain)
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
        "recipe": lambda recipe: json.dumps(recipe, ensure_ascii=False),
        "score": lambda value: "–" if value is None else f"{value:.3f}".replace("-", "−"),
        "seconds": _seconds,
        "shortened": lambda text: text if len(text) <= 300 else f"{text[:300]}…",
        "signed": lambda value: f"{value:+.3f}".replace("-", "−"),
    }
    return page.get_template("report.html.j2")


def _marks(plain: Mapping[str, Any], standing: Sequence[Mapping[str, Any]], metric: str) -> list[charts.Mark]:
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


def _quality(plain: Mapping[str, Any], standing: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    marks = _marks(plain, standing, metric)
    baseline = next(mark.quality for mark in marks if mark.label == plain["baseline"])
    told = "; ".join(f"{mark.label} {mark.quality:.3f} from {mark.low:.3f} to {mark.high:.3f}" for mark in marks)
    title = f"{metric} of each candidate, with its interval"
    return {"chart": charts.intervals(marks, name="quality", title=title, desc=told, reference=baseline), "marks": marks}


def _cost(plain: Mapping[str, Any], standing: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    marks = _marks(plain, standing, metric)
    front = {marks[index].label for index in charts.pareto([(mark.cost, mark.quality) for mark in marks])}
    told = "; ".join(f"{mark.label} {mark.quality:.3f} at {_seconds(mark.cost)}" for mark in marks)
    title = f"{metric} against cost"
    chart = charts.scatter(marks, name="cost", title=title, desc=told, x_label="cost, each step 10 times the last", y_label=metric)
    return {"chart": chart, "marks": marks, "front": front}


def _duel(plain: Mapping[str, Any], standing: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any] | None:
    """The pick against the baseline, query by query; where they are one, the best of the others stands in."""
    by_name = {candidate["name"]: candidate for candidate in standing}
    baseline = by_name.pop(plain["baseline"])
    challenger = by_name.get(plain["verdict"]["pick"]) or next(iter(by_name.values()), None)
    if challenger is None:
        return None
    rows = [
        {"text": query["text"], "ours": ours, "theirs": theirs, "difference": ours - theirs}
        for query, ours, theirs in zip(plain["queries"], challenger["values"], baseline["values"], strict=True)
    ]
    rows.sort(key=lambda row: -row["difference"])
    won = [row for row in rows if row["difference"] > TIE]
    lost = [row for row in reversed(rows) if row["difference"] < -TIE]
    desc = f"{challenger['name']} is better than {baseline['name']} on {len(won)} queries and worse on {len(lost)} of {len(rows)}."
    title = f"Difference in {metric}, one step a query, sorted"
    chart = charts.differences([row["difference"] for row in rows], name="duel", title=title, desc=desc)
    lists = {"gained": won[:SHOWN], "lost": lost[:SHOWN]}
    return {"chart": chart, "ours": challenger, "theirs": baseline, "equal": len(rows) - len(won) - len(lost), **lists}


def _cuts(standing: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
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


def _fusions(standing: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    fusions = []
    for number, candidate in enumerate(c for c in standing if c["tuning"]):
        tuning = candidate["tuning"]
        rows = [("final", tuning["final"]), *((f"fold {i}", weights) for i, weights in enumerate(tuning["folds"], 1))]
        desc = "; ".join(f"{label}: {', '.join(f'{weight:.2f}' for weight in weights)}" for label, weights in rows)
        title = f"Weights of {candidate['name']}"
        chart = charts.shares(rows, name=f"fusion{number}", title=title, desc=desc)
        alone = tuning["parts"][int(np.argmax(tuning["final"]))]
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
        return f"{1000 * value:.3g} ms"
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
    power = min(4, int(math.log10(value) / 3))
    return f"{value / 1000**power:.3g} {'kMGT'[power - 1]}B"
