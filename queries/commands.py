"""Command line of the questions: each command asks one and prints its Table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from queries import (
    catalogue,
    cypher,
    export,
    extract_commands,
    matching_commands,
    mounting,
    observing_commands,
    plot_commands,
)
from queries.observing_commands import read_samples
from queries.registry import questions
from store import settings
from store.commandline import Format, FormatOption, print_table
from store.connection import connect
from store.database import Database
from store.errors import InvalidArgument
from store.files import whole_file
from store.query import Table

Network = Annotated[str, typer.Argument(help="Name of a network; `weightome networks` lists them.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Most rows to print.")]


def _answer(ask: Callable[[Database], Table], form: Format, limit: int | None = None) -> None:
    with connect(settings.load()) as database:
        print_table(ask(database.limited(row_cap=limit)), form)


def neuron_command(
    network: Network,
    address: Annotated[str, typer.Argument(help="LAYER/INDEX, such as fc1/12.")],
    k: Annotated[int, typer.Option("-k", help="Links per direction.")] = 10,
    form: FormatOption = Format.TABLE,
) -> None:
    """One neuron's strongest links, in and out."""
    layer, slash, index = address.rpartition("/")
    if not slash or not (index.isascii() and index.isdigit()):
        raise InvalidArgument(f"{address!r} names no neuron: write LAYER/INDEX, such as fc1/12.")
    _answer(lambda database: catalogue.neuron(database, network, layer, int(index), k=k), form)


def cypher_command(
    text: Annotated[str, typer.Argument(help="The query, or - to read it from stdin.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="NAME=VALUE, value as JSON or plain text; repeatable."),
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.001, help="Time limit.")] = None,
    form: FormatOption = Format.TABLE,
    limit: Limit = None,
) -> None:
    """Your own Cypher, read only."""
    if text == "-":
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError as error:
            raise InvalidArgument("The query on stdin is not valid UTF-8.") from error
    parameters = dict(_parameter(assignment) for assignment in param or [])
    _answer(
        lambda database: cypher.cypher(database, text, parameters, seconds=seconds), form, limit
    )


def _parameter(assignment: str) -> tuple[str, Any]:
    name, equals, value = assignment.partition("=")
    if not (equals and name.isidentifier()):
        raise InvalidArgument(f"--param wants NAME=VALUE, not {assignment!r}.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def export_command(
    network: Network,
    file: Annotated[Path, typer.Argument(help="Where to: a .safetensors file.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite a file that is there.")
    ] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Write a network's tensors back to a file, bit for bit as they were ingested."""
    _answer(lambda database: export.export(database, network, file, replace=replace), form)


def forward_command(
    network: Network,
    inputs: Annotated[
        Path,
        typer.Option(
            "--input",
            help=".npy file, samples along the first axis; .npz with an array for each input "
            "layer, where there are several.",
            metavar="FILE",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Write the outputs to this .npy file instead.")
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="Of hidden layers, where the file did not tell.")
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Compute a network's outputs from what is stored alone."""
    from queries import forward

    samples = read_samples(inputs)
    with connect(settings.load()) as database:
        outputs = forward.forward(database, network, samples, activation=activation)
    if output is None:
        flat = outputs.reshape(len(outputs), -1)
        rows = [[number, *row] for number, row in enumerate(flat.tolist())]
        columns = ("sample", *(str(neuron) for neuron in range(flat.shape[1])))
        print_table(Table(columns, rows), form)
        return
    with whole_file(output) as unfinished, unfinished.open("wb") as file:
        np.save(file, outputs)


def mount(app: typer.Typer) -> None:
    """Adds the questions to a command line."""
    app.command("neuron")(neuron_command)
    app.command("cypher")(cypher_command)
    app.command("export")(export_command)
    app.command("forward")(forward_command)
    observing_commands.mount(app)
    matching_commands.mount(app)
    plot_commands.mount(app)
    extract_commands.mount(app)
    # In a command a neuron has one word, as in the questions about paths.
    mounting.mount(app, (each for each in questions().values() if each.ask is not catalogue.neuron))
