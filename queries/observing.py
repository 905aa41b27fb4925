"""Neurons on data: runs a sample through a network as stored, and keeps what its neurons did.

::

    (:Network)-[:HAS_OBSERVATION]->(:Observation {name, key, samples, labels, created})

An observation's results are properties of the network's neurons, which carry its `key`:
``strength_on_KEY``, ``strength_std_on_KEY``, ``activation_on_KEY``, ``activation_std_on_KEY``,
``active_on_KEY``, and lists of the first and the third with a value for each label,
``strength_by_label_on_KEY`` and ``activation_by_label_on_KEY``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.forward import Forward, Inputs
from queries.options import positive
from queries.scope import Place
from queries.stored import StoredLayer
from queries.tally import Tally, finite, lists
from store.database import Database
from store.errors import Conflict, InvalidArgument, NotFound
from store.query import Query, Table
from store.schema import valid_name

Array = NDArray[np.float64]
Label = int | str
Batch = tuple[Inputs, NDArray[Any] | None]

NEURONS_PER_TRANSACTION: Final = 10_000

FIND_OBSERVATION = Query(
    "find_observation",
    "An observation of a network.",
    """
MATCH (:Network {name: $network})-[:HAS_OBSERVATION]->(observation:Observation {name: $name})
RETURN observation.key AS key
""",
    ("key",),
)

BEGIN_OBSERVATION = Query(
    "begin_observation",
    "Makes an observation that has no name yet, so that nobody finds it before it is complete.",
    """
MATCH (network:Network {name: $network})
SET network.next_observation = coalesce(network.next_observation, 0) + 1
CREATE (network)-[:HAS_OBSERVATION]->(observation:Observation {
    key: toString(network.id) + '_' + toString(network.next_observation), wanted_name: $name,
    samples: $samples, labels: $labels
})
RETURN observation.key AS key
""",
    ("key",),
)

OBSERVE_NEURONS = Query(
    "observe_neurons",
    "Gives neurons what an observation found of them; null takes a property away.",
    """
UNWIND $rows AS row
MATCH (neuron:Neuron {id: row.id})
SET neuron += row.found
""",
)

COMPLETE_OBSERVATION = Query(
    "complete_observation",
    "Gives an observation its name.",
    """
MATCH (:Network {name: $network})-[:HAS_OBSERVATION]->(observation:Observation {key: $key})
WHERE NOT EXISTS {
    (:Network {name: $network})-[:HAS_OBSERVATION]->(:Observation {name: $name})
}
SET observation.name = $name, observation.created = datetime()
REMOVE observation.wanted_name
RETURN observation.key AS key
""",
    ("key",),
)

UNFINISHED_OBSERVATIONS = Query(
    "unfinished_observations",
    "What observers of a network left that did not complete their work under a name.",
    """
MATCH (:Network {name: $network})-[:HAS_OBSERVATION]->(observation:Observation)
WHERE observation.name IS NULL AND observation.wanted_name = $name
RETURN observation.key AS key
""",
    ("key",),
)

HIDE_OBSERVATION = Query(
    "hide_observation",
    "Takes an observation's name away.",
    """
MATCH (:Network {name: $network})-[:HAS_OBSERVATION]->(observation:Observation {key: $key})
SET observation.wanted_name = coalesce(observation.name, observation.wanted_name)
REMOVE observation.name
""",
)

REMOVE_OBSERVATION = Query(
    "remove_observation",
    "Removes an observation whose results are gone.",
    """
