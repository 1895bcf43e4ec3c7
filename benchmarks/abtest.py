"""Experiments on simulated users, thousands of them, in which the truth is known: false alarms, and gains that are found.

    python benchmarks/abtest.py [--runs 2000] [--only NAME] [--work DIR]

Prints one JSON object. A user has a taste of his own, so that his clicks hang together; sales are heavy-tailed. Each rate is told
with Wilson's interval of 95 %. What was promised stands beside it: 5 % of false alarms, the power that was planned for.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rounds import machine
from units import Units
from vicino.data.experiment_logs import Interleaved, Log
from vicino.evaluation.abtest import plan, prefer, read
from vicino.metrics.experiments import (
    Difference,
    always_valid,
    difference,
    equivalent,
    mismatch,
    nearly_normal,
    permuted_difference,
    ratio,
    team_draft,
    users_needed,
)

LEVEL, POWER = 0.05, 0.8
SHOWN, PURCHASE = 20, 0.1  # things that a user sees in the mean; the share who buy
LOOKS = 20

Draw = Callable[[np.random.Generator, int, float], tuple[NDArray[Any], NDArray[Any] | None]]


# Users ----------------------------------------------------------------------------------------------------------------


def purchases(random: np.random.Generator, users: int, lift: float) -> tuple[NDArray[Any], None]:
    """Who buys at all."""
    return (random.random(users) < PURCHASE + lift).astype(float), None


def clicks(random: np.random.Generator, users: int, lift: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Clicks and what was shown: a user's taste makes his clicks hang together."""
    shown = random.poisson(SHOWN - 1, users) + 1
    taste = random.beta(1, 4, users)  # .2 in the mean
    return random.binomial(shown, np.clip(taste + lift, 0, 1)), shown


def sales(random: np.random.Generator, users: int, lift: float) -> tuple[NDArray[Any], None]:
    """What users spend: most nothing, a few much."""
    spent = (random.random(users) < PURCHASE) * random.lognormal(3, 1, users)
    return spent * (1 + lift), None


METRICS: dict[str, tuple[Draw, float]] = {
    "purchase": (purchases, 0.02),
    "click/impression": (clicks, 0.02),
    "value/user": (sales, 0.4),
}


def compared(draw: Draw, random: np.random.Generator, sizes: tuple[int, int], lift: float) -> Difference:
    """As `read` compares two groups: by the normal curve, or where that does not hold, by dividing their users anew."""
    first, second = (draw(random, users, gain) for users, gain in zip(sizes, (0.0, lift), strict=True))
    if nearly_normal(first, second):
        return difference(ratio(*first), ratio(*second))
    return permuted_difference(first, second)


def rate(hits: list[bool], promised: float | None = None) -> dict[str, Any]:
    from scipy.stats import binomtest

    found = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    told = {"rate": sum(hits) / len(hits), "low": round(found.low, 4), "high": round(found.high, 4), "runs": len(hits)}
    return told if promised is None else {**told, "promised": promised}


# What is simulated ----------------------------------------------------------------------------------------------------


