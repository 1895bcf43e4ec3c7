"""What is Lance's own: files, upkeep, locks, damage, full disks."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vicino import artifacts, store
from vicino.catalog import Entry
from vicino.data.filters import parse
from vicino.errors import ArtifactCorrupt, ArtifactError, ArtifactTooNew, InputTooLarge, MissingExtra
from vicino.spaces import Space
from vicino.store import STORES, Store, lance_folder, lance_spaces, lance_upkeep
from vicino.store import lance as lance_module
from vicino.store import rows as store_rows
from vicino.store.base import Row
from vicino.store.lance import Lance

Passages = Callable[..., list[Row]]
Drawn = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True, scope="module")
def _installed(need: Callable[[Entry], None]) -> None:
    need(STORES.entry("lance"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "rows"


@pytest.fixture
def kept(folder: Path, space: Space) -> Lance:
    return Lance.create(folder, [space])


def keys(kept: Store) -> list[str]:
    return sorted(key for batch in kept.scan(["key"], tenant=None) for key in batch["key"].to_pylist())


def fragments(kept: Lance) -> list[int]:
    return [fragment.metadata.num_rows for fragment in kept._data.get_fragments()]


# Upkeep ---------------------------------------------------------------------------------------------------------------


def test_small_files_are_merged_by_themselves(kept: Lance, passages: Passages, drawn: Drawn) -> None:
    most = 0
    for turn in range(200):
        kept.replace(passages(f"d{turn % 70}", revision=str(turn)), drawn(1), tenant="us")
        most = max(most, len(fragments(kept)))
    assert most <= 2 * lance_upkeep.FEW
    assert sum(fragments(kept)) == 70
    kept.maintain(keep_seconds=0)
    assert fragments(kept) == [70]
    assert kept.stats().files < 12


def test_a_row_is_not_written_again_and_again(
    monkeypatch: pytest.MonkeyPatch, kept: Lance, passages: Passages, drawn: Drawn
) -> None:
    rewritten = []
    rewrite = lance_upkeep._rewrite

    def counting(*arguments: Any) -> Any:
        results = rewrite(*arguments)
        rewritten.extend(part.physical_rows for result in results for part in result.new_fragments)
        return results

    monkeypatch.setattr(lance_upkeep, "_rewrite", counting)
    kept.replace(passages("large", 2000), drawn(2000), tenant="us")
    for turn in range(150):
        kept.replace(passages(f"d{turn}"), drawn(1), tenant="us")
    assert sum(rewritten) == 144  # nine times sixteen; the large file never
    assert 2000 in fragments(kept)


def test_rows_of_large_commits_are_written_once(
    monkeypatch: pytest.MonkeyPatch, kept: Lance, passages: Passages, drawn: Drawn
) -> None:
    monkeypatch.setattr(lance_upkeep, "LARGE", 8)
    for turn in range(2 * lance_upkeep.FEW):
        kept.replace(passages(f"d{turn}", 8), drawn(8), tenant="us")
    assert fragments(kept) == [8] * 2 * lance_upkeep.FEW
    for turn in range(lance_upkeep.FEW):
        kept.replace(passages(f"e{turn}", 7), drawn(7), tenant="us")
    assert sorted(fragments(kept)) == [*[8] * 2 * lance_upkeep.FEW, 7 * lance_upkeep.FEW]
    kept.maintain(keep_seconds=0)
    assert fragments(kept) == [15 * lance_upkeep.FEW + 8 * lance_upkeep.FEW]


def test_files_of_many_deleted_rows_are_rewritten(kept: Lance, passages: Passages, drawn: Drawn) -> None:
    rows = [row for number in range(100) for row in passages(f"d{number:02}")]
    kept.replace(rows, drawn(100), tenant="us")
    kept.delete(parse("document < 'd20'"), tenant="us")
    assert [part.num_deletions for part in (f.metadata for f in kept._data.get_fragments())] == [20]
    kept.delete(parse("document < 'd30'"), tenant="us")
    assert [(part.num_rows, part.num_deletions) for part in (f.metadata for f in kept._data.get_fragments())] == [(70, 0)]


def test_files_that_lance_does_not_merge_do_not_pile_up(kept: Lance, passages: Passages, drawn: Drawn) -> None:
    for turn in range(120):  # a small file between two larger ones, always
        n = 1 if turn % 2 else 40
        kept.replace(passages(f"d{turn}", n), drawn(n), tenant="us")
        assert len(fragments(kept)) <= 3 * lance_upkeep.FEW
    assert sum(fragments(kept)) == kept.count(tenant="us") == 60 * 41


def test_a_write_during_compaction_is_kept(
    monkeypatch: pytest.MonkeyPatch, kept: Lance, passages: Passages, drawn: Drawn
) -> None:
    for number in range(5):
        kept.replace(passages(f"d{number}", 2), drawn(2), tenant="us")
    other, rewrite, times = Lance.open(kept._folder), lance_upkeep._rewrite, []

    def interrupted(*arguments: Any) -> Any:
        done = rewrite(*arguments)
        times.append(len(done))
        if len(times) == 1:
            other.replace(passages("d3", 1, revision="new"), drawn(1), tenant="us")
        return done

    monkeypatch.setattr(lance_upkeep, "_rewrite", interrupted)
    kept.maintain(keep_seconds=0)
    assert len(times) == 2  # once more, with the writers waiting
    assert fragments(kept) == [9]
    assert passages("d3", 1, revision="new")[0].key in keys(kept)


def test_an_append_during_compaction_is_no_conflict(
    monkeypatch: pytest.MonkeyPatch, kept: Lance, passages: Passages, drawn: Drawn
) -> None:
    for number in range(5):
        kept.replace(passages(f"d{number}"), drawn(1), tenant="us")
    other, rewrite, times = Lance.open(kept._folder), lance_upkeep._rewrite, []

    def interrupted(*arguments: Any) -> Any:
        times.append(1)
        done = rewrite(*arguments)
        other.replace(passages("new"), drawn(1), tenant="us")
        return done

    monkeypatch.setattr(lance_upkeep, "_rewrite", interrupted)
    kept.maintain()
    assert len(times) == 1
    kept.refresh()
    assert kept.count(tenant="us") == 6


def test_one_process_at_a_time_does_upkeep(kept: Lance, folder: Path, passages: Passages, drawn: Drawn) -> None:
    for number in range(3):
        kept.replace(passages(f"d{number}"), drawn(1), tenant="us")
    with artifacts.locked(folder / lance_folder.UPKEEP):
        done = kept.maintain(keep_seconds=0)  # returns at once
        assert done.files_before == done.files_after
        for number in range(40):
            kept.replace(passages(f"e{number}"), drawn(1), tenant="us")
    assert len(fragments(kept)) == 43


def test_upkeep_that_fails_does_not_fail_the_write(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kept: Lance, passages: Passages, drawn: Drawn
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lance_upkeep, "_rewrite", full)
    with caplog.at_level(logging.WARNING):
        for number in range(30):
            kept.replace(passages(f"d{number}"), drawn(1), tenant="us")
    assert kept.count(tenant="us") == 30
    assert "the disk is full" in caplog.text
    with pytest.raises(ArtifactError, match="the disk is full"):
        kept.maintain()


def age(folder: Path, version: int, seconds: float) -> None:
    """Make a version as old as that."""
    manifest = folder / "_versions" / f"{2**64 - 1 - version}.manifest"
    then = manifest.stat().st_mtime - seconds
    os.utime(manifest, (then, then))


def test_the_version_that_was_the_latest_stays(kept: Lance, folder: Path, passages: Passages, drawn: Drawn) -> None:
    for number in range(6):  # versions 2 to 7
        kept.replace(passages("d", revision=str(number)), drawn(1), tenant="us")
    assert kept.version == 7
    for version, seconds in ((1, 5000), (2, 4000), (3, 3000), (4, 2000), (5, 100), (6, 50)):
        age(folder, version, seconds)
    pinned = kept.at(4)  # superseded 100 seconds ago: somebody may have opened it 101 seconds ago
    kept.maintain(keep_seconds=600)
    assert keys(pinned) == [passages("d", revision="2")[0].key]
    assert [version["version"] for version in kept._data.version_refs()] == [4, 5, 6, 7]


def test_a_reader_of_a_freed_version_is_told_to_refresh(
    kept: Lance, folder: Path, space: Space, passages: Passages, drawn: Drawn
) -> None:
    kept.replace(passages("a", 5), drawn(5), tenant="us")
    readers = [Lance.open(folder) for _ in range(4)]
    kept.replace(passages("a", 2, revision="2"), drawn(2), tenant="us")
    kept.maintain(keep_seconds=0)
    questions: list[Callable[[Lance], Any]] = [
        lambda reader: list(reader.scan(["text"], tenant="us")),
        lambda reader: reader.count(where=parse("number = 1"), tenant="us"),
        lambda reader: reader.search(drawn(1)[space.id], 1, space=space, tenant="us"),
        lambda reader: reader.stats(),
    ]
    for reader, ask in zip(readers, questions, strict=True):
        with pytest.raises(ArtifactError, match="superseded long ago") as caught:
            ask(reader)
        assert "refresh()" in caught.value.mend
        assert reader.refresh()
        ask(reader)


def test_old_versions_are_freed_by_themselves_when_most_can_go(
    kept: Lance, folder: Path, passages: Passages, drawn: Drawn
) -> None:
    for turn in range(100):
        kept.replace(passages("d", revision=str(turn)), drawn(1), tenant="us")
        age(folder, kept.version, 1000)
    assert len(kept._data.version_refs()) < 50


# Writers --------------------------------------------------------------------------------------------------------------


def test_a_column_that_another_process_widens_meanwhile(
    monkeypatch: pytest.MonkeyPatch, kept: Lance, folder: Path, passages: Passages, drawn: Drawn
) -> None:
    kept.replace(passages("a", size=1), drawn(1), tenant="us")
    other, written = Lance.open(folder), []

    def slow(*arguments: Any) -> None:  # between the file and the commit
        written.append(1)
        if len(written) == 1:
            other.replace(passages("b", size=0.5), drawn(1), tenant="us")
        lance_folder.check_written(*arguments)

    monkeypatch.setattr(lance_module, "check_written", slow)
    kept.replace(passages("c", size=3), drawn(1), tenant="us")
    assert len(written) == 3
    assert kept.count(where=parse("size > 0.75"), tenant="us") == 2


def test_threads_share_an_object(kept: Lance, passages: Passages, drawn: Drawn) -> None:
    def write(number: int) -> None:
        for turn in range(5):
            kept.replace(passages(f"d{number}", 1 + turn, revision=str(turn)), drawn(1 + turn), tenant="us")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert keys(kept) == sorted(row.key for number in range(4) for row in passages(f"d{number}", 5, revision="4"))


KILLED = """
import os, signal, sys
import numpy as np
from vicino.store import lance, lance_commits, lance_upkeep
from vicino.store.base import Row

