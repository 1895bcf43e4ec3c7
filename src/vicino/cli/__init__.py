"""The command line: parses, calls `vicino.workbench`, prints. It holds no logic.

Data goes to standard output, progress and hints to standard error. Exit code 0 is fine, 1 a finding, 2 a usage error.
An option's value comes from its flag, else from the environment (VICINO_COMPARE_SEED), else from `vicino.toml` in the
current folder ([compare] seed = 1), else from its default.
"""

from __future__ import annotations

from vicino.cli import (
    abtesting,
    doctoring,
    exchanging,
    indexing,
    judging,
    keeping,
    keys,
    labelling,
    making,
    mapping,
    migrating,
    pooling,
    recommending,
    serving,
    training,
    upkeep,
)
from vicino.cli.app import app, main

__all__ = [
    "abtesting",
    "app",
    "doctoring",
    "exchanging",
    "indexing",
    "judging",
    "keeping",
    "keys",
    "labelling",
    "main",
    "making",
    "mapping",
    "migrating",
    "pooling",
    "recommending",
    "serving",
    "training",
    "upkeep",
]
