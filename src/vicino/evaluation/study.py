"""The full study: which family, whether to fuse, which precision, scoring and grain, and whether to rerank, for some data.

One factor at a time is varied from the default (the first family that makes vectors), and what is best of each is put together
at the end (`vicino.evaluation.factors`). All goes through one cache, so a study that was stopped goes on where it was, and one
more candidate costs one candidate. Within a budget the cheap and telling come first; what would not end in time is named, with
the time that it would take, which is learnt from what was measured before.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vicino import encoders, metrics, progress
from vicino.data.records import Recipe
from vicino.errors import InputError
from vicino.evaluation.budget import Clock
from vicino.evaluation.compare import METRICS, WHOLE, Candidate, Comparison, enter, require_sound, weigh
from vicino.evaluation.contests import MARGIN
from vicino.evaluation.factors import CODES, Combined, Factor, Ruling, factors_of
from vicino.evaluation.foreseen import announce
from vicino.evaluation.measure import Bench
from vicino.evaluation.running import Running
from vicino.evaluation.slices import cut
from vicino.evaluation.spelling import bytes_, listed, seconds, signed
from vicino.evaluation.tasks import RetrievalTask
from vicino.metrics.significance import bootstrap_difference

__all__ = ["FAMILIES", "Answer", "Settings", "Study", "study"]

log = logging.getLogger(__name__)

FAMILIES = ("minilm", "bm25", "lsa", "tfidf", "mean-of-words", "doc2vec")
RERANKING = "Does reading the first again help, and how many?"
TOO_SHORT = " There was no time for a family that makes vectors, so that nothing else was asked: give more by --budget."
UNREAD = "Not asked, for want of a reranker: give --rerank minilm, or the folder of one by vicino train reranker DATA OUT."


@dataclass(frozen=True)
class Answer:
    """What one factor's measurements say.

    `levels` are the names of the candidates that were measured for it, the default among them; `pick` is one of them,
    `decision` how it stands to the default ("better", "worse", "the same", "not told apart"; "" where the pick is the default
    or nothing else was measured). `skipped` maps a level that was not measured to the reason.
    """

    factor: str
    question: str
    default: str
    levels: tuple[str, ...]
    pick: str
    decision: str
    sentence: str
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """The answers in the order of the questions, the name of the best combination (a candidate of the comparison) and what is
    said of it; `budget` and `spent` are seconds; `skipped` holds every candidate that was not measured, with the reason."""

    answers: tuple[Answer, ...]
    combination: str
    sentence: str
    budget: float | None
    spent: float
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How a study compares: see `vicino.evaluation.compare.compare`."""

    metric_names: Sequence[str] = METRICS
    cache: Path | None = None
    seed: int = 0
    seeds: int = 1
    margin: float = MARGIN
    by: Sequence[str] = ()
    folds: int = 5