def one_look(name: str, runs: int) -> dict[str, Any]:
    """A metric that is looked at once, at the end: nothing is there, or what was planned for; beside it groups of 9 to 1."""
    draw, lift = METRICS[name]
    random = np.random.default_rng(1)
    many = [
        draw(np.random.default_rng(0), 4_000_000, gain) for gain in (0.0, lift)
    ]  # the same users, so that only the gain differs
    sides = [ratio(*each) for each in many]
    effect = sides[1].value - sides[0].value
    users = users_needed((sides[0].spread, sides[1].spread), effect, level=LEVEL, power=POWER)
    half, parts = (users // 2, users // 2), (9 * users // 10, users // 10)
    naive = []
    for _ in range(runs if name == "click/impression" else 0):
        both = [draw(random, users // 2, 0.0) for _ in range(2)]
        shares = [num.sum() / den.sum() for num, den in both if den is not None]
        error = math.sqrt(sum(p * (1 - p) / den.sum() for p, (_, den) in zip(shares, both, strict=True) if den is not None))
        naive.append(abs(shares[1] - shares[0]) > 1.96 * error)
    return {
        "effect": effect,
        "users": users,
        "false_alarms": rate([compared(draw, random, half, 0.0).p < LEVEL for _ in range(runs)], LEVEL),
        "found": rate([compared(draw, random, half, lift).p < LEVEL for _ in range(runs)], POWER),
        "false_alarms_9_to_1": rate([compared(draw, random, parts, 0.0).p < LEVEL for _ in range(runs)], LEVEL),
        **({"false_alarms_if_clicks_were_independent": rate(naive)} if naive else {}),
    }


def looks(runs: int) -> dict[str, Any]:
    """Twenty looks while users come: by a fixed test, and by one that may be looked at."""
    planned = plan(PURCHASE, 0.02)
    each = planned.users // 2 // (LOOKS // 2)  # the last look has twice the users that were planned

    def run(random: np.random.Generator, lift: float) -> tuple[bool, int | None]:
        sides = [purchases(random, LOOKS * each, gain)[0] for gain in (0.0, lift)]
        fixed, stopped = False, None
        for look in range(1, LOOKS + 1):
            found = difference(*(ratio(side[: look * each]) for side in sides))
            fixed |= found.p < LEVEL
            if stopped is None and always_valid(found, 0.02)[1] < LEVEL:
                stopped = look
        return fixed, stopped

    random = np.random.default_rng(2)
    nothing = [run(random, 0.0) for _ in range(runs)]
    gain = [run(random, 0.02) for _ in range(runs)]
    stops = [stop for _, stop in gain if stop is not None]
    return {
        "looks": LOOKS,
        "users_at_the_end": 2 * LOOKS * each,
        "false_alarms_of_a_fixed_test": rate([fixed for fixed, _ in nothing]),
        "false_alarms": rate([stop is not None for _, stop in nothing], LEVEL),
        "found": rate([stop is not None for _, stop in gain]),
        "median_users_until_found": int(np.median(stops)) * 2 * each if stops else None,
    }


def lost_users(runs: int) -> dict[str, Any]:
    """Groups as they should be, and groups of which one loses a twentieth of its users."""
    random = np.random.default_rng(3)
    fair = [mismatch(random.multinomial(20_000, [0.5, 0.5]).tolist()) < 0.001 for _ in range(runs)]
    loses = [mismatch([random.binomial(10_000, 0.95), 10_000]) < 0.001 for _ in range(runs)]
    return {"false_alarms": rate(fair, 0.001), "found": rate(loses)}


def the_same(runs: int) -> dict[str, Any]:
    """Two one-sided tests: at the very margin "the same" would be wrong, and where nothing differs it is right."""
    random, margin = np.random.default_rng(4), 0.02
    users = users_needed(2 * PURCHASE * (1 - PURCHASE) / 2, margin, level=2 * LEVEL, power=0.9)
    half = (users // 2, users // 2)
    return {
        "users": users,
        "false_alarms": rate([equivalent(compared(purchases, random, half, margin), margin) < LEVEL for _ in range(runs)], LEVEL),
        "found": rate([equivalent(compared(purchases, random, half, 0.0), margin) < LEVEL for _ in range(runs)], 0.8),
    }


def whole_readings(runs: int) -> dict[str, Any]:
    """Logs with three metrics and three groups, read as a person would: any claim where nothing differs is a false alarm."""
    random, wrong = np.random.default_rng(5), []
    for _ in range(runs):
        group_of = random.integers(0, 3, 1500)
        shown, bought = random.poisson(5, 1500) + 1, random.random(1500) < PURCHASE
        clicked = random.binomial(shown, random.beta(1, 4, 1500))
        times = np.concatenate([shown, clicked, bought.astype(int)])
        user, event = np.repeat(np.tile(np.arange(1500), 3), times), np.repeat(np.repeat(np.arange(3), 1500), times)
        log = Log(("a", "b", "c"), ("impression", "click", "purchase"), group_of, user, event, None, None)
        found = read(log, ["purchase", "click/impression", "click/user"])
        wrong.append(any(one.decision != "not told apart" for one in found.compared))
    return {"comparisons": 6, "false_alarms": rate(wrong, LEVEL)}


def interleaved(runs: int) -> dict[str, Any]:
    """Two rankings as one list: users who like both alike, and a better one; and how many users two groups would need."""
    random, relevant, depth = np.random.default_rng(6), 5, 10

    def ranking(noise: float) -> list[int]:
        """Fifty things, of which five are wanted."""
        return np.argsort(noise * random.normal(size=50) - (np.arange(50) < relevant)).tolist()

    def run(users: int, noise: tuple[float, float]) -> tuple[bool, list[float]]:
        wins, clicked = np.zeros((users, 2), np.int64), []
        for user in range(users):
            lists = [ranking(each) for each in noise]
            shown, teams = team_draft(lists[0], lists[1], depth, seed=random)
            taken = (np.array(shown) < relevant) & (random.random(depth) < 0.3 / np.sqrt(np.arange(1, depth + 1)))
            wins[user] = np.bincount(teams[taken], minlength=2)
            clicked.append(float(sum(taken)))
        if not (wins[:, 0] != wins[:, 1]).any():
            return False, clicked
        return prefer(Interleaved(("old", "new"), wins)).p < LEVEL, clicked

    def clicked(users: int, noise: float) -> NDArray[Any]:
        found = np.array([np.array(ranking(noise)[:depth]) < relevant for _ in range(users)])
        return (found & (random.random((users, depth)) < 0.3 / np.sqrt(np.arange(1, depth + 1)))).sum(axis=1)

    old, new = clicked(20_000, 0.7), clicked(20_000, 0.6)
    spread = (float(old.var()), float(new.var()))
    groups = users_needed(spread, float(new.mean() - old.mean()), level=LEVEL, power=POWER)
    runs = max(20, runs // 10)
    found = {part: rate([run(groups // part, (0.7, 0.6))[0] for _ in range(runs)]) for part in (8, 4, 2)}
    return {
        "users_in_two_groups_for_80_percent": groups,
        "false_alarms": rate([run(groups // 8, (0.7, 0.7))[0] for _ in range(runs)], LEVEL),
        **{f"found_with_1_in_{part}_of_them": told for part, told in found.items()},
    }


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    **{name: partial(one_look, name) for name in METRICS},
    "looks": looks,
    "lost users": lost_users,
    "the same": the_same,
    "whole readings": whole_readings,
    "interleaved": interleaved,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="simulated experiments of each kind")
    parser.add_argument("--only", choices=list(PARTS), help="one part")
    parser.add_argument("--work", type=Path, help="where parts are kept, to go on from there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        units = Units(options.work or Path(scratch))
        units.work.mkdir(parents=True, exist_ok=True)
        wanted = [options.only] if options.only else list(PARTS)
        names = {name: f"{name.replace('/', '-')}-{options.runs}" for name in wanted}
        found = {name: units.unit(file, partial(PARTS[name], options.runs)) for name, file in names.items()}
    print(json.dumps({"benchmark": "abtest", "machine": machine(), "parameters": {"runs": options.runs}, **found}, indent=1))


if __name__ == "__main__":
    main()
