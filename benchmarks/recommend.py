"""Recommending: the ladder on Last.fm, and ALS in turn with implicit's at equal factors, turns and confidences.

    python benchmarks/recommend.py --data DIR [--seeds 3] [--rounds 5] [--threads 1] [--factors 64] [--no-towers]

Prints one JSON object. For each seed one artist of each user is held out (leave-one-out) and told by each recommender among all
17,632, those that the user has heard left out; baselines choose their parameters on a second such cut of what is left. "ladder"
holds nDCG@20 and Recall@20 with 95 % intervals over users, and their mean over the seeds. The two towers join where torch is
installed: an in-batch softmax, the same with its correction for popular items (log_q), and with hard negatives too.

"als" sets `vicino.learning.als` against implicit's `AlternatingLeastSquares` (conjugate gradients, both three steps, float32)
with the parameters that the ladder chose: seconds to learn by turns, the median of the rounds' ratios, and the quality of both.
Times are wall-clock; ratios are what to read.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from rounds import alternate, machine, ratio
from vicino.data.interactions import read_interactions
from vicino.data.records import Hits
from vicino.evaluation.recommendation import LADDER, METRICS, RecommendationTask, compare_recommenders
from vicino.metrics import parse
from vicino.metrics.ranking import judge
from vicino.retrieval.recommenders.als import ALS
from vicino.retrieval.recommenders.base import weighted

CUT = 20
TOWERS = {  # what each adds to the one before
    "plain": "softmax=in-batch,log_q=false",
    "logQ": "softmax=in-batch,log_q=true",
    "logQ, hard negatives": "softmax=in-batch,log_q=true,hard_negatives=1",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds lastfm-2k/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--towers", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    data = read_interactions(options.data / "lastfm-2k")
    tasks = [RecommendationTask.of(data, name="lastfm-2k", seed=seed) for seed in range(options.seeds)]
    towers = towers_of(options.threads) if options.towers and importlib.util.find_spec("torch") else {}
    candidates = [*LADDER, *towers.values()]
    with threadpool_limits(options.threads):
        ladders = [told(compare_recommenders(task, candidates).to_json(), towers) for task in tasks]
        chosen = next(each for each in ladders[0] if each["name"] == "als")["params"]
        peers = als_in_turn(tasks, chosen | {"factors": options.factors, "threads": options.threads}, options.rounds)
    report = {
        "benchmark": "recommend",
        "machine": machine(),
        "data": {"name": "lastfm-2k", "users": len(data.users), "items": len(data.items), "interactions": len(data)},
        "parameters": {"split": "leave-one-out", "seeds": options.seeds, "threads": options.threads},
        "ladder": {"mean": means(ladders), "seeds": ladders},
        "als": peers,
    }
    print(json.dumps(report, indent=1))


def towers_of(threads: int) -> dict[str, str]:
    return {name: f"two-tower(encoder=two-tower({params},threads={threads}))" for name, params in TOWERS.items()}


def told(comparison: dict[str, Any], towers: dict[str, str]) -> list[dict[str, Any]]:
    """Each rung, the towers under their short names."""
    names = {long: f"two-tower, {short}" for short, long in towers.items()}
    return [rung | {"name": names.get(rung["name"], rung["name"])} for rung in comparison["candidates"]]


def means(ladders: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Over the seeds: each metric's mean and range, and the median seconds to learn."""
    found = {}
    for rungs in zip(*ladders, strict=True):
        if any(rung["error"] for rung in rungs):
            found[rungs[0]["name"]] = {"error": next(rung["error"] for rung in rungs if rung["error"])}
            continue
        row: dict[str, Any] = {name: spread([rung["metrics"][name]["mean"] for rung in rungs]) for name in METRICS}
        row |= {name: round(statistics.mean(rung[name] for rung in rungs), 4) for name in ("coverage", "crowding", "bias")}
        row["fit_seconds"] = round(statistics.median(rung["fit_seconds"] for rung in rungs), 3)
        row["tuning_seconds"] = round(statistics.median(rung["tuning_seconds"] for rung in rungs), 2)
        found[rungs[0]["name"]] = row
    return found


def spread(values: Sequence[float]) -> list[float]:
    """The mean, the lowest and the highest."""
    return [round(each, 4) for each in (statistics.mean(values), min(values), max(values))]


def als_in_turn(tasks: Sequence[RecommendationTask], params: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Both learners on each task: quality by seed, and seconds by turns on the first."""
    if importlib.util.find_spec("implicit") is None:
        print("implicit is not installed: pip install 'vicino[bench]'", file=sys.stderr)
        return {"error": "implicit is not installed"}
    contestants = {"vicino": ours, "implicit": theirs}
    quality: dict[str, Any] = {name: {metric: [] for metric in METRICS} for name in contestants}
    for task in tasks:  # compiles too
        for name, make in contestants.items():
            values = judged(task, make(task, params)())
            for metric, value in values.items():
                quality[name][metric].append(value)
    learners = {name: make(tasks[0], params) for name, make in contestants.items()}
    seconds = alternate(learners, rounds)
    shown = {name: {metric: spread(values) for metric, values in each.items()} for name, each in quality.items()}
    return {
        "parameters": {name: value for name, value in params.items() if name != "seed"},
        "quality": shown,
        "seconds": {name: round(statistics.median(each), 3) for name, each in seconds.items()},
        "times_faster": ratio(seconds["implicit"], seconds["vicino"]),
    }


def ours(task: RecommendationTask, params: dict[str, Any]) -> Any:
    return lambda: factors_of(ALS(**params | {"seed": task.seed}).fit(task.train))


def factors_of(model: ALS) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return model.user_factors_, model.item_factors_


def theirs(task: RecommendationTask, params: dict[str, Any]) -> Any:
    """implicit with the same confidences: it takes 1 + alpha · weight as it stands in the matrix."""
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    confidence = csr_matrix(weighted(task.train.matrix(), params["weighting"]))
    confidence.data = (1 + params["alpha"] * confidence.data).astype(np.float32)

    def learn() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        model = AlternatingLeastSquares(
            factors=params["factors"],
            regularization=params["regularization"],
            alpha=1.0,
            iterations=params["iterations"],
            use_native=True,
            use_cg=True,
            num_threads=params["threads"],
            random_state=task.seed,
        )
        model.fit(confidence, show_progress=False)
        return model.user_factors, model.item_factors

    return learn


def judged(task: RecommendationTask, factors: tuple[NDArray[np.float32], NDArray[np.float32]]) -> dict[str, float]:
    """Both judged alike: by their factors, what was heard left out."""
    scores = factors[0][task.held.users] @ factors[1].T
    for row, seen in enumerate(task.held.seen):
        scores[row, seen] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :CUT]
    hits = Hits.of_rows(np.array(task.train.items, object), best, np.take_along_axis(scores, best, axis=1))
    seen = judge(hits.ids, task.answers)
    return {name: float(parse(name)(seen).mean()) for name in METRICS}


if __name__ == "__main__":
    main()
