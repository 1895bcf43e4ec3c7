"""Where documents and keys stand in a Lance table, so that a write finds what it replaces, and a read the rows of some keys,
without reading all rows.

A file of rows never changes, it is only marked where rows are deleted. So each is read once by a process, and remembered as
hashes of its documents and keys: 32 bytes a row. What a hash finds is then read and compared.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vicino.errors import DuplicateIds
from vicino.store.base import Row

if TYPE_CHECKING:
    import pyarrow as pa
    from lance import LanceDataset, LanceFragment

__all__ = ["Standing"]

MOST: Final = 1 << 26  # rows that are remembered, 2 GB; a larger table is read at each write
_MANY: Final = 0.05  # the share of rows that may be there already for them to be read one by one
_AT_ONCE: Final = 2_000  # rows that one condition names
_COLUMNS: Final = ["key", "tenant", "source", "document"]

Run = tuple[NDArray[np.int64], NDArray[np.uint64]]  # hashes in order, and the address of the row of each


class Standing:
    """What a process knows of the rows of one table. Threads may share it."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._read: set[int] = set()  # fragments
        self._alone = threading.Lock()

    def find(self, data: LanceDataset, rows: Sequence[Row], tenant: str) -> NDArray[np.uint64]:
        """The addresses of what is there of the documents of these rows. Raises DuplicateIds for a key of another document.

        The caller holds the lock of the writers.
        """
        own, taken = set[tuple[str, str, str]](), {row.key for row in rows}
        found: list[int] = []
        for batch in self._near(data, {row.document for row in rows}, taken):
            own = own or {(tenant, row.source, row.document) for row in rows}
            for row in batch.to_pylist():
                if (row["tenant"], row["source"], row["document"]) in own:
                    found.append(row["_rowaddr"])
                elif row["key"] in taken:
                    raise DuplicateIds(
                        f"the key {row['key']!r} is that of a passage of {row['document']!r}",
                        mend="make keys of all that names a row",
                    )
        return np.array(found, dtype=np.uint64)

    def _near(self, data: LanceDataset, documents: set[str], keys: set[str]) -> Iterator[pa.RecordBatch]:
        """The rows of these documents, of any tenant, and of these keys, and maybe some others."""
        import pyarrow as pa
        import pyarrow.compute as pc

        places = self.places(data, documents | keys)
        if places is not None and len(places) <= _MANY * data.count_rows():
            for start in range(0, len(places), _AT_ONCE):
                listed = ", ".join(map(str, places[start : start + _AT_ONCE].tolist()))
                yield from data.scanner(_COLUMNS, filter=f"_rowid in ({listed})", with_row_address=True).to_batches()
            return
        names, theirs = pa.array(sorted(documents)), pa.array(sorted(keys))
        for batch in data.scanner(_COLUMNS, with_row_address=True).to_batches():
            yield batch.filter(pc.or_(pc.is_in(batch["document"], names), pc.is_in(batch["key"], theirs)))

    def places(self, data: LanceDataset, names: set[str]) -> NDArray[np.uint64] | None:
        """The addresses of rows whose document or key has the hash of one of the names; None for a table that is too large.

        Rows of other names, and rows that were deleted, may be among them.
        """
        if data.count_rows() > MOST:
            return None
        with self._alone:
            self._catch_up(data)
            runs = list(self._runs)
        wanted = np.unique(_hashes(names))
        found = [np.empty(0, dtype=np.uint64)]
        for hashes, addresses in runs:
            if len(hashes):
                first = np.searchsorted(hashes, wanted)
                there = hashes.take(first, mode="clip") == wanted
                ends = np.searchsorted(hashes, wanted[there], "right")
                found += [addresses[begin:end] for begin, end in zip(first[there], ends, strict=True)]
        return np.unique(np.concatenate(found))

    def _catch_up(self, data: LanceDataset) -> None:
        """Forget the files that are no more, and read those that are new."""
        fragments = {fragment.fragment_id: fragment for fragment in data.get_fragments()}
        if not self._read <= fragments.keys():
            left = np.fromiter(fragments.keys() & self._read, dtype=np.uint64)
            kept = [np.isin(addresses >> np.uint64(32), left) for _, addresses in self._runs]
            self._runs = [(run[0][mask], run[1][mask]) for run, mask in zip(self._runs, kept, strict=True)]
        fresh = [fragment for number, fragment in fragments.items() if number not in self._read]
        if fresh:
            self._add(_read(data, fresh))
        self._read = set(fragments)

    def wrote(self, data: LanceDataset, rows: Sequence[Row]) -> None:
        """Remember the rows of a commit that stands, in the order in which they were written: they need not be read.

        The caller holds the lock of the writers. Rows in more than one file are read with the next write.
        """
        last = max(data.get_fragments(), key=lambda fragment: fragment.fragment_id)
        if last.metadata.physical_rows != len(rows) or data.count_rows() > MOST:
            return
        addresses = (np.uint64(last.fragment_id) << np.uint64(32)) + np.arange(len(rows), dtype=np.uint64)
        names = [row.key for row in rows], [row.document for row in rows]
        with self._alone:
            if last.fragment_id not in self._read:
                self._add(_sorted([(_hashes(each), addresses) for each in names]))
                self._read.add(last.fragment_id)

    def _add(self, run: Run) -> None:
        self._runs.append(run)
        while len(self._runs) > 1 and 2 * len(self._runs[-1][0]) >= len(self._runs[-2][0]):  # few runs, each row merged seldom
            self._runs.append(_sorted([self._runs.pop(), self._runs.pop()]))


def _read(data: LanceDataset, fragments: Sequence[LanceFragment]) -> Run:
    scanner = data.scanner(["key", "document"], fragments=list(fragments), with_row_address=True)
    parts: list[Run] = []
    for batch in scanner.to_batches():
        addresses = batch["_rowaddr"].to_numpy()
        parts += [(_hashes(batch[name].to_pylist()), addresses) for name in ("key", "document")]
    return _sorted(parts) if parts else (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64))


def _sorted(parts: Sequence[Run]) -> Run:
    hashes, addresses = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.argsort(hashes, kind="stable")
    return hashes[order], addresses[order]


def _hashes(names: Collection[str]) -> NDArray[np.int64]:
    """Python's own, which nobody can foresee (PYTHONHASHSEED): equal hashes cannot be made on purpose."""
    return np.fromiter(map(hash, names), dtype=np.int64, count=len(names))
