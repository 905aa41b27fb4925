"""What is in the store: runs, networks, layers, neurons."""

from __future__ import annotations

from dataclasses import replace

from queries import pages, scope
from queries.options import positive
from queries.question import question
from store.database import Database
from store.errors import Conflict, NotFound
from store.query import Query, Table

# What was stored is ordered by code points, all else, parameters too, by UTF-16: a name to which
# nothing is added is ordered as the name that it is compared with.
RUNS = Query(
    "runs",
    "Every run with its number of snapshots and its first and last step.",
    """
MATCH (run:Run)-[snapshot:SNAPSHOT]->(network:Network {status: 'complete'})
WITH run.name + '' AS name, network, snapshot WHERE $after IS NULL OR name > $after
RETURN name AS run, count(network) AS snapshots,
       min(snapshot.step) AS first_step, max(snapshot.step) AS last_step
ORDER BY run
""",
    ("run", "snapshots", "first_step", "last_step"),
)


@question(columns=RUNS.columns, example={}, survives=None)
def runs(database: Database, *, after: str | None = None) -> Table:
    """Every run, with its number of snapshots and its first and last step.

    Returns
    -------
    Table
        ``run``, ``snapshots`` (count), ``first_step``, ``last_step``; by name.

    Raises
    ------
    InvalidArgument
        If `after` is not what an answer said.

    Example
    -------
    >>> runs(database).columns                                          # doctest: +SKIP
    ('run', 'snapshots', 'first_step', 'last_step')
    """
    (name,) = (None,) if after is None else pages.key(after, str)
    return pages.keyed(database.read(RUNS, after=name), "run")


# Of `network`: pairs of a metric's name and its value, see :func:`with_metrics`.
METRICS = """[key IN keys(network) WHERE key STARTS WITH 'metric_' |
           [substring(key, 7), network[key]]] AS metrics"""

NETWORKS = Query(
    "networks",
    "Every complete network with its counts, run, step and metrics.",
    f"""
MATCH (network:Network {{status: 'complete'}})
OPTIONAL MATCH (run:Run)-[snapshot:SNAPSHOT]->(network)
WITH network, network.name + '' AS name, run.name + '' AS of_run, snapshot
WHERE ($run IS NULL OR of_run = $run) AND ($after IS NULL OR of_run > $after.run
    OR of_run = $after.run AND snapshot.step > $after.step
    OR of_run = $after.run AND snapshot.step = $after.step AND name > $after.network
    // Those of no run come last.
    OR of_run IS NULL AND ($after.run IS NOT NULL OR name > $after.network))
RETURN name AS network, of_run AS run, snapshot.step AS step, network.view AS view,
       network.source AS source, network.layers AS layers, network.neurons AS neurons,
       network.links AS links, network.wires AS wires, network.parameters AS parameters,
       {METRICS},
       network.created AS created
ORDER BY run, step, network
""",
    (
        "network", "run", "step", "view", "source", "layers", "neurons", "links", "wires",
        "parameters", "metrics", "created",
    ),
)  # fmt: skip


@question(columns=NETWORKS.columns, example={"run": "tiny-run"}, survives=None)
def networks(database: Database, run: str | None = None, *, after: str | None = None) -> Table:
    """Every complete network with its counts and metrics, or those of one run.

    Parameters
    ----------
    run
        Only the snapshots of this run.

    Returns
    -------
    Table
        ``network``, ``run``, ``step``, ``view``, ``source`` (file format), ``layers``,
        ``neurons``, ``links`` (learned), ``wires`` (fixed links), ``parameters`` (counts),
        ``metrics`` (a dictionary), ``created`` (ISO 8601, UTC); by run, step and name.

    Raises
    ------
    NotFound
        If there is no run of that name.
    InvalidArgument
        If `after` is not what an answer said.

    Example
    -------
    >>> networks(database, "digits").column("step")                     # doctest: +SKIP
    [0, 1, 2]
    """
    if run is not None:
        scope.require_run(database, run)
    key = None
    if after is not None:
        nothing = type(None)
        parts = pages.key(after, (str, nothing), (int, nothing), str)
        key = dict(zip(_KEY, parts, strict=True))
    table = with_metrics(database.read(NETWORKS, run=run, after=key))
    return pages.keyed(table, *_KEY)


_KEY = ("run", "step", "network")


def with_metrics(table: Table) -> Table:
    """The same networks, each with its metrics as a dictionary."""
    metrics = table.columns.index("metrics")
    for row in table.rows:
        row[metrics] = dict(sorted(row[metrics]))
    return table


LAYERS = Query(
    "layers",
    "Every layer of a network.",
    scope.LAYERS_OF_NETWORK
    + """
WHERE layer.index > $after
RETURN layer.name AS layer, layer.index AS layer_index, layer.kind AS kind,
       layer.activation AS activation, layer.size AS size, layer.shape AS shape,
       layer.biased AS biased, layer.links AS links_in, layer.wires AS wires_in,
       COLLECT {
           MATCH (source:Layer)-[:FEEDS]->(layer)
           RETURN source.name ORDER BY source.index
       } AS fed_by
ORDER BY layer_index
""",
    (
        "layer",
        "layer_index",
        "kind",
        "activation",
        "size",
        "shape",
        "biased",
        "links_in",
        "wires_in",
        "fed_by",
    ),
)


