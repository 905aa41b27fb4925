"""Where a question looks: one network, one run, one layer, one neuron."""

from __future__ import annotations

import bisect
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from store.database import Database
from store.errors import Conflict, InvalidArgument, NotFound
from store.query import Query

# Every question starts from one of these two and goes on with `network` and `layer` bound.
LAYERS_OF_NETWORK = "MATCH (network:Network {name: $network})-[:HAS_LAYER]->(layer:Layer)"
LAYERS_OF_RUN = (
    "MATCH (:Run {name: $run})-[snapshot:SNAPSHOT]->(network:Network {status: 'complete'})"
    "-[:HAS_LAYER]->(layer:Layer)"
)

FIND_RUN = Query(
    "find_run",
    "Whether a run of that name exists.",
    "MATCH (run:Run {name: $run}) RETURN run.name AS run",
    ("run",),
)
LAYERS_IN_BRIEF = Query(
    "layers_in_brief",
    "Names, sizes and feeding layers of one network.",
    LAYERS_OF_NETWORK
    + """
RETURN layer.name AS layer, layer.index AS layer_index, layer.first AS first, layer.size AS size,
       COLLECT { MATCH (source:Layer)-[:FEEDS]->(layer) RETURN source.index } AS fed_by
ORDER BY layer_index
""",
    ("layer", "layer_index", "first", "size", "fed_by"),
)


@dataclass(frozen=True)
class Place:
    """A layer of a network, with the range of its neurons' ids."""

    name: str
    index: int
    first: int
    size: int
    fed_by: tuple[int, ...]

    @property
    def ids(self) -> range:
        """Ids of its neurons."""
        return range(self.first, self.first + self.size)


@dataclass(frozen=True)
class Neurons:
    """Some neurons of a layer, or all of them (`indices` None).

    Parameters
    ----------
    layer
        Whose they are.
    indices
        Which of it: ranges in ascending order, apart from each other.
    """

    layer: Place
    indices: tuple[range, ...] | None = None

    @property
    def part(self) -> list[int]:
        """Their indices in the layer."""
        return list(chain(*self._ranges))

    @property
    def ids(self) -> list[int]:
        """Their ids."""
        return [self.layer.first + index for index in self.part]

    @property
    def bounds(self) -> list[list[int]]:
        """Of each range, as queries take them: its first id, and the one behind its last."""
        first = self.layer.first
        return [[first + each.start, first + each.stop] for each in self._ranges]

    @property
    def _ranges(self) -> tuple[range, ...]:
        return (range(self.layer.size),) if self.indices is None else self.indices


def places(database: Database, network: str) -> list[Place]:
    """The layers of a network, in order.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    """
    rows = database.read(LAYERS_IN_BRIEF, network=network, row_cap=1_000_000).rows
    if not rows:
        raise NotFound(f"There is no network {network!r}.")
    return [
        Place(name, index, first, size, tuple(fed_by)) for name, index, first, size, fed_by in rows
    ]


def unchanged(database: Database, network: str, layers: list[Place]) -> None:
    """Refuses an answer that was read while its network was replaced.

    A network is immutable, but its name may go to another between two reads; neuron ids are never
    used again, so the same layers mean the same network.

    Raises
    ------
    Conflict
        If the layers are no longer those.
    NotFound
        If the network is gone.
    """
    if places(database, network) != layers:
        raise Conflict(f"The network {network!r} was replaced while it was read: ask again.")


def place(layers: list[Place], name: str) -> Place:
    """The layer of that name.

    Raises
    ------
    NotFound
        Names the layers that there are.
    """
    for layer in layers:
        if layer.name == name:
            return layer
    known = ", ".join(layer.name for layer in layers[:12]) + (", ..." if len(layers) > 12 else "")
    raise NotFound(f"There is no layer {name!r} in this network; it has {known}.")


def whole(layers: list[Place]) -> dict[str, int]:
    """Query parameters that mean all neurons of some neighbouring layers.

    Example
    -------
    >>> whole([Place("input", 0, 10, 3, ()), Place("fc1", 1, 13, 2, (0,))])
    {'first': 10, 'size': 5}
    """
    return {"first": layers[0].first, "size": layers[-1].first + layers[-1].size - layers[0].first}


def link_types(wires: bool) -> list[str]:
    """Types of the relationships meant: learned links, and fixed ones where these count too."""
    return ["LINK", "WIRE"] if wires else ["LINK"]


def layer_of(layers: list[Place], neuron: int) -> Place:
    """The layer that holds the neuron of that id.

    Example
    -------
    >>> layer_of([Place("input", 0, 10, 3, ()), Place("fc1", 1, 13, 2, (0,))], 14).name
    'fc1'
    """
    position = bisect.bisect_right(layers, neuron, key=lambda layer: layer.first)
    return layers[position - 1]


def address(layers: list[Place], neuron: int) -> str:
    """``layer/index`` of the neuron of that id."""
    layer = layer_of(layers, neuron)
    return f"{layer.name}/{neuron - layer.first}"


