"""What an answer about a network of 1.8 million links takes: the first time, and again.

Beside it stands the aggregate in plain Cypher that a user would write. All are asked in turns; the
ratios, not the seconds, are what carries over to other machines.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch

import ingest
from ingest import writer
from queries.links import links
from queries.strength import layer_strength, strength
from store.commandline import print_table
from store.database import Database
from store.errors import WeightomeError
from store.local.temporary import temporary_database
from store.query import Query, Table

NAME = "bench"

_NEURONS = "MATCH (:Network {name: $network})-[:HAS_LAYER]->(layer)-[:HAS_NEURON]->(neuron)"
_SUMS = f"""
{_NEURONS}
OPTIONAL MATCH (neuron)<-[link:LINK]-()
WITH layer, neuron, sum(link.weight) AS received
OPTIONAL MATCH (neuron)-[link:LINK]->()
WITH layer, neuron, received, sum(link.weight) AS sent
"""
PLAIN_STRENGTH = Query(
    "plain_strength",
    "Strength of every neuron, as one would write it.",
    f"{_SUMS} RETURN layer.name AS layer, neuron.index AS neuron, received, sent",
    ("layer", "neuron", "received", "sent"),
)
PLAIN_LAYER_STRENGTH = Query(
    "plain_layer_strength",
    "Statistics of the strengths, as one would write it.",
    f"""{_SUMS}
RETURN layer.name AS layer, avg(received + sent) AS mean, stDevP(received + sent) AS fluctuation,
       min(received + sent) AS min, max(received + sent) AS max
""",
    ("layer", "mean", "fluctuation", "min", "max"),
)
PLAIN_LINKS = Query(
    "plain_links",
    "Statistics of the weights, as one would write it.",
    f"""
{_NEURONS}<-[link:LINK]-()
RETURN layer.name AS layer, count(link) AS links, avg(link.weight) AS mean,
       stDevP(link.weight) AS std, min(link.weight) AS min, max(link.weight) AS max,
       percentileCont(link.weight, 0.05) AS q05, percentileCont(link.weight, 0.25) AS q25,
       percentileCont(link.weight, 0.5) AS median, percentileCont(link.weight, 0.75) AS q75,
       percentileCont(link.weight, 0.95) AS q95,
       avg(CASE WHEN abs(link.weight) <= 0.001 THEN 1.0 ELSE 0.0 END) AS near_zero
""",
    ("layer",),
)
FORGET = Query(
    "forget_answers",
    "Removes the answers that are kept.",
    "MATCH (:Network {name: $network})-[:HAS_ANSWER]->(answer) DETACH DELETE answer",
)

QUESTIONS: dict[str, tuple[Query, Callable[[Database, str], Table]]] = {
    "strength": (PLAIN_STRENGTH, strength),
    "layer-strength": (PLAIN_LAYER_STRENGTH, layer_strength),
    "links": (PLAIN_LINKS, links),
}
COLUMNS = ("question", "rows", "plain_s", "first_s", "again_s", "first_ratio", "again_ratio")


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measured(database: Database, name: str, rounds: int) -> list[object]:
    """One row of the table: medians of so many rounds, after one that does not count."""
    plain, ask = QUESTIONS[name]
    taken: list[tuple[float, float, float]] = []
    for _ in range(rounds + 1):
        database.write(FORGET, network=NAME)
        taken.append(
            (
                seconds(lambda: database.read(plain, network=NAME)),
                seconds(lambda: ask(database, NAME)),
                seconds(lambda: ask(database, NAME)),
            )
        )
    aggregate, first, again = (statistics.median(times) for times in zip(*taken[1:], strict=True))
    return [
        *(name, len(ask(database, NAME).rows), round(aggregate, 3), round(first, 3)),
        *(round(again, 4), round(first / aggregate, 2), round(again / aggregate, 3)),
    ]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[784, 1000, 1000, 10])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each")
    options = parser.parse_args()
    torch.manual_seed(0)
    layers = [torch.nn.Linear(*ends) for ends in pairwise(options.sizes)]
    network = ingest.read(torch.nn.Sequential(*layers), input_shape=(options.sizes[0],))
    with temporary_database() as database:
        writer.write(database, network, name=NAME)
        rows = [measured(database, name, options.rounds) for name in QUESTIONS]
    links_count = int(np.dot(options.sizes[:-1], options.sizes[1:]))
    print_table(Table(COLUMNS, rows), title=f"{links_count:,} links")


if __name__ == "__main__":
    try:
        main()
    except WeightomeError as error:
        sys.exit(f"questions: {error}")
