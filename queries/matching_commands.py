"""Command line of matching: what pairs the neurons of two networks, and what forgets the pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from queries import matching
from queries.observing_commands import read_samples
from store import settings
from store.commandline import Format, FormatOption, print_table
from store.connection import connect

Network = Annotated[str, typer.Argument(help="Name of a network; `weightome networks` lists them.")]
Other = Annotated[str, typer.Argument(help="Name of another network of the same architecture.")]


def match_command(
    network: Network,
    other: Other,
    by: Annotated[str, typer.Option(help="weights, or activations on a sample.")] = "weights",
    samples: Annotated[
        Path | None,
        typer.Option("--input", help=".npy file of samples, for activations.", metavar="FILE"),
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Pair the hidden neurons of two networks, and keep the pairs."""
    inputs = None if samples is None else read_samples(samples)
    with connect(settings.load()) as database:
        print_table(matching.match(database, network, other, by=by, inputs=inputs), form)  # type: ignore[arg-type]


def unmatch_command(network: Network, other: Other) -> None:
    """Forget how the neurons of two networks were paired."""
    with connect(settings.load()) as database:
        matching.unmatch(database, network, other)


def mount(app: typer.Typer) -> None:
    """Adds both to a command line."""
    app.command("match")(match_command)
    app.command("unmatch")(unmatch_command)
