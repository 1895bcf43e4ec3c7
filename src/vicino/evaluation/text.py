"""A comparison as text: the table that a terminal shows, and what belongs beneath it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vicino.data.records import Recipe
from vicino.encoders.base import Truncation
from vicino.evaluation.compare import Candidate, Comparison
from vicino.evaluation.contests import ALPHA
from vicino.evaluation.scores import Scores
from vicino.evaluation.spelling import listed, p_value

if TYPE_CHECKING:
    from vicino.evaluation.study import Study

__all__ = ["comparison_text", "recipe_name", "scores_text", "table"]

_WIDE = 156  # characters that the whole table of a comparison needs
_ONLY_WHERE_WIDE = ("p", "p95", "index", "cut")
_WORST = 3  # slices that are named
_SHORT = 14  # characters of a name that may head a column


def comparison_text(comparison: Comparison, *, width: int = 160) -> str:
    """The task, the table (its least needed columns only where `width` allows), what belongs beneath it, and the verdict."""
    task = comparison.task
    lines = [f"{task.name}: {len(task.documents):,} documents, {len(task.queries):,} queries"]
    lines += [f"  NOT JUDGED BY PEOPLE: {task.synthetic}"] if task.synthetic else []
    lines += [f"  {note}" for note in task.notes]
    lines += [f"  {comparison.foreseen.sentence}"] if comparison.foreseen else []
    versus = f"vs {comparison.baseline}" if len(comparison.baseline) <= _SHORT else "vs baseline"  # the legend names it
    head = ["", *comparison.metric_names, versus, "decision", "p", "docs/s", "ms/query", "p95", "index", "cut"]
    ranked = sorted(comparison.candidates, key=lambda candidate: -candidate.mean)
    rows = [_row(candidate, comparison) for candidate in ranked]
    kept = [place for place, name in enumerate(head) if width >= _WIDE or name not in _ONLY_WHERE_WIDE]
    cells = [[row[place] for place in kept] for row in rows]
    shown = table([head[place] for place in kept], cells, right=range(1, len(kept)), width=width)
    told = (_legend(comparison, [head[place] for place in kept]), _beneath(comparison.candidates), _slices(comparison))
    beneath = [f"  {line}" for part in told for line in part]
    return "\n".join([*lines, "", shown, *beneath, "", *_study(comparison.study), comparison.verdict.sentence])


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Iterable[int] = (), width: int = 160) -> str:
    """A plain table; the columns in `right` are aligned to the right.

    >>> print(table(["name", "n"], [["a", 1], ["b", 22]], right=[1], width=40))
     name    n
    ───────────
     a       1
     b      22
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, show_edge=False)
    numeric = set(right)
    for place, name in enumerate(head):
        grid.add_column(name, justify="right" if place in numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(str(cell)) for cell in row))
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def _row(candidate: Candidate, comparison: Comparison) -> list[str]:
    if candidate.found is None or candidate.metrics is None:
        return [candidate.name, "failed"] + [""] * (len(comparison.metric_names) + 7)
    found, first = candidate.found, comparison.metric_names[0]
    mark = " *" if candidate.name == comparison.verdict.pick else ""
    intervals = [(name, *candidate.metrics[name]) for name in comparison.metric_names]
    scores = [f"{mean:.3f}" + (f" [{low:.3f}, {high:.3f}]" if name == first else "") for name, mean, low, high in intervals]
    contest = candidate.against_baseline
    tally = f"+{contest.tally.wins} ={contest.tally.ties} -{contest.tally.losses}" if contest else "baseline"
    decision, p = ("", "") if contest is None else (contest.decision, "<.001" if contest.p < 0.001 else f"{contest.p:.3f}")
    timed = bool(np.isfinite(found.query_ms).any())  # of a run file nobody knows times or size
    p50, p95 = (f"{ms:.2f}" for ms in np.percentile(found.query_ms, [50, 95])) if timed else ("", "")
    size = f"{found.index_bytes / 1e6:.1f} MB" if candidate.recipe else ""
    speed = f"{len(comparison.task.documents) / found.build_seconds:,.0f}" if found.build_seconds > 0 else ""
    cut = "" if found.truncation is None else f"{found.truncation.share:.1%}"
    return [candidate.name + mark, *scores, tally, decision, p, speed, p50, p95, size, cut]


def _legend(comparison: Comparison, head: Sequence[str]) -> Iterator[str]:
    """What the columns say that do not speak for themselves."""
    yield (
        f"* the choice; [95 % interval]; vs {comparison.baseline}: queries +better =equal -worse, the decision, and p, how "
        "often chance alone would set two so far apart (corrected for several candidates)"
    )
    told = {
        "docs/s": "documents made ready a second",
        "ms/query": "milliseconds a query, the median",
        "p95": "that all but 5 % stay under",
    }
    told |= {name: "share of the answers that was judged at all" for name in head if name.startswith("judged@")}
    told["cut"] = "share of the text beyond what the model reads"
    yield "; ".join(f"{name}: {told[name]}" for name in head if name in told)


