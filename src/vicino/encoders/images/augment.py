"""Images as they might have been too: cut out, mirrored, brighter, blurred, grey.

Each function takes pixels (b, c, h, w), float in 0..1, and gives as many of the same shape; each image has its own draw, from
torch's generator of the device, so that a training which goes on draws as it would have. `crop` and `blur` mix neighbouring
pixels; nothing leaves 0..1.

The strengths follow Chen et al. 2020, "A simple framework for contrastive learning of visual representations" (SimCLR), made
weaker where images are small.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["blur", "crop", "flip", "grey", "jitter", "shift"]

_LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue look (ITU-R BT.601)


def crop(
    pixels: Tensor, *, area: tuple[float, float] = (0.2, 1.0), ratio: tuple[float, float] = (0.75, 4 / 3), mirror: float = 0.0
) -> Tensor:
    """A random rectangle of each image, of a share of its `area` and a `ratio` of width to height, scaled to the whole size.

    `mirror` is the probability that it is mirrored from left to right as well, which then costs nothing more.
    """
    n, device = len(pixels), pixels.device
    share = _between(n, *area, device)
    shape = torch.exp(_between(n, math.log(ratio[0]), math.log(ratio[1]), device))
    wide, high = (share * shape).sqrt().clamp(max=1), (share / shape).sqrt().clamp(max=1)
    left, top = (_between(n, -1, 1, device) * (1 - side) for side in (wide, high))
    signs = 1 - 2 * (torch.rand(n, device=device) < mirror).float()
    nothing = torch.zeros_like(wide)
    matrix = torch.stack([wide * signs, nothing, left, nothing, high, top], dim=1).view(n, 2, 3)
    grid = functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid.to(pixels.dtype), padding_mode="border", align_corners=False)


def shift(pixels: Tensor, most: int = 2) -> Tensor:
    """Each image moved by up to `most` whole pixels each way; its edge is repeated where nothing was."""
    n, _, high, wide = pixels.shape
    moved = torch.randint(-most, most + 1, (2, n, 1), device=pixels.device)
    rows = (torch.arange(high, device=pixels.device) + moved[0]).clamp(0, high - 1)
    columns = (torch.arange(wide, device=pixels.device) + moved[1]).clamp(0, wide - 1)
    images = torch.arange(n, device=pixels.device)[:, None, None]
    found: Tensor = pixels.movedim(1, 3)[images, rows[:, :, None], columns[:, None, :]]
    return found.movedim(3, 1)


def flip(pixels: Tensor, share: float = 0.5) -> Tensor:
    """Images mirrored from left to right, each with this probability.

    >>> flip(torch.tensor([[[[0.0, 1.0]]]]), share=1.0)
    tensor([[[[1., 0.]]]])
    """
    return torch.where(_chosen(pixels, share), pixels.flip(3), pixels)


def jitter(
    pixels: Tensor, *, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, share: float = 0.8
) -> Tensor:
    """Brightness, contrast and, of images with colours, saturation changed by a factor from 1 - strength to 1 + strength.

    Each image is changed with the probability `share`.
    """
    changed = pixels * _factor(pixels, brightness)
    middle = changed.mean((1, 2, 3), keepdim=True)
    changed = middle + (changed - middle) * _factor(pixels, contrast)
    if pixels.shape[1] == 3:
        plain = _brightness(changed)
        changed = plain + (changed - plain) * _factor(pixels, saturation)
    return torch.where(_chosen(pixels, share), changed.clamp(0, 1), pixels)


def blur(pixels: Tensor, *, sigma: tuple[float, float] = (0.1, 1.0), share: float = 0.5) -> Tensor:
    """Images smoothed by a Gaussian whose standard deviation, in pixels, is drawn from `sigma`; each with this probability.

    The window reaches two of the largest standard deviations to each side; the image's edge is repeated beyond it.
    """
    n, _, high, wide = pixels.shape
    reach = max(1, min(math.ceil(2 * sigma[1]), high - 1, wide - 1))
    places = torch.arange(-reach, reach + 1, device=pixels.device)
    window = torch.exp(-0.5 * (places / _between(n, *sigma, pixels.device)[:, None]).square())  # (n, 2 * reach + 1)
    window = (window / window.sum(1, keepdim=True)).to(pixels.dtype)
    # A sum of shifted images is several times as fast on a processor as a convolution with a window of each image's own.
    smooth = functional.pad(pixels, (reach, reach, reach, reach), mode="replicate")
    smooth = _sum([smooth[:, :, place : place + high] for place in range(2 * reach + 1)], window)
    smooth = _sum([smooth[..., place : place + wide] for place in range(2 * reach + 1)], window)
    return torch.where(_chosen(pixels, share), smooth.clamp(0, 1), pixels)


def grey(pixels: Tensor, share: float = 0.2) -> Tensor:
    """Images without their colours, each with this probability; those of one channel stay as they are."""
    return torch.where(_chosen(pixels, share), _brightness(pixels), pixels) if pixels.shape[1] == 3 else pixels


def _brightness(pixels: Tensor) -> Tensor:
    """(b, 3, h, w) -> (b, 1, h, w)."""
    weights = torch.tensor(_LUMA, device=pixels.device, dtype=pixels.dtype).view(1, 3, 1, 1)
    return (pixels * weights).sum(1, keepdim=True)


def _chosen(pixels: Tensor, share: float) -> Tensor:
    """(b, 1, 1, 1) bool: which images."""
    return torch.rand(len(pixels), 1, 1, 1, device=pixels.device) < share


def _factor(pixels: Tensor, strength: float) -> Tensor:
    """(b, 1, 1, 1)."""
    return _between(len(pixels), max(0.0, 1 - strength), 1 + strength, pixels.device).view(-1, 1, 1, 1).to(pixels.dtype)


def _between(n: int, low: float, high: float, device: torch.device) -> Tensor:
    return low + (high - low) * torch.rand(n, device=device)


def _sum(images: list[Tensor], window: Tensor) -> Tensor:
    total = images[0] * window[:, :1, None, None]
    for place, image in enumerate(images[1:], start=1):
        total.addcmul_(image, window[:, place, None, None, None])
    return total
