"""Two towers taught to recommend: looked at, measured against simple recommenders, and accepted only where they are better."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.interaction_splits import Held, leave_one_out
from vicino.data.interactions import Interactions, read_interactions
from vicino.data.records import Hits
from vicino.encoders.interactions import TwoTower
from vicino.evaluation.gate import check_means, decide
from vicino.learning.loop import Plan
from vicino.metrics import ranking
from vicino.progress import task
from vicino.retrieval.recommenders import RECOMMENDERS
from vicino.retrieval.recommenders.base import Recommender
from vicino.retrieval.recommenders.two_tower import TwoTowerRecommender
from vicino.training.outcome import Outcome
from vicino.training.recommender.lint import lint_interactions
from vicino.training.rules import require_alone

__all__ = ["BASELINES", "METRIC", "train_recommender"]

BASELINES = ("popularity", "item-knn")  # the better of these is what must be beaten
METRIC = "nDCG@20"

_CUT = 20
_JUDGED_BY = 20_000  # users at most, drawn by the seed
_ADVICE = (
    "bring more interactions, or what is known of items and users",
    "look at what else there is: vicino compare interactions DATA",
)


def train_recommender(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    encoder: TwoTower | None = None,
    columns: Mapping[str, str] | None = None,
    items: str | PathLike[str] | None = None,
    users: str | PathLike[str] | None = None,
    index: str = "exact",
    dry_run: bool = False,
) -> Outcome | Plan:
    """Teach two towers on the interactions of `data`, and save the recommender "two-tower" to `out`.

    `data`, `columns`, `items` and `users` are those of `vicino.data.interactions.read_interactions`; `encoder` brings the
    parameters, and `index` finds items. Of each user one item is held back to judge by and one more to choose weights by. The
    gate lets pass what finds the former better than the best of popularity and item-knn, which had both. What is saved knows
    the whole histories. What was rejected is written all the same, and its `training.json` says so. A training that was killed
    goes on where it stopped, by the same call. With `dry_run` only the plan comes back, and nothing is written.

    Raises what `read_interactions`, `leave_one_out` and the encoder raise.
    """
    towers, target, began = encoder or TwoTower(), Path(out).absolute(), time.monotonic()
    towers.settings  # noqa: B018 - raises
    require_alone()
    artifacts.require_writable(target)
    seconds: dict[str, float] = {}

    def done(name: str) -> None:
        seconds[name] = round(time.monotonic() - began - sum(seconds.values()), 2)

    whole = read_interactions(data, columns=columns, items=items, users=users)
    found = lint_interactions(whole)
    known, judge = leave_one_out(whole, towers.seed)
    learn, choose = leave_one_out(known, towers.seed + 1)
    done("reading")
    if dry_run:
        return towers.plan(learn)
    judged = _some(judge, learn, towers.seed)
    qrels = [dict.fromkeys((whole.items[row] for row in judge.truth[place]), 1) for place in judged.tolist()]

    def values(recommender: Recommender) -> NDArray[np.float64]:
        hits: Hits = recommender.recommend_rows(judge.users[judged], _CUT)
        return ranking.ndcg(ranking.judge(hits.ids, qrels), _CUT)

    before = {}
    with task("measuring simple recommenders", total=len(BASELINES), unit="recommenders") as work:
        for name in BASELINES:
            before[name] = values(RECOMMENDERS[name]().fit(known))
            work.advance()
    done("measuring the baselines")
    params = {name: value for name, value in towers.get_params().items() if name != "threads"}  # which may change
    about = {"content": _digest(whole), "recipe": params, "examples": len(learn)}
    workplace = target.with_name(f".{target.name}.training")
    run = towers.learn(learn, validation=choose, folder=workplace, fingerprint=about)
    done("training")
    if run.ended == "interrupted":
        raise KeyboardInterrupt
    after = values(TwoTowerRecommender.around(towers, known, index=index))
    best = max(before, key=lambda name: float(before[name].mean()))
    said = f"one item of each of {len(judged):,} users, against {best}"
    check = check_means(f"{METRIC}, {said}", before[best], after, seed=towers.seed)
    gate = decide(check, where_worse=_ADVICE, where_unsure=_ADVICE)
    done("judging")
    scores = {name: float(each.mean()) for name, each in {**before, "two-tower": after}.items()}
    told = f"{run.steps:,} steps, {run.examples_per_second:,.0f} examples a second"
    made = Outcome(target, found, said, METRIC, told, run, gate, scores, seconds)
    # Last: until it was judged, a kill leaves all that going on needs, and what stood here before.
    recommender = TwoTowerRecommender.around(towers, whole, index=index)
    recommender.save(target, record={"data": str(Path(data).resolve()), **about, **made.to_json()})
    shutil.rmtree(workplace)
    return made


def _some(judge: Held, learn: Interactions, seed: int) -> NDArray[np.int64]:
    """The users who judge, ascending places in `judge`: those of whom something was learnt."""
    met = np.bincount(learn.user, minlength=len(learn.users))[judge.users] > 0
    return np.sort(np.random.default_rng([seed, 2]).permutation(np.flatnonzero(met))[:_JUDGED_BY])


def _digest(interactions: Interactions) -> str:
    """Names the interactions by content, and what is known of users and items."""
    named = hashlib.sha256()
    known = (dict(interactions.user_features), dict(interactions.item_features))
    named.update(json.dumps([interactions.users, interactions.items, known]).encode())
    for column in (interactions.user, interactions.item):
        named.update(np.ascontiguousarray(column).tobytes())
    return named.hexdigest()
