"""What indexes that lie in files share: how they are kept and opened, and exact search among rows read block by block."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.errors import ArtifactCorrupt
from vicino.indexes.base import Index
from vicino.indexes.exact import Exact
from vicino.vectors import top_k

__all__ = ["BLOCK", "InFiles", "among", "digests"]

BLOCK = 1 << 14  # rows read or written at a time


class InFiles(Index):
    """An index that is searched where its files lie, in `folder_`: saved by copying them, opened if they are what was written."""

    part: ClassVar[str]  # their folder in the folder of the saved index
    folder_: Path
    files_: Mapping[str, str] | None = None  # their digests, once they were needed

    @abstractmethod
    def _open(self, folder: Path, n: int, dim: int) -> None:
        """Search these files of n vectors from now on. Raises KeyError, OSError, RuntimeError or ValueError."""

    def manifest(self) -> dict[str, Any]:
        if self.ids_ is None:
            return super().manifest()
        if self.files_ is None:
            self.files_ = digests(self.folder_)
        return super().manifest() | {"files": dict(self.files_)}

    def save(self, path: str | PathLike[str]) -> Path:
        ids = ["" if name is None else name for name in self._require_built()]
        parts = {self.part: lambda folder: shutil.copytree(self.folder_, folder)}
        return artifacts.write(path, kind="index", data=self.manifest(), arrays={"ids": ids}, parts=parts)

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Self:
        folder = saved.path / cls.part
        files = digests(folder)
        if files != saved.data.get("files"):  # a library may die of a file that is cut off
            raise ArtifactCorrupt(f"{folder} is not what was written (a file differs)", mend="build the index again")
        index = cls(**saved.data["params"])
        index.ids_, index.dim_ = np.array(saved.arrays["ids"], dtype=object), int(saved.data["dim"])
        try:
            index._open(folder, len(index.ids_), index.dim_)
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            raise ArtifactCorrupt(f"{folder} cannot be opened: {error}", mend="build the index again") from error
        index.files_ = files
        return index

    def _arrays(self) -> dict[str, Any]:
        return {}

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        """Nothing: all is in the files."""


def among(
    queries: NDArray[np.float32],
    k: int,
    rows: NDArray[np.int64],
    similarity: str,
    read: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of `rows` (ascending) by brute force, rows (q, k') and scores (q, k'): `read` gives the vectors of a block.

    >>> vectors = np.eye(3, dtype=np.float32)
    >>> among(vectors[:1], 1, np.array([0, 2]), "dot", lambda block: vectors[block])[0].tolist()
    [[0]]
    """
    exact = Exact(similarity="dot" if similarity == "cosine" else similarity)  # of unit rows the same
    found = np.empty((len(queries), 0), dtype=np.int64)
    scores = np.empty((len(queries), 0), dtype=np.float32)
    for begin in range(0, len(rows), BLOCK):
        block = rows[begin : begin + BLOCK]
        exact.vectors_ = read(block)
        near, near_scores = exact._search(queries, k, None, None)
        found = np.concatenate([found, block[near]], axis=1)
        best, scores = top_k(np.concatenate([scores, near_scores], axis=1), k)
        found = np.take_along_axis(found, best, axis=1)
    return found, scores


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file, by its path in the folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): artifacts.file_digest(file) for file in files}
