"""What the operator of a service decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from service.tokens import Tokens

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Options:
    """Options of one service.

    Parameters
    ----------
    cypher
        Whether clients may send Cypher of their own (read only).
    tokens
        One of them clients must send as ``Authorization: Bearer``, and may do what its scopes
        say; None: nobody is asked for one, and may do everything.
    hosts
        Names that a ``Host`` header may have, without port; None: any. A service on loopback
        names them, or else any web page could reach it through a name that it points there.
    origins
        Whose web pages may use the service besides its own, as :func:`service.origins.origin`
        gives them.
    concurrent
        How many questions may be with the database at once.
    waiting
        How many more may wait for that; one more still is told to come again.
    patience_seconds
        How long they wait before they are told so, in seconds.
    body_bytes
        Longest request body, in bytes.
    body_seconds
        How long a client may take to send its body, in seconds; where the body is streamed, to
        send the next piece of it.
    upload_bytes
        Longest model file that clients may send, in bytes; 0: none at all.
    spool
        Folder where such files wait for their jobs, :func:`service.spool.root_for` a store; None:
        no files are taken.
    jobs_running
        How many files are ingested at once.
    jobs_waiting
        How many more may wait for that; one more still is told to come again.
    health_seconds
        How long the database may take to show that it is there, in seconds.
    """

    cypher: bool = False
    tokens: Tokens | None = None
    hosts: frozenset[str] | None = LOOPBACK_HOSTS
    origins: frozenset[str] = frozenset()
    concurrent: int = 8
    waiting: int = 128
    patience_seconds: float = 30.0
    body_bytes: int = 1_000_000
    body_seconds: float = 30.0
    upload_bytes: int = 2_000_000_000
    spool: Path | None = None
    jobs_running: int = 1
    jobs_waiting: int = 8
    health_seconds: float = 3.0
