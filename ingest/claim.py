"""A writer's claim on a network: begun, taken up again after a crash, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ingest import lease, once, statements
from ingest.network import Network
from ingest.plan import Plan
from store import schema
from store.database import Database
from store.errors import Conflict


@dataclass(frozen=True)
class Claim:
    """A network that is being written; a value that can be sent to other processes.

    Parameters
    ----------
    network
        ``Network.id``.
    first
        Id of its first neuron.
    writer
        Who holds it.
    written
        Keys of what was written of it before, where it was taken up again; True for what is
        divided into parts (:class:`ingest.once.Once`).
    """

    network: int
    first: int
    writer: str
    written: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Begun:
    """A network that a writer began and did not finish, and that nobody writes now."""

    network: int
    first: int
    writer: str
    fingerprint: str
    block_links: int
    workers: int


def take(database: Database, network: Network, plan: Plan, name: str, writer: str) -> Claim:
    """A new claim."""
    identity, first = database.write(
        statements.CLAIM,
        name=name,
        neurons=network.neuron_count,
        writer=writer,
        seconds=lease.SECONDS,
        plan=plan.fingerprint,
        block_links=plan.block_links,
        workers=plan.workers,
    ).rows[0]
    return Claim(identity, first, writer)


def begun(database: Database, name: str) -> Begun | None:
    """What was begun under that name, if its writer is known to have ended.

    Example
    -------
    >>> begun(database, "mnist")                                        # doctest: +SKIP
    """
    for *fields, expired in database.read(statements.BEGUN, name=name).rows:
        found = Begun(*fields)
        if expired or lease.ended(found.writer):
            return found
    return None


def take_up(database: Database, found: Begun, plan: Plan, name: str, writer: str) -> Claim:
    """The claim of a writer that ended, with what it has written.

    Raises
    ------
    Conflict
        If it wrote another network, or another caller was faster.
    """
    if plan.fingerprint != found.fingerprint:
        raise Conflict(
            f"What was begun as {name!r} is of another model, other weights or another view: "
            "ingest it without --resume (resume=True), which begins anew."
        )
    taken = database.write(
        statements.TAKE_UP,
        id=found.network,
        ended=found.writer,
        writer=writer,
        seconds=lease.SECONDS,
    )
    if not taken.rows:
        raise Conflict(f"Another process goes on with {name!r} at this moment.")
    rows = database.read(once.WRITTEN, network=found.network, row_cap=10_000_000).rows
    return Claim(found.network, found.first, writer, dict(rows))


def replaced(
    database: Database, name: str, replace: bool, identity: int | None = None
) -> int | None:
    """The id of the complete network to replace, if any; refuses a name that is not free.

    Of two writers of one name that begin at once, both see both claims, and the earlier goes on.

    Raises
    ------
    Conflict
        If the name is taken and not to be replaced, or another process writes it.
    """
    found = None
    for rival, status in database.read(statements.RIVALS, name=name).rows:
        if status == schema.COMPLETE:
            found = rival
        elif identity is None or rival < identity:
            raise Conflict(f"Another process is writing a network {name!r} at this moment.")
    if found is not None and not replace:
        raise Conflict(
            f"There is a network {name!r} already: choose another name, or pass --replace "
            "(replace=True)."
        )
    return found
