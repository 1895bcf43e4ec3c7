"""Sparse matrices that SciPy saved, from files that nobody vouches for: what a file promises is held against its size first."""

from __future__ import annotations

import math
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from vicino.data.files import opened
from vicino.errors import InputTooLarge, UnreadableSource

__all__ = ["load_matrix"]

_BROKEN = (
    *(ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError),
    *(BadZipFile, SyntaxError, TokenError),
)


def load_matrix(path: Path) -> Any:
    """The matrix that `scipy.sparse.save_npz` wrote. Its parts may still contradict each other: see `Graph.of_adjacency`.

    Raises UnreadableSource for any other file, InputTooLarge for one that does not fit into memory.
    """
    from scipy.sparse import load_npz

    with opened(path) as stream:
        try:
            with ZipFile(stream) as archive:
                for part in archive.infolist():
                    with archive.open(part) as member:
                        _require_honest(part.filename, part.file_size, member)
            stream.seek(0)
            return load_npz(stream)
        except MemoryError as error:
            raise InputTooLarge("a matrix that does not fit into memory", mend="give a list of edges in .tsv") from error
        except _BROKEN as error:
            raise UnreadableSource("not a sparse matrix of SciPy", mend="write it with scipy.sparse.save_npz") from error


def _require_honest(name: str, size: int, member: IO[bytes]) -> None:
    """Raise ValueError unless an array is numbers of the kind that is due, and as long as its header says."""
    if np.lib.format.read_magic(member) != (1, 0):  # what NumPy writes for numbers; others may be of any length
        raise ValueError(name)
    shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    kinds = {"data.npy": "biuf", "format.npy": "SU"}.get(name, "biu")
    if not name.endswith(".npy") or dtype.kind not in kinds or member.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ValueError(name)
