"""All questions of the query layer, by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from queries.question import Question, registered

FAMILIES = (
    "catalogue",
    "strength",
    "links",
    "drawing",
    "weight_matrix",
    "architecture",
    "neuron_measures",
    "population",
    "bag_of_neurons",
    "centrality",
    "communities",
    "similarity",
    "paths",
    "path_mass",
    "shortest",
    "cuts",
    "carrying",
    "layer_statistics",
    "spectra",
    "tying",
    "snapshots",
    "dead_units",
    "observations",
    "divergence",
    "dynamics",
    "run_statistic",
    "population_statistics",
    "shuffles",
    "comparison",
    "matching",
)
"""The modules that hold questions."""


def questions() -> Mapping[str, Question]:
    """Every question, in the order of the families.

    Example
    -------
    >>> questions()["strength"].about
    'network'
    """
    for family in FAMILIES:
        importlib.import_module(f"queries.{family}")
    order = {f"queries.{family}": place for place, family in enumerate(FAMILIES)}
    found = registered().values()
    # Families import each other: the order of imports is not that of the table.
    return {each.name: each for each in sorted(found, key=lambda each: order[each.ask.__module__])}