@question(columns=LAYERS.columns, example={"network": "tiny"}, survives=None)
def layers(database: Database, network: str, *, after: str | None = None) -> Table:
    """Every layer of a network, in order.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``kind``, ``activation``, ``size`` (neurons), ``shape``,
        ``biased``, ``links_in`` (learned links that end in it), ``wires_in`` (fixed links: residual
        sums, pools, gates), ``fed_by`` (layer names; a recurrent layer is fed by itself or a later
        one).

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If `after` is not what an answer said.
    Conflict
        If the network was replaced since then.

    Example
    -------
    >>> layers(database, "tiny").column("size")                         # doctest: +SKIP
    [2, 3, 2]
    """
    found = scope.places(database, network)
    index = -1
    if after is not None:
        index, first = pages.key(after, int, int)
        # No neuron's id is used twice, so another network's layer begins with another one.
        if not any((place.index, place.first) == (index, first) for place in found):
            raise _replaced(network)
    table = database.read(LAYERS, network=network, after=index)
    if after is not None or table.truncated:
        scope.unchanged(database, network, found)
    if not (table.truncated and table.rows):
        return table
    last = found[table.column("layer_index")[-1]]
    return replace(table, after=pages.mark([last.index, last.first]))


def _replaced(network: str) -> Conflict:
    return Conflict(
        f"The network {network!r} was replaced between two pages: begin again, without after."
    )


NEURONS = Query(
    "neurons",
    "Every neuron of a layer with its bias and its numbers of learned links.",
    """
MATCH (neuron:Neuron) WHERE $first <= neuron.id <= $last
RETURN neuron.index AS neuron, toString(neuron.id) AS id, neuron.bias AS bias,
       neuron.role AS role, neuron.head AS head,
       [place IN [neuron.step, neuron.channel, neuron.depth, neuron.row, neuron.col]
           WHERE place IS NOT NULL] AS place,
       COUNT { (neuron)<-[:LINK]-() } AS in_degree, COUNT { (neuron)-[:LINK]->() } AS out_degree
ORDER BY neuron
""",
    ("neuron", "id", "bias", "role", "head", "place", "in_degree", "out_degree"),
)


@question(columns=NEURONS.columns, example={"network": "tiny", "layer": "fc1"}, survives=None)
def neurons(database: Database, network: str, layer: str, *, after: str | None = None) -> Table:
    """Every neuron of a layer, with its bias and its numbers of links.

    Parameters
    ----------
    layer
        Name of a layer; `layers` lists them.

    Returns
    -------
    Table
        ``neuron`` (index), ``id`` (text: it may pass 2**53), ``bias`` (signed, or None), ``role``
        (``q``, ``k``, ``v``, ``o``, or a gate's letter), ``head`` (of attention), ``place`` (in an
        unrolled view: step, channel, depth, row, column, as far as it has them), ``in_degree``,
        ``out_degree`` (learned links).

    Raises
    ------
    NotFound
        If the network or the layer does not exist.
    InvalidArgument
        If `after` is not what an answer said.
    Conflict
        If the network was replaced since then.

    Example
    -------
    >>> neurons(database, "tiny", "fc1").column("bias")                 # doctest: +SKIP
    [0.1, 0.2, 0.3]
    """
    found = scope.places(database, network)
    ids = scope.place(found, layer).ids
    first = ids.start
    if after is not None:
        (last,) = pages.key(after, int)
        # No id is used twice: this one is of the network that it was when the page before was read.
        if last not in ids:
            raise _replaced(network)
        first = last + 1
    table = database.read(NEURONS, first=first, last=ids.stop - 1)
    scope.unchanged(database, network, found)
    if not (table.truncated and table.rows):
        return table
    return replace(table, after=pages.mark([int(table.column("id")[-1])]))


NEURON = Query(
    "neuron",
    "The strongest learned links into and out of one neuron.",
    """
MATCH (neuron:Neuron {id: $id})
CALL (neuron) {
    MATCH (neuron)<-[link:LINK]-(other)
    RETURN 'in' AS direction, other, link ORDER BY abs(link.weight) DESC, other.id LIMIT $k
    UNION ALL
    MATCH (neuron)-[link:LINK]->(other)
    RETURN 'out' AS direction, other, link ORDER BY abs(link.weight) DESC, other.id LIMIT $k
}
MATCH (layer:Layer)-[:HAS_NEURON]->(other)
RETURN direction, layer.name AS layer, other.index AS neuron, link.weight AS weight
ORDER BY direction, abs(weight) DESC, other.id
""",
    ("direction", "layer", "neuron", "weight"),
)


@question(
    columns=NEURON.columns,
    example={"network": "tiny", "layer": "fc1", "index": 2, "k": 2},
    survives=None,
)
def neuron(database: Database, network: str, layer: str, index: int, *, k: int = 10) -> Table:
    """One neuron's strongest links, in and out.

    Parameters
    ----------
    layer
        Name of a layer; `layers` lists them.
    index
        Position of the neuron in its layer, from 0.
    k
        How many links per direction, by ``|weight|``.

    Returns
    -------
    Table
        ``direction`` (``in`` or ``out``), ``layer`` and ``neuron`` at the other end, ``weight``
        (signed); strongest first.

    Raises
    ------
    NotFound
        If the network, the layer or the neuron does not exist.
    InvalidArgument
        If `k` is not from 1 to 100,000.

    Example
    -------
    >>> neuron(database, "tiny", "fc1", 2, k=1).rows                    # doctest: +SKIP
    [['in', 'input', 1, -6.0], ['out', 'fc2', 1, -6.0]]
    """
    positive("k", k)
    found = scope.places(database, network)
    where = scope.place(found, layer)
    if not 0 <= index < where.size:
        raise NotFound(
            f"Layer {layer!r} has neurons 0 to {where.size - 1}; there is no neuron {index}."
        )
    table = database.read(NEURON, id=where.first + index, k=k)
    scope.unchanged(database, network, found)
    return table
