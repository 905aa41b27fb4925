"""A writer's hold on a network in the store, and how a crashed one is told from a live one."""

from __future__ import annotations

import os
import socket
import threading
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


def token() -> str:
    """This process, as ``host|boot|pid|started``."""
    return "|".join((*_machine(), str(os.getpid()), _started(psutil.Process())))


def ended(writer: str) -> bool:
    """Whether that writer is known to have ended: it ran on this machine and does no more.

    A writer on another machine cannot be seen from here; only the expiry of its lease tells.

    Example
    -------
    >>> ended(token())
    False
    """
    host, boot, pid, started = writer.rsplit("|", 3)
    here, this_boot = _machine()
    if host != here:
        return False
    if boot != this_boot:
        return True
    try:
        return _started(psutil.Process(int(pid))) != started
    except psutil.NoSuchProcess:
        return True


def _machine() -> tuple[str, str]:
    # The boot time is computed from the uptime and may differ by a second from call to call.
    return socket.gethostname(), str(round(psutil.boot_time() / 60))


def _started(process: psutil.Process) -> str:
    return f"{process.create_time():.1f}"


@contextmanager
def renewed(database: Database, network: int) -> Iterator[None]:
    """Renews the lease from a thread of its own for as long as the block runs."""
    finished = threading.Event()
    writer = token()

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
