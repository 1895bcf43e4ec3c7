"""What a candidate is made of, one factor apart from the next, and which level of each to take.

A study varies one factor at a time from its default, so every level is compared with the same candidate, which was named before
anything was measured. What is best of each factor is then put together. That combination is chosen by what the queries said, and
the same queries cannot also say without favour how good it is: `choose_combination` scores every query by the combination that
the other folds would have chosen (Stone 1974, "Cross-validatory choice and assessment of statistical predictions").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.data import splits
from vicino.errors import InputError
from vicino.evaluation.contests import ALPHA, MARGIN, UNSEEN, least
from vicino.evaluation.runs import is_run
from vicino.metrics.significance import equivalence_test, holm, pairwise_tests

__all__ = ["CODES", "Combined", "Design", "Factor", "Ruling", "choose_combination", "combine_picks", "factors_of", "rule"]

Values = NDArray[np.float64]


PIECES = ("sentence", "sentence(pool=top3)", "paragraph", "window", "window(pool=mean)")
SCORINGS = ("svm", "lda")
CODES = ("index=int8,keep=int8", "index=binary,keep=int8", "index=truncated,keep=int8")
DEPTHS = (20, 50, 100)


@dataclass(frozen=True)
class Design:
    """A candidate by its parts; "" is the plain way: whole documents, nearest vectors in float32, alone, read once.

    >>> Design("minilm", granularity="sentence(pool=top3)", scoring="lda", fusion="rrf").name
    'bm25+minilm@sentence(pool=top3):lda'
    >>> Design("tfidf(stemmer=english)", precision="index=int8", reranking="rr/(depth=20)").name
    'tfidf(stemmer=english,index=int8)>rr/(depth=20)'
    """

    family: str
    granularity: str = ""
    scoring: str = ""
    precision: str = ""
    fusion: str = ""
    reranking: str = ""
    lexical: str = "bm25"
    fixed: bool = False  # the answers of a run file, which nothing can be made of

    @property
    def name(self) -> str:
        """As `vicino.retrieval.parse` reads it."""
        family = self.family
        if self.precision:
            family = f"{family[:-1]},{self.precision})" if family.endswith(")") else f"{family}({self.precision})"
        family += f"@{self.granularity}" if self.granularity else ""
        family += f":{self.scoring}" if self.scoring else ""
        if self.fusion:
            family = f"{self.lexical}+{family}" + (":tuned" if self.fusion == "tuned" else "")
        return family + (f">{self.reranking}" if self.reranking else "")


@dataclass(frozen=True)
class Factor:
    """A question and its `levels`, the default first. Where `by_size`, the smallest that is not worse is wanted; elsewhere the
    best, and the cheapest of those that cannot be told apart."""

    name: str
    question: str
    levels: tuple[Design, ...]
    by_size: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(level.name for level in self.levels)


@dataclass(frozen=True)
class Ruling:
    """What to take for one factor, how that stands to the default, which levels are better or worse than the default, and to
    which of them the pick is better."""

    pick: Design
    decision: str
    better: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    beaten: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Combined:
    """The `design` that all queries choose, the `rulings` by factor, and what each query (n,) gets from the design that the other
    folds chose: `chosen` are these, one a fold, and `fold` (n,) is each query's."""

    design: Design
    rulings: Mapping[str, Ruling]
    values: Values
    chosen: tuple[str, ...]
    fold: NDArray[np.intp]


