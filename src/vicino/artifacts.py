"""A saved thing is a folder: `manifest.json`, `arrays.safetensors`, and one subfolder for each part.

Format 1. The manifest holds the format version, the kind of thing, the caller's plain data, and the size and SHA-256 of the
array file; both are checked at opening, so that a truncated or edited folder is noticed. A folder appears whole or not at
all: it is written beside its destination and renamed. Nothing is ever unpickled.

Array values may be NumPy arrays, SciPy CSR arrays and lists of str; the manifest notes which is which.
"""

from __future__ import annotations

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

__all__ = ["FORMAT", "MANIFEST", "Artifact", "file_digest", "folder_bytes", "read", "replacing", "write"]

FORMAT = 1
MANIFEST = "manifest.json"
ARRAYS = "arrays.safetensors"


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
    is something else than a folder that vicino saved, or the disk is full.
    """
    from safetensors.numpy import save_file

    with replacing(path) as folder:
        for name, save_part in (parts or {}).items():
            save_part(folder / name)
        flat: dict[str, NDArray[Any]] = {}
        types = {name: _flatten(name, value, flat) for name, value in (arrays or {}).items()}
        manifest: dict[str, Any] = {"format": FORMAT, "kind": kind, "data": dict(data), "arrays": types}
        if flat:
            save_file(flat, folder / ARRAYS)
            manifest["file"] = {"bytes": (folder / ARRAYS).stat().st_size, "sha256": file_digest(folder / ARRAYS)}
        text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / MANIFEST).write_text(text, encoding="utf-8")
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


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder that takes the place of `path` when the block ends well, and vanishes when it does not."""
    target = Path(path)
    if target.exists() and not (target.is_dir() and ((target / MANIFEST).exists() or not any(target.iterdir()))):
        raise ArtifactError(f"{target} is there and is not something vicino saved", mend="choose another path, or move it away")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise ArtifactError(f"cannot write {target}: {error}", mend="choose a folder that you may write to") from error
    try:
        yield fresh
        _swap(fresh, target)
    except OSError as error:
        raise ArtifactError(f"cannot write {target}: {error}", mend="free some space, then run the command again") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _swap(fresh: Path, target: Path) -> None:
    """Put `fresh` at `target`; what was there goes only afterwards."""
    fresh.chmod(0o755)
    for file in fresh.iterdir():
        if file.is_file():
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
        for was in target.parent.glob(f".{target.name}.old.*/was"):
            was.rename(target)
            was.parent.rmdir()
            return


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def folder_bytes(path: str | os.PathLike[str]) -> int:
    """The size of everything under a folder, in bytes."""
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{folder} holds nothing that vicino saved", mend=f"check the path: {MANIFEST} is not there"
        ) from error
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be read: {error}", mend="check the path and its permissions") from error
    except ValueError as error:
        raise _corrupt(folder, f"{MANIFEST} is not JSON") from error
    shape = {"format": int, "kind": str, "data": dict, "arrays": dict}
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(key), type_) for key, type_ in shape.items()):
        raise _corrupt(folder, f"{MANIFEST} lacks its fields")
    if manifest["format"] > FORMAT:
        raise ArtifactTooNew(
            f"{folder} has format {manifest['format']}; this vicino reads up to {FORMAT}",
            mend="pip install --upgrade vicino",
        )
    return manifest


def _check_file(path: Path, promised: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise _corrupt(path.parent, f"{path.name} is missing")
    size = path.stat().st_size
    if size != promised["bytes"]:
        raise _corrupt(path.parent, f"{path.name} has {size:,} bytes where {promised['bytes']:,} were written")
    if file_digest(path) != promised["sha256"]:
        raise _corrupt(path.parent, f"{path.name} is not what was written (its SHA-256 differs)")


def _corrupt(folder: Path, why: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"{folder} is damaged: {why}", mend="restore it from a copy, or make it again")


def _flatten(name: str, value: Any, flat: dict[str, NDArray[Any]]) -> str:
    """Add `value` to `flat` as plain arrays; return the word that `_rebuild` needs to put it together again."""
    if isinstance(value, np.ndarray):
        flat[name] = np.ascontiguousarray(value)
        return "array"
    if hasattr(value, "indptr"):
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
