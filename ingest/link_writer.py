"""Writes the links of a network, in transactions of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ingest import statements
from ingest.network import DenseLinks, LinkBlock, Network, SparseLinks
from ingest.tiles import Tile, in_parallel, tiles
from ingest.verification import LinkSums
from store.database import Answer, Database
from store.errors import VerificationFailed

Progress = Callable[[int], None]


def write_links(
    database: Database,
    network: Network,
    first: int,
    *,
    workers: int,
    block_links: int,
    progress: Progress,
) -> dict[tuple[int, bool], LinkSums]:
    """Writes all links, learned and fixed.

    Parameters
    ----------
    first
        Id of the network's first neuron.
    workers, block_links, progress
        As for :func:`ingest.writer.write`.

    Returns
    -------
    dict
        Sums over what was sent, by target layer and whether learned.

    Raises
    ------
    VerificationFailed
        If a neuron vanished meanwhile.
    """
    sums: dict[tuple[int, bool], LinkSums] = {}
    for block in network.links:
        of_layer = sums.setdefault((block.target, block.learned), LinkSums())
        if isinstance(block, DenseLinks):
            _rectangles(database, block, network, first, workers, block_links, progress, of_layer)
        else:
            _batches(database, block, first, block_links, progress, of_layer)
    return sums


def _rectangles(
    database: Database,
    block: DenseLinks,
    network: Network,
    first: int,
    workers: int,
    block_links: int,
    progress: Progress,
    sums: LinkSums,
) -> None:
    source_first, target_first = network.firsts[block.source], network.firsts[block.target]

    def write_tile(tile: Tile) -> LinkSums:
        weights = block.tile(tile.sources, tile.targets)
        written = database.write(
            statements.WRITE_RECTANGLE,
            source_first=first + source_first + tile.sources.start,
            source_end=first + source_first + tile.sources.stop,
            target_first=first + target_first + tile.targets.start,
            target_end=first + target_first + tile.targets.stop,
            weights=weights.ravel().tolist(),
            param=block.first
            + tile.sources.start * block.source_stride
            + tile.targets.start * block.target_stride,
            source_stride=block.source_stride,
            target_stride=block.target_stride,
        )
        _all_created(written, tile.count)
        return LinkSums.of_tile(block, tile, weights, source_first, target_first)

    def add(tile: Tile, of_tile: LinkSums) -> None:
        sums.add(of_tile)
        progress(tile.count)

    in_parallel(tiles(block, block_links, workers), write_tile, workers=workers, done=add)


def _batches(
    database: Database,
    links: SparseLinks,
    first: int,
    block_links: int,
    progress: Progress,
    sums: LinkSums,
) -> None:
    written = 0
    for batch in batches(links.blocks(), block_links):
        source_ids, sources = np.unique(batch.sources, return_inverse=True)
        target_ids, targets = np.unique(batch.targets, return_inverse=True)
        parameters = {
            "source_ids": (first + source_ids).tolist(),
            "target_ids": (first + target_ids).tolist(),
            "sources": sources.tolist(),
            "targets": targets.tolist(),
            "weights": batch.weights.tolist(),
            "positions": None if batch.positions is None else batch.positions.tolist(),
        }
        if batch.params is not None:
            parameters["params"] = batch.params.tolist()
        query = statements.WRITE_LINKS if links.learned else statements.WRITE_WIRES
        _all_created(database.write(query, **parameters), batch.count)
        sums.add(LinkSums.of_block(batch))
        progress(batch.count)
        written += batch.count
    if written != links.count:
        raise VerificationFailed(
            f"{written} links were made where {links.count} were promised: this is an error of "
            "Weightome's."
        )


def _all_created(written: Answer, count: int) -> None:
    if (written.counters or {})["relationships_created"] != count:
        raise VerificationFailed("Neurons of this network vanished while its links were written.")


def batches(blocks: Iterator[LinkBlock], most: int) -> Iterator[LinkBlock]:
    """The same links in blocks of `most`, the last one perhaps of fewer.

    Example
    -------
    >>> ends = np.arange(3)
    >>> three = LinkBlock(ends, ends, ends.astype(float))
    >>> [block.count for block in batches(iter([three, three]), 4)]
    [4, 2]
    """
    waiting: list[LinkBlock] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += block.count
        if count < most:
            continue
        whole = _joined(waiting)
        for start in range(0, count - count % most, most):
            yield _part(whole, start, start + most)
        waiting = [_part(whole, count - count % most, count)]
        count %= most
    if count:
        yield _joined(waiting)


def _part(block: LinkBlock, start: int, stop: int) -> LinkBlock:
    return LinkBlock(
        block.sources[start:stop],
        block.targets[start:stop],
        block.weights[start:stop],
        None if block.params is None else block.params[start:stop],
        None if block.positions is None else block.positions[start:stop],
    )


def _joined(blocks: list[LinkBlock]) -> LinkBlock:
    if len(blocks) == 1:
        return blocks[0]
    params = [block.params for block in blocks if block.params is not None]
    # Where only some links share both their ends with others, the rest are each the first.
    positions = None
    if any(block.positions is not None for block in blocks):
        positions = np.concatenate(
            [
                np.zeros(block.count, dtype=np.int64)
                if block.positions is None
                else block.positions
                for block in blocks
            ]
        )
    return LinkBlock(
        np.concatenate([block.sources for block in blocks]),
        np.concatenate([block.targets for block in blocks]),
        np.concatenate([block.weights for block in blocks]),
        np.concatenate(params) if params else None,
        positions,
    )