def factors_of(
    families: Sequence[str],
    *,
    default: str,
    lexical: str = "bm25",
    reranker: str | None = None,
    precisions: Sequence[str] = CODES,
) -> tuple[Factor, ...]:
    """The questions of a study, the cheap and telling ones first; `precisions` are parameters that the default takes.

    >>> [factor.name for factor in factors_of(["minilm", "bm25"], default="minilm")]
    ['family', 'fusion', 'precision', 'scoring', 'granularity']
    """
    plain = Design(default, lexical=lexical)
    others = [Design(name, lexical=lexical, fixed=is_run(name)) for name in dict.fromkeys(families) if name != default]
    alone = [Design(lexical, lexical=lexical)]

    def levels(part: str, ways: Sequence[str]) -> tuple[Design, ...]:
        made: list[dict[str, Any]] = [{part: way} for way in ways]
        return (plain, *(replace(plain, **each) for each in made))

    asked = [
        Factor("family", "Which family finds best?", (plain, *others)),
        Factor("fusion", "Does fusing words and vectors help?", (plain, *alone, *levels("fusion", ("rrf", "tuned"))[1:])),
        Factor("precision", "Which precision and width is the smallest not worse?", levels("precision", precisions), True),
        Factor("scoring", "Nearest vectors, or a classifier fitted to each query?", levels("scoring", SCORINGS)),
        Factor("granularity", "At which grain are documents best searched?", levels("granularity", PIECES)),
    ]
    if reranker is not None:
        depths = [f"{reranker}(depth={depth})" for depth in DEPTHS]
        asked.append(Factor("reranking", "Does reading the first again help, and how many?", levels("reranking", depths)))
    return tuple(asked)


def rule(
    factors: Sequence[Factor],
    values: Mapping[str, ArrayLike],
    *,
    costs: Mapping[str, float],
    sizes: Mapping[str, float],
    groups: ArrayLike | None = None,
    margin: float = MARGIN,
    seed: int = 0,
) -> dict[str, Ruling]:
    """What to take for each factor, from the first metric of each query: `values` maps a level's name to (n,), and lacks
    what was not measured; `costs` are seconds and `sizes` bytes, both by name.

    All levels of all factors stand in one family of tests (`pairwise_tests`), so that two equals are told apart anywhere in a
    study in at most 5 % of studies, whichever was picked. Among several that are better than the default, the cheapest that is
    worse than none of these is taken (`least`); where none is, the cheapest of those that are not worse than the default or than
    each other, the default where it costs little more. Raises InputError where the default was not measured.
    """
    default = factors[0].levels[0].name
    if default not in values:
        raise InputError(f"the default, {default}, was not measured", mend="measure the default first")
    names = [name for name in dict.fromkeys(name for factor in factors for name in factor.names) if name in values]
    table = np.array([values[name] for name in names], dtype=np.float64)
    stands = _Stands(names, table, pairwise_tests(table, groups=groups, seed=seed).p)
    ruled = {}
    for factor in factors:
        levels = {level.name: level for level in factor.levels if level.name in values}
        same = stands.same(default, list(levels), margin, groups)
        told = {name: "the same" if name in same else stands.told(name, default) or "not told apart" for name in levels}
        told[default] = ""
        if factor.by_size:
            sound = [name for name in levels if told[name] in ("", "better", "the same")]
            pick = min(sound, key=lambda name: (sizes[name], costs[name]))
        else:
            better = [name for name in levels if told[name] == "better"]
            contenders = better or [name for name in levels if told[name] != "worse"]
            level = [name for name in contenders if name == default or not stands.loses(name, contenders)]
            pick = least(level, costs.__getitem__, lambda name: np.inf if name == default else stands.mean(name))
        by = {said: tuple(name for name in levels if told[name] == said) for said in ("better", "worse")}
        beaten = tuple(name for name in levels if name != pick and stands.told(pick, name) == "better")
        ruled[factor.name] = Ruling(levels[pick], told[pick], by["better"], by["worse"], beaten)
    return ruled


