"""The objective of painting an image again from its vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vicino.encoders.images.network import Backbone
from vicino.learning.losses.regression import reconstruction
from vicino.training.images.objectives.base import Batch, Objective, Options
from vicino.training.rules import Rule, between, count

__all__ = ["Autoencoder"]

_MAP = 7  # pixels to a side of the first map, at most
_NARROWEST = 16  # channels
_AT_ONCE = 1024  # images


@dataclass(frozen=True, kw_only=True, repr=False)
class _Painted(Options):
    """Those of `Options`, and `width` and `noise`."""

    width: int = 64
    noise: float = 0.0

    rules: ClassVar[Mapping[str, Rule]] = {
        **Options.rules,
        "width": count(1, "give width=64"),
        "noise": between(0, 0.99, "give noise=0.3, a share of the pixels, or 0"),
    }


class Autoencoder(Objective):
    """A decoder of convolutions paints the image again from the backbone's vector, its code, as near as it can in mean squares.

    `width` is the number of channels of the decoder's first map; each next one is twice as large and half as wide. With `noise`,
    the share of pixels that are blackened before the backbone sees the image, it must also mend it (Vincent, Larochelle, Bengio
    and Manzagol 2008, "Extracting and composing robust features with denoising autoencoders").

    Hinton and Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks".
    """

    Options = _Painted
    backbone_name = "small(width=64,pooling=flat)"

    def __init__(self, backbone: Backbone, *, classes: int | None = None, recipe: Mapping[str, Any] | None = None) -> None:
        super().__init__(backbone, classes=classes, recipe=recipe)
        self.decoder = _decoder(backbone, self.options.width)

    def forward(self, batch: Batch) -> Tensor:
        """The mean squared error of pixels in 0..1."""
        target = self.options.seen(batch["pixels"])
        seen = target
        if self.options.noise:
            seen = target * (torch.rand_like(target[:, :1]) >= self.options.noise)
        return reconstruction(self._painted(self.backbone.normalised(seen)), target)

    @torch.no_grad()
    def reconstruct(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Images as they come back from their vectors, uint8 (n, h, w, c) -> the same shape."""
        was, device = self.training, next(self.parameters()).device
        self.eval()
        painted = [pixels[:0]]
        for start in range(0, len(pixels), _AT_ONCE):
            some = torch.from_numpy(np.array(pixels[start : start + _AT_ONCE])).permute(0, 3, 1, 2).to(device)
            found = self._painted(self.backbone.normalised(some)).mul(255).round().to(torch.uint8)
            painted.append(found.permute(0, 2, 3, 1).cpu().numpy())
        self.train(was)
        return np.concatenate(painted)

    def _painted(self, pixels: Tensor) -> Tensor:
        size = self.backbone.size
        return torch.sigmoid(self.decoder(self.backbone(pixels)).float())[:, :, :size, :size]


def _decoder(backbone: Backbone, width: int) -> nn.Sequential:
    """(b, dim) -> (b, channels, side, side), the side being the backbone's or a few pixels more."""
    doublings = max(1, -(-backbone.size // _MAP) - 1).bit_length()
    first = -(-backbone.size // 2**doublings)
    widths = [max(min(width, _NARROWEST), width >> place) for place in range(doublings)]
    layers: list[nn.Module] = [nn.Linear(backbone.dim, width * first**2), nn.Unflatten(1, (width, first, first))]
    for own, after in zip(widths, [*widths[1:], backbone.channels], strict=True):
        layers += [nn.BatchNorm2d(own), nn.ReLU(), nn.ConvTranspose2d(own, after, 4, 2, 1)]
    decoder = nn.Sequential(*layers)
    decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotations lack it
    return decoder
