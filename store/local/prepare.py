"""Everything that the local server needs on disk before it starts."""

from __future__ import annotations

import subprocess

import psutil
from rich.console import Console

from store.errors import DiskUnusable, ServerFailed
from store.local.configuration import configuration_text, java_arguments_text, memory_for
from store.local.disk import disk_errors, write_atomically
from store.local.fetch import Jars, fetch
from store.local.home import Home
from store.local.process import ADMIN_CLASS, environment, failure_reason, java
from store.settings import Settings

# Neo4j preallocates transaction logs; below this it dies half-way with a stack trace.
_SMALLEST_FREE_BYTES = 512 * 1024 * 1024


def prepare(settings: Settings, home: Home, console: Console) -> None:
    """Everything that a start needs on disk but the port: room, password, jars.

    Raises
    ------
    DiskUnusable
        If the home or cache folder is full or read-only.
    DownloadFailed
        If the jars cannot be fetched.
    ServerFailed
        If the password of the data is lost or cannot be set.
    """
    with disk_errors(home.folder):
        free = psutil.disk_usage(str(home.folder)).free
    if free < _SMALLEST_FREE_BYTES:
        raise DiskUnusable(
            f"{home.folder} has {free / 1e6:.0f} MB free; Neo4j needs "
            f"{_SMALLEST_FREE_BYTES / 1e6:.0f} MB to start."
        )
    home.ensure_password_file()
    jars = fetch(settings, console=console)
    home.link_plugins(jars.procedures)
    write_java_arguments(settings, home, jars)
    if not home.configuration.exists():
        write_configuration(settings, home, settings.port)
    if not home.has_users:
        # The tool reads the argument from the file itself: it is in no process list.
        run_admin(home, "dbms", "set-initial-password", f"@{home.password_file}")


def write_configuration(settings: Settings, home: Home, port: int) -> None:
    """Write neo4j.conf for a server on this port."""
    text = configuration_text(port=port, memory=memory_for(settings))
    with disk_errors(home.folder):
        write_atomically(home.configuration, text)


def write_java_arguments(settings: Settings, home: Home, jars: Jars) -> None:
    """Write the class path, memory and flags that every Java of this home starts with."""
    text = java_arguments_text(
        memory=memory_for(settings), class_path=jars.class_path, logs=home.logs
    )
    with disk_errors(home.folder):
        write_atomically(home.java_arguments, text)


def run_admin(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the administration tool of a prepared home.

    Raises
    ------
    ServerFailed
        If it fails; with its reason.
    """
    result = subprocess.run(
        [
            str(java()),
            f"@{home.java_arguments}",
            ADMIN_CLASS,
            *arguments,
        ],
        cwd=home.folder,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        reason = failure_reason((result.stderr + result.stdout).splitlines())
        raise ServerFailed(f"neo4j-admin {' '.join(arguments[:2])} failed: {reason}.")
    return result
