"""Answers that are kept in the graph: a network never changes, so neither does what it answers.

``(:Network)-[:HAS_ANSWER]->(:Answer {key, question, body, created})``; an answer goes with its
network, and one that another edition of the queries gave is never found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from store.database import Database
from store.errors import PermissionDenied
from store.query import Query, Table
from store.values import plain

MOST_ROWS: Final = 100_000
LONGEST: Final = 16_000_000
"""Characters of a longer answer are not kept: reading them would take as long as asking."""

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
) -> Table:
    """The kept answer to a question, or a new one, which is then kept.

    Parameters
    ----------
    question, arguments
        What is asked; the same question with the same arguments has the same answer.
    ask
        Gives the answer from a database.

    Returns
    -------
    Table
        As `ask` gives it, cut by the database's row cap; of a kept one `took_ms` is the time to
        find it. It is asked for :data:`MOST_ROWS` rows, so that whoever wants few rows makes an
        answer for all; one that has more still is not kept. Where the server allows no writing,
        nothing is kept.
    """
    key = _key(question, arguments)
    found = database.read(FIND_ANSWER, network=network, key=key)
    if not found.rows:
        return ask(database)
    identity, body = found.rows[0]
    if body is not None:
        return _table(json.loads(body), found.took_ms).cut(database.row_cap)
    answer = ask(database.limited(row_cap=max(database.row_cap, MOST_ROWS)))
    if answer.truncated:
        return answer.cut(database.row_cap)
    body = json.dumps(
        {
            "columns": answer.columns,
            "rows": answer.rows,
            "cypher": answer.cypher,
            "parameters": plain(dict(answer.parameters)),
            "notes": answer.notes,
        }
    )
    if len(body) <= LONGEST:
        # A reader's account asks anew each time.
        with suppress(PermissionDenied):
            database.write(
                KEEP_ANSWER, id=identity, network=network, key=key, question=question, body=body
            )
    return answer.cut(database.row_cap)


def _table(body: dict[str, Any], took_ms: float) -> Table:
    return Table(
        tuple(body["columns"]),
        body["rows"],
        body["cypher"],
        body["parameters"],
        took_ms=took_ms,
        notes=tuple(body["notes"]),
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
