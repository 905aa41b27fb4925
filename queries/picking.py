"""Which neurons of a network are drawn: a few of each layer, however many it has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Literal, get_args

from queries import scope
from queries.layer_values import given_options, named_question
from queries.options import one_of, positive
from queries.scope import Place
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

Pick = Literal["even", "strongest"]
PICKS: Final[tuple[Pick, ...]] = get_args(Pick)

MOST_DRAWN: Final = 20_000
"""Neurons in one picture: more are neither seen nor sent."""


@dataclass(frozen=True)
class Drawn:
    """Which neurons are drawn, and what is measured on them.

    Parameters
    ----------
    layers
        Only these layers; repeat the option for several. Default: all.
    per_layer
        So many neurons of each layer, at most.
    pick
        `even`: evenly spaced along each axis of the layer, which costs little however large the
        network is; `strongest`: those whose value has the greatest magnitude.
    measure
        Name of a question about a network that answers for each neuron, such as `pagerank`.
    column
        The column of its answer that is the value.
    option
        NAME=VALUE for an option of that question; repeat it for several.
    """

    layers: tuple[str, ...] = ()
    per_layer: int = 64
    pick: Pick = "even"
    measure: str = "strength"
    column: str = "total"
    option: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether the value is the total strength, which each neuron's own links tell."""
        return (self.measure, self.column, self.option) == ("strength", "total", ())


USUAL: Final = Drawn()


@dataclass(frozen=True)
class Picked:
    """The neurons that are drawn.

    Parameters
    ----------
    layers
        All layers of the network.
    chosen
        Those with neurons in the picture, in order, each with these neurons' indices.
    values
        Of each neuron id that the measure has a value of; None where nothing but the drawn
        neurons' own links was needed.
    asked
        What the measure answered.
    """

    layers: list[Place]
    chosen: list[tuple[Place, list[int]]]
    values: dict[int, Any] | None = None
    asked: Table | None = None

    @property
    def ids(self) -> list[int]:
        """Of all drawn neurons, in order."""
        return [layer.first + index for layer, indices in self.chosen for index in indices]


NEURON_AXES = Query(
    "neuron_axes",
    "How many neurons of each layer stand along each of its axes.",
    scope.LAYERS_OF_NETWORK
    + """
RETURN layer.index AS layer_index,
       [axis IN layer.axes | layer.shape[axis]] AS axes
ORDER BY layer_index
""",
    ("layer_index", "axes"),
)


def picked(database: Database, network: str, of: Drawn) -> Picked:
    """Picks the neurons that are drawn.

    Raises
    ------
    NotFound
        If the network or a layer does not exist.
    InvalidArgument
        If an option cannot be, or more than :data:`MOST_DRAWN` neurons would be drawn.
    """
    one_of("pick", of.pick, PICKS)
    positive("per_layer", of.per_layer, MOST_DRAWN)
    asked = named_question(of.measure, of.column)
    if not {"layer", "neuron"} <= set(asked.columns) or "other_neuron" in asked.columns:
        raise InvalidArgument(f"{asked.title!r} does not answer for each neuron.")
    given = given_options(asked, of.option)
    layers = scope.places(database, network)
    wanted = {scope.place(layers, name).index for name in of.layers}
    shown = [layer for layer in layers if not wanted or layer.index in wanted]
    drawn = sum(min(layer.size, of.per_layer) for layer in shown)
    if drawn > MOST_DRAWN:
        raise InvalidArgument(
            f"{drawn} neurons are too many for a picture: at most {MOST_DRAWN} can be drawn. "
            "Choose fewer per layer, or some layers."
        )
    table, values = None, None
    if not of.plain or of.pick == "strongest":
        table = asked.answer(database.limited(row_cap=10_000_000), {asked.about: network, **given})
        # Before its layers are looked up in ours: it may be of a network that replaced this one.
        scope.unchanged(database, network, layers)
        values = _by_id(layers, table, of.column)
    if of.pick == "strongest":
        found = [(layer, _greatest(layer, values or {}, of.per_layer)) for layer in shown]
    else:
        rows = database.read(NEURON_AXES, network=network, row_cap=1_000_000).rows
        axes: dict[int, list[int]] = dict(rows)
        found = [(layer, _even(layer, axes.get(layer.index), of.per_layer)) for layer in shown]
    return Picked(layers, found, values, table)


def _by_id(layers: list[Place], table: Table, column: str) -> dict[int, Any]:
    first = {layer.name: layer.first for layer in layers}
    columns = (table.column(name) for name in ("layer", "neuron", column))
    return {
        first[layer] + neuron: value
        for layer, neuron, value in zip(*columns, strict=True)
        if value is not None
    }


def _greatest(layer: Place, values: dict[int, Any], most: int) -> list[int]:
    """Indices of the neurons with the greatest magnitudes; those without a value come last."""

    def order(index: int) -> tuple[float, int]:
        value = values.get(layer.first + index)
        if value is None:
            return math.inf, index
        known = isinstance(value, int | float) and not math.isnan(value)
        return (-abs(value) if known else 0.0), index

    return sorted(sorted(range(layer.size), key=order)[:most])


def _even(layer: Place, axes: Sequence[int] | None, most: int) -> list[int]:
    # What stands in a picture together shall stand together in the layer: whole rows and columns.
    lengths = list(axes or ())
    if math.prod(lengths) != layer.size:
        lengths = [layer.size]
    return on_grid(lengths, most)


def on_grid(lengths: Sequence[int], most: int) -> list[int]:
    """Positions that are evenly spaced along each axis of a grid, counted row by row.

    Parameters
    ----------
    lengths
        Of the axes.
    most
        So many positions, at most.

    Example
    -------
    >>> on_grid([9], 3)
    [0, 4, 8]
    >>> on_grid([2, 3, 3], 8)
    [0, 2, 6, 8, 9, 11, 15, 17]
    """
    counts = list(lengths)
    while math.prod(counts) > most:
        # The last of the longest: maps keep their number before they keep their width.
        longest = max(range(len(counts)), key=lambda axis: (counts[axis], axis))
        others = math.prod(counts) // counts[longest]
        fitting = max(1, most // others)
        rivals = [count for axis, count in enumerate(counts) if axis != longest]
        # Down to what fits, but not far below the next longest axis, which comes next.
        counts[longest] = max(fitting, min(counts[longest] - 1, max(rivals, default=1)))
    places = [spaced(length, count) for length, count in zip(lengths, counts, strict=True)]
    positions = []
    for along in product(*places):
        position = 0
        for length, place in zip(lengths, along, strict=True):
            position = position * length + place
        positions.append(position)
    return positions


def spaced(length: int, count: int) -> list[int]:
    """So many of the numbers below a length, both ends among them.

    Example
    -------
    >>> spaced(10, 4)
    [0, 3, 6, 9]
    """
    if count == 1:
        return [0]
    return [(2 * step * (length - 1) + count - 1) // (2 * (count - 1)) for step in range(count)]
