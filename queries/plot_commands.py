"""Command line of the charts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from queries import plots
from store import settings
from store.connection import connect


def plot_command(
    kind: Annotated[
        str,
        typer.Argument(
            help="links or strength: distributions in each layer of a network. fluctuation: of "
            "each layer over the steps of a run. divergence: between the layers of a network."
        ),
    ],
    name: Annotated[str, typer.Argument(help="Name of the network, or of the run.")],
    file: Annotated[Path, typer.Argument(help="Where to: a .png or .svg file.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite a file that is there.")
    ] = False,
) -> None:
    """Draw a chart of a network or a run."""
    with connect(settings.load()) as database:
        print(plots.plot(database, kind, name, file, replace=replace))  # type: ignore[arg-type]


def mount(app: typer.Typer) -> None:
    """Adds it to a command line."""
    app.command("plot")(plot_command)
