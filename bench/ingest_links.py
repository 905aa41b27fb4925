"""Links per second of ingest beside the usual way.

Both write the same network, in turns, into a database of their own: one dense layer, and one
unrolled convolution, whose links each name their own ends. The usual way is an UNWIND of maps,
10,000 links a transaction. The ratio, not the seconds, is what carries over to other machines.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
import torch
from numpy.typing import NDArray

import ingest
from ingest import writer
from ingest.network import DenseLinks, Network
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
    "Some neurons.",
    "UNWIND range($first, $end - 1) AS id CREATE (:Usual {id: id})",
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
MATCH (source:Usual) WITH source LIMIT 100
DETACH DELETE source
RETURN count(*) AS deleted
""",
    ("deleted",),
)


def dense(size: int) -> Network:
    """A dense layer from `size` inputs to `size` outputs."""
    torch.manual_seed(0)
    return ingest.read(torch.nn.Linear(size, size), input_shape=(size,))


def convolution(size: int) -> Network:
    """An unrolled convolution of images of `size` by `size` pixels."""
    torch.manual_seed(0)
    model = torch.nn.Conv2d(8, 16, 3)
    return ingest.read(model, input_shape=(8, size, size), view="unrolled")


def ours(database: Database, network: Network) -> float:
    """Seconds that the writer takes, its reading back of what it wrote included."""
    seconds = writer.write(database, network, name="bench").seconds
    ingest.delete(database, "bench")
    return seconds


def all_links(network: Network) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Sources, targets and weights of every link, neurons numbered through the network."""
    blocks = []
    for block in network.links:
        if isinstance(block, DenseLinks):
            source, target = np.indices((block.sources, block.targets)).reshape(2, -1)
            weights = block.tile(range(block.sources), range(block.targets)).ravel()
            firsts = network.firsts
            blocks.append((source + firsts[block.source], target + firsts[block.target], weights))
        else:
            blocks += [(part.sources, part.targets, part.weights) for part in block.blocks()]
    columns = list(zip(*blocks, strict=True))
    return np.concatenate(columns[0]), np.concatenate(columns[1]), np.concatenate(columns[2])


def usual(database: Database, network: Network) -> float:
    """Seconds that the usual way takes; nothing is read back."""
    sources, targets, weights = all_links(network)
    started = time.perf_counter()
    for first in range(0, network.neuron_count, USUAL_LINKS_PER_TRANSACTION):
        end = min(first + USUAL_LINKS_PER_TRANSACTION, network.neuron_count)
        database.write(USUAL_NEURONS, first=first, end=end)
    for first in range(0, weights.size, USUAL_LINKS_PER_TRANSACTION):
        part = slice(first, first + USUAL_LINKS_PER_TRANSACTION)
        triples = zip(
            sources[part].tolist(), targets[part].tolist(), weights[part].tolist(), strict=True
        )
        links = [{"source": s, "target": t, "weight": w} for s, t, w in triples]
        database.write(USUAL_LINKS, links=links)
    seconds = time.perf_counter() - started
    while database.write(USUAL_DELETE).rows != [[0]]:
        pass
    return seconds


def measure(database: Database, title: str, network: Network, rounds: int) -> None:
    taken: dict[str, list[float]] = {"usual": [], "ours": []}
    for _ in range(rounds):
        taken["usual"].append(usual(database, network))
        taken["ours"].append(ours(database, network))
    links = network.link_count
    rates = {way: links / statistics.median(seconds) for way, seconds in taken.items()}
    print(f"{title}: writing {links:,} links, median of {rounds}")
    print(f"  UNWIND of maps        {rates['usual']:>10,.0f} links/s")
    print(f"  ingest, verified      {rates['ours']:>10,.0f} links/s")
    print(f"  ratio                 {rates['ours'] / rates['usual']:>10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1000, help="neurons per layer")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way")
    options = parser.parse_args()
    with temporary_database() as database:
        database.write(USUAL_CONSTRAINT)
        networks = {
            "dense": dense(options.size),
            "unrolled convolution": convolution(max(round((options.size**2 / 1152) ** 0.5), 1) + 2),
        }
        for network in (dense(options.size // 3 + 1), convolution(16)):
            # The server compiles what it runs often: both ways start warm.
            usual(database, network)
            ours(database, network)
        for title, network in networks.items():
            measure(database, title, network, options.rounds)


if __name__ == "__main__":
    try:
        main()
    except WeightomeError as error:
        sys.exit(f"ingest_links: {error}")
