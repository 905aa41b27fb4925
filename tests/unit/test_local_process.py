"""Processes and ports, told apart from those that are not ours."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from store.errors import DiskUnusable, PortTaken, ServerFailed
from store.local import process as java_process
from store.local.home import Home, Record

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


@contextmanager
def running(*arguments: str) -> Iterator[psutil.Process]:
    child = subprocess.Popen([sys.executable, "-c", SLEEP, *arguments])
    try:
        yield psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait()


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A program that answers every connection with these bytes; None: closes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(20)
                    if answer is not None:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_recorded_server_is_found(home: Home) -> None:
    with running(java_process.home_argument(home)) as process:
        record = Record(process.pid, process.create_time(), 7687)
        home.write_record(record)
        assert java_process.find(home) == (process, record)


def test_a_reused_pid_is_not_ours(home: Home) -> None:
    with running() as stranger:
        home.write_record(Record(stranger.pid, stranger.create_time(), 7687))
        assert java_process.find(home) is None
    other = Home(home.folder.with_name("home2"))
    with running(java_process.home_argument(other)) as neighbour:
        home.write_record(Record(neighbour.pid, neighbour.create_time(), 7687))
        assert java_process.find(home) is None


def test_a_process_that_began_at_another_time_is_not_ours(home: Home) -> None:
    with running(java_process.home_argument(home)) as process:
        home.write_record(Record(process.pid, process.create_time() - 3600, 7687))
        assert java_process.find(home) is None


def test_a_process_that_is_gone_or_a_zombie_is_not_found(home: Home) -> None:
    child = subprocess.Popen([sys.executable, "-c", SLEEP, java_process.home_argument(home)])
    process = psutil.Process(child.pid)
    home.write_record(Record(child.pid, process.create_time(), 7687))
    process.kill()
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert java_process.find(home) is None
    child.wait()
    assert java_process.find(home) is None


@pytest.mark.parametrize("pid", [-1, 0, 2**22 + 5])
def test_an_impossible_pid_is_not_found(home: Home, pid: int) -> None:
    home.write_record(Record(pid, time.time(), 7687))
    assert java_process.find(home) is None


def test_a_stubborn_process_is_forced_to_end() -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = psutil.Process(child.pid)
        java_process.end(process, seconds=0.2)
        assert not process.is_running()
        java_process.end(process)


@pytest.mark.parametrize(
    ("answer", "bolt"),
    [
        (b"\x00\x00\x04\x05", True),
        (b"\x00\x00\x00\x00", False),
        (b"HTTP/1.1 400 Bad", True),  # four bytes that are no refusal: the log decides as well
        (b"", False),
        (None, False),
    ],
)
def test_bolt_handshake(answer: bytes | None, bolt: bool) -> None:
    with listening(answer) as port:
        assert java_process.speaks_bolt(port) is bolt


def test_nothing_listens_is_no_bolt() -> None:
    assert java_process.speaks_bolt(java_process.choose_port(0)) is False


def test_a_taken_port_is_refused_and_a_free_one_kept() -> None:
    with listening(None) as port:
        with pytest.raises(PortTaken) as raised:
            java_process.choose_port(port)
        assert str(raised.value) == (
            f"Port {port} of 127.0.0.1 cannot be used: Address already in use; choose another "
            "with --port, or 0 for any free one."
        )
    assert java_process.choose_port(port) == port


def test_the_environment_of_java_holds_no_foreign_options(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "WEIGHTOME_PASSWORD"):
        monkeypatch.setenv(name, "-Dspoilt=true")
    for name in ("LANG", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NEO4J_HOME", "/other")
    environment = java_process.environment(home)
    assert "-Dspoilt=true" not in environment.values()
    assert environment["NEO4J_HOME"] == str(home.folder)
    assert environment["NEO4J_CONF"] == str(home.conf)
    assert environment["LC_ALL"] == "C.UTF-8"
    assert environment["PATH"] == os.environ["PATH"]


def wait(home: Home, process: psutil.Process, port: int, seconds: float) -> str:
    stream = io.StringIO()
    java_process.wait_until_ready(
        process, home, port, seconds=seconds, console=Console(file=stream)
    )
    return stream.getvalue()


def test_a_start_that_takes_too_long_is_told(home: Home) -> None:
    with running() as process, pytest.raises(ServerFailed) as raised:
        wait(home, process, 1, 0.3)
    assert str(raised.value) == f"Neo4j did not start within 0.3 s; see {home.server_log}."


def test_ready_needs_the_log_and_the_handshake(home: Home) -> None:
    with running() as process, listening(b"\x00\x00\x04\x05") as port:
        with pytest.raises(ServerFailed, match="did not start within"):
            wait(home, process, port, 0.3)
        home.server_log.write_text("2026-11-24 22:42:30.689+0000 INFO  Started.\n")
        assert wait(home, process, port, 5) == "Neo4j is starting ...\n"
        with pytest.raises(ServerFailed, match="did not start within"):
            wait(home, process, java_process.choose_port(0), 0.3)


DIED = """\
2026-11-24 23:13:38.755+0000 INFO  Graph Data Science extension built.
2026-11-24 23:14:04.742+0000 ERROR Failed to start Neo4j on 127.0.0.1:7474.
java.lang.RuntimeException: Error starting Neo4j database server at /home/data/databases
\tat org.neo4j.graphdb.facade.Factory.startDatabaseServer(Factory.java:291)
Caused by: org.neo4j.kernel.lifecycle.LifecycleException: Component 'x@1' failed to start.
\t... 6 more
Caused by: {cause}
2026-11-24 23:14:04.751+0000 INFO  Stopped.
"""


def failed_start(home: Home, log: str) -> BaseException:
    home.server_log.write_text(log)
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    child.wait()
    with pytest.raises((ServerFailed, PortTaken, DiskUnusable)) as raised:
        wait(home, process, 7687, 5)
    return raised.value


def test_a_start_that_dies_is_told_with_its_root_cause(home: Home) -> None:
    cause = "org.neo4j.io.locker.FileLockException: Lock file has been locked: /a/store_lock. Bye."
    error = failed_start(home, DIED.format(cause=cause))
    assert isinstance(error, ServerFailed)
    assert str(error) == (
        "Neo4j ended during its start: Lock file has been locked: /a/store_lock. Bye; "
        f"see {home.server_log}."
    )


def test_a_port_taken_during_the_start_is_told_as_such(home: Home) -> None:
    cause = (
        "io.netty.channel.unix.Errors$NativeIoException: bind(..) failed: Address already in use"
    )
    error = failed_start(home, DIED.format(cause=cause))
    assert isinstance(error, PortTaken)
    assert str(error) == "Port 7687 of 127.0.0.1 was taken by another program during the start."


@pytest.mark.parametrize("reason", ["No space left on device", "Read-only file system"])
def test_a_disk_that_fails_during_the_start_is_told_as_such(home: Home, reason: str) -> None:
    error = failed_start(home, DIED.format(cause=f"java.io.IOException: {reason}"))
    assert isinstance(error, DiskUnusable)
    assert str(error) == f"{home.folder} cannot be used: {reason}."


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (["Error occurred during initialization of VM", "Too small maximum heap"], "Too small"),
        (
            ["Unrecognized VM option 'Nope'", "Error: Could not create the Java Virtual Machine."],
            "Unrecognized VM option 'Nope'",
        ),
        (["-----", "Command Failed", "", "/a.csv: File '/a.csv' doesn't exist"], "/a.csv: File"),
        (["WARNING: old", "2026-01-01 00:00:00.1+0000 INFO  Starting..."], "it left no reason"),
        (["x WARN  slow", "x ERROR Neo4j has no more heap."], "Neo4j has no more heap"),
        ([], "it left no reason in its log"),
    ],
)
def test_failure_reason(output: list[str], reason: str) -> None:
    assert java_process.failure_reason(output).startswith(reason)
