"""What the operator of a service decides."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Options:
    """Options of one service.

    Parameters
    ----------
    cypher
        Whether clients may send Cypher of their own (read only).
    token
        What clients must send as ``Authorization: Bearer``; None: nobody is asked for one.
    hosts
        Names that a ``Host`` header may have, without port; None: any. A service on loopback
        names them, or else any web page could reach it through a name that it points there.
    concurrent
        How many questions may be with the database at once; one more is told to come again.
    body_bytes
        Longest request body, in bytes.
    health_seconds
        How long the database may take to show that it is there, in seconds.
    """

    cypher: bool = False
    token: SecretStr | None = None
    hosts: frozenset[str] | None = LOOPBACK_HOSTS
    concurrent: int = 8
    body_bytes: int = 1_000_000
    health_seconds: float = 3.0
