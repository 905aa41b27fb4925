"""The ``Accept`` header: which of several media types a client likes best (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

# A quoted text in a parameter may hold what otherwise divides.
_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*")+')
_PART: Final = re.compile(r'(?:[^;"]|"(?:\\.|[^"\\])*")+')
_RANGE: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+", re.ASCII)
_QUALITY: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


def best(header: str, offered: Sequence[str]) -> str | None:
    """The offered media type that a client likes best; None when it takes none of them.

    Parameters
    ----------
    header
        As it was sent; empty: anything will do.
    offered
        In our order, which decides between those that the client likes equally; but one that it
        names goes before one that only a ``*`` lets in.

    Returns
    -------
    str or None
        Parameters other than ``q`` are not looked at; what cannot be read counts as not said.

    Example
    -------
    >>> best("text/csv;q=0.5, application/*;q=0.9", ["application/json", "text/csv"])
    'application/json'
    >>> best("text/*, application/json;q=0", ["application/json"]) is None
    True
    """
    if not header.strip():
        return offered[0]
    ranges = dict(_ranges(header))
    liked = []
    for place, media_type in enumerate(offered):
        for named, wanted in enumerate((media_type, f"{media_type.split('/')[0]}/*", "*/*")):
            if wanted in ranges:
                # The most particular range decides, also where it says no.
                liked.append((-ranges[wanted], named, place))
                break
    quality, _, place = min(liked, default=(0.0, 0, 0))
    return offered[place] if quality < 0 else None


def _ranges(header: str) -> Iterator[tuple[str, float]]:
    for element in _ELEMENT.findall(header):
        media_range, *parameters = (part.strip() for part in _PART.findall(element) or [""])
        quality = "1"
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "q":
                quality = value.strip()
        if _RANGE.fullmatch(media_range) and _QUALITY.fullmatch(quality):
            yield media_range.lower(), float(quality)
