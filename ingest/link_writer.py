"""Writes the links of a network, in transactions of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ingest import statements
from ingest.batches import pieces
from ingest.network import DenseLinks, LinkBlock, Network, SparseLinks
from ingest.parallel import Piece, in_parallel
from ingest.room import Room
from ingest.tiles import Tile, tiles
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
    MemoryLimitExceeded
        If the server has no memory for a transaction of one link; larger ones are divided.
    """
    sums: dict[tuple[int, bool], LinkSums] = {}
    room = Room(block_links)
    for block in network.links:
        of_layer = sums.setdefault((block.target, block.learned), LinkSums())
        if isinstance(block, DenseLinks):
            _rectangles(database, block, network, first, workers, room, progress, of_layer)
        else:
            _batches(database, block, first, workers, room, progress, of_layer)
    return sums


def _rectangles(
    database: Database,
    block: DenseLinks,
    network: Network,
    first: int,
    workers: int,
    room: Room,
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

    def write_parts(tile: Tile) -> LinkSums:
        return _sum(room.parts(tile, write_tile))

    def add(of_tile: LinkSums) -> None:
        sums.add(of_tile)
        progress(of_tile.links)

    of_tiles = (
        Piece(tile, _moved(tile.sources, source_first), _moved(tile.targets, target_first))
        for tile in tiles(block, room.most, workers)
    )
    in_parallel(of_tiles, write_parts, workers=workers, done=add)


def _moved(within: range, first: int) -> range:
    return range(first + within.start, first + within.stop)


def _sum(parts: Iterator[LinkSums]) -> LinkSums:
    total = LinkSums()
    for part in parts:
        total.add(part)
    return total


def _batches(
    database: Database,
    links: SparseLinks,
    first: int,
    workers: int,
    room: Room,
    progress: Progress,
    sums: LinkSums,
) -> None:
    query = statements.WRITE_LINKS if links.learned else statements.WRITE_WIRES

    def write_part(part: LinkBlock) -> LinkSums:
        source_ids, sources = np.unique(part.sources, return_inverse=True)
        target_ids, targets = np.unique(part.targets, return_inverse=True)
        parameters = {
            "source_ids": (first + source_ids).tolist(),
            "target_ids": (first + target_ids).tolist(),
            "sources": sources.tolist(),
            "targets": targets.tolist(),
            "weights": part.weights.tolist(),
            "positions": None if part.positions is None else part.positions.tolist(),
        }
        if part.params is not None:
            parameters["params"] = part.params.tolist()
        _all_created(database.write(query, **parameters), part.count)
        return LinkSums.of_block(part)

    def write_parts(batch: LinkBlock) -> LinkSums:
        return _sum(room.parts(batch, write_part))

    written = 0

    def add(of_batch: LinkSums) -> None:
        nonlocal written
        sums.add(of_batch)
        progress(of_batch.links)
        written += of_batch.links

    in_parallel(pieces(links.blocks(), room.most, workers), write_parts, workers=workers, done=add)
    if written != links.count:
        raise VerificationFailed(
            f"{written} links were made where {links.count} were promised: this is an error of "
            "Weightome's."
        )


def _all_created(written: Answer, count: int) -> None:
    if (written.counters or {})["relationships_created"] != count:
        raise VerificationFailed("Neurons of this network vanished while its links were written.")
