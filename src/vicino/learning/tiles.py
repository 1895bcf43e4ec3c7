"""A large sparse matrix in tiles, each of so few words that their vectors fit in a cache.

Words are dealt out in turn, word w to group w mod k, so that with words numbered by frequency every group is a fair sample of all
(Shazeer, Doherty, Evans and Waterson 2016, "Swivel"). Tile (a, b) holds what the words of group a have in the columns of group b.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError
from vicino.learning.cooccurrence import MEMORY, Cooccurrence, in_turn
from vicino.learning.piles import Pile

if TYPE_CHECKING:
    from vicino.learning.tiles_kernels import Cells

__all__ = ["Tiles", "tiled"]

_FEW = 8  # groups that even a few words make, so that there is something to do at the same time
_MOST = 1 << 16  # words that uint16 tells apart


@dataclass(frozen=True, eq=False)
class Tiles:
    """The nonzeros of a matrix of `n` words by tiles; `place[w]` (n,) is the row of word w's vector."""

    cells: Cells
    place: NDArray[np.int64]
    on_disk: bool = False

    def __len__(self) -> int:
        """The number of nonzeros."""
        return len(self.cells.values)

    @property
    def n(self) -> int:
        """The number of words."""
        return len(self.place)

    @property
    def k(self) -> int:
        """The number of groups; there are k² tiles in k strata."""
        return len(self.cells.firsts) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The number of nonzeros of each tile, (k, k)."""
        return np.diff(self.cells.starts).reshape(self.k, self.k)


def tiled(
    counts: Cooccurrence,
    size: int,
    *,
    memory: int = MEMORY,
    folder: str | os.PathLike[str] | None = None,
    threads: int = 1,
) -> Tiles:
    """Put nonzeros in tiles of about `size` words by `size`, but at least 8 by 8 tiles where there are as many words.

    What is more than `memory` bytes goes to a file without a name in `folder`. Raises InputError for a size that is not in 1 to
    65536, ArtifactError for a full disk.

    >>> counts = Cooccurrence(np.array([0, 1, 2, 3]), np.array([2, 0, 1], np.int32), np.array([5, 6, 7], np.float32))
    >>> tiles = tiled(counts, size=2)
    >>> tiles.k, tiles.place.tolist(), tiles.cells.values.tolist()
    (3, [0, 1, 2], [5.0, 6.0, 7.0])
    """
    from vicino.learning.tiles_kernels import Cells, cut_stripe

    if not isinstance(size, int) or not 1 <= size <= _MOST:
        raise InputError(f"tiles of {size!r} words cannot be", mend=f"give a whole number from 1 to {_MOST}")
    n = counts.n
    k = max(-(-n // size), min(_FEW, n)) if size < n else 1
    words = np.arange(n)
    firsts = np.concatenate([[0], np.cumsum(-(-(n - np.arange(k)) // k))])

    def cut(group: int) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...]]:
        mine = words[group::k]
        total = int((counts.starts[mine + 1] - counts.starts[mine]).sum())
        out = np.empty(total, np.uint16), np.empty(total, np.uint16), np.empty(total, np.float32)
        return cut_stripe(counts.starts, counts.columns, counts.values, mine, k, out), out

    with ExitStack() as stack:
        kinds = (np.uint16, memory // 4), (np.uint16, memory // 4), (np.float32, memory // 2)
        piles = [Pile(dtype, room, folder) for dtype, room in kinds]
        for pile in piles:
            stack.callback(pile.close)
        sizes = [np.zeros(1, np.int64)]
        for lengths, pieces in in_turn(threads, cut, range(k)):
            sizes.append(lengths)
            for pile, piece in zip(piles, pieces, strict=True):
                pile.add(piece)
        on_disk = any(pile.on_disk for pile in piles)
        rows, columns, values = (pile.whole() for pile in piles)
    return Tiles(Cells(firsts, np.cumsum(np.concatenate(sizes)), rows, columns, values), firsts[words % k] + words // k, on_disk)
