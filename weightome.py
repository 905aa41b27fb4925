"""The command ``weightome``: mounts the command lines of all rooms, and holds nothing else."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from store.commandline import application, run


def main() -> int:
    """Runs the command line; its exit status."""
    from ingest import commands as ingest_commands
    from queries import commands as query_commands
    from service import commands as service_commands
    from store.local import commands as server_commands

    app = application("A trained neural network, every neuron and weighted link of it, in Neo4j.")
    app.callback()(_options)
    ingest_commands.mount(app)
    query_commands.mount(app)
    service_commands.mount(app)
    server_commands.mount(app)
    return run(app, "weightome")


def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda wanted: _show_version() if wanted else None,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """A trained neural network, every neuron and weighted link of it, in Neo4j."""


def _show_version() -> None:
    print(f"weightome {version('weightome')}")
    raise typer.Exit


if __name__ == "__main__":
    sys.exit(main())
