"""What is in the store: runs, networks, layers, neurons."""

from __future__ import annotations

from queries import scope
from queries.options import positive
from store.database import Database
from store.query import Query, Table

RUNS = Query(
    "runs",
    "Every run with its number of snapshots and its first and last step.",
    """
MATCH (run:Run)-[snapshot:SNAPSHOT]->(network:Network {status: 'complete'})
RETURN run.name AS run, count(network) AS snapshots,
       min(snapshot.step) AS first_step, max(snapshot.step) AS last_step
ORDER BY run
""",
    ("run", "snapshots", "first_step", "last_step"),
)


def runs(database: Database) -> Table:
    """Every run.

    Returns
    -------
    Table
        ``run``, ``snapshots`` (count), ``first_step``, ``last_step``; by name.

    Example
    -------
    >>> runs(database).columns                                          # doctest: +SKIP
    ('run', 'snapshots', 'first_step', 'last_step')
    """
    return database.read(RUNS)


# Of `network`: pairs of a metric's name and its value, see :func:`with_metrics`.
METRICS = """[key IN keys(network) WHERE key STARTS WITH 'metric_' |
           [substring(key, 7), network[key]]] AS metrics"""

NETWORKS = Query(
    "networks",
    "Every complete network with its counts, run, step and metrics.",
    f"""
MATCH (network:Network {{status: 'complete'}})
OPTIONAL MATCH (run:Run)-[snapshot:SNAPSHOT]->(network)
WITH network, run, snapshot WHERE $run IS NULL OR run.name = $run
RETURN network.name AS network, run.name AS run, snapshot.step AS step, network.view AS view,
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


def networks(database: Database, run: str | None = None) -> Table:
    """Every complete network, or those of one run.

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
    """
    if run is not None:
        scope.require_run(database, run)
    return with_metrics(database.read(NETWORKS, run=run))


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


def layers(database: Database, network: str) -> Table:
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
    """
    scope.places(database, network)
    return database.read(LAYERS, network=network)


NEURONS = Query(
    "neurons",
    "Every neuron of a layer with its bias and its numbers of learned links.",
    """
MATCH (neuron:Neuron) WHERE $first <= neuron.id < $first + $size
RETURN neuron.index AS neuron, toString(neuron.id) AS id, neuron.bias AS bias,
       neuron.role AS role, neuron.head AS head,
       [place IN [neuron.step, neuron.channel, neuron.depth, neuron.row, neuron.col]
           WHERE place IS NOT NULL] AS place,
       COUNT { (neuron)<-[:LINK]-() } AS in_degree, COUNT { (neuron)-[:LINK]->() } AS out_degree
ORDER BY neuron
""",
    ("neuron", "id", "bias", "role", "head", "place", "in_degree", "out_degree"),
)


def neurons(database: Database, network: str, layer: str) -> Table:
    """Every neuron of a layer.

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
    """
    found = scope.places(database, network)
    where = scope.place(found, layer)
    table = database.read(NEURONS, first=where.first, size=where.size)
    scope.unchanged(database, network, found)
    return table


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


def neuron(database: Database, network: str, layer: str, index: int, *, k: int = 10) -> Table:
    """One neuron's strongest links.

    Parameters
    ----------
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
    """
    positive("k", k)
    found = scope.places(database, network)
    where = scope.neurons(found, f"{layer}/{index}")
    table = database.read(NEURON, id=where.ids.start, k=k)
    scope.unchanged(database, network, found)
    return table
