"""Ingest beside the usual ways: links per second, memory of the client, bytes on disk.

Every way writes the same network into an empty database of its own, on a server that has written
a small one before, in a process of its own whose memory is measured. The usual ways are an UNWIND
of one map per link, 10,000 a transaction, and py2neo's bulk ``create_relationships``; neither reads
back what it wrote, ingest does. Prints a table and saves it beside this file, as JSON and as a
chart. The ratios, not the seconds, are what carries over to other machines.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import neo4j
import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from safetensors.numpy import save_file

import ingest
from ingest import bulk, writer
from ingest.content import contents
from ingest.network import Network
from store import schema
from store.commandline import Format, print_table
from store.connection import connect
from store.errors import WeightomeError
from store.local.home import Home
from store.local.server import down, up
from store.query import Table
from store.settings import Settings, load

LINKS_PER_TRANSACTION = 10_000
# Of each kind a small one, which is written before.
WARM = {"dense": "dense:150", "conv": "conv:6"}
# 0.18, 1.8 and 12 million links; 0.22 million of an unrolled convolution.
NETWORKS = ("dense:424", "dense:1342", "dense:3464", "conv:16")
COLUMNS = (
    "network", "way", "links", "seconds", "links_per_second", "ratio", "client_peak_mb",
    "bytes_per_link",
)  # fmt: skip

CONSTRAINT = "CREATE CONSTRAINT {label} IF NOT EXISTS FOR (n:{label}) REQUIRE n.id IS UNIQUE"
NEURONS = "UNWIND range($first, $end - 1) AS id CREATE (:{label} {{id: id}})"
LINKS = """
UNWIND $links AS link
MATCH (source:{label} {{id: link.source}}), (target:{label} {{id: link.target}})
CREATE (source)-[:USUAL {{weight: link.weight}}]->(target)
"""

Link = tuple[int, int, float]


def network_of(what: str, folder: Path) -> Network:
    """``dense:1000`` is a layer from 1,000 inputs to 1,000 outputs, read from a file; \
``conv:20`` an unrolled convolution of images of 20 by 20 pixels."""
    kind, _, size = what.partition(":")
    if kind == "dense":
        file = folder / f"{size}.safetensors"
        if not file.exists():
            weights = np.random.default_rng(0).normal(size=(int(size), int(size))).astype("f4")
            save_file({"weight": weights}, file)
        return ingest.read(file)
    import torch

    torch.manual_seed(0)
    shape = (8, int(size), int(size))
    return ingest.read(torch.nn.Conv2d(8, 16, 3), input_shape=shape, view="unrolled")


def links_of(network: Network) -> Iterator[Link]:
    """Every link, neurons numbered through the network."""
    for number in range(len(network.links)):
        for content in contents(network, number, 50_000, 1):
            links = content.listed()
            columns: tuple[NDArray[Any], ...] = (links.sources, links.targets, links.weights)
            yield from zip(*(column.tolist() for column in columns), strict=True)


def batches(links: Iterator[Link]) -> Iterator[list[Link]]:
    while batch := list(islice(links, LINKS_PER_TRANSACTION)):
        yield batch


# -- the ways ------------------------------------------------------------------------------------


def unwind(network: Network, name: str, settings: Settings) -> None:
    server = up(settings)
    auth = (server.user, server.password.get_secret_value())
    with neo4j.GraphDatabase.driver(server.uri, auth=auth) as driver, driver.session() as session:
        session.run(CONSTRAINT.format(label=name)).consume()
        for first in range(0, network.neuron_count, LINKS_PER_TRANSACTION):
            end = min(first + LINKS_PER_TRANSACTION, network.neuron_count)
            session.run(NEURONS.format(label=name), first=first, end=end).consume()
        for batch in batches(links_of(network)):
            links = [{"source": s, "target": t, "weight": w} for s, t, w in batch]
            session.run(LINKS.format(label=name), links=links).consume()


def py2neo(network: Network, name: str, settings: Settings) -> None:
    from py2neo import Graph
    from py2neo.bulk import create_relationships

    server = up(settings)
    graph = Graph(server.uri, auth=(server.user, server.password.get_secret_value()))
    graph.run(CONSTRAINT.format(label=name))
    for first in range(0, network.neuron_count, LINKS_PER_TRANSACTION):
        end = min(first + LINKS_PER_TRANSACTION, network.neuron_count)
        graph.run(NEURONS.format(label=name), first=first, end=end)
    ends = {"start_node_key": (name, "id"), "end_node_key": (name, "id")}
    for batch in batches(links_of(network)):
        rows = [(source, {"weight": weight}, target) for source, target, weight in batch]
        create_relationships(graph.auto(), rows, "USUAL", **ends)


def over_bolt(network: Network, name: str, settings: Settings) -> None:
    with connect(settings) as database:
        writer.write(database, network, name=name, workers=settings.workers)


def by_bulk(network: Network, name: str, settings: Settings) -> None:
    named = [bulk.Named(network, name)]
    bulk.build(settings, named, workers=settings.workers, console=Console(quiet=True))


WAYS: dict[str, Callable[[Network, str, Settings], None]] = {
    "unwind": unwind,
    "py2neo": py2neo,
    "ingest": over_bolt,
    "ingest --bulk": by_bulk,
}


# -- measuring -----------------------------------------------------------------------------------


def child(way: str, what: str, folder: Path, home: Path) -> None:
    """Writes one network in one way; prints seconds, memory beyond what it had, and disk."""
    settings = settings_of(home)
    up(settings)
    warm = 0
    if way != "ingest --bulk":
        # The server compiles what it runs often; the import tool wants an empty store.
        small = network_of(WARM[what.partition(":")[0]], folder)
        WAYS[way](small, "Warm", settings)
        warm = small.link_count + small.wire_count
    network = network_of(what, folder)
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    WAYS[way](network, "Measured", settings)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {
        "links": network.link_count + network.wire_count,
        "seconds": seconds,
        "peak": max(peak - before, 0),
        "stored": network.link_count + network.wire_count + warm,
    }
    print(json.dumps(found))


def settings_of(home: Path) -> Settings:
    return Settings(uri=None, home=home, cache=load().cache_folder, port=0)


def on_disk(settings: Settings) -> int:
    """Bytes of the database's files; its server has stopped and written all of them."""
    files = (Home.of(settings).data / "databases" / "neo4j").rglob("*")
    return sum(file.stat().st_blocks * 512 for file in files if file.is_file())


