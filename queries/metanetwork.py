"""A network in the form of Graph Metanetworks (arXiv 2312.04501): an edge for each parameter."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.metanetwork_edges import (
    BIAS,
    FIXED,
    NEURON,
    POSITION,
    RESIDUAL,
    ROLES,
    SCALE,
    SHIFT,
    SLOPE,
    WEIGHT,
    Parts,
    of_neurons,
    roles_and_heads,
)
from queries.metanetwork_nodes import Ids, Nodes
from queries.stored import stored
from queries.weights import TENSORS, layer_weights, layer_wires
from store.database import Database
from store.errors import InvalidArgument

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = [
    "BIAS", "FIXED", "NEURON", "POSITION", "RESIDUAL", "ROLES", "SCALE", "SHIFT", "SLOPE",
    "WEIGHT", "Metanetwork", "metanetwork",
]  # fmt: skip


@dataclass(frozen=True)
class Metanetwork:
    """Nodes and edges of a network in the construction of Graph Metanetworks.

    No two edges agree in their ends, layer, kind, role, head and position.

    Parameters
    ----------
    node_layer
        (nodes,) index of the layer that a node belongs to; of merged layers the first.
    node_index
        (nodes,) its place in the layer; of those that are no neurons, among the layer's of its
        kind: 0 where it is the only one.
    node_kind
        (nodes,) `NEURON`, `BIAS`, `SCALE`, `SHIFT`, `SLOPE` or `POSITION`.
    edge_index
        (2, edges) source and target node.
    edge_weight
        (edges,) the parameter's value, signed; of a residual edge 1 (-1 where it is subtracted),
        of a fixed one the wire's.
    edge_kind
        (edges,) `WEIGHT`, `RESIDUAL`, `FIXED`, or the kind of the node that it comes from.
    edge_layer
        (edges,) index of the layer that the parameter belongs to, or that adds or mixes.
    edge_position
        (edges,) place in the kernel, row by row; elsewhere it tells edges between the same nodes
        apart (a flattened map's positions) and is -1 where there are none.
    edge_role
        (edges,) place in `ROLES` of the part of an attention, or the gate, that it belongs to; -1.
    edge_head
        (edges,) head of an attention; of keys and values the first head that shares them; -1.
    edge_param
        (edges,) its place in the network's flat parameter vector; -1 where it is no parameter.
    omitted
        Names of the tensors that are not in the edges, or not with all values: running statistics
        of norms, masks, operands that no link holds, and what no layer uses.
    """

    node_layer: NDArray[np.int64]
    node_index: NDArray[np.int64]
    node_kind: NDArray[np.int64]
    edge_index: NDArray[np.int64]
    edge_weight: NDArray[np.float64]
    edge_kind: NDArray[np.int64]
    edge_layer: NDArray[np.int64]
    edge_position: NDArray[np.int64]
    edge_role: NDArray[np.int64]
    edge_head: NDArray[np.int64]
    edge_param: NDArray[np.int64]
    omitted: tuple[str, ...]

    def to_pyg(self) -> Data:
        """The same as a graph of PyTorch Geometric.

        Its tensors are made by PyTorch Geometric's own conversion of sparse matrices, and by them:
        this module knows no torch.

        Returns
        -------
        torch_geometric.data.Data
            ``x`` (nodes, 3): layer, index, kind. ``edge_index`` (2, edges). ``edge_weight``
            (edges,), float32. ``edge_attr`` (edges, 5): kind, layer, position, role, head.
            ``edge_param`` (edges,). All but the weight are int64.

        Raises
        ------
        InvalidArgument
            If PyTorch Geometric is not installed.

        Example
        -------
        >>> metanetwork(database, "digits-060").to_pyg()                # doctest: +SKIP
        Data(x=[125, 3], edge_index=[2, 2778], edge_attr=[2778, 5], edge_weight=[2778], ...)
        """
        try:
            from torch_geometric.data import Data
            from torch_geometric.utils import (
                from_scipy_sparse_matrix,
            )
        except ImportError as error:
            raise InvalidArgument(
                "A graph for PyTorch Geometric needs that package, which is not installed: "
                "pip install torch_geometric."
            ) from error
        from scipy.sparse import coo_array

        nodes = np.stack([self.node_layer, self.node_index, self.node_kind], axis=1)
        edges = [
            self.edge_kind, self.edge_layer, self.edge_position, self.edge_role, self.edge_head,
        ]  # fmt: skip
        weighted = coo_array(
            (self.edge_weight.astype(np.float32), tuple(self.edge_index)), (len(nodes), len(nodes))
        )
        index, weight = from_scipy_sparse_matrix(weighted)
        return Data(
            x=index.new_tensor(nodes),
            edge_index=index,
            edge_weight=weight,
            edge_attr=index.new_tensor(np.stack(edges, axis=1)),
            edge_param=index.new_tensor(self.edge_param),
        )


def metanetwork(database: Database, network: str) -> Metanetwork:
    """Reads a network as nodes of neurons, biases and norms, and one edge for each use of a weight.

    As in the paper, a neuron (channel, feature) is a node, and each layer with a bias has one more
    node with an edge to each of them. A norm's channels are the nodes that it normalises; a scale
    and a shift node hold its parameters. Pools, activations and copies are merged into what they
    take. Queries, keys, values and the output of an attention are one set of nodes with parallel
    edges (and three bias nodes, even where one tensor holds all), and so are matrices that are
    added up and fed by the same nodes (equivariant layers). Any other sum is merged into its
    deepest operand, to which the others' nodes have residual edges. So edges = uses of parameters +
    residual edges; nodes = neurons + biases + 2 for each norm.

    What the paper leaves open is done alike. A learned scale has a scale node, a PReLU a slope
    node, a learned shift and a class token a bias node. A table of positions has a node for each
    position, an embedding one for each entry of the vocabulary (the integer itself has none). Query
    heads that share keys and values share their nodes. A recurrent unit's gates, cell and state are
    one node; its links back make cycles, and each gate has its own bias nodes. Products and other
    functions of several values are merged like sums, with fixed edges in the place of residual
    ones. Where values of several nodes are mixed without parameters (a mean of channels, features
    that become tokens, a product of matrices, initial states), fixed edges lead from all.
    Rotated queries and keys have residual edges among their own nodes.

    Returns
    -------
    Metanetwork
        Neurons in the order of the layers, then the other nodes; edges in the order of the layers
        that they lead to.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If it is stored unrolled.

    References
    ----------
    Lim et al., "Graph Metanetworks for Processing Diverse Neural Architectures",
    arXiv 2312.04501.

    Example
    -------
    >>> metanetwork(database, "digits-060").edge_index.shape            # doctest: +SKIP
    (2, 2778)
    """
    whole = stored(database, network)
    if whole.unrolled:
        raise InvalidArgument(
            f"The network {network!r} is stored unrolled, with a neuron for each value; a "
            "metanetwork's nodes stand for channels: ingest it with --view shared (view='shared')."
        )
    places = [layer.place for layer in whole.layers]
    nodes = Nodes(whole)
    parts = Parts(*roles_and_heads(database, places))
    for layer in whole.layers:
        read = layer_weights(database, layer.place)
        links = nodes.numbered(read.links)
        wires = nodes.numbered(layer_wires(database, layer.place))
        stay = nodes.merge(layer, links, wires)
        parts.add(layer, nodes.first(layer), links, read.held, wires if stay else None)
    tensors = database.read(TENSORS, network=network, row_cap=1_000_000).records()
    scope.unchanged(database, network, places)
    node, first = nodes.numbers()
    edges = parts.edges(node)
    neurons = np.concatenate([of_neurons(layer) for layer in whole.layers])
    further = np.array(parts.further, dtype=np.int64).reshape(-1, 3)
    of_nodes = np.concatenate([neurons[first], further])
    known = np.unique(edges.params[edges.params >= 0])
    return Metanetwork(
        node_layer=of_nodes[:, 0],
        node_index=of_nodes[:, 1],
        node_kind=of_nodes[:, 2],
        edge_index=np.stack([edges.sources, edges.targets]),
        edge_weight=edges.weights,
        edge_kind=edges.kinds,
        edge_layer=edges.layers,
        edge_position=edges.positions,
        edge_role=edges.roles,
        edge_head=edges.heads,
        edge_param=edges.params,
        omitted=tuple(
            row["name"] for row in tensors if not _whole(row["first"], row["shape"], known)
        ),
    )


def _whole(first: int, shape: list[int], known: Ids) -> bool:
    size = prod(shape)
    start, end = np.searchsorted(known, [first, first + size])
    return bool(end - start == size)
