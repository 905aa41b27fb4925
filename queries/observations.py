"""What neurons did on data: the results that :mod:`queries.observing` keeps."""

from __future__ import annotations

from queries import scope
from queries.question import question
from store.database import Database
from store.errors import InvalidArgument, NotFound
from store.query import Query, Table

OBSERVATIONS = Query(
    "observations",
    "The observations of a network.",
    """
MATCH (:Network {name: $network})-[:HAS_OBSERVATION]->(observation:Observation)
WHERE observation.name IS NOT NULL
RETURN observation.name AS observation, observation.samples AS samples,
       observation.labels AS labels, toString(observation.created) AS created
ORDER BY observation
""",
    ("observation", "samples", "labels", "created"),
)


@question(columns=OBSERVATIONS.columns, example={"network": "observed"}, survives=None)
def observations(database: Database, network: str) -> Table:
    """The samples that a network was observed on.

    Returns
    -------
    Table
        ``observation`` (its name), ``samples`` (count), ``labels`` (list; empty without),
        ``created`` (ISO 8601); by name.

    Raises
    ------
    NotFound
        If there is no complete network of that name.

    Example
    -------
    >>> observations(database, "mnist").column("observation")           # doctest: +SKIP
    ['test', 'train']
    """
    scope.places(database, network)
    return database.read(OBSERVATIONS, network=network)


# From `network`, `layer` to `neuron` and `key`, with `position` of the label or null.
_OBSERVED = (
    scope.LAYERS_OF_NETWORK
    + """
MATCH (network)-[:HAS_OBSERVATION]->(observation:Observation {name: $observation})
WITH layer, observation.key AS key, CASE WHEN $label IS NOT NULL THEN head(
    [position IN range(0, size(observation.labels) - 1)
        WHERE toString(observation.labels[position]) = $label]) END AS position
MATCH (layer)-[:HAS_NEURON]->(neuron:Neuron)
WITH layer, neuron, key,
     CASE WHEN position IS NULL THEN neuron['strength_on_' + key]
          ELSE neuron['strength_by_label_on_' + key][position] END AS strength,
     CASE WHEN position IS NULL THEN neuron['activation_on_' + key]
          ELSE neuron['activation_by_label_on_' + key][position] END AS activation
"""
)

NEURONS_ON_DATA = Query(
    "neurons_on_data",
    "Strength and activation of every neuron on an observed sample.",
    _OBSERVED
    + """
RETURN layer.name AS layer, layer.index AS layer_index, neuron.index AS neuron, strength,
       CASE WHEN $label IS NULL THEN neuron['strength_std_on_' + key] END AS strength_std,
       activation,
       CASE WHEN $label IS NULL THEN neuron['activation_std_on_' + key] END AS activation_std,
       CASE WHEN $label IS NULL THEN neuron['active_on_' + key] END AS active
ORDER BY layer_index, neuron
""",
    (
        "layer", "layer_index", "neuron", "strength", "strength_std", "activation",
        "activation_std", "active",
    ),
)  # fmt: skip


@question(
    columns=NEURONS_ON_DATA.columns,
    example={"network": "observed", "observation": "ones"},
    survives=None,
)
def neurons_on_data(
    database: Database, network: str, observation: str, *, label: str | None = None
) -> Table:
    """Neurons strength and neurons activation on an observed sample.

    Parameters
    ----------
    observation
        Its name; `observations` lists them.
    label
        Only samples of this class; deviations and `active` are of the whole sample, and so empty.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``strength`` (NS: mean of what it receives, with its
        bias; signed), ``strength_std`` (population), ``activation`` (NA: mean of what its
        activation makes of that; None for gates), ``activation_std``, ``active`` (fraction of
        values above 0, 0..1: a ReLU with 0 is dead on the sample).

    Raises
    ------
    NotFound
        If the network, the observation or the label does not exist.

    References
    ----------
    La Malfa et al., arXiv 2404.11172: neurons strength and neurons activation.

    Example
    -------
    >>> neurons_on_data(database, "mnist", "test", label="7").rows[0]   # doctest: +SKIP
    ['input', 0, 0, 0.0, None, 0.0, None, None]
    """
    _require(database, network, observation, label)
    return database.read(NEURONS_ON_DATA, network=network, observation=observation, label=label)


