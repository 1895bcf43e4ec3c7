"""A saved thing is a folder: `manifest.json`, `arrays.safetensors`, and one subfolder for each part.

Format 1. The manifest holds the format version, the kind of thing, the caller's plain data, the size and SHA-256 of the array
file, the SHA-256 of each part's manifest, and its own; all are checked at opening, so that a truncated, edited or mixed-up
folder is noticed. A folder appears whole or not at all: it is written beside its destination and renamed. Nothing is ever
unpickled.

Array values may be NumPy arrays, SciPy CSR arrays and lists of str; the manifest notes which is which.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import ArtifactCorrupt, ArtifactError, ArtifactTooNew

__all__ = [
    "FORMAT",
    "MANIFEST",
    "Artifact",
    "file_digest",
    "folder_bytes",
    "home",
    "kind_of",
    "locked",
    "read",
    "replacing",
    "require_writable",
    "write",
    "writing",
]

FORMAT = 1
MANIFEST = "manifest.json"
ARRAYS = "arrays.safetensors"


def home() -> Path:
    """Where vicino keeps what it makes: the environment's VICINO_HOME, by default `.vicino` in the current folder."""
    return Path(os.environ.get("VICINO_HOME") or ".vicino")


@dataclass(frozen=True)
class Artifact:
    """An opened folder: what it is, the caller's plain data, and its arrays."""

    path: Path
    kind: str
    data: Mapping[str, Any]
    arrays: Mapping[str, Any]


def write(
    path: str | os.PathLike[str],
    *,
    kind: str,
    data: Mapping[str, Any],
    arrays: Mapping[str, Any] | None = None,
    parts: Mapping[str, Callable[[Path], object]] | None = None,
) -> Path:
    """Write a folder at `path`, replacing an earlier one only when the new one is whole.

    `parts` maps a subfolder's name to a function that writes it (another thing's `save`). Raises ArtifactError where `path`
    is something else than a folder that vicino saved, the disk is full, or safetensors has no such type of number.
    """
    from safetensors.numpy import save_file

    with replacing(path) as folder:
        for name, save_part in (parts or {}).items():
            save_part(folder / name)
        flat: dict[str, NDArray[Any]] = {}
        types = {name: _flatten(name, value, flat) for name, value in (arrays or {}).items()}
        manifest: dict[str, Any] = {"format": FORMAT, "kind": kind, "data": dict(data), "arrays": types}
        saved_parts = [name for name in parts or {} if (folder / name / MANIFEST).is_file()]
        manifest["parts"] = {name: file_digest(folder / name / MANIFEST) for name in saved_parts}
        if flat:
            save_file(flat, folder / ARRAYS)
            manifest["file"] = {"bytes": (folder / ARRAYS).stat().st_size, "sha256": file_digest(folder / ARRAYS)}
        manifest["sha256"] = _digest(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False), encoding="utf-8")
    return Path(path)


def read(path: str | os.PathLike[str], *, kind: str | None = None) -> Artifact:
    """Open a folder that `write` made.

    Raises ArtifactError (missing, or of another kind), ArtifactCorrupt (truncated or edited) or ArtifactTooNew.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(path)
    _recover(folder)
    manifest = _manifest(folder)
    for name, digest in manifest["parts"].items():
        _check_part(folder / name, digest)
    if kind is not None and manifest["kind"] != kind:
        raise ArtifactError(f"{folder} holds a {manifest['kind']}, not a {kind}", mend=f"give the folder of a saved {kind}")
    flat: dict[str, NDArray[Any]] = {}
    if "file" in manifest:
        _check_file(folder / ARRAYS, manifest["file"])
        try:
            flat = load_file(folder / ARRAYS)
        except SafetensorError as error:
            raise _corrupt(folder, f"{ARRAYS} cannot be parsed ({error})") from error
    try:
        arrays = {name: _rebuild(name, what, flat) for name, what in manifest["arrays"].items()}
    except (KeyError, ValueError, UnicodeDecodeError) as error:
        raise _corrupt(folder, f"an array is missing or malformed ({error})") from error
    return Artifact(folder, manifest["kind"], manifest["data"], arrays)


def kind_of(path: str | os.PathLike[str]) -> str:
    """What a saved folder holds, by its manifest alone. Raises as `read` does."""
    folder = Path(path)
    _recover(folder)
    return str(_manifest(folder)["kind"])


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder that takes the place of `path` when the block ends well, and vanishes when it does not."""
    target = Path(path)
    _recover(target)
    require_writable(target)
    try:
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise ArtifactError(f"cannot write {target}: {error}", mend="choose a folder that you may write to") from error
    try:
        with writing(target):
            yield fresh
            _swap(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """A block that writes to `path`, and raises ArtifactError where that fails, as on a full disk."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:  # the second wraps a full disk too
        raise ArtifactError(f"cannot write {path}: {error}", mend="free some space, then run the command again") from error


def require_writable(path: str | os.PathLike[str]) -> None:
    """Raise ArtifactError where `replacing` would: to be asked before hours of work, not after."""
    target = Path(path)
    if target.exists() and not _is_ours(target):
        raise ArtifactError(
            f"{target} is there and is not something this vicino saved", mend="choose another path, or move it away"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise ArtifactError(f"cannot write {target}: {error}", mend="choose a folder that you may write to") from error


def _swap(fresh: Path, target: Path) -> None:
    """Put `fresh` at `target`; what was there goes only afterwards."""
    fresh.chmod(0o755)
    for file in fresh.rglob("*"):
        if file.is_file():
            file.chmod(0o644)  # safetensors leaves its files to their owner alone
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    if not target.exists():
        fresh.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    target.rename(old / "was")
    fresh.rename(target)  # killed just before this line, `_recover` brings "was" back
    shutil.rmtree(old, ignore_errors=True)


def _recover(target: Path) -> None:
    """Bring back what a process killed in the middle of `_swap` had moved aside."""
    if not target.exists():
        for was in target.parent.glob(f".{glob.escape(target.name)}.old.*/was"):
            was.rename(target)
            was.parent.rmdir()
            return


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a file, among threads and processes; False (and not held) where it is taken and we do not wait.

    It is a lock of the operating system (flock): it ends with the process that holds it, also when that is killed.
    """
    import fcntl

    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True  # closing the file lets go of the lock


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def folder_bytes(path: str | os.PathLike[str]) -> int:
    """The size of everything under a folder, in bytes."""
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())