def study(
    task: RetrievalTask,
    *,
    budget: float | None = None,
    reranker: str | None = None,
    families: Sequence[str] = FAMILIES,
    **settings: Any,
) -> tuple[Comparison, Bench]:
    """Ask every question of `vicino.evaluation.factors.factors_of`, and put the answers together; the first metric decides.

    `families` are candidates' names; the first that makes vectors and can be measured is the default of all other questions. A
    run file may stand among them. `budget` is in seconds. `reranker` is minilm, a folder or a hub name. `settings` are
    the fields of `Settings`. One failing candidate does not stop the others. Within a budget that leaves no time for any family
    that makes vectors, the lexical one is measured all the same, and stands for the default. The combination is scored on each
    query by what the other folds chose, so that choosing it gains it nothing.

    Raises UnknownName for a family, metric or column that does not exist and InputError for a budget that is none, before
    anything is measured; EmptyInput where no family that makes vectors can be measured, and time was not what it lacked.
    """
    how = Settings(**settings)
    require_sound(how.seeds, how.margin)
    if budget is not None and not 0 < budget < math.inf:
        raise InputError(f"a budget of {budget} seconds is none", mend="give some minutes, such as --budget 30m")
    wanted = [metrics.parse(name) for name in how.metric_names]
    recipes = {name: enter(name, task) for name in families}
    kinds = {name: recipe.retriever for name, recipe in recipes.items() if isinstance(recipe, Recipe)}
    lexical = next((name for name, kind in kinds.items() if kind == "lexical"), "bm25")
    cuts = cut(task, how.by)
    depth = min(max(200, *(metric.cutoff or WHOLE for metric in wanted)), len(task.documents))
    with ExitStack() as stack:
        place = how.cache or Path(stack.enter_context(TemporaryDirectory(prefix="vicino-study-")))
        bench = Bench(task, wanted[0], cache=place, depth=depth, folds=how.folds, seed=how.seed)
        work = stack.enter_context(progress.task("The full study", total=math.ceil(budget or 0) or None, unit="seconds"))
        running = Running(bench, wanted, Clock(budget), work, how.seeds)
        dense = [name for name, kind in kinds.items() if kind == "dense"]
        asking = partial(factors_of, families, lexical=lexical, reranker=reranker)
        foreseen = running.foreseen([name for factor in asking(default=(*dense, lexical)[0]) for name in factor.names])
        announce(foreseen)
        default = running.first(lexical, dense)
        factors = asking(default=default, precisions=_precisions(running.rungs[default]))
        if default not in dense:  # there was no time for one: nothing can be asked of its vectors
            factors = factors[:1]
        running.measure_all(factors)
        combined = running.combine(factors, folds=how.folds, margin=how.margin)
        found = running.entrants(combined)
        drawn: dict[str, Any] = {"seed": how.seed, "margin": how.margin}
        comparison = weigh(task, found, wanted, folds=how.folds, units=running.units, cuts=cuts, **drawn)
        answers = _answers(factors, running, combined.rulings, groups=running.units, **drawn)
        if reranker is None and default in dense:
            answers.append(Answer("reranking", RERANKING, default, (default,), default, "", UNREAD))
        name, sentence = _together(combined, running, comparison, default)
        sentence += _beside_choice(name, comparison) if default in dense else TOO_SHORT
        told = Study(tuple(answers), name, sentence, budget, running.clock.spent, running.skipped)
        return replace(comparison, foreseen=foreseen, study=told), bench


def _precisions(default: Candidate) -> list[str]:
    """Ways to search with fewer bytes what the default searches, or to compute it with others: as far as its encoder goes."""
    if default.recipe is None or default.found is None or default.recipe.retriever != "dense":
        return []
    encoder = encoders.make(default.recipe.params["encoder"], **(default.recipe.params["encoder_params"] or {}))
    takes = encoder.get_params()
    other = {"float32": "bfloat16", "bfloat16": "float32"}.get(default.found.arithmetic)
    arithmetic = [f"precision={other}"] if other and "precision" in takes else []
    widths = [f"truncate_dim={encoder.dim // part}" for part in (2, 4)] if encoder.pretrained and "truncate_dim" in takes else []
    return [*CODES, *widths, *arithmetic]


# What is said of it --------------------------------------------------------------------------------------------------


def _answers(factors: Sequence[Factor], running: Running, rulings: Mapping[str, Ruling], **drawn: Any) -> list[Answer]:
    answers = []
    for factor in factors:
        default, *others = factor.names
        levels = tuple(name for name in factor.names if name in running.values)
        ruling = rulings.get(factor.name, Ruling(factor.levels[0], ""))
        pick = ruling.pick.name
        if len(levels) == 1:
            sentence = f"Not answered: beside {default} nothing was measured."
        elif factor.by_size:
            sentence = _smallest(pick, default, ruling, running, **drawn)
        else:
            sentence = _whether(factor, levels, ruling) + _best(pick, levels, ruling, running, **drawn)
        skipped = {name: running.skipped[name] for name in others if name in running.skipped}
        answers.append(Answer(factor.name, factor.question, default, levels, pick, ruling.decision, sentence, skipped))
    return answers


