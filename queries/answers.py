"""Answers that are kept in the graph: a network never changes, so neither does what it answers.

``(:Network)-[:HAS_ANSWER]->(:Answer {key, question, body, created})``; an answer goes with its
network, and one that another edition of the queries gave is never found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from queries import pages
from queries.turns import Turns
from store.database import Database
from store.errors import Conflict, InvalidArgument, PermissionDenied
from store.query import Query, Table
from store.values import plain

MOST_ROWS: Final = 100_000
LONGEST: Final = 16_000_000
"""Characters of a longer answer are not kept: reading them would take as long as asking."""
_TURNS: Final = Turns()

FIND_ANSWER = Query(
    "find_answer",
    "The id of a network, and an answer that is kept with it.",
    """
MATCH (network:Network {name: $network})
OPTIONAL MATCH (network)-[:HAS_ANSWER]->(answer:Answer {key: $key})
RETURN network.id AS id, answer.body AS body LIMIT 1
""",
    ("id", "body"),
)

KEEP_ANSWER = Query(
    "keep_answer",
    "Keeps an answer with its network, if that is still there.",
    # Setting a property locks the network, so that two who keep one answer keep it once.
    """
MATCH (network:Network {id: $id}) WHERE network.name = $network
SET network.locked = true
REMOVE network.locked
MERGE (network)-[:HAS_ANSWER]->(answer:Answer {key: $key})
ON CREATE SET answer.question = $question, answer.body = $body, answer.created = datetime()
""",
)


def kept(
    database: Database,
    network: str,
    question: str,
    arguments: Mapping[str, Any],
    ask: Callable[[Database], Table],
    after: str | None = None,
) -> Table:
    """The kept answer to a question, or a new one, which is then kept.

    Parameters
    ----------
    question, arguments
        What is asked; the same question with the same arguments has the same answer.
    ask
        Gives the answer from a database.
    after
        Where to go on: the `after` of an answer that was cut. It names the kept answer by its
        content, so pages are always of one answer, whatever became of the network meanwhile.

    Returns
    -------
    Table
        As `ask` gives it, cut by the database's row cap; of a kept one `took_ms` is the time to
        find it. It is asked for :data:`MOST_ROWS` rows, so that whoever wants few rows makes an
        answer for all; one that has more still is not kept. Where the server allows no writing,
        nothing is kept. What is not kept cannot go on: its `after` is None.

    Raises
    ------
    InvalidArgument
        If `after` is not what an answer said.
    Conflict
        If the answer that it goes on is there no more.
    """
    place = None if after is None else _place(after)
    key = _key(question, arguments)
    identity, page = _found(database, network, key, place)
    if identity is None:
        return ask(database)
    if page is not None:
        return page
    # Ten readers of a page that was just opened shall not have ten answers made.
    with _TURNS.of(f"{network} {key}", database.read_seconds):
        identity, page = _found(database, network, key, place)
        if identity is None:
            return ask(database)
        if page is not None:
            return page
        answer = ask(database.limited(row_cap=max(database.row_cap, MOST_ROWS)))
        body = None if answer.truncated else _body(answer)
        if body is not None and _keep(
            database, id=identity, network=network, key=key, question=question, body=body
        ):
            if place is None and len(answer.rows) <= database.row_cap:
                return answer
            # Another process may have kept its own a moment before: pages are of what is kept.
            _, page = _found(database, network, key, place)
            if page is not None:
                return replace(page, took_ms=answer.took_ms)
    if place is not None:
        raise _gone()
    return answer.cut(database.row_cap)


def _found(
    database: Database, network: str, key: str, place: tuple[str, int] | None
) -> tuple[int | None, Table | None]:
    """The id of a network, and a page of the answer that is kept with it, if one is."""
    found = database.read(FIND_ANSWER, network=network, key=key)
    if not found.rows:
        return None, None
    identity, body = found.rows[0]
    return identity, None if body is None else _page(body, found.took_ms, place, database.row_cap)


def _body(answer: Table) -> str | None:
    body = json.dumps(
        {
            "columns": answer.columns,
            "rows": answer.rows,
            "cypher": answer.cypher,
            "parameters": plain(dict(answer.parameters)),
            "notes": answer.notes,
        }
    )
    return body if len(body) <= LONGEST else None


def _keep(database: Database, **answer: Any) -> bool:
    try:
        database.write(KEEP_ANSWER, **answer)
    except PermissionDenied:
        # A reader's account asks anew each time.
        return False
    return True


def _place(after: str) -> tuple[str, int]:
    digest, rows = pages.key(after, str, int)
    return digest, rows


def _gone() -> Conflict:
    return Conflict(
        "The answer that this page follows is there no more: its network was replaced or the "
        "queries were. Begin again, without after."
    )


def _page(body: str, took_ms: float, place: tuple[str, int] | None, most: int) -> Table:
    """So many rows at most of a kept answer, from a place in it on."""
    told = json.loads(body)
    rows = told["rows"]
    first = 0 if place is None else place[1]
    end = first + most
    one_of_many = place is not None or end < len(rows)
    digest = hashlib.sha256(body.encode()).hexdigest()[:32] if one_of_many else ""
    if place is not None and place[0] != digest:
        raise _gone()
    if not 0 <= first <= len(rows):
        raise InvalidArgument(f"after cannot name row {first}: the answer has {len(rows)}.")
    return Table(
        tuple(told["columns"]),
        rows[first:end],
        told["cypher"],
        told["parameters"],
        end < len(rows),
        took_ms,
        tuple(told["notes"]),
        pages.mark([digest, end]) if end < len(rows) else None,
    )


def _key(question: str, arguments: Mapping[str, Any]) -> str:
    asked = json.dumps([_edition(), question, plain(dict(arguments))], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()


@cache
def _edition() -> str:
    """Changes whenever anything of the query layer does: nobody has to think of old answers."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
