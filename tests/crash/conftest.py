"""The summary line of the crash suite."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for state in ("passed", "failed") for report in terminalreporter.stats.get(state, [])]
    said = [json.loads(value) for report in reports for name, value in report.user_properties if name == "crash"]
    if said:
        terminalreporter.section("crash suite")
        for line in summary(said):
            terminalreporter.write_line(line)


def summary(said: list[dict[str, Any]]) -> list[str]:
    inside, outside, acknowledged, silent = Counter[str](), 0, 0, 0
    lines = []
    for one in said:
        for what, found in one.items():
            if what == "kills":
                inside.update(found["inside"])
                outside += found["outside"]
                acknowledged += found["acknowledged"]
                silent += found["committed_unacknowledged"]
            elif what == "crowd":
                lines.append(
                    f"two writers ({found['commits']:,} commits), four readers ({found['reads']:,} rounds) and upkeep "
                    f"({found['upkeep']:,} rounds) at once: nothing lost, nothing torn"
                )
            else:
                refused = ", ".join(f"{kind} {count}" for kind, count in found["refused"].items())
                lines.append(f"a full disk refused by name ({refused}): the old state intact")
    if inside:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(inside.items()))
        lines.insert(
            0,
            f"{inside.total():,} kills inside writes ({kinds}; {outside:,} outside were repeated), each checked: "
            f"{acknowledged:,} acknowledged acts, none lost; {silent:,} were committed and killed before they said so; no repair",
        )
    return lines
