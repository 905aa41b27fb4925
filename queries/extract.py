"""A part of a network taken out of the store, for the graph libraries and programs of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.subgraph import (
    LINKS,
    TOP,
    WHOLE,
    Subgraph,
    notes_on,
    refuse_large_columns,
    selection,
)
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query

if TYPE_CHECKING:
    import igraph
    import networkx

EXTRACTED_NEURONS = Query(
    "extracted_neurons",
    "The biases of the neurons of some layers, one row per layer.",
    """
MATCH (:Network {name: $network})-[:HAS_LAYER]->(layer:Layer) WHERE layer.index IN $layers
MATCH (layer)-[:HAS_NEURON]->(neuron:Neuron)
WITH layer, neuron ORDER BY neuron.id
WITH layer.index AS layer_index, collect(neuron) AS neurons ORDER BY layer_index
RETURN [neuron IN neurons | neuron.id] AS id, [neuron IN neurons | neuron.bias] AS bias
""",
    ("id", "bias"),
)

_COLUMNS = """
WITH source, collect(target.id) AS target, collect(link.weight) AS weight,
     collect(type(link) = 'WIRE') AS wire, collect(coalesce(link.position, -1)) AS position
RETURN [_ IN target | source.id] AS source, target, weight, wire, position
"""


def _extracted_links(name: str, choose: str) -> Query:
    return Query(
        name,
        "Ends, weights, kinds and positions of a subgraph's links, one row per neuron.",
        f"{LINKS}{choose}{_COLUMNS}",
        ("source", "target", "weight", "wire", "position"),
    )


EXTRACTED_LINKS = _extracted_links("extracted_links", "")
TOP_EXTRACTED_LINKS = _extracted_links("top_extracted_links", TOP)

# What Python's strings and numbers for a neuron take at most, rounded up.
_NEURON_READ = 500


@dataclass(frozen=True)
class Extract:
    """Neurons and links of a network or a part of it.

    Each neuron is called ``layer/index``, as everywhere else.

    Parameters
    ----------
    network
        Its name.
    layers
        Names of its layers, of all that the network has.
    layer
        (neurons,) index of each neuron's layer.
    neuron
        (neurons,) its index in the layer.
    bias
        (neurons,) its bias; NaN where it has none.
    ends
        (2, links) source and target of each link, as places among these neurons; by source,
        target, kind and position.
    weight
        (links,) signed.
    wire
        (links,) whether it is fixed (``WIRE``) rather than learned (``LINK``).
    position
        (links,) what tells links between the same two neurons apart; -1 where nothing need.
    notes
        Sentences a reader must know.
    """

    network: str
    layers: tuple[str, ...]
    layer: NDArray[np.int64]
    neuron: NDArray[np.int64]
    bias: NDArray[np.float64]
    ends: NDArray[np.int64]
    weight: NDArray[np.float64]
    wire: NDArray[np.bool_]
    position: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """``layer/index`` of each neuron."""
        return [
            f"{self.layers[layer]}/{neuron}"
            for layer, neuron in zip(self.layer.tolist(), self.neuron.tolist(), strict=True)
        ]

    def neurons(self) -> Iterator[dict[str, Any]]:
        """What each neuron is: ``layer`` (name), ``layer_index``, ``neuron``, ``bias`` or None."""
        columns = (self.layer.tolist(), self.neuron.tolist(), self.bias.tolist())
        for layer, neuron, bias in zip(*columns, strict=True):
            yield {
                "layer": self.layers[layer],
                "layer_index": layer,
                "neuron": neuron,
                "bias": None if bias != bias else bias,  # noqa: PLR0124 (NaN)
            }

    def links(self) -> Iterator[dict[str, Any]]:
        """What each link is: ``weight``, ``kind`` (LINK or WIRE), ``position`` or None."""
        columns = (self.weight.tolist(), self.wire.tolist(), self.position.tolist())
        for weight, wire, position in zip(*columns, strict=True):
            yield {
                "weight": weight,
                "kind": "WIRE" if wire else "LINK",
                "position": None if position < 0 else position,
            }

    def to_networkx(self) -> networkx.MultiDiGraph:
        """The same as a graph of networkx.

        Returns
        -------
        networkx.MultiDiGraph
            Nodes are called ``layer/index`` and have what :meth:`neurons` tells, links what
            :meth:`links` tells; what is None is left out. The graph itself has ``network`` and
            ``notes``.

        Raises
        ------
        InvalidArgument
            If networkx is not installed.

        Example
        -------
        >>> extract(database, "digits-060").to_networkx()               # doctest: +SKIP
        <networkx.classes.multidigraph.MultiDiGraph object at ...>
        """
        try:
            import networkx
        except ImportError as error:
            raise InvalidArgument(
                "A graph for networkx needs that package, which is not installed: "
                "pip install networkx."
            ) from error
        graph = networkx.MultiDiGraph(network=self.network, notes=list(self.notes))
        names = self.names
        graph.add_nodes_from(zip(names, map(_known, self.neurons()), strict=True))
        graph.add_edges_from(
            (names[source], names[target], _known(link))
            for source, target, link in zip(*self.ends.tolist(), self.links(), strict=True)
        )
        return graph

    def to_igraph(self) -> igraph.Graph:
        """The same as a graph of igraph.

        Returns
        -------
        igraph.Graph
            Directed; vertices have ``name`` (``layer/index``) and what :meth:`neurons` tells,
            edges what :meth:`links` tells.

        Raises
        ------
        InvalidArgument
            If igraph is not installed.

        Example
        -------
        >>> extract(database, "digits-060").to_igraph().summary()       # doctest: +SKIP
        'IGRAPH DNW- 122 2720 -- ...'
        """
        try:
            import igraph
        except ImportError as error:
            raise InvalidArgument(
                "A graph for igraph needs that package, which is not installed: pip install igraph."
            ) from error
        return igraph.Graph(
            n=len(self.layer),
            edges=self.ends.T.tolist(),
            directed=True,
            graph_attrs={"network": self.network, "notes": list(self.notes)},
            vertex_attrs={"name": self.names, **_in_columns(self.neurons(), _OF_NEURONS)},
            edge_attrs=_in_columns(self.links(), _OF_LINKS),
        )

    def to_graphml(self, path: Path, *, replace: bool = False) -> None:
        """Writes the same as a file that igraph, Gephi, Cytoscape and networkx read.

        Parameters
        ----------
        path
            Where to: a ``.graphml`` file, which appears whole or not at all.
        replace
            Overwrites a file that is there.

        Raises
        ------
        Conflict
            If the file exists and `replace` is False.
        InvalidArgument
            If the path is no ``.graphml`` file or cannot be written.

        Example
        -------
        >>> extract(database, "digits-060").to_graphml(Path("digits.graphml"))  # doctest: +SKIP
        """
        from queries import graphml

        graphml.write(self, path, replace=replace)


_OF_NEURONS = ("layer", "layer_index", "neuron", "bias")
_OF_LINKS = ("weight", "kind", "position")


def _known(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value is not None}


def _in_columns(each: Iterator[dict[str, Any]], names: tuple[str, ...]) -> dict[str, list[Any]]:
    records = list(each)
    return {name: [record[name] for record in records] for name in names}


def extract(database: Database, network: str, of: Subgraph = WHOLE) -> Extract:
    """Takes a network, or a part of it, out of the store.

    Parameters
    ----------
    network
        Its name.
    of
        Which part, as for the graph algorithms: all neurons of the chosen layers, and of the links
        between them those that are asked for. Links of weight 0 are left out.

    Returns
    -------
    Extract

    Raises
    ------
    NotFound
        If the network or a layer does not exist.
    InvalidArgument
        If an option of the subgraph cannot be.
    MemoryLimitExceeded
        If the estimate is greater than the subgraph's limit.

    Example
    -------
    >>> part = extract(database, "digits-060", Subgraph(top=500))       # doctest: +SKIP
    >>> part.to_networkx().out_degree("hidden1/29")                     # doctest: +SKIP
    9
    """
    layers, parameters = selection(database, network, of)
    refuse_large_columns(database, of, layers, parameters, lambda nodes: _NEURON_READ * nodes)
    chosen = {"network": network, "layers": parameters["layers"]}
    neurons = database.columns(EXTRACTED_NEURONS, **chosen)
    query = EXTRACTED_LINKS if of.top is None else TOP_EXTRACTED_LINKS
    read = database.columns(query, **parameters)
    scope.unchanged(database, network, layers)
    ids = neurons["id"].astype(np.int64)
    layer = np.searchsorted([each.first for each in layers], ids, side="right") - 1
    ends = np.searchsorted(ids, [read[end].astype(np.int64) for end in ("source", "target")])
    wire, position = read["wire"].astype(np.bool_), read["position"].astype(np.int64)
    order = np.lexsort((position, wire, ends[1], ends[0]))
    return Extract(
        network=network,
        layers=tuple(each.name for each in layers),
        layer=layer,
        neuron=ids - np.array([each.first for each in layers])[layer],
        bias=neurons["bias"].astype(np.float64),
        ends=ends[:, order],
        weight=read["weight"].astype(np.float64)[order],
        wire=wire[order],
        position=position[order],
        notes=notes_on(of),
    )