folder, where = sys.argv[1:]
kept = lance.Lance.open(folder)

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(function):
    def wrapped(*arguments, **more):
        function(*arguments, **more)
        die()
    return wrapped

places = {
    "file written": (lance, "check_written", die),
    "lock held": (lance, "commit", die),
    "committed": (lance, "commit", after(lance.commit)),
    "column made": (lance, "make_room", after(lance.make_room)),
    "rows widened": (lance_commits, "_drop_integers", die),
    "rows copied": (lance_upkeep, "_commit", die),
    "upkeep done": (lance_upkeep, "_commit", after(lance_upkeep._commit)),
    "freeing": (lance, "clean", die),
}
setattr(*places[where])
rows = [Row("new", "us", "web", "a", 0, 0, 1, "", "x", "", "2", {"size": 0.5, "fresh": 1})]
kept.replace(rows, {kept.spaces[0].id: np.ones((1, 4), dtype=np.float32)}, tenant="us")
kept.maintain()
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("where", "done"),
    [
        *(("file written", False), ("lock held", False), ("committed", True), ("column made", False), ("rows widened", False)),
        *(("rows copied", True), ("upkeep done", True), ("freeing", True)),
    ],
)
def test_killed_anywhere_the_store_is_whole_and_free(
    where: str, done: bool, kept: Lance, folder: Path, passages: Passages, drawn: Drawn
) -> None:
    for document in "abc":
        kept.replace(passages(document, 2, size=1), drawn(2), tenant="us")
    before = keys(kept)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), where], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    kept = Lance.open(folder)
    after = ["new", *(key for key in before if "/a/" not in key)]
    assert keys(kept) == (sorted(after) if done else before)
    kept.replace(passages("d", size=0.25), drawn(1), tenant="us")  # nobody holds a lock
    kept.maintain(keep_seconds=0)
    assert kept.count(where=parse("size = 1 or size = 0.25"), tenant="us") == (5 if done else 7)
    assert kept.columns["size"] == "number"


