"""Command line of extracts: a network, or a part of it, as a file for the programs of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from queries import mounting
from queries.extract import extract
from queries.question import arguments_of
from queries.subgraph import Subgraph
from store import settings
from store.commandline import Format, FormatOption, print_table
from store.connection import connect
from store.query import Table

Network = Annotated[str, typer.Argument(help="Name of a network; `weightome networks` lists them.")]


def subgraph_command(
    network: Network,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where to: a .graphml file.", metavar="FILE")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite a file that is there.")
    ] = False,
    form: FormatOption = Format.TABLE,
    **of: Any,
) -> None:
    """Write a network, or a part of it, as GraphML, which igraph, Gephi and Cytoscape read."""
    part = Subgraph(**{**of, "layers": tuple(of["layers"])})
    with connect(settings.load()) as database:
        found = extract(database, network, part)
    found.to_graphml(output, replace=replace)
    counts = [len(found.layer), int((~found.wire).sum()), int(found.wire.sum())]
    print_table(
        Table(("file", "neurons", "links", "wires"), [[str(output), *counts]], notes=found.notes),
        form,
    )


def mount(app: typer.Typer) -> None:
    """Adds it to a command line."""
    app.command("subgraph")(mounting.with_options(subgraph_command, arguments_of(Subgraph)))
