"""Arrays that grow at their end, in memory while there is room and then on disk."""

from __future__ import annotations

import os
import tempfile
from io import FileIO
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vicino.errors import ArtifactError

__all__ = ["Pile"]


class Pile:
    """One array of one type, made piece by piece: past `room` bytes it goes to a file in `folder` (None: the system's).

    The file has no name: it is gone with the array, even where the process is killed. Raises ArtifactError for a folder that
    cannot be written, and for a full disk.

    >>> pile = Pile(np.int32, room=8)
    >>> for piece in ([1, 2], [], [3]):
    ...     pile.add(np.array(piece))
    >>> pile.whole().tolist(), len(pile), pile.on_disk
    ([1, 2, 3], 3, True)
    """

    def __init__(self, dtype: DTypeLike, room: int, folder: str | os.PathLike[str] | None = None) -> None:
        self._dtype = np.dtype(dtype)
        self._room = room
        self._folder = folder
        self._held: list[NDArray[Any]] = []
        self._file: FileIO | None = None
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def on_disk(self) -> bool:
        """Whether the memory was not enough."""
        return self._file is not None

    def add(self, piece: NDArray[Any]) -> None:
        """Put a piece at the end."""
        if not len(piece):
            return
        self._held.append(np.ascontiguousarray(piece).astype(self._dtype))
        self._length += len(piece)
        if self._file or self._length * self._dtype.itemsize > self._room:
            self._write()

    def whole(self) -> NDArray[Any]:
        """All pieces as one array; a file is mapped, and what is written to the array does not reach it. Ends the pile."""
        if not self._file or not self._length:
            whole = np.concatenate([*self._held, np.empty(0, self._dtype)])
            self._held = []
            return whole
        # copy on write: compiled code then sees the type that it was compiled for
        mapped = np.memmap(self._file, self._dtype, "c", shape=(self._length,))
        self.close()
        return np.asarray(mapped)

    def close(self) -> None:
        """Let go of the memory and of the file."""
        self._held = []
        if self._file:
            self._file.close()

    def _write(self) -> None:
        try:
            if self._file is None:  # without a buffer, whose rest a full disk would keep from being closed
                self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115
            for piece in self._held:
                rest = piece.data.cast("B")
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.close()
            raise ArtifactError(
                f"{self._folder or tempfile.gettempdir()} cannot take what does not fit into memory: {error.strerror or error}",
                mend="free some space, set TMPDIR to a folder with room, or allow more memory",
            ) from error
        self._held = []
