"""Write docs/commands.md from the command line itself, and the tables of the README and of docs/scale.md from docs/figures/.

    python docs/make.py            write
    python docs/make.py --check    exit 1 where something written is out of date

`make bench` prints the figures; copy bench-out/*.json to docs/figures/ to publish them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from serving_tables import TABLES

from vicino.cli import app

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))
import plan  # noqa: E402

FIGURES = ROOT / "docs" / "figures"


def main() -> None:
    pages = {name: (ROOT / name).read_text("utf-8") for name in ("README.md", "docs/scale.md")}
    wanted = {
        ROOT / "docs" / "commands.md": commands(),
        ROOT / "README.md": readme(pages["README.md"]),
        ROOT / "docs" / "scale.md": plan.written(pages["docs/scale.md"], plan.Ask(), FIGURES),
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv:
        sys.exit(f"out of date: {', '.join(path.name for path in stale)}; run make docs" if stale else 0)
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")


def commands() -> str:
    """Every command with its arguments and options, as Markdown."""
    group = typer.main.get_command(app)
    pages = [
        "# Commands\n\nWritten by `make docs` from the command line itself. An option's value comes from its flag, else from the "
        "environment (`VICINO_COMPARE_SEED`), else from `vicino.toml` (`[compare]`, `seed = 1`), else from its default. Data "
        "goes to standard output, progress and hints to standard error. Exit code 0 is fine, 1 a finding, 2 a usage error.\n"
    ]
    for name, command in _commands(group):
        context = command.make_context(name, [], resilient_parsing=True)
        records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
        rows = [f"| `{flags}` | {' '.join(text.split())} |" for flags, text in records]
        table = "\n".join(["| | |", "|---|---|", *rows])
        pages.append(
            f"## vicino {name}\n\n    {command.get_usage(context).removeprefix('Usage: ')}\n\n{command.help}\n\n{table}\n"
        )
    return "\n".join(pages)


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command under its full name, those of groups too."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def readme(text: str) -> str:
    """The README with the part between each pair of marks written anew from the figures."""
    for name, write in TABLES.items():
        file = FIGURES / f"{name}.json"
        if file.exists():
            body = write(json.loads(file.read_text("utf-8")))
            marks = rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)"
            text = re.sub(marks, lambda match, body=body: f"{match[1]}{body}\n{match[2]}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    main()
