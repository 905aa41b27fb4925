"""Command line of the service."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from service import access_log as access
from service import serving, spool, tokens, view_commands
from service.application import create
from service.options import LOOPBACK_HOSTS, Options
from service.origins import origin
from store import settings
from store.connection import connect
from store.errors import SettingsError, StoreUnreachable

_RETRY_SECONDS = 2.0


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
    chosen = settings.load()
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    # Our own error says in one line what the driver says in many.
    logging.getLogger("neo4j").setLevel(logging.ERROR)
    if access_log:
        access.to_stderr()
    with serving.bind(host, port) as listening:
        options = options_for(
            chosen,
            listening,
            cypher=enable_cypher,
            hosts=allow_host or [],
            origins=allow_origin or [],
        )
        options = replace(
            options,
            upload_bytes=upload_limit * 1_000_000,
            spool=_spool(chosen, spool_folder) if upload_limit else None,
        )
        try:
            # Starts the local server, and finds now what no waiting will mend.
            connect(chosen).close()
        except StoreUnreachable as error:
            print(f"{error} The service starts, and answers once it does.", file=sys.stderr)
        # A client is told soon that the database is gone, and asks again itself.
        app = create(lambda: connect(chosen, retry_seconds=_RETRY_SECONDS), options)
        serving.run(app, listening)


def _spool(chosen: settings.Settings, folder: Path | None) -> Path | None:
    """Where uploaded files wait; None, and a word on stderr, where the usual place cannot be."""
    root = spool.root_for(chosen, folder)
    try:
        spool.prepare(root)
    except SettingsError as error:
        if folder is not None:
            raise
        print(f"{error} Until then this service takes no files.", file=sys.stderr)
        return None
    return root


def options_for(
    chosen: settings.Settings,
    listening: socket.socket,
    *,
    cypher: bool = False,
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
) -> Options:
    """What clients may do at that socket.

    Parameters
    ----------
    cypher
        Whether they may send Cypher of their own.
    hosts
        Names of this machine that they may use, besides those of loopback.
    origins
        Whose web pages may use the service too.

    Raises
    ------
    SettingsError
        If other machines reach the socket and there is no token, or a token or an origin cannot
        be used.
    """
    bearers = tokens.configured(chosen)
    names: frozenset[str] | None = frozenset(name.lower() for name in hosts)
    if serving.is_loopback(listening):
        names = LOOPBACK_HOSTS | {listening.getsockname()[0]} | (names or frozenset())
    elif bearers is None:
        raise SettingsError(
            f"{serving.url(listening)} is reached from other machines: set WEIGHTOME_TOKEN (or "
            "WEIGHTOME_TOKENS) to a secret that clients must send, or serve at 127.0.0.1."
        )
    return Options(
        cypher=cypher,
        tokens=bearers,
        # Whoever lures a browser here lacks the token, so any name will do unless some are set.
        hosts=names or None,
        origins=frozenset(map(origin, origins)),
    )


def mount(app: typer.Typer) -> None:
    """Adds the service to a command line."""
    app.command("serve")(serve_command)
    view_commands.mount(app)
