"""Start, find and stop the Neo4j of this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from pydantic import SecretStr
from rich.console import Console

from store.errors import Conflict
from store.local import process as java_process
from store.local.configuration import HOST
from store.local.fetch import fetch
from store.local.home import Home, Record
from store.local.prepare import prepare, run_admin, write_configuration, write_java_arguments
from store.settings import Settings

_USER = "neo4j"

# A start that failed or was interrupted has nothing to save.
_ABANDON_SECONDS = 10.0


@dataclass(frozen=True)
class LocalServer:
    """A running Neo4j of this machine, and how to reach it."""

    uri: str
    user: str
    password: SecretStr
    pid: int
    port: int
    home: Path

    @property
    def password_file(self) -> Path:
        """Where the password can be read by its owner."""
        return Home(self.home).password_file

    @property
    def data(self) -> Path:
        """Folder of the databases."""
        return Home(self.home).data


@dataclass(frozen=True)
class Status:
    """Whether the local server runs; `server` is there unless it is stopped."""

    state: Literal["running", "starting", "stopped"]
    server: LocalServer | None


def up(
    settings: Settings,
    *,
    port: int | None = None,
    probe: Callable[[LocalServer], None] | None = None,
    console: Console | None = None,
) -> LocalServer:
    """Make sure that the local server runs; find it if it does, start it if not.

    Fetches the jars when they are not in the cache. The server outlives the caller. Processes
    that call this at the same time end with one server.

    Parameters
    ----------
    settings
        Home and cache folder, port, memory, and how long the start may take.
    port
        Bolt port; unset: that of the settings; 0: any free one.
    probe
        Called with the server once it answers; what it raises ends a server just started.
    console
        Where progress is shown; unset: standard error.

    Returns
    -------
    LocalServer
        It answered a Bolt handshake and, where given, the probe.

    Raises
    ------
    DownloadFailed
        If the jars cannot be fetched.
    PortTaken
        If another program has the port.
    Conflict
        If the server already runs on another port than the one asked for.
    DiskUnusable
        If the home or cache folder is full or read-only.
    ServerFailed
        If the server ends or is not ready in time, or the password of its data is lost.

    Example
    -------
    >>> server = up(Settings(heap_mb=1024))  # doctest: +SKIP
    >>> server.uri  # doctest: +SKIP
    'bolt://127.0.0.1:40123'
    """
    home = Home.of(settings)
    wanted = settings.port if port is None else port
    console = console or Console(stderr=True)
    found = java_process.find(home)
    if found is None or not java_process.speaks_bolt(found[1].port):
        home.create()
        with home.lock(console):
            return _start_or_join(settings, home, wanted, probe, console)
    _refuse_other_port(found[1], wanted)
    server = _server(home, found[1])
    if probe is not None:
        probe(server)
    return server


def down(settings: Settings, *, console: Console | None = None) -> LocalServer | None:
    """Stop the local server; its data stays.

    Returns
    -------
    LocalServer or None
        The server that was stopped; None if none ran.

    Raises
    ------
    DiskUnusable
        If the note about the process cannot be removed.
    """
    home = Home.of(settings)
    if java_process.find(home) is None:
        return None
    with home.lock(console or Console(stderr=True)):
        found = java_process.find(home)
        if found is None:
            return None
        process, record = found
        server = _server(home, record)
        java_process.end(process)
        home.forget_record()
        return server


def status(settings: Settings) -> Status:
    """Whether the local server runs; changes nothing.

    Example
    -------
    >>> status(Settings(home=Path("/nonexistent"))).state
    'stopped'
    """
    home = Home.of(settings)
    found = java_process.find(home)
    if found is None:
        return Status("stopped", None)
    state: Literal["running", "starting"] = (
        "running" if java_process.speaks_bolt(found[1].port) else "starting"
    )
    return Status(state, _server(home, found[1]))


def admin(
    settings: Settings, *arguments: str, console: Console | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Neo4j's administration tool on the local server's home and wait for it.

    Parameters
    ----------
    settings
        As for `up`.
    arguments
        Of the tool, such as ``"database", "import", "full", ..``; they show in the process
        list, so they must hold no secret.
    console
        Where the progress of a fetch is shown; unset: standard error.

    Returns
    -------
    subprocess.CompletedProcess
        With the tool's standard output and error as text.

    Raises
    ------
    ServerFailed
        If the tool fails; with its reason.
    DownloadFailed, DiskUnusable
        As `up`.

    Example
    -------
    >>> admin(Settings(), "--version").stdout  # doctest: +SKIP
    '2026.08.1\\n'
    """
    home = Home.of(settings)
    console = console or Console(stderr=True)
    home.create()
    with home.lock(console):
        jars = fetch(settings, console=console)
        write_java_arguments(settings, home, jars)
        if not home.configuration.exists():
            write_configuration(settings, home, settings.port)
        return run_admin(home, *arguments)


def _start_or_join(
    settings: Settings,
    home: Home,
    wanted: int,
    probe: Callable[[LocalServer], None] | None,
    console: Console,
) -> LocalServer:
    """Under the lock: start the server, or wait for one whose `up` was killed meanwhile."""
    found = java_process.find(home)
    if found is None:
        java_process.choose_port(wanted)  # a taken one is told before minutes of fetching
        prepare(settings, home, console)
        chosen = java_process.choose_port(wanted)
        write_configuration(settings, home, chosen)
        process = java_process.start(home, chosen)
    else:
        process, record = found
        _refuse_other_port(record, wanted)
        chosen = record.port
    started_here = found is None
    try:
        java_process.wait_until_ready(
            process, home, chosen, seconds=settings.start_seconds, console=console
        )
        server = _server(home, Record(process.pid, process.create_time(), chosen))
        if probe is not None:
            probe(server)
    except BaseException:  # Ctrl-C too: what this call was to start must not stay behind
        if started_here:
            _abandon(process, home)
        raise
    return server


def _abandon(process: psutil.Process, home: Home) -> None:
    java_process.end(process, seconds=_ABANDON_SECONDS)
    home.forget_record()


def _server(home: Home, record: Record) -> LocalServer:
    return LocalServer(
        uri=f"bolt://{HOST}:{record.port}",
        user=_USER,
        password=home.read_password(),
        pid=record.pid,
        port=record.port,
        home=home.folder,
    )


def _refuse_other_port(record: Record, wanted: int) -> None:
    if wanted not in (0, record.port):
        raise Conflict(
            f"The local server already runs on port {record.port}; "
            f"stop it with `weightome down` before asking for port {wanted}."
        )
