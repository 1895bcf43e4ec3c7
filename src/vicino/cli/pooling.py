"""The command that asks people: pool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet, Seed, Split, Text
from vicino.cli.printing import bars, print_json, say

__all__ = ["pool"]


@app.command()
def pool(
    data: Annotated[Path, typer.Argument(help="A BEIR folder, a folder of text, or a jsonl, csv or parquet file.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="The csv to judge in; what it holds already stays.")],
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="A,B", help="Candidates whose answers are judged: the more they differ, the better."),
    ] = None,
    depth: Annotated[int, typer.Option(help="How many answers of each candidate to each query.")] = 10,
    queries: Annotated[
        str, typer.Option(metavar="N|FILE", help="How many queries, or a file of queries that people asked.")
    ] = "50",
    split: Split = None,
    text: Text = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What candidates find, in a table that people judge blind: no names, random order. Run again, it adds what is new."""
    from vicino import workbench
    from vicino.catalog import split as split_names

    names = [name for listed in with_ or ("bm25,minilm",) for name in split_names(listed, ",")]
    asked = int(queries) if queries.isdecimal() else queries
    with bars(quiet):
        made = workbench.pool(data, to=to, candidates=names, depth=depth, queries=asked, split=split, text=text, seed=seed)
    if as_json:
        print_json(made.to_json())
        return
    print(
        f"{made.path}: {made.waiting:,} pairs of {made.queries:,} queries to judge, {made.added:,} of them new; "
        f"{made.judged:,} are judged"
    )
    if made.waiting:
        say("Write into the column grade: 0 not relevant, 1 relevant, 2 and more for better still.")
    say(f"Then:  vicino compare {data} --judgements {made.path}")
