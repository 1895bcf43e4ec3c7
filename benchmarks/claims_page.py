"""docs/claims.md, from what claims.py printed."""

from __future__ import annotations

from collections import Counter
from typing import Any

METHOD = (
    "A claim foretells effects, each a difference that it says is above 0. An effect *holds* where its interval is "
    "above 0, *does not hold* where the interval leaves nothing that matters (.01), and is *not told apart* "
    "otherwise; a claim holds where all of its effects do, and partly where some do. All intervals of one claim hold "
    "together in 95 of 100 cases (Bonferroni): queries, pairs or items are drawn anew. Those read from another "
    "benchmark's figures hold each by itself in 95 of 100, and rows for comparison decide nothing. Queries that share "
    "answers are drawn together, but for Cranfield and CACM, where chains of shared answers tie most queries into one "
    "group: there they are drawn one by one, and intervals may be somewhat too narrow."
)


def page(report: dict[str, Any]) -> str:
    """docs/claims.md."""
    claims = report["claims"]
    lines = [
        "# What is said of embeddings, tested",
        "",
        "Written by `python benchmarks/claims.py --write docs/claims.md` from `docs/figures/claims.json`. " + METHOD,
        "",
        "| it is said that | verdict | effects that hold, do not, are open |",
        "|---|---|---|",
        *(f"| [{one['says']}](#{anchor(one)}) | **{one['verdict']}** | {tally(one)} |" for one in claims),
    ]
    for one in claims:
        lines += ["", *section(one)]
    return "\n".join(lines) + "\n"


def section(one: dict[str, Any]) -> list[str]:
    """What was said, the verdict, how it was tested, and each effect."""
    says, limits = one["says"], one["limits"]
    source = f" Read, in part or whole, from the figures of `{one['from']}`." if one["from"] else ""
    lines = [f"## {says}", "", f"**{one['verdict'].capitalize()}.** {outcomes(one['rows'])}".rstrip(), ""]
    lines += [one["tested"] + source, "", f"What this cannot tell: {limits}"]
    if one["rows"]:
        lines += ["", "| data | n | seeds | measured | effect | |", "|---|---:|---:|---|---|---|", *map(line, one["rows"])]
    return lines


def outcomes(rows: list[dict[str, Any]]) -> str:
    """Where it holds, where it does not, and where that is open.

    >>> outcomes([{"outcome": "yes", "data": "cacm, 3 documents"}, {"outcome": "", "data": "stsb"}])
    'It holds on cacm.'
    """
    words = {"yes": "It holds on", "no": "It does not on", "open": "Not told apart on"}
    parts = []
    for outcome, start in words.items():
        places = Counter(row["data"].partition(",")[0] for row in rows if row["outcome"] == outcome)
        if places:
            parts.append(
                f"{start} {', '.join(name if many == 1 else f'{name} ({many} effects)' for name, many in places.items())}."
            )
    return " ".join(parts)


def line(row: dict[str, Any]) -> str:
    """A row of a claim's table."""
    mean, low, high = row["effect"]
    span = f"({row['span']})" if row["span"] else f"[{low:+.3f}, {high:+.3f}]"
    words = {"yes": "holds", "no": "does not hold", "open": "not told apart", "": "for comparison"}
    asked = f", not below −{row['margin']:g}" if row["rule"] == "not below" else ""
    cells = [row["data"], f"{row['n']:,}", str(row["seeds"]), f"{row['shown']} ({row['measure']}{asked})", f"{mean:+.3f} {span}"]
    return f"| {' | '.join([*cells, words[row['outcome']]])} |"


def tally(one: dict[str, Any]) -> str:
    outcomes = [row["outcome"] for row in one["rows"]]
    return f"{outcomes.count('yes')}, {outcomes.count('no')}, {outcomes.count('open')}" if one["rows"] else ""


def anchor(one: dict[str, Any]) -> str:
    """The place of a heading, as Markdown's readers name it."""
    kept = (each for each in one["says"].lower() if each.isalnum() or each in " -_")
    return "".join(kept).replace(" ", "-")
