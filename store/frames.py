"""An answer as an Arrow table: the types of its columns follow from all their values."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

import pyarrow

from store.values import plain

if TYPE_CHECKING:
    from store.query import Table

JSON_TEXT: Final = {"encoding": "json"}
"""Metadata of a column whose values stand as JSON text."""

_EXACT: Final = 2**53
_LEAST: Final = -(2**63)
_GREATEST: Final = 2**63 - 1
_EPOCH: Final = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 (local times have no zone)
_UTC_EPOCH: Final = _EPOCH.replace(tzinfo=datetime.UTC)


class _Instant(int):
    """Nanoseconds since 1970 in UTC."""


class _LocalTime(int):
    """Nanoseconds since 1970 on a clock whose zone is not known."""


_TYPES: Final = {
    bool: pyarrow.bool_(),
    int: pyarrow.int64(),
    float: pyarrow.float64(),
    str: pyarrow.string(),
    bytes: pyarrow.binary(),
    datetime.date: pyarrow.date32(),
    _Instant: pyarrow.timestamp("ns", "UTC"),
    _LocalTime: pyarrow.timestamp("ns"),
}
_READY: Final = frozenset({bool, int, float, str, bytes, NoneType})


def to_arrow(table: Table) -> pyarrow.Table:
    """The rows of an answer as Arrow columns; see :meth:`store.query.Table.to_arrow`."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    made = [_column(name, values) for name, values in zip(table.columns, columns, strict=True)]
    schema = pyarrow.schema([field for field, _ in made], _metadata(table))
    return pyarrow.Table.from_arrays([array for _, array in made], schema=schema)


def _metadata(table: Table) -> dict[str, str]:
    return {
        "cypher": table.cypher,
        "parameters": json.dumps(plain(dict(table.parameters))),
        "truncated": json.dumps(table.truncated),
        "took_ms": json.dumps(round(table.took_ms, 3)),
        "notes": json.dumps(table.notes),
    }


def _column(name: str, values: Sequence[Any]) -> tuple[pyarrow.Field, pyarrow.Array]:
    ready = values if set(map(type, values)) <= _READY else [_ready(value) for value in values]
    kind = _kind(ready)
    if kind is not None:
        return pyarrow.field(name, kind), pyarrow.array(ready, kind)
    texts = [None if value is None else _json(value) for value in values]
    field = pyarrow.field(name, pyarrow.string(), metadata=JSON_TEXT)
    return field, pyarrow.array(texts, field.type)


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False)


def _ready(value: Any) -> Any:
    """The value as one of the types that columns are made of."""
    kind = type(value)
    if kind in _READY:
        return value
    if kind is list or kind is tuple:
        return value if set(map(type, value)) <= _READY else [_ready(part) for part in value]
    if kind is dict:
        return {name: _ready(part) for name, part in value.items()}
    if kind is bytearray:
        return bytes(value)
    native = value.to_native() if hasattr(value, "to_native") else value
    if isinstance(native, datetime.datetime):
        # A native time ends at microseconds, the store's at nanoseconds.
        finer = getattr(value, "nanosecond", 0) % 1000
        if native.tzinfo is None:
            return _LocalTime(_nanoseconds(native - _EPOCH) + finer)
        return _Instant(_nanoseconds(native - _UTC_EPOCH) + finer)
    if type(native) is datetime.date:
        return native
    told = plain(value)
    return _ready(told) if isinstance(told, dict | list) else told


def _nanoseconds(span: datetime.timedelta) -> int:
    return (span.days * 86_400 + span.seconds) * 10**9 + span.microseconds * 1000


def _kind(values: Iterable[Any]) -> pyarrow.DataType | None:
    """The one type that holds all values as they are; None where there is none."""
    given = [value for value in values if value is not None]
    kinds = set(map(type, given))
    if not kinds:
        return pyarrow.null()
    if kinds <= {list, tuple}:
        part = _kind(itertools.chain.from_iterable(given))
        return None if part is None else pyarrow.list_(part)
    if kinds == {dict}:
        return _struct(given)
    if kinds == {int, float}:
        exact = all(abs(value) <= _EXACT for value in given if type(value) is int)
        return pyarrow.float64() if exact else None
    if len(kinds) > 1:
        return None
    (only,) = kinds
    if issubclass(only, int) and not _LEAST <= min(given) <= max(given) <= _GREATEST:
        return None
    return _TYPES.get(only)


def _struct(maps: Sequence[dict[str, Any]]) -> pyarrow.DataType | None:
    names = maps[0].keys()
    if not names or any(part.keys() != names for part in maps):
        return None
    kinds = {name: _kind(part[name] for part in maps) for name in names}
    if None in kinds.values():
        return None
    return pyarrow.struct([*kinds.items()])
