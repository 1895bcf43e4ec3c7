"""Any module of torch as an encoder of images: yours, with your preprocessing and without its head."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable as Function
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.data.images import open_image
from vicino.data.images.opening import Pixels
from vicino.encoders.base import Role
from vicino.encoders.images import OfImages
from vicino.encoders.transformer import opening
from vicino.encoders.transformer.saving import check_files, save_stamped
from vicino.encoders.trust import require_trusted
from vicino.encoders.wrapped import resolved
from vicino.errors import ArtifactCorrupt, DimensionMismatch, ImageError, InputError, InvalidVectors, UnknownName

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ModuleEncoder"]

_WEIGHTS = "model.safetensors"
_PROBES = ((64, 3), (64, 1), (224, 3), (224, 1), (32, 3), (32, 1), (28, 1))  # sides and channels that modules read

Factory = Function[[], Any]  # a torch.nn.Module
Preprocess = Function[[Pixels], Any]


class ModuleEncoder(OfImages):
    """A torch module of yours, from a batch of images to vectors.

    `module` is the module, or "package.module:factory", a function that makes it without arguments. `preprocess`
    is a function, or the name of one, from an image (h, w, c) uint8 to a tensor or array (c, h', w'), as the module reads it;
    None hands on pixels in 0..1, (c, h, w). `layer` names a submodule (as `named_modules` does), whose output is taken instead
    of the module's: so the head of a classifier is left out. Maps (b, c, h, w) and tokens (b, n, d) become their mean.

    **The space** names the weights, the source code of module, factory and preprocessing, and the layer. Code that these call is
    not looked at.

    **Saving** keeps the weights in safetensors, and names, never code: a module that no factory made and preprocessing without a
    name cannot be saved. Opening runs the named functions, and so it is refused (InputError) unless this process used them
    before, or VICINO_TRUST names them.

    Raises InputError and UnknownName for what cannot be called or is not there, InvalidVectors for what is not one finite row an
    image, DimensionMismatch for images that preprocessing left at several sizes, ImageError for what is no image.

    >>> import torch
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    >>> ModuleEncoder(module=module, layer="1").encode(np.zeros((5, 2, 2))).shape
    (5, 3)
    """

    family: ClassVar[str] = "module"
    pretrained: ClassVar[bool] = True

    _module: nn.Module | None = None
    _origin: Path | None = None
    _dim: int | None = None

    def __init__(
        self,
        *,
        module: str | Factory | nn.Module = "",
        preprocess: str | Preprocess | None = None,
        layer: str | None = None,
        device: str = "auto",
    ) -> None:
        self.module = module
        self.preprocess = preprocess
        self.layer = layer
        self.device = device

    def set_params(self, **params: Any) -> Self:
        super().set_params(**params)
        self._module = self._dim = None
        if "module" in params:
            self._origin = None
        return self

    @property
    def dim(self) -> int:
        """The width of a vector, by what the module makes of a grey image, where none was encoded before.

        Raises InputError where it reads none of the usual shapes.
        """
        for side, channels in () if self._dim is not None else _PROBES:
            try:
                self._encode([np.full((side, side, channels), 128, np.uint8)], None, 1, "")
            except (RuntimeError, ValueError) as error:
                if isinstance(error, InputError):
                    raise
                continue
            break
        if self._dim is None:
            what = "the module reads no grey image of a usual size, and so the width of its vectors is not known"
            raise InputError(what, mend="let preprocess bring all images to what the module reads, or encode one first")
        return self._dim

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a folder with the weights and the names. Raises InputError where a name is missing."""
        from safetensors.torch import save_file

        for what in ("module", "preprocess"):
            if not isinstance(getattr(self, what), str | None):
                mend = f"put what makes it into a module and give its name, such as {what}='my_module:make'"
                raise InputError(f"the {what} has no name by which it can be found again", mend=mend)
        # Tensors that share memory are written apart: they are put together again by the factory.
        weights = {name: value.detach().cpu().clone().contiguous() for name, value in self._ready.state_dict().items()}
        data = {"encoder": self.family, "params": self.get_params(), "space": self.space.to_json()}
        return save_stamped(path, "encoder", data, lambda target: save_file(weights, target / _WEIGHTS))

    # What the contract asks of a family ---------------------------------------------------------------------------------

    def _fit(self, items: list[Any], y: Any, validation: Any) -> None:
        """Nothing: the module has learnt already."""

    def _encode(self, items: list[Any], role: Role, batch_size: int, output_value: str) -> NDArray[np.float32]:  # noqa: ARG002
        import torch

        module, found = self._ready, []
        with progress.task("Encoding images", total=len(items), unit="images") as task, _inference(module):
            for start in range(0, len(items), batch_size):
                some = [self._read(start + row, item) for row, item in enumerate(items[start : start + batch_size])]
                if len({tuple(each.shape) for each in some}) > 1:
                    what = f"images of {' and '.join(sorted({str(tuple(each.shape)) for each in some}))} in one batch"
                    raise DimensionMismatch(what, mend="let preprocess bring all images to one size, or give batch_size=1")
                batch = torch.stack(some).to(_device_of(module, self.device))
                found.append(self._vectors(module, batch))
                task.advance(len(some))
        return np.concatenate(found)

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        weights = {
            name: value.detach().cpu().float().numpy()
            for name, value in self._ready.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
        parts = {type(part) for part in self._ready.modules()}
        own = sorted(_source(part) for part in parts if not part.__module__.startswith("torch."))
        made = [] if self.preprocess is None else [_source(resolved(cast(Any, self.preprocess)))]
        return {"layer": self.layer, "module": str(self._ready), "sources": own, "preprocess": made}, weights

    def _arrays(self) -> dict[str, Any]:
        return {}  # the weights stay in a file of their own

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002 - there are none
        self._require_trust(folder)
        check_files(folder, data["files"])
        self._origin = folder

    def _require_trust(self, folder: Path) -> None:
        for name in filter(None, (self.module, self.preprocess)):
            require_trusted(str(name), f"{folder} wants to run the Python function {name}")

    # The module ---------------------------------------------------------------------------------------------------------

    @property
    def _ready(self) -> nn.Module:
        """The module, with the weights that were saved, if any."""
        if self._module is None:
            opening.require_torch()
            from torch import nn

            if not self.module:
                raise InputError("a module encoder needs a module", mend="give module='package.module:factory', or the module")
            given: Any = self.module
            factory: Any = (lambda: given) if isinstance(given, nn.Module) else resolved(given)
            made = factory()
            if not isinstance(made, nn.Module):
                raise InputError(f"{self.module} made a {type(made).__name__}", mend="let it return a torch.nn.Module")
            if self.layer is not None and self.layer not in dict(made.named_modules()):
                raise UnknownName.among(self.layer, [name for name, _ in made.named_modules() if name], kind="layer")
            if self._origin is not None:
                _fill(made, self._origin)
            self._module = made.to(_device_of(made, self.device))
        return self._module

    def _read(self, row: int, item: Any) -> Tensor:
        """An item as the module reads it."""
        import torch

        try:
            pixels = open_image(item)
        except ImageError as error:
            raise ImageError(f"item {row}: {error.what}", mend=error.mend) from error
        if self.preprocess is None:
            return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
        return torch.as_tensor(resolved(cast(Any, self.preprocess))(cast(Any, pixels)), dtype=torch.float32)

    def _vectors(self, module: nn.Module, batch: Tensor) -> NDArray[np.float32]:
        """(b, c, h, w) -> (b, d)."""
        from vicino.encoders.images.network import pooled

        caught: list[Any] = []
        hook = None
        if self.layer is not None:
            hook = module.get_submodule(self.layer).register_forward_hook(lambda *given: caught.append(given[2]))
        try:
            found: Any = module(batch)
        finally:
            if hook is not None:
                hook.remove()
        found = caught[-1] if caught else found
        mend = "let it return a tensor (b, d), (b, n, d) or (b, c, h, w), or name a layer that does"
        if not hasattr(found, "ndim") or found.ndim not in (2, 3, 4) or len(found) != len(batch):
            raise InvalidVectors(f"the module gave {_shown(found)} for {len(batch)} images", mend=mend)
        rows: NDArray[np.float32] = pooled(found.float()).cpu().numpy()
        if not np.isfinite(rows).all():
            raise InvalidVectors("the module gave numbers that are not finite", mend="look at its weights, and at preprocess")
        if self._dim not in (None, rows.shape[1]):
            raise DimensionMismatch(f"vectors of {self._dim} and then of {rows.shape[1]} dimensions", mend=mend)
        self._dim = rows.shape[1]
        return rows


@contextmanager
def _inference(module: nn.Module) -> Iterator[None]:
    """A block in which the module is evaluated, without gradients; it is then as it was."""
    import torch

    from vicino.learning.training import modes

    with modes(module, training=False), torch.inference_mode():
        yield


def _device_of(module: nn.Module, name: str) -> Any:
    """The device that was asked for; "auto" leaves a module where it is."""
    first = next(iter(module.parameters()), None)
    return first.device if name == "auto" and first is not None else opening.pick_device(name)


def _fill(module: nn.Module, folder: Path) -> None:
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(folder / _WEIGHTS))
    except RuntimeError as error:
        raise ArtifactCorrupt(
            f"the weights in {folder} do not fit what the factory makes now: {error}", mend="bring the factory back as it was"
        ) from error


def _source(thing: Any) -> str:
    """The code of a function or class, without comments and layout; empty where there is none."""
    try:
        code = inspect.getsource(thing if inspect.isroutine(thing) or inspect.isclass(thing) else type(thing))
        return ast.unparse(ast.parse(textwrap.dedent(code)))
    except (OSError, TypeError, SyntaxError):  # built in, or a lambda in the middle of something
        return ""


def _shown(found: Any) -> str:
    return f"a tensor of shape {tuple(found.shape)}" if hasattr(found, "shape") else f"a {type(found).__name__}"
