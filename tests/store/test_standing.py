"""What a write replaces, and a read names, is found without reading all rows: as a reading of all of them finds it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino.catalog import Entry
from vicino.data.filters import In, parse
from vicino.errors import DuplicateIds
from vicino.spaces import Space
from vicino.store import STORES, lance_standing
from vicino.store.base import Row
from vicino.store.lance import Lance

Passages = Callable[..., list[Row]]
Drawn = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True, scope="module")
def _installed(need: Callable[[Entry], None]) -> None:
    need(STORES.entry("lance"))


def as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes, and few rows read by name."""
    monkeypatch.setattr(lance_standing, "_MANY", 1.0)
    monkeypatch.setattr(lance_standing, "_AT_ONCE", 3)


def all_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name has one hash: all rows are looked at."""
    as_it_is(monkeypatch)
    monkeypatch.setattr(lance_standing, "_hashes", lambda names: np.zeros(len(names), dtype=np.int64))


def too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is too large to be remembered."""
    monkeypatch.setattr(lance_standing, "MOST", 3)


@pytest.mark.long
@pytest.mark.parametrize("way", [as_it_is, all_alike, too_many])
def test_what_is_replaced_is_found(
    way: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: Space, passages: Passages, drawn: Drawn
) -> None:
    way(monkeypatch)
    draw, there = random.Random(7), dict[str, list[str]]()
    writers = [Lance.create(tmp_path / "rows", [space]), Lance.open(tmp_path / "rows")]
    readers = [Lance.open(tmp_path / "rows") for _ in range(2)]
    for turn in range(60):
        writer, act = draw.choice(writers), draw.random()
        name = f"d{draw.randrange(12)}"
        if act < 0.75:
            rows = passages(name, draw.randint(1, 4), revision=str(turn))
            writer.replace(rows, drawn(len(rows)), tenant="us")
            there[name] = [row.key for row in rows]
        elif act < 0.9:
            writer.delete(parse(f"document = '{name}'"), tenant="us")
            there.pop(name, None)
        else:
            writer.maintain(keep_seconds=0)
        for place, reader in enumerate(readers):
            if place == 0 or act >= 0.9:  # the second reads what was before, until that is freed
                reader.refresh()
            every = [row for batch in reader.scan(["key", "document"], tenant="us") for row in batch.to_pylist()]
            some = [*draw.sample([row["key"] for row in every], len(every) // 2), "gone"]
            for wanted in (In("key", tuple(some)), In("document", (name, "d3", "gone"))):
                listed = [row for row in every if row[wanted.column] in wanted.values]
                batches = reader.scan(["key", "document"], where=wanted, tenant="us")
                read = [row for batch in batches for row in batch.to_pylist()]
                assert sorted(read, key=str) == sorted(listed, key=str)
                assert not list(reader.scan(["key"], where=wanted, tenant="them"))
    for writer in writers:
        writer.refresh()
        found = sorted(key for batch in writer.scan(["key"], tenant=None) for key in batch["key"].to_pylist())
        assert found == sorted(key for keys in there.values() for key in keys)


@pytest.mark.parametrize("way", [as_it_is, all_alike, too_many])
def test_a_key_of_another_document_is_found(
    way: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: Space, passages: Passages, drawn: Drawn
) -> None:
    way(monkeypatch)
    kept = Lance.create(tmp_path / "rows", [space])
    for name in "abcdefgh":
        kept.replace(passages(name), drawn(1), tenant="us")
    kept.maintain(keep_seconds=0)
    taken = passages("a")[0].key
    for tenant in ("us", "them"):
        with pytest.raises(DuplicateIds, match="is that of a passage of 'a'"):
            kept.replace([replace(passages("z", tenant=tenant)[0], key=taken)], drawn(1), tenant=tenant)
    assert kept.count(tenant=None) == 8


def test_rows_are_read_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: Space, passages: Passages, drawn: Drawn
) -> None:
    """However many commits: each reads what others wrote since, and not all that is there; what it wrote itself never."""
    hashed = []
    hashes = lance_standing._hashes
    monkeypatch.setattr(lance_standing, "_hashes", lambda names: hashed.append(len(names)) or hashes(names))
    read = []
    scanned = lance_standing._read
    monkeypatch.setattr(lance_standing, "_read", lambda data, parts: read.append(len(parts)) or scanned(data, parts))
    kept, other = Lance.create(tmp_path / "rows", [space]), Lance.open(tmp_path / "rows")
    for turn in range(14):  # fewer than are merged
        kept.replace([row for n in range(100) for row in passages(f"d{turn}-{n}")], drawn(100), tenant="us")
    assert sum(hashed) == 14 * 200 + 14 * 200  # the names of each write, to look for them and to remember them
    assert not read
    other.replace(passages("theirs"), drawn(1), tenant="us")
    assert read == [14]
    kept.replace(passages("ours"), drawn(1), tenant="us")
    assert read == [14, 1]


@pytest.mark.parametrize("files", [1, 3])
def test_what_a_process_wrote_itself_is_found(
    files: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: Space, passages: Passages, drawn: Drawn
) -> None:
    """In one file, which it does not read for that, or in several, which it does; beside rows that were there."""
    import lance.fragment

    write = lance.fragment.write_fragments
    monkeypatch.setattr(lance_standing, "_MANY", 1.0)
    monkeypatch.setattr(lance.fragment, "write_fragments", lambda *a, **k: write(*a, max_rows_per_file=-(-60 // files), **k))
    kept = Lance.create(tmp_path / "rows", [space])
    for revision in "ab":
        kept.replace([row for n in range(30) for row in passages(f"d{n}", 2, revision=revision)], drawn(60), tenant="us")
        kept.replace(passages("d7", 3, revision=revision), drawn(3), tenant="us")
        stored = [name for batch in kept.scan(["document"], tenant=None) for name in batch["document"].to_pylist()]
        assert sorted(stored) == sorted([*(f"d{n}" for n in range(30) for _ in range(2)), "d7"])
        for name, count in (("d5", 2), ("d7", 3)):
            places = kept._standing.places(kept._data, {name})
            assert places is not None
            found = kept._data.to_table(["document"], filter=f"_rowid in ({', '.join(map(str, places.tolist()))})")
            assert found["document"].to_pylist() == [name] * count