def test_nothing_is_written_to_stderr(kept: Lance, folder: Path, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a", 2), drawn(2), tenant="us")
    program = """
import sys
from vicino import store
from vicino.data.filters import parse
kept = store.open(sys.argv[1])
kept.search([[1, 2, 3, 4]], 1, space=kept.spaces[0], where=parse("number = 1 and text contains 'x'"), tenant="us")
kept.delete(parse("number = 1"), tenant="us")
kept.maintain(keep_seconds=0)
"""
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


# Values ---------------------------------------------------------------------------------------------------------------


def test_a_passage_of_a_hundred_megabytes(kept: Lance, passages: Passages, drawn: Drawn) -> None:
    row = replace(passages("a")[0], text="long words " * 10_000_000)
    kept.replace([row, *passages("b")], drawn(2), tenant="us")
    (found,) = (
        text for batch in kept.scan(["text"], where=parse("document = 'a'"), tenant="us") for text in batch["text"].to_pylist()
    )
    assert found == row.text
    assert kept.count(where=parse("text contains 'nine'"), tenant="us") == 1


def test_a_passage_beyond_the_limit_is_named(
    monkeypatch: pytest.MonkeyPatch, kept: Lance, passages: Passages, drawn: Drawn
) -> None:
    monkeypatch.setattr(store_rows, "LONGEST", 8)
    with pytest.raises(InputTooLarge, match="more than 8 characters"):
        kept.replace(passages("a"), drawn(1), tenant="us")


def test_too_many_metadata_names_are_named(
    monkeypatch: pytest.MonkeyPatch, kept: Lance, passages: Passages, drawn: Drawn
) -> None:
    monkeypatch.setattr(store_rows, "MOST_COLUMNS", 3)
    kept.replace(passages("a", x=1, y=2), drawn(1), tenant="us")
    assert kept.misfits({"x": 5, "z": 1, "an other": 2}) == ""
    assert "more than 3 names" in kept.misfits({"z": 1, "w": 2})


def test_a_scan_holds_a_few_rows_at_a_time(
    monkeypatch: pytest.MonkeyPatch, kept: Lance, passages: Passages, drawn: Drawn
) -> None:
    monkeypatch.setattr(lance_module, "BATCH_BYTES", 1 << 20)
    rows = [replace(row, text=f"{row.number:06}" * 20_000) for row in passages("a", 64)]  # 120 kB each
    kept.replace(rows, drawn(64), tenant="us")
    batches = [(batch.num_rows, batch.nbytes) for batch in kept.scan(["text"], tenant="us")]
    assert sum(rows for rows, _ in batches) == 64
    assert max(size for _, size in batches) < 3 << 20


# Damage ---------------------------------------------------------------------------------------------------------------


def test_formats_that_are_not_ours_are_named(kept: Lance, folder: Path, tmp_path: Path) -> None:
    import lance
    import pyarrow as pa

    def remade(about: bytes | None) -> Path:
        shutil.rmtree(folder)
        metadata = {} if about is None else {lance_spaces.ABOUT: about}
        lance.write_dataset(kept._data.schema.with_metadata(metadata).empty_table(), str(folder))
        return folder

    about = json.loads(kept._data.schema.metadata[lance_spaces.ABOUT])
    with pytest.raises(ArtifactTooNew, match="format 3"):
        Lance.open(remade(json.dumps(about | {"format": 3}).encode()))
    for bad in (None, b"{", b"[]", b'{"format": 1}', b'{"format": "1", "spaces": []}', b'{"format": 1, "spaces": [{"id": "x"}]}'):
        with pytest.raises(ArtifactCorrupt, match="no store of vicino's"):
            Lance.open(remade(bad))
    other = [Space("other", 3).to_json()]
    with pytest.raises(ArtifactCorrupt, match="vector_other"):
        Lance.open(remade(json.dumps({"format": 1, "spaces": other}).encode()))
    lance.write_dataset(pa.table({"a": [1]}), str(tmp_path / "theirs"))
    with pytest.raises(ArtifactCorrupt, match="no store of vicino's"):
        Lance.open(tmp_path / "theirs")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("part", ["data", "_versions", "_deletions"])
def test_damage_is_named_or_does_no_harm(
    part: str, seed: int, kept: Lance, folder: Path, space: Space, passages: Passages, drawn: Drawn
) -> None:
    kept.replace(passages("a", 20) + passages("b", 20), drawn(40), tenant="us")
    kept.replace(passages("a", 3, revision="2"), drawn(3), tenant="us")
    draw = random.Random(seed)
    file = draw.choice(sorted((folder / part).iterdir())[: 2 if part == "data" else 1])
    content = bytearray(file.read_bytes())
    if seed < 2:
        content = content[: len(content) * seed // 2]
    for _ in range(20):
        if content:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)
    with contextlib.suppress(ArtifactError):
        reader = Lance.open(folder)
        list(reader.scan(["key", "text", "number"], tenant=None, space=space))
        reader.search(drawn(1)[space.id], 3, space=space, tenant="us")
        reader.replace(passages("b", 1, revision="3"), drawn(1), tenant="us")


def test_a_panic_of_rust_is_named(monkeypatch: pytest.MonkeyPatch, kept: Lance) -> None:
    class PanicException(BaseException):
        pass

    def panic(*_: Any, **__: Any) -> None:
        raise PanicException("index out of range")

    monkeypatch.setattr(type(kept._data), "count_rows", panic)
    with pytest.raises(ArtifactCorrupt, match="index out of range"):
        kept.count(tenant=None)


FULL_DISK = """
import resource, sys
import numpy as np
from vicino.data.filters import parse
from vicino.errors import ArtifactCorrupt, ArtifactError
from vicino.store import lance_upkeep
from vicino.store.base import Row
from vicino.store.lance import Lance

folder = sys.argv[1]
kept = Lance.open(folder)
lance_upkeep.FEW = 4
refused = 0

def row(document, revision, **metadata):
    return Row(f"{document}/{revision}", "us", "web", document, 0, 0, 1, "", revision * 20, "", revision, metadata)

def put(row):
    kept.replace([row], {kept.spaces[0].id: np.ones((1, 4), dtype=np.float32)}, tenant="us")

def stored():
    reader = Lance.open(folder)
    batches = reader.scan(["key", "text", "metadata"], tenant=None, space=reader.spaces[0])
    return sorted(key for batch in batches for key in batch["key"].to_pylist())

writes = [
    lambda size: put(row("a", str(size))),
    lambda size: put(row("b", str(size), **{f"x{size}": 1})),
    lambda size: put(row("b", f"{size}+", **{f"y{size}": 0.5})),
    lambda size: kept.delete(parse(f"document = 'c{size}'"), tenant="us"),
    lambda size: kept.maintain(keep_seconds=0),
]
for size in [*range(0, 6000, 149), 20000]:
    put(row(f"c{size}", "1", **{f"y{size}": 1}))
    for write in writes:
        before = stored()
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))  # no file may grow beyond
        try:
            write(size)
        except ArtifactError as error:
            refused += 1
            assert not isinstance(error, ArtifactCorrupt) and "the disk is full" in str(error), error
            failed = True
        else:
            failed = False
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        after = stored()  # all of it can be read
        assert after == before or not failed, (size, before, after)
        kept.refresh()
print(refused)
"""


@pytest.mark.long
def test_a_full_disk_is_named_and_loses_nothing(kept: Lance, folder: Path, python: Callable[..., str]) -> None:
    assert int(python(FULL_DISK, folder).split()[-1]) > 20


def test_a_file_that_lost_its_end_is_never_committed(
    monkeypatch: pytest.MonkeyPatch, kept: Lance, folder: Path, passages: Passages, drawn: Drawn
) -> None:
    from lance import fragment

    kept.replace(passages("a"), drawn(1), tenant="us")
    write = fragment.write_fragments

    def torn(*arguments: Any, **more: Any) -> Any:
        files = write(*arguments, **more)
        os.truncate(folder / "data" / files[0].files[0].path, 100)
        return files

    monkeypatch.setattr(fragment, "write_fragments", torn)
    with pytest.raises(ArtifactError, match="100 of"):
        kept.replace(passages("a", revision="2"), drawn(1), tenant="us")
    assert keys(Lance.open(folder)) == [passages("a")[0].key]


def test_a_folder_that_may_not_be_written(kept: Lance, monkeypatch: pytest.MonkeyPatch, passages: Passages, drawn: Drawn) -> None:
    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lance_module, "commit", denied)
    with pytest.raises(ArtifactError, match="permission denied"):
        kept.replace(passages("a"), drawn(1), tenant="us")


