"""Command line of ingest: write a model file into the store, and remove one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar

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


FILE_HELP = (
    ".onnx, .pt, .pth, .pt2, .safetensors, Keras .h5 or .keras file, or a folder with a "
    "Hugging Face config.json."
)
FileArgument = Annotated[Path, typer.Argument(help=FILE_HELP)]
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
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help=FILE_HELP)],
    name: Annotated[
        list[str],
        typer.Option(help="What the network shall be called; once for each FILE, in their order."),
    ],
    run: Annotated[str | None, typer.Option(help="Run that this is a snapshot of.")] = None,
    step: Annotated[
        list[int] | None,
        typer.Option(help="Training step of the snapshot; once for each FILE."),
    ] = None,
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
    bulk: Annotated[
        bool,
        typer.Option(
            "--bulk",
            help="Through Neo4j's import tool: for millions of links, into a local store without "
            "networks; Neo4j is stopped meanwhile.",
        ),
    ] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Write every neuron and every weighted link of models into the store."""
    metrics = dict(_metric(assignment) for assignment in metric or [])
    steps = _for_each(step, len(files), "--step") if step else None
    of_files: Sequence[int | None] = [None] * len(files) if steps is None else steps
    models: dict[str, Path] = dict(zip(_for_each(name, len(files), "--name"), files, strict=True))
    if len(models) < len(files):
        raise InvalidArgument("Networks need names that differ.")
    if metrics and len(files) > 1:
        raise InvalidArgument("--metric is of one network: ingest one FILE at a time with it.")
    reading = _reading(view, input_shape, factory, allow_opaque) | {"yes": yes}
    if bulk:
        if replace or resume or metrics:
            raise InvalidArgument("--bulk goes with neither --replace nor --resume nor --metric.")
        reports = ingest.build(models, run=run, steps=steps, progress=True, **reading)
    else:
        with connect(settings.load()) as database:
            reports = [
                ingest.ingest(
                    file,
                    name=called,
                    run=run,
                    step=at,
                    metrics=metrics,
                    replace=replace,
                    resume=resume,
                    database=database,
                    progress=True,
                    **reading,
                )
                for (called, file), at in zip(models.items(), of_files, strict=True)
            ]
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
                for report in reports
            ],
        ),
        form,
    )


Given = TypeVar("Given")


def _for_each(given: list[Given], files: int, option: str) -> list[Given]:
    if len(given) != files:
        raise InvalidArgument(f"{option} wants one value for each FILE, not {len(given)}.")
    return given


def _reading(
    view: View, input_shape: str | None, factory: str | None, allow_opaque: bool
) -> dict[str, Any]:
    """How a model shall be read, as keyword arguments."""
    return {
        "view": view.value,
        "input_shape": _shape(input_shape),
        "factory": factory,
        "allow_opaque": allow_opaque,
    }


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
    expected = ingest.measure(file, **_reading(view, input_shape, factory, allow_opaque))
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
    plan = ingest.plan(file, **_reading(view, input_shape, factory, allow_opaque))
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
