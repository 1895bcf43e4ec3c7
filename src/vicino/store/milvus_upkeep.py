"""Upkeep of a store in Milvus: versions forgotten, and rows taken away that no version shows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vicino.store.milvus_server import Place
from vicino.store.milvus_tables import ALIVE, View, bury, look, numbers

__all__ = ["forget", "free"]

LATE: Final = 60.0  # seconds in which a request of a writer that was killed may still arrive


def forget(place: Place, tables: Sequence[str], tagged: Sequence[int], keep_seconds: float) -> None:
    """Forget versions without a tag that were not the latest within the last `keep_seconds`, and numbers that are void.

    The caller holds the turn of the writers.
    """
    now, view = time.time(), look(place)
    log = [row for page in place.read("commits", "version >= 0", ["id", "version", "at"]) for row in page]
    commits = sorted((row["version"], row["at"]) for row in log if row["id"][0] == "c")
    superseded = itertools.pairwise(commits)
    old = [version for (version, _), (_, at) in superseded if at <= now - keep_seconds and version not in tagged]
    place.remove("commits", [f"x{version:x}" for version in old])  # first: a claim without a commit would be void
    place.remove("commits", [f"c{version:x}" for version in old])
    void = [row["version"] for row in log if row["id"][0] == "x" and row["version"] in view.void and row["at"] < now - LATE]
    if void:
        for what in tables:
            for page in list(place.read(what, f"died in {void}", ["id"])):
                bury(place, [what], [row["id"] for row in page], ALIVE)
            for page in list(place.read(what, f"born in {void}", ["id"])):
                place.remove(what, [row["id"] for row in page])
        place.remove("commits", [f"x{version:x}" for version in void])


def free(place: Place, view: View, sizes: Mapping[str, int]) -> int:
    """Take away the rows that no version shows; their bytes, by the bytes of a row of each table."""
    kept, freed = np.array(sorted(numbers(place)[0]), dtype=np.int64), 0
    for what, size in sizes.items():
        pages = list(place.read(what, f"died < {ALIVE}", ["id", "born", "died"]))
        gone = [row["id"] for page in pages for row in page if not _shown(row, kept, view.void)]
        place.remove(what, gone)
        freed += size * len(gone)
    return freed


def _shown(row: Mapping[str, Any], kept: NDArray[np.int64], void: Sequence[int]) -> bool:
    """Whether a kept version shows a row that died, or may show it: what is of a void version is looked at by `forget`.

    What died after the last of `kept` may be of a writer that went on meanwhile, and may not be committed: it stays.
    """
    if row["died"] in void or row["born"] in void or row["died"] > kept[-1]:
        return True
    at = int(np.searchsorted(kept, row["born"]))
    return at < len(kept) and int(kept[at]) < row["died"]
