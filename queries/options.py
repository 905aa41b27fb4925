"""Checks of the options that questions share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

from store.errors import InvalidArgument

Convention = Literal["plain", "cnt"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)


def one_of(option: str, value: str, known: Collection[str]) -> str:
    """The value, when it is a known one.

    Raises
    ------
    InvalidArgument

    Example
    -------
    >>> one_of("convention", "cnt", CONVENTIONS)
    'cnt'
    """
    if value not in known:
        raise InvalidArgument(f"{option} cannot be {value!r}: choose from {', '.join(known)}.")
    return value


def positive(option: str, value: int, most: int = 100_000) -> int:
    """The value, when it is a count from 1 to `most`.

    Raises
    ------
    InvalidArgument
    """
    if not 1 <= value <= most:
        raise InvalidArgument(f"{option} cannot be {value}: give a number from 1 to {most}.")
    return value
