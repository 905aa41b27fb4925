"""Scabini & Bruno (arXiv 2107.14062): network 1 untrained and trained, beside networkx's time.

Prints mean and standard deviation of each measure in both hidden layers, as in the paper, and how
long the whole table takes from the store, and from networkx on the same graph in the same run.
The trained network is read where the published files lie beside the project (shared/reference).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch

# The initial weights are the tests', which are no package that is installed.
sys.path.insert(0, str(Path(__file__).parent.parent))

import ingest
from ingest import writer
from ingest.network import Network
from queries.neuron_measures import MEASURES, neuron_measures
from store.commandline import print_table
from store.database import Database
from store.errors import WeightomeError
from store.local.temporary import temporary_database
from store.query import Table
from tests.reference.philox import initial_matrices
from tests.reference.test_scabini_bruno import TRAINED

SIZES = (784, 200, 100, 10)


def untrained() -> Network:
    """Network 1 at epoch 0."""
    layers = [torch.nn.Linear(*ends, bias=False) for ends in pairwise(SIZES)]
    for layer, matrix in zip(layers, initial_matrices(1), strict=True):
        layer.weight.data = torch.from_numpy(np.ascontiguousarray(matrix.T))
    return ingest.read(torch.nn.Sequential(*layers), input_shape=(SIZES[0],))


def paper_table(answer: Table, epoch: int) -> list[list[object]]:
    """Mean and standard deviation per hidden layer."""
    rows: list[list[object]] = []
    for measure in MEASURES:
        place = answer.columns.index(measure)
        cells = []
        for layer in (1, 2):
            values = np.array([row[place] for row in answer.rows if row[1] == layer])
            cells.append(f"{values.mean():.4g} ± {values.std():.2g}")
        rows.append([measure, epoch, *cells])
    return rows


def by_networkx(matrices: list[np.ndarray[Any, Any]], quick: bool) -> dict[str, float]:
    """Seconds that networkx takes for each measure of all neurons."""
    signed, positive, directed = nx.Graph(), nx.Graph(), nx.DiGraph()
    firsts = np.cumsum([0, *SIZES])
    for matrix, first, after in zip(matrices, firsts, firsts[1:], strict=False):
        for (source, target), weight in np.ndenumerate(matrix.astype(np.float64)):
            link = (int(first + source), int(after + target), {"weight": float(weight)})
            signed.add_edges_from([link])
            if weight > 0:
                positive.add_edges_from([link])
                directed.add_edges_from([link])
    inputs, outputs = range(SIZES[0]), range(sum(SIZES) - SIZES[-1], sum(SIZES))
    work: dict[str, Callable[[], object]] = {
        "strength": lambda: dict(signed.degree(weight="weight")),
        "average_neighbour_degree": lambda: nx.average_neighbor_degree(signed, weight="weight"),
        "current_flow_closeness": lambda: nx.current_flow_closeness_centrality(
            signed, weight="weight"
        ),
        "bipartite_clustering": lambda: nx.bipartite.clustering(positive, mode="max"),
        "subgraph_centrality": lambda: nx.subgraph_centrality(positive),
        "harmonic_centrality": lambda: nx.harmonic_centrality(positive, distance="weight"),
        "second_order_centrality": lambda: nx.second_order_centrality(positive),
        "maximal_cliques": lambda: [list(clique) for clique in nx.find_cliques(positive)],
        "directed_betweenness": lambda: nx.betweenness_centrality_subset(
            directed, list(inputs), list(outputs), weight="weight"
        ),
    }
    seconds = {}
    for measure, ask in work.items():
        if quick and measure in ("harmonic_centrality", "directed_betweenness"):
            continue
        started = time.perf_counter()
        ask()
        seconds[measure] = time.perf_counter() - started
        print(f"networkx: {measure} in {seconds[measure]:.1f} s", file=sys.stderr)
    return seconds


def measure(database: Database, quick: bool) -> None:
    """Measures and prints."""
    writer.write(database, untrained(), name="epoch 0")
    neuron_measures(database, "epoch 0", measure=("strength",))
    started = time.perf_counter()
    answer = neuron_measures(database, "epoch 0")
    ours = time.perf_counter() - started
    rows = paper_table(answer, 0)
    if TRAINED.exists():
        ingest.ingest(TRAINED, name="epoch 30", database=database)
        rows += paper_table(neuron_measures(database, "epoch 30"), 30)
    columns = ("measure", "epoch", "hidden layer 1", "hidden layer 2")
    print_table(Table(columns, rows), title="network 1, mean ± standard deviation")
    theirs = by_networkx(initial_matrices(1), quick)
    total = sum(theirs.values())
    print(f"\nall measures of {sum(SIZES):,} neurons, {int(np.dot(SIZES[1:], SIZES[:-1])):,} links")
    print(f"  neuron_measures, from the store {ours:>9.2f} s")
    print(f"  networkx, {len(theirs)} measures            {total:>9.2f} s")
    print(f"  ratio                           {total / ours:>9.1f}")


def main() -> None:
    """Measures in a database of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out networkx's slowest two")
    options = parser.parse_args()
    with temporary_database() as database:
        measure(database, options.quick)


if __name__ == "__main__":
    try:
        main()
    except WeightomeError as error:
        sys.exit(f"paper_2107_14062: {error}")