def _is_ours(target: Path) -> bool:
    """Whether nothing of anybody else's is lost when `target` goes: an empty folder, or one that vicino saved."""
    if not target.is_dir():
        return False
    try:
        _shaped(target)
    except ArtifactError:  # a newer vicino's folder too is left alone
        return not any(target.iterdir())
    return True


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest, checked against its own SHA-256."""
    manifest = _shaped(folder)
    if manifest.pop("sha256") != _digest(manifest):
        raise _corrupt(folder, f"{MANIFEST} is not what was written (its SHA-256 differs)")
    return manifest


def _digest(manifest: Mapping[str, Any]) -> str:
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _shaped(folder: Path) -> dict[str, Any]:
    """The manifest, known to have its fields."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{folder} holds nothing that vicino saved", mend=f"check the path: {MANIFEST} is not there"
        ) from error
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be read: {error}", mend="check the path and its permissions") from error
    except (ValueError, RecursionError) as error:
        raise _corrupt(folder, f"{MANIFEST} is not JSON") from error
    if isinstance(manifest, dict) and isinstance(manifest.get("format"), int) and manifest["format"] > FORMAT:
        raise ArtifactTooNew(
            f"{folder} has format {manifest['format']}; this vicino reads up to {FORMAT}",
            mend="pip install --upgrade vicino",
        )
    shape = {"format": int, "kind": str, "data": dict, "arrays": dict, "parts": dict, "sha256": str}
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(key), type_) for key, type_ in shape.items()):
        raise _corrupt(folder, f"{MANIFEST} lacks its fields")
    return manifest


def _check_file(path: Path, promised: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise _corrupt(path.parent, f"{path.name} is missing")
    size = path.stat().st_size
    if size != promised["bytes"]:
        raise _corrupt(path.parent, f"{path.name} has {size:,} bytes where {promised['bytes']:,} were written")
    if file_digest(path) != promised["sha256"]:
        raise _corrupt(path.parent, f"{path.name} is not what was written (its SHA-256 differs)")


def _check_part(folder: Path, promised: str) -> None:
    if not (folder / MANIFEST).is_file():
        raise _corrupt(folder.parent, f"its part {folder.name} is missing")
    if file_digest(folder / MANIFEST) != promised:
        raise _corrupt(folder.parent, f"its part {folder.name} is not the one that was written")


def _corrupt(folder: Path, why: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"{folder} is damaged: {why}", mend="restore it from a copy, or make it again")


def _flatten(name: str, value: Any, flat: dict[str, NDArray[Any]]) -> str:
    """Add `value` to `flat` as plain arrays; return the word that `_rebuild` needs to put it together again."""
    if isinstance(value, np.ndarray):
        flat[name] = np.asarray(value, order="C")  # ascontiguousarray would give a scalar an axis
        return "array"
    if hasattr(value, "tocsr"):
        value = value.tocsr()
        flat[f"{name}.data"], flat[f"{name}.indices"], flat[f"{name}.indptr"] = value.data, value.indices, value.indptr
        flat[f"{name}.shape"] = np.array(value.shape, dtype=np.int64)
        return "csr"
    pieces = [text.encode("utf-8", "surrogatepass") for text in value]
    flat[f"{name}.utf8"] = np.frombuffer(b"".join(pieces), dtype=np.uint8)
    flat[f"{name}.offsets"] = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    return "strings"


def _rebuild(name: str, what: str, flat: Mapping[str, NDArray[Any]]) -> Any:
    if what == "array":
        return flat[name]
    if what == "csr":
        from scipy.sparse import csr_array

        parts = (flat[f"{name}.data"], flat[f"{name}.indices"], flat[f"{name}.indptr"])
        rows, columns = flat[f"{name}.shape"].tolist()
        return csr_array(parts, shape=(rows, columns))
    if what == "strings":
        text, offsets = flat[f"{name}.utf8"].tobytes(), flat[f"{name}.offsets"].tolist()
        return [text[a:b].decode("utf-8", "surrogatepass") for a, b in itertools.pairwise(offsets)]
    raise ValueError(f"unknown array type {what!r}")
