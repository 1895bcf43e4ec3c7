"""Commands of collections: ingest, search, collections."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet, Seed, Tenant, Text
from vicino.cli.printing import bars, print_json, printable, say, size_text, typed, width

__all__ = ["collections", "ingest", "search"]


@app.command()
def ingest(
    path: Annotated[str, typer.Argument(help="A folder, a file, or - for one text a line from standard input.")],
    collection: Annotated[str, typer.Option(metavar="NAME", help="Where to keep it; made at the first time.")],
    recipe: Annotated[
        str | None, typer.Option(help="A saved winner's folder, or a candidate such as bm25+minilm (default: bm25+minilm).")
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="Search by this encoder alone: a name, a model folder, a hub name.")] = None,
    chunk: Annotated[
        str | None, typer.Option(help="How documents are cut: auto, whole, passage, paragraph, sentence, window(size=200), code.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Keep the rows on a server: postgresql://user@host/database or milvus://host:19530."),
    ] = None,
    on: Annotated[
        str | None, typer.Option(metavar="CLUSTER", help="Embed by many workers: ray (this machine's), or ray://host:10001.")
    ] = None,
    tenant: Tenant = "",
    text: Text = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name of this source, by which what vanished is known (default: PATH).")
    ] = None,
    prune: Annotated[bool, typer.Option(help="Remove what vanished, even more than half of the source.")] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Keep documents in a collection, or bring it in line with what changed. Exit 1 where something waits for --prune."""
    from vicino import workbench
    from vicino.errors import InputError

    if recipe is not None and encoder is not None:
        raise InputError("--recipe and --encoder exclude each other", mend="give one of them; --encoder X is --recipe X")
    with bars(quiet, "what was committed is kept, and the same command goes on from there"):
        summary = workbench.ingest(
            sys.stdin.buffer if path == "-" else Path(path),
            collection,
            recipe=recipe or encoder,
            chunk=chunk,
            at=store,
            on=on,
            tenant=tenant,
            text=text,
            source_name=source,
            prune=prune,
            seed=seed,
        )
    if as_json:
        print_json(asdict(summary))
    else:
        from vicino.store.text import summary_text

        print(printable(summary_text(summary)))
    if summary.stale:
        raise typer.Exit(1)
    if summary.kept_back:
        say(
            f"error: {summary.kept_back:,} documents vanished, more than half of the source: they are kept\n  → {typed()} --prune"
        )
        raise typer.Exit(1)
    if not as_json:
        say(f'Ask it:  vicino search {shlex.quote(collection)} "..."  (images: --image FILE)')


@app.command()
def search(
    collection: Annotated[str, typer.Argument(help="A collection's name.")],
    query: Annotated[str | None, typer.Argument(help="What you look for.")] = None,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="Look for what is like this image.")] = None,
    k: Annotated[int | None, typer.Option("-k", help="How many documents (default: 10).")] = None,
    where: Annotated[str | None, typer.Option(metavar="FILTER", help="Such as \"lang = 'en' and year > 2020\".")] = None,
    tenant: Tenant = "",
    explain: Annotated[bool, typer.Option(help="Say why each was found.")] = False,
    context: Annotated[
        int | None, typer.Option(metavar="TOKENS", help="Print the best passages, with sources, within this many tokens.")
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="What reads the best again: minilm, token by token, or a cross-encoder (a folder, a hub name)."
        ),
    ] = None,
    depth: Annotated[int | None, typer.Option(help="How many passages --rerank reads (default: 100).")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find documents in a collection, and in each the best passage. Exit 1 where nothing is found."""
    from vicino import workbench
    from vicino.errors import InputError

    question = query if image is None else image
    if question is None or (query is not None and image is not None):
        raise InputError("search wants one question", mend='give words, "...", or --image FILE')
    if depth is not None and rerank is None:
        raise InputError("--depth is how many passages --rerank reads", mend="give --rerank MODEL too, or leave --depth out")
    if context is not None and (k is not None or explain):
        what = "--context takes as many passages as its tokens hold, and explains none"
        raise InputError(what, mend="leave -k and --explain out, or --context")
    options: dict[str, Any] = {"tenant": tenant, "where": where, "rerank": rerank} | ({} if depth is None else {"depth": depth})
    if context is not None:
        with bars(quiet):
            packed = workbench.context(collection, question, context, **options)
        if as_json:
            print_json(packed.to_json())
        else:
            print(printable(packed.text), end="")
            say(f"about {packed.tokens:,} of {packed.budget:,} tokens, from {len(packed.excerpts)} excerpts")
        found = bool(packed.excerpts)
    else:
        with bars(quiet):
            answers = workbench.search(collection, question, 10 if k is None else k, explain=explain, **options)
        if as_json:
            print_json([answer.to_json() for answer in answers])
        else:
            from vicino.retrieval.text import found_text

            print(found_text(answers, width=width()))
        if explain and answers.how:
            say(f"searched: {answers.how}")
        if not answers.complete:
            say("some answers may be missing: not everything was looked at")
        found = bool(answers)
    if not found:
        say("nothing was found" + (" that matches the filter" if where else ""))
        raise typer.Exit(1)


@app.command()
def collections(
    tenants: Annotated[str | None, typer.Option(metavar="NAME", help="List who keeps how much in this collection.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the collections, or for the operator the tenants of one. Exit 1 where one cannot be opened."""
    from vicino import workbench

    if tenants is not None:
        _tenants(workbench.tenants(tenants), as_json)
        return
    rows = workbench.collections()
    if as_json:
        print_json(rows)
    elif not rows:
        say("There are none yet; make one with:  vicino ingest PATH --collection NAME")
    else:
        from vicino.evaluation.text import recipe_name, table

        head = ["collection", "documents", "passages", "size", "recipe", "cut", "index"]
        shown = [
            [
                row["name"],
                f"{row['documents']:,}",
                f"{row['rows']:,}",
                size_text(row["bytes"]),
                recipe_name(row["recipe"]),
                row["cut"],
                ", ".join(f"{one['index']} ≥{one['recall']:g}{' MISSED' if one['under'] else ''}" for one in row["indexes"]),
            ]
            for row in rows
            if "error" not in row
        ]
        print(table(head, shown, right=(1, 2, 3), width=width()))
    broken = [f"{row['name']}: {row['error']}" for row in rows if "error" in row]
    if broken:
        say("\n".join(f"error: {printable(one)}" for one in broken))
        raise typer.Exit(1)


def _tenants(rows: list[dict[str, Any]], as_json: bool) -> None:
    from vicino.evaluation.text import table

    if as_json:
        print_json(rows)
        return
    shown = [[printable(row["name"]) or "(none named)", f"{row['documents']:,}", f"{row['passages']:,}"] for row in rows]
    print(table(["tenant", "documents", "passages"], shown, right=(1, 2), width=width()))
