"""A service from its settings: what it needs is made ready, then it answers until it is stopped."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from service import access_log as access
from service import serving, spool, tokens
from service.application import create
from service.options import LOOPBACK_HOSTS, Options
from service.origins import origin
from store import settings
from store.connection import connect
from store.errors import SettingsError, StoreUnreachable

_RETRY_SECONDS = 2.0


def serve(
    host: str,
    port: int,
    *,
    cypher: bool,
    hosts: Collection[str],
    origins: Collection[str],
    upload_bytes: int,
    folder: Path | None,
    access_log: bool,
) -> None:
    """Answers questions over HTTP, until Ctrl-C.

    Parameters
    ----------
    host, port
        Where it listens.
    cypher, hosts, origins
        See :func:`options_for`.
    upload_bytes
        Longest model file that clients may send; 0: none.
    folder
        Where such files wait; None: where :func:`service.spool.root_for` says.
    access_log
        Whether every request is logged on stderr.

    Raises
    ------
    SettingsError
        If the settings cannot be.
    PortTaken
        If something listens there.
    WeightomeError
        If the database is there, but not one that can be asked.
    """
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
            cypher=cypher,
            hosts=hosts,
            origins=origins,
        )
        options = replace(
            options,
            upload_bytes=upload_bytes,
            spool=_spool(chosen, folder) if upload_bytes else None,
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
