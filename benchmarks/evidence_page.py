"""docs/evidence.md from the figures of evidence.py: nothing stands there that the figures do not say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Plain = dict[str, Any]

FACTORS = ("family", "fusion", "precision", "scoring", "granularity")
WORLDS = {
    "even": "equally good on every query",
    "uneven": "equally good on the whole, more or less even",
    "few": "equally good, few queries",
    "grouped": "equally good, queries hang together in fours",
}

OPENING = """# Evidence

Written by `benchmarks/evidence.py --write` from [figures/evidence.json](figures/evidence.json): what full studies found, how
often a study says what is not so, what comparing costs, and what judgements are worth that data makes of itself. Measured with
{threads} on {cpu}, vicino {version}.
"""

STUDY = """## What won

`vicino compare DATA --study full`: one factor at a time from the default, then the best of each together. A cell names what to
take, its {metric} with a 95 % interval, and how it stands to the default: better beyond chance, the same within ±.01, or not told
apart. All levels of all factors are corrected together.
"""

ALARMS = """## How often a study says what is not so

{studies:,} studies of each kind, of candidates whose rankings are drawn so that all are equally good while they rank differently.
What is done with rankings is done in full: the metric, the cross-fitted tuning of fusion weights, the choice of the best, of the
baseline and of a combination, the tests and their correction. *Six candidates*: a plain system, three others, and two tuned
fusions, each of a system and noise and so at most as good. *Full study*: every level of every factor, and the combination that
was chosen from them. A *false winner* is a verdict that one beats all others; *any false word* counts whatever contest of the
report tells two equals apart (that a tuned fusion is worse may be so, and is not counted); *in a factor*: an answer of the
study that calls one level better or worse than the default.
"""

POWER = """
A gain over the plain baseline that one of six truly has: how often it is found, and how often that is promised, by the difference
that these queries would detect four times in five. *Denied*: called the same within ±{margin:g}.
"""

COST = """## What comparing costs

SciFact with {names}: the first run of the command takes {first_seconds:.0f} s from its start to its end, **{ratio:.2f} ×** the
{own_seconds:.0f} s of its candidates' own building and searching (what they share counted once). Again, from the cache:
**{second_seconds:.1f} s**. Intervals of ten systems on a thousand queries by ten thousand resamples: **{wall:.2f} s** (median of
{rounds}; {cpu:.2f} s of one processor).
"""

SILVER = """## What silver is worth

