"""What an address of neurons means."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queries.scope import Place, neurons
from store.errors import InvalidArgument, NotFound

LAYERS = [
    Place("input", 0, 100, 20, ()),
    Place("a/b", 1, 120, 10, (0,)),
    Place("a/1", 2, 130, 3, (1,)),
    Place("a", 3, 133, 3, (2,)),
]


@pytest.mark.parametrize(
    ("address", "layer", "part"),
    [
        ("input", "input", list(range(20))),
        ("input/7", "input", [7]),
        ("input/3-5,1, 4-6", "input", [1, 3, 4, 5, 6]),
        ("a/b", "a/b", list(range(10))),
        ("a/b/9", "a/b", [9]),
        ("a/1", "a/1", [0, 1, 2]),
        ("a/1/1", "a/1", [1]),
        ("a/2", "a", [2]),
    ],
)
def test_addresses(address: str, layer: str, part: list[int]) -> None:
    meant = neurons(LAYERS, address)
    assert (meant.layer.name, meant.part) == (layer, part)
    assert meant.ids == [meant.layer.first + index for index in part]


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)).map(sorted), min_size=1))
def test_ranges_are_a_set(ranges: list[list[int]]) -> None:
    meant = neurons(LAYERS, "input/" + ",".join(f"{first}-{last}" for first, last in ranges))
    whole = {index for first, last in ranges for index in range(first, last + 1)}
    assert meant.part == sorted(whole)
    bounds = meant.bounds
    assert [each for first, end in bounds for each in range(first, end)] == meant.ids
    assert all(one[1] < other[0] for one, other in pairwise(bounds))


@pytest.mark.parametrize(
    ("address", "error", "sentence"),
    [
        ("fc9", NotFound, "There is no layer 'fc9'"),
        ("fc9/1", NotFound, "There is no layer 'fc9'"),
        ("input/20", NotFound, "has neurons 0 to 19; there is no neuron 20"),
        ("input/1,18-20", NotFound, "there is no neuron 20"),
        ("input/5-3", InvalidArgument, "names no neuron from 5 to 3"),
        *(
            (f"input/{part}", InvalidArgument, "names no neuron: write LAYER, LAYER/INDEX or")
            for part in ("", "x", "-1", "1-", "1,", ",1", "1--2", "1;2", "\u0661", "9" * 5000)
        ),
    ],
)
def test_no_addresses(address: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        neurons(LAYERS, address)
