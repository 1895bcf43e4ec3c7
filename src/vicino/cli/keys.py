"""Commands of keys to a server: keys add, list, revoke."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson
from vicino.cli.printing import print_json, printable, say, width

__all__ = ["add", "keys", "list_keys", "revoke"]

keys = typer.Typer(name="keys", help="Make and take away keys to vicino serve.", no_args_is_help=True)
app.add_typer(keys)


@keys.command()
def add(
    name: Annotated[str, typer.Argument(help="Who has it, such as ci or ann@desk.")],
    scope: Annotated[str, typer.Option(help="read, write (and read), or admin (all, for every tenant).")] = "read",
    tenant: Annotated[str, typer.Option(help="Whose documents it sees; it never sees another's.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key, and show it this once. From the first one on, nobody comes in without; servers that run know it at once."""
    from vicino.server import keys as kept
    from vicino.server.settings import Settings

    file = Settings().keys_file
    key, text = kept.add(file, name, scope=scope, tenant=tenant)
    if as_json:
        print_json({**_shown(key), "key": text})
        return
    print(text)
    say(f"Keep it now: it cannot be shown again. {file} holds only what it takes to check it.")
    say(f"Send it as the header  Authorization: Bearer {text[:10]}...")


@keys.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """Who has a key, what it may, and for which tenant."""
    from vicino.evaluation.text import table
    from vicino.server import keys as kept
    from vicino.server.settings import Settings

    found = kept.listed(Settings().keys_file)
    if as_json:
        print_json([_shown(key) for key in found])
    elif not found:
        say("There are none; make one with:  vicino keys add NAME")
    else:
        rows = [[key.name, key.scope, printable(key.tenant) or "(none named)", key.id, key.created] for key in found]
        print(table(["name", "scope", "tenant", "id", "made"], rows, width=width()))


@keys.command()
def revoke(name: Annotated[str, typer.Argument(help="A key's name or id, as vicino keys list shows them.")]) -> None:
    """Take a key away: servers that run refuse it from their next request on."""
    from vicino.server import keys as kept
    from vicino.server.settings import Settings

    file = Settings().keys_file
    gone = kept.revoke(file, name)
    print(f"the key {gone.name} ({gone.id}) opens nothing any more")
    if not kept.listed(file):
        say(f"That was the last one: nobody comes in. To open it to everybody on this machine, remove {file} and start again")


def _shown(key: Any) -> dict[str, str]:
    return {name: getattr(key, name) for name in ("id", "name", "scope", "tenant", "created")}
