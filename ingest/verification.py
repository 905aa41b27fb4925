"""Reads back what was written: counts and sums that misplaced or lost links would change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.network import DenseLinks, Network
from ingest.tiles import Tile
from store.database import Database
from store.errors import VerificationFailed
from store.query import Query

SECONDS = 3_600.0
# The order of summation differs between here and the server; float64 sums agree far closer.
TOLERANCE = 1e-9

# Small factors by position: links that changed places would leave the plain sum as it is.
_SOURCE_FACTORS, _TARGET_FACTORS = 97, 89

STORED_LINKS = Query(
    "stored_links",
    "Count and sums of the links between two layers, as stored.",
    f"""
MATCH (to:Layer {{network: $id, index: $target}})
MATCH (from:Layer {{network: $id, index: $source}})
MATCH (to)-[:HAS_NEURON]->(target:Neuron)<-[link:LINK]-(source:Neuron)
WHERE from.first <= source.id < from.first + from.size
RETURN count(link) AS links, sum(link.param) AS params, sum(link.weight) AS weights,
       sum(link.weight * (1 + source.index % {_SOURCE_FACTORS})
           * (1 + target.index % {_TARGET_FACTORS})) AS placed
""",
    ("links", "params", "weights", "placed"),
)

STORED_NEURONS = Query(
    "stored_neurons",
    "Count of the neurons and sum of the biases of each layer, as stored.",
    f"""
MATCH (network:Network {{id: $id}})-[:HAS_LAYER]->(layer:Layer)
OPTIONAL MATCH (layer)-[:HAS_NEURON]->(neuron:Neuron)
RETURN layer.name AS layer, count(neuron) AS neurons, layer.index AS layer_index,
       sum(neuron.bias * (1 + neuron.index % {_SOURCE_FACTORS})) AS biases
ORDER BY layer_index
""",
    ("layer", "neurons", "layer_index", "biases"),
)


@dataclass
class LinkSums:
    """Sums over links, gathered while they are written."""

    links: int = 0
    params: int = 0
    weights: float = 0.0
    placed: float = 0.0
    magnitude: float = 0.0

    @classmethod
    def of(cls, block: DenseLinks, tile: Tile, weights: NDArray[np.float64]) -> LinkSums:
        """Sums over one tile, weights as sources x targets."""
        sources = np.arange(tile.sources.start, tile.sources.stop)
        targets = np.arange(tile.targets.start, tile.targets.stop)
        factors = np.outer(1 + sources % _SOURCE_FACTORS, 1 + targets % _TARGET_FACTORS)
        params = (
            block.first * tile.count
            + block.source_stride * int(sources.sum()) * targets.size
            + block.target_stride * int(targets.sum()) * sources.size
        )
        placed = weights * factors
        return cls(
            tile.count,
            params,
            float(weights.sum()),
            float(placed.sum()),
            float(np.abs(placed).sum()),
        )

    def add(self, other: LinkSums) -> None:
        """Adds the sums of further links."""
        self.links += other.links
        self.params += other.params
        self.weights += other.weights
        self.placed += other.placed
        self.magnitude += other.magnitude


def verify(database: Database, network: Network, identity: int, sums: list[LinkSums]) -> None:
    """Compares the store with what was sent.

    Parameters
    ----------
    identity
        ``Network.id`` in the store.
    sums
        One per block of links, in the network's order.

    Raises
    ------
    VerificationFailed
        Names the first layer that differs.
    """
    stored = database.read(STORED_NEURONS, id=identity, seconds=SECONDS, row_cap=1_000_000).rows
    if len(stored) != len(network.layers):
        raise VerificationFailed(
            f"{len(network.layers)} layers were written, but {len(stored)} are in the store."
        )
    for layer, (name, neurons, _, biases) in zip(network.layers, stored, strict=True):
        if neurons != layer.size:
            raise VerificationFailed(
                f"Layer {name!r} has {layer.size} neurons, but {neurons} are in the store."
            )
        if layer.bias is not None:
            placed = layer.bias * (1 + np.arange(layer.size) % _SOURCE_FACTORS)
            _agree(name, "biases", float(placed.sum()), biases, float(np.abs(placed).sum()))
    for block, sent in zip(network.links, sums, strict=True):
        name = network.layers[block.target].name
        links, params, weights, placed = database.read(
            STORED_LINKS, id=identity, source=block.source, target=block.target, seconds=SECONDS
        ).rows[0]
        if (links, params) != (sent.links, sent.params) or sent.links != block.count:
            raise VerificationFailed(
                f"{block.count} links into layer {name!r} were written, but {links} are in the "
                "store or they stand for other parameters."
            )
        _agree(name, "weights", sent.weights, weights, sent.magnitude)
        _agree(name, "placed weights", sent.placed, placed, sent.magnitude)


def _agree(layer: str, what: str, sent: float, stored: float, magnitude: float) -> None:
    if not abs(sent - stored) <= TOLERANCE * magnitude:
        raise VerificationFailed(
            f"The {what} of layer {layer!r} sum to {stored!r} in the store, not to {sent!r}."
        )
