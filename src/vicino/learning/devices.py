"""Where a training runs: the device, its precision, and the processes that share each batch.

A batch is a tensor, or a tuple, list or mapping of such, whose first axis counts examples; a list of anything else is one of
items. What is built otherwise brings `__len__`, `__getitem__` of a slice, and `to(device)` where it holds tensors. Where a batch
is never cut (one process, no gradient caching) its tensors may have any shapes, and the first one's length is that of the batch.

Of w processes, process r computes a loss L(r) over its share s(r) of the rows of a batch, Σ s = 1. The loss of all is
Σ s(r) L(r), and its gradient the sum of theirs: right for a mean over examples, and also where a process sees the vectors of all
through `gathered`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, distributed

from vicino.errors import DimensionMismatch, InputError
from vicino.learning.processor import multiplies_bfloat16

__all__ = ["Place", "autocast", "find_place", "gathered", "on", "rows", "size", "usual_precision"]

_BUCKET = 1 << 24  # numbers that one message between processes holds

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Place:
    """A device, and which of how many processes this one is."""

    device: torch.device
    rank: int = 0
    world: int = 1

    def share(self, n: int) -> tuple[int, int]:
        """The rows, from and to, that are this process's of a batch of n. Raises InputError where there is none.

        >>> [Place(torch.device("cpu"), rank, 2).share(5) for rank in (0, 1)]
        [(0, 2), (2, 5)]
        """
        if n < self.world:
            raise InputError(
                f"a batch of {n} examples cannot be shared by {self.world} processes",
                mend="leave out the last batch of an epoch where it is small, or start fewer processes",
            )
        return self.rank * n // self.world, (self.rank + 1) * n // self.world

    def sum(self, *values: float) -> list[float]:
        """The sums of some numbers over all processes."""
        if self.world == 1:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64, device=self._speaks_on())
        distributed.all_reduce(told)
        return [float(each) for each in told]

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Give each parameter the sum of its gradients over all processes; one that has none anywhere keeps none."""
        if self.world == 1:
            return
        every = list(parameters)
        has = torch.tensor([each.grad is not None for each in every], dtype=torch.int32, device=self._speaks_on())
        distributed.all_reduce(has)
        slopes: dict[torch.dtype, list[Tensor]] = {}
        for each, somewhere in zip(every, has.tolist(), strict=True):
            if somewhere:
                each.grad = torch.zeros_like(each) if each.grad is None else each.grad
                slopes.setdefault(each.dtype, []).append(each.grad)
        for same in slopes.values():
            for bucket in _buckets(same):
                flat = torch.cat([slope.reshape(-1) for slope in bucket])
                distributed.all_reduce(flat)
                for slope, total in zip(bucket, torch.split(flat, [slope.numel() for slope in bucket]), strict=True):
                    slope.copy_(total.view_as(slope))

    def from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of process 0."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.data, 0)

    def of_all(self, values: Tensor) -> list[Tensor]:
        """A tensor of the processor, of one shape everywhere, as each process has it."""
        if self.world == 1:
            return [values]
        told = values.to(self._speaks_on())
        parts = [torch.empty_like(told) for _ in range(self.world)]
        distributed.all_gather(parts, told)
        return [part.cpu() for part in parts]

    def _speaks_on(self) -> torch.device:
        return self.device if self.device.type == "cuda" else torch.device("cpu")


def find_place(device: str | torch.device | None = None) -> Place:
    """This process's place: among those that torch.distributed, `accelerate launch` or `torchrun` started, if any.

    `device` None takes what accelerate finds: the process's own GPU, else the processor. Raises InputError for a device that
    there is not.
    """
    if device is None or (not distributed.is_initialized() and "LOCAL_RANK" in os.environ):
        from accelerate import PartialState  # starts the group of processes that a launcher promised

        plain = not torch.accelerator.is_available() if device is None else torch.device(device).type == "cpu"
        found = PartialState(cpu=plain).device
        device = found if device is None else device
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA says so with an assertion
        raise InputError(f"there is no device {str(device)!r} here: {error}", mend='give device="cpu"') from error
    several = distributed.is_available() and distributed.is_initialized()
    return Place(chosen, distributed.get_rank(), distributed.get_world_size()) if several else Place(chosen)


