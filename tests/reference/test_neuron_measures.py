"""Every measure of every hidden neuron against the file that Scabini & Bruno published.

arXiv 2107.14062; the file is MIT-licensed and read where it lies beside the project.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

import ingest
from ingest.writer import write
from queries.neuron_measures import MEASURES, Measure, neuron_measures
from store.database import Database
from store.query import Table
from tests.networks import dense_network
from tests.reference.philox import initial_matrices
from tests.reference.test_scabini_bruno import MEASURES as FILE
from tests.reference.test_scabini_bruno import TRAINED

# The columns of the file in its order, and how near an independent check came to them.
TOLERANCES: dict[Measure, float] = {
    "strength": 1e-15,
    "average_neighbour_degree": 1e-9,
    "current_flow_closeness": 1e-9,
    "bipartite_clustering": 1e-12,
    "subgraph_centrality": 1e-11,
    "harmonic_centrality": 1e-12,
    "second_order_centrality": 1e-12,
    "maximal_cliques": 0.0,
}


@pytest.fixture(scope="module", params=[0, 30])
def published(
    request: pytest.FixtureRequest, database: Database
) -> Iterator[tuple[Table, list[NDArray[np.float64]]]]:
    """What we answer at an epoch, and the published features of both hidden layers."""
    epoch: int = request.param
    if not FILE.exists() or (epoch and not TRAINED.exists()):
        pytest.skip(f"the published files are not in {FILE.parent}")
    io = pytest.importorskip("scipy.io")
    file = io.loadmat(FILE)
    name = f"reference measures {epoch}"
    if epoch:
        ingest.ingest(TRAINED, name=name, database=database, replace=True)
    else:
        write(database, dense_network(initial_matrices(1)), name=name, replace=True)
    try:
        yield neuron_measures(database, name), [file[f"fmap_h{n}"][epoch] for n in (1, 2)]
    finally:
        ingest.delete(database, name)


@pytest.mark.parametrize(("column", "measure"), list(enumerate(TOLERANCES)))
def test_published_values(
    published: tuple[Table, list[NDArray[np.float64]]], column: int, measure: Measure
) -> None:
    answer, features = published
    place = answer.columns.index(measure)
    for layer, expected in enumerate(features, start=1):
        got = np.array([row[place] for row in answer.rows if row[1] == layer])
        assert got.shape == (len(expected),) == ((200,) if layer == 1 else (100,))
        difference = np.abs(got / expected[:, column] - 1).max()
        assert difference <= TOLERANCES[measure], (layer, difference)


def test_the_file_has_columns_for_all_but_these() -> None:
    assert set(MEASURES) - set(TOLERANCES) == {"log_subgraph_centrality", "directed_betweenness"}
