"""Networks of images that transformers has: made anew from a configuration, or opened with what they have learnt.

Only safetensors are opened, and no code of a model is ever run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from vicino.encoders.images.network import Backbone, pooled
from vicino.encoders.transformer import opening
from vicino.encoders.transformer.modules import read_json
from vicino.encoders.transformer.sources import find
from vicino.errors import InputError, UnknownName, UnreadableSource

__all__ = ["KINDS", "Borrowed", "fresh", "pretrained", "rebuilt"]

Pooling = Literal["mean", "cls"]

# What is made where nothing else is said: sizes that a processor trains, each named as in its paper's family.
KINDS: dict[str, dict[str, Any]] = {
    "resnet": {"layer_type": "basic", "hidden_sizes": (64, 128, 256, 512), "depths": (2, 2, 2, 2)},  # ResNet-18
    "convnext": {"hidden_sizes": (40, 80, 160, 320), "depths": (2, 2, 6, 2)},  # ConvNeXt atto
    "vit": {"hidden_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 512},
}
_HEARSAY = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "id2label", "label2id")
_PREPROCESSING = "preprocessor_config.json"


class Borrowed(Backbone):
    """A network of transformers as a backbone: `network`, whose layers are its stages (maps) or its blocks (tokens).

    Its vector is what the network itself pools; where that is nothing, or a layer that only its pretraining used, the mean of
    the tokens of patches (`pooling` "mean"), or the first token ("cls").
    """

    def __init__(self, network: nn.Module, *, pooling: Pooling = "mean", **pixels: Any) -> None:
        super().__init__(**pixels)
        if pooling not in ("mean", "cls"):
            raise UnknownName.among(str(pooling), ("mean", "cls"), kind="pooling")
        self.network, self.pooling = network, pooling
        config: Any = network.config
        if any(isinstance(part, nn.Linear) for part in _parts(getattr(network, "pooler", None))):
            network.pooler = None  # type: ignore[assignment]  # learnt for a task that is over, if at all
        self.first = 1 + int(getattr(config, "num_register_tokens", None) or 0)  # token of a patch
        with torch.no_grad():
            was, blank = network.training, torch.zeros(1, self.channels, self.size, self.size)
            found = self.eval().features(blank)
            self.layers = tuple(found)
            self.dim = self(blank).shape[1]
            self.train(was)

    def forward(self, pixels: Tensor) -> Tensor:
        return self._vector(self.network(pixels))

    def features(self, pixels: Tensor) -> dict[str, Tensor]:
        found = self.network(pixels, output_hidden_states=True)
        states = list(found.hidden_states)
        states[-1] = found.last_hidden_state  # after the last norm, where there is one
        return {f"stage{number}" if number else "stem": state for number, state in enumerate(states)}

    def _vector(self, found: Any) -> Tensor:
        vector: Tensor | None = getattr(found, "pooler_output", None)
        if vector is not None:
            return vector.flatten(1)
        tokens: Tensor = found.last_hidden_state
        if tokens.ndim == 4:
            return pooled(tokens)
        return tokens[:, 0] if self.pooling == "cls" else tokens[:, self.first :].mean(1)

    def _description(self) -> dict[str, Any]:
        config: Any = self.network.config
        plain = {name: value for name, value in config.to_dict().items() if name not in _HEARSAY}
        return {"name": "transformers", "pooling": self.pooling, "config": plain}


def _parts(module: Any) -> Sequence[nn.Module]:
    return list(module.modules()) if isinstance(module, nn.Module) else []


def fresh(
    name: str,
    *,
    size: int,
    channels: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    pooling: Pooling = "mean",
    **config: Any,
) -> Borrowed:
    """One of `KINDS` with fresh weights. Raises UnknownName for a parameter that its configuration lacks, InputError."""
    opening.require_torch()
    from transformers import AutoConfig

    known = [field.name for field in dataclasses.fields(type(AutoConfig.for_model(name)))]
    for key in config:
        if key not in known:
            raise UnknownName.among(key, known, kind=f"parameter of the backbone {name}")
    patch = {} if name == "resnet" else {"patch_size": _patch(name, size)}
    sized = {"image_size": size} if name == "vit" else {}
    chosen = {**KINDS[name], **patch, **sized, "num_channels": channels, **config}
    if name == "vit" and size % chosen["patch_size"]:
        raise InputError(
            f"patches of {chosen['patch_size']} pixels do not fit images of {size}", mend="give a patch_size that divides size"
        )
    return Borrowed(_made(name, chosen), pooling=pooling, size=size, channels=channels, mean=mean, std=std)


def rebuilt(description: Mapping[str, Any]) -> Borrowed:
    """The network that a description is of, with fresh weights."""
    plain = dict(description)
    config = dict(plain.pop("config"))
    plain.pop("name")
    return Borrowed(_made(config.pop("model_type"), config), **plain)


def pretrained(
    name: str,
    *,
    size: int | None = None,
    channels: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    pooling: Pooling = "cls",
) -> Borrowed:
    """A network from a folder that transformers saved, or a hub name, with the size and normalisation that it was taught with.

    Raises UnknownName, UnreadableSource, InputError (a model of something else than images, or of another number of channels).
    """
    opening.require_torch()
    from transformers import AutoConfig, AutoModel

    folder = _read(find(name, read=_read))
    where = {"local_files_only": True, "trust_remote_code": False}
    with opening.quiet(), opening.explained(cast(Any, folder)):
        config = AutoConfig.from_pretrained(str(folder.body), **where)
        if getattr(config, "num_channels", None) is None:
            raise UnreadableSource(
                f"{name} is a {config.model_type}, which does not read images alone", mend="choose such as ViT, ResNet, DINOv2"
            )
        network, report = AutoModel.from_pretrained(
            str(folder.body), config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **where
        )
    opening.require_weights(cast(Any, folder), report, lambda weight: "pooler" in weight)
    if channels not in (None, config.num_channels):
        raise InputError(f"{name} reads {config.num_channels} channels, not {channels}", mend="leave channels out")
    told = folder.preprocessing
    return Borrowed(
        network,
        pooling=pooling,
        size=size or _size(told, getattr(config, "image_size", None)),
        channels=config.num_channels,
        mean=mean or told.get("image_mean"),
        std=std or told.get("image_std"),
    )


@dataclass(frozen=True)
class _Folder:
    """What a folder of transformers holds: `body` is where its config.json is."""

    body: Path
    preprocessing: Mapping[str, Any]
    weights: tuple[Path, ...]


def _read(path: Path) -> _Folder:
    """Raises UnreadableSource where there is no network."""
    weights = tuple(sorted(path.glob("*.safetensors")))
    if not (path / "config.json").is_file() or not weights:
        raise UnreadableSource(
            f"{path} holds no network in safetensors", mend="give a folder that vicino or transformers (save_pretrained) saved"
        )
    settings = path / _PREPROCESSING
    return _Folder(path, read_json(settings) if settings.is_file() else {}, weights)


def _made(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """A network with fresh weights."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, AutoModel

    try:
        with opening.quiet():
            family: Any = AutoModel
            network: nn.Module = family.from_config(AutoConfig.for_model(kind, **config))
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise InputError(f"there is no such {kind}: {error}", mend="see what transformers' configuration takes") from error
    return network


def _patch(name: str, size: int) -> int:
    """The side of a patch: of "convnext" 4, or 2 where images are small; of "vit" so that about 7 fit to a side."""
    if name == "convnext":
        return 4 if size >= 112 else 2
    return min((side for side in range(1, size + 1) if size % side == 0), key=lambda side: abs(size / side - 7))


def _size(told: Mapping[str, Any], known: Any) -> int:
    """The side of the square that a preprocessing ends with; what the configuration knows, and else 224."""
    for found in (told.get("crop_size") if told.get("do_center_crop") else None, told.get("size"), known):
        if isinstance(found, Mapping):
            found = found.get("height") or found.get("shortest_edge")
        side = found[0] if isinstance(found, list | tuple) and found else found
        if isinstance(side, int) and side > 0:
            return side
    return 224
