"""A comparison as a record: plain JSON that says all, and the HTML and Markdown files made from that JSON alone.

The record names its schema; `vicino.evaluation.page` turns it into a page, `vicino.evaluation.markdown` into Markdown.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from vicino.errors import ArtifactError, InputError, UnreadableSource
from vicino.evaluation import markdown, page
from vicino.evaluation.compare import Candidate, Comparison
from vicino.evaluation.contests import ALPHA, Contest
from vicino.evaluation.foreseen import Foreseen
from vicino.evaluation.provenance import machine, versions
from vicino.metrics import METRICS
from vicino.metrics.significance import bootstrap_interval, randomisation_test

__all__ = [
    "SCHEMA",
    "as_plain",
    "read_json",
    "require_ending",
    "to_html",
    "to_json",
    "to_markdown",
    "write",
    "write_as",
    "write_text",
]

SCHEMA = "vicino.comparison/1"
FIELDS = {
    "created": str,
    "command": str,
    "seed": int,
    "folds": int,
    "baseline": str,
    "task": dict,
    "statistics": dict,
    "verdict": dict,
    "machine": dict,
    "versions": dict,
    "metrics": list,
    "candidates": list,
    "queries": list,
}
ENDINGS = (".html", ".htm", ".md", ".json")


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
        "metrics": [{"name": name, "meaning": METRICS.entry(name.partition("@")[0]).summary} for name in comparison.metric_names],
        "seed": comparison.seed,
        "folds": comparison.folds,
        "statistics": _statistics(comparison),
        "foreseen": _foreseen(comparison.foreseen),
        "verdict": comparison.verdict,
        "baseline": comparison.baseline,
        "study": comparison.study,
        "slices": comparison.slices,
        "candidates": [_candidate(candidate, len(task.documents)) for candidate in comparison.candidates],
        "queries": _queries(comparison),
        "machine": machine(),
        "versions": versions(),
    }
    return {key: as_plain(value) for key, value in plain.items()}


def to_html(plain: Mapping[str, Any]) -> str:
    """One HTML file from what `to_json` gave, or `read_json` read. Raises UnreadableSource for another schema."""
    _require_schema(plain)
    return page.render(plain)


def to_markdown(plain: Mapping[str, Any]) -> str:
    """The same as Markdown, without the charts. Raises UnreadableSource for another schema."""
    _require_schema(plain)
    return markdown.render(plain)


def require_ending(path: str | os.PathLike[str], *, markdown: bool = True) -> None:
    """Raise InputError unless the name ends as a report's does; ask before the work, not after it.

    Without `markdown`, for whoever writes none, .md is refused too.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS or (ending == ".md" and not markdown):
        said = ".html, .md or .json" if markdown else ".html or .json"
        raise InputError(f"{Path(path).name} says no format that this report has", mend=f"end the name with {said}")


def write(path: str | os.PathLike[str], plain: Mapping[str, Any]) -> Path:
    """Write what `to_json` gave, as `.json`, `.md` or an `.html` page by the ending. Raises InputError or ArtifactError."""
    return write_as(path, plain, html=to_html, markdown=to_markdown)


def write_as(
    path: str | os.PathLike[str],
    plain: Mapping[str, Any],
    *,
    html: Callable[[Mapping[str, Any]], str],
    markdown: Callable[[Mapping[str, Any]], str],
) -> Path:
    """Write a record of any kind by the ending, `html` and `markdown` say how. Raises InputError or ArtifactError."""
    require_ending(path)
    ending = Path(path).suffix.lower()
    if ending == ".json":
        return write_text(path, json.dumps(plain, indent=1, allow_nan=False) + "\n")
    return write_text(path, markdown(plain) if ending == ".md" else html(plain))


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a report that is text already. Raises InputError for an ending that reports do not have, or ArtifactError."""
    require_ending(path)
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="replace")
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


def _statistics(comparison: Comparison) -> dict[str, Any]:
    return {
        "interval": "percentile bootstrap over queries, those that share their answers together",
        "resamples": _default(bootstrap_interval, "resamples"),
        "level": _default(bootstrap_interval, "level"),
        "test": "paired randomisation, two-sided",
        "rounds": _default(randomisation_test, "rounds"),
        "correction": "step-down max-T over all pairs (Westfall and Young)",
        "alpha": ALPHA,
        "equivalence": "two one-sided tests, Holm",
        "margin": comparison.margin,
        "units": comparison.units,
    }


def _default(function: Callable[..., Any], parameter: str) -> Any:
    return inspect.signature(function).parameters[parameter].default


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
        "metrics": candidate.metrics,
        "notes": candidate.notes,
        "bounds": candidate.bounds,
        "seeds": candidate.seeds,
        "values": candidate.values,
        "against_baseline": _contest(candidate.against_baseline),
        "against_best": _contest(candidate.against_best),
        "build_seconds": found.build_seconds,
        "documents_per_second": documents / found.build_seconds if found.build_seconds > 0 else None,
        "query_ms": {f"p{share}": np.percentile(found.query_ms, share) if len(found.query_ms) else None for share in (50, 95)},
        "cost_seconds": candidate.cost_seconds,
        "index_bytes": found.index_bytes if recipe else None,
        "truncation": cut and vars(cut) | {"share": cut.share, "deciles": [_decile(tenth) for tenth in cut.deciles]},
        "tuning": candidate.tuning and vars(candidate.tuning) | {"fuses": candidate.tuning.fuses, "parts": _parts(candidate)},
        "arithmetic": found.arithmetic,
        "usage": found.usage,
        "cached": found.cached,
    }


def _queries(comparison: Comparison) -> list[dict[str, Any]]:
    """Their ids and texts, and the number of the unit that each belongs to: those of one are drawn together."""
    told: list[dict[str, Any]] = [{"id": query.id, "text": query.text} for query in comparison.task.queries]
    units = () if comparison.unit_of is None else comparison.unit_of.tolist()
    return [{**one, "unit": unit} for one, unit in zip(told, units, strict=True)] if units else told


def _foreseen(told: Foreseen | None) -> dict[str, Any] | None:
    return None if told is None else vars(told) | {"sentence": told.sentence}


def _contest(contest: Contest | None) -> dict[str, Any] | None:
    if contest is None:
        return None
    told = ("against", "difference", "p", "detectable", "clear", "same", "margin", "decision")
    return {name: getattr(contest, name) for name in told} | contest.tally._asdict()


def _decile(tenth: Sequence[int]) -> dict[str, int]:
    return dict(zip(("longest", "items", "items_cut", "tokens", "tokens_cut"), tenth, strict=True))


def _parts(candidate: Candidate) -> list[str]:
    """What the weights of a fused candidate weigh, from its name `a+b:tuned`; numbered where the name does not say."""
    names = re.split(r"\+(?![^(]*\))", re.sub(r":(rrf|tuned)$", "", candidate.name))
    count = len(candidate.tuning.final) if candidate.tuning else 0
    return names if len(names) == count else [f"part {number}" for number in range(1, count + 1)]


def as_plain(value: Any) -> Any:
    """JSON's own types: NumPy's become Python's, what is not finite becomes None, and half characters are replaced; records
    and named tuples become objects."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "_asdict"):
        return as_plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): as_plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return as_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [as_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value
