"""Killed, crowded, out of room: what was acknowledged is there, whole and searchable, without a repair by hand.

`make test-crash` runs it; `conftest.py` sums it up in a line. See `nursery.py` for how, `world.py` for what.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vicino.catalog import Entry

KILLS = 40  # of each kind, inside acts of it
KINDS = ("ingest", "update", "delete", "maintenance", "index", "migration")
SECONDS = 60  # of the crowd
ROOM = 6 << 20  # bytes of the small disk

Nursery = Callable[..., dict[str, Any]]


@pytest.fixture
def nursery(need, record_property) -> Nursery:
    need(Entry("", "", "store"))

    def run(what: str, home: Path, *options: str) -> dict[str, Any]:
        command = [sys.executable, str(Path(__file__).with_name("nursery.py")), what, str(home), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        record_property("crash", json.dumps({what: found}))
        return found

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_moments(kind: str, nursery: Nursery, tmp_path: Path) -> None:
    done = nursery("kills", tmp_path / "home", "--kind", kind, "--count", str(KILLS), "--seed", "7")
    assert done["inside"][kind] == KILLS
    assert done["acknowledged"] > 0


def test_two_writers_and_four_readers(nursery: Nursery, tmp_path: Path) -> None:
    done = nursery("crowd", tmp_path / "home", "--seconds", str(SECONDS))
    assert done["commits"] > 10
    assert done["reads"] > 10
    assert done["upkeep"] > 3


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    yield folder
    if mounted.returncode == 0:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(nursery: Nursery, small: Path) -> None:
    done = nursery("full", small / "home", *([] if os.path.ismount(small) else ["--no-disk"]))
    assert all(done["refused"][kind] >= 1 for kind in ("ingest", "update", "delete", "maintenance"))
