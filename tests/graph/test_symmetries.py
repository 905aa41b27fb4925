"""Which measures survive changes of a network that leave its function as it is: measured.

A hidden ReLU layer of small networks is changed in the three ways that
:data:`queries.question.SYMMETRIES` names, and each question is asked of both. Its answer survives
when the values of all rows are the same, whichever neuron has which; after a duplication there may
be one row more, with values that were there before. What a question declares must be what survived
on all of the networks.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from queries.forward import forward
from queries.question import SYMMETRIES, Question
from queries.registry import questions
from store.database import Database
from store.query import Table
from tests.networks import dense_network

Weights = tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]

MEASURING = [
    each
    for each in questions().values()
    if each.about == "network" and each.survives is not None and "other" not in each.example
]
SEEDS = range(4)
# Which neuron has which value is not asked.
IDENTITY = {"neuron", "other_neuron", "path", "source", "target", "rank"}
# What they find depends on the order in which they look at neurons.
HEURISTIC = {"louvain", "leiden"}


def _original(seed: int) -> Weights:
    """Eighths, so that sums are exact in any order; no two magnitudes alike, so that none tie."""
    random = np.random.default_rng(seed)
    magnitudes = iter(random.permutation(np.arange(1, 44)) / 8)

    def draw(*shape: int) -> np.ndarray[Any, Any]:
        values = [next(magnitudes) * random.choice([-1, 1]) for _ in range(int(np.prod(shape)))]
        return np.array(values, dtype=np.float32).reshape(shape)

    sizes = (4, 5, 3)
    matrices = [draw(*ends) for ends in itertools.pairwise(sizes)]
    return matrices, [draw(size) for size in sizes[1:]]


def _permutation(weights: Weights) -> Weights:
    """The neuron that the examples name, 1, keeps its place."""
    (first, second), (bias, last) = weights
    order = [3, 1, 4, 0, 2]
    return [first[:, order], second[order]], [bias[order], last]


def _rescaling(weights: Weights) -> Weights:
    (first, second), (bias, last) = weights
    scale = np.ones(5, dtype=np.float32)
    scale[1], scale[3] = 4, 0.25
    return [first * scale, second / scale[:, None]], [bias * scale, last]


def _duplication(weights: Weights) -> Weights:
    (first, second), (bias, last) = weights
    order, share = [0, 1, 2, 3, 4, 1], np.ones((6, 1), dtype=np.float32)
    share[[1, 5]] = 0.5
    return [first[:, order], second[order] * share], [bias[order], last]


CHANGES: dict[str, Callable[[Weights], Weights]] = {
    "permutation": _permutation,
    "rescaling": _rescaling,
    "duplication": _duplication,
}


def test_these_are_the_symmetries() -> None:
    assert list(CHANGES) == list(SYMMETRIES)


@pytest.fixture(scope="module")
def names(database: Database) -> Any:
    """Names of each network and its changed copies, which compute the same function."""
    from ingest.removal import delete
    from ingest.writer import write

    found: dict[tuple[int, str], str] = {}
    inputs = np.random.default_rng(0).normal(size=(50, 4))
    for seed in SEEDS:
        weights = _original(seed)
        for change, apply in {"": lambda same: same, **CHANGES}.items():
            name = f"symmetry {seed} {change}".strip()
            matrices, biases = apply(weights)
            network = dense_network(matrices, biases, activations=["relu", "identity"])
            write(database, network, name=name, replace=True)
            found[seed, change] = name
            np.testing.assert_allclose(
                forward(database, name, inputs),
                forward(database, found[seed, ""], inputs),
                rtol=1e-12, atol=1e-12,
            )  # fmt: skip
    yield found
    for name in found.values():
        delete(database, name)


def _values(table: Table) -> Counter[tuple[Any, ...]]:
    """Rows without what names a neuron, and how often each comes."""
    community = _communities(table)
    rows = []
    for number, row in enumerate(table.rows):
        kept = [
            community[number] if column == "community" else _plain(value)
            for column, value in zip(table.columns, row, strict=True)
            if column not in IDENTITY
        ]
        rows.append(tuple(kept))
    return Counter(rows)


def _communities(table: Table) -> list[tuple[str, ...]]:
    """For each row the layers of all neurons in its community: its number means nothing."""
    if "community" not in table.columns:
        return [() for _ in table.rows]
    members: dict[int, list[str]] = {}
    for row in table.records():
        members.setdefault(row["community"], []).append(row["layer"])
    return [tuple(sorted(members[row["community"]])) for row in table.records()]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_plain(part) for part in value)
    if isinstance(value, float) and math.isfinite(value):
        # Different orders of summing: the same to nine digits.
        return float(f"{value:.8e}") + 0.0 if abs(value) > 1e-9 else 0.0
    return value


def _survives(question: Question, database: Database, before: str, after: str, change: str) -> bool:
    asked = [
        _values(question.answer(database, {**question.example, "network": name}))
        for name in (before, after)
    ]
    if change != "duplication":
        return asked[0] == asked[1]
    gone, new = asked[0] - asked[1], asked[1] - asked[0]
    return not gone and sum(new.values()) <= 1 and set(new) <= set(asked[0])


@pytest.mark.parametrize("question", MEASURING, ids=lambda question: question.name)
def test_survives_what_it_says(
    database: Database, names: dict[tuple[int, str], str], question: Question
) -> None:
    survived = {
        change
        for change in SYMMETRIES
        if all(
            _survives(question, database, names[seed, ""], names[seed, change], change)
            for seed in SEEDS
        )
    }
    declared = set(question.survives or ())
    if question.name in HEURISTIC:
        # Neither promised nor excluded.
        assert declared <= survived
    else:
        assert survived == declared
    assert "Symmetries\n----------\n" in (question.ask.__doc__ or "")


def test_the_answer_says_so(database: Database, tiny: str) -> None:
    asked = questions()["strength"]
    assert asked.answer(database, {"network": tiny}).notes[-1] == (
        "Symmetries: stays the same under permutation; changes under rescaling, duplication."
    )
