"""Commands of the local server: ``up``, ``down``, ``status``, ``backup``, ``restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as Grid

from store import settings as settings_module
from store.commandline import Format, FormatOption, print_table
from store.local import backup as backup_module
from store.local import server as local
from store.local.artifacts import GDS, SERVER, locked_version
from store.query import Table

_NOT_RUNNING = 3  # as `systemctl status` has it


def up(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Bolt port; 0: any free one.", show_default=False),
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Start Neo4j on this machine, or find the one that runs."""
    _print(local.Status("running", local.up(settings_module.load(), port=port)), form)


def down(form: FormatOption = Format.TABLE) -> None:
    """Stop the Neo4j that `up` started; its data stays."""
    server = local.down(settings_module.load())
    if form is not Format.TABLE:
        _print(local.Status("stopped", server), form)
    elif server is None:
        typer.echo("No local Neo4j runs.")
    else:
        typer.echo(f"Neo4j (pid {server.pid}) has stopped; its data stays in {server.data}.")


def status(form: FormatOption = Format.TABLE) -> None:
    """Tell whether the local Neo4j runs; the exit code is 0 if it does, 3 if not."""
    found = local.status(settings_module.load())
    if found.server is None and form is Format.TABLE:
        typer.echo("No local Neo4j runs; `weightome up` starts it.")
    else:
        _print(found, form)
    if found.state != "running":
        raise typer.Exit(_NOT_RUNNING)


def facts(found: local.Status) -> dict[str, str | int | None]:
    """What there is to tell about a local server; never its password.

    Example
    -------
    >>> facts(local.Status("stopped", None))["state"]
    'stopped'
    """
    server = found.server
    told: dict[str, str | int | None] = {"state": found.state}
    told |= dict.fromkeys(("uri", "user", "password_file", "pid", "port", "data"))
    if server is not None:
        told |= {
            "uri": server.uri,
            "user": server.user,
            "password_file": str(server.password_file),
            "pid": server.pid,
            "port": server.port,
            "data": str(server.data),
        }
    return told | {
        "neo4j": locked_version(SERVER, "org.neo4j", "neo4j"),
        "gds": locked_version(GDS, "org.neo4j.gds", "proc"),
    }


def _print(found: local.Status, form: Format) -> None:
    told = facts(found)
    if form is not Format.TABLE:
        print_table(Table(tuple(told), [list(told.values())]), form)
        return
    grid = Grid(show_header=False, box=None, pad_edge=False)
    for name, value in told.items():
        grid.add_row(name.replace("_", " "), str(value))
    # Folded, not cut: a path or address is there to be copied.
    grid.columns[1].overflow = "fold"
    # Paths and addresses as they are: [brackets] are no markup, numbers need no colour.
    Console(markup=False, highlight=False).print(grid)


def backup(
    file: Annotated[Path, typer.Argument(help="Where to, such as weightome.dump.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite a file that is there.")
    ] = False,
) -> None:
    """Write the whole local store into one file; Neo4j is stopped meanwhile."""
    size = backup_module.backup(settings_module.load(), file, replace=replace)
    typer.echo(f"{file}: {size:,} bytes.")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the networks that are there.")
    ] = False,
) -> None:
    """Make the local store what a file of `backup` says; Neo4j is stopped meanwhile."""
    backup_module.restore(settings_module.load(), file, replace=replace)
    typer.echo(f"The store is what {file} says.")


def mount(app: typer.Typer) -> None:
    """Adds the local server to a command line."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    app.command("backup")(backup)
    app.command("restore")(restore)
