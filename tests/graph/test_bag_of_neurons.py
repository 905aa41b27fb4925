"""Types of neurons: those that were built to differ are told apart, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from ingest.network import Network
from queries.bag_of_neurons import bag_of_neurons, neuron_types
from store.database import Database
from store.errors import InvalidArgument, NotFound
from tests.networks import dense_network

KINDS = [0, 1, 2, 0, 1, 2, 2, 2, 1, 0]


@pytest.fixture
def three_kinds(stored: Callable[..., str]) -> str:
    """A network whose hidden neurons are weak, strong or negative, with a little noise."""
    random = np.random.default_rng(3)
    level = np.array([0.1, 5.0, -5.0])[KINDS]
    first = (level + random.normal(scale=0.01, size=(6, 10))).astype(np.float32)
    second = (level[:, None] + random.normal(scale=0.01, size=(10, 4))).astype(np.float32)
    return stored(dense_network([first, second]))


def test_known_types_are_found(database: Database, three_kinds: str) -> None:
    table = bag_of_neurons(database, three_kinds, types=3, measure=("strength",))
    assert table.column("neuron") == list(range(10))
    assert set(table.column("layer")) == {"fc1"}
    found = table.column("type")
    assert adjusted_rand_score(KINDS, found) == 1.0
    # By the mean strength, rising: negative, weak, strong.
    assert [found[KINDS.index(kind)] for kind in (2, 0, 1)] == [0, 1, 2]
    again = bag_of_neurons(database, three_kinds, types=3, measure=("strength",))
    assert again.rows == table.rows


def test_counts_and_centres(database: Database, three_kinds: str) -> None:
    neurons = bag_of_neurons(database, three_kinds, types=3)
    table = neuron_types(database, three_kinds, types=3)
    counts = Counter(neurons.column("type"))
    assert table.column("neurons") == [counts[kind] for kind in range(3)]
    assert table.column("fraction") == pytest.approx([counts[kind] / 10 for kind in range(3)])
    centres = table.column("centre")
    assert centres == sorted(centres)
    assert [len(centre) for centre in centres] == [3, 3, 3]


def test_a_row_cap_cuts_what_is_told_and_not_what_is_typed(
    database: Database, three_kinds: str
) -> None:
    capped = database.limited(row_cap=4)
    whole = bag_of_neurons(database, three_kinds, types=3)
    some = bag_of_neurons(capped, three_kinds, types=3)
    assert (some.rows, some.truncated) == (whole.rows[:4], True)
    counts = neuron_types(capped, three_kinds, types=3)
    assert counts.rows == neuron_types(database, three_kinds, types=3).rows
    assert counts.truncated is False


def test_all_networks_share_the_types(
    database: Database, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    names = [stored(random_network(3, 5, 4, 2, seed=seed)) for seed in range(3)]
    pattern = names[0][:-1] + "*"
    table = bag_of_neurons(database, pattern, types=4)
    assert Counter(zip(table.column("network"), table.column("layer"), strict=True)) == {
        (name, layer): size for name in names for layer, size in (("fc1", 5), ("fc2", 4))
    }
    by_layer = neuron_types(database, pattern, types=4)
    assert sum(by_layer.column("neurons")) == 27
    assert len(by_layer.rows) == 3 * 2 * 4


def test_refusals(database: Database, tiny: str, three_kinds: str) -> None:
    with pytest.raises(NotFound, match="There is no network that matches 'nothing-\\*'"):
        bag_of_neurons(database, "nothing-*")
    with pytest.raises(InvalidArgument, match="There are 3 different hidden neurons in all, fewer"):
        bag_of_neurons(database, tiny)
    with pytest.raises(InvalidArgument, match="second_order_centrality does not exist for some"):
        # Neurons with no positive link at all.
        bag_of_neurons(
            database, three_kinds, types=2, measure=("strength", "second_order_centrality")
        )
    with pytest.raises(InvalidArgument, match="types cannot be 0"):
        bag_of_neurons(database, tiny, types=0)
