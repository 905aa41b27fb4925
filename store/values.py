"""Values of an answer as plain JSON values.

The driver's types are known by what they have, not by their class: only :mod:`store.database`
imports the driver.
"""

from __future__ import annotations

import base64
import math
from typing import Any

_FINAL = frozenset({bool, int, str, type(None)})
_UNBOUNDED = frozenset({"NaN", "Infinity", "-Infinity"})


def plain(value: Any) -> Any:
    """The value as JSON can hold it.

    Parameters
    ----------
    value
        What a query returned.

    Returns
    -------
    Any
        ======================  ============================================================
        boolean, text, null     itself
        integer                 itself, also beyond 2**53, which JavaScript rounds
        float                   itself; ``"NaN"``, ``"Infinity"`` or ``"-Infinity"`` as text,
                                for JSON has no such number and null means missing
        list, map               the same of plain values
        node                    ``id`` (the server's element id), ``labels``, ``properties``
        relationship            ``id``, ``type``, ``start`` and ``end`` (element ids of its
                                nodes), ``properties``
        path                    ``nodes``, ``relationships``
        date, time, duration    ISO 8601 text
        point                   ``srid``, ``coordinates``
        vector                  list of its numbers
        bytes                   Base64 text
        ======================  ============================================================

        A list that is plain already is given back as it is, not copied.

    Example
    -------
    >>> plain([1.5, float("nan"), b"weights"])
    [1.5, 'NaN', 'd2VpZ2h0cw==']
    """
    kind = type(value)
    if kind in _FINAL:
        return value
    if kind is float:
        return value if math.isfinite(value) else _unbounded(value)
    if kind is list:
        return _plain_list(value)
    if kind is dict:
        return {key: plain(part) for key, part in value.items()}
    return _plain_object(value)


def is_nonfinite(value: Any) -> bool:
    """Whether the value is, or holds, a float that JSON has no number for.

    Example
    -------
    >>> is_nonfinite([1, {"loss": float("inf")}]), is_nonfinite("NaN")
    (True, False)
    """
    kind = type(value)
    if kind is float:
        return not math.isfinite(value)
    if kind is dict:
        return any(map(is_nonfinite, value.values()))
    if kind is not list:
        return False
    if set(map(type, value)) == {float}:
        return not all(map(math.isfinite, value))
    return any(map(is_nonfinite, value))


def numbers_again(value: Any) -> Any:
    """A plain value whose ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` are numbers again.

    Example
    -------
    >>> numbers_again(["-Infinity", 1])
    [-inf, 1]
    """
    if isinstance(value, str):
        return float(value) if value in _UNBOUNDED else value
    if isinstance(value, list):
        return [numbers_again(part) for part in value]
    if isinstance(value, dict):
        return {name: numbers_again(part) for name, part in value.items()}
    return value


def _plain_list(values: list[Any]) -> list[Any]:
    # Two passes that run in C: a list of a million weights is not walked through in Python.
    kinds = set(map(type, values))
    if kinds <= _FINAL:
        return values
    if kinds == {float} and all(map(math.isfinite, values)):
        return values
    return [plain(value) for value in values]


def _unbounded(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _plain_object(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    if hasattr(value, "relationships"):
        return {
            "nodes": [plain(node) for node in value.nodes],
            "relationships": [plain(link) for link in value.relationships],
        }
    if hasattr(value, "labels"):
        return {
            "id": value.element_id,
            "labels": sorted(value.labels),
            "properties": plain(dict(value.items())),
        }
    if hasattr(value, "type") and hasattr(value, "nodes"):
        start, end = (None if node is None else node.element_id for node in value.nodes)
        return {
            "id": value.element_id,
            "type": value.type,
            "start": start,
            "end": end,
            "properties": plain(dict(value.items())),
        }
    if hasattr(value, "srid"):
        return {"srid": value.srid, "coordinates": [plain(float(part)) for part in value]}
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    for method in ("iso_format", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    if hasattr(value, "to_native"):
        return plain(value.to_native())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return str(value)
