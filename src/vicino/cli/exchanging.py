"""Commands that move collections: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet
from vicino.cli.printing import bars, print_json, say

__all__ = ["export", "take_in"]


@app.command()
def export(
    collection: Annotated[str, typer.Argument(help="A collection's name.")],
    out: Annotated[Path, typer.Argument(help="A folder, which import reads; or a .parquet file of rows, for other tools.")],
    tenant: Annotated[str | None, typer.Option(help="Only the documents of this tenant (default: all).")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """A collection as a folder: documents, vectors, metadata, models, spaces, canaries, recipe, lineage."""
    from vicino import workbench

    with bars(quiet, "nothing was written"):
        moved = workbench.export_collection(collection, out, tenant=tenant)
    if as_json:
        print_json(moved.to_json())
        return
    print(f"{moved.documents:,} documents, {moved.passages:,} passages of {moved.collection} in {moved.path}")
    if out.suffix != ".parquet":
        say(f"Bring them back:  vicino import {out} --collection NAME  (to a server: --store URL)")


@app.command("import")
def take_in(
    folder: Annotated[Path, typer.Argument(help="What vicino export wrote.")],
    collection: Annotated[str, typer.Option(metavar="NAME", help="The name that it gets, or has.")],
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Keep the rows on a server: postgresql://user@host/database or milvus://host:19530."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """A collection from an exported folder, with its identity: vectors to the bit, models, spaces and canaries."""
    from vicino import workbench

    with bars(quiet, "the same command goes on from there"):
        moved = workbench.import_collection(folder, collection, at=store)
    if as_json:
        print_json(moved.to_json())
        return
    print(f"{moved.documents:,} documents, {moved.passages:,} passages in {collection}")