Known items of the same documents (a title or a sentence is taken out, and asked) against what people judged, for the same
candidates. *Same winner*: in how many of the resamples of both sets of queries both have the same best candidate. *Loss*: what
choosing by silver costs in gold's nDCG@10. *Pairs in order*: of the pairs of candidates that gold can tell apart, how many silver
puts in the same order; *denied*: in the opposite order beyond chance.
"""


def page(plain: Plain) -> str:
    """The whole page as Markdown; parts that were not measured are said to be missing."""
    threads = f"{plain['threads']} thread{'' if plain['threads'] == 1 else 's'}"
    machine = plain["machine"]
    parts = [OPENING.format(threads=threads, cpu=machine["cpu"], version=machine["versions"]["vicino"])]
    for name, write in {"study": study, "alarms": alarms, "cost": cost, "silver": silver}.items():
        parts.append("\n".join(write(plain[name])) if plain.get(name) else f"## Not measured yet: {name}\n")
    return "\n".join(parts)


# Studies ------------------------------------------------------------------------------------------------------------------


def study(found: Mapping[str, Plain]) -> Iterator[str]:
    yield STUDY.format(metric=next(iter(found.values()))["metric"])
    yield table(["", "queries", *FACTORS, "best together"], [[f"**{name}**", *_study_row(one)] for name, one in found.items()])
    yield ""
    yield from (f"- {name}, read as retrieval: {one['notes'][0]}." for name, one in found.items() if not one["judged"])
    few = [f"{one['units']:,} in {name}" for name, one in found.items() if one["units"] < one["queries"] / 2]
    if few:
        yield f"- Queries that share their answers count as one: there are {listed(few)}."
    yield "\n**What to learn from it.**\n"
    yield from (f"{number}. {sentence}" for number, sentence in enumerate(lessons(found), start=1))
    yield "\n**The verdicts.**\n"
    yield from (f"- {name}: {one['verdict']} {one['sentence']}" for name, one in found.items())
    yield ""


def _study_row(one: Plain) -> list[str]:
    cells = [_cell(one, answer) if (answer := _answer(one, factor)) else "" for factor in FACTORS]
    return [f"{one['queries']:,}", *cells, _scored(one, one["combination"])]


def _cell(one: Plain, answer: Plain) -> str:
    stands = "the default" if answer["pick"] == answer["default"] else answer["decision"]
    return f"{_scored(one, answer['pick'])}, {stands}"


def _scored(one: Plain, name: str) -> str:
    numbers = one["candidates"].get(name, {}).get("interval")
    return f"{name} {interval(numbers)}" if numbers else name


def lessons(found: Mapping[str, Plain]) -> Iterator[str]:
    """Three sentences, each counted over the sets."""
    families: dict[str, list[str]] = {}
    for name, one in found.items():
        families.setdefault(_pick(one, "family"), []).append(name)
    ordered = sorted(families.items(), key=lambda pair: -len(pair[1]))
    told = "; ".join(f"{family} on {listed(names)}" for family, names in ordered)
    words = [name for name, one in found.items() if _mean(one, "bm25") >= _mean(one, _default(one))]
    yield (
        f"{'No family is right everywhere' if len(families) > 1 else 'One family was taken everywhere'}: the study takes {told}; "
        f"plain BM25 scores at least as high as the default vectors on {_counted(words, found)}."
    )
    fused = [name for name, one in found.items() if "+" in _pick(one, "fusion") and _decision(one, "fusion") == "better"]
    yield f"Fusing words and vectors beats vectors alone beyond chance on {_counted(fused, found)}; elsewhere it is not shown."
    grain, fitted = (
        [name for name, one in found.items() if _decision(one, factor) == "better"] for factor in ("granularity", "scoring")
    )
    smaller = [name for name, one in found.items() if _pick(one, "precision") != _default(one)]
    yield (
        f"A finer grain than the document is better beyond chance on {_counted(grain, found)}, a classifier fitted to each query "
        f"on {_counted(fitted, found)}; smaller vectors are shown to be as good within a point on {_counted(smaller, found)}."
    )


def _counted(names: Sequence[str], of: Mapping[str, Plain]) -> str:
    return f"{len(names) or 'none'} of {len(of)} sets" + (f" ({listed(names)})" if names else "")


def _answer(one: Plain, factor: str) -> Plain:
    return next((answer for answer in one["answers"] if answer["factor"] == factor), {})


def _pick(one: Plain, factor: str) -> str:
    return str(_answer(one, factor).get("pick", _default(one)))


def _decision(one: Plain, factor: str) -> str:
    return str(_answer(one, factor).get("decision", ""))


def _default(one: Plain) -> str:
    return str(one["answers"][0]["default"])


def _mean(one: Plain, name: str) -> float:
    return float(one["candidates"].get(name, {}).get("interval", [float("nan")])[0])


# False alarms -------------------------------------------------------------------------------------------------------------


def alarms(found: Plain) -> Iterator[str]:
    yield ALARMS.format(studies=next(iter(found["ladder"].values()))["winner"]["of"])
    titles = {"ladder": "six candidates", "combination": "full study"}
    rows = [
        [title, WORLDS[world], f"{one['queries']:,}", *(share(one.get(key)) for key in ("winner", "any", "factor"))]
        for kind, title in titles.items()
        for world, one in found[kind].items()
    ]
    yield table(["", "candidates are", "queries", "false winner", "any false word", "in a factor"], rows)
    yield POWER.format(margin=found["margin"])
    head = ["queries", "true gain", "found", "promised", "detectable", "found the wrong way", "denied"]
    yield table(head, [_power(one, gain) for one in found["power"].values() for gain in one["gains"]])
    yield ""


def _power(one: Plain, gain: str) -> list[str]:
    each = one["gains"][gain]
    told = [
        share(each["found"]),
        f"{each['promised']:.1%}",
        f"{each['detectable']:.3f}",
        share(each["wrong"]),
        share(each["same"]),
    ]
    return [f"{one['queries']:,}", f"{100 * float(gain):g} points", *told]


def share(one: Plain | None) -> str:
    """A share with its interval, in per cent."""
    return "" if one is None else f"{one['share']:.1%} [{one['interval'][0]:.1%}, {one['interval'][1]:.1%}]"


# Cost and silver ------------------------------------------------------------------------------------------------------------


def cost(found: Plain) -> Iterator[str]:
    boot = found["bootstrap"]
    wall, cpu, rounds = boot["seconds"], boot["cpu_seconds"], boot["rounds"]
    yield COST.format(**found, names=listed(found["candidates"]), wall=wall, cpu=cpu, rounds=rounds)


def silver(found: Mapping[str, Plain]) -> Iterator[str]:
    yield SILVER
    head = ["", "queries, gold / silver", "gold's best", "silver's best", "same winner", "Kendall's τ", "loss", "pairs in order"]
    yield table([*head, "denied"], [_silver_row(name, one) for name, one in found.items()])
    order, pairs = (sum(one[key] for one in found.values()) for key in ("in_order", "pairs"))
    same = [name for name, one in found.items() if one["gold_winner"] == one["silver_winner"]]
    yield (
        f"\nSilver names gold's winner on {_counted(same, found)}, and has {order} of the {pairs} pairs in order that people's "
        "judgements can tell apart. It ranks candidates; its scores are those of another task.\n"
    )
    for name, one in found.items():
        means = zip(one["candidates"], one["gold"], one["silver"], strict=True)
        yield f"- {name}, gold / silver: " + ", ".join(f"{each} {gold[0]:.3f} / {made[0]:.3f}" for each, gold, made in means)
    yield ""


def _silver_row(name: str, one: Plain) -> list[str]:
    queries = f"{one['gold_queries']:,} / {one['silver_queries']:,}"
    told = [
        f"{one['same_winner']:.0%}",
        interval(one["kendall"], 2),
        interval(one["loss"]),
        f"{one['in_order']} of {one['pairs']}",
    ]
    return [f"**{name}**", queries, one["gold_winner"], one["silver_winner"], *told, str(one["denied"])]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def interval(numbers: Sequence[float], places: int = 3) -> str:
    """A mean, and the interval after it."""
    mean, low, high = (f"{number:.{places}f}" for number in numbers)
    return f"{mean} [{low}, {high}]"


def listed(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
