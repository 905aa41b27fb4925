"""A writer's hold on a network in the store, and how a crashed one is told from a live one."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from store.database import Database
from store.errors import StoreError
from store.query import Query

SECONDS = 120
_TOLERANCE_SECONDS = 60

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
    """A token for one piece of work, as ``machine/pid|started|serial``, while the block runs."""
    process = psutil.Process()
    writer = f"{_machine()}/{process.pid}|{process.create_time()}|{uuid.uuid4().hex}"
    _held.add(writer)
    try:
        yield writer
    finally:
        _held.discard(writer)


def ended(writer: str) -> bool:
    """Whether that work is known to have ended: it ran on this machine and does no more.

    A writer on another machine, in another container or before a reboot cannot be seen from
    here; only the expiry of its lease tells.

    Example
    -------
    >>> with held() as writer:
    ...     ended(writer)
    False
    >>> ended(writer)
    True
    """
    machine, _, process = writer.rpartition("/")
    if machine != _machine():
        return False
    pid, started, _ = process.split("|")
    try:
        # The clock may have been set since; a pid is not used again that soon.
        alive = abs(psutil.Process(int(pid)).create_time() - float(started)) < _TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return True
    # This process knows what of its own work has failed, as when the server went away.
    return not alive or (int(pid) == os.getpid() and writer not in _held)


def _machine() -> str:
    """Where process ids mean the same processes: host, boot and, on Linux, their namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    return "|".join(
        (
            socket.gethostname(),
            boot.read_text("ascii").strip() if boot.exists() else "",
            str(namespace.readlink()) if namespace.is_symlink() else "",
        )
    )


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
