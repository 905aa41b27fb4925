"""Cuts links that each name their own ends into pieces that can be written at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ingest.network import LinkBlock
from ingest.parallel import diagonally

# Links held in memory at a time, 40 bytes each, to be sorted by where they lie.
MOST_HELD = 400_000


def pieces(blocks: Iterator[LinkBlock], most: int, workers: int) -> Iterator[LinkBlock]:
    """The same links in pieces of at most `most`, many of which share no neuron.

    Parameters
    ----------
    blocks
        Links in any order.
    workers
        How many pieces shall be found at a time that do not meet.

    Example
    -------
    >>> ends = np.arange(4)
    >>> block = LinkBlock(ends, ends + 4, ends.astype(float))
    >>> [piece.reach for piece in pieces(iter([block]), 2, 2)]
    [(range(0, 2), range(4, 6)), (range(2, 4), range(6, 8))]
    """
    most = max(most, 1)
    for held in _joined_to(blocks, min(most * workers**2, max(MOST_HELD, most))):
        if held.count <= most:
            yield held
        else:
            yield from _apart(held, most, workers)


def _apart(links: LinkBlock, most: int, workers: int) -> Iterator[LinkBlock]:
    """Pieces of one range of sources and one of targets, each range with as many links."""
    rows = _groups(links.sources, workers)
    columns = _groups(links.targets, workers)
    # Links of one target stay together: its neuron is locked and changed once.
    order = np.lexsort((links.sources, links.targets, rows * workers + columns))
    ordered = links.at(order)
    ends = np.searchsorted((rows * workers + columns)[order], np.arange(workers**2 + 1))
    for row, column in diagonally(workers, workers):
        start, end = ends[row * workers + column], ends[row * workers + column + 1]
        for first in range(start, end, most):
            yield ordered.part(first, min(first + most, end))


def _groups(neurons: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Which of `number` ranges each neuron belongs to, where as many links fall into each."""
    places = np.arange(1, number) * neurons.size // number
    bounds = np.partition(neurons, places)[places] if number > 1 else neurons[:0]
    return np.searchsorted(bounds, neurons, side="right")


def _joined_to(blocks: Iterator[LinkBlock], size: int) -> Iterator[LinkBlock]:
    """The same links in blocks of `size`, the last one perhaps of fewer."""
    waiting: list[LinkBlock] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += block.count
        if count < size:
            continue
        whole = _joined(waiting)
        for start in range(0, count - count % size, size):
            yield whole.part(start, start + size)
        waiting = [whole.part(count - count % size, count)]
        count %= size
    if count:
        yield _joined(waiting)


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
