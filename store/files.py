"""Files that users ask for: each appears whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import Conflict, InvalidArgument


def refuse_existing(path: Path, *, replace: bool = False) -> None:
    """Asks before work begins whether its file may be written.

    Raises
    ------
    Conflict
        If it is there already and `replace` is False.
    """
    if path.exists() and not replace:
        raise Conflict(f"There is a file {str(path)!r} already: choose another, or pass --replace.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place when the block ends.

    Parameters
    ----------
    path
        Where the file shall be. A link is followed; what is no file (a pipe) is written itself.

    Raises
    ------
    InvalidArgument
        If the disk refuses. What was at `path` before is there still, and nothing else.

    Example
    -------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder) / "answer") as unfinished:
    ...         _ = unfinished.write_text("42")
    ...     (Path(folder) / "answer").read_text()
    '42'
    """
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        final = Path(os.path.realpath(path))
        unfinished = final.with_name(f".{final.name}.{secrets.token_hex(4)}")
        try:
            yield unfinished
            unfinished.replace(final)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidArgument(f"{str(path)!r} cannot be written: {error.strerror}.") from error
