"""A database made beside the local store that takes its place when it is complete."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from rich.console import Console

from store.errors import InvalidArgument
from store.local import process as java_process
from store.local.disk import disk_errors
from store.local.home import Home
from store.local.server import down, status, up
from store.settings import Settings

DATABASE: Final = "neo4j"
# What a database is on disk: its store, and the log of its transactions.
_PARTS: Final = ("databases", "transactions")
_PREFIX: Final = ".beside-"
_LOCK: Final = "lock"


def local_home(settings: Settings, doing: str) -> Home:
    """The home of the local store.

    Parameters
    ----------
    doing
        What cannot be done to another server, such as ``back it up``.

    Raises
    ------
    InvalidArgument
        If the settings name a server elsewhere.
    """
    if settings.uri is not None:
        raise InvalidArgument(
            f"WEIGHTOME_URI names a server that is not Weightome's own, so Weightome cannot "
            f"{doing}."
        )
    return Home.of(settings)


def exists(home: Home) -> bool:
    """Whether the home has a store, be it an empty one."""
    return _folder(home, _PARTS[0]).exists()


@contextmanager
def stopped(settings: Settings, console: Console) -> Iterator[None]:
    """No server runs while the block does; if one ran before, one runs again after it."""
    ran = status(settings).state != "stopped"
    if ran:
        console.print("Neo4j is stopped meanwhile ...")
        down(settings, console=console)
    try:
        yield
    finally:
        if ran:
            up(settings, console=console)


@contextmanager
def closed(settings: Settings, console: Console) -> Iterator[None]:
    """No server of the home runs while the block does, and none can be started.

    Whoever wants one waits for the end of the block.
    """
    home = Home.of(settings)
    home.create()
    while True:
        down(settings, console=console)
        with home.lock(console):
            if java_process.find(home) is not None:
                continue  # somebody was faster
            yield
            return


@contextmanager
def beside(settings: Settings) -> Iterator[Settings]:
    """Settings of a home for a database that is to take the place of the local store's.

    It lies on the same disk. What is left of it at the end of the block goes, and so does what
    processes left that were killed in theirs.

    Raises
    ------
    DiskUnusable
        If the disk is full or read-only.
    """
    home = Home.of(settings)
    home.create()
    with (
        disk_errors(home.folder),
        tempfile.TemporaryDirectory(dir=home.folder, prefix=_PREFIX) as folder,
        FileLock(f"{folder}/{_LOCK}"),
    ):
        for other in home.folder.glob(f"{_PREFIX}*/{_LOCK}"):
            _remove_abandoned(other)
        yield settings.model_copy(
            update={"home": Path(folder) / "home", "cache": settings.cache_folder}
        )


def _remove_abandoned(lock: Path) -> None:
    try:
        with FileLock(lock, blocking=False):
            shutil.rmtree(lock.parent, ignore_errors=True)
    except Timeout:
        pass  # its process is at work


def swap(home: Home, made: Home) -> None:
    """Puts the database of the home beside into the place of the one that is there.

    Call it while the server is :func:`closed`. Where a step fails, all is as it was.
    """
    before = made.folder / "before"
    moved: list[tuple[Path, Path]] = []
    try:
        for part in _PARTS:
            old, new = _folder(home, part), _folder(made, part)
            for source, target in ((old, before / part), (new, old)):
                if source.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source.rename(target)
                    moved.append((source, target))
    except BaseException:
        for source, target in reversed(moved):
            target.rename(source)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _folder(home: Home, part: str) -> Path:
    return home.data / part / DATABASE
