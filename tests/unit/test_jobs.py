"""The queue of jobs: who waits, who runs, and what becomes of them; with work made for the test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from service import jobs as module
from service.failures import UNAVAILABLE, Refusal
from service.jobs import Job, Jobs, Order, Record, State
from store.errors import Conflict, NotFound, StoreUnreachable, UnreadableModel, WeightomeError


class Steered:
    """Work that goes on when the test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.undone: list[str] = []
        self.outcomes: dict[str, asyncio.Future[None]] = {}
        self.complete = False
        self.broken_undo: WeightomeError | None = None

    async def do(self, record: Record, changed: Callable[[], None]) -> None:
        name = record.job.name
        self.begun.append(name)
        record.begun = True
        record.job.progress.phase = "writing"
        changed()
        await self.outcomes.setdefault(name, asyncio.get_running_loop().create_future())

    async def undo(self, record: Record) -> bool:
        if self.broken_undo is not None:
            raise self.broken_undo
        self.undone.append(record.job.name)
        return not self.complete


class Remembered:
    """Records as they would lie on the disk."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}

    def keep(self, record: Record) -> None:
        self.records[record.job.id] = record.model_dump_json()

    def forget(self, identity: str) -> None:
        del self.records[identity]

    def restored(self) -> list[Record]:
        return [Record.model_validate_json(text) for text in self.records.values()]


def in_loop(test: Callable[[Jobs, Steered, Remembered], Awaitable[None]]) -> None:
    """Runs a test with jobs of its own."""

    async def run() -> None:
        work, kept = Steered(), Remembered()
        jobs = Jobs(work, kept, waiting=2)
        await test(jobs, work, kept)
        await jobs.close()

    asyncio.run(run())


def add(jobs: Jobs, name: str) -> Job:
    with jobs.place(name):
        return jobs.add(f"id-{name}", Order(name=name, file=f"{name}.onnx"))


async def settled() -> None:
    """Returns when all that can go on has done so."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_one_after_the_other_in_their_order() -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        of = [add(jobs, name) for name in "abc"]
        await settled()
        assert [job.state for job in of] == [State.RUNNING, State.QUEUED, State.QUEUED]
        assert [job.id for job in jobs.newest_first()] == ["id-c", "id-b", "id-a"]
        assert jobs.by_state() == {
            "queued": 2, "running": 1, "done": 0, "failed": 0, "cancelled": 0,
        }  # fmt: skip
        for name in "abc":
            assert work.begun[-1] == name
            work.outcomes[name].set_result(None)
            await settled()
        assert work.begun == ["a", "b", "c"]
        assert [job.state for job in of] == [State.DONE] * 3
        assert all(job.finished is not None and job.finished >= job.created for job in of)
        assert work.undone == []

    in_loop(test)


def test_only_so_many_wait_and_those_whose_file_comes_count() -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        add(jobs, "runs")
        add(jobs, "waits")
        with jobs.place("comes"):
            with pytest.raises(Refusal) as refused, jobs.place("too many"):
                pass
            assert (refused.value.status, refused.value.code) == (429, "too_many_jobs")
            assert int((refused.value.headers or {})["Retry-After"]) > 0
        add(jobs, "now")

    in_loop(test)


def test_a_name_belongs_to_one_job() -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        add(jobs, "a")
        with pytest.raises(Conflict, match="job id-a writes the network 'a' already"):
            add(jobs, "a")
        with jobs.place("b"), pytest.raises(Conflict, match="being sent at this moment"):
            add(jobs, "b")
        add(jobs, "b")
        await settled()
        work.outcomes["a"].set_result(None)
        await settled()
        jobs.check_free("a")

    in_loop(test)


def test_cancel() -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        running, waiting = add(jobs, "runs"), add(jobs, "waits")
        await settled()
        assert jobs.cancel(waiting.id).state is State.CANCELLED
        assert jobs.cancel(running.id).state is State.RUNNING
        assert jobs.cancel(running.id) is running, "a second time is no news"
        await settled()
        assert running.state is State.CANCELLED
        assert work.undone == ["runs"], "what only waited wrote nothing"
        for job in (running, waiting):
            with pytest.raises(Conflict, match="is cancelled already"):
                jobs.cancel(job.id)
        with pytest.raises(NotFound, match="There is no job 'x'"):
            jobs.cancel("x")
        add(jobs, "next")
        await settled()
        assert work.begun == ["runs", "next"]

    in_loop(test)


def test_what_is_complete_when_it_is_cancelled_is_done() -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        work.complete = True
        job = add(jobs, "a")
        await settled()
        jobs.cancel(job.id)
        await settled()
        assert job.state is State.DONE
        assert job.error is None

    in_loop(test)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UnreadableModel("It is\nno model"), "unreadable_model", "It is no model."),
        (Refusal(500, "ingest_broke_off", "It broke."), "ingest_broke_off", "It broke."),
        (StoreUnreachable("bolt://secret is gone."), "store_unreachable", UNAVAILABLE),
        (RuntimeError("hunter2"), "internal_error", "The service failed; its log says more"),
    ],
)
def test_a_failure_is_told_and_undone_and_the_next_begins(
    error: Exception, code: str, message: str
) -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        job, _ = add(jobs, "a"), add(jobs, "b")
        await settled()
        work.outcomes["a"].set_exception(error)
        await settled()
        assert job.state is State.FAILED
        assert job.error is not None
        assert job.error.code == code
        assert job.error.message.startswith(message)
        assert work.undone == ["a"]
        assert work.begun == ["a", "b"]

    in_loop(test)


