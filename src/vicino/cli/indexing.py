"""The command of indexes: which one a collection is searched with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet, Tenant
from vicino.cli.printing import bars, print_json, say, size_text, width

if TYPE_CHECKING:
    from vicino.indexes.choose import Choice, Trial
    from vicino.retrieval.indexing import Standing

__all__ = ["index"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@app.command()
def index(
    collection: Annotated[str, typer.Argument(help="A collection's name.")],
    recall: Annotated[
        float | None, typer.Option(metavar="SHARE", help="The share of the true neighbours to find, such as 0.97.")
    ] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="At most so much memory: 500MB, 2GB.")] = None,
    queries: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What users ask (default: passages left out of the index).")
    ] = None,
    families: Annotated[
        list[str] | None, typer.Option("--with", metavar="A,B", help="Only these indexes, such as exact,hnsw(m=32).")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", help="Of how many neighbours (default: what the recipe asks for).")] = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Choose and build the index that has a recall at the least cost; without --recall, show what there is.

    Exit 1 where nothing has the recall, or an index has less than was asked for.
    """
    from vicino import workbench
    from vicino.catalog import split
    from vicino.errors import InputError

    if recall is None:
        if memory or queries or families or k:
            raise InputError("it is not said how good the index must be", mend="give --recall SHARE too, such as --recall 0.97")
        _shown(workbench.index_standing(collection, tenant=tenant), collection, as_json)
        return
    wanted = [name for text in families or [] for name in split(text, ",")] or None
    size = None if memory is None else _bytes(memory)
    with bars(quiet, "nothing changed; the same command begins again"):
        decisions = workbench.index(collection, recall=recall, k=k, memory=size, queries=queries, families=wanted, tenant=tenant)
    if as_json:
        print_json([one.to_json() for one in decisions])
    else:
        for one in decisions:
            print(f"{one.encoder}: {one.passages:,} passages, recall@{one.choice.k} of {recall:g}, asked {one.choice.asked}")
            print(_tables(one.choice))
    if any(one.choice.plan is None for one in decisions):
        say(
            f"error: nothing has a recall of {recall:g}{f' in {memory}' if memory else ''}; nothing changed\n"
            f"  → vicino index {shlex.quote(collection)} --recall {max(recall - (1 - recall), recall / 2):.3g}"
            + (", or more --memory" if memory else "")
        )
        raise typer.Exit(1)


def _tables(choice: Choice) -> str:
    from vicino.evaluation.text import table

    head = ["index", "tried on", "recall", "at least", "effort", "queries/s", "memory", "build", ""]
    rows = [_row(trial, "") for trial in choice.trials]
    for trial in choice.finals:
        chosen = choice.plan is not None and trial is choice.finals[-1]
        rows.append(_row(trial, "chosen" if chosen else ""))
    estimated = any(trial.rows < trial.of for trial in choice.trials)
    said = (
        "\nqueries/s, memory and build of a sample are estimates for all passages; the last line is measured" if estimated else ""
    )
    return table(head, rows, right=(1, 2, 3, 4, 5, 6, 7), width=width()) + said


def _row(trial: Trial, verdict: str) -> list[str]:
    found = trial.measured
    if found is None:
        return [trial.index, f"{trial.rows:,}", *["-"] * 6, trial.note]
    return [
        trial.index,
        f"{trial.rows:,}",
        f"{found.value:.4f}",
        f"{found.lower:.4f}",
        "-" if found.effort is None else f"{found.effort:,}",
        f"{1 / max(trial.seconds, 1e-9):,.0f}",
        size_text(trial.nbytes),
        f"{trial.build_seconds:,.1f} s",
        verdict or trial.note,
    ]


def _shown(standings: list[Standing], collection: str, as_json: bool) -> None:
    if as_json:
        print_json([one.to_json() for one in standings])
    for one in standings if not as_json else ():
        if one.plan is None:
            later = "" if one.kept or one.own in ("exact", "store") else ", built with the first search where passages are many"
            print(f"{one.encoder}: no index was chosen; the recipe's own is used: {one.own}{later}")
        else:
            print(f"{one.encoder}: {one.plan['index']}, chosen for a recall@{one.plan['k']} of {one.plan['recall']:g}")
        for kept in one.kept:
            print(f"  {kept['vectors']:,} passages, {kept['fresh']:,} of them compared exactly{_recall(kept)}")
    if not as_json and not any(one.plan or one.own == "store" for one in standings):
        say(f"Choose one:  vicino index {shlex.quote(collection)} --recall 0.97")
    if any(one.under for one in standings):
        again = any(one.under and one.own == "store" for one in standings)  # which maintenance has tried at every effort
        mend = f"index {shlex.quote(collection)} --recall SHARE" if again else f"maintain {shlex.quote(collection)}"
        say(f"error: an index has less recall than was asked for\n  → vicino {mend}")
        raise typer.Exit(1)


def _recall(kept: Mapping[str, Any]) -> str:
    said = kept["recall"]
    if said is None:
        return ""
    effort = "" if said["effort"] is None else f", at effort {said['effort']}"
    return f"; recall@{said['k']} {said['value']:.4f}, at least {said['lower']:.4f}{effort}, asked {said['asked']}"


def _bytes(text: str) -> int:
    """500MB -> 500,000,000."""
    from vicino.errors import InputError

    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?B?)\s*", text.upper())
    if match is None or float(match[1]) <= 0:
        raise InputError(f"{text!r} is no size", mend="write --memory 500MB, or 2GB")
    return int(float(match[1]) * _UNITS[match[2] if match[2] in _UNITS else f"{match[2]}B"])
