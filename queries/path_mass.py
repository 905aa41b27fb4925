"""How much all paths between two sets of neurons carry, and through which others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np

from queries import propagation, scope
from queries.options import one_of
from queries.propagation import Scaled
from queries.question import question
from queries.scope import Neurons, Place
from queries.weights import LINKS_INTO_LAYER, Edges, layer_links, layer_wires
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table

By = Literal["target", "source", "total"]
BY: Final[tuple[By, ...]] = get_args(By)


@dataclass(frozen=True)
class Ways:
    """The layers between two sets of neurons, and the links that paths between them may use.

    Parameters
    ----------
    layers
        All layers of the network.
    into
        By index of the layers behind the first, in order: links, and wires where they count.
    took_ms
        How long reading took.
    """

    layers: list[Place]
    into: Mapping[int, list[Edges]]
    took_ms: float


def ways(
    database: Database,
    network: str,
    layers: list[Place],
    start: Neurons,
    end: Neurons,
    *,
    wires: bool,
) -> Ways:
    """Reads the links between two sets of neurons.

    Raises
    ------
    InvalidArgument
        If both are in one layer, or a recurrent layer lies between: its paths have no end.
    """
    if start.layer == end.layer:
        raise InvalidArgument(
            f"Paths lead from one layer to another: both ends are in {start.layer.name!r}."
        )
    between = scope.between(layers, start.layer, end.layer)
    for layer in layers:
        back = [index for index in layer.fed_by if index >= layer.index and index in between]
        if layer.index in between and back:
            raise InvalidArgument(
                f"Layer {layer.name!r} is recurrent, so there is no end of paths through it: "
                "unroll the network through time (--view unrolled) to follow them."
            )
    started = time.perf_counter()
    into = {}
    for index in sorted(between - {start.layer.index}):
        read = [layer_links(database, layers[index])]
        if wires:
            read.append(layer_wires(database, layers[index]))
        into[index] = [_from_layers(layers, edges, between) for edges in read]
    scope.unchanged(database, network, layers)
    return Ways(layers, into, (time.perf_counter() - started) * 1000)


def _from_layers(layers: list[Place], edges: Edges, wanted: set[int]) -> Edges:
    inside = np.zeros(len(edges.sources), dtype=np.bool_)
    for layer, part in edges.by_source(layers):
        if layer.index in wanted:
            inside |= part
    return edges.among(inside)


def indicator(neurons: Neurons) -> dict[int, Scaled]:
    """1 at the neurons meant, 0 at the others of their layer."""
    values = np.zeros(neurons.layer.size)
    values[neurons.part] = 1
    return {neurons.layer.index: Scaled(values)}


MASS_COLUMNS = ("neuron", "paths", "mass", "log_mass", "signed", "log_signed")


@question(
    columns=MASS_COLUMNS,
    example={"network": "tiny", "source": "input/0", "target": "fc2"},
    survives=("permutation", "rescaling"),
    kept=True,
)
def path_mass(
    database: Database,
    network: str,
    source: str,
    target: str,
    *,
    by: By = "target",
    wires: bool = True,
) -> Table:
    """Path mass between two sets of neurons: the product of magnitudes, summed over all paths.

    Computed by NumPy on the links, read in columns layer by layer: a sum over paths is a product
    of matrices, which Cypher would have to enumerate. No such product is ever formed. Rescaling a
    neuron leaves it as it is unless that neuron is an end of the paths.

    Parameters
    ----------
    source
        `LAYER/INDEX` for one neuron, `LAYER/0-9,12` for several, `LAYER` for all of a layer.
    target
        `LAYER/INDEX` for one neuron, `LAYER/0-9,12` for several, `LAYER` for all of a layer.
    by
        A row for each `target`, for each `source`, or one in `total`.
    wires
        Whether paths run over fixed links (residual sums, pools, gates) too.

    Returns
    -------
    Table
        ``neuron`` (``layer/index``, or ``total``), ``paths`` (their number, links of weight 0 being
        part of none), ``mass`` (sum of the products of ``|w|``, >= 0), ``log_mass`` (its natural
        logarithm), ``signed`` (sum of the products of w), ``log_signed`` (logarithm of its
        magnitude). A logarithm is None for 0; a number is None where it is beyond a float.

    Raises
    ------
    NotFound
        If the network, a layer or a neuron does not exist.
    InvalidArgument
        If both are in one layer, or a recurrent layer lies between.

    References
    ----------
    Neyshabur et al., "Path-SGD", arXiv 1506.02617: path norms; paths as in arXiv 2209.05488.

    Example
    -------
    >>> path_mass(database, "mnist", "input", "output").rows[7][:3]     # doctest: +SKIP
    ['output/7', 15680000.0, 3127.6]
    """
    one_of("by", by, BY)
    layers = scope.places(database, network)
    start, end = scope.neurons(layers, source), scope.neurons(layers, target)
    found = ways(database, network, layers, start, end, wires=wires)
    place, begin = (start, indicator(end)) if by == "source" else (end, indicator(start))
    follow = propagation.backwards if by == "source" else propagation.forwards
    columns: list[list[Any]] = []
    for weigh in (propagation.ones, propagation.magnitudes, propagation.signed):
        sums = follow(found.layers, found.into, begin, weigh)
        wanted = _part(sums, place)
        told = wanted.total() if by == "total" else wanted
        columns.append(told.numbers())
        if weigh is not propagation.ones:
            columns.append(told.logarithms())
    names = ["total"] if by == "total" else [scope.address(layers, neuron) for neuron in place.ids]
    rows = [list(row) for row in zip(names, *columns, strict=True)]
    return _told(database, MASS_COLUMNS, rows, found)


ATTRIBUTION_COLUMNS = (
    "source", "signed", "mass", "total_signed", "total_mass", "fraction",
)  # fmt: skip


@question(
    columns=ATTRIBUTION_COLUMNS,
    example={"network": "tiny", "source": "input", "target": "fc2/0", "through": ("fc1/1",)},
    survives=("permutation", "rescaling"),
    kept=True,
)
def attribution(
    database: Database,
    network: str,
    source: str,
    target: str,
    *,
    through: tuple[str, ...] = (),
    wires: bool = True,
) -> Table:
    """What each source neuron adds to the targets through chosen neurons, over all paths.

    Linear: activations are left out, so this is what the weights alone pass on. Computed by NumPy
    on the links, read in columns layer by layer, as :func:`path_mass`. Rescaling a neuron leaves it
    as it is unless that neuron is an end of the paths.

    Parameters
    ----------
    source
        `LAYER/INDEX` for one neuron, `LAYER/0-9,12` for several, `LAYER` for all of a layer.
    target
        `LAYER/INDEX` for one neuron, `LAYER/0-9,12` for several, `LAYER` for all of a layer.
    through
        Only paths through one of these neurons of a layer between (`LAYER/INDEX`, or `LAYER` for
        all of it); repeat the option for several. Default: all paths.
    wires
        Whether paths run over fixed links (residual sums, pools, gates) too.

    Returns
    -------
    Table
        ``source`` (``layer/index``); over the paths through the chosen neurons ``signed`` (sum of
        the products of w) and ``mass`` (of ``|w|``, >= 0); ``total_signed`` and ``total_mass`` over
        all paths; ``fraction`` = mass / total mass (0..1, None without any path). A number is None
        where it is beyond a float.

    Raises
    ------
    NotFound
        If the network, a layer or a neuron does not exist.
    InvalidArgument
        If source and target are in one layer, a recurrent layer lies between, or the chosen
        neurons are not all in one layer between.

    References
    ----------
    Paths of a trained network as in La Malfa et al., arXiv 2209.05488.

    Example
    -------
    >>> attribution(database, "mnist", "input", "output/7",             # doctest: +SKIP
    ...             through=("fc1/12",)).to_pandas().nlargest(5, "fraction")
    """
    layers = scope.places(database, network)
    start, end = scope.neurons(layers, source), scope.neurons(layers, target)
    chosen = _chosen(layers, through, start, end)
    found = ways(database, network, layers, start, end, wires=wires)
    sums: dict[str, Scaled] = {}
    for name, weigh in (("signed", propagation.signed), ("mass", propagation.magnitudes)):
        back = propagation.backwards(found.layers, found.into, indicator(end), weigh)
        sums[f"total_{name}"] = _part(back, start)
        if chosen is not None:
            layer, members = chosen
            held = propagation.at(back, layer)
            only = {layer.index: Scaled(held.values * members, held.exponent)}
            before = {index: edges for index, edges in found.into.items() if index <= layer.index}
            back = propagation.backwards(found.layers, before, only, weigh)
        sums[name] = _part(back, start)
    fractions = [
        None if whole is None else 0.0 if some is None else float(np.exp(some - whole))
        for some, whole in zip(
            sums["mass"].logarithms(), sums["total_mass"].logarithms(), strict=True
        )
    ]
    names = [scope.address(layers, neuron) for neuron in start.ids]
    told = [sums[name].numbers() for name in ("signed", "mass", "total_signed", "total_mass")]
    rows = [list(row) for row in zip(names, *told, fractions, strict=True)]
    return _told(database, ATTRIBUTION_COLUMNS, rows, found)


def _part(found: Mapping[int, Scaled], place: Neurons) -> Scaled:
    whole = propagation.at(found, place.layer)
    return Scaled(whole.values[place.part], whole.exponent)


def _chosen(
    layers: list[Place], through: tuple[str, ...], start: Neurons, end: Neurons
) -> tuple[Place, Any] | None:
    """The layer of the chosen neurons, and 1 at each of them."""
    if not through:
        return None
    meant = [scope.neurons(layers, address) for address in through]
    layer = meant[0].layer
    between = scope.between(layers, start.layer, end.layer) - {start.layer.index, end.layer.index}
    if any(each.layer != layer for each in meant) or layer.index not in between:
        raise InvalidArgument(
            f"through must name neurons of one layer between {start.layer.name!r} and "
            f"{end.layer.name!r}: a path passes such a layer once."
        )
    members = np.zeros(layer.size)
    for each in meant:
        members[each.part] = 1
    return layer, members


BOTTLENECK_COLUMNS = ("rank", "width", "path", "weights")


@question(
    columns=BOTTLENECK_COLUMNS,
    example={"network": "tiny", "source": "input/0", "target": "fc2"},
    survives=("permutation",),
    kept=True,
)
def bottleneck(
    database: Database, network: str, source: str, target: str, *, wires: bool = True
) -> Table:
    """The widest path to each target neuron: that whose weakest link is strongest.

    Computed by NumPy on the links, read in columns layer by layer: Graph Data Science has least
    sums of costs, but no greatest minima.

    Parameters
    ----------
    source
        `LAYER/INDEX` for one neuron, `LAYER/0-9,12` for several, `LAYER` for any of a layer.
    target
        `LAYER/INDEX` for one neuron, `LAYER/0-9,12` for several, `LAYER` for each of a layer.
    wires
        Whether paths run over fixed links (residual sums, pools, gates) too.

    Returns
    -------
    Table
        ``rank`` (from 1), ``width`` (least ``|w|`` on the path, > 0), ``path`` (list of
        ``layer/index``), ``weights`` (list, signed); widest first, a row for each target that a
        path reaches.

    Raises
    ------
    NotFound
        If the network, a layer or a neuron does not exist.
    InvalidArgument
        If both are in one layer, or a recurrent layer lies between.

    References
    ----------
    Pollack, "The maximum capacity through a network", 1960.

    Example
    -------
    >>> bottleneck(database, "mnist", "input", "output").rows[0][:2]    # doctest: +SKIP
    [1, 0.42]
    """
    layers = scope.places(database, network)
    start, end = scope.neurons(layers, source), scope.neurons(layers, target)
    found = ways(database, network, layers, start, end, wires=wires)
    first = layers[0].first
    size = layers[-1].first + layers[-1].size - first
    width = np.zeros(size)
    width[np.array(start.ids) - first] = np.inf
    before = np.full(size, -1, dtype=np.int64)
    weight = np.zeros(size)
    for blocks in found.into.values():
        for edges in blocks:
            sources, targets = edges.sources - first, edges.targets - first
            reached = np.minimum(width[sources], np.abs(edges.weights))
            # Of each target's links the widest, the first of equals.
            order = np.lexsort((-reached, targets))
            best = order[np.r_[True, np.diff(targets[order]) > 0]] if len(order) else order
            wider = best[reached[best] > width[targets[best]]]
            width[targets[wider]] = reached[wider]
            before[targets[wider]] = sources[wider]
            weight[targets[wider]] = edges.weights[wider]
    reachable = [n - first for n in end.ids if 0 < width[n - first] < np.inf]
    rows: list[list[Any]] = []
    for rank, neuron in enumerate(sorted(reachable, key=lambda n: -width[n]), start=1):
        chain, along = [neuron], []
        while before[chain[-1]] >= 0:
            along.append(float(weight[chain[-1]]))
            chain.append(int(before[chain[-1]]))
        path = [scope.address(layers, first + each) for each in reversed(chain)]
        rows.append([rank, float(width[neuron]), path, along[::-1]])
    return _told(database, BOTTLENECK_COLUMNS, rows, found)


def _told(
    database: Database, columns: tuple[str, ...], rows: list[list[Any]], found: Ways
) -> Table:
    return Table(
        columns,
        rows,
        LINKS_INTO_LAYER.cypher.strip(),
        scope.whole(found.layers),
        took_ms=found.took_ms,
        notes=("Computed by NumPy from the links that the Cypher reads, layer by layer.",),
    ).cut(database.row_cap)