def usual_precision(device: torch.device) -> Precision:
    """bfloat16 where the device multiplies it natively, else float32."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and multiplies_bfloat16() else "float32"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """The context in which products are of `precision`; weights and gradients stay as they are."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bfloat16" else nullcontext()


def gathered(local: Tensor) -> Tensor:
    """The rows of all processes, (n, ...) -> (Σ n, ...), in their order; gradients find their way back.

    A row's gradient is the sum of what all processes say of it. Rows need not be as many everywhere. Alone, the tensor itself.
    """
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return local
    found: Tensor = _Gathered.apply(local)  # type: ignore[no-untyped-call]
    return found


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, local: Tensor) -> Tensor:
        world = distributed.get_world_size()
        counts = [torch.zeros((), dtype=torch.int64, device=local.device) for _ in range(world)]
        distributed.all_gather(counts, torch.tensor(len(local), device=local.device))
        lengths = [int(count) for count in counts]
        padded = local.new_zeros(max(lengths), *local.shape[1:])
        padded[: len(local)] = local
        parts = [torch.empty_like(padded) for _ in lengths]
        distributed.all_gather(parts, padded)
        context.lengths = lengths
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        distributed.all_reduce(gradient)
        return torch.split(gradient, context.lengths)[distributed.get_rank()]


def on(batch: Any, device: torch.device) -> Any:
    """The batch, its tensors on a device."""
    return _each(batch, lambda part: part.to(device) if hasattr(part, "to") else part)


def size(batch: Any, *, alike: bool = True) -> int:
    """How many examples it holds, as many in each part; if that need not be (`alike`), the first part tells.

    Raises DimensionMismatch where its parts differ, and for one of no parts.

    >>> size((torch.zeros(3, 2), {"labels": ["a", "b", "c"]})), size((torch.zeros(3), torch.zeros(7)), alike=False)
    (3, 3)
    """
    lengths: list[int] = []
    _each(batch, lambda part: None if _is_one(part) else lengths.append(len(part)))
    if not lengths or (alike and len(set(lengths)) > 1):
        raise DimensionMismatch(
            f"the parts of a batch hold {' and '.join(map(str, sorted(set(lengths)))) or 'no'} examples",
            mend="give each tensor of a batch one row for each example, such as (b, h, d) for h negatives of each",
        )
    return lengths[0]


def rows(batch: Any, start: int, stop: int) -> Any:
    """The examples from `start` on and before `stop`.

    >>> rows({"x": torch.arange(4), "texts": ["a", "b", "c", "d"]}, 1, 3)
    {'x': tensor([1, 2]), 'texts': ['b', 'c']}
    """
    return _each(batch, lambda part: part if _is_one(part) else part[start:stop])


def _each(batch: Any, change: Callable[[Any], Any]) -> Any:
    """The batch with each of its parts changed."""
    if isinstance(batch, Mapping):
        return {name: _each(part, change) for name, part in batch.items()}
    if isinstance(batch, tuple):
        parts = [_each(part, change) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else tuple(parts)
    if isinstance(batch, list) and batch and isinstance(batch[0], Tensor | Mapping):
        return [_each(part, change) for part in batch]
    return change(batch)


def _is_one(part: Any) -> bool:
    """Whether it belongs to the batch as a whole: a number, a name, nothing."""
    return isinstance(part, str) or not hasattr(part, "__len__") or (isinstance(part, Tensor) and part.ndim == 0)


def _buckets(tensors: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        bucket.append(tensor)
        if sum(each.numel() for each in bucket) >= _BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
