"""A database for one purpose, on a server of its own that goes with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.connection import connect
from store.database import Database
from store.local.server import down
from store.settings import Settings, load


@contextmanager
def temporary_database() -> Iterator[Database]:
    """Starts a real Neo4j with an empty database, and stops and removes it at the end.

    Its jars come from the cache of the settings.

    Yields
    ------
    Database

    Raises
    ------
    ServerFailed
        If the server does not start.

    Example
    -------
    >>> with temporary_database() as database:                          # doctest: +SKIP
    ...     ingest.ingest(model, name="model", database=database)
    """
    with tempfile.TemporaryDirectory(prefix="weightome-") as home:
        settings = Settings(uri=None, home=Path(home), cache=load().cache_folder, port=0)
        try:
            with connect(settings) as database:
                yield database
        finally:
            down(settings)
