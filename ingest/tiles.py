"""Cuts a block of links between all neurons of two layers into tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.network import DenseLinks
from ingest.parallel import diagonally

LONGEST = 1_024


@dataclass(frozen=True)
class Tile:
    """A rectangle of links: some sources with some targets, as indices within their layers."""

    sources: range
    targets: range

    @property
    def count(self) -> int:
        """Number of links."""
        return len(self.sources) * len(self.targets)

    def halves(self) -> tuple[Tile, Tile]:
        """The tile cut across its longer side."""
        if len(self.sources) >= len(self.targets):
            first, second = _halves(self.sources)
            return Tile(first, self.targets), Tile(second, self.targets)
        first, second = _halves(self.targets)
        return Tile(self.sources, first), Tile(self.sources, second)


def _halves(whole: range) -> tuple[range, range]:
    middle = -(-len(whole) // 2)
    return whole[:middle], whole[middle:]


def tiles(links: DenseLinks, block_links: int, workers: int) -> list[Tile]:
    """Tiles that cover the links once, ordered so that neighbours mostly share no neuron.

    Parameters
    ----------
    block_links
        Most links of a tile.
    workers
        Where there are more links than one tile may hold, there are as many rows and columns.

    Example
    -------
    >>> import numpy as np
    >>> from ingest.operations import Parameter
    >>> block = DenseLinks(0, 1, Parameter.of("w", np.zeros((4, 6))), 0, True)
    >>> [(tile.sources.start, tile.targets.start) for tile in tiles(block, 12, 2)]
    [(0, 0), (3, 2), (0, 2), (3, 0)]
    """
    if links.count <= block_links:
        return [Tile(range(links.sources), range(links.targets))]
    height, width = -(-links.sources // workers), -(-links.targets // workers)
    # Long along the tensor's rows, which are read as a whole.
    if links.target_first:
        height = min(height, LONGEST, block_links)
        width = max(1, min(width, block_links // height))
    else:
        width = min(width, LONGEST, block_links)
        height = max(1, min(height, block_links // width))
    rows, columns = list(_cut(links.sources, height)), list(_cut(links.targets, width))
    return [Tile(rows[row], columns[column]) for row, column in diagonally(len(rows), len(columns))]


def _cut(size: int, piece: int) -> Iterator[range]:
    return (range(start, min(start + piece, size)) for start in range(0, size, piece))
