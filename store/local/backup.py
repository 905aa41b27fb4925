"""The whole local store as one file, and back."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rich.console import Console

from store.errors import Conflict, InvalidArgument, ServerFailed
from store.files import refuse_existing
from store.local.disk import disk_errors
from store.local.home import Home
from store.local.replacement import DATABASE, beside, closed, exists, local_home, stopped, swap
from store.local.server import admin
from store.settings import Settings


def backup(
    settings: Settings, file: Path, *, replace: bool = False, console: Console | None = None
) -> int:
    """Writes the whole local store into one file.

    The server is stopped meanwhile, and started again if it ran. The password is not in the file.

    Parameters
    ----------
    file
        Where to; it appears only when it is complete.
    replace
        Whether a file that is there may be overwritten.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    InvalidArgument
        If the settings name a server elsewhere, or there is no local store yet.
    Conflict
        If the file is there already.
    DiskUnusable, ServerFailed
        If the store cannot be read or the file not be written.

    Example
    -------
    >>> backup(Settings(), Path("weightome.dump"))                      # doctest: +SKIP
    18432
    """
    console = console or Console(stderr=True)
    home = local_home(settings, "back it up: its own tools can")
    refuse_existing(file, replace=replace)
    if not exists(home):
        raise InvalidArgument(f"There is no store in {home.folder} to back up.")
    with (
        stopped(settings, console),
        disk_errors(file.parent),
        tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as folder,
    ):
        console.print("The store is being written to the file ...")
        admin(
            settings, "database", "dump", DATABASE, f"--to-path={os.path.abspath(folder)}",
            console=console,
        )  # fmt: skip
        written = Path(folder) / f"{DATABASE}.dump"
        size = written.stat().st_size
        written.replace(file)
    return size


def restore(
    settings: Settings, file: Path, *, replace: bool = False, console: Console | None = None
) -> None:
    """Makes the local store what a file of :func:`backup` says.

    The file is loaded beside the store, which takes its place only when it is complete: a failure
    leaves everything as it was. The server is stopped meanwhile, and started again if it ran.

    Parameters
    ----------
    file
        As :func:`backup` wrote it.
    replace
        Whether a store that is there may be replaced.

    Raises
    ------
    InvalidArgument
        If the settings name a server elsewhere, or there is no such file.
    Conflict
        If there is a store already.
    DiskUnusable, ServerFailed
        If the file is none of a store, or cannot be loaded.

    Example
    -------
    >>> restore(Settings(), Path("weightome.dump"), replace=True)       # doctest: +SKIP
    """
    console = console or Console(stderr=True)
    home = local_home(settings, "restore it: its own tools can")
    if not file.is_file():
        raise InvalidArgument(f"There is no file {str(file)!r}.")
    if exists(home) and not replace:
        raise Conflict(
            f"There is a store in {home.folder} already: restoring replaces all its networks, "
            "which wants --replace."
        )
    with beside(settings) as made:
        source = Home.of(made).folder.parent / "from"
        source.mkdir()
        (source / f"{DATABASE}.dump").symlink_to(file.resolve())
        console.print("The file is being loaded ...")
        try:
            admin(
                made, "database", "load", DATABASE, f"--from-path={os.path.abspath(source)}",
                "--overwrite-destination=true", console=console,
            )  # fmt: skip
        except ServerFailed as error:
            raise ServerFailed(f"{str(file)!r} cannot be restored: {error}") from error
        with stopped(settings, console), closed(settings, console):
            swap(home, Home.of(made))
