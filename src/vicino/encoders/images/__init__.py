"""ImageEncoder: a network of images as an encoder.

`network` says what a backbone is and makes one, `borrowed` takes those of transformers, `augment` shows images as they might have
been too, and `module` takes any module of yours. None of them is imported before it is needed: torch is behind an extra.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, progress
from vicino.data.images import Images, Prepared, open_image, resized
from vicino.data.images.opening import Pixels
from vicino.data.records import Document
from vicino.encoders.base import Encoder, Role
from vicino.encoders.transformer import opening
from vicino.encoders.transformer.saving import check_files, save_stamped
from vicino.errors import ImageError, InputError, UnknownName

if TYPE_CHECKING:
    from vicino.encoders.images.network import Backbone

__all__ = ["ImageEncoder", "OfImages", "as_pixels", "is_network_of_images", "opened_backbone"]

_WEIGHTS = "model.safetensors"
_MOST_THREADS = 16
_AT_ONCE = 1024  # images that are decoded before the network sees them


class OfImages(Encoder):
    """What encoders of images share: which inputs are images, and how these become pixels.

    An item is what `vicino.data.images.open_image` takes: a path, bytes, a Pillow image, or an array (h, w) or (h, w, c). Many
    are a list of such, `Images`, `Prepared`, or an array (n, h, w) or (n, h, w, c).
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"image"})

    def _is_one(self, inputs: Any) -> bool:
        if isinstance(inputs, np.ndarray):
            return inputs.ndim == 2 or (inputs.ndim == 3 and inputs.shape[2] in (1, 3, 4))
        return isinstance(inputs, str | PathLike | bytes) or type(inputs).__module__.partition(".")[0] == "PIL"

    def _items(self, data: Iterable[Any]) -> list[Any]:
        if isinstance(data, Prepared):
            data = data.pixels
        return super()._items(data.sources if isinstance(data, Images) else data)

    def _item(self, row: int, item: Any) -> Any:
        if isinstance(item, Document):  # of a collection: its text is the path
            return item.text
        if isinstance(item, str | PathLike | bytes | np.ndarray) or type(item).__module__.partition(".")[0] == "PIL":
            return item
        raise InputError(
            f"item {row} is of type {type(item).__name__}; {type(self).__name__} accepts images",
            mend="give paths, bytes, Pillow images or arrays (h, w, c)",
        )


def as_pixels(items: Sequence[Any], size: int, channels: Literal[1, 3], *, crop: bool = True, first: int = 0) -> Pixels:
    """Items as (n, size, size, channels) uint8; files are decoded by several threads.

    Raises ImageError, which names the item by its row from `first` on.
    """

    def one(row: int) -> Pixels:
        try:
            return resized(open_image(items[row]), (size, size), channels, crop=crop)
        except ImageError as error:
            raise ImageError(f"item {first + row}: {error.what}", mend=error.mend) from error

    if all(isinstance(item, np.ndarray) and item.shape[:2] == (size, size) for item in items):  # nothing to wait for
        return np.stack([one(row) for row in range(len(items))])
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        return np.stack(list(pool.map(one, range(len(items)))))


def is_network_of_images(folder: Path) -> bool:
    """Whether a folder holds a network of transformers that reads images: its `config.json` says how many channels they have."""
    if (folder / "modules.json").is_file():  # of sentence-transformers
        return False
    try:
        return "num_channels" in json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return False


