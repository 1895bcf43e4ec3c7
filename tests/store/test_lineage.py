"""Lineage: lines are added whole, a torn one is passed over, and a key finds its last batch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vicino.errors import ArtifactError
from vicino.store import lineage

MODEL = [{"name": "m", "space": "s", "arithmetic": "float32"}]
KEYS = [f"{number:032x}" for number in (1 << 100, 2 << 100, 3 << 100)]


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    assert list(lineage.read(tmp_path)) == []
    first = lineage.append(tmp_path, "ingest", model=MODEL, version=3, tenant="us", source="web", keys=KEYS[:2], documents=1)
    second = lineage.append(tmp_path, "switch", model=MODEL, version=4, note="a -> b")
    lines = list(lineage.read(tmp_path))
    assert [line.stamp for line in lines] == [first, second]
    assert (lines[0].rows, lines[0].documents, lines[0].tenant, lines[0].source) == (2, 1, "us", "web")
    assert lines[0].holds(KEYS[1])
    assert not lines[0].holds(KEYS[2])
    assert lines[0].versions["numpy"]
    assert "@" in lines[0].user
    assert lines[1].note == "a -> b"
    assert "keys" not in lines[0].to_json()
    assert [line.action for line in lineage.read(tmp_path, tenant="us")] == ["ingest"]


@pytest.mark.parametrize("torn", [b'{"action": "ing', b"\xff\xfe", b'{"action": "later", "unknown": 1}', b"[" * 99_999])
def test_a_torn_line_is_passed_over_and_the_next_stands_alone(torn: bytes, tmp_path: Path) -> None:
    lineage.append(tmp_path, "ingest", model=MODEL, version=1)
    with (tmp_path / lineage.FILE).open("ab") as file:
        file.write(torn)
    assert len(list(lineage.read(tmp_path))) == 1
    lineage.append(tmp_path, "fill", model=MODEL, version=2)
    assert [line.action for line in lineage.read(tmp_path)] == ["ingest", "fill"]


@pytest.mark.parametrize(("field", "value"), [("keys", 5), ("rows", "many"), ("model", [1]), ("model", 7), ("note", None)])
def test_a_line_of_other_kinds_is_passed_over(field: str, value: Any, tmp_path: Path) -> None:
    """What somebody else exported may say anything."""
    lineage.append(tmp_path, "ingest", model=MODEL, version=1, keys=["a"])
    file = tmp_path / lineage.FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), field: value}))
    assert not list(lineage.read(tmp_path))


def test_the_last_batch_of_a_key_counts_for_each_space(tmp_path: Path) -> None:
    other = [{**MODEL[0], "space": "t"}]
    lineage.append(tmp_path, "ingest", model=MODEL, version=1, keys=KEYS)
    again = lineage.append(tmp_path, "ingest", model=MODEL, version=2, keys=KEYS[1:2])
    filled = lineage.append(tmp_path, "fill", model=other, version=3, keys=[*KEYS, "a name that is no digest"])
    found = lineage.last_of(lineage.read(tmp_path), [KEYS[0], KEYS[1], "a name that is no digest", "nobody's"])
    assert found[KEYS[1]]["s"].stamp == again
    assert found[KEYS[1]]["t"].stamp == found["a name that is no digest"]["t"].stamp == filled
    assert found[KEYS[0]]["s"].version == 1
    assert "nobody's" not in found


def test_several_processes_add_whole_lines(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from vicino.store import lineage\n"
        "for n in range(50): lineage.append(Path(sys.argv[1]), sys.argv[2], model=[], version=n, keys=[f'{n:032x}'] * 500)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in ("a", "b")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    lines = list(lineage.read(tmp_path))
    assert len(lines) == 100
    for name in ("a", "b"):
        assert [line.version for line in lines if line.action == name] == list(range(50))


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / lineage.FILE).mkdir()
    with pytest.raises(ArtifactError, match="cannot write"):
        lineage.append(tmp_path, "ingest", model=[], version=1)
    with pytest.raises(ArtifactError, match="cannot read"):
        list(lineage.read(tmp_path))


def test_lines_are_json(tmp_path: Path) -> None:
    lineage.append(tmp_path, "ingest", model=MODEL, version=1, source="a\nb\u2028\ud83d", keys=KEYS)
    (line,) = (tmp_path / lineage.FILE).read_text().splitlines()
    assert json.loads(line)["keys"] == "".join(key[: lineage.DIGITS] for key in KEYS)
