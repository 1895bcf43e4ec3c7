"""Commands of users and items: train recommender, recommend."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet, recipe_of
from vicino.cli.printing import bars, print_json, printable, width
from vicino.cli.training import train
from vicino.cli.verdicts import show_training

__all__ = ["recommend", "recommender"]


@train.command()
def recommender(
    data: Annotated[Path, typer.Argument(help="A table of users and items (csv, tsv, jsonl, parquet), or a folder of such.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the recommender goes.")],
    columns: Annotated[str, typer.Option(help='Which column is what, where names do not tell: "user=who,item=what".')] = "",
    items: Annotated[Path | None, typer.Option(metavar="FILE", help="A table of items, where it lies elsewhere.")] = None,
    users: Annotated[Path | None, typer.Option(metavar="FILE", help="A table of users, where it lies elsewhere.")] = None,
    epochs: Annotated[int | None, typer.Option(help="How often the interactions are read.")] = None,
    index: Annotated[str, typer.Option(help="What finds items: exact, or hnsw for millions.")] = "exact",
    params: Annotated[
        str, typer.Option("--set", help='More of the recipe: "vector_size=256,hard_negatives=1,dropout=0.5".')
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take: steps, time, memory.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads of torch (default: all).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Two towers of users and items, accepted only where they recommend better. Exit 1 where they were rejected."""
    from vicino import workbench
    from vicino.catalog import call

    recipe = recipe_of(params, epochs=epochs, threads=threads, seed=seed)
    reading: dict[str, Any] = {"columns": call(f"columns({columns})")[1], "items": items, "users": users}
    with bars(quiet, "what was learnt is kept, and the same command goes on from there"):
        made: Any = workbench.train_recommender(data, out, **reading, index=index, dry_run=dry_run, **recipe)
    show_training(made, dry_run, as_json, "ask it:  vicino recommend {0} USER      vicino recommend {0} --liked ITEM")


@app.command()
def recommend(
    path: Annotated[Path, typer.Argument(help="A recommender that was trained or saved.")],
    user: Annotated[str | None, typer.Argument(help="For whom.")] = None,
    liked: Annotated[
        list[str] | None, typer.Option(metavar="ITEM", help="For people who liked this, by id or name; may come several times.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many.")] = 10,
    seen: Annotated[bool, typer.Option("--seen", help="What the user met already too.")] = False,
    as_json: AsJson = False,
) -> None:
    """The best items for a user, or for people who liked some items."""
    from vicino import workbench
    from vicino.evaluation.text import table

    found = workbench.recommend(path, user, k, liked=liked or (), seen=seen)
    if as_json:
        print_json([{"item": item, "name": name, "score": score} for item, name, score in found])
    else:
        rows = [[printable(name), printable(item), f"{score:.4f}"] for item, name, score in found]
        print(table(["", "item", "score"], rows, right=(2,), width=width()))
