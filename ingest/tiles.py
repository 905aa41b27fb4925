"""Cuts a block of links into tiles and writes them in parallel without two tiles in one neuron.

Creating a link locks both its neurons, so two transactions that share one wait for each other or
deadlock. Tiles that run together differ in their sources and in their targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from ingest.network import DenseLinks

WIDEST = 1_024

Result = TypeVar("Result")


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


def tiles(links: DenseLinks, block_links: int, workers: int) -> list[list[Tile]]:
    """Rows of tiles that cover the links once; tiles of a row share their sources.

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
    >>> [[tile.count for tile in row] for row in tiles(block, 12, 2)]
    [[6, 6], [6, 6]]
    """
    if links.count <= block_links:
        return [[Tile(range(links.sources), range(links.targets))]]
    width = min(-(-links.targets // workers), WIDEST, block_links)
    height = max(1, min(-(-links.sources // workers), block_links // width))
    return [
        [Tile(sources, targets) for targets in _cut(links.targets, width)]
        for sources in _cut(links.sources, height)
    ]


def _cut(size: int, piece: int) -> Iterator[range]:
    return (range(start, min(start + piece, size)) for start in range(0, size, piece))


def in_parallel(
    rows: list[list[Tile]],
    work: Callable[[Tile], Result],
    *,
    workers: int,
    done: Callable[[Tile, Result], None],
) -> None:
    """Does the work for every tile, at most `workers` at once, no two sharing a neuron.

    Parameters
    ----------
    rows
        As :func:`tiles` gives them.
    work
        Called in a worker thread.
    done
        Called in the caller's thread with each tile and what the work gave.

    Raises
    ------
    Exception
        The first that `work` raised; tiles under way are finished, no new one is begun.
    """
    waiting = {number: dict(enumerate(row)) for number, row in enumerate(rows)}
    running: dict[Future[Result], tuple[int, int, Tile]] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="weightome-writer") as pool:
        while waiting or running:
            while len(running) < workers and (free := _free_tile(waiting, running)):
                row, column = free
                tile = waiting[row].pop(column)
                if not waiting[row]:
                    del waiting[row]
                running[pool.submit(work, tile)] = (row, column, tile)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                _, _, tile = running.pop(future)
                done(tile, future.result())


def _free_tile(
    waiting: dict[int, dict[int, Tile]], running: dict[Future[Result], tuple[int, int, Tile]]
) -> tuple[int, int] | None:
    rows = {row for row, _, _ in running.values()}
    columns = {column for _, column, _ in running.values()}
    for row, tiles_of_row in waiting.items():
        if row not in rows:
            for column in tiles_of_row:
                if column not in columns:
                    return row, column
    return None