MATCH (:Network {name: $network})-[:HAS_OBSERVATION]->(observation:Observation {key: $key})
DETACH DELETE observation
""",
)

PROPERTIES: Final = (
    "strength",
    "strength_std",
    "activation",
    "activation_std",
    "active",
    "strength_by_label",
    "activation_by_label",
)


class _Layer:
    """What the neurons of one layer did so far: before (0) and behind (1) their activation."""

    def __init__(self, layer: StoredLayer) -> None:
        self._neurons, self._size = layer.neurons(), layer.place.size
        self._places = self._neurons.size
        self.whole = (self._tally(), self._tally())
        self.by_label: dict[Label, tuple[Tally, Tally]] = {}

    def _tally(self) -> Tally:
        return Tally(self._neurons, self._size)

    def add(self, total: Array, active: Array | None, labels: NDArray[Any] | None) -> None:
        """Takes in a batch."""
        classes = () if labels is None else np.unique(labels).tolist()
        for side, values in enumerate((total, active)):
            if values is None:
                continue
            even = values.reshape(len(values), -1)
            self.whole[side].add(even)
            for label in classes:
                of_label = self.by_label.setdefault(label, (self._tally(), self._tally()))
                of_label[side].add(even[labels == label])

    def found(self, key: str, labels: Sequence[Label]) -> list[dict[str, Any]]:
        """Properties of each neuron."""
        strength, activation = self.whole
        columns: dict[str, list[Any]] = {
            "strength": finite(strength.mean),
            "strength_std": finite(strength.std),
        }
        if activation.count:
            columns["activation"] = finite(activation.mean)
            columns["activation_std"] = finite(activation.std)
            columns["active"] = finite(activation.positive)
        for position, name in enumerate(("strength", "activation")):
            tallies = [self.by_label[label][position] for label in labels if label in self.by_label]
            if tallies and all(tally.count for tally in tallies):
                columns[f"{name}_by_label"] = lists([tally.mean for tally in tallies])
        names = [f"{name}_on_{key}" for name in columns]
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(names, row, strict=True)) for row in rows]


def observe(
    database: Database,
    network: str,
    inputs: Inputs | Iterable[Any],
    *,
    name: str,
    labels: Sequence[Label] | NDArray[Any] | None = None,
    batch: int = 256,
    activation: str | None = None,
    replace: bool = False,
    progress: Callable[[int], None] = lambda samples: None,
) -> Table:
    """Runs a sample through a network as stored, and keeps what each neuron did.

    Neurons strength NS_k is the mean over the sample of sum_i w_ik h_i(x) + b_k, neurons activation
    NA_k that of phi of it. In a shared view a neuron stands at many positions, and the mean is over
    them too; in a recurrent layer over the time steps.

    Parameters
    ----------
    inputs
        An array, one sample in each row, also memory-mapped; for a network of several inputs one
        for each input layer's name; or any iterable of batches, such as a torch ``DataLoader``:
        each an array or tensor, or a pair of one and its labels.
    name
        Of the observation.
    labels
        The class of each sample: a number or a text. A result is kept for each class too.
    batch
        So many samples are computed at once, where an array is given.
    activation
        Stands for hidden layers' ``unknown`` activation.
    replace
        Whether an observation of that name may be replaced.
    progress
        Is called with the number of samples so far.

    Returns
    -------
    Table
        One row: ``observation``, ``samples``, ``labels`` (list), ``neurons``.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If the inputs or the labels do not fit, or a layer cannot be computed.
    Conflict
        If there is an observation of that name, or the network was replaced meanwhile.

    References
    ----------
    La Malfa et al., "Deep Neural Networks via Complex Network Theory: a Perspective",
    arXiv 2404.11172.

    Example
    -------
    >>> observe(database, "mnist", images, name="test", labels=digits)  # doctest: +SKIP
    """
    valid_name(name, "observation")
    positive("batch", batch)
    model = Forward(database, network, activation=activation, again=True)
    places = [layer.place for layer in model.stored.layers]
    taken = database.read(FIND_OBSERVATION, network=network, name=name).rows
    if taken and not replace:
        raise Conflict(
            f"{network!r} has an observation {name!r} already: choose another name, or replace it."
        )
    layers = {layer.place.index: _Layer(layer) for layer in model.stored.layers}
    known: set[Label] = set()
    samples = 0
    for values, classes in _batches(inputs, labels, batch):

        def visit(
            layer: StoredLayer,
            total: Array,
            active: Array | None,
            classes: NDArray[Any] | None = classes,
        ) -> None:
            layers[layer.place.index].add(total, active, classes)

        if classes is not None:
            count = len(next(iter(values.values())) if isinstance(values, Mapping) else values)
            if len(classes) != count:
                raise InvalidArgument(f"There are {len(classes)} labels for {count} samples.")
            known.update(classes.tolist())
        outputs = model.outputs(values, visit)
        samples += len(outputs[0])
        progress(samples)
    if not samples:
        raise InvalidArgument("There is no sample among the inputs.")
    ordered = sorted(known, key=lambda label: (isinstance(label, str), label))
    _keep(database, network, name, samples, ordered, layers, places, taken)
    neurons = sum(place.size for place in places)
    return Table(
        ("observation", "samples", "labels", "neurons"), [[name, samples, ordered, neurons]]
    )


def _batches(
    inputs: Inputs | Iterable[Any], labels: Sequence[Label] | NDArray[Any] | None, batch: int
) -> Iterator[Batch]:
    if isinstance(inputs, np.ndarray | Mapping):
        parts = inputs if isinstance(inputs, Mapping) else {"": inputs}
        count = min((len(values) for values in parts.values()), default=0)
        classes = None if labels is None else _labels(labels)
        if classes is not None and len(classes) != count:
            raise InvalidArgument(f"There are {len(classes)} labels for {count} samples.")
        for start in range(0, max(count, 1), batch):
            span = slice(start, start + batch)
            some = {key: np.asarray(values[span]) for key, values in parts.items()}
            yield (
                some if isinstance(inputs, Mapping) else some[""],
                None if classes is None else classes[span],
            )
        return
    if labels is not None:
        raise InvalidArgument("Batches bring their labels with them, as pairs.")
    for each in inputs:
        if isinstance(each, tuple | list) and len(each) == 2:
            yield _array(each[0]), _labels(_array(each[1]))
        else:
            yield _array(each), None


def _array(values: Any) -> NDArray[Any]:
    # A torch tensor, known by what it has: this room does not import torch.
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)


def _labels(labels: Any) -> NDArray[Any]:
    found = np.asarray(labels)
    if found.ndim != 1 or found.dtype.kind not in "iuUb":
        raise InvalidArgument("Labels are one whole number or text for each sample.")
    return found.astype(np.int64) if found.dtype.kind in "iub" else found


def _keep(
    database: Database,
    network: str,
    name: str,
    samples: int,
    labels: Sequence[Label],
    layers: Mapping[int, _Layer],
    places: list[Place],
    replaced: list[list[Any]],
) -> None:
    """Writes the results; nobody sees them before all are there."""
    _clean_up(database, network, name)
    kinds = {type(label) for label in labels}
    stored = list(labels) if len(kinds) <= 1 else [str(label) for label in labels]
    begun = database.write(
        BEGIN_OBSERVATION, network=network, name=name, samples=samples, labels=stored
    ).rows
    if not begun:
        raise NotFound(f"There is no network {network!r}.")
    key: str = begun[0][0]
    try:
        found = chain.from_iterable(
            (
                {"id": place.first + neuron, "found": properties}
                for neuron, properties in enumerate(layers[place.index].found(key, labels))
            )
            for place in places
        )
        rows: list[dict[str, Any]] = []
        for row in found:
            rows.append(row)
            if len(rows) == NEURONS_PER_TRANSACTION:
                database.write(OBSERVE_NEURONS, rows=rows)
                rows = []
        database.write(OBSERVE_NEURONS, rows=rows)
        scope.unchanged(database, network, places)
        for (old,) in replaced:
            database.write(HIDE_OBSERVATION, network=network, key=old)
        if not database.write(COMPLETE_OBSERVATION, network=network, key=key, name=name).rows:
            raise Conflict(f"{network!r} has got an observation {name!r} meanwhile.")
    except BaseException:
        _remove(database, network, key, places)
        raise
    for (old,) in replaced:
        _remove(database, network, old, places)


def forget(database: Database, network: str, name: str) -> None:
    """Removes an observation and its results.

    Raises
    ------
    NotFound
        If there is none of that name.

    Example
    -------
    >>> forget(database, "mnist", "test")                               # doctest: +SKIP
    """
    places = scope.places(database, network)
    found = database.read(FIND_OBSERVATION, network=network, name=name).rows
    if not found:
        raise NotFound(f"{network!r} has no observation {name!r}.")
    for (key,) in found:
        database.write(HIDE_OBSERVATION, network=network, key=key)
        _remove(database, network, key, places)
    _clean_up(database, network, name)


def _clean_up(database: Database, network: str, name: str) -> None:
    """Removes what a crash left under that name."""
    for (key,) in database.read(UNFINISHED_OBSERVATIONS, network=network, name=name).rows:
        _remove(database, network, key, scope.places(database, network))


def _remove(database: Database, network: str, key: str, places: list[Place]) -> None:
    nothing = {f"{name}_on_{key}": None for name in PROPERTIES}
    first, end = places[0].first, places[-1].first + places[-1].size
    for start in range(first, end, NEURONS_PER_TRANSACTION):
        span = range(start, min(start + NEURONS_PER_TRANSACTION, end))
        database.write(OBSERVE_NEURONS, rows=[{"id": neuron, "found": nothing} for neuron in span])
    database.write(REMOVE_OBSERVATION, network=network, key=key)
