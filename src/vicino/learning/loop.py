"""The one training loop of all deep families: AdamW over batches, with warm-up, clipping, evaluation, checkpoints and a plan.

It knows tensors only. A network, batches and a loss come in; what a batch holds is between the batches and the loss (see
`devices` for the shapes that several processes can share). Loshchilov and Hutter 2019, "Decoupled weight decay regularization".
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from vicino.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Batches", "InParts", "Plan", "Run", "Settings", "fit", "plan"]

Ended = Literal["whole", "early", "diverged", "interrupted"]


class Batches(Protocol):
    """What is learnt from: `len` is the number of steps in an epoch.

    `epoch(number, seed)` gives its batches, the same for the same number and seed: a training that goes on draws those that it
    had once more, and leaves them. Each of several processes draws the whole batch, and takes its share.
    """

    def __len__(self) -> int: ...

    def epoch(self, number: int, seed: int) -> Iterator[Any]: ...


@dataclass(frozen=True)
class InParts:
    """A loss of vectors, whose network may see a batch in parts: what gradient caching and several processes need.

    Each of `towers` embeds the examples of a batch: (network, batch) -> (n, d). `of` (network, batch, *vectors) is the loss of
    all vectors of the whole batch, in float32; where several processes share a batch, each sees the vectors of all.
    """

    towers: Sequence[Callable[[Any, Any], Tensor]]
    of: Callable[..., Tensor]


Loss = Callable[[Any, Any], "Tensor"] | InParts


@dataclass(frozen=True)
class Settings:
    """How to train. Raises InputError for what cannot be.

    `batch_size` is the examples of a step, over all processes, for whoever makes the batches. `small_batch` turns gradient
    caching on: so many examples at a time go through the network (the loss must be `InParts`). `warmup` is the share of all steps
    in which the learning rate rises to `learning_rate`; from there `schedule` leads it to 0, or leaves it. `clip` bounds the norm
    of all gradients together; None bounds nothing. `precision` "auto" takes bfloat16 where the device multiplies it.
    `evaluate_every` is a share of an epoch up to 1, above it a number of steps; `patience` is how many evaluations without a new
    best end the training. A checkpoint is written at each evaluation, and when the last is `save_minutes` old. `threads` None
    leaves torch as it is; 1 makes a training that went on equal to an undisturbed one to the bit.

    >>> [round(Settings(learning_rate=1.0, warmup=0.5).rate(step, 4), 2) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """

    epochs: int = 1
    batch_size: int = 32
    small_batch: int | None = None
    learning_rate: float = 2e-5
    weight_decay: float = 0.01
    warmup: float = 0.1
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip: float | None = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = 0
    patience: int | None = None
    evaluate_every: float = 1.0
    save_minutes: float = 10.0
    threads: int | None = None

    def __post_init__(self) -> None:
        wrong = [name for name, (fits, _) in _RULES.items() if not fits(getattr(self, name))]
        if wrong:
            raise InputError(
                f"training with {', '.join(f'{name}={getattr(self, name)!r}' for name in wrong)} cannot be",
                mend="; ".join(_RULES[name][1] for name in wrong),
            )

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step 0, 1, ... of so many."""
        rising = math.ceil(self.warmup * steps)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        left = (steps - step) / (steps - rising)
        shape = {"linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2, "constant": 1.0}
        return self.learning_rate * shape[self.schedule]

    def interval(self, epoch: int) -> int:
        """The steps between two evaluations, in epochs of so many steps."""
        return max(1, round(self.evaluate_every * epoch)) if self.evaluate_every <= 1 else int(self.evaluate_every)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


# What each setting must be, and what to give instead.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "epochs": (_count, "give epochs=1 or more"),
    "batch_size": (_count, "give batch_size=32"),
    "small_batch": (lambda n: n is None or _count(n), "give small_batch=32, or None"),
    "learning_rate": (lambda x: _number(x) and x > 0, "give learning_rate=2e-5"),
    "weight_decay": (_number, "give weight_decay=0.01, or 0"),
    "warmup": (lambda x: _number(x) and x <= 1, "give warmup=0.1, a share from 0 to 1"),
    "schedule": (lambda name: name in ("linear", "cosine", "constant"), 'give schedule="linear", "cosine" or "constant"'),
    "clip": (lambda x: x is None or (_number(x) and x > 0), "give clip=1.0, or None"),
    "precision": (lambda name: name in ("auto", "float32", "bfloat16"), 'give precision="auto", "float32" or "bfloat16"'),
    "seed": (lambda n: type(n) is int and 0 <= n < 2**32, "give a seed from 0 on, under 2**32"),
    "patience": (lambda n: n is None or _count(n), "give patience=3, or None"),
    "evaluate_every": (
        lambda x: _number(x) and x > 0 and (x <= 1 or x == int(x)),
        "give evaluate_every=0.25 (of an epoch), or a whole number of steps",
    ),
    "save_minutes": (_number, "give save_minutes=10"),
    "threads": (lambda n: n is None or _count(n), "give threads=2, or None"),
}


@dataclass
class Run:
    """How it went. `losses` has one a step; `metrics` is what was measured, by the step after which (0: before any).

    `best` is the highest metric; `kept` the step whose weights the network has in the end: the best one's where there were
    evaluations. `resumed` is the step at which a checkpoint took over, if any. `seconds` are those of all steps, since the very
    first, without evaluations; `examples` is what was learnt from in them.
    """

    ended: Ended = "whole"
    losses: list[float] = field(default_factory=list)
    metrics: dict[int, float] = field(default_factory=dict)
    kept: int = 0
    resumed: int | None = None
    seconds: float = 0.0
    examples: int = 0

    @property
    def steps(self) -> int:
        """The steps that were taken."""
        return len(self.losses)

    @property
    def best(self) -> float | None:
        """The highest metric; None without an evaluation."""
        return max(self.metrics.values(), default=None)

    @property
    def examples_per_second(self) -> float:
        """Examples a second, over all steps."""
        return self.examples / self.seconds if self.seconds else 0.0


def fit(
    model: torch.nn.Module,
    batches: Batches,
    loss: Loss,
    settings: Settings,
    *,
    evaluate: Callable[[Any], float] | None = None,
    folder: Path | str | None = None,
    label: str = "training",
    fingerprint: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
) -> Run:
    """Train `model`, in place; it ends with the weights of the highest `evaluate(model)`, or the last ones without it.

    `loss` (model, batch) -> () is a mean over the batch's examples; what it learns itself (a temperature) must be in `model`.
    The model is set to training, and to evaluation for `evaluate`, which process 0 alone calls, without gradients, first before
    any step. Parameters of fewer than two axes (biases, norms) do not decay. All generators are seeded, and in the end are as
    they were; with several processes, each adds its rank to the seed.

    With a `folder`, the same call goes on where a killed or interrupted one stopped. A checkpoint of a call that differs (in
    settings, shapes, steps, or the plain data of `fingerprint`, which should name the data and the base model) is an error. All
    processes read the folder, and the first writes it. It is yours to remove, once the model is saved.

    Ctrl-C ends the step, saves, and ends the training, as `Run.ended` says; a second one raises KeyboardInterrupt. A loss,
    gradient or metric that is not finite ends it with the best weights so far, or without evaluations those of the last
    whole interval (`Settings.evaluate_every`).

    Several processes (see `find_place`) give the weights of one, up to rounding: a mean over examples by itself, a loss that
    compares examples as `InParts`, or through `devices.gathered`. Buffers that a step changes (batch norm) stay each process's.

    Raises InputError (nothing to train, a loss that does not depend on it), EmptyInput (no batches), and ArtifactError (a folder
    that cannot be written, a full disk: checkpoints before it stay whole; a checkpoint of another run) or ArtifactCorrupt.

    >>> import torch
    >>> class Ones:
    ...     def __len__(self): return 50
    ...     def epoch(self, number, seed): return iter([torch.ones(4, 1)] * 50)
    >>> network = torch.nn.Linear(1, 1, bias=False)
    >>> run = fit(network, Ones(), lambda model, batch: (model(batch) - 3).square().mean(),
    ...           Settings(epochs=4, learning_rate=0.1, weight_decay=0.0, precision="float32"), device="cpu")
    >>> run.ended, run.steps, round(network.weight.item(), 1)
    ('whole', 200, 3.0)
    """
    from vicino.learning.devices import find_place
    from vicino.learning.training import Training, modes, threads

    place = find_place(device)
    with threads(settings.threads), modes(model):
        job = Training(model.to(place.device), batches, loss, settings, place)
        job.evaluate, job.label = evaluate, label
        return job.run(None if folder is None else Path(folder), fingerprint or {})


@dataclass(frozen=True)
class Plan:
    """What a training will take: steps, numbers to learn, seconds without evaluations, and bytes.

    `activations` is the most that one step remembered at a time for its way back; `kept` is the copy of the best weights, in
    the processor's memory.
    """

    steps: int
    epoch_steps: int
    trained: int
    frozen: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    kept: int
    step_seconds: float
    device: str
    precision: str
    processes: int

    @property
    def bytes(self) -> int:
        """Memory of each process, less what torch and the data take."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.kept

    @property
    def seconds(self) -> float:
        """The time of all steps, if they are like the first."""
        return self.steps * self.step_seconds

    def __str__(self) -> str:
        parts = {name: getattr(self, name) for name in ("weights", "gradients", "optimizer", "activations", "kept")}
        listed = ", ".join(f"{name} {value / 2**20:,.1f}" for name, value in parts.items())
        return "\n".join(
            [
                f"{self.steps:,} steps, {self.epoch_steps:,} in an epoch",
                f"{self.trained:,} parameters trained, {self.frozen:,} frozen",
                f"{self.bytes / 2**20:,.1f} MiB for each process ({listed})",
                f"{self.seconds:,.1f} seconds at {self.step_seconds:.3f} a step, without evaluations",
                f"{self.precision} on {self.device}, {self.processes} process{'es' if self.processes > 1 else ''}",
            ]
        )


def plan(
    model: torch.nn.Module, batches: Batches, loss: Loss, settings: Settings, *, device: str | torch.device | None = None
) -> Plan:
    """What `fit` would take, measured by two steps on the first batch with a copy of the model; changes nothing.

    The second step is the one that is timed. Raises as `fit` does.
    """
    from vicino.learning.devices import find_place
    from vicino.learning.planning import measured
    from vicino.learning.training import threads

    place = find_place(device)
    with threads(settings.threads):
        return measured(copy.deepcopy(model).to(place.device), batches, loss, settings, place)
