"""Answers in pages: where the next one goes on is the key of the last row, never a count of rows.

Rows that come or go between two pages therefore neither hide another row nor show one twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from store.errors import InvalidArgument
from store.query import Table

_INTEGERS: Final = range(-(2**63), 2**63)


def mark(key: Sequence[Any]) -> str:
    """A row's key as the text that `after` takes.

    Example
    -------
    >>> mark(["digits", 3, "digits-3"])
    '["digits",3,"digits-3"]'
    """
    return json.dumps(list(key), ensure_ascii=False, separators=(",", ":"))


def key(after: str, *kinds: type | tuple[type, ...]) -> list[Any]:
    """The key that a text of :func:`mark` holds.

    Parameters
    ----------
    *kinds
        What each part of it must be.

    Raises
    ------
    InvalidArgument
        If it is none.

    Example
    -------
    >>> key('["digits",3,"digits-3"]', str, int, str)
    ['digits', 3, 'digits-3']
    """
    try:
        parts = json.loads(after)
        after.encode()
    except (ValueError, RecursionError):
        raise _unusable(after) from None
    if not isinstance(parts, list) or len(parts) != len(kinds):
        raise _unusable(after)
    for part, kind in zip(parts, kinds, strict=True):
        if isinstance(part, bool) or not isinstance(part, kind):
            raise _unusable(after)
        if isinstance(part, int) and part not in _INTEGERS:
            raise _unusable(after)
        if isinstance(part, str) and not _encodable(part):
            raise _unusable(after)
    return parts


def _encodable(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _unusable(after: str) -> InvalidArgument:
    return InvalidArgument(
        f"after cannot be {after[:60]!r}: give what the answer that was cut says, as it is."
    )


def keyed(table: Table, *columns: str) -> Table:
    """An answer that says where it goes on, where it was cut.

    Parameters
    ----------
    *columns
        Those that order its rows and tell each from all others.

    Example
    -------
    >>> keyed(Table(("run", "snapshots"), [["digits", 9]], truncated=True), "run").after
    '["digits"]'
    """
    if not table.truncated or not table.rows:
        return table
    last = dict(zip(table.columns, table.rows[-1], strict=True))
    return replace(table, after=mark([last[column] for column in columns]))
