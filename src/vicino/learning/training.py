"""The loop itself, behind `loop.fit`: a network in training, step after step, and what is measured, kept and saved between."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vicino import progress
from vicino.errors import ArtifactError, EmptyInput, InputError
from vicino.learning import devices
from vicino.learning.checkpoints import (
    Arrays,
    Checkpoints,
    as_arrays,
    as_tensors,
    moments,
    plain,
    put_back,
    random_states,
    seeded,
    set_moments,
    set_random_states,
    tensors,
)
from vicino.learning.devices import Place
from vicino.learning.interrupts import Interrupts, interrupts
from vicino.learning.large_batches import cached_backward
from vicino.learning.loop import Batches, InParts, Loss, Run, Settings

__all__ = ["Diverged", "Training", "modes", "threads"]

logger = logging.getLogger(__name__)

_WITHOUT_EFFECT = ("save_minutes", "threads")  # settings that may change between a checkpoint and what goes on from it


class Diverged(ArithmeticError):
    """A loss, a gradient or a metric that is not finite; `loop` never lets it out."""


class Training:
    """A network in training: its optimizer, and where it stands. See `loop.fit` for what it is given, and what it raises."""

    evaluate: Callable[[Any], float] | None = None
    label = "training"

    def __init__(self, model: torch.nn.Module, batches: Batches, loss: Loss, settings: Settings, place: Place) -> None:
        self.model, self.batches, self.loss, self.settings, self.place = model, batches, loss, settings, place
        self.trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
        self._require()
        self.optimizer = _adamw(list(self.trained.values()), settings, place)
        self.precision = devices.usual_precision(place.device) if settings.precision == "auto" else settings.precision
        self.epoch_steps = len(batches)
        self.steps = settings.epochs * self.epoch_steps
        self.every = settings.interval(self.epoch_steps)
        self.done = Run()
        self.over = False
        self._kept: dict[str, Tensor] = {}  # what is put back where the last weights are not the ones to keep
        self._chance: Arrays | None = None  # of a checkpoint, until the run stands where it was drawn from
        self._ctrl_c = Interrupts()
        self._checkpoints: Checkpoints | None = None
        self._saved: tuple[int, int] | None = None  # the steps and evaluations that the last checkpoint knows of
        self._saved_at = time.monotonic()

    def _require(self) -> None:
        if not len(self.batches):
            raise EmptyInput("there are no batches to learn from", mend="give examples for one batch at least")
        if not self.trained:
            raise InputError("no parameter of the model is to be trained", mend="call requires_grad_(True) on what shall learn")
        if self.settings.small_batch is not None and not isinstance(self.loss, InParts):
            raise InputError(
                "gradients can be cached only where the loss is one of vectors",
                mend="give loss=InParts(towers, of), or small_batch=None",
            )
        if self.place.world > 1 and any(getattr(module, "sharded", False) for module in self.model.modules()):
            raise InputError(
                "a module keeps other weights in each process, which this loop would average away",
                mend="make ClassMargins without sharded=True",
            )

    # The whole of it --------------------------------------------------------------------------------------------------

    def run(self, folder: Path | None, fingerprint: Mapping[str, Any]) -> Run:
        """All steps that are still to be done, with checkpoints in `folder` if any."""
        with ExitStack() as stack:
            stack.enter_context(seeded(self.model, self.place.device, self.settings.seed + self.place.rank))
            self._ctrl_c = stack.enter_context(interrupts())
            self.place.from_first(tensors(self.model).values())
            if folder is not None:
                self._checkpoints = Checkpoints(folder, plain(self._identity() | {"fingerprint": dict(fingerprint)}))
                if self.place.rank == 0:
                    stack.enter_context(self._checkpoints.held())
                self._checkpoints.load(self._resume)
                self._require_together()
            with progress.task(self.label, total=self.steps, unit="steps") as work:
                work.advance(self.done.steps)
                try:
                    self._learn(work)
                except Diverged:
                    self.done.ended = "diverged"
        return self._ended()

    def _learn(self, work: progress.Task) -> None:
        """Raises Diverged."""
        if not self._kept:
            self._keep()
        self._look()
        for number in range(self.done.steps // self.epoch_steps, self.settings.epochs):
            if self.over:
                return
            for batch in self._rest_of(number):
                began = time.monotonic()
                value, n = self.gradients(batch)
                self.descend(value)
                self.done.losses.append(value)
                self.done.examples += n
                self.done.seconds += time.monotonic() - began
                work.label = f"{self.label}, loss {value:.3f}"
                work.advance()
                self._look()

    def _rest_of(self, number: int) -> Iterator[Any]:
        """The batches of an epoch from where the run stands."""
        first = self.done.steps - number * self.epoch_steps
        if not first:
            self._draw_again()
        batches = iter(self.batches.epoch(number, self.settings.seed))
        for at in range(self.epoch_steps):
            if self.over:
                return
            if at == first:
                self._draw_again()
            began = time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                raise InputError(
                    f"epoch {number} gave {at} batches where {self.epoch_steps} were promised",
                    mend="let len(batches) be the number of batches that epoch() gives",
                ) from None
            if at >= first:
                self.done.seconds += time.monotonic() - began
                yield batch

    def _look(self) -> None:
        """Between two steps: evaluate, keep and save where it is due, and see whether this is the end. Raises Diverged."""
        done = self.done
        due = not done.steps % self.every or done.steps == self.steps
        interrupted, late = self.place.sum(self._ctrl_c.asked, self._is_late())
        pending = due and self.evaluate is not None and done.steps not in done.metrics
        if pending and not interrupted:
            pending = not self._measure()
        elif due and self.evaluate is None:
            self._keep()
        since = sum(step > done.kept for step in done.metrics)
        if pending or (interrupted and done.steps < self.steps):
            done.ended, self.over = "interrupted", True
        elif self.settings.patience is not None and since >= self.settings.patience and done.steps < self.steps:
            done.ended, self.over = "early", True
        if due or late or self.over:
            self._save()

    def _ended(self) -> Run:
        """The weights to keep, in the model."""
        done = self.done
        if done.ended == "diverged":
            logger.warning("training diverged after step %d: the weights of step %d are put back", done.steps, done.kept)
        if done.metrics or done.ended == "diverged":
            put_back(self.model, self._kept)
        else:
            done.kept = done.steps
        self.model.zero_grad()
        return done

    # One step ---------------------------------------------------------------------------------------------------------

    def gradients(self, batch: Any) -> tuple[float, int]:
        """Add a batch's gradients, those of all processes; its loss, and how many examples it holds."""
        n = devices.size(batch, alike=self.place.world > 1 or isinstance(self.loss, InParts))
        start, stop = self.place.share(n)
        share = (stop - start) / n
        if isinstance(self.loss, InParts):
            found = self._of_vectors(self.loss, devices.on(batch, self.place.device), (start, stop), share)
        else:
            mine = batch if self.place.world == 1 else devices.rows(batch, start, stop)
            with devices.autocast(self.place.device, self.precision):
                found = self.loss(self.model, devices.on(mine, self.place.device))
            (_scalar(found) * share).backward()  # type: ignore[no-untyped-call]
        self.place.sum_gradients(self.trained.values())
        (value,) = self.place.sum(found.item() * share)
        return value, n

    def _of_vectors(self, loss: InParts, batch: Any, mine: tuple[int, int], share: float) -> Tensor:
        """The loss of the whole batch; the gradients of my rows of it, in my share."""
        start, stop = mine
        chunk = self.settings.small_batch or stop - start
        cuts = [(at, min(at + chunk, stop)) for at in range(start, stop, chunk)]

        def part(tower: Callable[[Any, Any], Tensor], cut: tuple[int, int]) -> Callable[[], Tensor]:
            def embed() -> Tensor:
                # A context of its own, for it remembers rounded weights: those rounded without gradients have none.
                with devices.autocast(self.place.device, self.precision):
                    vectors = tower(self.model, devices.rows(batch, *cut))
                return vectors if vectors.dtype == torch.float64 else vectors.float()

            return embed

        def of(*vectors: Tensor) -> Tensor:
            return _scalar(loss.of(self.model, batch, *(devices.gathered(each) for each in vectors))) * share

        towers = [[part(tower, cut) for cut in cuts] for tower in loss.towers]
        if self.settings.small_batch is not None:
            return cached_backward(towers, of) / share
        found = of(*(embed() for (embed,) in towers))
        found.backward()  # type: ignore[no-untyped-call]
        return found.detach() / share

    def descend(self, value: float) -> None:
        """Change the weights by their gradients, and forget these. Raises Diverged where a number is not finite."""
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), self.settings.clip or math.inf)
        if not (math.isfinite(value) and math.isfinite(norm.item())):
            raise Diverged
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(self.done.steps, self.steps)
        self.optimizer.step()
        self.optimizer.zero_grad()

    # Evaluation -------------------------------------------------------------------------------------------------------

    def _measure(self) -> bool:
        """Evaluate, and keep the weights where they are the best; False where Ctrl-C came before the end."""
        done, best = self.done, self.done.best
        value, interrupted = self.place.sum(*self._metric())
        if interrupted:
            return False
        if not math.isfinite(value):
            if not done.steps:
                raise InputError(f"the metric of the untrained model is {value}", mend="let evaluate(model) give a number")
            raise Diverged
        done.metrics[done.steps] = value
        if best is None or value > best:
            self._keep()
        return True

    def _metric(self) -> tuple[float, bool]:
        """The metric, and whether it was interrupted; nothing where another process measures."""
        if self.place.rank or self.evaluate is None:
            return 0.0, False
        # Seeded, for an evaluation that draws must draw the same for all weights, and after a resume.
        same = seeded(self.model, self.place.device, self.settings.seed)
        with same, modes(self.model, training=False), torch.no_grad():
            self._ctrl_c.at_once = True
            try:
                return float(self.evaluate(self.model)), False
            except KeyboardInterrupt:
                return 0.0, True
            finally:
                self._ctrl_c.at_once = False

    def _keep(self) -> None:
        """Remember the weights as they are, in the memory of the processor."""
        if self._kept and self.done.kept == self.done.steps:
            return
        with torch.no_grad():
            for name, tensor in tensors(self.model).items():
                self._kept.setdefault(name, torch.empty_like(tensor, device="cpu")).copy_(tensor)
        self.done.kept = self.done.steps

    # Checkpoints ------------------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must share with a run that goes on from it."""
        chosen = {name: value for name, value in asdict(self.settings).items() if name not in _WITHOUT_EFFECT}
        shapes = {name: [list(each.shape), str(each.dtype), name in self.trained] for name, each in tensors(self.model).items()}
        here = {"precision": self.precision, "steps of an epoch": self.epoch_steps, "processes": self.place.world}
        return {**chosen, **here, "model": shapes}

    def _is_late(self) -> bool:
        waited = time.monotonic() - self._saved_at
        return self.place.rank == 0 and self._checkpoints is not None and waited >= 60 * self.settings.save_minutes

    def _save(self) -> None:
        """Write a checkpoint, process 0 for all. Raises ArtifactError."""
        state = self.done.steps, len(self.done.metrics)
        if self._checkpoints is None or state == self._saved:
            return
        done = self.done
        arrays = {"losses": np.array(done.losses, dtype=np.float64)}
        for name, own in random_states(self.model, self.place.device).items():
            for rank, told in enumerate(self.place.of_all(torch.from_numpy(np.atleast_1d(own).view(np.uint8)))):
                arrays[f"random/{rank}/{name}"] = told.numpy().view(own.dtype).reshape(own.shape)
        failure: ArtifactError | None = None
        if self.place.rank == 0:
            arrays |= as_arrays("weights", tensors(self.model)) | moments(self.optimizer, self.trained)
            if done.kept != done.steps:
                arrays |= as_arrays("kept", self._kept)
            facts = {
                "metrics": list(done.metrics.items()),
                "kept": done.kept,
                "seconds": done.seconds,
                "examples": done.examples,
            }
            try:
                self._checkpoints.save(facts, arrays)
            except ArtifactError as error:
                failure = error
        if self.place.sum(failure is not None)[0]:
            raise failure or ArtifactError("process 0 could not write a checkpoint", mend="see what process 0 says")
        self._saved, self._saved_at = state, time.monotonic()

    def _resume(self, data: Mapping[str, Any], arrays: Arrays) -> None:
        """Stand where a checkpoint was written. Raises KeyError, TypeError, ValueError, with nothing changed."""
        done = Run(losses=[float(loss) for loss in arrays["losses"]], kept=int(data["kept"]), examples=int(data["examples"]))
        done.metrics = {int(step): float(value) for step, value in data["metrics"]}
        done.seconds = float(data["seconds"])
        done.resumed = done.steps
        if not 0 <= max(done.kept, *done.metrics, 0) <= done.steps <= self.steps or (
            done.metrics and done.kept not in done.metrics
        ):
            raise ValueError(f"{done.steps} steps, of which {done.kept} is kept and {list(done.metrics)} were evaluated")
        weights = as_tensors("weights", tensors(self.model), arrays)
        kept = as_tensors("kept" if done.kept != done.steps else "weights", tensors(self.model), arrays)
        mine = f"random/{self.place.rank}/"
        chance = {name.removeprefix(mine): array for name, array in arrays.items() if name.startswith(mine)}
        with seeded(self.model, self.place.device):
            set_random_states(self.model, self.place.device, chance)
        set_moments(self.optimizer, self.trained, arrays)
        put_back(self.model, weights)
        self._kept = {name: tensor.clone() for name, tensor in kept.items()}
        self.done, self._chance, self._saved = done, chance, (done.steps, len(done.metrics))

    def _require_together(self) -> None:
        stand = [int(steps) for steps in self.place.of_all(torch.tensor(self.done.steps))]
        if len(set(stand)) > 1:
            raise InputError(
                f"the processes found checkpoints of steps {', '.join(map(str, stand))}",
                mend="give all of them one folder, which all can read",
            )

    def _draw_again(self) -> None:
        """From here on, what comes by chance is what would have come."""
        if self._chance is not None:
            set_random_states(self.model, self.place.device, self._chance)
            self._chance = None


def _adamw(parameters: list[torch.nn.Parameter], settings: Settings, place: Place) -> torch.optim.AdamW:
    """Matrices decay; vectors and numbers (biases, norms, temperatures) do not."""
    groups = [
        {"params": [each for each in parameters if each.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0.0},
    ]
    fused = place.device.type in ("cpu", "cuda")
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.learning_rate, fused=fused)


def _scalar(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        given = f"of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise InputError(f"a loss must be one number: it is {given}", mend="take the mean over the batch")
    if not loss.requires_grad:
        raise InputError(
            "the loss does not depend on anything that is trained", mend="compute it with the model that it is given"
        )
    return loss.reshape(())


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """A block in which torch uses so many threads; None leaves them."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def modes(model: torch.nn.Module, *, training: bool = True) -> Iterator[None]:
    """A block in which the model trains or is evaluated; each module is then as it was."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was in before:
            module.training = was
