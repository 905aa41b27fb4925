"""An answer as CSV: the same on the command line and over HTTP."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator
from typing import Any, Final

from store.query import Table
from store.values import plain

# A spreadsheet takes a cell that begins so for a formula, which may send the sheet elsewhere.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def lines(table: Table) -> Iterator[str]:
    r"""An answer line by line, the columns' names first.

    Yields
    ------
    str
        A line with its end, ``\n``. Numbers have every digit; NaN and infinities are ``NaN``,
        ``Infinity`` and ``-Infinity``; a missing value is empty, as is an empty text; a list or a
        map is JSON. A text that a spreadsheet would take for a formula has an apostrophe before
        it, for names come from whoever ingested a model: other formats have it as it is.

    Example
    -------
    >>> list(lines(Table(("layer", "value"), [["=1+1", -0.5], ["fc1", None]])))
    ['layer,value\n', "'=1+1,-0.5\n", 'fc1,\n']
    """
    line = io.StringIO(newline="")
    # A text is quoted where it holds one of these; a line ends with the second alone.
    writer = csv.writer(line, lineterminator="\r\n")
    for row in itertools.chain([table.columns], table.rows):
        writer.writerow([_cell(value) for value in row])
        yield f"{line.getvalue()[:-2]}\n"
        line.seek(0)
        line.truncate()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    told = plain(value)
    if isinstance(told, list | dict):
        return json.dumps(told, ensure_ascii=False, allow_nan=False)
    return told
