"""What several commands share: their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["AsJson", "Columns", "Metrics", "Queries", "Quiet", "Report", "Seed", "Split", "Tenant", "Text", "recipe_of"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Columns = Annotated[str, typer.Option(help='Which column of a table is what, where names do not tell: "path=file,label=who".')]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Split = Annotated[str | None, typer.Option(help="Which qrels of a BEIR folder (default: test).")]
Text = Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the text of a table.")]
Queries = Annotated[int, typer.Option(help="How many queries to make where nobody judged any.")]
Metrics = Annotated[
    str | None, typer.Option(metavar="A,B", help="Metrics; the first decides (default: nDCG@10,Recall@100,MRR@10,judged@10).")
]
Tenant = Annotated[str, typer.Option(help="Whose documents; no tenant ever sees another's.")]
Report = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report: .html, .md or .json.")]


def recipe_of(params: str, **named: Any) -> dict[str, Any]:
    """What `--set` says, and what options of their own say, which count more."""
    from vicino.catalog import call

    return call(f"recipe({params})")[1] | {name: value for name, value in named.items() if value is not None}
