"""Removes networks: on the user's word, after a failed ingest, and what a crash left behind."""

from __future__ import annotations

from ingest import lease
from store.database import Database
from store.errors import NotFound
from store.query import Query

LINKS_PER_TRANSACTION = 10_000
NEURONS_PER_TRANSACTION = 20_000

# From the network `old`: no query finds it any more, and its run goes with its last snapshot,
# unless it is $run, which goes on.
WITHDRAWN = """
    SET old.status = 'deleting', old.wanted_name = old.name, old.writer = $writer,
        old.lease = datetime() + duration({seconds: $seconds})
    REMOVE old.name
    WITH old
    OPTIONAL MATCH (run:Run)-[snapshot:SNAPSHOT]->(old)
    DELETE snapshot
    WITH old, run
    CALL (run) {
        WITH run
        WHERE run IS NOT NULL AND NOT run.name = coalesce($run, '')
          AND NOT EXISTS { (run)-[:SNAPSHOT]->() }
        DELETE run
    }
"""

HIDE = Query(
    "hide_network",
    "Takes a network's name and its place in a run away, so that no query finds it any more.",
    f"MATCH (old:Network {{name: $name}}){WITHDRAWN}RETURN old.id AS id",
    ("id",),
)

RANGES = Query(
    "neuron_ranges",
    "Where the neurons of a network lie.",
    """
MATCH (layer:Layer {network: $id})
RETURN layer.first AS first, layer.first + layer.size AS end ORDER BY first
""",
    ("first", "end"),
)

REMOVE_LINKS = Query(
    "remove_links",
    "Removes some of the links that leave a range of neurons.",
    """
MATCH (neuron:Neuron) WHERE $first <= neuron.id < $end
MATCH (neuron)-[link:LINK|WIRE]->()
WITH link LIMIT $most
DELETE link
""",
)

REMOVE_NEURONS = Query(
    "remove_neurons",
    "Removes some neurons of a range.",
    """
MATCH (neuron:Neuron) WHERE $first <= neuron.id < $end
WITH neuron LIMIT $most
DETACH DELETE neuron
""",
)

REMOVE_NETWORK = Query(
    "remove_network",
    "Removes a network, its layers, parameters, observations and kept answers.",
    """
CALL () {
    MATCH (block:Block {network: $id})
    DELETE block
}
MATCH (network:Network {id: $id})
OPTIONAL MATCH (network)-[:HAS_LAYER|HAS_PARAMETER|HAS_OBSERVATION|HAS_ANSWER]->(part)
DETACH DELETE part
WITH DISTINCT network
DETACH DELETE network
""",
)

UNFINISHED = Query(
    "unfinished_networks",
    "Networks, or those of a name, that are being written or removed, with who does it.",
    """
MATCH (network:Network)
WHERE network.status IN ['writing', 'deleting'] AND network.writer IS NOT NULL
  AND ($name IS NULL OR network.wanted_name = $name)
RETURN network.id AS id, network.writer AS writer, network.lease < datetime() AS expired
ORDER BY id
""",
    ("id", "writer", "expired"),
)


TAKE_OVER = Query(
    "take_over",
    "Makes what a crashed writer left the caller's to remove, unless another caller was faster.",
    # Setting a property locks the node before its writer is read.
    """
MATCH (network:Network {id: $id}) WHERE network.status <> 'complete'
SET network.locked = true
REMOVE network.locked
WITH network WHERE network.writer = $crashed
SET network.status = 'deleting', network.writer = $writer,
    network.lease = datetime() + duration({seconds: $seconds})
RETURN network.id AS id
""",
    ("id",),
)


def delete(database: Database, name: str) -> None:
    """Removes all of one network, its run where that has no other snapshot, and nothing else.

    The network is gone for every query at once; its links then go in batches. If that is broken
    off, the next ingest or delete goes on with it.

    Raises
    ------
    NotFound
        If there is no complete network of that name.

    Example
    -------
    >>> delete(database, "digits-000")                                  # doctest: +SKIP
    """
    clean_up(database)
    with lease.held() as writer:
        hidden = database.write(
            HIDE, name=name, run=None, writer=writer, seconds=lease.SECONDS
        ).rows
        if not hidden:
            raise NotFound(f"There is no network {name!r}.")
        remove(database, hidden[0][0], writer)


def remove(database: Database, network: int, writer: str) -> None:
    """Removes the network of that id, in batches; it is not visible and `writer` holds it."""
    ranges = database.read(RANGES, id=network, row_cap=1_000_000).rows
    with lease.renewed(database, network, writer):
        for query, most, counter in (
            (REMOVE_LINKS, LINKS_PER_TRANSACTION, "relationships_deleted"),
            (REMOVE_NEURONS, NEURONS_PER_TRANSACTION, "nodes_deleted"),
        ):
            for first, end in ranges:
                while True:
                    changed = database.write(query, first=first, end=end, most=most)
                    if (changed.counters or {})[counter] == 0:
                        break
    database.write(REMOVE_NETWORK, id=network)


def clean_up(database: Database, *, but: int | None = None, name: str | None = None) -> None:
    """Removes what writers left that crashed: those known to have ended, or silent for long.

    Parameters
    ----------
    but
        A network that is left as it is.
    name
        Only what should be, or was, called so.
    """
    for network, crashed, expired in database.read(UNFINISHED, name=name).rows:
        if network != but and (expired or lease.ended(crashed)):
            with lease.held() as writer:
                discard(database, network, crashed, writer)


def discard(database: Database, network: int, of: str, writer: str) -> None:
    """Removes what the writer `of` did not complete, unless another caller was faster.

    A network that was completed stays: a commit may have succeeded although its writer was told
    of an error.
    """
    taken = database.write(TAKE_OVER, id=network, crashed=of, writer=writer, seconds=lease.SECONDS)
    if taken.rows:
        remove(database, network, writer)
