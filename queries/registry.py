"""All questions of the query layer, by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from queries.question import Question, registered

FAMILIES = (
    "strength",
    "links",
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
    "run_statistic",
    "population_statistics",
    "shuffles",
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
    return registered()
