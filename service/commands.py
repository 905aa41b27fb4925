"""Command line of the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import view_commands


def serve_command(
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen at; beyond this machine WEIGHTOME_TOKEN or WEIGHTOME_TOKENS "
            "is needed."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any free one.")
    ] = 8080,
    enable_cypher: Annotated[
        bool, typer.Option("--enable-cypher", help="Take clients' own Cypher, read only.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name to answer to besides this machine's own; repeatable."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Origin, such as https://models.example, whose web pages may use the service "
            "too (CORS); repeatable."
        ),
    ] = None,
    upload_limit: Annotated[
        int,
        typer.Option(min=0, help="Longest model file that clients may send, in MB; 0: none."),
    ] = 2_000,
    spool_folder: Annotated[
        Path | None,
        typer.Option(
            "--spool",
            metavar="DIR",
            help="Folder where such files wait, also for the next start of the service; "
            "default: spool in WEIGHTOME_HOME.",
        ),
    ] = None,
    access_log: Annotated[
        bool,
        typer.Option("--access-log", help="Log every request on stderr, as a JSON object a line."),
    ] = False,
) -> None:
    """Answer questions over HTTP, until Ctrl-C."""
    # Only who serves waits until all of the service is imported.
    from service.starting import serve

    serve(
        host,
        port,
        cypher=enable_cypher,
        hosts=allow_host or [],
        origins=allow_origin or [],
        upload_bytes=upload_limit * 1_000_000,
        folder=spool_folder,
        access_log=access_log,
    )


def mount(app: typer.Typer) -> None:
    """Adds the service to a command line."""
    app.command("serve")(serve_command)
    view_commands.mount(app)
