"""What changes the store: apart from the questions, few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from service.access import Access
from service.desk import in_thread
from store.database import Database

T = TypeVar("T")


class Changes:
    """Makes each change in a thread of its own, away from the places of the questions: removing a
    large network takes minutes.

    A change goes on when its client leaves; further ones wait in line.

    Parameters
    ----------
    access
        The database.
    concurrent
        How many are made at once.
    """

    def __init__(self, access: Access, concurrent: int = 2) -> None:
        self._access = access
        self._places = asyncio.Semaphore(concurrent)

    async def make(self, change: Callable[[Database], T]) -> T:
        """What the change gives.

        Raises
        ------
        WeightomeError
            Whatever the change raises.
        """

        def work() -> T:
            with self._access.database() as database:
                return change(database)

        async with self._places:
            return await asyncio.wrap_future(in_thread(work))
