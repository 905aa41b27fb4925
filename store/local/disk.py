"""Disk failures, told in one sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import DiskUnusable

_DISK_ERRNOS = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EIO,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)


def is_disk_error(error: OSError) -> bool:
    """Whether the disk, rather than the network or a process, refused."""
    return error.errno in _DISK_ERRNOS


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn disk failures inside the block into `DiskUnusable` naming the folder.

    Raises
    ------
    DiskUnusable
        If the disk is full, read-only, or the path is not a folder that can be written.

    Example
    -------
    >>> with disk_errors(Path("/proc/none")):
    ...     Path("/proc/none").mkdir()
    Traceback (most recent call last):
    store.errors.DiskUnusable: /proc/none cannot be used: No such file or directory.
    """
    try:
        yield
    except OSError as error:
        if not is_disk_error(error):
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DiskUnusable(f"{folder} cannot be used: {reason}.") from error


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a text file so that readers see the old or the new text, never a part.

    Parameters
    ----------
    path
        File to write; its folder exists.
    text
        The whole new content.
    mode
        Permissions of the file from its first byte on.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
