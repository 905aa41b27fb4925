"""Command line of ingest: write a model file into the store, and remove one."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

import ingest
from ingest.removal import delete
from store import settings
from store.commandline import Format, FormatOption, print_table
from store.connection import connect
from store.errors import InvalidArgument
from store.query import Table


class View(Enum):
    """How many neurons a network has where one weight is used at many positions."""

    SHARED = "shared"
    UNROLLED = "unrolled"


FileArgument = Annotated[
    Path,
    typer.Argument(
        help=".onnx, .pt, .pth, .pt2, .safetensors, Keras .h5 or .keras file, or a folder with a "
        "Hugging Face config.json."
    ),
]
ViewOption = Annotated[
    View,
    typer.Option(
        help="shared: one neuron per channel or feature, one link per weight; unrolled: one neuron "
        "per value, one link per use of a weight."
    ),
]
ShapeOption = Annotated[
    str | None,
    typer.Option(
        help="Shape of one sample without the batch axis, such as 3,32,32, where the file does "
        "not tell it."
    ),
]
FactoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION",
        help="Your function that gives the torch module of a file of weights; it is run.",
    ),
]
OpaqueOption = Annotated[
    bool,
    typer.Option("--allow-opaque", help="Keep what is not understood as a layer without links."),
]


def ingest_command(
    file: FileArgument,
    name: Annotated[str, typer.Option(help="What the network shall be called.")],
    run: Annotated[str | None, typer.Option(help="Run that this is a snapshot of.")] = None,
    step: Annotated[int | None, typer.Option(help="Training step of the snapshot.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="NAME=NUMBER to keep with it; repeatable.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of a network of that name.")
    ] = False,
    view: ViewOption = View.SHARED,
    input_shape: ShapeOption = None,
    factory: FactoryOption = None,
    allow_opaque: OpaqueOption = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Write a network of any size without asking back.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where an interrupted ingest of the model stopped."),
    ] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Write every neuron and every weighted link of a model into the store."""
    metrics = dict(_metric(assignment) for assignment in metric or [])
    with connect(settings.load()) as database:
        report = ingest.ingest(
            file,
            name=name,
            run=run,
            step=step,
            metrics=metrics,
            replace=replace,
            view=view.value,
            input_shape=_shape(input_shape),
            factory=factory,
            allow_opaque=allow_opaque,
            yes=yes,
            resume=resume,
            database=database,
            progress=True,
        )
    print_table(
        Table(
            ("network", "layers", "neurons", "links", "wires", "opaque", "seconds"),
            [
                [
                    report.name,
                    report.layers,
                    report.neurons,
                    report.links,
                    report.wires,
                    list(report.opaque),
                    round(report.seconds, 3),
                ]
            ],
        ),
        form,
    )


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(size) for size in text.replace("x", ",").split(","))
    except ValueError as error:
        raise InvalidArgument(
            f"--input-shape wants whole numbers, such as 3,32,32, not {text!r}."
        ) from error


def _metric(assignment: str) -> tuple[str, float]:
    name, _, value = assignment.rpartition("=")
    try:
        if name:
            return name, float(value)
    except ValueError:
        pass
    raise InvalidArgument(f"--metric wants NAME=NUMBER, such as accuracy=0.97, not {assignment!r}.")


def estimate_command(
    file: FileArgument,
    view: ViewOption = View.SHARED,
    input_shape: ShapeOption = None,
    factory: FactoryOption = None,
    allow_opaque: OpaqueOption = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Tell what a model would take in the store, without a database."""
    expected = ingest.measure(
        file,
        view=view.value,
        input_shape=_shape(input_shape),
        factory=factory,
        allow_opaque=allow_opaque,
    )
    print_table(
        Table(
            ("layers", "neurons", "links", "wires", "parameters", "disk_bytes", "seconds"),
            [
                [
                    expected.layers,
                    expected.neurons,
                    expected.links,
                    expected.wires,
                    expected.parameters,
                    expected.disk_bytes,
                    round(expected.seconds, 3),
                ]
            ],
        ),
        form,
    )


def plan_command(
    file: FileArgument,
    view: ViewOption = View.SHARED,
    input_shape: ShapeOption = None,
    factory: FactoryOption = None,
    allow_opaque: OpaqueOption = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to save the plan in.")
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the blocks that a model's links are written in, without a database."""
    plan = ingest.plan(
        file,
        view=view.value,
        input_shape=_shape(input_shape),
        factory=factory,
        allow_opaque=allow_opaque,
    )
    if output is not None:
        plan.save(output)
    print_table(plan.table(), form)


def delete_command(
    names: Annotated[list[str], typer.Argument(metavar="NETWORK...", help="Networks to remove.")],
    form: FormatOption = Format.TABLE,
) -> None:
    """Remove networks, every neuron and link of them, and nothing else."""
    with connect(settings.load()) as database:
        for name in names:
            delete(database, name)
    print_table(Table(("deleted",), [[name] for name in names]), form)


def mount(app: typer.Typer) -> None:
    """Adds ingest, estimate, plan and delete to a command line."""
    app.command("ingest")(ingest_command)
    app.command("estimate")(estimate_command)
    app.command("plan")(plan_command)
    app.command("delete")(delete_command)
