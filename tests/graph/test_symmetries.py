"""Which measures survive changes of a network that leave its function as it is: measured.

A hidden ReLU layer of small networks is changed in the three ways that
:data:`queries.question.SYMMETRIES` names, and each question is asked of both. Its answer survives
when the values of all rows are the same, whichever neuron has which. After a duplication the rows
that name the copy (its own, those of paths through it) must have the values of those that named the
neuron before, and all others must be as they were. What a question declares must be what survived
on all of the networks.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
# Which neuron has which value is not asked.
IDENTITY = {"neuron", "other_neuron", "path", "source", "target", "rank"}
# What they find depends on the order in which they look at neurons.
HEURISTIC = {"louvain", "leiden"}


@dataclass(frozen=True)
class Chain:
    """A ReLU network, one of whose hidden layers will be changed.

    Parameters
    ----------
    seed
        Of its weights.
    layers
        Names and sizes; the examples of the questions name neurons of all but `middle`.
    changed
        The hidden layer, and with it the matrix into it, by number.
    dead
        Whether neuron 1 of that layer is one that inputs above 0 cannot make active.
    """

    seed: int
    layers: tuple[tuple[str, int], ...]
    changed: int = 0
    dead: bool = False

    @property
    def size(self) -> int:
        """Of the layer that is changed; a copied neuron's index."""
        return self.layers[self.changed + 1][1]

    def named(self, neuron: int) -> tuple[str, int]:
        """A neuron of that layer."""
        return self.layers[self.changed + 1][0], neuron


SHALLOW = (("input", 4), ("fc1", 5), ("fc2", 3))
DEEP = (("input", 4), ("fc1", 5), ("middle", 4), ("fc2", 3))
CHAINS = (
    Chain(2, SHALLOW), Chain(3, SHALLOW), Chain(4, DEEP, dead=True), Chain(5, DEEP, changed=1),
)  # fmt: skip


def _original(chain: Chain) -> Weights:
    """Eighths, so that sums are exact in any order; no two magnitudes alike, so that none tie."""
    sizes = [size for _, size in chain.layers]
    total = sum((before + 1) * size for before, size in itertools.pairwise(sizes))
    random = np.random.default_rng(chain.seed)
    magnitudes = iter(random.permutation(np.arange(1, total + 1)) / 8)

    def draw(*shape: int) -> np.ndarray[Any, Any]:
        values = [next(magnitudes) * random.choice([-1, 1]) for _ in range(int(np.prod(shape)))]
        return np.array(values, dtype=np.float32).reshape(shape)

    matrices = [draw(*ends) for ends in itertools.pairwise(sizes)]
    biases = [draw(size) for size in sizes[1:]]
    if chain.dead:
        for values in (matrices[chain.changed], biases[chain.changed]):
            values[..., 1] = -np.abs(values[..., 1])
    return matrices, biases


Layer = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""What leads into a layer, its biases, and what leads out of it."""


def _unchanged(into: Any, bias: Any, out: Any) -> Layer:
    return into, bias, out


def _permutation(into: Any, bias: Any, out: Any) -> Layer:
    """The neuron that the examples name, 1, keeps its place."""
    order = [3, 1, 4, 0, 2] if bias.size == 5 else [3, 1, 0, 2]
    return into[:, order], bias[order], out[order]


def _rescaling(into: Any, bias: Any, out: Any) -> Layer:
    scale = np.ones(bias.size, dtype=np.float32)
    scale[1], scale[3] = 4, 0.25
    return into * scale, bias * scale, out / scale[:, None]


def _duplication(into: Any, bias: Any, out: Any) -> Layer:
    """The copy of neuron 1 is the last."""
    order, share = [*range(bias.size), 1], np.ones((bias.size + 1, 1), dtype=np.float32)
    share[[1, -1]] = 0.5
    return into[:, order], bias[order], out[order] * share


def _changed(chain: Chain, change: Callable[..., Layer]) -> Weights:
    matrices, biases = _original(chain)
    at = chain.changed
    matrices[at], biases[at], matrices[at + 1] = change(matrices[at], biases[at], matrices[at + 1])
    return matrices, biases


CHANGES: dict[str, Callable[..., Layer]] = {
    "permutation": _permutation,
    "rescaling": _rescaling,
    "duplication": _duplication,
}


def test_these_are_the_symmetries() -> None:
    assert list(CHANGES) == list(SYMMETRIES)


@pytest.fixture(scope="module")
def names(database: Database) -> Iterator[dict[tuple[Chain, str], str]]:
    """Names of each network and its changed copies, which compute the same function."""
    from ingest.removal import delete
    from ingest.writer import write

    found: dict[tuple[Chain, str], str] = {}
    inputs = np.random.default_rng(0).normal(size=(50, 4))
    for chain in CHAINS:
        hidden = len(chain.layers) - 2
        for change, apply in {"": _unchanged, **CHANGES}.items():
            name = f"symmetry {chain.seed} {change}".strip()
            network = dense_network(
                *_changed(chain, apply),
                names=[layer for layer, _ in chain.layers[1:]],
                activations=["relu"] * hidden + ["identity"],
            )
            write(database, network, name=name, replace=True)
            found[chain, change] = name
            np.testing.assert_allclose(
                forward(database, name, inputs),
                forward(database, found[chain, ""], inputs),
                rtol=1e-12, atol=1e-12,
            )  # fmt: skip
    yield found
    for name in found.values():
        delete(database, name)


def _values(
    table: Table, wanted: Callable[[dict[str, Any]], bool] = lambda row: True
) -> Counter[tuple[Any, ...]]:
    """The wanted rows without what names a neuron, and how often each comes."""
    community = _communities(table)
    rows = []
    for number, row in enumerate(table.rows):
        if not wanted(dict(zip(table.columns, row, strict=True))):
            continue
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


def _naming(layer: str, neuron: int) -> Callable[[dict[str, Any]], bool]:
    """Whether a row names that neuron: as its own, as one end, or on its path."""
    address = f"{layer}/{neuron}"

    def names_it(row: dict[str, Any]) -> bool:
        return any(
            value == address or (isinstance(value, list) and address in value)
            for value in row.values()
        ) or any(
            row.get(f"{other}layer") == layer and row.get(f"{other}neuron") == neuron
            for other in ("", "other_")
        )

    return names_it


def _survives(change: str, chain: Chain, before: Table, after: Table) -> bool:
    if change != "duplication":
        return _values(before) == _values(after)
    original, copy = _naming(*chain.named(1)), _naming(*chain.named(chain.size))
    return _values(before) == _values(after, lambda row: not copy(row)) and _values(
        before, original
    ) == _values(after, copy)


@pytest.mark.parametrize("question", MEASURING, ids=lambda question: question.name)
def test_survives_what_it_says(
    database: Database, names: dict[tuple[Chain, str], str], question: Question
) -> None:
    answers = {
        which: question.answer(database, {**question.example, "network": name})
        for which, name in names.items()
    }
    assert any(table.rows for table in answers.values()), "nothing would survive anything"
    survived = {
        change
        for change in SYMMETRIES
        if all(
            _survives(change, chain, answers[chain, ""], answers[chain, change]) for chain in CHAINS
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
