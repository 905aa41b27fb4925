"""Links per second of ingest beside the usual way.

Both write the same dense network, in turns, into a database of their own. The usual way is an
UNWIND of maps, 10,000 links a transaction. The ratio, not the seconds, is what carries over to
other machines.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
import torch

import ingest
from ingest import writer
from ingest.network import Network
from store.database import Database
from store.errors import WeightomeError
from store.local.temporary import temporary_database
from store.query import Query

USUAL_LINKS_PER_TRANSACTION = 10_000

USUAL_CONSTRAINT = Query(
    "usual_constraint",
    "The index that an UNWIND of maps finds its neurons by.",
    "CREATE CONSTRAINT usual_id IF NOT EXISTS FOR (n:Usual) REQUIRE n.id IS UNIQUE",
)
USUAL_NEURONS = Query(
    "usual_neurons",
    "Neurons of both layers.",
    "UNWIND range(0, $count - 1) AS id CREATE (:Usual {id: id})",
)
USUAL_LINKS = Query(
    "usual_links",
    "One link per map.",
    """
UNWIND $links AS link
MATCH (source:Usual {id: link.source}), (target:Usual {id: link.target})
CREATE (source)-[:USUAL {weight: link.weight}]->(target)
""",
)
USUAL_DELETE = Query(
    "usual_delete",
    "Removes some of what the usual way wrote.",
    """
MATCH (source:Usual) WITH source LIMIT 50
DETACH DELETE source
RETURN count(*) AS deleted
""",
    ("deleted",),
)


def dense(size: int) -> Network:
    """A dense layer from `size` inputs to `size` outputs."""
    torch.manual_seed(0)
    return ingest.read(torch.nn.Linear(size, size), input_shape=(size,))


def ours(database: Database, network: Network) -> float:
    """Seconds that the writer takes, its reading back of what it wrote included."""
    seconds = writer.write(database, network, name="bench").seconds
    ingest.delete(database, "bench")
    return seconds


def usual(database: Database, network: Network) -> float:
    """Seconds that the usual way takes; nothing is read back."""
    (block,) = network.dense
    weights = block.tile(range(block.sources), range(block.targets))
    source, target = (axis.ravel() for axis in np.indices(weights.shape))
    started = time.perf_counter()
    database.write(USUAL_NEURONS, count=block.sources + block.targets)
    for first in range(0, block.count, USUAL_LINKS_PER_TRANSACTION):
        part = slice(first, first + USUAL_LINKS_PER_TRANSACTION)
        triples = zip(
            source[part].tolist(),
            (target[part] + block.sources).tolist(),
            weights.ravel()[part].tolist(),
            strict=True,
        )
        links = [{"source": s, "target": t, "weight": w} for s, t, w in triples]
        database.write(USUAL_LINKS, links=links)
    seconds = time.perf_counter() - started
    while database.write(USUAL_DELETE).rows != [[0]]:
        pass
    return seconds


def measure(database: Database, size: int, rounds: int) -> None:
    database.write(USUAL_CONSTRAINT)
    network, links = dense(size), size * size
    # The server compiles what it runs often: both start warm.
    warm_up = dense(max(size // 3, 1))
    usual(database, warm_up)
    ours(database, warm_up)
    taken: dict[str, list[float]] = {"usual": [], "ours": []}
    for _ in range(rounds):
        taken["usual"].append(usual(database, network))
        taken["ours"].append(ours(database, network))
    rates = {way: links / statistics.median(seconds) for way, seconds in taken.items()}
    print(f"writing {links:,} links, median of {rounds}")
    print(f"  UNWIND of maps        {rates['usual']:>10,.0f} links/s")
    print(f"  ingest, verified      {rates['ours']:>10,.0f} links/s")
    print(f"  ratio                 {rates['ours'] / rates['usual']:>10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1000, help="neurons per layer")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way")
    options = parser.parse_args()
    with temporary_database() as database:
        measure(database, options.size, options.rounds)


if __name__ == "__main__":
    try:
        main()
    except WeightomeError as error:
        sys.exit(f"ingest_links: {error}")
