"""Work that a server has no memory for is done in parts, each link once."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.network import LinkBlock
from ingest.room import Room, WrittenInHalves
from ingest.tiles import Tile
from store.errors import MemoryLimitExceeded, TransactionFailed

Pair = tuple[int, int]


class Server:
    """Takes tiles of so many links, and remembers what it took and how often it refused."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.refused = 0
        self.links: list[Pair] = []
        self.counts: list[int] = []

    def write(self, tile: Tile) -> None:
        if tile.count > self.limit:
            self.refused += 1
            raise MemoryLimitExceeded("too much")
        self.links += [(source, target) for source in tile.sources for target in tile.targets]
        self.counts.append(tile.count)


def pairs(tile: Tile) -> list[Pair]:
    return sorted((source, target) for source in tile.sources for target in tile.targets)


@pytest.mark.parametrize("tile", [Tile(range(3, 10), range(5)), Tile(range(1), range(2, 50))])
@pytest.mark.parametrize("limit", [1, 2, 5, 11, 100])
def test_every_link_once(tile: Tile, limit: int) -> None:
    server = Server(limit)
    Room(1_000).write(tile, server.write)
    assert sorted(server.links) == pairs(tile)
    assert sum(server.counts) == tile.count
    assert max(server.counts) <= limit


def test_what_did_not_fit_is_not_tried_again() -> None:
    server, room = Server(10), Room(64)
    room.write(Tile(range(8), range(8)), server.write)
    assert server.refused == 3, "64, 32 and 16 links"
    assert room.most == 8
    room.write(Tile(range(8), range(8, 16)), server.write)
    assert server.refused == 3, "what follows is divided before it is sent"


def test_a_link_that_does_not_fit() -> None:
    server = Server(0)
    with pytest.raises(MemoryLimitExceeded, match="too much"):
        Room(4).write(Tile(range(2), range(2)), server.write)
    assert server.refused == 3, "4, 2 and 1 link"


def test_other_errors_are_no_reason_to_divide() -> None:
    def fail(tile: Tile) -> None:
        raise TransactionFailed("the disk is full")

    with pytest.raises(TransactionFailed, match="the disk is full"):
        Room(4).write(Tile(range(2), range(2)), fail)


def test_what_another_wrote_in_halves() -> None:
    whole = Tile(range(4), range(4))
    server = Server(100)

    def write(tile: Tile) -> None:
        if tile == whole:
            raise WrittenInHalves
        server.write(tile)

    room = Room(16)
    room.write(whole, write)
    assert (server.counts, sorted(server.links)) == ([8, 8], pairs(whole))
    assert room.most == 16, "nothing was refused"


def test_what_is_written_already_is_not_divided() -> None:
    server = Server(100)
    Room(4).write(Tile(range(4), range(4)), server.write, lambda part: False)
    assert server.counts == []


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("learned", [True, False])
def test_halves_of_links_with_their_own_ends(size: int, learned: bool) -> None:
    along = np.arange(size)
    block = LinkBlock(
        along,
        along + 100,
        along / 8,
        along + 7 if learned else None,
        None if learned else along % 2,
    )
    first, second = block.halves()
    assert (first.count, second.count) == ((size + 1) // 2, size // 2)
    for name in ("sources", "targets", "weights", "params", "positions"):
        whole = getattr(block, name)
        parts = [getattr(part, name) for part in (first, second)]
        if whole is None:
            assert parts == [None, None]
        else:
            assert np.concatenate(parts).tolist() == whole.tolist()
