"""Network -> Neo4j, over Bolt: all of it or, to every reader, nothing.

A network is written with status ``writing`` and no name, so no query finds it; once its counts
and weight sums were read back and agree, one transaction gives it its name. A writer that crashed
leaves its network ``writing``: the next ingest or delete removes it, or an ingest with `resume`
goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ingest import claim as claims
from ingest import lease
from ingest.claim import Claim
from ingest.completion import complete, properties_of
from ingest.layer_writer import write_layers
from ingest.link_writer import write_links
from ingest.network import Network
from ingest.plan import Plan
from ingest.removal import clean_up, discard, remove
from ingest.report import Report
from ingest.verification import verify
from store import schema
from store.database import Database
from store.errors import StoreError, StoreUnreachable

STAYS = (
    "What was written stays, hidden: the same ingest with --resume (resume=True) goes on with it; "
    "the next ingest or delete without it removes it."
)


def write(
    database: Database,
    network: Network,
    *,
    name: str,
    run: str | None = None,
    step: int | None = None,
    metrics: Mapping[str, float] | None = None,
    replace: bool = False,
    workers: int = 2,
    block_links: int = 25_000,
    resume: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Writes every neuron and every link of a network into the store.

    Parameters
    ----------
    network
        What to write.
    name
        What it shall be called; must be free unless `replace`.
    run, step
        The run that it is a snapshot of, and when in the training it was taken.
    metrics
        Finite values to keep with it, such as ``{"accuracy": 0.97}``.
    replace
        Takes the place of the network of that name, which stays visible until this one is
        complete.
    workers
        Concurrent transactions.
    block_links
        Most links of one transaction.
    resume
        Goes on where an interrupted ingest of the same network under that name stopped; where
        there is none, it begins.
    progress
        Called with the number of links, fixed ones included, of each block that is written.

    Returns
    -------
    Report

    Raises
    ------
    InvalidName, InvalidArgument
        If a name cannot be used, a metric is not finite, or a step has no run.
    Conflict
        If the name is taken, or another process is writing a network of that name.
    VerificationFailed
        If what was read back is not what was written; nothing of it stays then.
    StoreError
        When the server is lost, as after Ctrl-C, what was written stays hidden: `resume` goes on
        with it, the next ingest or delete without it removes it.

    Example
    -------
    >>> write(database, network, name="mnist").links                    # doctest: +SKIP
    199210
    """
    started = time.perf_counter()
    with begun(
        database, network, name=name, run=run, step=step, metrics=metrics, replace=replace,
        workers=workers, block_links=block_links, resume=resume,
    ) as work:  # fmt: skip
        write_links(
            database, network, work.plan, work.claim, workers=workers, progress=progress or _quiet
        )
    seconds = time.perf_counter() - started
    return Report.of(network, name, seconds, resumed=bool(work.claim.written))


@dataclass(frozen=True)
class Work:
    """A network whose links are to be written."""

    plan: Plan
    claim: Claim


@contextmanager
def begun(
    database: Database,
    network: Network,
    *,
    name: str,
    run: str | None = None,
    step: int | None = None,
    metrics: Mapping[str, float] | None = None,
    replace: bool = False,
    workers: int = 2,
    block_links: int = 25_000,
    resume: bool = False,
) -> Iterator[Work]:
    """A network all of which is there but its links, which the block has to write.

    What :func:`write` does in this process, for another executor: the plan and the claim are
    values, and :func:`ingest.link_writer.write_blocks` writes any blocks of the plan anywhere,
    each once. At the end of the block the store is compared with the plan, and the network
    complete. This process keeps the lease meanwhile.

    Parameters
    ----------
    network, name, run, step, metrics, replace, workers, block_links, resume
        As for :func:`write`.

    Yields
    ------
    Work
        ``plan`` and ``claim``.

    Raises
    ------
    InvalidName, InvalidArgument, Conflict, VerificationFailed, StoreError
        As :func:`write`.

    Example
    -------
    >>> with begun(database, network, name="large", workers=64) as work:  # doctest: +SKIP
    ...     spark.sparkContext.parallelize(work.plan.blocks, 64).foreachPartition(
    ...         lambda part: write_blocks(connect(), read(path), work.plan, work.claim, part))
    """
    properties = properties_of(network, name, run, step, metrics or {})
    schema.prepare(database)
    before = claims.begun(database, name) if resume else None
    kept = None if before is None else before.network
    clean_up(database, but=kept)
    claims.replaced(database, name, replace, kept)
    # What goes on is cut as it was begun.
    cut = (workers, block_links) if before is None else (before.workers, before.block_links)
    plan = Plan.of(network, workers=cut[0], block_links=cut[1])
    with lease.held() as writer:
        if before is None:
            claim = claims.take(database, network, plan, name, writer)
        else:
            claim = claims.take_up(database, before, plan, name, writer)
        try:
            replaces = claims.replaced(database, name, replace, claim.network)
            with lease.renewed(database, claim.network, writer):
                write_layers(database, network, claim)
                yield Work(plan, claim)
                sums = plan.sums(network)
                verify(database, network, claim.network, claim.first, sums, workers=workers)
            complete(database, claim, name, run, step, properties, replaces)
        except (StoreUnreachable, KeyboardInterrupt) as error:
            error.add_note(STAYS)
            raise
        except BaseException:
            discard(database, claim.network, writer, writer)
            raise
        if replaces is not None:
            # It is hidden already; what cannot be removed now goes with the next ingest.
            with suppress(StoreError):
                remove(database, replaces, writer)


def _quiet(links: int) -> None:
    """Nobody wants to know."""
