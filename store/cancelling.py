"""How a caller ends what runs for it at the server, when nobody waits for the answer any more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from store.errors import Cancelled, WeightomeError

_log = logging.getLogger("weightome.store")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


class Cancelling:
    """Ends the running transactions of one caller, and lets no further one begin.

    Example
    -------
    >>> cancelling = Cancelling()
    >>> reading = database.cancelled_by(cancelling)                     # doctest: +SKIP
    >>> threading.Timer(1, cancelling.cancel).start()                   # doctest: +SKIP
    >>> strength(reading, "large")                                      # doctest: +SKIP
    Traceback (most recent call last):
    store.errors.Cancelled: Nobody waits for this answer any more.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: dict[object, Callable[[], None]] = {}
        self._cancelled = False

    def check(self) -> None:
        """Raises
        ------
        Cancelled
            After :meth:`cancel`.
        """
        if self._cancelled:
            raise Cancelled("Nobody waits for this answer any more.")

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `end` is what :meth:`cancel` ends it with.

        Raises
        ------
        Cancelled
            If it is too late to begin.
        """
        entry = object()
        with self._changed:
            self.check()
            self._running[entry] = end
        try:
            yield
        finally:
            with self._changed:
                del self._running[entry]
                self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Sleeps so long, or until :meth:`cancel`."""
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled, seconds)

    def cancel(self) -> None:
        """Ends what runs, and returns when it has ended.

        A transaction is not at the server as soon as its client has begun it, so one try is not
        enough.
        """
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()
        pause = _FIRST_PAUSE
        while True:
            with self._changed:
                ends = list(self._running.values())
            if not ends:
                return
            for end in ends:
                try:
                    end()
                except WeightomeError as error:
                    # A server that cannot be reached runs nothing that its client would wait for.
                    _log.info("A transaction could not be ended: %s", error)
            with self._changed:
                self._changed.wait_for(lambda: not self._running, pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
