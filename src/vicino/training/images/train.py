"""A network of images trained from scratch or further: looked at, compared with what needs no training, accepted or rejected."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vicino import artifacts
from vicino.catalog import call
from vicino.encoders.images import ImageEncoder, opened_backbone
from vicino.errors import InputError
from vicino.evaluation.gate import decide
from vicino.learning.loop import Batches, Plan, Run, Settings, fit, plan
from vicino.training.images.judging import Judge
from vicino.training.images.material import Material, Parts, divide, material
from vicino.training.images.objectives import OBJECTIVES
from vicino.training.images.recipe import ImageRecipe
from vicino.training.images.sheet import write_sheet
from vicino.training.outcome import Outcome
from vicino.training.rules import require_alone

if TYPE_CHECKING:
    from vicino.encoders.images.network import Backbone
    from vicino.training.images.objectives.base import Objective

__all__ = ["Shortened", "train_images"]

_MOST_MEASURED = 10_000  # images whose brightness a fresh network is normalised by
_FLATTEST = 1e-2  # spread of brightness
_TRIALS = 3  # of a step
_PAINTED, _SHEET = 16, "reconstructions.png"  # held-back images, and beneath them what comes back of their vectors
_WHERE_WORSE = (
    "train for longer (--minutes), or by another objective: with labels, supervised learns fastest",
    "begin with a pretrained network: --backbone a folder or a hub name",
)
_WHERE_UNSURE = ("give more images, or train for longer (--minutes)",)


@dataclass(frozen=True)
class Shortened:
    """Batches of which an epoch has only the first `steps`: for what a whole epoch takes too long of."""

    batches: Batches
    steps: int

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return self.steps

    def epoch(self, number: int, seed: int) -> Iterator[Any]:
        """The first batches of an epoch."""
        return itertools.islice(self.batches.epoch(number, seed), self.steps)


def train_images(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    objective: str = "supervised",
    backbone: str | None = None,
    recipe: ImageRecipe | None = None,
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
    dry_run: bool = False,
) -> Outcome | Plan:
    """Train a network on the images of `data` by an `objective` of `OBJECTIVES`, and write an encoder of images to `out`.

    `data`, `columns` and `split` are those of `vicino.training.images.material`. `backbone` is what
    `vicino.encoders.images.network.make_backbone` makes, such as "small" or "vit(hidden_size=64)", or a network to go on from: a
    folder that vicino or transformers wrote, or a hub name; None is the objective's usual one. The images are linted; raw pixels
    and eigenimages are measured on images that are held back (see `Judge`), and a pretrained network as it is; the best weights
    by other held-back images are kept; and the gate decides whether what was learnt beats the best of these. What was rejected is
    written all the same, and its `training.json` says so. An objective that paints images has some of them in
    `reconstructions.png`. A training that was killed goes on where it stopped, by the same call.
    With `dry_run` only the plan comes back, and nothing is written.

    Raises what `material`, `divide`, the objective, `make_backbone` and `fit` raise.
    """
    recipe, target, began = recipe or ImageRecipe(), Path(out).absolute(), time.monotonic()
    kind: type[Objective] = OBJECTIVES[objective]
    kind.Options.of(**recipe.options)  # raises, before anything long
    require_alone()
    artifacts.require_writable(target)
    seconds: dict[str, float] = {}

    def done(name: str) -> None:
        seconds[name] = round(time.monotonic() - began - sum(seconds.values()), 2)

    workplace = target.with_name(f".{target.name}.training")
    name = backbone or kind.backbone_name
    pretrained = _pretrained(name, recipe)
    size = recipe.size if pretrained is None else pretrained.size
    channels = recipe.channels if pretrained is None else pretrained.channels
    given = material(Path(data), size=size, channels=channels, crop=not recipe.squeeze, columns=columns, split=split)
    parts = divide(given, recipe.judge, identities=kind.identities, seed=recipe.seed)
    done("reading")
    network = _fresh(name, given, parts, recipe.seed) if pretrained is None else pretrained
    whole, batches = _taught(kind, network, given, parts, recipe)
    judge = Judge(given, parts, recipe.seed)
    settings = recipe.settings_after(kind.usual)
    plain = {name: value for name, value in recipe.to_json().items() if name != "threads"}  # which may change
    about: dict[str, Any] = {
        "data": str(Path(data).resolve()),
        "images": len(parts.learn),
        "content": given.digest,
        "objective": objective,
        "backbone": name,
        "recipe": plain,
    }
    if recipe.minutes is not None:
        measure = partial(_costs, whole, batches, settings, judge)
        epochs, batches = _settled(workplace, recipe.minutes, batches, measure, about, write=not dry_run)
        settings = recipe.settings_after(kind.usual, epochs)
    done("planning")
    if dry_run:
        return plan(whole, batches, whole.loss, settings)
    base = ImageEncoder.of_network(copy.deepcopy(network), crop=not recipe.squeeze)
    before = judge.baselines()
    if pretrained is not None:
        before["before"] = judge.right(base.encode, parts.judge)
    done("measuring the baselines")
    about |= {"base": base.space.id, "epochs": settings.epochs, "steps_of_an_epoch": len(batches)}
    run = fit(
        whole,
        batches,
        whole.loss,
        settings,
        evaluate=judge.chooser(),
        folder=workplace,
        label="training",
        fingerprint=about,
    )
    done("training")
    if run.ended == "interrupted":
        raise KeyboardInterrupt
    tuned = ImageEncoder.of_network(whole.backbone, model=str(target), crop=not recipe.squeeze)
    right = judge.right(tuned.encode, parts.judge)
    gate = decide(judge.check(before, right), where_worse=_WHERE_WORSE, where_unsure=_WHERE_UNSURE)
    done("judging")
    scores = {**{name: float(each.mean()) for name, each in before.items()}, "after": float(right.mean())}
    told = _told(objective, whole.backbone, parts, run, settings.epochs, len(batches))
    found = Outcome(target, given.found, judge.judged_by, judge.metric, told, run, gate, scores, seconds)
    # Last: until it was judged, a kill leaves all that going on needs, and what stood here before.
    tuned.save(target, record={**about, **found.to_json()})
    seen = given.pixels[parts.judge[:_PAINTED]]
    if (painted := whole.reconstruct(seen)) is not None:
        write_sheet(target / _SHEET, [seen, painted])
    shutil.rmtree(workplace)
    return found


# The network ----------------------------------------------------------------------------------------------------------


def _pretrained(name: str, recipe: ImageRecipe) -> Backbone | None:
    """The network to go on from; None where a fresh one is wanted."""
    from vicino.encoders.images.network import FRESH

    text, config = (name, {}) if Path(name).is_dir() else call(name)
    if text in FRESH:
        return None
    network = opened_backbone(text, **config)
    network.size = recipe.size or network.size
    if recipe.channels not in (None, network.channels):
        raise InputError(f"{name} reads images of {network.channels} channels", mend="leave channels out")
    return network


def _fresh(name: str, given: Material, parts: Parts, seed: int) -> Backbone:
    """A network with fresh weights for these images, normalised by what is learnt from."""
    from vicino.encoders.images.network import make_backbone

    text, config = call(name)
    _, height, _, channels = given.pixels.shape
    sample = given.pixels[parts.learn[:: max(1, len(parts.learn) // _MOST_MEASURED)]]
    mean, std = sample.mean((0, 1, 2)) / 255, sample.std((0, 1, 2)) / 255
    usual = {"mean": mean.tolist(), "std": np.maximum(std, _FLATTEST).tolist()}
    with _seeded(seed):
        return make_backbone(text, size=height, channels=channels, **{**usual, **config})


def _taught(
    kind: type[Objective], network: Backbone, given: Material, parts: Parts, recipe: ImageRecipe
) -> tuple[Objective, Batches]:
    """The objective with its network, and the images to learn from with the numbers of their classes."""
    labels, classes = None, None
    if given.labels is not None:
        labels = np.zeros(len(given), dtype=np.int64)
        names, labels[parts.learn] = np.unique(given.labels[parts.learn], return_inverse=True)
        classes = len(names)
    with _seeded(recipe.seed):
        whole = kind(network, classes=classes, recipe=recipe.options)
    size = recipe.settings_after(kind.usual).batch_size
    return whole, whole.batches(given.pixels, labels, size, rows=parts.learn)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """A block in which fresh weights are those of the seed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


