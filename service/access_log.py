"""The access log: one JSON object per request, on a line of its own, without secrets."""

from __future__ import annotations

import json
import logging
import sys

from service.visits import Visit

_LONGEST_PATH = 2_000

log = logging.getLogger("weightome.access")


def to_stderr() -> None:
    """Has the log written on stderr, as it is."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


class AccessLog:
    """An observer of visits that writes a line when one has ended."""

    def begun(self, visit: Visit) -> None:
        """Nothing yet."""

    def ended(self, visit: Visit) -> None:
        """Writes its line."""
        if log.isEnabledFor(logging.INFO):
            log.info("%s", line(visit))


def line(visit: Visit) -> str:
    """A visit as JSON.

    The values of the query stay out, for they may be names of a client's own; so does the token,
    of which only the position is told.

    Example
    -------
    >>> print(line(Visit("a1", "GET", "/v1/runs", "limit=3", status=200)))
    {"time":"...","id":"a1","method":"GET","path":"/v1/runs","query":["limit"],"status":200,...}
    """
    entry: dict[str, object] = {
        "time": visit.begun.isoformat(timespec="milliseconds"),
        "id": visit.id,
        "method": visit.method,
        "path": visit.path[:_LONGEST_PATH],
        "query": _names(visit.query),
        "status": visit.status,
        "ms": round(visit.seconds * 1000, 1),
        "bytes": visit.bytes,
        "who": visit.who,
    }
    if not visit.complete:
        entry["aborted"] = True
    return json.dumps(entry, separators=(",", ":"))


def _names(query: str) -> list[str]:
    """Names of the parameters. A word without `=` is left out: it may be anything."""
    names = [part.partition("=")[0] for part in query.split("&") if "=" in part]
    return sorted({name[:100] for name in names})
