"""What the record of a comparison says, worked out once for every face of a report: the page, the markdown.

All functions read the plain record that `vicino.evaluation.report.to_json` made. What older records lack is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

from vicino.evaluation.spelling import count, listed, score, seconds
from vicino.metrics.significance import TIE

__all__ = [
    "Plain",
    "baseline_is",
    "bounds",
    "decision",
    "detectable",
    "duel",
    "failed",
    "foreseen",
    "is_weak",
    "measured",
    "relation",
    "seeds",
    "slices",
]

Plain = Mapping[str, Any]


def measured(plain: Plain) -> list[Plain]:
    """The candidates that were measured, the highest by the first metric first."""
    metric = plain["metrics"][0]["name"]
    standing = [candidate for candidate in plain["candidates"] if not candidate["error"]]
    return sorted(standing, key=lambda candidate: -candidate["metrics"][metric]["mean"])


def failed(plain: Plain) -> list[Plain]:
    """The candidates that could not be measured, each with its `error`."""
    return [candidate for candidate in plain["candidates"] if candidate["error"]]


def relation(contest: Plain | None) -> str:
    """How one candidate stands to another: "better", "worse", "the same", "not told apart", or "" where it meets itself.

    >>> relation({"clear": True, "difference": {"mean": -0.1}})
    'worse'
    """
    if contest is None:
        return ""
    if "decision" in contest:
        return str(contest["decision"])
    if not contest["clear"]:  # a record from before equivalence was tested
        return "not told apart"
    return "better" if contest["difference"]["mean"] > 0 else "worse"


def baseline_is(plain: Plain) -> str:
    """What kind of baseline the record's baseline is."""
    simple = next(candidate["simple"] for candidate in plain["candidates"] if candidate["name"] == plain["baseline"])
    return "the best simple baseline" if simple else "the highest, as nothing simple was measured"


def decision(plain: Plain) -> str:
    """The decision in one paragraph, for whom the rest of the report was not written."""
    standing = measured(plain)
    by_name = {candidate["name"]: candidate for candidate in standing}
    pick, baseline = by_name[plain["verdict"]["pick"]], by_name[plain["baseline"]]
    told = [f"Use {pick['name']}.", _against_baseline(plain, pick, baseline, len(standing)), *_rivals(plain, by_name)]
    told.append(_price(plain, pick, baseline))
    if plain["task"]["synthetic"]:
        told.append("No person asked these queries: before much depends on it, ask real ones.")
    lost = failed(plain)
    if lost:
        told.append(f"{listed([each['name'] for each in lost])} could not be measured.")
    return " ".join(filter(None, told))


def _against_baseline(plain: Plain, pick: Plain, baseline: Plain, n: int) -> str:
    metric, queries = plain["metrics"][0]["name"], count(plain["task"]["queries"])
    value = score(pick["metrics"][metric]["mean"])
    if n == 1:
        return f"Nothing else was measured: its {metric} over {queries} queries is {value}."
    if not baseline["simple"]:
        return f"Its {metric} over {queries} queries is {value}. Nothing simple was measured, so whether that would do is open."
    if pick is baseline:
        best, within = plain["verdict"]["best"], (pick["against_best"] or {}).get("margin", 0)
        above = "scores higher" if best == pick["name"] else "is clearly better"
        if relation(pick["against_best"]) == "the same":
            above = f"is better by more than {within:g}"
        told = f"It is a simple baseline, and will do: over {queries} queries (its {metric} is {value}), "
        return told + f"none of the {n} measured {above}."
    contest = pick["against_baseline"]
    sums = (
        f"{metric} {value} against {score(baseline['metrics'][metric]['mean'])}, better on {count(contest['wins'])} of {queries} "
    )
    sums += f"queries and worse on {count(contest['losses'])}"
    how = {
        "better": f"It is clearly better than {baseline['name']}, the best simple baseline",
        "worse": f"It is clearly worse than {baseline['name']}, the best simple baseline",
        "the same": f"It is as good as {baseline['name']}, the best simple baseline, within ±{contest.get('margin', 0):g}",
        "not told apart": f"These queries cannot tell it from {baseline['name']}, the best simple baseline",
    }
    return f"{how[relation(contest)]}: {sums}."


def _rivals(plain: Plain, by_name: Mapping[str, Plain]) -> list[str]:
    """What else could be taken: those that are as good, those that may be, and what scored higher."""
    verdict, metric = plain["verdict"], plain["metrics"][0]["name"]
    level = [by_name[name] for name in (verdict["best"], *verdict["tied"])]
    pick, best = by_name[verdict["pick"]], by_name[verdict["best"]]
    near = [one["name"] for one in level if one is not pick and one["name"] != plain["baseline"]]
    if not near:
        return []
    costs = [one["cost_seconds"] for one in level]
    cheapest = None not in costs and pick["cost_seconds"] == min(costs)
    told = f"It is {'the cheapest' if cheapest else 'one'} of {len(level)} that these queries cannot rank"
    if best is not pick:
        told += f"; {best['name']} scored highest ({score(best['metrics'][metric]['mean'])})"
        if relation(pick["against_best"]) == "the same":
            told += f", which is the same within ±{pick['against_best'].get('margin', 0):g}"
        return [told + "."]
    same = [name for name in near if relation(by_name[name]["against_best"]) == "the same"]
    if same:
        within = by_name[same[0]]["against_best"].get("margin", 0)
        told += f"; {listed(same)} {'is' if len(same) == 1 else 'are'} the same as it within ±{within:g}"
    return [told + "."]


