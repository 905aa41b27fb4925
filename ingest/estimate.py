"""What writing a network will take, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.network import Network
from store.errors import InputError

# Measured on Neo4j 2026.08.1, 1.8 M dense links (bench/ingest_rates.py): 34 bytes of a
# relationship, 41 of its properties, and their share of the neurons' chains.
LINK_BYTES = 77
# A node, its properties, its HAS_NEURON relationship and its place in the index.
NEURON_BYTES = 200
# bench/ingest_rates.py on two cores; a slow disk or a busy machine takes longer.
LINKS_PER_SECOND = 80_000
# Links that each name their own ends.
SPARSE_LINKS_PER_SECOND = 30_000

MOST_LINKS = 100_000_000
"""More links than this are written only when the user says yes."""


@dataclass(frozen=True)
class Estimate:
    """What a network takes in the store.

    Parameters
    ----------
    layers, neurons, links, wires, parameters
        Exact counts: learned links, and fixed ones.
    disk_bytes
        Expected size in the store, in bytes.
    seconds
        Expected time of the ingest, in seconds.
    """

    layers: int
    neurons: int
    links: int
    wires: int
    parameters: int
    disk_bytes: int
    seconds: float


def estimate(network: Network) -> Estimate:
    """Counts a network's neurons and links and says what writing them takes; reads no weight.

    Example
    -------
    >>> from ingest.network import DenseLinks, Layer
    >>> from ingest.operations import Parameter
    >>> import numpy as np
    >>> weight = Parameter.of("fc.weight", np.ones((2, 3)))
    >>> estimate(Network((Layer("input", "input", (3,)), Layer("fc", "linear", (2,))),
    ...                  (DenseLinks(0, 1, weight, 0, True),), (weight,))).links
    6
    """
    dense = sum(block.count for block in network.dense)
    sparse = sum(block.count for block in network.links) - dense
    return Estimate(
        len(network.layers),
        network.neuron_count,
        network.link_count,
        network.wire_count,
        sum(parameter.size for parameter in network.parameters),
        (dense + sparse) * LINK_BYTES + network.neuron_count * NEURON_BYTES,
        dense / LINKS_PER_SECOND + sparse / SPARSE_LINKS_PER_SECOND,
    )


def refuse_large(network: Network) -> None:
    """Refuses a network that would take hours or fill a disk.

    Raises
    ------
    InputError
        If it has more than `MOST_LINKS` links, fixed ones included; says what they would take.
    """
    if network.link_count + network.wire_count <= MOST_LINKS:
        return
    expected = estimate(network)
    raise InputError(
        f"The network has {expected.links + expected.wires:,} links, which take about "
        f"{expected.disk_bytes / 1e9:,.0f} GB on disk and {expected.seconds / 3600:,.1f} hours: "
        "'weightome ingest --yes' (yes=True) writes them all the same."
    )
