"""Callers that want the same thing take turns: the first makes it, the others find it made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from store.errors import TimeLimitExceeded


class Turns:
    """One caller at a time for each of any number of things.

    Example
    -------
    >>> turns = Turns()
    >>> with turns.of("strength of mnist", seconds=10):
    ...     "nobody else makes it now"
    'nobody else makes it now'
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: set[str] = set()

    @contextmanager
    def of(self, thing: str, seconds: float) -> Iterator[None]:
        """While the block runs, it is this caller's turn.

        Parameters
        ----------
        seconds
            How long to wait for it.

        Raises
        ------
        TimeLimitExceeded
        """
        with self._changed:
            if not self._changed.wait_for(lambda: thing not in self._taken, seconds):
                raise TimeLimitExceeded(
                    "Another caller asks the same, and its answer took longer than the time limit."
                )
            self._taken.add(thing)
        try:
            yield
        finally:
            with self._changed:
                self._taken.discard(thing)
                self._changed.notify_all()
