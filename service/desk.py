"""Where questions wait for the database: a bounded number of threads, away from the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from service.access import Access
from service.failures import Refusal
from store.cancelling import Cancelling
from store.connection import check_server
from store.database import Database
from store.errors import StoreUnreachable

T = TypeVar("T")

_COME_AGAIN = {"Retry-After": "1"}


class Desk:
    """Runs each question in a thread of its own.

    There are only so many places; who finds none waits for one, and is refused when too many wait
    or it takes too long, so slow questions cost neither memory nor the answer of ``/health``,
    which needs no place. Whoever leaves ends what runs for them in the database; the place is free
    again when its thread is done.

    Parameters
    ----------
    access
        The database.
    concurrent
        Number of places.
    waiting
        How many may wait for a place.
    patience
        How long they wait, in seconds.
    """

    def __init__(
        self, access: Access, concurrent: int, waiting: int = 0, patience: float = 10.0
    ) -> None:
        self._access = access
        self._places = asyncio.Semaphore(concurrent)
        self._most_waiting = waiting
        self._patience = patience
        self._health_check: asyncio.Future[None] | None = None
        self.running = 0
        """Questions that have a place now."""
        self.waiting = 0
        """Questions that wait for one."""
        self.refused = 0
        """Questions that were told to come again, since the service began."""

    async def ask(self, question: Callable[[Database], T]) -> T:
        """What the question answers. Cancelled, it ends what runs for it in the database.

        Raises
        ------
        Refusal
            503 ``busy`` when there is no place and none becomes free.
        WeightomeError
            Whatever the question raises.
        """
        await self._take_place()
        cancelling = Cancelling()

        def work() -> T:
            with self._access.database() as database:
                return question(database.cancelled_by(cancelling))

        loop = asyncio.get_running_loop()
        running = in_thread(work)
        answer = asyncio.wrap_future(running)
        # Not a callback of `answer`: that is cancelled while its thread still works.
        running.add_done_callback(lambda _: _call(loop, self._leave_place))
        try:
            return await answer
        except asyncio.CancelledError:
            # It waits until the database has let go, which the loop must not.
            threading.Thread(target=cancelling.cancel, name="weightome-cancel", daemon=True).start()
            raise

    async def _take_place(self) -> None:
        if self._places.locked() and self.waiting >= self._most_waiting:
            raise self._busy()
        self.waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise self._busy() from None
        finally:
            self.waiting -= 1
        self.running += 1

    def _leave_place(self) -> None:
        self.running -= 1
        self._places.release()

    def _busy(self) -> Refusal:
        self.refused += 1
        return Refusal(
            503,
            "busy",
            "As many questions as may run at once are running; try again in a moment.",
            _COME_AGAIN,
        )

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
            self._health_check = asyncio.wrap_future(in_thread(self._check))
            # A failure that nobody waits for any more is no news.
            self._health_check.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._health_check

    def _check(self) -> None:
        with self._access.database() as database:
            check_server(database)

    def close(self) -> None:
        """Closes the database."""
        self._access.close()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Has a loop call a function, unless it is over."""
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        if not loop.is_closed():
            raise


def in_thread(work: Callable[[], T]) -> Future[T]:
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