def test_what_a_create_that_was_killed_left_is_no_store(folder: Path, space: Space) -> None:
    folder.mkdir()
    (folder / lance_folder.COMMIT).touch()
    (folder / "_versions").mkdir()
    (folder / "_transactions").mkdir()
    with pytest.raises(ArtifactError, match="no store"):
        Lance.open(folder)
    assert Lance.create(folder, [space]).count(tenant=None) == 0


def test_two_processes_make_one_store(folder: Path, space: Space) -> None:
    def make(_: int) -> bool:
        try:
            Lance.create(folder, [space])
        except ArtifactError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(4))) == [False, False, False, True]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, folder: Path, space: Space) -> None:
    monkeypatch.setitem(sys.modules, "lance", None)
    for ask in (lambda: store.create(folder, [space]), lambda: store.open(folder)):
        with pytest.raises(MissingExtra, match="'store'"):
            ask()


# Spaces ---------------------------------------------------------------------------------------------------------------

NEW = Space("new", 3)


@pytest.mark.parametrize("step", ["add", "fill", "serve", "drop"])
def test_a_space_changes_while_upkeep_copies(
    step: str, kept: Lance, folder: Path, space: Space, passages: Passages, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [passages(str(number))[0] for number in range(5)]
    for row in rows:
        kept.replace([row], drawn(1), tenant="us")
    keys, new = [row.key for row in rows], drawn(5, NEW)[NEW.id]
    if step != "add":
        kept.add_space(NEW)
    if step in ("serve", "drop"):
        kept.fill(NEW, keys, new)
    other, copy, copied = Lance.open(folder), lance_upkeep._rewrite, []

    def then(*given: Any) -> Any:
        found = copy(*given)
        if not copied:
            copied.append(len(found))
            does = {
                "add": lambda: other.add_space(NEW),
                "fill": lambda: other.fill(NEW, keys[1:4], new[1:4]),
                "serve": lambda: other.serve([NEW], note="x"),
                "drop": lambda: other.drop_space(NEW),
            }
            does[step]()
        return found

    monkeypatch.setattr(lance_upkeep, "_rewrite", then)
    assert kept.maintain().files_after
    assert copied == [1]
    assert len(kept._data.get_fragments()) == 1
    assert (kept.spaces, kept.filling) == {"serve": ((NEW,), (space,)), "drop": ((space,), ())}.get(step, ((space,), (NEW,)))
    if step != "drop":
        found = {row["key"]: row["vector"] for batch in kept.scan(["key"], tenant="us", space=NEW) for row in batch.to_pylist()}
        filled = {"add": slice(0), "fill": slice(1, 4), "serve": slice(5)}[step]
        assert found == dict(zip(keys[filled], new[filled].tolist(), strict=True))


def test_a_table_keeps_format_1_until_its_spaces_change(kept: Lance, passages: Passages, drawn: Drawn) -> None:
    def written() -> int:
        return int(json.loads(kept._data.schema.metadata[lance_spaces.ABOUT])["format"])

    kept.replace(passages("a"), drawn(1), tenant="us")
    assert written() == 1
    kept.add_space(NEW)
    assert written() == lance_spaces.FORMAT == 2


@pytest.mark.parametrize("maintained", [False, True])
@pytest.mark.parametrize("broken", ["add", "drop"])
def test_a_change_of_spaces_that_was_cut_off(
    maintained: bool,
    broken: str,
    kept: Lance,
    folder: Path,
    space: Space,
    passages: Passages,
    drawn: Drawn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept.replace(passages("a"), drawn(1), tenant="us")
    if broken == "drop":
        kept.add_space(NEW)
        kept.fill(NEW, [passages("a")[0].key], drawn(1, NEW)[NEW.id])

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    import lance

    with monkeypatch.context() as patch:
        patch.setattr(lance.LanceDataset, "update_schema_metadata" if broken == "add" else "drop_columns", killed)
        with pytest.raises(KeyboardInterrupt):
            kept.add_space(NEW) if broken == "add" else kept.drop_space(NEW)
    again = Lance.open(folder)
    assert (again.spaces, again.filling) == ((space,), ())
    again.replace(passages("b"), drawn(1), tenant="us")
    if maintained:
        again.maintain()
    assert (store_rows.vector_column(NEW) in again._data.schema.names) == (not maintained)
    assert again.count(tenant="us") == 2
    again.add_space(NEW)
    assert sum(batch.num_rows for batch in again.scan(["key"], tenant="us", lacking=NEW)) == 2