def test_what_cannot_be_undone_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        work.broken_undo = StoreUnreachable("It is gone.")
        job = add(jobs, "a")
        await settled()
        jobs.cancel(job.id)
        await settled()
        assert job.state is State.CANCELLED

    in_loop(test)
    assert "What job id-a wrote is not removed yet: It is gone." in caplog.text


def test_followers_see_every_change_and_the_end() -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        job = add(jobs, "a")
        seen: list[list[str]] = [[], []]

        async def follow(number: int) -> None:
            async for now in jobs.follow(job.id, beat=60):
                assert now is job
                seen[number].append(f"{now.state.value} {now.progress.phase}")

        followers = [asyncio.create_task(follow(number)) for number in range(2)]
        leaving = jobs.follow(job.id, beat=60)
        assert await anext(leaving) is job
        await leaving.aclose()
        await settled()
        work.outcomes["a"].set_result(None)
        await asyncio.gather(*followers)
        for one in seen:
            assert one == ["running writing", "done ended"]
        assert [now async for now in jobs.follow(job.id, beat=60)] == [job], "late is not too late"

    in_loop(test)


def test_a_beat_where_nothing_happens_and_an_end_where_the_service_stops() -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        job = add(jobs, "a")
        await settled()
        following = jobs.follow(job.id, beat=0.01)
        assert await anext(following) is job
        assert await anext(following) is None
        jobs.stop_listening()
        assert [now async for now in following if now is not None] == []

    in_loop(test)


def test_the_next_service_goes_on_with_what_ran_first() -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        for name in ("ran", "waited"):
            add(jobs, name)
        await settled()
        ended = jobs.get("id-ran")
        await jobs.close()
        assert ended.state is State.RUNNING
        assert ended.finished is None
        assert work.undone == [], "it is there to be gone on with"

        records = kept.restored()
        assert [record.begun for record in records] == [True, False]
        records.reverse()
        again, after = Steered(), Jobs(work := Steered(), kept)
        assert again.begun == []
        after.restore(records)
        await settled()
        assert work.begun == ["ran"]
        assert [job.name for job in after.newest_first()] == ["waited", "ran"]
        work.outcomes["ran"].set_result(None)
        await settled()
        assert work.begun == ["ran", "waited"]
        await after.close()

    in_loop(test)


def test_what_was_being_cancelled_is_cancelled_by_the_next_service() -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        job = add(jobs, "a")
        await settled()
        jobs.cancel(job.id)
        await jobs.close()
        (record,) = kept.restored()
        assert (record.job.state, record.cancelling) == (State.RUNNING, True)
        after = Jobs(work := Steered(), kept)
        after.restore([record])
        await settled()
        assert (work.begun, work.undone) == ([], ["a"])
        assert after.get(job.id).state is State.CANCELLED
        await after.close()

    in_loop(test)


def test_two_that_ran_may_be_cancelled_before_their_turn() -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        for name in "ab":
            add(jobs, name)
            await settled()
            work.outcomes.clear()
        records = kept.restored()
        for record in records:
            record.job.state, record.begun = State.RUNNING, True
        after = Jobs(work := Steered(), kept)
        after.restore(records)
        await settled()
        assert work.begun == ["a"]
        assert after.cancel("id-b").state is State.RUNNING
        work.outcomes["a"].set_result(None)
        await settled()
        assert (work.begun, work.undone) == (["a"], ["b"])
        assert after.get("id-b").state is State.CANCELLED
        await after.close()

    in_loop(test)


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        monkeypatch.setattr(module, "MOST_KEPT", 3)
        for number in range(6):
            add(jobs, str(number))
            await settled()
            work.outcomes[str(number)].set_result(None)
            await settled()
        assert [job.name for job in jobs.newest_first()] == ["5", "4", "3"]
        assert sorted(kept.records) == ["id-3", "id-4", "id-5"]
        old = jobs.get("id-4")
        assert old.finished is not None
        old.finished -= timedelta(hours=module.KEPT_HOURS + 1)
        add(jobs, "6")
        assert [job.name for job in jobs.newest_first()] == ["6", "5"], "and 3 made room"

    in_loop(test)


def test_a_disk_that_takes_no_record_fails_no_job(caplog: pytest.LogCaptureFixture) -> None:
    async def test(jobs: Jobs, work: Steered, kept: Remembered) -> None:
        job = add(jobs, "a")

        def full(record: Record) -> None:
            raise OSError(28, "No space left on device")

        kept.keep = full  # type: ignore[method-assign]
        await settled()
        work.outcomes["a"].set_result(None)
        await settled()
        assert job.state is State.DONE
        with pytest.raises(OSError, match="No space"):
            add(jobs, "refused, for it would not survive")
        assert [job.name for job in jobs.newest_first()] == ["a"]

    in_loop(test)
    assert "Job id-a cannot be recorded" in caplog.text
