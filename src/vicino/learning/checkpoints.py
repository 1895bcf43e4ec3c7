"""What a training needs to go on as if nothing had happened: weights, moments, random states, and what has been so far.

A run has a folder, and a checkpoint is a numbered artefact in it (`vicino.artifacts`: JSON and safetensors, checksums, never
pickle), which appears whole or not at all. The last two are kept: where the newest is damaged, the one before is taken.
"""

from __future__ import annotations

import json
import logging
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vicino import artifacts
from vicino.errors import ArtifactCorrupt, ArtifactError, InputError

__all__ = [
    "Checkpoints",
    "as_arrays",
    "as_tensors",
    "moments",
    "plain",
    "put_back",
    "random_states",
    "seeded",
    "set_moments",
    "set_random_states",
    "tensors",
]

logger = logging.getLogger(__name__)

T = TypeVar("T")
Arrays = dict[str, NDArray[Any]]

_KIND = "checkpoint"
_NAME = re.compile(r"checkpoint-(\d{6,})")
_KEPT = 2
_NUMPYS = "MT19937"  # the global generator of numpy, unless somebody gave it another
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's


@dataclass
class Checkpoints:
    """The checkpoints in `folder` of the run that `identity` (plain data, by name) describes."""

    folder: Path
    identity: Mapping[str, Any]
    damaged: set[int] = field(default_factory=set)  # those that `load` passed over

    def save(self, data: Mapping[str, Any], arrays: Arrays) -> None:
        """Write one more, and remove what is older than the last two. Raises ArtifactError; the others are then intact."""
        number = max(self._numbers(), default=0) + 1
        artifacts.write(self._path(number), kind=_KIND, data={"identity": dict(self.identity), **data}, arrays=arrays)
        numbers = self._numbers()
        for other in set(numbers) - set(sorted(set(numbers) - self.damaged)[-_KEPT:]):
            shutil.rmtree(self._path(other), ignore_errors=True)
        for half in self.folder.glob(".checkpoint-*"):  # what a kill left of one that was being written
            shutil.rmtree(half, ignore_errors=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block in which nobody else may train in this folder, which is made. Raises ArtifactError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = self.folder / ".lock"
            lock.touch()
        except OSError as error:
            raise ArtifactError(f"cannot write {self.folder}: {error}", mend="choose a folder that you may write to") from error
        with artifacts.locked(lock, wait=False) as ours:
            if not ours:
                raise ArtifactError(f"another process trains in {self.folder}", mend="wait for it, or choose another folder")
            yield

    def load(self, opened: Callable[[Mapping[str, Any], Arrays], T]) -> T | None:
        """The newest that is whole, as `opened(data, arrays)` makes it; None where there is none yet.

        `opened` raises KeyError, TypeError or ValueError for contents that cannot be. Raises ArtifactError for checkpoints of
        another run, and ArtifactCorrupt where all are damaged.
        """
        damage: ArtifactCorrupt | None = None
        for number in sorted(self._numbers(), reverse=True):
            try:
                return self._opened(number, opened)
            except ArtifactCorrupt as error:
                logger.warning("%s; the checkpoint before it is tried", error.what)
                damage = damage or error
                self.damaged.add(number)
        if damage is not None:
            raise ArtifactCorrupt(damage.what, mend=f"remove {self.folder} and begin anew: no checkpoint in it is whole")
        return None

    def _opened(self, number: int, opened: Callable[[Mapping[str, Any], Arrays], T]) -> T:
        artifact = artifacts.read(self._path(number), kind=_KIND)
        try:
            differences = _differences(artifact.data["identity"], self.identity)
            if not differences:
                return opened(artifact.data, dict(artifact.arrays))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ArtifactCorrupt(f"{artifact.path} is damaged: {error!r}", mend="remove it") from error
        raise ArtifactError(
            f"{self.folder} holds a checkpoint of another run: {'; '.join(differences)}",
            mend="give what that run was given to go on with it, or another folder, or remove this one, to begin anew",
        )

    def _numbers(self) -> list[int]:
        try:
            names = [_NAME.fullmatch(path.name) for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ArtifactError(f"{self.folder} cannot be read: {error}", mend="give a folder for checkpoints") from error
        return [int(name[1]) for name in names if name]

    def _path(self, number: int) -> Path:
        return self.folder / f"checkpoint-{number:06d}"


def plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The same as JSON reads it again. Raises InputError for what JSON cannot hold."""
    try:
        kept: dict[str, Any] = json.loads(json.dumps(dict(identity), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"a fingerprint must be plain data: {error}", mend="give texts, numbers, lists and dicts") from error
    return kept


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, in words; five at most.

    >>> _differences({"epochs": 1, "seed": 0}, {"epochs": 2, "seed": 0})
    ['epochs was 1 and is 2']
    """
    told = []
    for name in [*now, *(name for name in then if name not in now)]:
        was, is_ = then.get(name), now.get(name)
        if was == is_:
            continue
        if isinstance(was, Mapping) and isinstance(is_, Mapping):
            told += [f"{name} {inner}" for inner in _differences(was, is_)]
        else:
            told.append(f"{name} was {was!r} and is {is_!r}")
    return told[:5]


# Tensors --------------------------------------------------------------------------------------------------------------


def tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    """All that a network's function rests on: parameters, trained or not (a momentum encoder's change too), and buffers.

    Tied weights come once; buffers that the network makes anew come not at all.
    """
    saved = model.state_dict()
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in saved}
    return {**dict(model.named_parameters()), **buffers}


def put_back(model: torch.nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Overwrite what `tensors` gives, in place: tied weights stay tied."""
    with torch.no_grad():
        for name, tensor in tensors(model).items():
            tensor.copy_(kept[name])


def as_arrays(prefix: str, values: Mapping[str, Tensor]) -> Arrays:
    """Tensors as arrays of the same bits; bfloat16, which numpy lacks, as int16."""
    return {f"{prefix}/{name}": _bits(value.detach().cpu()).numpy() for name, value in values.items()}


def as_tensors(prefix: str, like: Mapping[str, Tensor], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """What `as_arrays` wrote, for the names, shapes and types of `like`. Raises KeyError, ValueError."""
    found = {}
    for name, wanted in like.items():
        bits = torch.from_numpy(arrays[f"{prefix}/{name}"])
        if bits.shape != wanted.shape or bits.dtype != _bits(wanted.detach()[..., :0] if wanted.ndim else wanted).dtype:
            raise ValueError(f"{prefix}/{name} has shape {tuple(bits.shape)} and type {bits.dtype}")
        found[name] = bits.view(wanted.dtype)
    extra = sum(name.startswith(f"{prefix}/") for name in arrays) - len(found)
    if extra:
        raise ValueError(f"{extra} tensors more of {prefix} than the model has")
    return found


def _bits(value: Tensor) -> Tensor:
    odd = value.is_floating_point() and value.dtype not in (torch.float64, torch.float32, torch.float16)
    return value.detach().view(torch.int16 if value.element_size() == 2 else torch.uint8) if odd else value.detach()


def moments(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> Arrays:
    """The state of AdamW, by the names of parameters; those without a gradient so far have none."""
    found: Arrays = {}
    for name, parameter in parameters.items():
        if optimizer.state[parameter]:
            found |= as_arrays(f"optimizer/{name}", {key: optimizer.state[parameter][key] for key in _MOMENTS})
    return found


def set_moments(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Give AdamW back what `moments` took. Raises KeyError, ValueError, with the optimizer unchanged."""
    numbers = [name for group in optimizer.param_groups for name in _names(group["params"], parameters)]
    state = {}
    for number, name in enumerate(numbers):
        if f"optimizer/{name}/step" in arrays:
            like = {"step": torch.zeros(()), "exp_avg": parameters[name], "exp_avg_sq": parameters[name]}
            read = as_tensors(f"optimizer/{name}", like, arrays)
            # AdamW, fused, goes through memory as it lies: moments must lie as their parameter does (channels_last).
            state[number] = {key: torch.empty_like(like[key], device="cpu").copy_(value) for key, value in read.items()}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _names(group: list[Tensor], parameters: Mapping[str, Tensor]) -> list[str]:
    by_identity = {id(parameter): name for name, parameter in parameters.items()}
    return [by_identity[id(parameter)] for parameter in group]


# Chance ---------------------------------------------------------------------------------------------------------------


def random_states(model: torch.nn.Module, device: torch.device) -> Arrays:
    """The states of all generators that a step may draw from: torch's, the GPU's, numpy's, Python's, and the model's own."""
    version, inner, gauss = random.getstate()
    found = {
        "torch": torch.get_rng_state().numpy(),
        "python": np.array([version, *inner], dtype=np.int64),
        "python.gauss": np.array(np.nan if gauss is None else gauss),
    }
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - it is others who draw from it
    if legacy["bit_generator"] == _NUMPYS:
        found["numpy"] = np.array([legacy["state"]["pos"], legacy["has_gauss"], *legacy["state"]["key"]], dtype=np.int64)
        found["numpy.gauss"] = np.array(float(legacy["gauss"]))
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device).numpy()
    return found | {name: generator.get_state().numpy() for name, generator in _generators(model)}


def set_random_states(model: torch.nn.Module, device: torch.device, states: Mapping[str, NDArray[Any]]) -> None:
    """Put back what `random_states` found. Raises KeyError, TypeError, ValueError for states that cannot be."""
    version, *inner = (int(number) for number in states["python"])
    gauss = float(states["python.gauss"])
    try:
        torch.set_rng_state(torch.from_numpy(states["torch"]))
        if device.type == "cuda":
            torch.cuda.set_rng_state(torch.from_numpy(states["cuda"]), device)
        for name, generator in _generators(model):
            generator.set_state(torch.from_numpy(states[name]))
    except RuntimeError as error:
        raise ValueError(f"a random state cannot be: {error}") from error
    random.setstate((version, tuple(inner), None if np.isnan(gauss) else gauss))
    if np.random.get_state(legacy=False)["bit_generator"] == _NUMPYS:  # noqa: NPY002
        position, has_gauss, *keys = (int(number) for number in states["numpy"])
        inside = {"key": np.array(keys, dtype=np.uint32), "pos": position}
        np.random.set_state(  # noqa: NPY002
            {"bit_generator": _NUMPYS, "state": inside, "has_gauss": has_gauss, "gauss": float(states["numpy.gauss"])}
        )


@contextmanager
def seeded(model: torch.nn.Module, device: torch.device, seed: int | None = None) -> Iterator[None]:
    """A block that begins with all generators seeded, or as they are, and after which they are as they were."""
    before = random_states(model, device)
    if seed is not None:
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        set_random_states(model, device, before)


def _generators(model: torch.nn.Module) -> Iterator[tuple[str, torch.Generator]]:
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Generator):
                yield f"generator.{path}.{name}", value
