"""Command line of the page as a file."""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from service.panels import PANELS
from store import settings
from store.commandline import Format, FormatOption, print_table
from store.connection import connect
from store.errors import InvalidArgument
from store.files import refuse_existing, whole_file
from store.query import Table


def view_command(
    name: Annotated[str, typer.Argument(help="Name of a network or a run.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where to: a .html file.", metavar="FILE")
    ],
    panel: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(PANELS)}; repeatable. Default: all that fit."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite a file that is there.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Write a network or a run as one interactive HTML file that opens without a service."""
    if output.suffix != ".html":
        raise InvalidArgument(f"A view is written to a .html file, not to {output.name!r}.")
    refuse_existing(output, replace=replace)
    from service.standalone import standalone

    chosen = settings.load()
    page = asyncio.run(standalone(lambda: connect(chosen), name, panel or []))
    text = page.html.encode()
    with whole_file(output) as unfinished:
        unfinished.write_bytes(text)
    left_out = (
        f"{page.left_out} answers that a reader may choose are not in the file: there was no room, "
        "or they took too long."
    )
    notes = (left_out,) if page.left_out else ()
    row = [str(output), list(page.panels), page.answers, len(text)]
    print_table(Table(("file", "panels", "answers", "bytes"), [row], notes=notes), form)
    if show:
        webbrowser.open(output.resolve().as_uri())


def mount(app: typer.Typer) -> None:
    """Adds it to a command line."""
    app.command("view")(view_command)
