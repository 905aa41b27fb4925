"""Effective depth and width: the exact cases of arXiv 2205.05662, and enumeration."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queries.architecture import Connectivity, connectivity
from store.errors import InvalidArgument

Edges = list[tuple[int, int, bool]]


def edges(code: str) -> Edges:
    """Edges of a cell as the paper writes it: per node its in-edges, 0 broken, 1 skip, 2 linear."""
    return [
        (source, target, kind == "2")
        for target, kinds in enumerate(code.split("_"), start=1)
        for source, kind in enumerate(kinds)
        if kind != "0"
    ]


@pytest.mark.parametrize(
    ("code", "depth", "width"),
    [("2_02_002", 3, 1 / 3), ("1_01_222", 1, 3), ("2_21_112", 1.25, 2.4)],
)
def test_published_cases(code: str, depth: float, width: float) -> None:
    found = connectivity(edges(code))
    assert found.depth == pytest.approx(depth)
    assert found.width == pytest.approx(width)


def enumerated(known: Edges) -> Connectivity:
    sources, targets = {e[0] for e in known}, {e[1] for e in known}
    depths: list[int] = []

    def walk(layer: int, learned: int) -> None:
        onward = [edge for edge in known if edge[0] == layer]
        if not onward:
            depths.append(learned)
        for _, target, is_learned in onward:
            walk(target, learned + is_learned)

    for start in sources - targets:
        walk(start, 0)
    depth = sum(depths) / len(depths)
    through = sum(1 for learned in depths if learned)
    return Connectivity(len(depths), depth, through / depth if through else 0.0)


@given(kinds=st.lists(st.sampled_from([None, False, True]), min_size=15, max_size=15))
def test_any_small_graph(kinds: list[bool | None]) -> None:
    pairs = itertools.combinations(range(6), 2)
    known = [
        (source, target, kind)
        for (source, target), kind in zip(pairs, kinds, strict=True)
        if kind is not None
    ]
    if known:
        found, expected = connectivity(known), enumerated(known)
        assert found.paths == expected.paths
        assert found.depth == pytest.approx(expected.depth)
        assert found.width == pytest.approx(expected.width)


def test_more_paths_than_can_be_enumerated() -> None:
    known = [(a, a + 1, True) for a in range(200)] + [(a, a + 2, False) for a in range(199)]
    assert connectivity(known).paths > 10**40


def test_no_path_and_a_cycle() -> None:
    assert connectivity([]) == Connectivity(0, 0.0, 0.0)
    with pytest.raises(InvalidArgument, match="recurrent"):
        connectivity([(0, 1, True), (1, 1, True)])
