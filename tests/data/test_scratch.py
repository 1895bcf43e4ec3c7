"""Temporary folders: gone with their block, swept up after a killed process, and never taken from one that lives."""

from __future__ import annotations

import errno
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vicino.data.scratch import reserve, scratch
from vicino.errors import ArtifactError

KILLED = """
import os, signal
from vicino.data.scratch import scratch
with scratch("test") as folder:
    (folder / "large").write_text("text")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _temporary(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def killed(tmp_path: Path) -> Path:
    """The folder of a process that was killed."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED], env=os.environ | {"TMPDIR": str(tmp_path)}, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return Path(done.stdout.decode().strip())


def test_a_folder_goes_with_its_block_whatever_happens(tmp_path):
    def work():
        with scratch("test") as folder:
            assert folder.parent == tmp_path
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_text("text")
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_swept_up_by_the_next(tmp_path):
    left = killed(tmp_path)
    assert (left / "large").is_file()
    with scratch("test") as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_nothing_else_is_swept_up(tmp_path, monkeypatch):
    left = killed(tmp_path)
    pid = left.name.split("-")[-2]
    node = platform.node()
    others = [
        tmp_path / name
        for name in (
            f"vicino-test-{node}-{os.getppid()}-lives",
            f"vicino-other-{node}-{pid}-another_purpose",
            f"vicino-test-other-{node}-{pid}-another_machine",
            f"vicino-test-{node}-{10**12}-no_process",
            "vicino-test-mine",
            "mine",
        )
    ]
    for each in others:
        each.mkdir()
    (tmp_path / f"vicino-test-{node}-{pid}-link").symlink_to(tmp_path / "mine")
    (tmp_path / f"vicino-test-{node}-{pid}-file").write_text("text")
    with monkeypatch.context() as patch:
        patch.setattr("os.getuid", lambda: left.stat().st_uid + 1)
        with scratch("test"):
            assert left.is_dir()  # another user's
    before = set(tmp_path.iterdir())
    with scratch("test"), scratch("test") as second:
        assert second.is_dir()  # beside the first, whose process lives
    assert set(tmp_path.iterdir()) == before - {left}


def test_a_place_where_nothing_can_be_made_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(ArtifactError, match="temporary files"), scratch("test"):
        pass


# Room -----------------------------------------------------------------------------------------------------------------


def test_room_is_taken_before_it_is_written_to(tmp_path):
    (tmp_path / "file").write_bytes(b"text")
    reserve(tmp_path / "file", 1 << 20)
    assert (tmp_path / "file").stat().st_blocks * 512 >= 1 << 20
    assert (tmp_path / "file").read_bytes() == b"text".ljust(1 << 20, b"\0")


@pytest.mark.parametrize(("number", "named"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EOPNOTSUPP, False)])
def test_a_full_disk_is_named_and_a_file_system_that_cannot_reserve_is_no_obstacle(tmp_path, monkeypatch, number, named):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.posix_fallocate", fail, raising=False)
    if not named:
        reserve(tmp_path / "file", 4)
        assert (tmp_path / "file").read_bytes() == bytes(4)
        return
    with pytest.raises(ArtifactError, match=f"{tmp_path} has no room for 4 bytes") as caught:
        reserve(tmp_path / "file", 4)
    assert "TMPDIR" in caught.value.mend