@dataclass(frozen=True, eq=False)
class _Stands:
    """Levels by name, their values (m, n), and the p of every pair (m, m)."""

    names: Sequence[str]
    table: Values
    p: Values

    def mean(self, name: str) -> float:
        return float(self.table[self.names.index(name)].mean())

    def told(self, name: str, other: str) -> str:
        """ "better" or "worse" than the other beyond chance, else ""."""
        if self.p[self.names.index(name), self.names.index(other)] >= ALPHA:
            return ""
        return "better" if self.mean(name) > self.mean(other) else "worse"

    def loses(self, name: str, others: Sequence[str]) -> bool:
        """Whether it is worse than any of the others beyond chance."""
        return any(self.told(name, other) == "worse" for other in others)

    def same(self, default: str, levels: Sequence[str], margin: float, groups: ArrayLike | None) -> set[str]:
        """Those that are shown to be no further from the default than the margin, corrected for their number."""
        others = [name for name in levels if name != default]
        own = self.table[self.names.index(default)]
        rows = [self.table[self.names.index(name)] for name in others]
        p = holm([equivalence_test(row, own, margin, groups=groups, unseen=UNSEEN) for row in rows])
        return {name for name, each in zip(others, p, strict=True) if each < ALPHA}


def combine_picks(factors: Sequence[Factor], rulings: Mapping[str, Ruling]) -> Design:
    """The best of every factor in one design.

    What was found of the default's vectors (their grain, scoring and precision) is kept with these alone, and weights are not
    learnt beneath a reranker, which could not be saved: there ranks are fused.
    """
    default = factors[0].levels[0]
    picked = {name: ruling.pick for name, ruling in rulings.items()}
    fusion = picked["fusion"].fusion if "fusion" in picked else ""
    reranking = picked["reranking"].reranking if "reranking" in picked else ""
    family = picked["family"].family if "family" in picked else default.family
    if (fusion and family == default.lexical) or picked.get("family", default).fixed:
        family = default.family
    base = replace(default, family=family)
    if family == default.family:
        own = {part: getattr(picked[part], part) for part in ("granularity", "scoring", "precision") if part in picked}
        base = replace(base, **own)
    return replace(base, fusion="rrf" if fusion and reranking else fusion, reranking=reranking)


def choose_combination(
    factors: Sequence[Factor],
    values: Mapping[str, ArrayLike],
    measure: Callable[[Design], ArrayLike | None],
    *,
    costs: Mapping[str, float],
    sizes: Mapping[str, float],
    groups: ArrayLike | None = None,
    folds: int = 5,
    margin: float = MARGIN,
    seed: int = 0,
) -> Combined:
    """Put the best of each factor together, and score that on queries which had no say in it.

    `measure` gives the (n,) values of a design that is no level, None where it cannot be measured: then the fold takes the level
    that its own training queries score highest. The other arguments are those of `rule`. With queries of a single group nothing
    can be held out: the default is then the combination.
    """
    default = factors[0].levels[0]
    known = {name: np.asarray(each, dtype=np.float64) for name, each in values.items()}
    numbers = np.arange(len(known[default.name])) if groups is None else np.asarray(groups)
    options: dict[str, Any] = {"costs": costs, "sizes": sizes, "margin": margin, "seed": seed}
    count = len(np.unique(numbers))
    if count < 2:
        return Combined(default, {}, known[default.name], (), np.zeros(len(numbers), dtype=np.intp))
    fold = splits.folds([{str(number)} for number in numbers.tolist()], min(folds, count), seed=seed)
    rulings = rule(factors, known, groups=numbers, **options)
    scored, chosen = np.empty(len(numbers)), []
    for number in range(fold.max() + 1):
        rest = fold != number
        seen = {name: each[rest] for name, each in known.items()}
        wanted = combine_picks(factors, rule(factors, seen, groups=numbers[rest], **options))
        found = known[wanted.name] if wanted.name in known else measure(wanted)
        name = wanted.name
        if found is None:
            name = max(seen, key=lambda each: float(seen[each].mean()))
            found = known[name]
        scored[~rest] = np.asarray(found, dtype=np.float64)[~rest]
        chosen.append(name)
    return Combined(combine_picks(factors, rulings), rulings, scored, tuple(chosen), fold)
