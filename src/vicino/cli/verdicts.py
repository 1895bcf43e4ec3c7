"""How the commands tell what came of a training."""

from __future__ import annotations

from typing import Any

import typer

from vicino.cli.printing import print_json, printable, say, width

__all__ = ["show_gate", "show_plan", "show_training"]


def show_training(made: Any, dry_run: bool, as_json: bool, *then: str) -> None:
    """Print what came of a training, or what it would take. Exit 1 where it was rejected.

    `then` are hints, in which {} is where it lies.
    """
    if dry_run:
        show_plan(made, as_json)
        return
    if as_json:
        print_json(made.to_json())
    else:
        _tell(made)
        place = made.path if made.path.is_absolute() else f"./{made.path}"
        for hint in then:
            say(hint.format(place))
    if not made.gate.accepted:
        raise typer.Exit(1)


def show_plan(made: Any, as_json: bool) -> None:
    """What a training would take."""
    print_json({**vars(made), "bytes": made.bytes, "seconds": made.seconds}) if as_json else print(made)


def show_gate(gate: Any) -> None:
    """The decision, and what to try."""
    print(f"\n{gate.sentence}")
    for advice in gate.advice:
        say(f"  → {advice}")


def _tell(made: Any) -> None:
    """What the lint found, what was learnt from, the scores, and the verdict."""
    from vicino.evaluation.text import table

    say(printable(f"{made.found}\n\n{made.told}\n"))
    rows = [[name, f"{score:.4f}"] for name, score in made.scores.items()]
    print(table([f"{made.metric} on {made.judged_by}", ""], rows, right=(1,), width=width()))
    for check in made.gate.controls:
        print(check)
    if made.run.ended == "diverged":
        print(f"the loss grew past all bounds after {made.run.steps:,} steps; the weights are those after step {made.run.kept:,}")
    show_gate(made.gate)
