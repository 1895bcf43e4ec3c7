"""Upkeep of a Lance table: small files merged, rows that were deleted dropped, old versions freed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vicino.artifacts import locked
from vicino.store.lance_folder import COMMIT, check_written, in_conflict, latest

if TYPE_CHECKING:
    from lance import FragmentMetadata, LanceDataset
    from lance.optimize import CompactionOptions, RewriteResult

__all__ = ["clean", "compact", "due"]

FULL_ROWS: Final = 32_768  # a file with so many rows is full
FULL_BYTES: Final = 256 << 20  # likewise, for long passages
LARGE: Final = FULL_ROWS // 4  # rows of a file that only `maintain` merges: else large commits are all written twice
FEW: Final = 16  # files of a size that are worth merging, or versions worth freeing
OFTEN: Final = 64  # versions
MANY_DELETED: Final = 0.2  # of the rows of a file


def due(data: LanceDataset) -> bool:
    """Whether small files or deleted rows have piled up, or old versions may have: those are looked at every now and then."""
    if data.version % OFTEN == 0:
        return True
    parts = [fragment.metadata for fragment in data.get_fragments()]
    deleted = sum(part.num_deletions for part in parts)
    return bool(_crowd(parts)) or deleted > MANY_DELETED * sum(part.physical_rows for part in parts)


def _crowd(parts: Sequence[FragmentMetadata]) -> list[FragmentMetadata]:
    """The files of the largest size that has many, and all smaller ones; sizes are the powers of 16, in rows.

    So a row is written a few times, and not with every few rows that come after it. Smaller files stand between larger ones,
    and Lance merges neighbours only.
    """
    sizes = {part.id: (part.num_rows.bit_length() - 1) // 4 for part in parts if part.num_rows < LARGE and not _full(part)}
    largest = max((size for size, n in Counter(sizes.values()).items() if n >= FEW), default=None)
    return [part for part in parts if largest is not None and sizes.get(part.id, largest + 1) <= largest]


def _full(part: FragmentMetadata) -> bool:
    return part.num_rows >= FULL_ROWS or sum(file.file_size_bytes or 0 for file in part.files) >= FULL_BYTES


def compact(data: LanceDataset, folder: Path, *, thoroughly: bool = False) -> LanceDataset:
    """Merge small files of a size (all that are not full, if `thoroughly`) and drop deleted rows, in one commit; the latest.

    The rows are copied without a lock; where a write touched them meanwhile, once more, holding the lock of the writers.
    """
    try:
        rewritten = _rewrite(data, folder, thoroughly)
        with locked(folder / COMMIT):
            _commit(latest(data), rewritten)
    except OSError as error:
        if not in_conflict(error):
            raise
        with locked(folder / COMMIT):
            data = latest(data)
            _commit(data, _rewrite(data, folder, thoroughly))
    return latest(data)


def _rewrite(data: LanceDataset, folder: Path, thoroughly: bool) -> list[RewriteResult]:
    from lance.optimize import Compaction

    parts = [fragment.metadata for fragment in data.get_fragments()]
    wanted = {part.id for part in parts if part.num_deletions > MANY_DELETED * part.physical_rows}
    wanted |= {part.id for part in parts if not _full(part)} if thoroughly else {part.id for part in _crowd(parts)}
    options: CompactionOptions = {
        "target_rows_per_fragment": FULL_ROWS,
        "materialize_deletions_threshold": MANY_DELETED,
        "excluded_fragment_ids": [part.id for part in parts if part.id not in wanted],
    }
    rewritten = [task.execute(data) for task in Compaction.plan(data, options).tasks]
    check_written(folder, (part for result in rewritten for part in result.new_fragments))
    return rewritten


def _commit(data: LanceDataset, rewritten: list[RewriteResult]) -> None:
    from lance.optimize import Compaction

    if rewritten:
        Compaction.commit(data, rewritten)


def clean(data: LanceDataset, folder: Path, keep_seconds: float, *, worthwhile: bool = False) -> int:
    """Free what neither a tagged version needs nor one that could be read in the last `keep_seconds`; the bytes freed.

    The version that was the latest then is the oldest that stays. Lance opens every version for it; with `worthwhile` it is
    done only where more versions go than stay.
    """
    now = time.time()
    ages = [now - path.stat().st_mtime for path in (folder / "_versions").glob("*.manifest")]
    kept = 1 + sum(age <= keep_seconds for age in ages)
    if kept >= len(ages) or (worthwhile and len(ages) - kept < max(kept, FEW)):
        return 0
    done = data.cleanup_old_versions(retain_versions=kept, error_if_tagged_old_versions=False)
    return int(done.bytes_removed)
