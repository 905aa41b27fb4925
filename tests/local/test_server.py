"""A real Neo4j with GDS: started, shared, killed, found again, closed to the world, stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from neo4j import GraphDatabase
from neo4j.exceptions import AuthError, ClientError, Neo4jError
from rich.console import Console

from store.errors import Conflict, PortTaken, ServerFailed
from store.local.artifacts import GDS, SERVER, locked_version
from store.local.home import Home, Record
from store.local.server import LocalServer, admin, down, status, up
from store.settings import Settings

QUIET = Console(quiet=True)

UP = """
import json, signal, sys
# Whoever runs the tests in the background has children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from store.local.server import up
from store.settings import Settings
home, cache, heap_mb = sys.argv[1:]
server = up(Settings(home=Path(home), cache=Path(cache), heap_mb=int(heap_mb), page_cache_mb=256))
print(json.dumps([server.pid, server.port, server.uri]))
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The machine's own cache, under a name with what paths can hold."""
    link = tmp_path_factory.mktemp("jars") / "jär cache"
    target = Settings().cache_folder.expanduser().absolute()
    target.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    return link


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("home") / "hömé of neo4j"
    settings = Settings(home=home, cache=cache, heap_mb=1024, page_cache_mb=256)
    yield settings
    down(settings, console=QUIET)


def up_command(settings: Settings) -> list[str]:
    arguments = [settings.home, settings.cache, settings.heap_mb]
    return [sys.executable, "-c", UP, *(str(argument) for argument in arguments)]


@pytest.fixture(scope="session")
def first_starts(settings: Settings) -> list[tuple[int, int, str]]:
    """What two processes got that both asked for the first start of one home."""

    def ask(_: int) -> tuple[int, int, str]:
        result = subprocess.run(
            up_command(settings), capture_output=True, text=True, check=False, timeout=240
        )
        assert result.returncode == 0, result.stderr
        pid, port, uri = json.loads(result.stdout)
        return pid, port, uri

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(ask, range(2)))


@pytest.fixture
def server(settings: Settings, first_starts: list[tuple[int, int, str]]) -> LocalServer:
    return up(settings, console=QUIET)


def run(server: LocalServer, query: str, **parameters: Any) -> list[list[Any]]:
    password = server.password.get_secret_value()
    # A session, since `execute_query` tries again for half a minute what cannot succeed.
    with (
        GraphDatabase.driver(server.uri, auth=(server.user, password)) as driver,
        driver.session(database="neo4j") as session,
    ):
        return [record.values() for record in session.run(query, parameters)]


def servers_of(settings: Settings) -> list[int]:
    argument = f"--home-dir={settings.home}"
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if argument in (process.info["cmdline"] or [])
    ]


