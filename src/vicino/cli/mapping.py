"""The command that draws: map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet, Seed, Text
from vicino.cli.printing import bars, print_json, printable, say

__all__ = ["draw"]


@app.command("map")
def draw(
    encoder: Annotated[str, typer.Argument(help="An encoder's name, a saved folder, or a hub name.")],
    data: Annotated[
        Path | None,
        typer.Argument(help="What to draw, of the kind that the encoder takes; without it its own words or nodes."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page: .html.")] = Path("map.html"),
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write coordinates and vectors as a table too.")] = None,
    n: Annotated[int, typer.Option(metavar="N", help="How many at most: names the most frequent, others by chance.")] = 20_000,
    method: Annotated[str | None, typer.Option(help="tsne or pca (default: both, where the extra map is installed).")] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that colours the points.")] = None,
    text: Text = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw the vectors of any encoder in two dimensions: one HTML page, without a network."""
    from vicino import workbench
    from vicino.evaluation.mapping import METHODS, require_html, write_csv, write_html

    require_html(out)
    with bars(quiet):
        drawn = workbench.map(encoder, data, n=n, method=method, label=label, text=text, seed=seed)
        write_html(drawn, out)
        if csv is not None:
            write_csv(drawn, csv)
    if as_json:
        print_json({**drawn.to_json(), "path": str(out)})
        return
    print(f"{len(drawn.things):,} points in {out}")
    for plane in drawn.planes:
        if plane.kept is not None:
            chance = f"(by chance {drawn.by_chance:.1%})"
            print(f"{METHODS[plane.method]} keeps {plane.kept:.1%} of the {drawn.k} nearest neighbours {chance}")
    for note in drawn.notes:
        say(printable(note))
