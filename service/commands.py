"""Command line of the service."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Collection
from typing import Annotated

import typer

from service import serving
from service.application import create
from service.options import LOOPBACK_HOSTS, Options
from store import settings
from store.connection import connect
from store.errors import SettingsError, StoreUnreachable

_RETRY_SECONDS = 2.0


def serve_command(
    host: Annotated[
        str,
        typer.Option(help="Address to listen at; beyond this machine WEIGHTOME_TOKEN is needed."),
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
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Log every request on stderr.")
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
        logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    with serving.bind(host, port) as listening:
        options = options_for(chosen, listening, cypher=enable_cypher, allowed=allow_host or [])
        try:
            # Starts the local server, and finds now what no waiting will mend.
            connect(chosen).close()
        except StoreUnreachable as error:
            print(f"{error} The service starts, and answers once it does.", file=sys.stderr)
        # A client is told soon that the database is gone, and asks again itself.
        app = create(lambda: connect(chosen, retry_seconds=_RETRY_SECONDS), options)
        serving.run(app, listening, access_log=access_log)


def options_for(
    chosen: settings.Settings,
    listening: socket.socket,
    *,
    cypher: bool = False,
    allowed: Collection[str] = (),
) -> Options:
    """What clients may do at that socket.

    Raises
    ------
    SettingsError
        If other machines reach the socket and there is no token, or the token is empty.
    """
    if chosen.token is not None and not chosen.token.get_secret_value():
        raise SettingsError("WEIGHTOME_TOKEN is empty: give it a value or unset it.")
    names = frozenset(name.lower() for name in allowed)
    if serving.is_loopback(listening):
        own = LOOPBACK_HOSTS | {listening.getsockname()[0]}
        return Options(cypher=cypher, token=chosen.token, hosts=own | names)
    if chosen.token is None:
        raise SettingsError(
            f"{serving.url(listening)} is reached from other machines: set WEIGHTOME_TOKEN to a "
            "secret that clients must send, or serve at 127.0.0.1."
        )
    # Whoever lures a browser here lacks the token, so any name will do unless some are set.
    return Options(cypher=cypher, token=chosen.token, hosts=names or None)


def mount(app: typer.Typer) -> None:
    """Adds the service to a command line."""
    app.command("serve")(serve_command)