def wait_gone(pid: int, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_two_processes_at_once_end_with_one_server(
    first_starts: list[tuple[int, int, str]], settings: Settings
) -> None:
    first, second = first_starts
    assert first == second
    assert servers_of(settings) == [first[0]]


def test_a_second_up_finds_the_same_server_at_once(
    server: LocalServer, settings: Settings, first_starts: list[tuple[int, int, str]]
) -> None:
    assert up(settings, console=QUIET) == server
    assert (server.pid, server.port, server.uri) == first_starts[0]
    assert server.uri == f"bolt://127.0.0.1:{server.port}"
    assert status(settings).server == server
    assert status(settings).state == "running"


def test_a_server_whose_record_is_lost_is_found(server: LocalServer, settings: Settings) -> None:
    """As when `up` was killed between starting it and noting it."""
    Home.of(settings).record_file.unlink()
    try:
        assert status(settings).server == server
        assert up(settings, console=QUIET) == server
    finally:
        created = psutil.Process(server.pid).create_time()
        Home.of(settings).write_record(Record(server.pid, created, server.port))


def test_the_probe_sees_the_server_and_its_error_stops_nothing_that_ran(
    server: LocalServer, settings: Settings
) -> None:
    seen: list[LocalServer] = []
    assert up(settings, probe=seen.append, console=QUIET) == seen[0] == server

    def refuse(found: LocalServer) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        up(settings, probe=refuse, console=QUIET)
    assert psutil.pid_exists(server.pid)


def test_versions_are_those_of_the_lock_files(server: LocalServer) -> None:
    assert run(server, "RETURN gds.version()") == [[locked_version(GDS, "org.neo4j.gds", "proc")]]
    neo4j = locked_version(SERVER, "org.neo4j", "neo4j")
    rows = run(server, "CALL dbms.components() YIELD name, versions, edition RETURN *")
    assert ["community", "Neo4j Kernel", [neo4j]] in rows


def test_gds_projects_runs_and_resolves_nodes_and_paths_but_exports_nothing(
    server: LocalServer,
) -> None:
    run(server, "CREATE (:T {n: 1})-[:R {w: 2.0}]->(:T {n: 2})-[:R {w: 3.0}]->(:T {n: 3})")
    run(
        server,
        "MATCH (a:T)-[r:R]->(b:T) RETURN gds.graph.project("
        "'g', a, b, {relationshipProperties: {w: r.w}})",
    )
    degrees = run(
        server,
        "CALL gds.degree.stream('g', {relationshipWeightProperty: 'w'}) YIELD nodeId, score "
        "RETURN gds.util.asNode(nodeId).n AS n, score ORDER BY n",
    )
    assert degrees == [[1, 2.0], [2, 3.0], [3, 0.0]]
    paths = run(
        server,
        "MATCH (a:T {n: 1}), (b:T {n: 3}) CALL gds.shortestPath.dijkstra.stream('g', "
        "{sourceNode: a, targetNode: b, relationshipWeightProperty: 'w'}) "
        "YIELD totalCost, path RETURN totalCost, [x IN nodes(path) | x.n]",
    )
    assert paths == [[5.0, [1, 2, 3]]]
    assert run(server, "CALL gds.list() YIELD name RETURN count(*) > 400") == [[True]]
    with pytest.raises(Neo4jError, match=r"gds\.export\.location"):
        run(server, "CALL gds.graph.export.csv('g', {exportName: 'x'})")
    run(server, "CALL gds.graph.drop('g') YIELD graphName RETURN graphName")
    run(server, "MATCH (t:T) DETACH DELETE t")


def test_the_right_password_is_needed(server: LocalServer) -> None:
    for password in ("neo4j", "", server.password.get_secret_value()[:-1]):
        with (
            pytest.raises(AuthError),
            GraphDatabase.driver(server.uri, auth=("neo4j", password)) as driver,
        ):
            driver.verify_connectivity()


def test_the_password_is_in_its_private_file_and_nowhere_else(
    server: LocalServer, settings: Settings
) -> None:
    password = server.password.get_secret_value()
    assert server.password_file.read_text().strip() == password
    assert server.password_file.stat().st_mode & 0o777 == 0o600
    process = psutil.Process(server.pid)
    assert password not in " ".join(process.cmdline())
    assert password not in str(process.environ())
    assert password not in repr(server)
    files = [path for path in settings.home.rglob("*") if path.is_file()]
    holders = [path for path in files if password.encode() in path.read_bytes()]
    assert holders == [server.password_file]
    assert {path.parent.name for path in files} >= {"logs", "conf", "dbms"}


def test_only_the_loopback_is_listened_on(server: LocalServer) -> None:
    process = psutil.Process(server.pid)
    addresses = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
    }
    assert addresses == {("127.0.0.1", server.port)}


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("LOAD CSV FROM 'file:///etc/passwd' AS row RETURN row", "allow_csv_import_from_file"),
        ("LOAD CSV FROM 'file:///../password' AS row RETURN row", "allow_csv_import_from_file"),
        ("LOAD CSV FROM 'http://127.0.0.1:9/' AS row RETURN row", "is blocked"),
        ("LOAD CSV FROM 'https://[::1]:9/' AS row RETURN row", "is blocked"),
        ("LOAD CSV FROM 'ftp://127.0.0.1:9/' AS row RETURN row", "is blocked"),
    ],
)
def test_cypher_reaches_neither_disk_nor_network(
    server: LocalServer, query: str, reason: str
) -> None:
    with pytest.raises(Neo4jError, match=reason):
        run(server, query)


def test_no_procedure_but_neo4js_own_and_gds_is_there(server: LocalServer) -> None:
    rows = run(server, "SHOW PROCEDURES YIELD name RETURN DISTINCT split(name, '.')[0]")
    assert {name for (name,) in rows} == {"db", "dbms", "gds", "tx"}


def test_a_transaction_is_bounded_in_memory(server: LocalServer) -> None:
    with pytest.raises(Neo4jError) as raised:
        run(server, "UNWIND range(1, 500000) AS x RETURN size(collect($long + x))", long="x" * 9999)
    assert raised.value.code == "Neo.TransientError.General.MemoryPoolOutOfMemoryError"
    assert run(server, "RETURN 1") == [[1]]


def test_another_port_is_refused_while_it_runs(server: LocalServer, settings: Settings) -> None:
    other = server.port - 1
    with pytest.raises(Conflict) as raised:
        up(settings, port=other, console=QUIET)
    assert str(raised.value) == (
        f"The local server already runs on port {server.port}; stop it with `weightome down` "
        f"before asking for port {other}."
    )
    assert up(settings, port=server.port, console=QUIET) == server


