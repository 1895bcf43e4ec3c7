"""Which candidate is best for some data, with the evidence: the ladder, the full study, and one retriever alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from os import PathLike
from typing import Any

from vicino.artifacts import home
from vicino.errors import ArtifactError, InputError, UnknownName
from vicino.evaluation import report
from vicino.evaluation.beside import Beside, beside
from vicino.evaluation.compare import LADDER, METRICS, Comparison
from vicino.evaluation.compare import compare as climb
from vicino.evaluation.silver import open_pooled
from vicino.evaluation.study import FAMILIES
from vicino.evaluation.study import study as run_study
from vicino.evaluation.tasks import RetrievalTask, open_task
from vicino.workbench.studies import keep_study

__all__ = ["STUDIES", "compare", "compare_reports", "evaluate"]

log = logging.getLogger(__name__)

Data = str | PathLike[str] | RetrievalTask

STUDIES = {"ladder": (climb, "candidates", LADDER), "full": (run_study, "families", FAMILIES)}
CHOICES = ("folds", "seeds", "margin", "by", "budget", "reranker")  # the options of a study; all others say how data is read


def compare(
    data: Data,
    *,
    candidates: Sequence[str] | None = None,
    metrics: Sequence[str] = METRICS,
    study: str = "ladder",
    seed: int = 0,
    cache: bool = True,
    report_to: str | PathLike[str] | None = None,
    save_to: str | PathLike[str] | None = None,
    command: str = "",
    **options: Any,
) -> Comparison:
    """Which candidate finds best on this data, with the evidence.

    `data` is a BEIR folder, a folder or file of text, or a task. `candidates` are names that `vicino.retrieval.parse` reads, by
    default those of the ladder. `study="full"` asks one question after the other instead (see `vicino.evaluation.study`), of
    which the candidates are the families. `options` are those of `vicino.evaluation.tasks.open_task` (split, text, queries) or
    of `vicino.evaluation.silver.open_pooled` (judgements), of
    `vicino.evaluation.compare.compare` (folds, seeds, margin, by) and, for a full study, `budget` in seconds and `reranker`.
    `report_to` writes a report, HTML, Markdown or JSON by the ending, which shows `command`; `save_to` keeps the winning
    retriever. Work is kept under `home()` unless `cache` is False, so that a second run takes seconds; the comparison itself too,
    in `studies/`, where `vicino serve` finds it.
    """
    began = time.monotonic()
    if study not in STUDIES:
        raise UnknownName.among(study, STUDIES, kind="study")
    alone = [name for name in ("budget", "reranker") if name in options]
    if alone and study != "full":
        raise InputError(f"{' and '.join(alone)} can be given to a full study only", mend="add --study full (study='full')")
    if report_to is not None:
        report.require_ending(report_to)
    run, wanted, standard = STUDIES[study]
    chosen = {name: options.pop(name) for name in CHOICES if name in options} | {wanted: candidates or standard}
    task = _task(data, seed, **options)
    comparison, bench = run(task, metric_names=metrics, cache=home() / "cache" if cache else None, seed=seed, **chosen)
    plain = report.to_json(comparison, seconds=time.monotonic() - began, command=command)
    if report_to is not None:
        report.write(report_to, plain)
    if cache and len(comparison.candidates) > 1:
        try:
            keep_study(plain)
        except ArtifactError as error:  # what was found is told all the same
            log.warning("the comparison is not kept: %s", error)
    if save_to is not None:
        bench.retriever(comparison.winner).save(save_to)
    return comparison


def _task(data: Data, seed: int, judgements: str | PathLike[str] | None = None, **reading: Any) -> RetrievalTask:
    if isinstance(data, RetrievalTask):
        return data
    return open_task(data, seed=seed, **reading) if judgements is None else open_pooled(data, judgements, seed=seed, **reading)


def evaluate(recipe: str | PathLike[str], data: Data, **options: Any) -> Comparison:
    """A saved recipe, or any candidate's name, built over `data` and measured: a comparison of one.

    `options` are those of `compare`.
    """
    return compare(data, candidates=[str(recipe)], **options)


def compare_reports(first: str | PathLike[str], second: str | PathLike[str], **options: Any) -> Beside:
    """What changed from one JSON report to another over the same data; `options` are those of `vicino.evaluation.beside.beside`.

    Raises InputError, "not comparable, because ...", for reports over other data, and UnreadableSource for what is no report.
    """
    return beside(report.read_json(first), report.read_json(second), **options)
