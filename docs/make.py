"""Write docs/commands.md from the command line itself, and the README's tables from docs/figures/.

    python docs/make.py            write
    python docs/make.py --check    exit 1 where something written is out of date

`make bench` prints the figures; copy bench-out/*.json to docs/figures/ to publish them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import typer

from vicino.cli import app

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures"


def main() -> None:
    wanted = {ROOT / "docs" / "commands.md": commands(), ROOT / "README.md": readme((ROOT / "README.md").read_text("utf-8"))}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv:
        sys.exit(f"out of date: {', '.join(path.name for path in stale)}; run make docs" if stale else 0)
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


def commands() -> str:
    """Every command with its arguments and options, as Markdown."""
    group = typer.main.get_command(app)
    pages = [
        "# Commands\n\nWritten by `make docs` from the command line itself. An option's value comes from its flag, else from the "
        "environment (`VICINO_COMPARE_SEED`), else from `vicino.toml` (`[compare]`, `seed = 1`), else from its default. Data goes "
        "to standard output, progress and hints to standard error. Exit code 0 is fine, 1 a finding, 2 a usage error.\n"
    ]
    for name, command in sorted(group.commands.items()):  # type: ignore[attr-defined]
        arguments = [p.name.upper() for p in command.params if p.param_type_name == "argument"]
        rows = [f"| {_flags(p)} | {p.help or ''}{_default(p)} |" for p in command.params if p.name != "help"]
        table = "\n".join(["| | |", "|---|---|", *rows])
        pages.append(f"## vicino {' '.join([name, *arguments])}\n\n{command.help}\n\n{table}\n")
    return "\n".join(pages)


def _flags(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.type.name.upper()}"
    return f"`{', '.join([*parameter.opts, *parameter.secondary_opts])}{value}`"


def _default(parameter: Any) -> str:
    silent = parameter.default in (None, False) or parameter.param_type_name == "argument" or callable(parameter.default)
    return "" if silent else f" Default: {str(parameter.default).lower() if parameter.is_flag else parameter.default}."


def readme(text: str) -> str:
    """The README with the part between each pair of marks written anew from the figures."""
    for name, write in (("ladder", ladder), ("encode", encode), ("lexical", lexical)):
        file = FIGURES / f"{name}.json"
        if file.exists():
            body = write(json.loads(file.read_text("utf-8")))
            marks = rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)"
            text = re.sub(marks, lambda match, body=body: f"{match[1]}{body}\n{match[2]}", text, flags=re.DOTALL)
    return text


def ladder(plain: dict[str, Any]) -> str:
    tables = []
    for name, result in plain["results"].items():
        clean = result["clean_queries"] < result["queries"]
        head = ["", "nDCG@10", *(["clean queries"] if clean else []), "Recall@100", "vs baseline", "p", "docs/s", "ms a query"]
        rows = [_ladder_row(candidate, result, clean) for candidate in result["candidates"]]
        title = f"**{name}**: {result['documents']:,} documents, {result['queries']:,} queries"
        title += f" ({result['clean_queries']} clean of the train split's answers)." if clean else "."
        tables.append(f"{title}\n\n{_table(head, rows)}\n\n> {result['verdict']}\n")
    return "\n".join(tables)


def _ladder_row(candidate: dict[str, Any], result: dict[str, Any], clean: bool) -> list[str]:
    if "error" in candidate:
        return [candidate["name"], "failed"]
    mean, low, high = candidate["metrics"]["nDCG@10"]
    name = f"**{candidate['name']}**" if candidate["name"] == result["pick"] else candidate["name"]
    tally = candidate["wins_ties_losses"]
    return [
        name,
        f"{mean:.3f} [{low:.3f}, {high:.3f}]",
        *([f"{candidate['clean'][0]:.3f}"] if clean else []),
        f"{candidate['metrics']['Recall@100'][0]:.3f}",
        "baseline" if tally is None else f"+{tally[0]} ={tally[1]} −{tally[2]}",
        "" if candidate["p"] is None else "< .001" if candidate["p"] < 0.001 else f"{candidate['p']:.3f}",
        f"{candidate['documents_per_second']:,.0f}",
        f"{candidate['ms_per_query']['p50']:.2f}",
    ]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