# How long -------------------------------------------------------------------------------------------------------------


def _settled(
    folder: Path,
    minutes: float,
    batches: Batches,
    costs: Callable[[], tuple[float, float]],
    about: Mapping[str, Any],
    *,
    write: bool,
) -> tuple[int, Batches]:
    """Epochs, and the batches of each, that take so many minutes; settled once, so that a training that goes on is the same.

    `costs` are the seconds of a step, and of an evaluation; `about` says which training it is: what was settled for another
    does not hold.
    """
    which = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    file = folder / f"settled-{which[:16]}.json"
    if file.is_file():
        known = json.loads(file.read_text(encoding="utf-8"))
    else:
        step, evaluation = costs()
        budget, whole = 60 * minutes, len(batches) * step + evaluation
        known = {"epochs": max(1, int(budget / whole)), "steps": len(batches)}
        if budget < whole:
            known["steps"] = min(len(batches), max(1, int((budget - evaluation) / step)))
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            half = file.with_suffix(".half")
            half.write_text(json.dumps(known), encoding="utf-8")
            half.replace(file)
    return known["epochs"], batches if known["steps"] == len(batches) else Shortened(batches, known["steps"])


def _costs(network: Objective, batches: Batches, settings: Settings, judge: Judge) -> tuple[float, float]:
    """The seconds of a step, the middle one of several, and of an evaluation."""
    from vicino.learning.training import modes, threads

    step = statistics.median(plan(network, batches, network.loss, settings).step_seconds for _ in range(_TRIALS))
    with threads(settings.threads), modes(network, training=False):
        began = time.monotonic()
        judge.chooser()(network)
        return step, time.monotonic() - began


def _told(objective: str, network: Backbone, parts: Parts, run: Run, epochs: int, steps: int) -> str:
    weights = sum(each.numel() for each in network.parameters())
    return (
        f"{objective} taught {weights:,} weights from {len(parts.learn):,} images of {network.size} x {network.size} pixels: "
        f"{epochs:,} {'epoch' if epochs == 1 else 'epochs'} of {steps:,} steps, {run.examples_per_second:,.0f} images a second"
    )