def _beneath(candidates: Sequence[Candidate]) -> Iterator[str]:
    """What failed, what each candidate is, what fusing weighs, what was cut off, and which times are older."""
    for candidate in candidates:
        if candidate.error:
            yield f"{candidate.name} failed: {candidate.error}"
        elif candidate.recipe and not candidate.recipe.parts and not candidate.tuning:
            yield f"{candidate.name}: {_told(candidate.recipe)}"
        if candidate.tuning:
            weights = ", ".join(f"{weight:.2f}" for weight in candidate.tuning.final)
            yield f"{candidate.name}: weights {weights}" + (
                "" if candidate.tuning.fuses else " (the tuner's answer: do not fuse)"
            )
    for cut, names in _cuts(candidates).items():
        longest = cut.deciles[-1]
        yield (
            f"{', '.join(names)}: {cut.items_cut:,} of {cut.items:,} documents were cut at {cut.limit} tokens, {cut.share:.1%} "
            f"of all tokens; the longest tenth lost {longest[4] / max(1, longest[3]):.0%}"
        )
    for candidate in candidates:
        if candidate.found and candidate.found.usage:
            yield f"{candidate.name}: {candidate.found.usage}; its times are with answers that were known by then"
        yield from (f"{candidate.name} {note}" for note in candidate.notes)
        if candidate.seeds:
            low, high = min(candidate.seeds), max(candidate.seeds)
            yield f"{candidate.name}: from {low:.3f} to {high:.3f} over {len(candidate.seeds)} seeds of its training"
    older = [candidate.name for candidate in candidates if candidate.found and candidate.found.cached]
    if older:
        yield f"times of {', '.join(older)} were measured in an earlier run"


def _slices(comparison: Comparison) -> Iterator[str]:
    """Where the pick is worst, and whether that is more than chance."""
    weak = [each for each in comparison.slices if each.p < ALPHA and each.pick.mean < each.rest]
    for each in (weak or comparison.slices)[:_WORST]:
        yield (
            f"{'worst' if each in weak else 'lowest, perhaps by chance'}: {each.by}, {each.name} ({each.queries:,} queries): "
            f"{each.pick.mean:.3f}, elsewhere {each.rest:.3f} (p {p_value(each.p)})"
        )


def _study(study: Study | None) -> list[str]:
    """The questions of a study with their answers."""
    if study is None:
        return []
    lines = [line for answer in study.answers for line in (answer.question, f"  {answer.sentence}")]
    late = [f"Not measured: {listed(list(study.skipped), 6)} (the report says why)."] if study.skipped else []
    return [*lines, *late, study.sentence, ""]


def _cuts(candidates: Sequence[Candidate]) -> dict[Truncation, list[str]]:
    found: dict[Truncation, list[str]] = {}
    for candidate in candidates:
        if candidate.truncation:
            found.setdefault(candidate.truncation, []).append(candidate.name)
    return found


def _told(recipe: Recipe) -> str:
    """A recipe in one line: everything that was set, by hand or by default."""
    params = {**recipe.params, **(recipe.params.get("encoder_params") or {})}
    said = [f"{name}={value}" for name, value in params.items() if name != "encoder_params" and value is not None]
    return f"{recipe.retriever} {' '.join(said)}"


def scores_text(scores: Scores) -> str:
    """A collection's metrics with their intervals."""
    rows = [[name, f"{i.mean:.3f}", f"[{i.low:.3f}, {i.high:.3f}]"] for name, i in scores.metrics.items()]
    head = (
        f"{scores.name}: {scores.queries:,} judged queries, {scores.ms[0]:.1f} ms a query (95th percentile {scores.ms[1]:.1f} ms)"
    )
    return "\n".join([head, *(f"  {note}" for note in scores.notes), "", table(["", "mean", "95 %"], rows, right=(1, 2))])


def recipe_name(recipe: Mapping[str, Any]) -> str:
    """A recipe in a word.

    >>> parts = [{"retriever": "lexical"}, {"retriever": "dense", "params": {"encoder": "lsa"}}]
    >>> recipe_name({"retriever": "fused", "parts": parts})
    'bm25+lsa'
    """
    if recipe.get("parts"):
        reranker = str(recipe.get("params", {}).get("reranker", "")).rpartition("/")[2]
        return "+".join(map(recipe_name, recipe["parts"])) + (f">{reranker}" if reranker else "")
    return "bm25" if recipe["retriever"] == "lexical" else str(recipe.get("params", {}).get("encoder", recipe["retriever"]))
