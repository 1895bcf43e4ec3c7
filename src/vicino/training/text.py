"""A sentence encoder fine-tuned on pairs: looked at, measured before, trained on hard negatives, and accepted or rejected.

`train_text` is the whole story; `TextRecipe` is what can be chosen.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, metrics, progress
from vicino.data.examples import Examples
from vicino.data.near_duplicates import same_text
from vicino.data.records import Hits, Query
from vicino.encoders.transformer import Transformer
from vicino.errors import InputError, UnknownName
from vicino.evaluation.gate import Gate, check_means, decide
from vicino.evaluation.tasks import RetrievalTask
from vicino.learning.loop import InParts, Plan, Run, Settings, fit, plan
from vicino.learning.negatives import Mining, mine
from vicino.metrics.ranking import judge
from vicino.retrieval import from_recipe, parse
from vicino.retrieval.fused import combine, pool
from vicino.training.batches import TextBatches, embedded, parted
from vicino.training.controls import METRIC, control
from vicino.training.material import Material, gather
from vicino.training.searchable import Searchable
from vicino.vectors import normalise

if TYPE_CHECKING:
    from torch import Tensor

    from vicino.encoders.transformer.trainable import Trainable

__all__ = ["TextRecipe", "TextTraining", "train_text"]

Search = Callable[[Sequence[Query], int], Hits]
_CANDIDATES = 100  # that are ranked for each question, to mine from
_NEAR = 0.8  # overlap of words from which a document is the answer's own text again
_POOLED = 30  # documents of each retriever that stand against the answers while weights are chosen


@dataclass(frozen=True)
class TextRecipe:
    """How to train. `negatives` hard ones for each pair, mined by `mine` ("none": only what the examples bring).

    `temperature` divides cosines; `limit` cuts texts, for speed, to so many tokens; `dims` has the first so many dimensions learn
    as well (Matryoshka), `margin` leaves out candidates that are nearly as near as the answer. The rest is for
    `vicino.learning.loop.Settings`. Raises InputError where a value cannot be.
    """

    epochs: int = 3
    batch_size: int = 32
    small_batch: int | None = None
    learning_rate: float = 3e-5
    temperature: float = 0.05
    negatives: int = 1
    mine: Literal["hybrid", "dense", "bm25", "none"] = "hybrid"
    relative: float | None = 0.95
    margin: float | None = None
    dims: tuple[int, ...] = ()
    limit: int | None = 256
    dropout: float | None = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    patience: int | None = None
    evaluate_every: float = 1.0
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.mine not in ("hybrid", "dense", "bm25", "none"):
            raise InputError(f"mine={self.mine!r} cannot be", mend="give hybrid, dense, bm25 or none")
        if self.negatives < 0 or not self.temperature > 0:
            what = f"{self.negatives} negatives at a temperature of {self.temperature:g} cannot be"
            raise InputError(what, mend="give negatives=1, temperature=0.05, or so")
        self.settings  # noqa: B018 - raises

    @classmethod
    def of(cls, **params: Any) -> Self:
        """From plain data. Raises UnknownName for what is no parameter, and what the constructor raises."""
        known = [one.name for one in fields(cls)]
        for name in params:
            if name not in known:
                raise UnknownName.among(name, known, kind="parameter of training")
        dims = params.get("dims", ())
        return cls(**{**params, "dims": (dims,) if isinstance(dims, int) else tuple(dims)})

    @property
    def settings(self) -> Settings:
        """What the loop wants to know."""
        names = (
            "epochs",
            "batch_size",
            "small_batch",
            "learning_rate",
            "precision",
            "patience",
            "evaluate_every",
            "seed",
            "threads",
        )
        return Settings(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True, eq=False)
class TextTraining:
    """What came of it. `before` and `after` are means on the questions that are judged by, of BM25 too."""

    path: Path
    material: Material
    mined: str
    run: Run
    gate: Gate
    scores: Mapping[str, float]
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All but the data, as JSON can say it."""
        return {
            "path": str(self.path),
            "lint": self.material.found.to_json(),
            "judged_by": self.material.judged_by,
            "mined": self.mined,
            "steps": self.run.steps,
            "ended": self.run.ended,
            "kept_step": self.run.kept,
            "chosen_by": {str(step): value for step, value in self.run.metrics.items()},
            "gate": self.gate.to_json(),
            METRIC: dict(self.scores),
            "seconds": dict(self.seconds),
        }


