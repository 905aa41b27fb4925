"""Which weights are used more than once."""

from __future__ import annotations

import math
import time
from typing import Any, Final

import numpy as np

from queries import scope
from queries.question import question
from queries.weights import TENSORS, layer_links
from store.database import Database
from store.query import Table

COLUMNS: Final = ("tensor", "aliases", "layers", "weights", "links", "uses")


@question(
    columns=COLUMNS,
    example={"network": "tiny", "tied": False},
    survives=("permutation", "rescaling"),
    kept=True,
)
def weight_tying(database: Database, network: str, *, tied: bool = True) -> Table:
    """The groups of links that share their weights: convolutions unrolled, layers that are tied.

    Each link knows its place in the flat vector of all parameters; computed by NumPy from those,
    read in columns, since Cypher has no index of them.

    Parameters
    ----------
    tied
        Only tensors of which a weight is used more than once, or that go by several names.

    Returns
    -------
    Table
        ``tensor`` (its key in the state dict), ``aliases`` (further keys of it), ``layers`` (names
        of those that its links end in), ``weights`` (entries that some link has), ``links``,
        ``uses`` (links / weights, >= 1).

    Raises
    ------
    NotFound
        If there is no complete network of that name.

    References
    ----------
    Press & Wolf, "Using the output embedding to improve language models", arXiv 1608.05859: weight
    tying.

    Example
    -------
    >>> weight_tying(database, "gpt2").rows[0][:3]                      # doctest: +SKIP
    ['transformer.wte.weight', ['lm_head.weight'], ['transformer.wte', 'lm_head']]
    """
    started = time.perf_counter()
    layers = scope.places(database, network)
    table = database.read(TENSORS, network=network, row_cap=1_000_000)
    tensors = table.records()
    firsts = np.array([tensor["first"] for tensor in tensors], dtype=np.int64)
    size = sum(math.prod(tensor["shape"]) for tensor in tensors)
    uses = np.zeros(size, dtype=np.int64)
    ending: list[list[str]] = [[] for _ in tensors]
    for layer in layers:
        params = layer_links(database, layer).params
        np.add.at(uses, params, 1)
        for tensor in np.unique(np.searchsorted(firsts, params, side="right") - 1):
            ending[tensor].append(layer.name)
    scope.unchanged(database, network, layers)
    rows: list[list[Any]] = []
    for tensor, names in zip(tensors, ending, strict=True):
        own = uses[tensor["first"] : tensor["first"] + math.prod(tensor["shape"])]
        weights, links = int((own > 0).sum()), int(own.sum())
        aliases = list(tensor["aliases"] or ())
        if weights and (not tied or links > weights or aliases):
            rows.append([tensor["name"], aliases, names, weights, links, links / weights])
    return Table(
        COLUMNS,
        rows,
        table.cypher,
        table.parameters,
        took_ms=(time.perf_counter() - started) * 1000,
        notes=("Computed by NumPy from the places of the links' weights in the parameter vector.",),
    ).cut(database.row_cap)
