"""A cross-encoder taught to rerank: on what a first stage finds for each question, and accepted only where it improves on that.

`train_reranker` is the whole story; `RerankerRecipe` is what can be chosen.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.records import Hits
from vicino.encoders.rerankers import open_reranker
from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.crossing import CrossEncoder, trainable_pairs
from vicino.encoders.transformer.pair_folder import is_cross_encoder
from vicino.encoders.transformer.saving import save_anew
from vicino.evaluation.gate import check_means, decide
from vicino.evaluation.tasks import RetrievalTask
from vicino.learning.loop import InParts, Plan, fit, plan
from vicino.retrieval import from_recipe, parse
from vicino.training.batches import TextBatches
from vicino.training.candidates import Search, ranked, with_negatives
from vicino.training.material import Material, gather
from vicino.training.outcome import Outcome
from vicino.training.recipe import RANKING, RankingRecipe
from vicino.training.rules import count, dropout, one_of, or_none, require, require_alone
from vicino.training.searchable import METRIC, Searchable, values

if TYPE_CHECKING:
    from torch import Tensor

    from vicino.encoders.transformer.pairs import TrainablePairs

__all__ = ["RerankerRecipe", "train_reranker"]

_POOLED = 200  # documents that each part of the first stage is asked for, as `Fused` does
_CHOSEN_BY, _JUDGED_BY = 200, 1000  # questions at most, drawn by the seed: each costs `depth` pairs
_RULES = RANKING | {
    "first": one_of("hybrid", "dense", "bm25"),
    "negatives": count(1, "give negatives=7"),
    "depth": count(2, "give depth=50"),
    "limit": or_none(count(8, "give limit=256 tokens of both texts together, or None for all that the model reads")),
    "dropout": or_none(dropout("give dropout=0.1, or None for the network's own")),
}


@dataclass(frozen=True)
class RerankerRecipe(RankingRecipe):
    """How to train. Each question's answer stands against `negatives` documents that the first stage ranks high.

    `first` is that stage: "hybrid" (BM25 and the base's vectors, by reciprocal rank), "dense" or "bm25"; it is asked for `depth`
    documents where weights are chosen and judged. Which negatives: see `RankingRecipe`.
    `limit` is how many tokens of a pair are read, in training and ever after. The rest is for `vicino.learning.loop.Settings`;
    `batch_size` counts questions. Raises InputError where a value cannot be.
    """

    epochs: int = 2
    batch_size: int = 16
    small_batch: int | None = None
    learning_rate: float = 5e-5
    negatives: int = 7
    first: Literal["hybrid", "dense", "bm25"] = "hybrid"
    depth: int = 50
    limit: int | None = 256
    dropout: float | None = 0.0

    def __post_init__(self) -> None:
        require(self, _RULES)
        self._require_ranks()
        self.settings  # noqa: B018 - raises

    @property
    def mine(self) -> str:
        """What negatives are mined from: the first stage."""
        return self.first


def train_reranker(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    base: str = "minilm",
    recipe: RerankerRecipe | None = None,
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    unlabelled: bool = False,
    dry_run: bool = False,
) -> Outcome | Plan:
    """Teach a cross-encoder on the examples of `data`, and write a folder to `out` that sentence-transformers' opens too.

    `base` is a cross-encoder, or an encoder of text: then that is the dense part of the first stage as well (MiniLM is for a
    cross-encoder). `data`, `columns`, `split` and `unlabelled` are those of `vicino.training.material.gather`. The loss is the
    cross entropy of each answer among its negatives (listwise: Cao et al. 2007, "Learning to rank"); weights are kept by nDCG@10
    of reranked candidates of questions that were held back, and the gate lets pass what orders the first stage's candidates
    better than the first stage itself. What was rejected is written all the same, and its `training.json` says so. A training
    that was killed goes on where it stopped, by the same call. With `dry_run` only the plan comes back, and nothing is written.

    Raises what `gather`, `fit` and the encoders raise.
    """
    recipe, target, began = recipe or RerankerRecipe(), Path(out).absolute(), time.monotonic()
    require_alone()
    artifacts.require_writable(target)
    seconds: dict[str, float] = {}

    def done(name: str) -> None:
        seconds[name] = round(time.monotonic() - began - sum(seconds.values()), 2)

    if recipe.judge is not None:
        open_reranker(recipe.judge)
    name = Transformer().model if base == "minilm" else base
    model = trainable_pairs(name, limit=recipe.limit, dropout=recipe.dropout, seed=recipe.seed)
    crossing = is_cross_encoder(model.folder.path)  # where a hub name led
    encoder = Transformer() if crossing else Transformer(model=name)
    material = gather(Path(data), columns=columns, split=split, unlabelled=unlabelled, seed=recipe.seed)
    done("reading")
    dense = Searchable(encoder, material.judge.documents)
    bm25 = from_recipe(parse("bm25")).build(material.judge.documents).search
    parts: dict[str, list[Search]] = {"hybrid": [dense.search, bm25], "dense": [dense.search], "bm25": [bm25]}
    judge, choose = (
        _Candidates(task, parts[recipe.first], recipe, most)
        for task, most in ((material.judge, _JUDGED_BY), (material.choose, _CHOSEN_BY))
    )
    done("measuring the first stage")
    negatives, told = with_negatives(material.learn, dense, bm25, recipe)
    examples = material.learn
    rows = [(*pair, *more) for *pair, more in zip(examples.anchors, examples.positives, negatives, strict=True)]
    batches = TextBatches(rows, examples.query_ids or (), examples.document_ids or (), recipe.batch_size)
    done("mining negatives")
    loss = InParts([_scores], _listwise)
    if dry_run:
        return plan(model, batches, loss, recipe.settings)
    about = {
        "content": _digest(material),
        "base": CrossEncoder(model=name).id if crossing else encoder.space.id,
        "recipe": recipe.identity(),
        "examples": len(examples),
    }
    workplace = target.with_name(f".{target.name}.training")
    ids = model.pairs(choose.pairs)
    run = fit(
        model,
        batches,
        loss,
        recipe.settings,
        evaluate=lambda network: float(choose.reranked(network.vectors(ids)[:, 0]).mean()),
        folder=workplace,
        label="training",
        fingerprint=about,
    )
    done("training")
    if run.ended == "interrupted":
        raise KeyboardInterrupt
    with artifacts.writing(workplace):
        tuned = CrossEncoder(model=str(save_anew(model, workplace / "model")))
    after = judge.reranked(tuned.predict(judge.pairs, logits=True))
    said = f"{material.judged_by}, the first {recipe.depth} documents of each"
    gate = decide(check_means(f"{METRIC}, {said}", judge.before, after, groups=judge.task.groups, seed=recipe.seed))
    done("judging")
    means = {"bm25": values(bm25(judge.task.queries, 10), judge.task), "first stage": judge.before, "reranked": after}
    scores = {key: float(each.mean()) for key, each in means.items()}
    found = Outcome(target, material.found, said, METRIC, told, run, gate, scores, seconds)
    # Last: until it was judged, a kill leaves all that going on needs, and what stood here before.
    tuned.save(target, record={"data": str(Path(data).resolve()), **about, **found.to_json()})
    shutil.rmtree(workplace)
    return found


class _Candidates:
    """What the first stage finds for the questions of a task: `pairs` of texts to score, and how good their order is."""

    def __init__(self, task: RetrievalTask, searches: Sequence[Search], recipe: RerankerRecipe, most: int) -> None:
        order = np.random.default_rng([recipe.seed, 2]).permutation(len(task.queries))[:most]
        self.task = replace(task, queries=[task.queries[row] for row in sorted(order.tolist())])
        self.hits = ranked(searches, self.task.queries, recipe.depth, pooled=max(_POOLED, recipe.depth))
        self.before = values(self.hits, self.task)
        contents = {one.id: one.content for one in task.documents}
        asked = zip(self.task.queries, range(len(self.hits)), strict=True)
        self.pairs = [(query.text, contents[name]) for query, row in asked for name, _ in self.hits.top(row)]

    def reranked(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """The metric of each question, its candidates in the order of these scores of all pairs."""
        of_hits = np.full(self.hits.scores.shape, -np.inf, dtype=np.float32)
        of_hits[np.isfinite(self.hits.scores)] = scores
        order = np.argsort(-of_hits, axis=1, kind="stable")
        ids = np.take_along_axis(self.hits.ids, order, axis=1)
        return values(Hits(ids, np.take_along_axis(of_hits, order, axis=1)), self.task)


def _digest(material: Material) -> str:
    """Names by content what is learnt from, and what weights are chosen and judged by."""
    named, learn = hashlib.sha256(), material.learn

    def add(column: Iterable[Any]) -> None:
        for each in column:
            named.update(json.dumps(each).encode())
        named.update(b"|")

    for texts in (learn.anchors, learn.positives, learn.negatives or ()):
        add(texts)
    for task in (material.choose, material.judge):
        add((one.id, one.content) for one in task.documents)
        add((one.id, one.text, sorted(task.qrels[one.id].items())) for one in task.queries)
    return named.hexdigest()


def _scores(network: TrainablePairs, batch: Any) -> Tensor:
    """The scores of each question's documents, its answer first: (b, 1 + negatives)."""
    texts = batch["texts"]
    ids = network.pairs([(question, document) for question, *documents in texts for document in documents])
    found: Tensor = network(ids).view(len(texts), -1)
    return found


def _listwise(network: Any, batch: Any, scores: Tensor) -> Tensor:  # noqa: ARG001 - as `InParts` calls it
    import torch

    from vicino.learning.losses.margins import softmax_classification

    return softmax_classification(scores, torch.zeros(len(scores), dtype=torch.int64, device=scores.device))
