"""What a block of links holds: its weights, taken from the network when they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingest import statements
from ingest.batches import pieces
from ingest.network import DenseLinks, LinkBlock, Network, SparseLinks
from ingest.once import Writable
from ingest.sums import LinkSums
from ingest.tiles import Tile, tiles
from store.query import Query

Statement: TypeAlias = tuple[Query, dict[str, Any]]


class Content(Writable, Protocol):
    """Links that can be written in one transaction, or in two by halves."""

    @property
    def sources(self) -> range:
        """A range that holds all source neurons, numbered through the network."""
        ...

    @property
    def targets(self) -> range:
        """A range that holds all target neurons, numbered through the network."""
        ...

    def checksum(self) -> str:
        """Differs where any link or weight does."""
        ...

    def sums(self) -> LinkSums:
        """Sums over the links."""
        ...

    def listed(self) -> LinkBlock:
        """The links, each with its own ends."""
        ...


@dataclass(frozen=True)
class Rectangle:
    """Links of some sources of a layer with some targets of another, all with all."""

    links: DenseLinks
    tile: Tile
    source_first: int
    target_first: int

    @property
    def count(self) -> int:
        return self.tile.count

    @property
    def sources(self) -> range:
        return _moved(self.tile.sources, self.source_first)

    @property
    def targets(self) -> range:
        return _moved(self.tile.targets, self.target_first)

    def halves(self) -> tuple[Rectangle, Rectangle]:
        first, second = self.tile.halves()
        return (
            Rectangle(self.links, first, self.source_first, self.target_first),
            Rectangle(self.links, second, self.source_first, self.target_first),
        )

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Sources x targets."""
        return self.links.tile(self.tile.sources, self.tile.targets)

    @property
    def param(self) -> int:
        """Place of its first weight in the parameter vector."""
        return (
            self.links.first
            + self.tile.sources.start * self.links.source_stride
            + self.tile.targets.start * self.links.target_stride
        )

    def checksum(self) -> str:
        return _digest(self.weights)

    def sums(self) -> LinkSums:
        tile, links = self.tile, self.links
        params = (
            links.first * tile.count
            + links.source_stride * sum(tile.sources) * len(tile.targets)
            + links.target_stride * sum(tile.targets) * len(tile.sources)
        )
        return LinkSums.of_rectangle(self.sources, self.targets, self.weights, params)

    def listed(self) -> LinkBlock:
        sources = np.arange(self.sources.start, self.sources.stop)
        targets = np.arange(self.targets.start, self.targets.stop)
        params = self.param + np.add.outer(
            np.arange(sources.size) * self.links.source_stride,
            np.arange(targets.size) * self.links.target_stride,
        )
        return LinkBlock(
            np.repeat(sources, targets.size),
            np.tile(targets, sources.size),
            self.weights.ravel(),
            params.ravel(),
        )

    def statement(self, first: int) -> Statement:
        sources, targets = _moved(self.sources, first), _moved(self.targets, first)
        return statements.WRITE_RECTANGLE, {
            "source_first": sources.start,
            "source_end": sources.stop,
            "target_first": targets.start,
            "target_end": targets.stop,
            "weights": self.weights.ravel().tolist(),
            "param": self.param,
            "source_stride": self.links.source_stride,
            "target_stride": self.links.target_stride,
        }


@dataclass(frozen=True)
class Listed:
    """Links that each name their own ends."""

    links: LinkBlock
    learned: bool

    @property
    def count(self) -> int:
        return self.links.count

    @property
    def sources(self) -> range:
        return self.links.reach[0]

    @property
    def targets(self) -> range:
        return self.links.reach[1]

    def halves(self) -> tuple[Listed, Listed]:
        first, second = self.links.halves()
        return Listed(first, self.learned), Listed(second, self.learned)

    def checksum(self) -> str:
        links = self.links
        columns = (links.sources, links.targets, links.weights, links.params, links.positions)
        return _digest(*(column for column in columns if column is not None))

    def sums(self) -> LinkSums:
        return LinkSums.of_links(self.links)

    def listed(self) -> LinkBlock:
        return self.links

    def statement(self, first: int) -> Statement:
        links = self.links
        source_ids, sources = np.unique(links.sources, return_inverse=True)
        target_ids, targets = np.unique(links.targets, return_inverse=True)
        parameters = {
            "source_ids": (first + source_ids).tolist(),
            "target_ids": (first + target_ids).tolist(),
            "sources": sources.tolist(),
            "targets": targets.tolist(),
            "weights": links.weights.tolist(),
            "positions": None if links.positions is None else links.positions.tolist(),
        }
        if links.params is not None:
            parameters["params"] = links.params.tolist()
        return statements.WRITE_LINKS if self.learned else statements.WRITE_WIRES, parameters


def contents(network: Network, number: int, block_links: int, workers: int) -> Iterator[Content]:
    """One of a network's blocks of links in contents that fit a transaction, always the same.

    Parameters
    ----------
    number
        Which of `network.links`.
    block_links
        Most links of a content.
    workers
        How many contents shall be found at a time that share no neuron.
    """
    links = network.links[number]
    if isinstance(links, SparseLinks):
        learned = links.learned
        return (Listed(piece, learned) for piece in pieces(links.blocks(), block_links, workers))
    source_first, target_first = network.firsts[links.source], network.firsts[links.target]
    return (
        Rectangle(links, tile, source_first, target_first)
        for tile in tiles(links, block_links, workers)
    )


def _moved(within: range, first: int) -> range:
    return range(first + within.start, first + within.stop)


def _digest(*columns: NDArray[Any]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for column in columns:
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()
