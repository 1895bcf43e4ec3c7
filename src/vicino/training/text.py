"""A sentence encoder fine-tuned on examples: looked at, measured before, taught, and accepted or rejected.

`train_text` is the whole story; what is learnt of the examples is a `Lesson`: to rank (`ranking`), how alike texts are
(`likeness`), or texts alone (`unlabelled`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from vicino import artifacts, progress
from vicino.data.lint import Lint
from vicino.encoders.base import Encoder
from vicino.encoders.rerankers import open_reranker
from vicino.encoders.static import Static
from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.saving import save_anew
from vicino.encoders.transformer.towers import TwoTowers
from vicino.errors import InputError
from vicino.evaluation.gate import Check, decide
from vicino.learning.loop import Batches, Loss, Plan, fit, plan
from vicino.training.bases import Base, open_base, ready, recipe_for
from vicino.training.controls import looked_at
from vicino.training.likeness import Likeness
from vicino.training.material import Material, divide
from vicino.training.outcome import Outcome
from vicino.training.questions import Questions
from vicino.training.recipe import TextRecipe
from vicino.training.rules import require_alone
from vicino.training.searchable import Searchable
from vicino.training.unlabelled import LESSONS, network_to_train

if TYPE_CHECKING:
    from vicino.encoders.base import Role
    from vicino.encoders.transformer.trainable import Trainable
    from vicino.training.material import Parts
    from vicino.training.towers import Model

__all__ = ["Lesson", "train_text"]

_QUERIES = "queries.jsonl"  # what was generated
_UNCONTROLLED = "what it may have forgotten was not looked at: give judged retrieval, or pairs with scores (--control DATA)"
_TURNED = 2048  # examples by which vectors are turned
_OF_TEXTS = partial(  # of texts alone there are no pairs to look at
    decide,
    where_worse=("lower the learning rate, or train for fewer epochs",),
    where_unsure=("give more texts, or questions with what answers them",),
)


class Lesson(Protocol):
    """What is learnt of examples; `len` is their number. As it is made, an honest baseline and the base are measured.

    `found` is what the lint says, `judged_by` says in words what the verdict stands on, by `metric`, and `told` what was mined.
    `scores` are means over that, by name: the baseline's, and of the base "before".
    """

    metric: str
    found: Lint
    judged_by: str
    told: str
    scores: Mapping[str, float]

    def __len__(self) -> int: ...

    @property
    def loss(self) -> Loss:
        """For batches of this lesson."""

    def batches(self, model: Model, folder: Path, /) -> Batches:
        """The examples to learn from, as tokens of the model; `folder` keeps what a training that goes on wants again."""

    def chooser(self, model: Model) -> Callable[[Any], float]:
        """How good weights are while they are learnt, by examples of their own."""

    def check(self, tuned: Encoder) -> Check:
        """What the verdict stands on, before and after."""


def train_text(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    base: str = "minilm",
    recipe: TextRecipe | None = None,
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    unlabelled: bool = False,
    controls: Sequence[Path] | None = (),
    dry_run: bool = False,
) -> Outcome | Plan:
    """Fine-tune `base` on the examples of `data` and write a folder to `out` that sentence-transformers opens too.

    `base` is "minilm", a model's folder or hub name, or "static": token vectors, distilled first where it is no folder of them.

    `data`, `columns`, `split` and `unlabelled` are those of `vicino.training.material.divide`. The examples are linted; the base
    and a baseline are measured on examples that nothing in training gives away; hard negatives are mined; the best weights by
    other held-back examples are kept; and the gate decides. `controls` are other data that must not be forgotten; None takes what
    is at hand, or documents of the same data without questions (see `vicino.training.controls`). What was rejected is written all
    the same, and its `training.json` says so. A training that was killed goes on where it stopped, by the same call. With
    `dry_run` only the plan comes back, and nothing is written but queries that were generated, which are in `queries.jsonl` of
    the folder in the end.

    Raises what `divide`, `fit` and the encoder raise.
    """
    recipe, target, began = recipe or recipe_for(base), Path(out).absolute(), time.monotonic()
    _require_possible(recipe, unlabelled)
    artifacts.require_writable(target)
    seconds: dict[str, float] = {}

    def done(name: str) -> None:
        seconds[name] = round(time.monotonic() - began - sum(seconds.values()), 2)

    workplace = target.with_name(f".{target.name}.training")
    kept = target.with_name(f".{target.name}.{_QUERIES}")
    asked = None if recipe.queries is None else Questions(recipe.queries, kept, earlier=target / _QUERIES)
    encoder = asking = open_base(base, recipe)  # what is measured before, and what is to learn
    if isinstance(encoder, Transformer):
        asking = Transformer(model=encoder.model, prompts=recipe.prompts) if recipe.prompts else encoder
        model: Model = _opened(asking, recipe)
        network: Any = network_to_train(model, recipe)  # it may be that it cannot: that is told before anything long, or paid for
    parts = divide(Path(data), columns=columns, split=split, unlabelled=unlabelled, questions=asked, seed=recipe.seed)
    if isinstance(encoder, Static):
        encoder = asking = ready(encoder, parts, None if dry_run else workplace)
        model = encoder.trainable()
        network = network_to_train(model, recipe)
    else:
        tokenizer = cast("Trainable", model.tower("document")).tokenizer
        if tokenizer.limit is not None:
            parts = replace(parts, count_tokens=tokenizer.lengths, limit=tokenizer.limit)
    done("reading")
    lesson = _lesson(parts, encoder, asking, recipe)
    done("measuring the base")
    batches = lesson.batches(model, workplace)
    done("mining negatives")
    if dry_run:
        return plan(network, batches, lesson.loss, recipe.settings)
    about = {
        "data": str(Path(data).resolve()),
        "examples": len(lesson),
        "content": parts.digest,
        "base": encoder.space.id,
        "recipe": recipe.identity(),
    }
    run = fit(
        network,
        batches,
        lesson.loss,
        recipe.settings,
        evaluate=lesson.chooser(model),
        folder=workplace,
        label="training",
        fingerprint=about,
    )
    done("training")
    if run.ended == "interrupted":
        raise KeyboardInterrupt
    temperature, learnt = _temperature(network, recipe)
    with artifacts.writing(workplace):
        if recipe.way == "maps":
            network.put_on(model, workplace / "maps")
        if recipe.dims:
            _turn(model, asking, parts, recipe, temperature, workplace / "turn")
            done("turning")
        written = str(save_anew(model, workplace / "model"))
    tuned = _written(written, encoder, recipe)
    check = lesson.check(tuned)
    verdict = _OF_TEXTS if unlabelled else decide
    gate = verdict(check, looked_at(controls, parts, (encoder, tuned), seed=recipe.seed))
    if controls is None and not gate.controls:
        gate = replace(gate, advice=(*gate.advice, _UNCONTROLLED))
    done("judging")
    scores = {**lesson.scores, "after": check.after}
    found = Outcome(target, lesson.found, lesson.judged_by, lesson.metric, lesson.told + learnt, run, gate, scores, seconds)
    # Last: until it was judged, a kill leaves all that going on needs, and what stood here before.
    tuned.save(target, record={**about, **found.to_json()})
    if asked is not None:  # they may have been paid for
        kept.replace(target / _QUERIES)
    shutil.rmtree(workplace)
    return found


def _lesson(parts: Parts, encoder: Base, asking: Base, recipe: TextRecipe) -> Lesson:
    """What is taught with these examples; `asking` is the base with the prompts of the recipe."""
    if parts.of_cosines:
        return Likeness(parts, encoder, recipe)
    if recipe.loss != TextRecipe.loss:
        raise InputError(f"{recipe.loss} is for pairs with scores", mend="leave loss out")
    material = Material.of(parts)
    bare = {"dense": Searchable(encoder, material.judge.documents)} if recipe.prompts else {}
    return LESSONS[recipe.way](material, asking, recipe, **bare)


def _require_possible(recipe: TextRecipe, unlabelled: bool) -> None:
    """Raise InputError for texts that cannot be learnt from like that, or several processes, and what opening a judge raises."""
    if not unlabelled and (recipe.way != "pairs" or recipe.queries is not None):
        what = "queries are written for" if recipe.queries is not None else f"{recipe.way} learns from"
        raise InputError(f"{what} texts without labels", mend="say that these are: --unlabelled, or unlabelled=True")
    require_alone()
    if recipe.judge is not None:
        open_reranker(recipe.judge)


def _opened(encoder: Transformer, recipe: TextRecipe) -> Model:
    """What is to learn: the encoder's network, or two that begin as it is."""
    model = encoder.trainable(limit=recipe.limit, dropout=recipe.dropout)
    if not model.folder.pooling.include_prompt and any(encoder.prompt(role) for role in ("query", "document", None)):
        what = f"{encoder.model} leaves its prompts out where it pools, which cannot be trained yet"
        raise InputError(what, mend="train another base, or set include_prompt in its pooling's config.json")
    if recipe.towers == "shared":
        return model
    from vicino.training.towers import Towers

    return Towers(model, encoder.trainable(limit=recipe.limit, dropout=recipe.dropout))


