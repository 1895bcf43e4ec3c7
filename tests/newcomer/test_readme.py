"""The README's commands and Python blocks run as they stand, and its written parts are up to date."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTES = {
    "wings.md": "# How wings lift\n\nAir that flows over a wing is turned downwards.\n\nThe wing is pushed up in return.\n",
    "tea.md": "# How tea steeps\n\nHot water draws colour and taste out of the leaves.\n\nThree minutes are enough.\n",
    "bees.md": "# How bees dance\n\nA forager tells the hive where flowers are.\n\nThe angle of her dance is the sun's.\n",
    "ice.md": "# Why ice floats on lakes\n\nWater grows as it freezes.\n\nSo ice is lighter than the lake below it.\n",
}
FRIENDS = ("Ada", "Bob", "Eve", "Kim", "Zoe")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "notes").mkdir()
    for name, text in NOTES.items():
        (folder / "notes" / name).write_text(text)
    for name, tint in (("sea", (20, 60, 160)), ("sand", (200, 160, 90))):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(15):
            noise = np.random.default_rng(number).integers(-20, 20, (16, 16, 3))
            Image.fromarray((np.array(tint) + noise).astype(np.uint8)).save(folder / "photos" / name / f"{number}.png")
    random = np.random.default_rng(0)
    rows = [f"u{user},i{(user % 3) * 8 + random.integers(8)}" for user in range(60) for _ in range(6)]
    (folder / "listens.csv").write_text("\n".join(["user,item", *dict.fromkeys(rows)]))
    (folder / "edges.tsv").write_text("".join(f"{left}\t{right}\n" for left, right in combinations(FRIENDS, 2)))
    return folder


def run(arguments: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(arguments, cwd=place, env={**os.environ, "PATH": path}, capture_output=True, text=True)


def test_every_command_runs_in_order(place):
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) >= 7
    for line in lines:
        done = run(["bash", "-c", line], place)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_every_python_block_runs(place, number):
    done = run([sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", blocks("python")[number]], place)
    assert done.returncode == 0, done.stderr


def test_the_two_commands_are_targets_of_the_makefile():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert [line.removeprefix("make ") for line in blocks("console")[0].split("\n") if line] == ["demo", "test"]
    assert {"demo", "test", "check", "bench", "docs", "clean"} <= set(targets)


def test_written_parts_are_up_to_date():
    done = run([sys.executable, str(ROOT / "docs" / "make.py"), "--check"], ROOT)
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere():
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+)\)", prose):
        assert (ROOT / link).exists(), link
