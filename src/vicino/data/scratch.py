"""Room on disk for as long as work goes on: temporary folders that nobody need tidy up, and files whose room is theirs."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vicino.errors import ArtifactError

__all__ = ["reserve", "scratch"]

_MEND = "free some space there, or name a folder with more room: the environment's TMPDIR is where temporary files go"
_NO_SUCH_CALL = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)  # some file systems cannot reserve


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A new folder among the temporary files, that goes when the block ends.

    Its name holds the machine and the process, so that what a killed one (SIGKILL, SIGTERM, no power) left is swept up by the
    next that wants a folder for the same `purpose`: only the same user's, and never that of a process that lives. Raises
    ArtifactError where no folder can be made.

    >>> with scratch("doctest") as folder:
    ...     folder.is_dir(), f"-{os.getpid()}-" in folder.name
    (True, True)
    >>> folder.exists()
    False
    """
    stem = f"vicino-{purpose}-{platform.node()}-"  # a machine that shares the folder has processes of its own
    try:
        above = Path(tempfile.gettempdir())
        _sweep(above, stem)
        folder = Path(tempfile.mkdtemp(prefix=f"{stem}{os.getpid()}-", dir=above))
    except OSError as error:
        raise ArtifactError(f"there is no folder for temporary files: {error}", mend=_MEND) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reserve(path: Path, size: int) -> None:
    """Give a file, new or not, this size and all of its room on disk, before it is written to through a map of it.

    Without, it has holes, and a disk that gets full kills the process by SIGBUS. Raises ArtifactError where there is no room.
    """
    try:
        with path.open("ab") as file:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise ArtifactError(f"{path.parent} has no room for {size:,} bytes: {error.strerror}", mend=_MEND) from error


def _sweep(above: Path, stem: str) -> None:
    """Remove the folders of dead processes."""
    for folder in above.iterdir():
        found = re.fullmatch(re.escape(stem) + r"(\d{1,9})-\w+", folder.name)
        if found and not _lives(int(found[1])) and _is_mine(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_mine(folder: Path) -> bool:
    try:
        about = folder.lstat()
    except FileNotFoundError:  # swept by another process just now
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True