def _written(folder: str, base: Base, recipe: TextRecipe) -> Transformer | TwoTowers | Static:
    if isinstance(base, Static):
        return Static.load(folder)
    return TwoTowers(model=folder) if recipe.towers == "separate" else Transformer(model=folder)


def _temperature(network: Any, recipe: TextRecipe) -> tuple[float, str]:
    """What cosines are divided by in the end, and what there is to tell of it."""
    if recipe.temperature != "learned":
        return recipe.first_temperature, ""
    found = float(network.temperature())
    return found, f"; the temperature that was learnt is {found:.4f}"


def _turn(model: Model, base: Base, parts: Parts, recipe: TextRecipe, temperature: float, layer: Path) -> None:
    """Turn the vectors of a model that has learnt: no cosine changes, and the first `dims` of them rank best."""
    from vicino.learning.turning import turn_to_front

    some = parts.learn.subset(np.random.default_rng(recipe.seed).permutation(len(parts.learn))[:_TURNED])
    roles: tuple[Role, Role] = (None, None) if parts.of_cosines else ("query", "document")
    sides = []
    with progress.task("Turning the vectors", total=len(roles) + 1, unit="steps") as work:
        for role, texts in zip(roles, (some.anchors, some.positives), strict=True):
            tower = model.tower(role)
            sides.append(tower.vectors(tower.ids(list(texts), base.prompt(role))))
            work.advance()
        axes = turn_to_front(sides[0], sides[1], recipe.dims, temperature=temperature, seed=recipe.seed)
        for tower in {model.tower(role) for role in roles}:
            tower.follow(axes, layer)
        work.advance()
