"""Places at the desk: who waits, who is told to come again, who leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from service.access import Access
from service.desk import Desk
from service.failures import Refusal
from store.database import Database
from tests.unit.test_service_application import StandIn

T = TypeVar("T")


def desk(**options: Any) -> Desk:
    return Desk(Access(lambda: Database(StandIn(lambda _: []))), **options)


def in_time(work: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await work()

    return asyncio.run(bounded())


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.005)


def test_those_who_find_no_place_wait_and_come_in_turn() -> None:
    async def work() -> None:
        at, order, release = desk(concurrent=1, waiting=3), list[int](), threading.Event()

        def question(number: int) -> Callable[[Database], int]:
            def answer(_: Database) -> int:
                assert release.wait(20)
                order.append(number)
                return number

            return answer

        asked = []
        for number in range(4):
            asked.append(asyncio.ensure_future(at.ask(question(number))))
            await until(lambda: at.running + at.waiting == len(asked))
        assert (at.running, at.waiting) == (1, 3)
        with pytest.raises(Refusal, match="try again") as refusal:
            await at.ask(question(4))
        assert (refusal.value.status, refusal.value.code) == (503, "busy")
        assert at.refused == 1
        release.set()
        assert await asyncio.gather(*asked) == order == [0, 1, 2, 3]
        await until(lambda: at.running == at.waiting == 0)

    in_time(work)


def test_who_waits_too_long_is_told_to_come_again() -> None:
    async def work() -> None:
        at, release = desk(concurrent=1, waiting=1, patience=0.05), threading.Event()
        first = asyncio.ensure_future(at.ask(lambda _: release.wait(20)))
        await until(lambda: at.running == 1)
        with pytest.raises(Refusal, match="try again"):
            await at.ask(lambda _: True)
        assert at.waiting == 0
        release.set()
        assert await first
        assert await at.ask(lambda _: "next") == "next"

    in_time(work)


def test_the_place_of_one_who_left_is_free_when_its_thread_is_done() -> None:
    async def work() -> None:
        at, release = desk(concurrent=1), threading.Event()
        leaving = asyncio.ensure_future(at.ask(lambda _: release.wait(20)))
        await until(lambda: at.running == 1)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert at.running == 1
        with pytest.raises(Refusal):
            await at.ask(lambda _: True)
        release.set()
        await until(lambda: at.running == 0)
        assert await at.ask(lambda _: "next") == "next"

    in_time(work)


def test_who_leaves_while_waiting_takes_no_place() -> None:
    async def work() -> None:
        at, release = desk(concurrent=1, waiting=2), threading.Event()
        first = asyncio.ensure_future(at.ask(lambda _: release.wait(20)))
        leaving = asyncio.ensure_future(at.ask(lambda _: pytest.fail("nobody asks this")))
        last = asyncio.ensure_future(at.ask(lambda _: "last"))
        await until(lambda: at.waiting == 2)
        leaving.cancel()
        await until(lambda: at.waiting == 1)
        release.set()
        assert await first
        assert await last == "last"
        await until(lambda: at.running == at.waiting == 0)

    in_time(work)
