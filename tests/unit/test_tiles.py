"""Tiles cover every link once, and as many neighbours as there are workers share no neuron."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.network import DenseLinks
from ingest.operations import Parameter
from ingest.tiles import tiles


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
    for tile in tiles(links(sources, targets), block_links, workers):
        assert 0 < tile.count <= block_links
        covered[tile.sources.start : tile.sources.stop, tile.targets.start : tile.targets.stop] += 1
    assert (covered == 1).all()


@given(times=st.integers(1, 20), workers=st.integers(1, 4))
def test_the_first_tiles_share_no_neuron(times: int, workers: int) -> None:
    size = times * workers
    first = tiles(links(size, size), size * size // workers**2, workers)[:workers]
    assert len(first) == workers
    for axis in ("sources", "targets"):
        neurons = [neuron for tile in first for neuron in getattr(tile, axis)]
        assert len(neurons) == len(set(neurons))
