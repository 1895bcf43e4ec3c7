"""What is wrong with interactions, before anything is learnt from them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vicino.data.interactions import Interactions
from vicino.data.lint import Finding, Lint, Severity

__all__ = ["lint_interactions"]

_SHOWN = 5  # rows of a finding
_FEW = 200  # users: an interval of nDCG@20 is then as wide as the differences that matter
_MOST = 0.5  # share of the interactions that one user, or one item, may have

Rows = NDArray[np.int64]


def lint_interactions(interactions: Interactions) -> Lint:
    """Look at what is to be learnt from. Rows are those of `interactions`, or of its users or items, as the sentence says.

    >>> found = lint_interactions(Interactions.of([*"aab"], ["tea", "tea", "rice"]))
    >>> [one.name for one in found.findings]
    ['few users', 'repeats', 'short histories', 'rare items']
    """
    found = list(_findings(interactions))
    order = ("problem", "warning", "note")
    return Lint(tuple(sorted(found, key=lambda one: order.index(one.severity))))


def _findings(interactions: Interactions) -> Iterator[Finding]:
    n, size = len(interactions), len(interactions.items)
    pairs, first = np.unique(interactions.user * size + interactions.item, return_index=True)
    lengths = np.bincount(pairs // size, minlength=len(interactions.users))
    counts = np.bincount(pairs % size, minlength=size)
    users = int((lengths > 0).sum())
    if users < _FEW:
        told, mend = f"only {users:,} users", "bring more users: with so few no difference shows"
        yield _finding("few users", "warning", np.arange(0), users, told, mend)
    for name, kind, of in (("one item", "items", counts), ("one user", "users", lengths)):
        most = np.flatnonzero(of > _MOST * len(pairs))
        if len(most):
            told = f"one of {len(of):,} {kind} has {of.max() / len(pairs):.0%} of all interactions"
            yield _finding(name, "warning", most, len(of), told, f"see whether it is one of the {kind} at all")
    later = np.setdiff1d(np.arange(n), first)
    if len(later):
        told = f"{len(later):,} of {n:,} interactions repeat an earlier one"
        yield _finding("repeats", "note", later, n, f"{told}: each user's items count once", "")
    short = np.flatnonzero((lengths > 0) & (lengths < 2))
    if len(short):
        told = f"{len(short):,} of {users:,} users met fewer than 2 items, and are not among those who judge"
        yield _finding("short histories", "note", short, users, told, "")
    rare = np.flatnonzero(counts == 1)
    if len(rare):
        told = f"{len(rare):,} of {(counts > 0).sum():,} items were met by one user only: of these little can be learnt"
        yield _finding("rare items", "note", rare, int((counts > 0).sum()), told, "")


def _finding(name: str, severity: Severity, rows: Rows, total: int, told: str, mend: str) -> Finding:
    return Finding(name, severity, len(rows), len(rows) / max(total, 1), tuple(rows[:_SHOWN].tolist()), told, mend)
