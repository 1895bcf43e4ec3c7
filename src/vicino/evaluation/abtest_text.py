"""Experiments as text: what a plan asks for, and what a log says."""

from __future__ import annotations

from vicino.evaluation.abtest import Plan, Preference, Reading
from vicino.evaluation.text import table

__all__ = ["plan_text", "preference_text", "reading_text"]


def plan_text(found: Plan) -> str:
    """A sentence or two.

    >>> from vicino.evaluation.abtest import plan
    >>> print(plan_text(plan(0.1, 0.01)))
    29,498 users, 14,749 in each of 2 groups, find a change of 0.01 from 0.1 with 80 % probability (5 % false alarms).
    """
    each = found.users // found.groups
    told = f"{found.users:,} users, {each:,} in each of {found.groups} groups, find a change of {found.effect:g} from "
    told += f"{found.baseline:g} with {100 * found.power:g} % probability ({100 * found.level:g} % false alarms)."
    if found.days is None:
        return told
    return f"{told}\nThat takes {found.days:,.1f} days. Decide then; to look before, read with --peek, which wants more users."


def reading_text(found: Reading, *, width: int = 160) -> str:
    """Groups, what was left out, the table and the decision."""
    groups = ", ".join(f"{name} {size:,}" for name, size in found.groups.items())
    lines = [f"users: {groups} (p = {found.shares_p:.2g} by the planned shares)", *(f"  {note}" for note in found.notes)]
    if found.compared:
        level = f"[{1 - found.level:.0%} of all differences together]"
        head = ["metric", "group", found.control, "value", f"difference {level}", "p", "decision", "would be found"]
        rows = [
            [
                one.metric,
                one.group,
                f"{one.control:.4g}",
                f"{one.value:.4g}",
                f"{one.difference.mean:+.4g} [{one.difference.low:+.4g}, {one.difference.high:+.4g}]",
                f"{one.p:.3f}" if one.p >= 0.001 else "<.001",
                one.decision,
                f"{one.smallest:.2g}",
            ]
            for one in found.compared
        ]
        lines += ["", table(head, rows, right=range(2, 6), width=width)]
        lines += ["  p: corrected for all comparisons" + (", and true however often one looks" if found.looked else "")]
    return "\n".join([*lines, "", found.verdict])


def preference_text(found: Preference) -> str:
    """What interleaving tells."""
    mean, low, high = found.share
    told = f"{found.users:,} users preferred one of {' and '.join(found.teams)}, {found.undecided:,} neither; "
    told += f"{mean:.1%} [{low:.1%}, {high:.1%}] of them {found.teams[1]}"
    return "\n".join([told, *(f"  {note}" for note in found.notes), "", found.verdict])