def train_text(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    base: str = "minilm",
    recipe: TextRecipe | None = None,
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    unlabelled: bool = False,
    controls: Sequence[Path] = (),
    dry_run: bool = False,
) -> TextTraining | Plan:
    """Fine-tune `base` on the examples of `data` and write a folder to `out` that sentence-transformers opens too.

    `data`, `columns`, `split` and `unlabelled` are those of `vicino.training.material.gather`.
    The examples are linted; the base and BM25 are measured on questions that nothing in training gives away; hard negatives are
    mined; the best weights by other held-back questions are kept; and the gate decides. `controls` are other data that must not
    be forgotten (see `vicino.training.controls`). What was rejected is written all the same, and its `training.json` says so. A
    training that was killed goes on where it stopped, by the same call. With `dry_run` only the plan comes back, and nothing is
    written.

    Raises what `gather`, `fit` and the encoder raise.
    """
    recipe, target, began = recipe or TextRecipe(), Path(out), time.monotonic()
    artifacts.require_writable(target)
    seconds: dict[str, float] = {}

    def done(name: str) -> None:
        seconds[name] = round(time.monotonic() - began - sum(seconds.values()), 2)

    material = gather(Path(data), columns=columns, split=split, unlabelled=unlabelled, seed=recipe.seed)
    encoder = Transformer() if base == "minilm" else Transformer(model=base)
    done("reading")
    documents = material.judge.documents
    before = Searchable(encoder, documents)
    bm25 = from_recipe(parse("bm25")).build(documents)
    scores = {"bm25": _values(bm25.search(material.judge.queries, 10), material.judge)}
    scores["before"] = _values(before.search(material.judge.queries, 10), material.judge)
    done("measuring the base")
    model = encoder.trainable(limit=recipe.limit, dropout=recipe.dropout)
    rows, mined = _with_negatives(material.learn, before, bm25.search, recipe)
    batches = _batches(material.learn, rows, model, encoder, recipe)
    loss = InParts([embedded], partial(_loss, recipe=recipe))
    done("mining negatives")
    if dry_run:
        return plan(model, batches, loss, recipe.settings)
    chooser = _Chooser(material.choose, model, [before.search, bm25.search], encoder)
    about = {
        "data": str(Path(data).resolve()),
        "base": encoder.space.id,
        "recipe": _plain(recipe),
        "examples": len(material.learn),
    }
    workplace = target.with_name(f".{target.name}.training")
    run = fit(model, batches, loss, recipe.settings, evaluate=chooser, folder=workplace, label="training", fingerprint=about)
    done("training")
    if run.ended == "interrupted":
        raise KeyboardInterrupt
    tuned = Transformer(model=str(_written(model, workplace / "model")))
    scores["after"] = _values(Searchable(tuned, documents).search(material.judge.queries, 10), material.judge)
    gain = check_means(f"{METRIC}, {material.judged_by}", scores["before"], scores["after"], seed=recipe.seed)
    gate = decide(gain, [control(each, (encoder, tuned), seed=recipe.seed) for each in controls])
    done("judging")
    found = TextTraining(target, material, mined, run, gate, {name: float(each.mean()) for name, each in scores.items()}, seconds)
    tuned.save(target)  # last: until it was judged, a kill leaves all that going on needs, and what stood here before
    (target / "training.json").write_text(json.dumps({**about, **found.to_json()}, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(workplace)
    return found


def _values(hits: Hits, task: RetrievalTask) -> NDArray[np.float64]:
    """The metric of each question."""
    return np.asarray(metrics.parse(METRIC)(judge(hits.ids, task.rows)), dtype=np.float64)


def _plain(recipe: TextRecipe) -> dict[str, Any]:
    return {**asdict(recipe), "dims": list(recipe.dims)}


def _with_negatives(examples: Examples, dense: Searchable, lexical: Search, recipe: TextRecipe) -> tuple[list[list[str]], str]:
    """Negatives of each example, as many for each, and what was mined in words."""
    given = [list(each) for each in examples.negatives] if examples.negatives is not None else [[] for _ in range(len(examples))]
    if recipe.negatives == 0:
        return [[] for _ in given], "no hard negatives were asked for"
    told = "negatives are those that the examples bring"
    if recipe.mine != "none":
        mined, told = _mined(examples, dense, lexical, recipe)
        given = [own + more for own, more in zip(given, mined, strict=True)]
    random = np.random.default_rng([recipe.seed, 1])
    contents = {one.content for one in dense.documents}
    answers: dict[str, set[str]] = {}
    for name, positive in zip(examples.query_ids or (), examples.positives, strict=True):
        answers.setdefault(name, set()).add(positive)
    for own, name in zip(given, examples.query_ids or (), strict=True):
        if len(own) < recipe.negatives:  # any other document will do, where none is hard
            others = sorted(contents - answers[name])
            if not others:
                raise InputError(f"all documents answer {name}", mend="give more documents, or negatives=0")
            own += [others[row] for row in random.integers(len(others), size=recipe.negatives - len(own))]
    return [own[: recipe.negatives] for own in given], told


def _mined(examples: Examples, dense: Searchable, lexical: Search, recipe: TextRecipe) -> tuple[list[list[str]], str]:
    """What the retriever ranks high and the encoder finds less near than the answer."""
    numbers: dict[str, int] = {one.id: row for row, one in enumerate(dense.documents)}
    ids = list(dict.fromkeys(examples.query_ids or ()))
    texts = dict(zip(examples.query_ids or (), examples.anchors, strict=True))
    answers: dict[str, list[int]] = {name: [] for name in ids}
    for name, document in zip(examples.query_ids or (), examples.document_ids or (), strict=True):
        answers[name].append(numbers[document])
    queries = [Query(name, texts[name]) for name in ids]
    searches: list[Search] = [dense.search] * (recipe.mine != "bm25") + [lexical] * (recipe.mine != "dense")
    with progress.task("Mining negatives", total=len(searches), unit="retrievers") as work:
        found = []
        for search in searches:
            found.append(search(queries, _CANDIDATES))
            work.advance()
    hits = found[0] if len(found) == 1 else combine(pool(found, "rrf"), np.full(2, 0.5), _CANDIDATES)
    rows = np.array([[-1 if name is None else numbers[name] for name in row] for row in hits.ids], dtype=np.int64)
    of_queries = dense.asked(queries)
    near = np.einsum("qd,qkd->qk", of_queries, dense.vectors[np.maximum(rows, 0)])
    own = np.array([max(of_queries[row] @ dense.vectors[each] for each in answers[name]) for row, name in enumerate(ids)])
    mining = Mining(
        per_query=recipe.negatives, relative=None, judged_relative=recipe.relative, seed=recipe.seed, last=_CANDIDATES
    )
    chosen = mine(
        rows,
        hits.scores,
        [answers[name] for name in ids],
        mining,
        judged=near,
        own_judged=own,
        groups=same_text([one.content for one in dense.documents], threshold=_NEAR),
    )
    of = {name: [dense.documents[row].content for row in chosen.negatives[place] if row >= 0] for place, name in enumerate(ids)}
    return [list(of[name]) for name in examples.query_ids or ()], str(chosen)


def _batches(
    examples: Examples, negatives: list[list[str]], model: Trainable, encoder: Transformer, recipe: TextRecipe
) -> TextBatches:
    asked, told = (encoder.prompt(role) for role in ("query", "document"))
    each = 2 + len(negatives[0])
    flat = model.ids(list(examples.anchors), asked)
    others = [model.ids(list(examples.positives), told)]
    others += [model.ids([own[place] for own in negatives], told) for place in range(each - 2)]
    return TextBatches(
        list(zip(flat, *others, strict=True)), examples.query_ids or (), examples.document_ids or (), recipe.batch_size
    )


def _loss(network: Any, batch: Any, vectors: Tensor, *, recipe: TextRecipe) -> Tensor:  # noqa: ARG001 - as `InParts` calls it
    from vicino.learning.losses.in_batch import FalseNegatives, info_nce
    from vicino.learning.losses.matryoshka import matryoshka

    anchors, positives, negatives = parted(vectors, len(batch["texts"][0]))
    left_out = FalseNegatives(ids=batch["positive"].to(vectors.device), margin=recipe.margin)

    def loss(queries: Tensor, documents: Tensor, *hard: Tensor) -> Tensor:
        others = hard[0] if hard else None
        return info_nce(queries, documents, negatives=others, temperature=recipe.temperature, left_out=left_out)

    given = (anchors, positives) if negatives is None else (anchors, positives, negatives)
    return matryoshka(loss, *given, dims=[*recipe.dims, anchors.shape[-1]]) if recipe.dims else loss(*given)


class _Chooser:
    """How good weights are while they are learnt: the metric over the answers and what retrievers took for them."""

    def __init__(
        self,
        task: RetrievalTask,
        model: Trainable,
        searches: Sequence[Search],
        encoder: Transformer,
    ) -> None:
        names = {name for grades in task.rows for name in grades}
        for search in searches:
            names |= {name for row in search(task.queries, _POOLED).ids for name in row if name is not None}
        self.task = replace(task, documents=[one for one in task.documents if one.id in names])
        self.shape = normalise if encoder.space.similarity == "cosine" else np.asarray
        self.names = np.array([one.id for one in self.task.documents], dtype=object)
        self.documents = model.ids([one.content for one in self.task.documents], encoder.prompt("document"))
        self.queries = model.ids([one.text for one in task.queries], encoder.prompt("query"))

    def __call__(self, model: Trainable) -> float:
        documents, queries = (self.shape(model.vectors(ids)) for ids in (self.documents, self.queries))
        scores = queries @ documents.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        return float(_values(Hits(self.names[best], np.take_along_axis(scores, best, 1)), self.task).mean())


def _written(model: Trainable, folder: Path) -> Path:
    """The trained model's folder, written anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save(folder)
    return folder