class ImageEncoder(OfImages):
    """A network that turns images into vectors: one that `vicino train images` made, or one that transformers has.

    `model` is a folder that vicino or transformers (`save_pretrained`, safetensors) wrote, or a hub name such as
    "microsoft/resnet-18" or "facebook/dinov2-small". The vector is what the network pools in the end; `layer` takes the mean over
    places of an earlier layer instead (`layers` names them). Images are brought to the side `size` (None: what the network was
    taught with), of which `crop` cuts off what is too long; without it they are squeezed. Grey and coloured ones become what the
    network reads.

    `precision` "bfloat16" is faster where the processor multiplies it, and rounds; it is no part of the space, nor is `device`
    ("auto", "cpu", "cuda", ...). Raises UnknownName, UnreadableSource, InputError and MissingExtra where it is opened, which is
    with the first question, and ImageError for an item that cannot be read.
    """

    family: ClassVar[str] = "image"
    pretrained: ClassVar[bool] = True

    _origin: Path | None = None  # the saved folder that this was loaded from
    _backbone: Backbone | None = None
    _width: int = 0

    def __init__(
        self,
        *,
        model: str = "",
        layer: str | None = None,
        size: int | None = None,
        crop: bool = True,
        precision: Literal["float32", "bfloat16"] = "float32",
        device: str = "auto",
    ) -> None:
        self.model = model
        self.layer = layer
        self.size = size
        self.crop = crop
        self.precision = precision
        self.device = device

    @classmethod
    def of_network(cls, backbone: Backbone, **params: Any) -> Self:
        """An encoder by a network that is there already, and from now on is for inference; `params` are the constructor's."""
        made = cls(**params)
        made._use(backbone)
        return made

    def set_params(self, **params: Any) -> Self:
        super().set_params(**params)
        self._backbone = None
        if "model" in params:
            self._origin = None
        return self

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the network's layers, first to last."""
        return self.network.layers

    @property
    def dim(self) -> int:
        """The width of a vector."""
        _ = self.network  # which tells
        return self._width

    @property
    def arithmetic(self) -> str:
        """What the network computes with."""
        return self.precision

    @property
    def network(self) -> Backbone:
        """The network itself, for inference."""
        if self._backbone is None:
            opening.require_torch()
            if not self.model and self._origin is None:
                raise InputError(
                    "an image encoder needs a model",
                    mend="give model=FOLDER or a hub name, or: vicino train images DATA --out m/",
                )
            self._use(opened_backbone(self._origin or self.model))
        return cast("Backbone", self._backbone)

    def save(self, path: str | PathLike[str], *, record: Mapping[str, Any] | None = None) -> Path:
        """Write a folder with the weights in safetensors, and the network described in JSON.

        Its `training.json` is the `record` of how it was made, if any.
        """
        from safetensors.torch import save_file

        network = self.network
        weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        data = {
            "encoder": self.family,
            "params": {**self.get_params(), "model": str(self.model)},
            "space": self.space.to_json(),
            "backbone": network.description(),
        }

        def write(target: Path) -> None:
            save_file(weights, target / _WEIGHTS)

        return save_stamped(path, "encoder", data, write, record)

    # What the contract asks of a family ---------------------------------------------------------------------------------

    def _fit(self, items: list[Any], y: Any, validation: Any) -> None:
        """Nothing: the network has learnt already."""

    def _encode(self, items: list[Any], role: Role, batch_size: int, output_value: str) -> NDArray[np.float32]:  # noqa: ARG002
        from vicino.encoders.images.network import vectors

        network = self.network
        found = np.empty((len(items), self.dim), dtype=np.float32)
        with progress.task("Encoding images", total=len(items), unit="images") as task:
            for start in range(0, len(items), _AT_ONCE):
                some = items[start : start + _AT_ONCE]
                channels = cast(Literal[1, 3], network.channels)
                pixels = as_pixels(some, network.size, channels, crop=self.crop, first=start)
                found[start : start + len(some)] = vectors(
                    network, pixels, layer=self.layer, batch_size=batch_size, precision=self.precision
                )
                task.advance(len(some))
        return found

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        network = self.network
        weights = {
            name: value.detach().cpu().numpy()
            for name, value in network.state_dict().items()
            if not name.endswith("num_batches_tracked")  # which says how it was taught, and changes no vector
        }
        return {"backbone": network.description(), "layer": self.layer, "crop": self.crop}, weights

    def _arrays(self) -> dict[str, Any]:
        return {}  # the weights stay in a file of their own

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002 - there are none
        check_files(folder, data["files"])
        self._origin = folder

    # The network --------------------------------------------------------------------------------------------------------

    def _use(self, backbone: Backbone) -> None:
        """Take a network, ready for inference, and look that it gives what is asked for."""
        from vicino.encoders.images.network import vectors

        if self.precision not in ("float32", "bfloat16"):
            raise UnknownName.among(str(self.precision), ("float32", "bfloat16"), kind="arithmetic precision")
        if self.layer is not None and self.layer not in backbone.layers:
            raise UnknownName.among(self.layer, backbone.layers, kind="layer")
        backbone = backbone.to(opening.pick_device(self.device)).eval().requires_grad_(False)
        was, backbone.size = backbone.size, self.size or backbone.size
        blank = np.zeros((1, backbone.size, backbone.size, backbone.channels), dtype=np.uint8)
        try:
            self._width = vectors(backbone, blank, layer=self.layer, precision=self.precision).shape[1]
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"the network was made for images of {was} pixels, and cannot read {self.size}: {error}", mend="leave size out"
            ) from error
        self._backbone = backbone


def opened_backbone(model: str | PathLike[str], **params: Any) -> Backbone:
    """The network in a folder that vicino saved, or by a name that `network.make_backbone` knows, with its `params`.

    Raises ArtifactError, ArtifactCorrupt, and what `make_backbone` raises.
    """
    from safetensors.torch import load_file

    from vicino.encoders.images.network import make_backbone, rebuilt

    folder = Path(model)
    if not (folder / artifacts.MANIFEST).is_file():
        return make_backbone(str(model), **params)
    saved = artifacts.read(folder, kind="encoder")
    if "backbone" not in saved.data:
        raise InputError(f"{folder} holds no network of images", mend="give a folder that vicino train images made")
    check_files(folder, saved.data["files"])
    network = rebuilt(saved.data["backbone"])
    network.load_state_dict(load_file(folder / _WEIGHTS))
    return network
