"""The local server's memory, neo4j.conf and Java arguments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from store.errors import SettingsError
from store.settings import Settings

HOST = "127.0.0.1"

_MIB = 1024 * 1024
_SMALLEST_HEAP_MB = 768
_LARGEST_HEAP_MB = 24 * 1024  # beyond 31 GiB Java needs wider pointers and gains little
_SMALLEST_PAGE_CACHE_MB = 256
_LARGEST_PAGE_CACHE_MB = 16 * 1024
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)

# A backstop for a client that sets no limit of its own; reads pass a far shorter one.
_TRANSACTION_TIMEOUT = "30m"

# Neo4j opens these packages in its own launcher; without them netty and the page cache refuse.
_OPENED_PACKAGES = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.nio",
    "java.base/java.util.concurrent",
    "java.base/sun.nio.ch",
)

# The only three of GDS's 484 procedures and functions that reach into Neo4j's internals.
_UNRESTRICTED = ("gds.list", "gds.util.asNode", "gds.util.asNodes")


@dataclass(frozen=True)
class Memory:
    """Memory of the local server, in MiB."""

    heap_mb: int
    page_cache_mb: int


def fit_memory(machine_bytes: int, *, heap_mb: int = 0, page_cache_mb: int = 0) -> Memory:
    """Share of the machine's memory that the server takes.

    GDS holds its projections on the heap, so the heap gets a quarter and the page cache an
    eighth; the rest stays with the operating system, PyTorch and the browser.

    Parameters
    ----------
    machine_bytes
        Memory of the machine or container, in bytes.
    heap_mb, page_cache_mb
        Fixed by the user, in MiB; 0: fitted.

    Returns
    -------
    Memory
        In MiB.

    Example
    -------
    >>> fit_memory(24 * 1024**3)
    Memory(heap_mb=6144, page_cache_mb=3072)
    """
    machine_mb = machine_bytes // _MIB
    heap = min(max(machine_mb // 4, _SMALLEST_HEAP_MB), _LARGEST_HEAP_MB)
    page_cache = min(max(machine_mb // 8, _SMALLEST_PAGE_CACHE_MB), _LARGEST_PAGE_CACHE_MB)
    return Memory(heap_mb or heap, page_cache_mb or page_cache)


def machine_memory(limits: Iterable[Path] = _CGROUP_LIMITS) -> int:
    """Memory of this machine or, where smaller, of this container, in bytes.

    Parameters
    ----------
    limits
        Files in which Linux states a container's limit; absent ones count as no limit.
    """
    memory = int(psutil.virtual_memory().total)
    for limit in limits:
        try:
            text = limit.read_text("ascii").strip()
        except OSError:  # no such file: another cgroup version, or not Linux
            continue
        if text.isdigit():
            memory = min(memory, int(text))
    return memory


def memory_for(settings: Settings) -> Memory:
    """Memory by the settings and, where they are silent, by the machine."""
    return fit_memory(
        machine_memory(), heap_mb=settings.heap_mb, page_cache_mb=settings.page_cache_mb
    )


def configuration_text(*, port: int, memory: Memory) -> str:
    """Text of neo4j.conf: closed to the network and to the disk, small logs, bounded memory.

    Parameters
    ----------
    port
        Bolt port on 127.0.0.1.
    memory
        Heap and page cache.

    Returns
    -------
    str
        One ``name=value`` a line. It holds no path of this machine: folders are relative to the
        server's home, since Neo4j spoils a path in this file that is not ASCII.

    Example
    -------
    >>> text = configuration_text(port=7687, memory=Memory(1024, 512))
    >>> "server.bolt.listen_address=127.0.0.1:7687" in text
    True
    """
    values = {
        # Only this machine, only Bolt.
        "server.default_listen_address": HOST,
        "server.default_advertised_address": HOST,
        "server.bolt.enabled": "true",
        "server.bolt.listen_address": f"{HOST}:{port}",
        "server.bolt.advertised_address": f"{HOST}:{port}",
        "server.http.enabled": "false",
        "server.https.enabled": "false",
        # Fleet discovery would broadcast on the local network, the others report to Neo4j.
        "server.fleet_discovery.enabled": "false",
        "dbms.fleet_manager.enabled": "false",
        "dbms.usage_report.enabled": "false",
        "client.allow_telemetry": "false",
        "dbms.security.auth_enabled": "true",
        # LOAD CSV is allowed to read-only queries: it must reach neither disk nor network. The
        # import folder stays empty; unset, `file:///` would be the whole disk.
        "server.directories.import": "import",
        "dbms.security.allow_csv_import_from_file_urls": "false",
        "internal.dbms.cypher_ip_blocklist": "0.0.0.0/0,::/0",
        "server.directories.plugins": "plugins",
        "dbms.security.procedures.allowlist": "gds.*",
        "dbms.security.procedures.unrestricted": ",".join(_UNRESTRICTED),
        "server.memory.pagecache.size": f"{memory.page_cache_mb}m",
        "db.memory.transaction.max": f"{memory.heap_mb // 2}m",
        "db.transaction.timeout": _TRANSACTION_TIMEOUT,
        # No backup reads these logs. They are pruned at checkpoints only, which by default come
        # every 15 minutes: 4.4 GB after 8 million links.
        "db.tx_log.rotation.size": "64m",
        "db.tx_log.rotation.retention_policy": "keep_none",
        "db.checkpoint.interval.time": "1m",
        # Store files would grow by hundreds of megabytes ahead of what is in them.
        "db.store.files.preallocate": "false",
        "db.logs.query.enabled": "OFF",
        # Twice five seconds of listening to nobody, after the databases were closed.
        "internal.dbms.bolt.netty_server_shutdown_quiet_period_duration": "0s",
    }
    lines = [f"{name}={value}" for name, value in values.items()]
    return "\n".join(["# Written by Weightome at every start; changes are lost.", *lines, ""])


def java_arguments_text(*, memory: Memory, class_path: Iterable[Path], logs: Path) -> str:
    """Text of the ``@file`` with Java's own arguments; the class path is too long for argv.

    Parameters
    ----------
    memory
        Heap and page cache.
    class_path
        Absolute paths of the jars, in order.
    logs
        Folder for the report of a crashed JVM.

    Raises
    ------
    SettingsError
        If a path holds a colon, which the class path cannot express.
    """
    jars = [str(jar) for jar in class_path]
    for jar in jars:
        if ":" in jar:
            raise SettingsError(f"The cache folder must not hold a colon: {Path(jar).parent}.")
    arguments = [
        f"-Xmx{memory.heap_mb}m",
        # Cypher is parsed by recursion: on Java's default stack an expression of 200 terms
        # overflows, and its client never gets an answer.
        "-Xss8m",
        "-XX:+UseG1GC",
        # A server without memory answers nobody; it is started again by whoever asks next.
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-OmitStackTraceInFastThrow",
        f"-XX:ErrorFile={logs}/java-crash-%p.log",
        "-Dfile.encoding=UTF-8",
        "-Djava.awt.headless=true",
        "-Djdk.nio.maxCachedBufferSize=1024",
        "-Dlog4j2.disable.jmx=true",
        "--enable-native-access=ALL-UNNAMED",
        *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED_PACKAGES),
        "-cp",
        ":".join(jars),
    ]
    return "\n".join(_quoted(argument) for argument in arguments) + "\n"


def _quoted(argument: str) -> str:
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
