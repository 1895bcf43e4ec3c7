"""Commands of upkeep: maintain, delete."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet, Tenant
from vicino.cli.printing import bars, print_json, say, size_text

if TYPE_CHECKING:
    from vicino.retrieval.maintenance import Maintained

__all__ = ["delete", "maintain"]

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command()
def maintain(
    collection: Annotated[str, typer.Argument(help="A collection's name.")],
    every: Annotated[str | None, typer.Option(metavar="TIME", help="Again and again, such as 6h, until it is stopped.")] = None,
    keep: Annotated[str, typer.Option(metavar="TIME", help="Old versions that were read so lately stay: 30s, 10m, 2d.")] = "10m",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Merge a collection's files, bring its indexes up to date, free the space of what was deleted. Safe to stop at any point."""
    from vicino import workbench

    kept, interval = _seconds("--keep", keep), None if every is None else _seconds("--every", every)
    with bars(quiet, "nothing is half done, and the same command goes on from there"):
        if interval is None:
            _told(workbench.maintain(collection, keep_seconds=kept), as_json, kept)
            return
        for done in workbench.maintained(collection, interval, keep_seconds=kept):
            _told(done, as_json, kept)


def _told(done: Maintained, as_json: bool, keep: float) -> None:
    if as_json:
        print_json(done.to_json())
    elif done.busy:
        say(f"another process is maintaining {done.collection} right now: it does all of this")
    else:
        indexes = f"; indexes brought up to date: {done.reindexed:,}" if done.reindexed else ""
        print(
            f"{done.collection}: {done.files_before:,} files became {done.files_after:,}, {size_text(done.bytes_before)} became "
            f"{size_text(done.bytes_after)}, in {done.seconds:.1f} s{indexes}",
            flush=True,
        )
        if done.bytes_after >= done.bytes_before and keep > 0:
            say(f"versions of the last {keep:g} seconds stay: vicino maintain {done.collection} --keep 0s frees them now")


@app.command()
def delete(
    collection: Annotated[str, typer.Argument(help="A collection's name.")],
    where: Annotated[str | None, typer.Option(metavar="FILTER", help='Documents that match, such as "year < 2020".')] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="An id; may be repeated. - reads one a line from standard input."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All documents of the tenant.")] = False,
    tenant: Tenant = "",
    dry_run: Annotated[bool, typer.Option(help="Only say how many would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take documents out of a collection, for good; no search finds them from then on. Exit 1 where there is none of them."""
    from vicino import workbench
    from vicino.errors import InputError

    if ids == ["-"]:
        if not yes and not dry_run:
            raise InputError("standard input brings ids, and cannot answer whether to go on", mend="give --yes, or --dry-run")
        ids = [name for line in sys.stdin if (name := line.rstrip("\r\n"))]
    options: dict[str, Any] = {"tenant": tenant, "where": where, "ids": ids, "everything": everything}
    with bars(quiet):
        planned = workbench.delete(collection, **options, dry_run=True)
    if not (dry_run or yes or not planned.documents):
        _ask(f"Delete {planned.documents:,} documents ({planned.passages:,} passages) of {collection} for good?")
    done = planned if dry_run else workbench.delete(collection, **options)
    if as_json:
        print_json({**done.to_json(), "dry_run": dry_run})
    else:
        print(f"{done.documents:,} documents, {done.passages:,} passages {'would go' if dry_run else 'are gone'}")
    if done.unknown:
        some = ", ".join(done.unknown[:5]) + (", ..." if len(done.unknown) > 5 else "")
        say(f"no document has the id: {some} ({len(done.unknown):,} in all)\n  → ids are as vicino search prints them")
    if done.unknown or not done.documents:
        raise typer.Exit(1)
    if not dry_run and not as_json:
        say("What their source still holds comes back with its next ingest.")
        say(f"Free the space:  vicino maintain {shlex.quote(collection)}")


def _ask(question: str) -> None:
    """Go on only after a yes. Raises InputError where nobody can be asked."""
    from vicino.errors import InputError

    if not sys.stdin.isatty():
        raise InputError("there is nobody to ask whether to delete", mend="give --yes, or --dry-run to see how many would go")
    if not typer.confirm(question, err=True):
        say("nothing was deleted")
        raise typer.Exit(1)


def _seconds(option: str, text: str) -> float:
    """A time with its unit, in seconds. Raises InputError."""
    from vicino.errors import InputError

    read = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if read is None:
        raise InputError(f"{option} {text!r} is no time", mend="write a number and s, m, h or d, such as 10m")
    return float(read[1]) * _UNITS[read[2]]
