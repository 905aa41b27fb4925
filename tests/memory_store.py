"""A stand-in for the database that answers from a network what it would answer once written.

For tests of many networks: it holds what ingest would send, and nothing is read but by the queries
that read the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from ingest.network import DenseLinks, LinkBlock, Network
from queries import scope, stored, weights
from store import views
from store.cancelling import Cancelling
from store.database import Answer
from store.query import Query

# Ids in a store begin anywhere.
FIRST = 1000


class MemoryStore:
    """Answers the queries of a forward pass and of an export.

    Parameters
    ----------
    network
        The only one that it holds, under whatever name.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.firsts = [FIRST + first for first in network.firsts]
        self.links: dict[int, list[LinkBlock]] = {}
        self.wires: dict[int, list[LinkBlock]] = {}
        for links in network.links:
            if isinstance(links, DenseLinks):
                self.links.setdefault(links.target, []).append(self._rectangle(links))
            else:
                held = self.links if links.learned else self.wires
                held.setdefault(links.target, []).extend(links.blocks())

    def _rectangle(self, links: DenseLinks) -> LinkBlock:
        sources, targets = np.indices((links.sources, links.targets)).reshape(2, -1)
        return LinkBlock(
            sources + self.network.firsts[links.source],
            targets + self.network.firsts[links.target],
            links.tile(range(links.sources), range(links.targets)).reshape(-1),
            links.first + sources * links.source_stride + targets * links.target_stride,
        )

    def run(
        self,
        cypher: str,
        parameters: Mapping[str, Any],
        *,
        write: bool,
        seconds: float | None,
        row_cap: int | None,
        cancelling: Cancelling | None = None,
    ) -> Answer:
        """As :meth:`store.database.Connection.run`."""
        known: dict[str, tuple[Query, Callable[..., list[list[Any]]]]] = {
            query.cypher: (query, answer)
            for query, answer in (
                (scope.LAYERS_IN_BRIEF, self._brief),
                (stored.LAYERS_TO_COMPUTE, self._layers),
                (stored.OUTPUTS_OF_NETWORK, self._outputs),
                (weights.TENSORS, self._tensors),
                (weights.KEPT_TENSOR, self._kept),
                (weights.NEURON_SCALARS, self._scalars),
                (weights.LINKS_INTO_LAYER, self._links),
                (weights.WIRES_INTO_LAYER, self._wires),
            )
        }
        query, answer = known[cypher]
        rest = {key: value for key, value in parameters.items() if key not in ("network", "size")}
        return Answer(query.columns, answer(**rest))

    def close(self) -> None:
        """Holds nothing."""

    def _outputs(self) -> list[list[Any]]:
        return [[views.dumps(self.network.outputs), self.network.view]]

    def _scalars(self, first: int) -> list[list[Any]]:
        scalars = self.network.layers[self.firsts.index(first)].scalars
        row: list[Any] = []
        for name in weights.SCALARS:
            held = scalars.get(name)
            row += [[], []] if held is None else [held.values, held.params]
        return [row]

    def _links(self, first: int) -> list[list[Any]]:
        return [_columns(block) for block in self.links.get(self.firsts.index(first), [])]

    def _wires(self, first: int) -> list[list[Any]]:
        return [_columns(block) for block in self.wires.get(self.firsts.index(first), [])]

    def _brief(self) -> list[list[Any]]:
        return [
            [layer.name, index, self.firsts[index], layer.size, list(layer.sources)]
            for index, layer in enumerate(self.network.layers)
        ]

    def _layers(self) -> list[list[Any]]:
        return [
            [
                index, layer.kind, list(layer.shape), list(layer.neuron_axes), layer.activation,
                json.dumps(layer.attributes), views.dumps(layer.takes), index in self.wires,
            ]
            for index, layer in enumerate(self.network.layers)
        ]  # fmt: skip

    def _tensors(self) -> list[list[Any]]:
        parameters = self.network.parameters
        firsts = accumulate((parameter.size for parameter in parameters), initial=0)
        return [
            [each.name, list(each.aliases), list(each.shape), each.dtype, first,
             index in self.network.kept, index]
            for index, (each, first) in enumerate(zip(parameters, firsts, strict=False))
        ]  # fmt: skip

    def _kept(self, index: int) -> list[list[Any]]:
        assert index in self.network.kept
        parameter = self.network.parameters[index]
        return [[parameter.array().reshape(-1).tolist(), list(parameter.shape)]]


def _columns(block: LinkBlock) -> list[Any]:
    positions = np.zeros(block.count) if block.positions is None else block.positions
    params = np.empty(0) if block.params is None else block.params
    return [block.targets + FIRST, block.sources + FIRST, block.weights, positions, params]
