"""What a training will take, measured by its first steps on a copy of the model."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vicino.errors import InputError
from vicino.learning.checkpoints import seeded, tensors
from vicino.learning.devices import Place
from vicino.learning.loop import Batches, Loss, Plan, Settings
from vicino.learning.training import Diverged, Training, modes

__all__ = ["measured"]


def measured(model: torch.nn.Module, batches: Batches, loss: Loss, settings: Settings, place: Place) -> Plan:
    """The plan of a training, by two steps of this model, which they change. Raises as `loop.fit` does."""
    with modes(model), seeded(model, place.device, settings.seed + place.rank):
        training = Training(model, batches, loss, settings, place)
        batch = next(iter(batches.epoch(0, settings.seed)))
        with _remembered(model) as activations:
            value, _ = training.gradients(batch)
        gradients = _bytes(each.grad for each in training.trained.values())
        try:
            training.descend(value)
            began = time.monotonic()
            value, _ = training.gradients(batch)
            training.descend(value)
        except Diverged:
            mend = 'look for numbers that are not finite in the first batch and the model, or give precision="float32"'
            raise InputError("the loss or a gradient of the first steps is not finite", mend=mend) from None
        if place.device.type == "cuda":
            torch.cuda.synchronize(place.device)
        seconds = time.monotonic() - began
    states = [each for state in training.optimizer.state.values() for each in state.values()]
    whole, trained = (list(each) for each in (tensors(model).values(), training.trained.values()))
    return Plan(
        steps=training.steps,
        epoch_steps=training.epoch_steps,
        trained=sum(each.numel() for each in trained),
        frozen=sum(each.numel() for each in model.parameters()) - sum(each.numel() for each in trained),
        weights=_bytes(whole),
        gradients=gradients,
        optimizer=_bytes(states),
        activations=activations.most,
        kept=_bytes(whole),
        step_seconds=seconds,
        device=str(place.device),
        precision=training.precision,
        processes=place.world,
    )


@dataclass
class _Remembered:
    """Bytes of the tensors that autograd holds: now, and at most so far. Tensors that share memory count once."""

    now: int = 0
    most: int = 0
    holders: dict[int, int] = field(default_factory=dict)


@contextmanager
def _remembered(model: torch.nn.Module) -> Iterator[_Remembered]:
    found = _Remembered()
    own = {each.untyped_storage().data_ptr() for each in tensors(model).values()}

    def hold(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in own:
            held = found.holders.get(memory.data_ptr(), 0)
            found.holders[memory.data_ptr()] = held + 1
            found.now += 0 if held else memory.nbytes()
            found.most = max(found.most, found.now)
        return tensor

    def let_go(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in own:
            found.holders[memory.data_ptr()] -= 1
            found.now -= 0 if found.holders[memory.data_ptr()] else memory.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, let_go):
        yield found


def _bytes(some: Iterable[Any]) -> int:
    return sum(each.numel() * each.element_size() for each in some if isinstance(each, Tensor))