def empty_store() -> int:
    """Bytes of a store without networks."""
    with tempfile.TemporaryDirectory(prefix="weightome-bench-") as temporary:
        settings = settings_of(Path(temporary) / "home")
        with connect(settings) as database:
            schema.prepare(database)
        down(settings)
        return on_disk(settings)


def measured(way: str, what: str, folder: Path) -> dict[str, float]:
    """What a child process measures, on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="weightome-bench-") as temporary:
        settings = settings_of(Path(temporary) / "home")
        try:
            done = subprocess.run(
                [sys.executable, __file__, "--child", way, what, str(folder), str(settings.home)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        finally:
            down(settings)
        found: dict[str, float] = json.loads(done.stdout)
        return {**found, "disk": on_disk(settings)}


def chart(rows: list[dict[str, Any]], file: Path) -> None:
    """Links per second of each way, network by network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    networks = list(dict.fromkeys(row["network"] for row in rows))
    width = 0.8 / len(WAYS)
    for place, way in enumerate(WAYS):
        of_way = {row["network"]: row["links_per_second"] for row in rows if row["way"] == way}
        bars = [of_way.get(network, 0) for network in networks]
        axes.bar(
            [number + place * width for number in range(len(networks))], bars, width, label=way
        )
    axes.set_xticks([number + 0.4 - width / 2 for number in range(len(networks))], networks)
    axes.set_ylabel("links per second")
    axes.legend()
    figure.savefig(file)


def save(rows: list[dict[str, Any]], file: Path) -> None:
    """Writes what is measured so far: a large network takes many minutes."""
    about = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "rows": rows,
    }
    file.write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    chart(rows, file.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), help="dense:N or conv:N")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        way, what, folder, home = options.child
        child(way, what, Path(folder), Path(home))
        return
    rows: list[dict[str, Any]] = []
    empty = empty_store()
    with tempfile.TemporaryDirectory(prefix="weightome-bench-") as folder:
        for what in options.networks:
            usual: float | None = None
            for way in options.ways:
                found = measured(way, what, Path(folder))
                rate = found["links"] / found["seconds"]
                usual = rate if usual is None else usual
                row = [
                    what, way, found["links"], round(found["seconds"], 1), round(rate),
                    round(rate / usual, 2), round(found["peak"] / 1e6),
                    round((found["disk"] - empty) / found["stored"], 1),
                ]  # fmt: skip
                rows.append(dict(zip(COLUMNS, row, strict=True)))
                print(*row, sep="\t", file=sys.stderr, flush=True)
                save(rows, options.output)
    print_table(Table(COLUMNS, [list(row.values()) for row in rows]), Format.TABLE)


if __name__ == "__main__":
    try:
        main()
    except WeightomeError as error:
        sys.exit(f"ingest_rates: {error}")