def _best(pick: str, levels: Sequence[str], ruling: Ruling, running: Running, **drawn: Any) -> str:
    default, values = levels[0], running.values
    if pick == default:
        worse = f"; {listed(ruling.worse)} {'is' if len(ruling.worse) == 1 else 'are'} worse" if ruling.worse else ""
        return f"{default} stays: nothing else that was measured is better beyond chance{worse}."
    far = _apart(pick, default, running.values, **drawn)
    highest = max(levels, key=lambda name: values[name].mean())
    if ruling.decision != "better":
        told = f"cannot be told from {default}" if ruling.decision == "not told apart" else f"is {ruling.decision} as {default}"
        less = f"{seconds(running.costs[pick])} instead of {seconds(running.costs[default])}"
        return f"{pick} {told} ({far}) and is cheaper ({less}); nothing that was measured is better beyond chance."
    more = "" if highest == pick else f"; {highest} scores higher still, but cannot be told from it and costs more"
    return f"{pick} is better than {default} ({far}){more}."


def _whether(factor: Factor, levels: Sequence[str], ruling: Ruling) -> str:
    """To "does it help": yes where the pick has it and is better than all that have not, no where all that have it are worse."""
    if not factor.question.startswith("Does "):
        return ""
    having = {level.name for level in factor.levels if level.name in levels and getattr(level, factor.name)}
    plain = set(levels) - having
    if ruling.pick.name in having and plain <= set(ruling.beaten):
        return "Yes: "
    if having and having <= set(ruling.worse):
        return "No: "
    level = listed(sorted(plain - set(ruling.beaten)))
    return f"Not shown, for {level} alone cannot be told from it: " if ruling.pick.name in having else "Not shown: "


def _smallest(pick: str, default: str, ruling: Ruling, running: Running, *, margin: float, **drawn: Any) -> str:
    sizes = {name: bytes_(running.sizes[name]) for name in (pick, default)}
    if pick == default:
        return f"{default} stays, at {sizes[default]}: nothing smaller is shown to be as good within ±{margin:g}."
    far = _apart(pick, default, running.values, **drawn)
    return f"{pick} takes {sizes[pick]} instead of {sizes[default]}, and is {_AS[ruling.decision].format(margin=margin)} ({far})."


_AS = {"better": "better", "the same": "the same within ±{margin:g}"}


def _apart(name: str, other: str, values: Mapping[str, Any], **drawn: Any) -> str:
    """A difference with its interval."""
    drawn.pop("margin", None)
    mean, low, high = bootstrap_difference(values[name], values[other], **drawn)
    return f"{signed(mean)} [{signed(low)}, {signed(high)}]"


def _together(combined: Combined, running: Running, comparison: Comparison, default: str) -> tuple[str, str]:
    """The name of the combination, and what is said of it."""
    name = combined.design.name
    if name not in running.values:
        why = running.skipped.get(name, "it was not tried")
        return comparison.verdict.pick, f"The best of each together would be {name}; it was not measured: {why}."
    if name in running.levels:
        return name, f"The best of each together is {name}, which was measured already."
    metric = comparison.metric_names[0]
    mean, low, high = comparison[name].metrics[metric]  # type: ignore[index]
    others = sorted(set(combined.chosen) - {name})
    mixed = f", on which other folds chose {listed(others)}" if others else ""
    values = {each: comparison[each].values for each in (name, default)}
    far = _apart(name, default, values, groups=running.units, seed=comparison.seed)
    return name, (
        f"The best of each together is {name}: {metric} {mean:.3f} [{low:.3f}, {high:.3f}], {far} beyond {default}; "
        f"each query is scored by what the others chose{mixed}."
    )


def _beside_choice(name: str, comparison: Comparison) -> str:
    """Where the verdict's pick is not the best together: why not, so that a reader does not have two answers."""
    verdict = comparison.verdict
    if name == verdict.pick:
        return ""
    pick, other = comparison[verdict.pick], comparison[name]
    if name != verdict.best and name not in verdict.tied:
        return f" The choice is {pick.name} all the same: {verdict.best} is better than {name} beyond chance."
    level = f"neither is clearly worse than {verdict.best}"
    contest = pick.against_best or other.against_best
    if verdict.best in (pick.name, name) and contest:
        same = contest.decision == "the same"
        level = f"it is the same within ±{comparison.margin:g}" if same else "these queries cannot tell it from that"
    why = "scores higher" if pick.name == verdict.best else "is cheaper" if pick.cost_seconds < other.cost_seconds else ""
    return f" The choice is {pick.name} all the same: {level}" + (f", and it {why}." if why else ".")
