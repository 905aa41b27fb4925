"""Paths that a user gives: whether there is a file that can be opened, in our own words."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import UnreadableModel


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Says what is wrong with a path that cannot be looked at or opened.

    Raises
    ------
    UnreadableModel
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableModel(f"There is no file {str(path)!r}.") from error
    except OSError as error:
        raise UnreadableModel(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UnreadableModel(f"{str(path)!r} is not a path: {error}.") from error


def check_regular(path: Path) -> None:
    """Refuses what is no file that can be opened: a pipe or a device would block, or never end.

    Raises
    ------
    UnreadableModel
    """
    with opening(path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableModel(f"{str(path)!r} is not a regular file.")
        with path.open("rb"):
            return
