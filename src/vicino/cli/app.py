"""The command line itself: settings, and what an error looks like. Commands stand in the files beside this one."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vicino.cli.printing import say

__all__ = ["app", "main", "settings"]

app = typer.Typer(
    name="vicino",
    help="Bring your data; get the embedding that is best for it, with the evidence.",
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "VICINO"},
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def settings(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """What holds for every command: the version, and settings from `vicino.toml`."""
    if version:
        from vicino import __version__

        print(__version__)
        raise typer.Exit
    if Path("vicino.toml").is_file():
        context.default_map = _config(Path("vicino.toml"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors that vicino names go to standard error with the command that mends them."""
    from vicino.errors import InputError, MissingExtra, VicinoError

    try:
        app(args=None if arguments is None else list(arguments))
    except VicinoError as error:
        say(f"error: {error}")
        sys.exit(2 if isinstance(error, InputError | MissingExtra) else 1)


def _config(path: Path) -> dict[str, Any]:
    from vicino.errors import InputError

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", mend="mend the file, or move it away") from error
