"""Commands of the local server: ``up``, ``down``, ``status``."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from store import settings as settings_module
from store.local import server as local
from store.local.artifacts import GDS, SERVER, locked_version

_NOT_RUNNING = 3  # as `systemctl status` has it


class Format(StrEnum):
    """How `status` prints."""

    table = "table"
    json = "json"


def up(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Bolt port; 0: any free one.", show_default=False),
    ] = None,
) -> None:
    """Start Neo4j on this machine, or find the one that runs."""
    server = local.up(settings_module.load(), port=port)
    _print(local.Status("running", server))


def down() -> None:
    """Stop the Neo4j that `up` started; its data stays."""
    server = local.down(settings_module.load())
    if server is None:
        typer.echo("No local Neo4j runs.")
    else:
        typer.echo(f"Neo4j (pid {server.pid}) has stopped; its data stays in {server.data}.")


def status(
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
) -> None:
    """Tell whether the local Neo4j runs; the exit code is 0 if it does, 3 if not."""
    found = local.status(settings_module.load())
    if output is Format.json:
        typer.echo(json.dumps(facts(found), indent=2))
    elif found.server is None:
        typer.echo("No local Neo4j runs; `weightome up` starts it.")
    else:
        _print(found)
    if found.state != "running":
        raise typer.Exit(_NOT_RUNNING)


def facts(found: local.Status) -> dict[str, str | int]:
    """What there is to tell about a local server; never its password.

    Example
    -------
    >>> facts(local.Status("stopped", None))["state"]
    'stopped'
    """
    facts: dict[str, str | int] = {"state": found.state}
    if found.server is not None:
        facts |= {
            "uri": found.server.uri,
            "user": found.server.user,
            "password_file": str(found.server.password_file),
            "pid": found.server.pid,
            "port": found.server.port,
            "data": str(found.server.data),
        }
    return facts | {
        "neo4j": locked_version(SERVER, "org.neo4j", "neo4j"),
        "gds": locked_version(GDS, "org.neo4j.gds", "proc"),
    }


def _print(found: local.Status) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts(found).items():
        # Folded, not cut: a path or address is there to be copied.
        table.add_row(name.replace("_", " "), str(value))
    table.columns[1].overflow = "fold"
    # Paths and addresses as they are: [brackets] are no markup, numbers need no colour.
    Console(markup=False, highlight=False).print(table)


def mount(app: typer.Typer) -> None:
    """Adds the local server to a command line."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
