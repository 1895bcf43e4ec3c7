"""The folder of a Lance table: its locks, its files, and what went wrong in it, by name.

Writes are serialised by `commit.lock`, upkeep by `upkeep.lock` (see `vicino.artifacts.locked`).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from vicino.errors import ArtifactCorrupt, ArtifactError, MissingExtra, VicinoError

if TYPE_CHECKING:
    from lance import FragmentMetadata, LanceDataset

__all__ = ["COMMIT", "UPKEEP", "check_written", "files_of", "in_conflict", "latest", "library", "named", "opened", "version_of"]

COMMIT: Final = "commit.lock"
UPKEEP: Final = "upkeep.lock"
METADATA: Final = 16 << 20  # bytes of what is known of files: reading version after version fills them, by default a gigabyte


def library() -> ModuleType:
    """The package `lance`. Raises MissingExtra."""
    os.environ.setdefault("LANCE_LOG", "error")  # read when it is first imported; else it writes warnings to stderr
    try:
        import lance
    except ImportError as error:
        raise MissingExtra.named("store", needed_by="collections") from error
    return lance


def opened(folder: Path) -> LanceDataset:
    """The table of a folder, in its newest version."""
    found: LanceDataset = library().dataset(str(folder), metadata_cache_size_bytes=METADATA)
    return found


def latest(data: LanceDataset) -> LanceDataset:
    """The newest version of a table that is open; the caches are shared."""
    return version_of(data, None)


def version_of(data: LanceDataset, version: int | None) -> LanceDataset:
    """A version of a table that is open."""
    found: LanceDataset = library().dataset(data.uri, version=version, session=data.session())
    return found


# Errors ---------------------------------------------------------------------------------------------------------------

_FULL: Final = re.compile(r"os error (27|28|122)\b|No space left|File too large|quota exceeded", re.IGNORECASE)


@contextmanager
def named(folder: Path, doing: str) -> Iterator[None]:
    """Turn what Lance and the operating system report into ArtifactError or ArtifactCorrupt; `doing` is "read" or "write"."""
    try:
        yield
    except VicinoError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # Lance knows no errors of its own
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT) or _FULL.search(str(error))
        if full:
            raise ArtifactError(
                f"cannot write {folder}: the disk is full ({_brief(error)})",
                mend="free some space, then run the command again: nothing that was stored is lost",
            ) from error
        if isinstance(error, PermissionError) or "ermission denied" in str(error):
            raise ArtifactError(
                f"cannot {doing} {folder}: permission denied", mend="check whose folder it is, and its permissions"
            ) from error
        raise _corrupt(folder, doing, error) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what a panic of Rust becomes, in a module that cannot be imported
            raise
        raise _corrupt(folder, doing, error) from error


def _corrupt(folder: Path, doing: str, error: BaseException) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"cannot {doing} {folder}: {_brief(error)}", mend="restore it from a copy, or make it again")


def in_conflict(error: Exception) -> bool:
    """Whether Lance refused a commit because another one came first."""
    return "conflict" in str(error).lower()


def check_written(folder: Path, parts: Iterable[FragmentMetadata]) -> None:
    """Raise OSError where a file is shorter than Lance believes: on a full disk it loses the end and says nothing."""
    for part in parts:
        for file in part.files:
            size = (folder / "data" / file.path).stat().st_size
            if file.file_size_bytes != size:
                raise OSError(errno.ENOSPC, f"{file.path} has {size:,} of {file.file_size_bytes:,} bytes")


def _brief(error: BaseException) -> str:
    """Lance ends its messages with places in its own source."""
    return re.sub(r",? *(?:location: )?/\S+\.rs:\d+.*", "", str(error), flags=re.DOTALL)[:300]


# Files ----------------------------------------------------------------------------------------------------------------


def files_of(folder: Path) -> tuple[int, int]:
    """How many files there are under the folder, and their bytes. Files that vanish meanwhile do not count."""
    sizes = []
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(Path(where, name).stat().st_size)
            except FileNotFoundError:
                continue
    return len(sizes), sum(sizes)