def test_a_killed_server_comes_back_with_its_data(server: LocalServer, settings: Settings) -> None:
    run(server, "CREATE (:Kept {value: $value})", value=0.1)
    os.kill(server.pid, signal.SIGKILL)
    assert wait_gone(server.pid)
    assert status(settings).state == "stopped"
    again = up(settings, console=QUIET)
    assert again.pid != server.pid
    assert again.password == server.password
    assert run(again, "MATCH (k:Kept) RETURN k.value") == [[0.1]]


def test_down_stops_it_and_a_stale_record_of_a_strangers_pid_harms_nobody(
    server: LocalServer, settings: Settings
) -> None:
    run(server, "MERGE (:Stays {value: 7})")
    assert down(settings, console=QUIET) == server
    assert wait_gone(server.pid, seconds=0.1)
    assert status(settings).state == "stopped"
    assert down(settings, console=QUIET) is None
    assert not Home.of(settings).record_file.exists()

    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(200)"]) as stranger:
        created = psutil.Process(stranger.pid).create_time()
        Home.of(settings).write_record(Record(stranger.pid, created, server.port))
        assert down(settings, console=QUIET) is None
        again = up(settings, port=server.port, console=QUIET)
        assert (again.uri, again.pid != stranger.pid) == (server.uri, True)
        assert stranger.poll() is None
        stranger.kill()
    assert run(again, "MATCH (s:Stays) RETURN s.value") == [[7]]


def test_a_taken_port_is_told_before_anything_is_started(
    settings: Settings, tmp_path: Path
) -> None:
    elsewhere = settings.model_copy(update={"home": tmp_path / "home"})
    with socket.create_server(("127.0.0.1", 0)) as program:
        port = program.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port} of 127.0.0.1 cannot be used"):
            up(elsewhere, port=port, console=QUIET)
    assert not (tmp_path / "home" / "password").exists()
    assert status(elsewhere).state == "stopped"


def test_a_start_that_takes_too_long_leaves_no_process(settings: Settings, tmp_path: Path) -> None:
    impatient = settings.model_copy(update={"home": tmp_path / "home", "start_seconds": 0.5})
    with pytest.raises(ServerFailed, match=r"did not start within 0\.5 s"):
        up(impatient, console=QUIET)
    assert status(impatient).state == "stopped"
    assert servers_of(impatient) == []


def test_an_interrupted_start_leaves_no_process(settings: Settings, tmp_path: Path) -> None:
    elsewhere = settings.model_copy(update={"home": tmp_path / "home"})
    with subprocess.Popen(
        up_command(elsewhere), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        deadline = time.monotonic() + 60
        while status(elsewhere).state != "starting" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(servers_of(elsewhere)) == 1
        command.send_signal(signal.SIGINT)
        _, messages = command.communicate(timeout=60)
    assert "KeyboardInterrupt" in messages
    assert servers_of(elsewhere) == []
    assert status(elsewhere).state == "stopped"


def test_an_up_that_was_killed_leaves_a_start_that_the_next_one_joins(
    settings: Settings, tmp_path: Path
) -> None:
    elsewhere = settings.model_copy(update={"home": tmp_path / "home"})
    with subprocess.Popen(up_command(elsewhere), stderr=subprocess.DEVNULL) as command:
        deadline = time.monotonic() + 60
        while status(elsewhere).state != "starting" and time.monotonic() < deadline:
            time.sleep(0.05)
        command.kill()
    (started,) = servers_of(elsewhere)
    try:
        assert up(elsewhere, console=QUIET).pid == started
    finally:
        assert down(elsewhere, console=QUIET) is not None
    assert servers_of(elsewhere) == []


def test_the_administration_tool_runs_on_the_same_jars(settings: Settings) -> None:
    neo4j = locked_version(SERVER, "org.neo4j", "neo4j")
    assert admin(settings, "--version", console=QUIET).stdout.strip() == neo4j


def test_a_failing_administration_tool_tells_why(settings: Settings) -> None:
    with pytest.raises(ServerFailed) as raised:
        admin(settings, "database", "import", "full", "neo4j", "--nodes=/none.csv", console=QUIET)
    assert str(raised.value) == (
        "neo4j-admin database import failed: /none.csv: File '/none.csv' doesn't exist."
    )


def test_wrong_cypher_is_an_error_of_the_client(server: LocalServer) -> None:
    with pytest.raises(ClientError, match="Invalid input"):
        run(server, "FIND everything")
