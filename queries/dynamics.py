"""Training dynamics: one statistic across the snapshots of a run (CNT: arXiv 2110.02628)."""

from __future__ import annotations

from queries import scope
from queries.links import WEIGHTS_OF_LAYER
from queries.options import Convention, one_of
from queries.question import question
from queries.strength import STRENGTH_OF_NEURONS, convention_parameters
from store.database import Database
from store.errors import NotFound
from store.query import Query, Table

_COLUMNS = ("step", "network", "layer", "layer_index", "value")
_RETURN = """
RETURN snapshot.step AS step, network.name AS network, layer.name AS layer,
       layer.index AS layer_index, value
ORDER BY step, network, layer_index
"""
_OF_LAYER = " WHERE $layer IS NULL OR layer.name = $layer"


def _over_run(name: str, doc: str, body: str, aggregate: str) -> Query:
    return Query(
        f"dynamics_{name}",
        f"{doc} of each layer across the snapshots of a run.",
        f"{scope.LAYERS_OF_RUN}{_OF_LAYER}{body}"
        f"WITH snapshot, network, layer, {aggregate} AS value{_RETURN}",
        _COLUMNS,
    )


LINK_STATISTICS = {
    name: _over_run(name, doc, WEIGHTS_OF_LAYER, aggregate)
    for name, doc, aggregate in (
        ("link_mean", "Mean link weight", "avg(weight)"),
        ("link_std", "Population standard deviation of the link weights", "stDevP(weight)"),
        ("link_min", "Least link weight", "min(weight)"),
        ("link_max", "Greatest link weight", "max(weight)"),
    )
}
STRENGTH_STATISTICS = {
    name: _over_run(name, doc, STRENGTH_OF_NEURONS, aggregate)
    for name, doc, aggregate in (
        ("strength_mean", "Mean total strength", "avg(received + sent)"),
        ("fluctuation", "Layers fluctuation", "stDevP(received + sent)"),
        ("in_mean", "Mean incoming strength", "avg(received)"),
        ("out_mean", "Mean outgoing strength", "avg(sent)"),
    )
}
STATISTICS = (*LINK_STATISTICS, *STRENGTH_STATISTICS)

METRIC = Query(
    "dynamics_metric",
    "A recorded metric, such as accuracy, across the snapshots of a run.",
    """
MATCH (:Run {name: $run})-[snapshot:SNAPSHOT]->(network:Network {status: 'complete'})
WITH snapshot, network, network['metric_' + $metric] AS value WHERE value IS NOT NULL
RETURN snapshot.step AS step, network.name AS network, null AS layer, null AS layer_index, value
ORDER BY step, network
""",
    _COLUMNS,
)


@question(
    columns=_COLUMNS,
    example={"run": "tiny-run", "statistic": "fluctuation", "convention": "cnt"},
    survives=None,
)
def dynamics(
    database: Database,
    run: str,
    statistic: str = "fluctuation",
    *,
    layer: str | None = None,
    convention: Convention = "plain",
    bias: bool = False,
) -> Table:
    """One layer statistic, or one recorded metric, across the snapshots of a run.

    Parameters
    ----------
    statistic
        ``link_mean``, ``link_std`` (population), ``link_min``, ``link_max`` of the link weights;
        ``strength_mean``, ``fluctuation``, ``in_mean``, ``out_mean`` of the neurons' strength;
        or ``metric:NAME`` for a metric that was recorded at ingest.
    layer
        Only this layer.
    convention
        ``plain``: sums of weights. ``cnt``: a virtual link of weight 1 into each input and out of
        each output neuron, and the bias counted as incoming.
    bias
        Counts biases too, among link weights and in strengths.

    Returns
    -------
    Table
        ``step``, ``network``, ``layer``, ``layer_index``, ``value`` (signed, unit of the
        weights); layer columns are None for a metric. By step, then layer.

    Raises
    ------
    NotFound
        If the run, the layer or the metric does not exist.
    InvalidArgument
        If the statistic or the convention is not known.

    References
    ----------
    La Malfa et al., arXiv 2110.02628, section 4.

    Example
    -------
    >>> dynamics(database, "digits", "link_std").to_pandas().pivot(     # doctest: +SKIP
    ...     index="step", columns="layer", values="value")
    """
    chosen = convention_parameters(convention, bias)
    kind, colon, metric = statistic.partition(":")
    if not (colon and kind == "metric"):
        one_of("statistic", statistic, (*STATISTICS, "metric:NAME"))
    scope.require_run(database, run)
    if colon:
        table = database.read(METRIC, run=run, metric=metric)
        if not table.rows:
            raise NotFound(f"No snapshot of run {run!r} has a metric {metric!r}.")
        return table
    if statistic in LINK_STATISTICS:
        query, options = LINK_STATISTICS[statistic], {"bias": bias}
    else:
        query, options = STRENGTH_STATISTICS[statistic], chosen
    table = database.read(query, run=run, layer=layer, **options)
    if layer is not None and not table.rows:
        raise NotFound(f"No snapshot of run {run!r} has a layer {layer!r} to measure.")
    return table
