"""The one place where text becomes part of a Cypher query rather than a parameter."""

from __future__ import annotations

import re

from store.errors import InvalidName

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def identifier(name: str) -> str:
    """`name` as a Cypher identifier, quoted with backticks where Cypher needs it.

    Raises
    ------
    InvalidName
        If the name is empty or holds a NUL or a backslash: Cypher 5 turns ``\\u0060`` into a
        backtick before it parses, so a backslash could end the quotation.

    Example
    -------
    >>> identifier("weight"), identifier("a`b c")
    ('weight', '`a``b c`')
    """
    if not name or "\0" in name or "\\" in name:
        raise InvalidName(f"{name!r} cannot be a Cypher identifier.")
    if _PLAIN.match(name):
        return name
    return "`" + name.replace("`", "``") + "`"
