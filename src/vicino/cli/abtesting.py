"""Commands of experiments on users: abtest plan, read, interleaved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson
from vicino.cli.printing import print_json, printable, width

__all__ = ["abtest", "interleaved", "plan", "read"]

abtest = typer.Typer(name="abtest", help="Plan an experiment on users, and read what it says.", no_args_is_help=True)
app.add_typer(abtest)

LogFile = Annotated[
    Path,
    typer.Argument(
        help="A table with an event a row: user, group, event (csv, tsv, jsonl, parquet). Users who did nothing are in it by an "
        "event such as view."
    ),
]
LogColumns = Annotated[str, typer.Option(help='Which column is what, where names do not tell: "user=who,group=arm".')]


@abtest.command()
def plan(
    baseline: Annotated[float, typer.Option(help="The metric today: a share such as 0.12, or a mean (then --spread too).")],
    effect: Annotated[float, typer.Option(help="The smallest change that would matter, such as 0.01.")],
    spread: Annotated[float | None, typer.Option(help="Standard deviation between users, where the metric is no share.")] = None,
    level: Annotated[float, typer.Option(help="How often a false alarm may be.")] = 0.05,
    power: Annotated[float, typer.Option(help="How probably such a change is found.")] = 0.8,
    groups: Annotated[int, typer.Option(help="How many groups, the control among them.")] = 2,
    per_day: Annotated[float | None, typer.Option(help="How many new users take part a day.")] = None,
    as_json: AsJson = False,
) -> None:
    """How many users an experiment needs."""
    from vicino import workbench
    from vicino.evaluation.abtest_text import plan_text

    found = workbench.abtest_plan(baseline, effect, spread=spread, level=level, power=power, groups=groups, per_day=per_day)
    if as_json:
        print_json(found.to_json())
    else:
        print(plan_text(found))


@abtest.command()
def read(
    log: LogFile,
    metric: Annotated[
        list[str],
        typer.Option(help="purchase, purchase/user, click/impression, value:purchase/user; more is better; the first decides."),
    ],
    control: Annotated[
        str | None, typer.Option(metavar="GROUP", help="What others are compared with (default: control, or the first by name).")
    ] = None,
    shares: Annotated[
        str | None, typer.Option(help='How users were given to groups, in the order of their names: "50,50".')
    ] = None,
    effect: Annotated[float | None, typer.Option(help="The change that was planned for.")] = None,
    margin: Annotated[float | None, typer.Option(help="A change so small that it does not matter.")] = None,
    peek: Annotated[bool, typer.Option("--peek", help="Intervals that hold however often you look; needs --effect.")] = False,
    columns: LogColumns = "",
    start: Annotated[str | None, typer.Option(metavar="DATE", help="Leave out what came before.")] = None,
    end: Annotated[str | None, typer.Option(metavar="DATE", help="Leave out what came at this time or later.")] = None,
    as_json: AsJson = False,
) -> None:
    """What the log of an experiment says, and what to decide. Exit 1 for a log that must not be read."""
    from vicino import workbench
    from vicino.catalog import call
    from vicino.errors import InputError
    from vicino.evaluation.abtest_text import reading_text

    try:
        planned = None if shares is None else [float(each) for each in shares.replace(":", ",").split(",")]
    except ValueError:
        raise InputError(f"--shares {shares} are no numbers", mend='write such as "50,50"') from None
    found = workbench.abtest_read(
        log,
        metric,
        control=control,
        shares=planned,
        effect=effect,
        margin=margin,
        peek=peek,
        columns=call(f"columns({columns})")[1],
        start=start,
        end=end,
    )
    if as_json:
        print_json(found.to_json())
    else:
        print(printable(reading_text(found, width=width())))
    if found.broken:
        raise typer.Exit(1)


@abtest.command()
def interleaved(
    log: LogFile,
    event: Annotated[str, typer.Option(help="Which events count (default: all).")] = "",
    columns: LogColumns = "",
    as_json: AsJson = False,
) -> None:
    """Which of two rankings users prefer that were shown as one list: the column "group" or "team" says whose a result was."""
    from vicino import workbench
    from vicino.catalog import call
    from vicino.evaluation.abtest_text import preference_text

    found = workbench.abtest_interleaved(log, event=event, columns=call(f"columns({columns})")[1])
    if as_json:
        print_json(found.to_json())
    else:
        print(printable(preference_text(found)))
