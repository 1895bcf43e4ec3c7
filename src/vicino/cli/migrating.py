"""Commands that change the model of a collection, and that tell what was embedded with what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet, Seed, Tenant
from vicino.cli.printing import bars, print_json, printable, say, width

__all__ = ["lineage", "migrate"]


@app.command()
def migrate(
    collection: Annotated[str, typer.Argument(help="A collection's name.")],
    to: Annotated[str | None, typer.Option(metavar="ENCODER", help="The new model: a name, a model folder, a hub name.")] = None,
    instead_of: Annotated[
        str | None, typer.Option("--from", metavar="ENCODER", help="Which model goes, where the recipe has several.")
    ] = None,
    queries: Annotated[Path | None, typer.Option(metavar="FILE", help="Queries to compare both by (or a BEIR folder).")] = None,
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help="Which documents answer them.")] = None,
    tenant: Tenant = "",
    sample: Annotated[int | None, typer.Option(min=1, help="How many passages are compared by, or learnt from.")] = None,
    force: Annotated[bool, typer.Option(help="Switch whatever the comparison says.")] = False,
    rollback: Annotated[bool, typer.Option(help="One step back: the old model serves again.")] = False,
    finish: Annotated[bool, typer.Option(help="Give up the old vectors; there is no way back then.")] = False,
    adapter: Annotated[
        str | None, typer.Option(metavar="KIND", help="Map new queries into the old space instead: orthogonal, linear, none.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Change the model of a collection without a pause. Exit 1 where the comparison keeps the old one."""
    from vicino import workbench
    from vicino.errors import InputError

    if sum([rollback, finish, adapter is not None or to is not None]) != 1:
        raise InputError(
            "migrate does one thing at a time", mend="give --to ENCODER (and maybe --adapter KIND), --rollback, or --finish"
        )
    chosen: dict[str, Any] = {} if sample is None else {"sample": sample}
    with bars(quiet, "what was embedded is kept, and the same command goes on from there"):
        if rollback:
            made = workbench.roll_back(collection)
        elif finish:
            made = workbench.finish_migration(collection)
        elif adapter is not None:
            made = workbench.adapt_queries(collection, adapter, to, instead_of=instead_of, force=force, seed=seed, **chosen)
        else:
            made = workbench.migrate(
                collection,
                str(to),
                instead_of=instead_of,
                queries=queries,
                qrels=qrels,
                tenant=tenant,
                force=force,
                seed=seed,
                **chosen,
            )
    if as_json:
        print_json(made.to_json())
    else:
        print(printable(str(made)))
        for advice in made.advice:
            say(f"  → {advice}")
    if not made.done:
        raise typer.Exit(1)


@app.command()
def lineage(
    collection: Annotated[str, typer.Argument(help="A collection's name.")],
    tenant: Annotated[str | None, typer.Option(help="What was done for this tenant alone.")] = None,
    document: Annotated[str | None, typer.Option(metavar="ID", help="The batches that this document's vectors are from.")] = None,
    as_json: AsJson = False,
) -> None:
    """Who embedded what with what, and when: one line a batch, oldest first."""
    from vicino import workbench

    lines = workbench.lineage(collection, tenant=tenant, document=document)
    if as_json:
        print_json(lines)
        return
    from vicino.evaluation.text import table

    batches = [line if document is None else line["batch"] for line in lines]
    rows = [
        [
            batch["time"],
            batch["action"],
            batch["user"],
            f"{batch['rows']:,}",
            str(batch["version"]),
            ", ".join(f"{model['name']} ({model['space']})" for model in batch["model"]),
            f"{line['start']}-{line['end']}" if document else batch["note"] or batch["source"],
            batch["stamp"],
        ]
        for line, batch in zip(lines, batches, strict=True)
    ]
    if rows:
        head = ["time", "what", "who", "rows", "version", "model", "passage" if document else "of", "stamp"]
        print(printable(table(head, rows, right=(3, 4), width=width())))
    else:
        say("nothing was written down for it")
