"""How a job is done: ``python -m ingest.worker`` reads and writes its file, and this watches it.

A model file is untrusted and may be large: whatever it does to the process that reads it, the
service goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from filelock import FileLock, Timeout

from service.changes import Changes
from service.desk import Desk, in_thread
from service.failures import Refusal
from service.jobs import Record
from service.spool import Spool
from store import errors
from store.database import Database
from store.errors import Conflict, WeightomeError

# How long a job waits for what may mend itself, in seconds, after which it fails.
_MENDS: Mapping[type[WeightomeError], float] = {
    errors.StoreUnreachable: 600.0,
    errors.ServerFailed: 600.0,
    # A commit whose outcome is unknown, a server that stops under a transaction.
    errors.TransactionFailed: 60.0,
}
# More than the lease of a writer.
_LEASE_SECONDS = 180.0
_LONGEST_PAUSE = 10.0
# How long the database may take to show that it is there, in seconds.
_CHECK_SECONDS = 30.0
# How long a worker may take to end, its transactions among it, in seconds.
_PATIENCE = 5.0
_LONGEST_LINE = 1_000_000
# A file may be made to keep its reader busy for ever; to verify a hundred million links takes a
# part of this, in seconds.
_LONGEST_SILENCE = 3_600.0

Undo = Callable[[Database, str, int | None], bool]


class Ingesting:
    """Does jobs. See :class:`service.jobs.Work`.

    Parameters
    ----------
    desk
        Tells whether the database is there.
    changes
        Makes what `undo` changes.
    spool
        Where the files are.
    undo
        Removes what was written under a name, unless the network of that id is complete; whether
        it did.
    """

    def __init__(self, desk: Desk, changes: Changes, spool: Spool, undo: Undo) -> None:
        self._desk = desk
        self._changes = changes
        self._spool = spool
        self._undo = undo

    async def do(self, record: Record, changed: Callable[[], None]) -> None:
        """Writes the network; where the database goes away, waits for it and goes on."""
        # Of what a service left that ran in another container only its lease tells the end.
        taken_up = record.network is not None
        patience = _Patience({**_MENDS, Conflict: _LEASE_SECONDS} if taken_up else _MENDS)
        while True:
            written = record.job.progress.done
            try:
                # Opens the database, and where it is a local one starts it, as any question does.
                await self._desk.check(_CHECK_SECONDS)
                await self._attempt(record, changed)
                return
            except WeightomeError as error:
                if record.job.progress.done > written:
                    patience.renew()
                patience.check(error)
            record.job.progress.phase = "waiting"
            changed()
            await patience.rest()

    async def _attempt(self, record: Record, changed: Callable[[], None]) -> None:
        job, order = record.job, record.order
        record.begun = True
        job.progress.phase = "starting"
        changed()
        sent = {
            **order.model_dump(),
            "folder": str(self._spool.model(job.id)),
            "lock": str(self._spool.lock(job.id)),
            # Only what is known to be of this job: another's remains are not to be gone on with.
            "resume": record.network is not None,
            "network": record.network,
        }
        outcome: WeightomeError | Refusal | None = None
        async with _worker(sent) as worker:
            async for message in _messages(worker):
                if "error" in message:
                    outcome = _error(message["error"])
                    break
                if _advanced(record, message):
                    break
                changed()
            else:
                outcome = _broken_off(await worker.wait())
        if outcome is not None:
            raise outcome

    async def undo(self, record: Record) -> bool:
        """Removes what is in the store of a job that was broken off."""
        lock = FileLock(self._spool.lock(record.job.id), thread_local=False)

        def wait() -> None:
            # The worker of a service that was killed may still be about to end.
            with suppress(Timeout), lock.acquire(timeout=2 * _PATIENCE):
                pass

        await asyncio.wrap_future(in_thread(wait))
        patience = _Patience(_MENDS)
        while True:
            try:
                return await self._changes.make(
                    lambda database: self._undo(database, record.order.name, record.network)
                )
            except WeightomeError as error:
                patience.check(error)
            await patience.rest()


class _Patience:
    """How long what may mend itself is waited for.

    Parameters
    ----------
    mends
        Which errors may, and how long they may take, in seconds.
    """

    def __init__(self, mends: Mapping[type[WeightomeError], float]) -> None:
        self._mends = mends
        self.renew()

    def renew(self) -> None:
        """Begins anew: there was success since."""
        self._failing_since: float | None = None
        self._pause = 1.0

    def check(self, error: WeightomeError) -> None:
        """Raises an error that will not mend, or took too long."""
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        most = next((most for kind, most in self._mends.items() if isinstance(error, kind)), 0.0)
        if time.monotonic() - self._failing_since >= most:
            raise error

    async def rest(self) -> None:
        """Waits for a while, each time a longer one."""
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


def _advanced(record: Record, message: Mapping[str, Any]) -> bool:
    """Takes down what a worker tells; whether it was the last."""
    progress = record.job.progress
    if message.get("network", record.network) != record.network:
        record.network = message["network"]
        progress.done = 0
    progress.total = message.get("total", progress.total)
    # What was written before a break is not shown as lost while it is looked through.
    progress.done = max(progress.done, message.get("done", 0))
    if message.get("phase") == "done":
        return True
    progress.phase = message.get("phase", progress.phase)
    return False


def _error(told: Mapping[str, str]) -> WeightomeError | Refusal:
    """The error that a worker tells of."""
    kind = errors.classes().get(told["code"])
    if kind is not None:
        return kind(told["message"])
    return Refusal(500, told["code"], told["message"])


def _broken_off(status: int) -> Refusal:
    """The error of a worker that ended without a word."""
    how = f"ended with signal {-status}" if status < 0 else f"ended with status {status}"
    if status == -signal.SIGKILL:
        how = "was killed, as for lack of memory"
    return Refusal(500, "ingest_broke_off", f"The process that ingested the file {how}.")


@asynccontextmanager
async def _worker(order: Mapping[str, Any]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker at its order; it has ended by the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ingest.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Who asks us is nothing to it.
        env={key: value for key, value in os.environ.items() if "WEIGHTOME_TOKEN" not in key},
        # Ctrl-C at a terminal is for the service, which then ends it.
        start_new_session=True,
        limit=_LONGEST_LINE,
    )
    try:
        # The pipe stays open: it closes when this process ends, in whatever way.
        pipe = cast(asyncio.StreamWriter, process.stdin)
        with suppress(ConnectionError):
            pipe.write(json.dumps(order).encode() + b"\n")
            await pipe.drain()
        yield process
        # It said its last word.
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await process.wait()
    finally:
        await asyncio.shield(_ended(process))


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Ends a process, if it did not end by itself."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_PATIENCE):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _messages(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    pipe = cast(asyncio.StreamReader, process.stdout)
    while True:
        try:
            async with asyncio.timeout(_LONGEST_SILENCE):
                line = await pipe.readline()
        except TimeoutError:
            raise Refusal(
                500,
                "ingest_stalled",
                f"Nothing was heard of the ingest for {_LONGEST_SILENCE:g} s.",
            ) from None
        if not line:
            return
        yield json.loads(line)
