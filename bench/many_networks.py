"""Many small networks in one store: how fast they come in, and whether answers slow down.

Ingests networks of 2,800 links each, one after the other in one process, and one network of as
many links as all of them, and asks about one of them when there are ten and when there are all. The
ratios are what carries over to other machines.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

import ingest
from ingest import writer
from ingest.network import Network
from queries import catalogue
from queries.strength import strength
from store.commandline import Format, print_table
from store.database import Database
from store.errors import WeightomeError
from store.local.temporary import temporary_database
from store.query import Table

FEW = 10
REPEATS = 15


def small(seed: int) -> Network:
    """28 inputs, 50 hidden neurons, 28 outputs: 2,800 links."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(28, 50), torch.nn.Linear(50, 28))
    return ingest.read(model, input_shape=(28,))


def rate(database: Database, networks: dict[str, Network]) -> float:
    """Links per second."""
    started = time.perf_counter()
    links = sum(writer.write(database, each, name=name).links for name, each in networks.items())
    return links / (time.perf_counter() - started)


def seconds(question: Callable[[], object]) -> float:
    """Median."""
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        question()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def questions(database: Database) -> dict[str, float]:
    """Seconds of what is asked about one network, computed anew each time."""
    found = {"layers of one": seconds(lambda: catalogue.layers(database, "small-5"))}
    found["strength of one"] = seconds(lambda: strength(database, "small-5"))
    found["list of all"] = seconds(lambda: catalogue.networks(database))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=1000, help="how many small ones")
    options = parser.parse_args()
    networks = {f"small-{number}": small(number) for number in range(options.networks)}
    side = int(np.sqrt(options.networks * 2_800))
    torch.manual_seed(0)
    large = ingest.read(torch.nn.Linear(side, side), input_shape=(side,))
    names = list(networks)
    with temporary_database() as database:
        few = {name: networks[name] for name in names[:FEW]}
        rest = {name: networks[name] for name in names[FEW:]}
        of_large = rate(database, {"large": large})
        rate(database, few)
        before = questions(database)
        of_small = rate(database, rest)
        after = questions(database)
    rows: list[list[object]] = [
        ["links/s, one large network", round(of_large), ""],
        [f"links/s, {len(rest)} small ones", round(of_small), round(of_large / of_small, 2)],
    ]
    for question, taken in after.items():
        ms = round(taken * 1000, 1)
        rows.append([f"{question}, ms", ms, round(taken / before[question], 2)])
    print_table(Table(("what", "value", "times"), rows), Format.TABLE)


if __name__ == "__main__":
    try:
        main()
    except WeightomeError as error:
        sys.exit(f"many_networks: {error}")
