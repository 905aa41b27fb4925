"""Jobs: who waits, who runs, and what became of the others."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal, Protocol

from pydantic import BaseModel, Field

from service.envelope import Problem, sentence
from service.failures import Refusal, told
from store.errors import Conflict, NotFound, WeightomeError

_log = logging.getLogger("weightome.service")

MOST_KEPT = 1_000
KEPT_HOURS = 24
_RETRY_SECONDS = "30"
_UNEXPECTED = Problem(
    code="internal_error", message="The service failed; its log says more about this."
)


class State(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED})


class Progress(BaseModel):
    """How far a job is."""

    phase: Literal[
        "queued", "starting", "reading", "writing", "verifying", "waiting", "removing", "ended"
    ] = Field(
        "queued",
        description="What goes on: `waiting` is for a database that is gone, `removing` what a job "
        "wrote that was cancelled or failed.",
    )
    done: int = Field(0, description="Links that are written, fixed ones included.")
    total: int = Field(0, description="Links that there are; 0 before the file was read.")


class Job(BaseModel):
    """A file on its way into the store."""

    id: str = Field(description="What `/v1/jobs/{id}` calls it.")
    state: State = Field(State.QUEUED, description="A job that ended is done, failed or cancelled.")
    name: str = Field(description="What the network shall be called.")
    file: str = Field(description="Name of the file that was sent.")
    progress: Progress = Field(default_factory=Progress, description="How far it is.")
    error: Problem | None = Field(None, description="Why it failed; absent where it did not.")
    created: datetime = Field(description="When the whole file had come.")
    finished: datetime | None = Field(None, description="When it ended; absent before.")


class Order(BaseModel):
    """What a client ordered with its file."""

    name: str
    file: str
    view: str = "shared"
    run: str | None = None
    step: int | None = None
    replace: bool = False


class Record(BaseModel):
    """A job with what nobody else needs to know; what the spool keeps of it.

    Parameters
    ----------
    begun
        Whether some of it may be in the store.
    network
        Id of the network that it writes, once it has one.
    cancelling
        Whether it is to be cancelled.
    """

    job: Job
    order: Order
    begun: bool = False
    network: int | None = None
    cancelling: bool = False


class Kept(Protocol):
    """Where records and files survive a service."""

    def keep(self, record: Record) -> None:
        """Writes a record; the file of a job that ended goes."""
        ...

    def forget(self, identity: str) -> None:
        """Removes all of a job."""
        ...


class Work(Protocol):
    """How a job is done."""

    async def do(self, record: Record, changed: Callable[[], None]) -> None:
        """Writes the network, and says so whenever the record's progress changed. Cancelled, it
        ends soon and leaves what it wrote.

        Raises
        ------
        WeightomeError, Refusal
            Why the job failed.
        """
        ...

    async def undo(self, record: Record) -> bool:
        """Removes what `do` left; False if the network is complete and stays."""
        ...


class Jobs:
    """The jobs of one service; lives in its event loop.

    Parameters
    ----------
    work
        How they are done.
    kept
        Where they are kept.
    running
        How many may run at once.
    waiting
        How many more may wait, with those whose file still comes.
    """

    def __init__(self, work: Work, kept: Kept, *, running: int = 1, waiting: int = 8) -> None:
        self._work = work
        self._kept = kept
        self._most_running = running
        self._most_waiting = waiting
        self._records: dict[str, Record] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._coming: set[str] = set()
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._closed = False

    def restore(self, records: list[Record]) -> None:
        """Takes up jobs of a service that ended: what ran goes on first."""
        for record in sorted(records, key=lambda one: one.job.created):
            if record.job.state is State.RUNNING:
                record.job.progress.phase = "waiting"
            self._records[record.job.id] = record
        self._forget_old()
        self._start_next()

    # -- coming in --------------------------------------------------------------------------

    @contextmanager
    def place(self, name: str) -> Iterator[None]:
        """A place in the queue for as long as a file comes, with its name.

        Raises
        ------
        Conflict
            If a job has that name.
        Refusal
            429 ``too_many_jobs``.
        """
        self.check_free(name)
        queued = sum(record.job.state is State.QUEUED for record in self._records.values())
        if queued + len(self._coming) >= self._most_waiting:
            raise Refusal(
                429,
                "too_many_jobs",
                f"{self._most_waiting} jobs wait already, which is the most; try again later.",
                {"Retry-After": _RETRY_SECONDS},
            )
        self._coming.add(name)
        try:
            yield
        finally:
            self._coming.discard(name)

    def check_free(self, name: str) -> None:
        """Refuses a name that a job has which did not end.

        Raises
        ------
        Conflict
        """
        if name in self._coming:
            raise Conflict(f"A file for the network {name!r} is being sent at this moment.")
        for record in self._records.values():
            if record.job.name == name and record.job.state not in ENDED:
                raise Conflict(f"The job {record.job.id} writes the network {name!r} already.")

    def add(self, identity: str, order: Order) -> Job:
        """Queues a job whose file is there."""
        job = Job(id=identity, name=order.name, file=order.file, created=datetime.now(UTC))
        record = Record(job=job, order=order)
        self._kept.keep(record)
        self._records[identity] = record
        self._forget_old()
        self._start_next()
        return job

    # -- looking ----------------------------------------------------------------------------

    def get(self, identity: str) -> Job:
        """The job of that id.

        Raises
        ------
        NotFound
        """
        return self._record(identity).job

    def newest_first(self) -> list[Job]:
        """Every job that is remembered."""
        return [record.job for record in reversed(self._records.values())]

    def by_state(self) -> Mapping[str, int]:
        """How many are in each state."""
        found = Counter(record.job.state for record in self._records.values())
        return {state.value: found[state] for state in State}

    async def follow(self, identity: str, beat: float) -> AsyncGenerator[Job | None, None]:
        """A job now and whenever it changed, until it ended or the service stops.

        Parameters
        ----------
        beat
            None comes where nothing changed for so long, in seconds.
        """
        job = self.get(identity)
        changed = asyncio.Event()
        self._listeners.setdefault(identity, set()).add(changed)
        try:
            yield job
            while job.state not in ENDED and not self._closed:
                try:
                    async with asyncio.timeout(beat):
                        await changed.wait()
                except TimeoutError:
                    yield None
                    continue
                changed.clear()
                if not self._closed:
                    yield job
        finally:
            listeners = self._listeners[identity]
            listeners.discard(changed)
            if not listeners:
                del self._listeners[identity]

    # -- ending -----------------------------------------------------------------------------

    def cancel(self, identity: str) -> Job:
        """Cancels a job; one that runs is cancelled once what it wrote is removed.

        Raises
        ------
        NotFound, Conflict
            If there is none, or it ended.
        """
        record = self._record(identity)
        if record.job.state in ENDED:
            raise Conflict(f"The job {identity} is {record.job.state.value} already.")
        if record.job.state is State.QUEUED:
            self._end(record, State.CANCELLED)
        elif not record.cancelling:
            record.cancelling = True
            self._keep(record)
            # One that a service left may still wait for its turn to end.
            if (task := self._tasks.get(identity)) is not None:
                task.cancel()
        return record.job

    def stop_listening(self) -> None:
        """Ends what follows jobs, and starts none any more: the service is about to stop."""
        self._closed = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.set()

    async def close(self) -> None:
        """Breaks off what runs: its record stays for the next service to go on with."""
        self.stop_listening()
        running = list(self._tasks.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    # -- at work ----------------------------------------------------------------------------

    def _start_next(self) -> None:
        # What ran in a service that ended comes before what only waited.
        waiting = [
            record
            for state in (State.RUNNING, State.QUEUED)
            for record in self._records.values()
            if record.job.state is state and record.job.id not in self._tasks
        ]
        for record in waiting[: max(self._most_running - len(self._tasks), 0)]:
            if self._closed:
                return
            record.job.state = State.RUNNING
            if record.job.progress.phase == "queued":
                record.job.progress.phase = "starting"
            self._keep(record)
            self._changed(record)
            task = asyncio.create_task(self._run(record), name=f"job {record.job.id}")
            self._tasks[record.job.id] = task
            task.add_done_callback(self._ran)

    async def _run(self, record: Record) -> None:
        state = State.DONE
        error: Problem | None = None
        phase = record.job.progress.phase

        def changed() -> None:
            nonlocal phase
            if record.job.progress.phase != phase:
                phase = record.job.progress.phase
                self._keep(record)
            self._changed(record)

        try:
            if record.cancelling:
                raise asyncio.CancelledError
            await self._work.do(record, changed)
        except asyncio.CancelledError:
            if not record.cancelling or self._closed:
                raise
            state = State.CANCELLED
        except (WeightomeError, Refusal) as failure:
            state, error = State.FAILED, told(failure)
        except Exception:
            _log.exception("Unexpected error in job %s", record.job.id)
            state, error = State.FAILED, _UNEXPECTED
        if state is not State.DONE and record.begun and not await self._undone(record):
            # It was complete before it was told to end.
            state, error = State.DONE, None
        self._end(record, state, error)

    async def _undone(self, record: Record) -> bool:
        record.job.progress.phase = "removing"
        self._keep(record)
        self._changed(record)
        try:
            return await self._work.undo(record)
        except WeightomeError as error:
            # Nobody sees it, and the next ingest or delete removes it.
            _log.warning(
                "What job %s wrote is not removed yet: %s", record.job.id, sentence(str(error))
            )
            return True

    def _end(self, record: Record, state: State, error: Problem | None = None) -> None:
        record.job.state = state
        record.job.error = error
        record.job.finished = datetime.now(UTC)
        record.job.progress.phase = "ended"
        self._keep(record)
        self._changed(record)
        self._forget_old()

    def _ran(self, task: asyncio.Task[None]) -> None:
        identity = next(key for key, value in self._tasks.items() if value is task)
        del self._tasks[identity]
        self._start_next()

    def _keep(self, record: Record) -> None:
        """A job goes on without its record: only a service that ends meanwhile needs it."""
        try:
            self._kept.keep(record)
        except OSError as error:
            _log.warning("Job %s cannot be recorded: %s", record.job.id, error)

    def _changed(self, record: Record) -> None:
        for listener in self._listeners.get(record.job.id, ()):
            listener.set()

    def _record(self, identity: str) -> Record:
        try:
            return self._records[identity]
        except KeyError:
            raise NotFound(f"There is no job {identity!r}.") from None

    def _forget_old(self) -> None:
        oldest = datetime.now(UTC) - timedelta(hours=KEPT_HOURS)
        ended = [record.job for record in self._records.values() if record.job.state in ENDED]
        surplus = len(self._records) - MOST_KEPT
        for position, job in enumerate(ended):
            if position < surplus or (job.finished is not None and job.finished < oldest):
                del self._records[job.id]
                self._kept.forget(job.id)
