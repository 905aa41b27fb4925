"""A writer's hold on a network in the store, and how a crashed one is told from a live one."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from store.database import Database
from store.errors import StoreError
from store.query import Query

SECONDS = 120

RENEW = Query(
    "renew_lease",
    "Says that the writer of a network is still at work.",
    """
MATCH (network:Network {id: $id}) WHERE network.writer = $writer
SET network.lease = datetime() + duration({seconds: $seconds})
""",
)


_held: set[str] = set()


@contextmanager
def held() -> Iterator[str]:
    """A token for one piece of work, as ``host|boot|pid|started|serial``, while the block runs."""
    process = psutil.Process()
    serial = uuid.uuid4().hex
    writer = "|".join((*_machine(), str(process.pid), _started(process), serial))
    _held.add(writer)
    try:
        yield writer
    finally:
        _held.discard(writer)


def ended(writer: str) -> bool:
    """Whether that work is known to have ended: it ran on this machine and does no more.

    A writer on another machine cannot be seen from here; only the expiry of its lease tells.

    Example
    -------
    >>> with held() as writer:
    ...     ended(writer)
    False
    >>> ended(writer)
    True
    """
    host, boot, pid, started, _ = writer.rsplit("|", 4)
    here, this_boot = _machine()
    if host != here:
        return False
    if boot != this_boot:
        return True
    try:
        alive = _started(psutil.Process(int(pid))) == started
    except psutil.NoSuchProcess:
        return True
    # This process knows what of its own work has failed, as when the server went away.
    return not alive or (int(pid) == os.getpid() and writer not in _held)


def _machine() -> tuple[str, str]:
    # The boot time is computed from the uptime and may differ by a second from call to call.
    return socket.gethostname(), str(round(psutil.boot_time() / 60))


def _started(process: psutil.Process) -> str:
    return f"{process.create_time():.1f}"


@contextmanager
def renewed(database: Database, network: int, writer: str) -> Iterator[None]:
    """Renews the lease from a thread of its own for as long as the block runs."""
    finished = threading.Event()

    def renew() -> None:
        while not finished.wait(SECONDS / 4):
            try:
                database.write(RENEW, id=network, writer=writer, seconds=SECONDS)
            except StoreError:
                # The writing itself meets the same trouble and reports it.
                continue

    thread = threading.Thread(target=renew, name="weightome-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
