"""An ingest that is killed, a server that is killed, two ingests at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from ingest.network import Network
from ingest.removal import delete
from ingest.writer import write
from queries import catalogue
from queries.strength import strength
from store.connection import connect
from store.database import Database
from store.errors import Conflict, NotFound, StoreError
from store.query import Query
from store.settings import Settings
from tests.graph.test_writer import counts
from tests.networks import hand_checkable

# Writes a 60-50-40 network and says so after the third transaction, then waits to be killed.
WRITER = """
import signal, sys, time
import numpy as np
from ingest.writer import write
from store.connection import connect
from tests.networks import dense_network

# Whoever runs the tests in the background has children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
random = np.random.default_rng(0)
network = dense_network([random.normal(size=s).astype("f4") for s in ((60, 50), (50, 40))])
written = []

def pause(links):
    written.append(links)
    if len(written) == 3:
        print("half-way", flush=True)
        time.sleep(600)

with connect() as database:
    write(database, network, name=sys.argv[1], block_links=100, workers=2, progress=pause)
"""
UNFINISHED = Query(
    "unfinished",
    "",
    "MATCH (n:Network) WHERE n.status <> 'complete' RETURN n.wanted_name AS name",
    ("name",),
)


def start_writer(environment: dict[str, str], name: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, name],
        env=environment,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half-way\n"
    return process


def test_killed_ingest_leaves_nothing_visible(
    database: Database,
    tiny: str,
    command_environment: dict[str, str],
    random_network: Callable[..., Network],
) -> None:
    before = counts(database)
    process = start_writer(command_environment, "killed")
    process.send_signal(signal.SIGKILL)
    process.communicate()

    assert database.read(UNFINISHED).rows == [["killed"]]
    assert "killed" not in catalogue.networks(database).column("network")
    with pytest.raises(NotFound):
        strength(database, "killed")
    with pytest.raises(NotFound):
        delete(database, "killed")

    write(database, random_network(6, 5), name="killed")
    assert len(strength(database, "killed").rows) == 11
    assert database.read(UNFINISHED).rows == []
    delete(database, "killed")
    assert counts(database) == before


def test_a_name_that_another_process_writes(
    database: Database, tiny: str, command_environment: dict[str, str]
) -> None:
    process = start_writer(command_environment, "busy")
    try:
        with pytest.raises(Conflict, match="Another process is writing a network 'busy'"):
            write(database, hand_checkable(), name="busy")
        write(database, hand_checkable(), name="not busy")
        assert database.read(UNFINISHED).rows == [["busy"]], "a live writer is left in peace"
    finally:
        process.kill()
        process.communicate()
    delete(database, "not busy")
    assert database.read(UNFINISHED).rows == []


def test_two_ingests_at_once_do_not_mix(
    database: Database, tiny: str, random_network: Callable[..., Network]
) -> None:
    networks = {f"at once {seed}": random_network(40, 30, 20, seed=seed) for seed in range(4)}

    def store(item: tuple[str, Network]) -> int:
        name, network = item
        return write(database, network, name=name, block_links=200).links

    with ThreadPoolExecutor(4) as pool:
        links = list(pool.map(store, networks.items()))
    assert links == [40 * 30 + 30 * 20] * 4
    for name, network in networks.items():
        first = network.dense[0].weights.array().astype(float)
        rows = strength(database, name).rows
        assert len(rows) == 90
        assert [row[4] for row in rows[:40]] == pytest.approx(first.sum(axis=0).tolist())
        delete(database, name)


def test_two_ingests_of_one_name_at_once(
    database: Database, tiny: str, random_network: Callable[..., Network]
) -> None:
    before = counts(database)

    def store(seed: int) -> str:
        try:
            write(database, random_network(20, 20, seed=seed), name="contested", block_links=50)
        except Conflict:
            return "refused"
        return "written"

    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(store, range(3)))
    assert sorted(outcomes) == ["refused", "refused", "written"]
    assert len(strength(database, "contested").rows) == 40
    delete(database, "contested")
    assert counts(database) == before


def test_killed_server(
    tmp_path: Path, settings: Settings, random_network: Callable[..., Network]
) -> None:
    """A server of this test's own, killed half-way through an ingest, then started again."""
    from store.local.server import down, up

    if settings.uri is not None:
        pytest.skip("the tests run on a server that is not ours to kill")
    own = settings.model_copy(
        update={"home": tmp_path / "home", "heap_mb": 1024, "page_cache_mb": 256}
    )
    server = up(own)
    try:
        with connect(own) as database:
            write(database, hand_checkable(), name="before")
            written = 0

            def kill(links: int) -> None:
                nonlocal written
                written += links
                if written > 500 and psutil.pid_exists(server.pid):
                    os.kill(server.pid, signal.SIGKILL)

            with pytest.raises(StoreError):
                write(
                    database,
                    random_network(60, 50, 40),
                    name="half-way",
                    block_links=100,
                    progress=kill,
                )
        deadline = time.monotonic() + 30
        while psutil.pid_exists(server.pid) and time.monotonic() < deadline:
            time.sleep(0.1)

        with connect(own) as database:
            assert catalogue.networks(database).column("network") == ["before"]
            assert len(strength(database, "before").rows) == 7
            write(database, random_network(60, 50, 40), name="half-way")
            assert len(strength(database, "half-way").rows) == 150
            assert database.read(UNFINISHED).rows == []
    finally:
        down(own)
