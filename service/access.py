"""The database behind a service: opened when it is needed, and again after it was lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from store.database import Database
from store.errors import StoreUnreachable, WeightomeError


@dataclass
class _Lease:
    database: Database
    users: int


class Access:
    """Lends one shared :class:`~store.database.Database` to any number of threads.

    A database that turns out to be unreachable is opened anew for whoever asks next, since a local
    server may come back on another port; those who still use the old one finish with it.

    Parameters
    ----------
    open_database
        Opens the database, or raises one of our errors.

    Example
    -------
    >>> access = Access(connect)                                        # doctest: +SKIP
    >>> with access.database() as database:                             # doctest: +SKIP
    ...     catalogue.networks(database)
    """

    def __init__(self, open_database: Callable[[], Database]) -> None:
        self._open = open_database
        # Opening may take long: those who only give back must not wait for it.
        self._opening = threading.Lock()
        self._counting = threading.Lock()
        self._lease: _Lease | None = None
        self._failed: tuple[float, WeightomeError] | None = None
        self._closed = False

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The database, for as long as the block runs."""
        lease = self._borrow()
        try:
            yield lease.database
        except StoreUnreachable:
            with self._counting:
                if self._lease is lease:
                    self._lease = None
            raise
        finally:
            with self._counting:
                lease.users -= 1
                last = lease.users == 0 and self._lease is not lease
            if last:
                lease.database.close()

    def close(self) -> None:
        """Closes the database, also under those who use it: their queries end with an error."""
        with self._counting:
            self._closed = True
            lease, self._lease = self._lease, None
        if lease is not None:
            lease.database.close()

    def _borrow(self) -> _Lease:
        asked = time.monotonic()
        with self._opening:
            with self._counting:
                if self._closed:
                    raise StoreUnreachable("The service is shutting down.")
                if self._lease is not None:
                    self._lease.users += 1
                    return self._lease
            # Whoever waited while another one tried in vain shares that outcome: a dozen waiting
            # threads shall not run into a dozen connection time-outs one after the other.
            if self._failed is not None and self._failed[0] >= asked:
                raise type(self._failed[1])(*self._failed[1].args)
            try:
                lease = _Lease(self._open(), users=1)
            except WeightomeError as error:
                self._failed = (time.monotonic(), error)
                raise
            with self._counting:
                if not self._closed:
                    self._lease = lease
                    return lease
            lease.database.close()
            raise StoreUnreachable("The service is shutting down.")
