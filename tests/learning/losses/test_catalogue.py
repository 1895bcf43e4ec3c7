"""LOSSES: every loss of the room is listed, and is what it is said to be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from vicino.learning import losses
from vicino.learning.losses import LOSSES

FILES = sorted(Path(losses.__file__).parent.glob("[!_]*.py"))
PARTS = {"Temperature", "FalseNegatives", "with_margin"}  # what losses are made of


def test_every_loss_is_listed():
    public = set()
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        kinds = (ast.FunctionDef, ast.ClassDef)
        public |= {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}
    assert public - PARTS == {LOSSES.entry(name).target.partition(":")[2] for name in LOSSES}


@pytest.mark.parametrize("name", LOSSES)
def test_each_can_be_had_by_name(name, need):
    need(LOSSES.entry(name))
    assert callable(LOSSES[name])
    assert LOSSES[name].__doc__


def test_listing_loads_no_torch(python):
    program = "import sys; from vicino.learning.losses import LOSSES; print(len(LOSSES), 'torch' in sys.modules)"
    count, loaded = python(program).split()
    assert (int(count), loaded) == (len(LOSSES), "False")
