"""Objectives of vision transformers that hide patches of an image: what is hidden must be told from what is seen."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from vicino.encoders.images.network import Backbone
from vicino.errors import InputError
from vicino.learning.large_batches import follow
from vicino.learning.losses.regression import reconstruction
from vicino.training.images.objectives.base import Batch, Objective, Options
from vicino.training.rules import Rule, between, count

__all__ = ["Data2Vec", "Masked"]

_SHORT = 128  # patches up to which plain attention is the faster one, in bfloat16 on a processor


@dataclass(frozen=True, kw_only=True, repr=False)
class _Hidden(Options):
    crop: float = 0.5
    mask_ratio: float = 0.75

    rules: ClassVar[Mapping[str, Rule]] = {
        **Options.rules,
        "mask_ratio": between(0.01, 0.99, "give mask_ratio=0.75, a share of the patches"),
    }


class _OfPatches(Objective):
    """An objective of patches, whose backbone must be a ViT of transformers, here taken apart."""

    backbone_name = "vit"

    def __init__(self, backbone: Backbone, *, classes: int | None = None, recipe: Mapping[str, Any] | None = None) -> None:
        from transformers.models.vit.modeling_vit import ViTModel

        super().__init__(backbone, classes=classes, recipe=recipe)
        if not isinstance(getattr(backbone, "network", None), ViTModel):
            raise InputError("only the patches of a vision transformer can be hidden", mend='give backbone="vit"')
        config: Any = self.vit.config
        self.side, self.dim = int(config.patch_size), int(config.hidden_size)
        self.number: int = self.vit.embeddings.patch_embeddings.num_patches
        self.seen = max(1, self.number - round(self.options.mask_ratio * self.number))
        if self.seen == self.number:
            raise InputError(f"of {self.number} patches none is hidden", mend="give smaller patches, or a larger mask_ratio=0.75")

    @property
    def vit(self) -> Any:
        """The backbone's transformer."""
        return self.backbone.network

    def forward(self, batch: Batch) -> Tensor:
        """The mean squared error of what is told of hidden patches."""
        pixels = self.view(batch["pixels"])
        seen, hidden = self._chosen(len(pixels), pixels.device)
        # The way back through torch's fused attention takes three times as long there (torch 2.13: 140 ms, and 43 ms).
        plain = pixels.device.type == "cpu" and self.number <= _SHORT
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            return self._error(pixels, seen, hidden)

    @abstractmethod
    def _error(self, pixels: Tensor, seen: Tensor, hidden: Tensor) -> Tensor:
        """Of normalised pixels, and what `_chosen` gives."""

    def _chosen(self, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Of each of n images: the patches that are seen, (n, seen), and whether a patch is hidden, (n, patches) bool."""
        seen = torch.rand(n, self.number, device=device).topk(self.seen).indices
        return seen, torch.ones(n, self.number, dtype=torch.bool, device=device).scatter_(1, seen, False)


def _placed(vit: Any, patches: Tensor) -> Tensor:
    """Patches (b, n, d) with their places."""
    placed: Tensor = patches + vit.embeddings.position_embeddings[:, 1:]
    return placed


def _blocks(vit: Any, patches: Tensor) -> list[Tensor]:
    """Patches with their places, all or some, (b, n, d) -> what each block makes of them, without the token before them."""
    from transformers.models.vit.modeling_vit import ViTLayer

    first = vit.embeddings.cls_token + vit.embeddings.position_embeddings[:, :1]
    tokens = torch.cat([first.expand(len(patches), -1, -1), patches], dim=1)
    found = []
    for module in vit.modules():
        if isinstance(module, ViTLayer):
            after = module(tokens)
            tokens = after[0] if isinstance(after, tuple) else after  # a tuple in transformers 4
            found.append(tokens[:, 1:])
    return found


@dataclass(frozen=True, kw_only=True, repr=False)
class _MaskedOptions(_Hidden):
    """Those of `Options`, and `mask_ratio`, `decoder_dim`, `decoder_depth`."""

    decoder_dim: int = 64
    decoder_depth: int = 1

    rules: ClassVar[Mapping[str, Rule]] = {
        **_Hidden.rules,
        "decoder_dim": (lambda n: count(16, "")[0](n) and n % 16 == 0, "give decoder_dim=64, a multiple of 16"),
        "decoder_depth": count(1, "give decoder_depth=1"),
    }


class Masked(_OfPatches):
    """A masked autoencoder: a share of the patches, `mask_ratio`, is hidden from the network, and a light decoder paints it.

    Patches that are hidden cost the network nothing. The decoder has `decoder_depth` blocks of `decoder_dim`; it paints each
    patch less its own mean, over its own deviation, and the error is that of the hidden ones.

    He, Chen, Xie, Li, Dollár and Girshick 2022, "Masked autoencoders are scalable vision learners".
    """

    Options = _MaskedOptions

    def __init__(self, backbone: Backbone, *, classes: int | None = None, recipe: Mapping[str, Any] | None = None) -> None:
        super().__init__(backbone, classes=classes, recipe=recipe)
        width = self.options.decoder_dim
        self.narrow = nn.Linear(self.dim, width)
        self.blank = nn.Parameter(torch.randn(width) * 0.02)
        self.places = nn.Parameter(torch.randn(self.number, width) * 0.02)
        self.decoder = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, width // 16, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
                )
                for _ in range(self.options.decoder_depth)
            ),
            nn.LayerNorm(width),
            nn.Linear(width, backbone.channels * self.side**2),
        )

    def _error(self, pixels: Tensor, seen: Tensor, hidden: Tensor) -> Tensor:
        target = functional.unfold(pixels, self.side, stride=self.side).transpose(1, 2)
        target = functional.layer_norm(target, target.shape[-1:], eps=1e-6)
        patches = _placed(self.vit, self.vit.embeddings.patch_embeddings(pixels))
        patches = patches.gather(1, seen[:, :, None].expand(-1, -1, self.dim))
        told = self.narrow(self.vit.layernorm(_blocks(self.vit, patches)[-1]))
        every = self.blank.to(told.dtype).expand(len(pixels), self.number, -1)
        every = every.scatter(1, seen[:, :, None].expand(-1, -1, told.shape[-1]), told)
        return reconstruction(self.decoder(every + self.places).float(), target, hidden)


@dataclass(frozen=True, kw_only=True, repr=False)
class _Latent(_Hidden):
    """Those of `Options`, and `mask_ratio`, `top_k` and `momentum`."""

    mask_ratio: float = 0.6
    top_k: int = 3
    momentum: float = 0.996

    rules: ClassVar[Mapping[str, Rule]] = {
        **_Hidden.rules,
        "top_k": count(1, "give top_k=3, a number of blocks"),
        "momentum": between(0, 1, "give momentum=0.996"),
    }


class Data2Vec(_OfPatches):
    """The network tells of hidden patches what a slow copy that sees all of them makes of these; `mask_ratio` is their share.

    What the copy makes is the mean of its last `top_k` blocks, each normalised; it follows with `momentum` at each step.

    Baevski, Hsu, Xu, Babu, Gu and Auli 2022, "data2vec: A general framework for self-supervised learning".
    """

    Options = _Latent

    def __init__(self, backbone: Backbone, *, classes: int | None = None, recipe: Mapping[str, Any] | None = None) -> None:
        super().__init__(backbone, classes=classes, recipe=recipe)
        self.slow = copy.deepcopy(self.vit).requires_grad_(False)
        self.blank = nn.Parameter(torch.randn(self.dim) * 0.02)
        self.head = nn.Linear(self.dim, self.dim)

    def train(self, mode: bool = True) -> Self:
        """Set all but the slow copy to training."""
        super().train(mode)
        self.slow.eval()
        return self

    def _error(self, pixels: Tensor, seen: Tensor, hidden: Tensor) -> Tensor:  # noqa: ARG002 - blanks stand for the others
        with torch.no_grad():
            follow(self.slow, self.vit, momentum=self.options.momentum)
            every = _blocks(self.slow, _placed(self.slow, self.slow.embeddings.patch_embeddings(pixels)))[-self.options.top_k :]
            target = torch.stack([functional.layer_norm(each.float(), each.shape[-1:]) for each in every]).mean(0)
        patches = self.vit.embeddings.patch_embeddings(pixels)
        patches = torch.where(hidden[:, :, None], self.blank.to(patches.dtype), patches)
        told = self.head(self.vit.layernorm(_blocks(self.vit, _placed(self.vit, patches))[-1]))
        return reconstruction(told.float(), target, hidden)