_INDICES = re.compile(r"\d{1,18}(-\d{1,18})?(, ?\d{1,18}(-\d{1,18})?)*", re.ASCII)


def neurons(layers: list[Place], address: str) -> Neurons:
    """What ``fc1/12`` (a neuron), ``fc1/0-9,12`` (several) or ``fc1`` (a layer) means.

    A layer that is itself called ``a/1`` goes before neuron 1 of a layer ``a``.

    Raises
    ------
    NotFound
        If the layer or a neuron does not exist.
    InvalidArgument
        If it is no address.

    Example
    -------
    >>> layer = Place("fc1", 1, 64, 32, (0,))
    >>> neurons([layer], "fc1/12").ids
    [76]
    >>> neurons([layer], "fc1/3,0-1,2").bounds
    [[64, 68]]
    """
    name, slash, indices = address.rpartition("/")
    if any(layer.name == address for layer in layers) or not slash:
        return Neurons(place(layers, address))
    if not _INDICES.fullmatch(indices):
        raise InvalidArgument(
            f"{address!r} names no neuron: write LAYER, LAYER/INDEX or LAYER/FIRST-LAST,INDEX, "
            "such as 'fc1/12' or 'fc1/0-9,12'."
        )
    layer = place(layers, name)
    ranges = []
    for part in indices.split(","):
        first, _, last = part.partition("-")
        ranges.append(range(int(first), int(last or first) + 1))
        if not ranges[-1]:
            raise InvalidArgument(f"{address!r} names no neuron from {first} to {last}.")
        if ranges[-1][-1] >= layer.size:
            raise NotFound(
                f"Layer {name!r} has neurons 0 to {layer.size - 1}; there is no neuron "
                f"{ranges[-1][-1]}."
            )
    return Neurons(layer, tuple(_apart(ranges)))


def _apart(ranges: Iterable[range]) -> Sequence[range]:
    joined: list[range] = []
    for each in sorted(ranges, key=lambda each: each.start):
        if joined and each.start <= joined[-1].stop:
            joined[-1] = range(joined[-1].start, max(joined[-1].stop, each.stop))
        else:
            joined.append(each)
    return joined


def one_neuron(layers: list[Place], address: str) -> int:
    """The id of the neuron that ``fc1/12`` means, where several will not do.

    Raises
    ------
    NotFound
        If the layer or the neuron does not exist.
    InvalidArgument
        If the address names a whole layer, or several neurons.
    """
    meant = neurons(layers, address)
    if meant.indices is None:
        raise InvalidArgument(
            f"{address!r} names no neuron: write LAYER/INDEX, such as '{address}/0'."
        )
    if len(meant.part) > 1:
        raise InvalidArgument(f"{address!r} names {len(meant.part)} neurons: one is wanted.")
    return meant.ids[0]


def between(layers: list[Place], start: Place, end: Place) -> set[int]:
    """Indices of the layers on some way from start to end, both included; empty if none."""
    feeds: dict[int, list[int]] = {layer.index: [] for layer in layers}
    for layer in layers:
        for source in layer.fed_by:
            feeds[source].append(layer.index)
    fed_by = {layer.index: list(layer.fed_by) for layer in layers}
    return reached(feeds, [start.index]) & reached(fed_by, [end.index])


def reached(edges: Mapping[int, Collection[int]], starts: Collection[int]) -> set[int]:
    """Everything that some numbers lead to, themselves included.

    Example
    -------
    >>> sorted(reached({1: [2], 2: [1, 3], 4: [1]}, [1]))
    [1, 2, 3]
    """
    seen, waiting = set(starts), list(starts)
    while waiting:
        for neighbour in edges.get(waiting.pop(), ()):
            if neighbour not in seen:
                seen.add(neighbour)
                waiting.append(neighbour)
    return seen


def span(layers: list[Place], layer: Place) -> slice:
    """Where a layer's neurons are among those of its network, numbered from the first.

    Example
    -------
    >>> layers = [Place("input", 0, 10, 3, ()), Place("fc1", 1, 13, 2, (0,))]
    >>> span(layers, layers[1])
    slice(3, 5, None)
    """
    start = layer.first - layers[0].first
    return slice(start, start + layer.size)


def ends(
    database: Database, network: str, source: str, target: str
) -> tuple[list[Place], Neurons, Neurons]:
    """The layers of a network, and where paths in it begin and end.

    Raises
    ------
    NotFound
        If the network, a layer or a neuron does not exist.
    InvalidArgument
        If both are in one layer.
    """
    layers = places(database, network)
    start, end = neurons(layers, source), neurons(layers, target)
    if start.layer == end.layer:
        raise InvalidArgument(f"A path from {source!r} to {target!r} stays in one layer.")
    return layers, start, end


def require_run(database: Database, run: str) -> None:
    """Raises
    ------
    NotFound
        If there is no run of that name.
    """
    if not database.read(FIND_RUN, run=run).rows:
        raise NotFound(f"There is no run {run!r}.")
