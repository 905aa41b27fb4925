"""Pieces of work that share a neuron never run together, and others do."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batches import pieces
from ingest.network import LinkBlock
from ingest.parallel import AHEAD, Piece, diagonally, in_parallel, meet

Ends = tuple[range, range]


class Watch:
    """Work that checks what runs at the same time."""

    def __init__(self, together: int = 1) -> None:
        self.lock = threading.Lock()
        self.running: list[set[int]] = []
        self.most = 0
        self.barrier = threading.Barrier(together)
        self.done: list[Ends] = []

    def __call__(self, ends: Ends) -> Ends:
        mine = {neuron for each in ends for neuron in each}
        with self.lock:
            assert not any(mine & other for other in self.running), "a neuron in two pieces"
            self.running.append(mine)
            self.most = max(self.most, len(self.running))
        if not self.done:
            # The first ones meet here: they do run at the same time.
            self.barrier.wait(timeout=10)
        with self.lock:
            self.running.remove(mine)
        return ends


def piece(sources: range, targets: range) -> Piece[Ends]:
    return Piece((sources, targets), sources, targets)


def table(size: int, step: int, target_first: int) -> list[Piece[Ends]]:
    def cut(number: int, first: int) -> range:
        return range(first + number * step, first + (number + 1) * step)

    return [piece(cut(row, 0), cut(column, target_first)) for row, column in diagonally(size, size)]


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_as_many_as_there_are_workers(workers: int) -> None:
    watch = Watch(workers)
    work = table(workers, 3, 100)
    in_parallel(work, watch, workers=workers, done=watch.done.append)
    assert watch.most == workers
    assert sorted(watch.done, key=str) == sorted((each.work for each in work), key=str)


@pytest.mark.parametrize("workers", [2, 4])
def test_sources_that_are_targets_of_others(workers: int) -> None:
    """A recurrent layer: its neurons are both, so even different rows and columns may meet."""
    watch = Watch()
    work = table(4, 2, 0)
    in_parallel(work, watch, workers=workers, done=watch.done.append)
    assert len(watch.done) == 16


@given(
    ranges=st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 4), st.integers(0, 20), st.integers(1, 4)),
        max_size=60,
    ),
    workers=st.integers(1, 4),
)
def test_whatever_shares_a_neuron_waits(
    ranges: list[tuple[int, int, int, int]], workers: int
) -> None:
    watch = Watch()
    work = [piece(range(a, a + b), range(c, c + d)) for a, b, c, d in ranges]
    in_parallel(work, watch, workers=workers, done=watch.done.append)
    assert sorted(watch.done, key=str) == sorted((each.work for each in work), key=str)


def test_the_first_error_ends_it() -> None:
    begun: list[Ends] = []

    def work(ends: Ends) -> None:
        begun.append(ends)
        if len(begun) == 3:
            raise ValueError("third")

    with pytest.raises(ValueError, match="third"):
        in_parallel(table(4, 1, 9), work, workers=1, done=lambda _: None)
    assert len(begun) == 3


def test_pieces_are_made_as_they_are_needed() -> None:
    made = 0

    def endless() -> Iterator[Piece[int]]:
        nonlocal made
        while True:
            made += 1
            yield Piece(made, range(made, made + 1), range(0))

    def work(number: int) -> None:
        if number == 100:
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        in_parallel(endless(), work, workers=2, done=lambda _: None)
    assert made < 150


@given(rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_every_place_of_a_table_once(rows: int, columns: int) -> None:
    places = diagonally(rows, columns)
    assert sorted(places) == [(row, column) for row in range(rows) for column in range(columns)]
    first = places[: min(rows, columns)]
    assert len({row for row, _ in first}) == len({column for _, column in first}) == len(first)


@given(
    counts=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    neurons=st.integers(1, 40),
    most=st.integers(1, 100),
    workers=st.integers(1, 4),
    learned=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_link_with_its_own_ends_once(
    counts: list[int], neurons: int, most: int, workers: int, learned: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    number = 0
    blocks = []
    for count in counts:
        along = np.arange(number, number + count)
        ends = random.integers(0, neurons, (2, count))
        blocks.append(
            LinkBlock(
                ends[0],
                ends[1] + neurons,
                along / 4,
                along if learned else None,
                None if learned else along % 3,
            )
        )
        number += count
    expected = {
        (int(s), int(t), float(w))
        for block in blocks
        for s, t, w in zip(block.sources, block.targets, block.weights, strict=True)
    }
    found = set()
    for links in pieces(iter(blocks), most, workers):
        assert 0 < links.count <= most
        sources, targets = links.reach
        assert {sources.start, sources.stop - 1} <= set(links.sources.tolist()) <= set(sources)
        assert {targets.start, targets.stop - 1} <= set(links.targets.tolist()) <= set(targets)
        if learned:
            assert links.params is not None
            assert (links.params / 4 == links.weights).all()
        else:
            assert links.positions is not None
            assert (links.positions == links.weights * 4 % 3).all()
        part = zip(
            links.sources.tolist(), links.targets.tolist(), links.weights.tolist(), strict=True
        )
        for link in part:
            assert link not in found
            found.add(link)
    assert found == expected


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_links_of_a_convolution_are_written_together(workers: int) -> None:
    """Every channel of 8x8 places with every other: as many pieces as workers do not meet."""
    sources, targets = np.indices((4 * 64, 4 * 64)).reshape(2, -1)
    near = abs(sources % 64 - targets % 64) < 10
    block = LinkBlock(sources[near], 256 + targets[near], np.ones(near.sum()))
    found = list(pieces(iter([block]), -(-block.count // workers**2), workers))
    together: list[LinkBlock] = []
    for each in found[: workers * AHEAD]:
        if not any(meet(each.reach, other.reach) for other in together):
            together.append(each)
    assert len(together) >= workers
