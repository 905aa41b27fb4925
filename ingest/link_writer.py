"""Writes the blocks of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ingest.claim import Claim
from ingest.content import Content, contents
from ingest.network import Network
from ingest.once import Once
from ingest.parallel import Piece, in_parallel
from ingest.plan import Block, Plan
from ingest.room import Room
from store.database import Database
from store.errors import Conflict

Progress = Callable[[int], None]


def write_links(
    database: Database,
    network: Network,
    plan: Plan,
    claim: Claim,
    *,
    workers: int,
    progress: Progress,
) -> None:
    """Writes all blocks of a plan in threads of this process.

    Parameters
    ----------
    workers
        Concurrent transactions.
    progress
        Called with the number of links of each block that was written, or was there already.

    Raises
    ------
    Conflict
        If the model's weights changed since the plan was made.
    VerificationFailed
        If neurons vanished meanwhile.
    MemoryLimitExceeded
        If the server has no memory for a transaction of one link; larger ones are divided.
    """
    once = _once(database, plan, claim)

    def write(block_of: tuple[Block, Content]) -> int:
        block, content = block_of
        _write(once, block, content)
        return block.count

    of_blocks = (
        Piece((block, content), block.sources, block.targets)
        for block, content in _with_contents(network, plan, plan.blocks)
    )
    in_parallel(of_blocks, write, workers=workers, done=progress)


def write_blocks(
    database: Database, network: Network, plan: Plan, claim: Claim, blocks: Iterable[Block]
) -> int:
    """Writes some blocks of a plan, one after the other; what is there already is not written.

    The same blocks may be written again, in another process or at the same time, as executors do
    that do not know whether a try succeeded.

    Parameters
    ----------
    network
        The same in every process: a file that all can read.
    blocks
        Fastest in their order.

    Returns
    -------
    int
        Number of links of the blocks.

    Raises
    ------
    Conflict
        If this network is not the one that the plan was made of.

    Example
    -------
    >>> write_blocks(database, network, plan, claim, plan.blocks[:10])  # doctest: +SKIP
    250000
    """
    once = _once(database, plan, claim)
    links = 0
    for block, content in _with_contents(network, plan, blocks):
        _write(once, block, content)
        links += block.count
    return links


def _once(database: Database, plan: Plan, claim: Claim) -> Once:
    return Once(database, claim.network, claim.first, claim.written, Room(plan.block_links))


def _write(once: Once, block: Block, content: Content) -> None:
    if content.checksum() != block.checksum:
        raise Conflict(
            f"The links into layer {block.target!r} are not those of the plan: the model's file "
            "changed since it was made."
        )
    once.write(str(block.number), content)


def _with_contents(
    network: Network, plan: Plan, blocks: Iterable[Block]
) -> Iterator[tuple[Block, Content]]:
    """Each block with its links; goes on from one block to the next of the same links."""
    of, place = -1, -1
    coming: Iterator[Content] = iter(())
    for block in blocks:
        if block.of != of or block.part <= place:
            if not 0 <= block.of < len(network.links):
                raise Conflict("The plan is of another network.")
            coming = iter(contents(network, block.of, plan.block_links, plan.workers))
            of, place = block.of, -1
        content: Content | None = None
        while place < block.part:
            content, place = next(coming, None), place + 1
        if content is None:
            raise Conflict("The plan is of another network.")
        yield block, content
