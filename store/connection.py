"""From settings to an open :class:`~store.database.Database`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from store import schema, settings
from store.database import RETRY_SECONDS, Database, DriverConnection
from store.errors import InvalidQuery, MissingCapability, SettingsError
from store.local.server import up
from store.query import Query

OLDEST_SERVER = (5, 26)

SERVER_VERSION = Query(
    "server_version",
    "Version and edition of the server.",
    "CALL dbms.components() YIELD name, versions, edition "
    "WHERE name = 'Neo4j Kernel' RETURN versions[0] AS version, edition",
    ("version", "edition"),
)
GDS_VERSION = Query(
    "gds_version",
    "Version of Graph Data Science at the server.",
    "RETURN gds.version() AS version",
    ("version",),
)


def connect(
    chosen: settings.Settings | None = None, *, retry_seconds: float = RETRY_SECONDS
) -> Database:
    """Opens the database that the settings name, starting the local server where they name none.

    Parameters
    ----------
    chosen
        Default: from the environment.
    retry_seconds
        How long a transaction is tried again after transient errors.

    Returns
    -------
    Database
        Checked: the server is recent enough, has Graph Data Science, and holds our schema version
        or nothing of ours yet. Close it, or use it as a ``with`` block.

    Raises
    ------
    SettingsError
        ``WEIGHTOME_URI`` without ``WEIGHTOME_PASSWORD``.
    LocalServerError
        The local server cannot be fetched or started.
    StoreUnreachable, AuthenticationFailed, MissingCapability, SchemaMismatch

    Example
    -------
    >>> with connect() as database:                                     # doctest: +SKIP
    ...     database.read(GDS_VERSION).rows
    [['2.26.0']]
    """
    chosen = chosen or settings.load()
    if chosen.uri is None:
        connection = _local(chosen, retry_seconds)
    else:
        connection = _remote(chosen, chosen.uri, retry_seconds)
    database = Database(connection, read_seconds=chosen.read_seconds, row_cap=chosen.row_cap)
    try:
        check_server(database)
        schema.check(database)
    except BaseException:
        database.close()
        raise
    return database


def _remote(chosen: settings.Settings, uri: str, retry_seconds: float) -> DriverConnection:
    if chosen.password is None:
        raise SettingsError("WEIGHTOME_URI is set, but WEIGHTOME_PASSWORD is not.")
    if "@" in urlsplit(uri).netloc:
        raise SettingsError(
            "WEIGHTOME_URI holds a user or password: give them as WEIGHTOME_USER and "
            "WEIGHTOME_PASSWORD."
        )
    return DriverConnection(
        uri,
        chosen.user,
        chosen.password.get_secret_value(),
        database=chosen.database,
        retry_seconds=retry_seconds,
    )


def _local(chosen: settings.Settings, retry_seconds: float) -> DriverConnection:
    server = up(chosen)
    return DriverConnection(
        server.uri,
        server.user,
        server.password.get_secret_value(),
        retry_seconds=retry_seconds,
    )


def check_server(database: Database) -> None:
    """Refuses a server that is too old or lacks Graph Data Science.

    Raises
    ------
    MissingCapability
    """
    version = str(database.read(SERVER_VERSION).rows[0][0])
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST_SERVER:
        raise MissingCapability(
            f"The server is Neo4j {version}; Weightome needs "
            f"{'.'.join(map(str, OLDEST_SERVER))} or later."
        )
    try:
        database.read(GDS_VERSION)
    except InvalidQuery as error:
        raise MissingCapability(
            f"The server (Neo4j {version}) has no Graph Data Science library, which paths and "
            "graph algorithms need."
        ) from error