def _price(plain: Plain, pick: Plain, baseline: Plain) -> str:
    if pick["cost_seconds"] is None:
        return ""
    told = f"To take in {count(plain['task']['documents'])} documents and answer 1,000 queries it needs "
    told += f"{seconds(pick['cost_seconds'])} on this machine"
    dear = pick is not baseline and baseline["cost_seconds"] is not None
    return told + (f", {baseline['name']} {seconds(baseline['cost_seconds'])}." if dear else ".")


def duel(plain: Plain) -> dict[str, Any] | None:
    """The pick against the baseline, query by query; where they are one, the best of the others stands in.

    `rows` holds every query with both values and their difference, the largest gain first; `won` and `lost` those that differ,
    the largest change first. None where a single candidate was measured.
    """
    by_name = {candidate["name"]: candidate for candidate in measured(plain)}
    baseline = by_name.pop(plain["baseline"])
    others = sorted(by_name.values(), key=lambda candidate: candidate["values"] == baseline["values"])  # twins of it last
    challenger = by_name.get(plain["verdict"]["pick"]) or next(iter(others), None)
    if challenger is None:
        return None
    rows = [
        {"text": query["text"], "ours": ours, "theirs": theirs, "difference": ours - theirs}
        for query, ours, theirs in zip(plain["queries"], challenger["values"], baseline["values"], strict=True)
    ]
    rows.sort(key=lambda row: -row["difference"])
    won = [row for row in rows if row["difference"] > TIE]
    lost = [row for row in reversed(rows) if row["difference"] < -TIE]
    return {"ours": challenger, "theirs": baseline, "rows": rows, "won": won, "lost": lost}


def seeds(plain: Plain) -> list[dict[str, Any]]:
    """Candidates that were built with several seeds: what chance in training moves, apart from what the choice of queries does.

    `deviation` is the standard deviation of the mean between seeds, `queries` half the width of its interval over queries.
    """
    metric = plain["metrics"][0]["name"]
    return [
        {
            "name": candidate["name"],
            "means": candidate["seeds"],
            "mean": fmean(candidate["seeds"]),
            "low": min(candidate["seeds"]),
            "high": max(candidate["seeds"]),
            "deviation": stdev(candidate["seeds"]),
            "queries": (candidate["metrics"][metric]["high"] - candidate["metrics"][metric]["low"]) / 2,
        }
        for candidate in measured(plain)
        if len(candidate.get("seeds") or ()) > 1
    ]


def bounds(plain: Plain) -> dict[str, Any] | None:
    """What the documents that nobody judged could change: None where all were judged, or the record says nothing of it.

    `rows` holds each candidate's mean, and the mean were all of these irrelevant, or as good as can be; `safe` says whether the
    pick leads even then.
    """
    metric = plain["metrics"][0]["name"]
    rows = [
        {"name": candidate["name"], "low": low, "high": high, "mean": candidate["metrics"][metric]["mean"]}
        for candidate in measured(plain)
        for low, high in [candidate["bounds"] if candidate.get("bounds") else (math.nan, math.nan)]
        if high - low > TIE
    ]
    if not rows:
        return None
    by_name = {row["name"]: row for row in rows}
    ours = by_name.get(plain["verdict"]["pick"])
    others = [row["high"] for row in rows if row is not ours]
    return {"rows": rows, "safe": ours is not None and bool(others) and ours["low"] > max(others)}


def slices(plain: Plain) -> list[Plain]:
    """The parts of the queries that were looked at, the worst for the pick first."""
    return list(plain.get("slices") or ())


def is_weak(plain: Plain, part: Plain) -> bool:
    """Whether the pick does worse on this part of the queries than on the rest, beyond chance."""
    return bool(part["p"] is not None and part["p"] < plain["statistics"]["alpha"] and part["pick"]["mean"] < part["rest"])


def detectable(plain: Plain) -> float:
    """The largest of the smallest differences that these queries can show against the baseline; 0 where none is known."""
    contests = [candidate["against_baseline"] for candidate in measured(plain)]
    return max((contest["detectable"] or 0 for contest in contests if contest), default=0)


def foreseen(plain: Plain) -> str:
    """What was said before the run about what it could show, in a sentence; "" where nothing was."""
    told = plain.get("foreseen")
    return "" if not told else str(told.get("sentence") or "")
