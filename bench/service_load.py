"""The service under load: 64 clients for a minute over a network of 1.8 million links.

Each client asks one question after the other, those that a page asks about a network. The table
tells how many were answered, how many failed, and how long half and 99 % of the answers took.
``--restart`` stops Neo4j a third of the way and starts it again: what fails meanwhile must be a
503, and the last third is as the first. Only this machine is asked; it stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections import Counter, OrderedDict, defaultdict
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import torch

import ingest
from bench._serving import service
from ingest import writer
from store.commandline import print_table
from store.connection import connect
from store.errors import WeightomeError
from store.local.server import down, up
from store.query import Table
from store.settings import Settings, load

SIZES = (784, 1000, 1000, 10)
ADDRESSES = (
    "/v1/networks",
    "/v1/networks/load/layers",
    "/v1/networks/load/strength?limit=1000",
    "/v1/networks/load/layer-strength",
    "/v1/networks/load/links",
    "/v1/networks/load/layers/{layer}/neurons/{neuron}?k=10",
    "/v1/networks/load/layers/{layer}/neurons?limit=200",
    "/v1/networks/load/histogram?bins=40",
    "/v1/networks/load/weight-matrix?source=input&target=fc1",
    "/v1/networks/load/neuron-card?neuron={layer}/{neuron}",
)
COLUMNS = ("question", "answers", "errors", "per_second", "median_ms", "p99_ms", "greatest_ms")


class Outcomes:
    """What came back, by question and by third of the time."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = defaultdict(list)
        self.statuses: list[Counter[str]] = [Counter(), Counter(), Counter()]

    def rows(self, seconds: float) -> list[list[object]]:
        """One row per question, and one for all."""
        failed = {
            question: sum(counts[f"failed {question}"] for counts in self.statuses)
            for question in ADDRESSES
        }
        everything = [taken for each in self.taken.values() for taken in each]
        rows = [(question, self.taken[question], failed[question]) for question in ADDRESSES]
        rows.append(("all", everything, sum(failed.values())))
        return [
            [question, len(taken), errors, round(len(taken) / seconds, 1)]
            + [round(float(value) * 1000, 1) for value in _spread(taken)]
            for question, taken, errors in rows
        ]


def _spread(taken: list[float]) -> list[float]:
    return [float(value) for value in np.quantile(taken or [np.nan], [0.5, 0.99, 1])]


async def client(number: int, url: str, seconds: float, started: float, outcomes: Outcomes) -> None:
    """One client: asks until the time is over."""
    order = itertools.islice(itertools.cycle(ADDRESSES), number, None)
    random = np.random.default_rng(number)
    async with httpx.AsyncClient(base_url=url, timeout=120) as http:
        while (now := time.perf_counter()) - started < seconds:
            question = next(order)
            address = question.format(
                layer=f"fc{random.integers(1, 3)}", neuron=random.integers(0, 700)
            )
            status = (await http.get(address)).status_code
            third = min(2, int((now - started) / seconds * 3))
            outcomes.statuses[third][str(status)] += 1
            if status == 200:
                outcomes.taken[question].append(time.perf_counter() - now)
            else:
                outcomes.statuses[third][f"failed {question}"] += 1
                await asyncio.sleep(0.2)


async def load_service(
    url: str, clients: int, seconds: float, settings: Settings | None
) -> Outcomes:
    """All clients at once; with settings Neo4j is stopped and started meanwhile."""
    outcomes, started = Outcomes(), time.perf_counter()
    work = [client(number, url, seconds, started, outcomes) for number in range(clients)]
    if settings is not None:
        work.append(asyncio.to_thread(restart, settings, seconds / 3))
    await asyncio.gather(*work)
    return outcomes


def restart(settings: Settings, after: float) -> None:
    """Stops Neo4j after so many seconds, and starts it again."""
    time.sleep(after)
    down(settings)
    up(settings)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--restart", action="store_true", help="stop and start Neo4j meanwhile")
    options = parser.parse_args()
    torch.manual_seed(0)
    layers = {
        f"fc{number}": torch.nn.Linear(*ends) for number, ends in enumerate(pairwise(SIZES), 1)
    }
    model = torch.nn.Sequential(OrderedDict(layers))
    network = ingest.read(model, input_shape=(SIZES[0],))
    with tempfile.TemporaryDirectory(prefix="weightome-") as home:
        settings = Settings(uri=None, home=Path(home), cache=load().cache_folder, port=0)
        try:
            with connect(settings) as database:
                writer.write(database, network, name="load")
            with service(settings) as url:
                outcomes = asyncio.run(
                    load_service(
                        url, options.clients, options.seconds, settings if options.restart else None
                    )
                )
        finally:
            down(settings)
    print_table(
        Table(COLUMNS, outcomes.rows(options.seconds)),
        title=f"{options.clients} clients, {options.seconds:g} s",
    )
    for name, counts in zip(("first", "second", "last"), outcomes.statuses, strict=True):
        told = ", ".join(f"{count} x {key}" for key, count in counts.items() if key.isdigit())
        print(f"{name} third: {told}")
    statuses = {key for counts in outcomes.statuses for key in counts if key.isdigit()}
    if not statuses <= ({"200", "503"} if options.restart else {"200"}):
        sys.exit("service_load: some questions failed")


if __name__ == "__main__":
    try:
        main()
    except WeightomeError as error:
        sys.exit(f"service_load: {error}")
