"""Tiles cover every link once, and no two that run together share a neuron."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.network import DenseLinks
from ingest.operations import Parameter
from ingest.tiles import Tile, in_parallel, tiles


def links(sources: int, targets: int) -> DenseLinks:
    return DenseLinks(0, 1, Parameter.of("w", np.zeros((targets, sources))), 0, True)


@given(
    sources=st.integers(1, 60),
    targets=st.integers(1, 60),
    block_links=st.integers(1, 500),
    workers=st.integers(1, 5),
)
def test_every_link_is_in_one_tile(
    sources: int, targets: int, block_links: int, workers: int
) -> None:
    covered = np.zeros((sources, targets), dtype=int)
    for row in tiles(links(sources, targets), block_links, workers):
        assert len({tile.sources for tile in row}) == 1
        for tile in row:
            assert 0 < tile.count <= block_links
            covered[
                tile.sources.start : tile.sources.stop, tile.targets.start : tile.targets.stop
            ] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_no_two_running_tiles_share_a_neuron(workers: int) -> None:
    lock = threading.Lock()
    running: set[tuple[int, int]] = set()
    most = 0
    done: list[Tile] = []
    together = threading.Barrier(workers)

    def work(tile: Tile) -> int:
        nonlocal most
        me = (tile.sources.start, tile.targets.start)
        with lock:
            for sources, targets in running:
                assert sources != me[0]
                assert targets != me[1]
            running.add(me)
            most = max(most, len(running))
        if not done:
            # The first tiles meet here: they do run at the same time.
            together.wait(timeout=10)
        with lock:
            running.remove(me)
        return tile.count

    rows = tiles(links(40, 40), 50, workers)
    assert sum(len(row) for row in rows) > 10
    in_parallel(rows, work, workers=workers, done=lambda tile, count: done.append(tile))
    assert len(done) == len(set(done)) == sum(len(row) for row in rows)
    assert most == workers


def test_the_first_error_ends_it() -> None:
    begun: list[Tile] = []

    def work(tile: Tile) -> None:
        begun.append(tile)
        if len(begun) == 3:
            raise ValueError("third")

    with pytest.raises(ValueError, match="third"):
        in_parallel(tiles(links(40, 40), 10, 1), work, workers=1, done=lambda tile, _: None)
    assert len(begun) == 3
