"""Networks that read images: one contract, a small one of our own for plain processors, and those of transformers.

A backbone takes pixels that were normalised and gives a vector an image; on the way it shows named layers. `make_backbone` makes
one anew; what it was made by is `description`, from which `rebuilt` makes it again, and its weights are tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vicino.errors import DimensionMismatch, InputError, UnknownName
from vicino.learning.devices import Precision, autocast

__all__ = ["FRESH", "Backbone", "Small", "make_backbone", "pooled", "rebuilt", "vectors"]

FRESH = ("small", "resnet", "convnext", "vit")  # what is made without a model from elsewhere

_SMALLEST = 8  # pixels
_MAP = 4  # pixels to a side that the last layer of `Small` looks at, about
_NARROWEST = 16  # channels


class Backbone(nn.Module, ABC):
    """A network from pixels to vectors.

    `size` is the side of the square image that it reads, `channels` 1 or 3, `mean` and `std` what pixels in 0..1 are normalised
    by, a number a channel; `dim` is the width of a vector; `layers` names what `features` gives, first to last.
    """

    dim: int
    layers: tuple[str, ...]

    def __init__(
        self, *, size: int, channels: int, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if type(size) is not int or size < _SMALLEST:
            raise InputError(f"images of {size!r} pixels cannot be", mend=f"give the side of a square, {_SMALLEST} or more")
        if channels not in (1, 3):
            raise InputError(f"images of {channels!r} channels cannot be", mend="give channels=1 (grey) or channels=3 (RGB)")
        self.size, self.channels = size, channels
        self.mean = tuple(map(float, mean or (0.5,) * channels))
        self.std = tuple(map(float, std or (0.25,) * channels))
        if not len(self.mean) == len(self.std) == channels or min(self.std) <= 0:
            raise DimensionMismatch(
                f"mean={self.mean} and std={self.std} do not fit {channels} channels", mend="give one number a channel, std > 0"
            )

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (b, c, h, w) -> vectors (b, dim)."""
        return pooled(self.features(pixels)[self.layers[-1]])

    @abstractmethod
    def features(self, pixels: Tensor) -> dict[str, Tensor]:
        """Normalised pixels (b, c, h, w) -> what each layer gives, by name: maps (b, c', h', w') or tokens (b, n, d)."""

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels (b, c, h, w), bytes or float in 0..1 -> what the network reads."""
        if pixels.dtype == torch.uint8:
            pixels = pixels.float() / 255
        mean, std = (torch.tensor(each, device=pixels.device).view(1, -1, 1, 1) for each in (self.mean, self.std))
        return (pixels - mean) / std

    def description(self) -> dict[str, Any]:
        """Plain data from which `rebuilt` makes the same network, with weights of its own."""
        return {
            "size": self.size,
            "channels": self.channels,
            "mean": list(self.mean),
            "std": list(self.std),
            **self._description(),
        }

    @abstractmethod
    def _description(self) -> dict[str, Any]:
        """The `name` and what else makes this kind of network."""


def pooled(found: Tensor) -> Tensor:
    """A map (b, c, h, w), or tokens (b, n, d), or vectors (b, d) -> vectors (b, d): the mean over places.

    >>> pooled(torch.tensor([[[[1.0, 3.0]]]]))
    tensor([[2.]])
    """
    return found.mean((2, 3)) if found.ndim == 4 else found.mean(1) if found.ndim == 3 else found


def vectors(
    network: Backbone,
    pixels: NDArray[np.uint8],
    *,
    layer: str | None = None,
    batch_size: int = 128,
    precision: Precision = "float32",
) -> NDArray[np.float32]:
    """Images (n, h, w, c), as bytes -> (n, d), without gradients, as the network is: in its end, or the mean over a `layer`.

    >>> vectors(Small(size=8, channels=1).eval(), np.zeros((3, 8, 8, 1), dtype=np.uint8)).shape
    (3, 128)
    """
    device = next(network.parameters()).device
    found = []
    with torch.inference_mode(), autocast(device, precision):
        for start in range(0, len(pixels), batch_size):
            batch = torch.from_numpy(pixels[start : start + batch_size]).to(device).permute(0, 3, 1, 2)
            ready = network.normalised(batch)
            own = network(ready) if layer is None else pooled(network.features(ready)[layer])
            found.append(own.float().cpu().numpy())
    return np.concatenate(found)


class Small(Backbone):
    """A convolutional network for plain processors: stages that halve the image, each a convolution and a residual one.

    Stages go on until about 4 pixels to a side are left, and each has twice the channels of the one before, up to `width`. The
    vector is the mean over the places of the last map, (width,), or with `pooling` "flat" all of its places side by side,
    normalised: longer, and it tells where in the picture something is, which images that are centred (digits, faces, products)
    are known by. Batch normalisation (Ioffe and Szegedy 2015) and residuals (He et al. 2016) make it learn within few steps. At
    28 x 28 it has 288,000 weights.

    >>> Small(size=28, channels=1).layers, Small(size=64, channels=3, width=64).dim
    (('stage1', 'stage2', 'stage3'), 64)
    >>> Small(size=28, channels=1, width=64, pooling="flat").dim
    1024
    """

    def __init__(self, *, size: int, channels: int, width: int = 128, pooling: str = "mean", **pixels: Any) -> None:
        super().__init__(size=size, channels=channels, **pixels)
        if type(width) is not int or width < _NARROWEST:
            raise InputError(f"width={width!r} cannot be", mend=f"give width=128, {_NARROWEST} or more")
        count = max(1, (size - 1).bit_length() - (_MAP - 1).bit_length())
        widths = [max(_NARROWEST, width >> (count - 1 - stage)) for stage in range(count)]
        self.stages = nn.ModuleList(_Stage(was, own) for was, own in zip([channels, *widths], widths, strict=False))
        self.layers = tuple(f"stage{number}" for number in range(1, count + 1))
        if pooling not in ("mean", "flat"):
            raise UnknownName.among(str(pooling), ("mean", "flat"), kind="pooling")
        self.width, self.pooling = width, pooling
        side = size
        for _ in range(count):
            side = (side + 1) // 2
        self.dim = width if pooling == "mean" else width * side * side
        self.flat = nn.BatchNorm1d(self.dim) if pooling == "flat" else None
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a processor

    def features(self, pixels: Tensor) -> dict[str, Tensor]:
        found = {}
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        for name, stage in zip(self.layers, self.stages, strict=True):
            found[name] = pixels = stage(pixels)
        return found

    def forward(self, pixels: Tensor) -> Tensor:
        if self.flat is None:
            return super().forward(pixels)
        last = self.features(pixels)[self.layers[-1]]
        if last.shape[2:].numel() * self.width != self.dim:
            raise DimensionMismatch(f"pixels of shape {tuple(pixels.shape)}", mend=f"give images of {self.size} pixels to a side")
        found: Tensor = self.flat(last.flatten(1))
        return found

    def _description(self) -> dict[str, Any]:
        return {"name": "small", "width": self.width, "pooling": self.pooling}


class _Stage(nn.Module):
    """(b, c, h, w) -> (b, c', h/2, w/2)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.narrow, self.deepen = _convolution(channels, width, stride=2), _convolution(width, width)

    def forward(self, pixels: Tensor) -> Tensor:
        pixels = self.narrow(pixels)
        found: Tensor = pixels + self.deepen(pixels)
        return found


def _convolution(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def make_backbone(name: str, *, size: int | None = None, channels: int | None = None, **config: Any) -> Backbone:
    """A backbone by name: "small", or "resnet", "convnext" and "vit" of transformers, all with fresh weights from torch's
    generator; or one that is pretrained, by a folder that transformers saved or a hub name.

    `size` (28) and `channels` (3) are those of the images that it will read; what is pretrained knows its own size and mostly
    has 3 channels. `config` are `mean` and `std`, and the parameters of the kind: `width` of "small", those of transformers'
    configuration (such as hidden_size=128), and for networks of tokens `pooling` ("mean" or "cls").

    Raises InputError, UnknownName, UnreadableSource (a pretrained one that cannot be opened) and MissingExtra.
    """
    if name == "small":
        known = ("width", "pooling", "mean", "std")
        for key in config:
            if key not in known:
                raise UnknownName.among(key, known, kind="parameter of the backbone small")
        return Small(size=_or(size, 28), channels=_or(channels, 3), **config)
    from vicino.encoders.images import borrowed

    if name in borrowed.KINDS:
        return borrowed.fresh(name, size=_or(size, 28), channels=_or(channels, 3), **config)
    return borrowed.pretrained(name, size=size, channels=channels, **config)


def rebuilt(description: Mapping[str, Any]) -> Backbone:
    """The network that a `description` is of, with fresh weights. Raises what `make_backbone` raises."""
    plain = dict(description)
    if plain["name"] == "small":
        return make_backbone(**plain)
    from vicino.encoders.images import borrowed

    return borrowed.rebuilt(plain)


def _or(value: int | None, usual: int) -> int:
    return usual if value is None else value