LAYERS_ON_DATA = Query(
    "layers_on_data",
    "Statistics of the neurons of each layer on an observed sample.",
    _OBSERVED
    + """
WITH layer, count(strength) AS neurons, avg(strength) AS strength_mean,
     stDevP(strength) AS strength_fluctuation, min(strength) AS strength_min,
     max(strength) AS strength_max, avg(activation) AS activation_mean,
     stDevP(activation) AS activation_fluctuation, count(activation) AS active_neurons,
     avg(CASE WHEN neuron['active_on_' + key] = 0.0 THEN 1.0 ELSE 0.0 END) AS inactive
RETURN layer.name AS layer, layer.index AS layer_index, neurons, strength_mean,
       strength_fluctuation, strength_min, strength_max, activation_mean,
       CASE WHEN active_neurons > 0 THEN activation_fluctuation END AS activation_fluctuation,
       CASE WHEN $label IS NULL AND active_neurons > 0 THEN inactive END AS inactive
ORDER BY layer_index
""",
    (
        "layer", "layer_index", "neurons", "strength_mean", "strength_fluctuation",
        "strength_min", "strength_max", "activation_mean", "activation_fluctuation", "inactive",
    ),
)  # fmt: skip


@question(
    columns=LAYERS_ON_DATA.columns,
    example={"network": "observed", "observation": "ones", "label": "1"},
    survives=None,
)
def layers_on_data(
    database: Database, network: str, observation: str, *, label: str | None = None
) -> Table:
    """Statistics of neurons strength and activation in each layer, on an observed sample.

    Parameters
    ----------
    observation
        Its name; `observations` lists them.
    label
        Only samples of this class.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neurons`` (those with a value), ``strength_mean``,
        ``strength_fluctuation`` (population std over the neurons), ``strength_min``,
        ``strength_max``, ``activation_mean``, ``activation_fluctuation`` (None for gates),
        ``inactive`` (fraction of neurons that are never above 0; None for one class).

    Raises
    ------
    NotFound
        If the network, the observation or the label does not exist.

    References
    ----------
    La Malfa et al., arXiv 2404.11172.

    Example
    -------
    >>> layers_on_data(database, "mnist", "test").column("inactive")    # doctest: +SKIP
    [0.25, 0.03, 0.0]
    """
    _require(database, network, observation, label)
    return database.read(LAYERS_ON_DATA, network=network, observation=observation, label=label)


SELECTIVITY = Query(
    "selectivity",
    "The class that each neuron is most active on.",
    scope.LAYERS_OF_NETWORK
    + """
MATCH (network)-[:HAS_OBSERVATION]->(observation:Observation {name: $observation})
WITH layer, observation.labels AS labels, 'activation_by_label_on_' + observation.key AS key
MATCH (layer)-[:HAS_NEURON]->(neuron:Neuron) WHERE neuron[key] IS NOT NULL
WITH layer, neuron, labels, neuron[key] AS means
WITH layer, neuron, labels, means,
     reduce(best = 0, position IN range(1, size(means) - 1) |
         CASE WHEN means[position] > means[best] THEN position ELSE best END) AS best
WITH layer, neuron, labels, means, best,
     reduce(sum = 0.0, position IN range(0, size(means) - 1) |
         CASE WHEN position = best THEN sum ELSE sum + means[position] END)
     / (size(means) - 1) AS others
RETURN layer.name AS layer, layer.index AS layer_index, neuron.index AS neuron,
       toString(labels[best]) AS label, means[best] AS activation, others,
       CASE WHEN abs(means[best]) + abs(others) > 0.0
           THEN (means[best] - others) / (abs(means[best]) + abs(others)) END AS selectivity
ORDER BY layer_index, neuron
""",
    ("layer", "layer_index", "neuron", "label", "activation", "others", "selectivity"),
)


@question(
    columns=SELECTIVITY.columns,
    example={"network": "observed", "observation": "ones"},
    survives=None,
)
def selectivity(database: Database, network: str, observation: str) -> Table:
    """The class that each neuron is most active on, and by how much.

    Parameters
    ----------
    observation
        Its name, with labels of at least two classes; `observations` lists them.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``label`` (of the greatest mean activation),
        ``activation`` (that mean), ``others`` (mean over the other classes), ``selectivity``
        ((activation - others) / (their magnitudes), 0..1; None where both are 0).

    Raises
    ------
    NotFound
        If the network or the observation does not exist.
    InvalidArgument
        If it has not labels of two classes.

    References
    ----------
    Morcos et al., "On the importance of single directions for generalization", arXiv 1803.06959.

    Example
    -------
    >>> selectivity(database, "mnist", "test").rows[-1]                 # doctest: +SKIP
    ['fc3', 3, 9, '9', 8.1, -0.4, 1.0]
    """
    labels = _require(database, network, observation, None)
    if len(labels) < 2:
        raise InvalidArgument(
            f"The observation {observation!r} has not labels of two classes or more."
        )
    return database.read(SELECTIVITY, network=network, observation=observation)


def _require(database: Database, network: str, observation: str, label: str | None) -> list[object]:
    """The labels of an observation that exists."""
    for name, _, labels, _ in observations(database.limited(row_cap=100_000), network).rows:
        if name == observation:
            if label is not None and label not in map(str, labels):
                raise NotFound(f"The observation {observation!r} has no label {label!r}.")
            return list(labels)
    raise NotFound(
        f"{network!r} has no observation {observation!r}: `weightome observe` makes one."
    )
