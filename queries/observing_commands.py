"""Command line of observing: what runs a sample through a stored network, and what forgets it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from queries import observing
from store import settings
from store.commandline import Format, FormatOption, print_table
from store.connection import connect
from store.errors import InvalidArgument

Network = Annotated[str, typer.Argument(help="Name of a network; `weightome networks` lists them.")]
Samples = Annotated[
    Path,
    typer.Option(
        "--input",
        help=".npy file, samples along the first axis; .npz with an array for each input layer, "
        "where there are several.",
        metavar="FILE",
    ),
]


def read_samples(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Arrays of a .npy or .npz file; a .npy is mapped, not read whole.

    Raises
    ------
    InvalidArgument
        If it is none, or would need unpickling.
    """
    try:
        # Never a pickle: an object array could run code.
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(found, np.lib.npyio.NpzFile):
            with found:
                return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidArgument(f"{str(path)!r} is not a .npy file of numbers: {error}.") from error
    samples: NDArray[Any] = found
    return samples


def observe_command(
    network: Network,
    samples: Samples,
    name: Annotated[str, typer.Option(help="Of the observation.")],
    labels: Annotated[
        Path | None,
        typer.Option(help=".npy file with the class of each sample.", metavar="FILE"),
    ] = None,
    batch: Annotated[int, typer.Option(help="So many samples are computed at once.")] = 256,
    activation: Annotated[
        str | None, typer.Option(help="Of hidden layers, where the file did not tell.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an observation of that name.")
    ] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Run a sample through a network, and keep what each neuron did."""
    inputs = read_samples(samples)
    classes = None if labels is None else read_samples(labels)
    if isinstance(classes, dict):
        raise InvalidArgument(f"{str(labels)!r} holds several arrays: labels are one.")
    count = len(next(iter(inputs.values()))) if isinstance(inputs, dict) else len(inputs)
    with (
        connect(settings.load()) as database,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        task = progress.add_task("samples", total=count)
        table = observing.observe(
            database,
            network,
            inputs,
            name=name,
            labels=classes,
            batch=batch,
            activation=activation,
            replace=replace,
            progress=lambda done: progress.update(task, completed=done),
        )
    print_table(table, form)


def forget_command(
    network: Network, name: Annotated[str, typer.Argument(help="Name of an observation.")]
) -> None:
    """Remove an observation and its results."""
    with connect(settings.load()) as database:
        observing.forget(database, network, name)


def mount(app: typer.Typer) -> None:
    """Adds both to a command line."""
    app.command("observe")(observe_command)
    app.command("forget")(forget_command)
