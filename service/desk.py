"""Where questions wait for the database: a bounded number of threads, away from the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from service.access import Access
from service.failures import Refusal
from store.connection import check_server
from store.database import Database
from store.errors import StoreUnreachable

T = TypeVar("T")


class Desk:
    """Runs each question in a thread of its own.

    There are only so many places; a further question is refused at once, so slow questions cost
    neither memory nor the answer of ``/health``, which needs no place. A place is free again when
    its thread is done, not when its client is gone: the database works for it until then.

    Parameters
    ----------
    access
        The database.
    concurrent
        Number of places.
    """

    def __init__(self, access: Access, concurrent: int) -> None:
        self._access = access
        self._free = threading.BoundedSemaphore(concurrent)
        self._health_check: asyncio.Future[None] | None = None

    async def ask(self, question: Callable[[Database], T]) -> T:
        """What the question answers.

        Raises
        ------
        Refusal
            503 ``busy`` when every place is taken.
        WeightomeError
            Whatever the question raises.
        """
        if not self._free.acquire(blocking=False):
            raise Refusal(
                503,
                "busy",
                "As many questions as may run at once are running; try again in a moment.",
                {"Retry-After": "1"},
            )

        def work() -> T:
            with self._access.database() as database:
                return question(database)

        running = _in_thread(work)
        running.add_done_callback(lambda _: self._free.release())
        return await asyncio.wrap_future(running)

    async def check(self, seconds: float) -> None:
        """Returns when the database answers.

        Whoever asks while a check runs waits for that one: any number of clients cost one query.

        Raises
        ------
        WeightomeError
            What is wrong with the database, or that it took longer than `seconds`.
        """
        try:
            await asyncio.wait_for(asyncio.shield(self.warm_up()), seconds)
        except TimeoutError:
            raise StoreUnreachable(f"The database did not answer within {seconds:g} s.") from None

    def warm_up(self) -> asyncio.Future[None]:
        """Starts a check, and with it opens the database, unless one is under way."""
        if self._health_check is None or self._health_check.done():
            self._health_check = asyncio.wrap_future(_in_thread(self._check))
            # A failure that nobody waits for any more is no news.
            self._health_check.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._health_check

    def _check(self) -> None:
        with self._access.database() as database:
            check_server(database)

    def close(self) -> None:
        """Closes the database."""
        self._access.close()


def _in_thread(work: Callable[[], T]) -> Future[T]:
    """Runs work in a daemon thread: a pool's threads would keep the process from ending, for as
    long as the database takes to answer what nobody waits for any more."""
    future: Future[T] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="weightome-question", daemon=True).start()
    return future
