"""What the graph is: the contract between ingest and queries.

::

    (:Run {name}) -[:SNAPSHOT {step}]-> (:Network {id, name, status, view, step, ...})
    (:Network)    -[:HAS_LAYER]->     (:Layer {network, index, name, kind, activation, ...})
    (:Network)    -[:HAS_PARAMETER]-> (:Parameter {network, index, name, shape, dtype, first,
                                                   values})
    (:Layer)      -[:FEEDS {recurrent}]-> (:Layer)
    (:Layer)      -[:HAS_NEURON]->    (:Neuron {id, index, bias, bias_param, role, head, ...})
    (:Neuron)     -[:LINK {weight, param, position}]-> (:Neuron)  one per learned weight
    (:Neuron)     -[:WIRE {weight, position}]->        (:Neuron)  fixed, never in strength
    (:Network)    -[:HAS_OBSERVATION]-> (:Observation {name, key, samples, labels, created})
    (:Network)    -[:HAS_ANSWER]->    (:Answer {key, question, body, created})
    (:Block {network, key, divided})   a part that is written of a network that is not complete
    (:Store {key, version, next_neuron, next_network})     one per database

``Neuron.id`` is unique over the store; a layer's neurons are ``first .. first + size - 1``.
``Network.name`` is set only on a complete network, so a name never shows half a network, and the
uniqueness of names is the database's own. ``param`` is the position of a weight in the flat
vector of all parameters; ``Parameter.first`` says where each tensor begins in it, so links that
share a weight (convolutions, tied layers) carry the same ``param``. A tensor that links and
neurons do not hold in whole is kept as ``Parameter.values``. An ``Answer`` is what a
question about the network was answered (:mod:`queries.answers`); an ``Observation`` is a sample
that was run through it, whose results are properties of the neurons (:mod:`queries.observing`).
``(:Neuron)-[:MATCHES {similarity, by}]->(:Neuron)`` pairs neurons of two networks
(:mod:`queries.matching`).

``Network.view`` is ``shared`` (a neuron stands along ``Layer.axes`` of the layer's ``shape`` and is
used again along the others) or ``unrolled`` (a neuron for each value; images' neurons have
``channel``, ``row`` and ``col``, sequences' ``step`` and ``channel``). ``position`` tells links
between the same two neurons apart: the place in a kernel, or which of the source's positions it
weighs; on a wire, which operand it brings. What a layer computes of what, beside its links, is in
``Layer.kind``, ``activation``, ``attributes`` (JSON) and ``takes`` (JSON, see
:mod:`store.views`); neurons' further values are ``recurrent_bias``, ``mean`` and ``variance``, each
with its ``..._param``.
"""

from __future__ import annotations

import unicodedata

from store.database import Database
from store.errors import InvalidArgument, InvalidName, SchemaMismatch
from store.query import Query

VERSION = 3
# A store that was just imported: its constraints are to come.
WITHOUT_CONSTRAINTS = 0
# What stores of these versions lack, the next ingest adds: version 3 came with (:Block).
OLDER = (WITHOUT_CONSTRAINTS, 2)

COMPLETE = "complete"

LONGEST_NAME = 200

CONSTRAINTS: tuple[Query, ...] = tuple(
    Query(
        f"constraint_{name}",
        f"Makes {label} unique by {', '.join(keys)}.",
        f"CREATE CONSTRAINT weightome_{name} IF NOT EXISTS FOR (x:{label}) "
        f"REQUIRE ({', '.join('x.' + key for key in keys)}) IS UNIQUE",
    )
    for name, label, keys in (
        ("store", "Store", ("key",)),
        ("run", "Run", ("name",)),
        ("network_id", "Network", ("id",)),
        ("network_name", "Network", ("name",)),
        ("layer", "Layer", ("network", "index")),
        ("parameter", "Parameter", ("network", "index")),
        ("neuron", "Neuron", ("id",)),
        ("block", "Block", ("network", "key")),
    )
)

STORE_VERSION = Query(
    "store_version",
    "Schema version that the store was written with.",
    "MATCH (store:Store {key: 'weightome'}) RETURN store.version AS version",
    ("version",),
)

CREATE_STORE = Query(
    "create_store",
    "Creates the store's own node, once, and says which version it has now.",
    """
MERGE (store:Store {key: 'weightome'})
ON CREATE SET store.next_neuron = 0, store.next_network = 0
SET store.version = $version
""",
)


def check(database: Database) -> int | None:
    """The schema version of the store, None of an empty one; refuses one that is not readable.

    Raises
    ------
    SchemaMismatch
        If the store was written by another schema version.
    """
    versions = database.read(STORE_VERSION).column("version")
    if not versions:
        return None
    if versions[0] not in (VERSION, *OLDER):
        raise SchemaMismatch(
            f"The store has schema version {versions[0]}, this Weightome writes and reads "
            f"version {VERSION}: use the Weightome that wrote it, or an empty database "
            "(WEIGHTOME_HOME or WEIGHTOME_URI) and ingest again."
        )
    return int(versions[0])


def prepare(database: Database) -> None:
    """Creates the constraints and the store node where they are missing.

    Raises
    ------
    SchemaMismatch
        If the store was written by another schema version; nothing is changed then.
    """
    if check(database) == VERSION:
        return
    for constraint in CONSTRAINTS:
        database.write(constraint)
    database.write(CREATE_STORE, version=VERSION)


def valid_name(name: str, what: str = "network") -> str:
    """The name, when a run, a network or a metric may be called that.

    Any text of 1 to 200 characters will do, quotes and Cypher included, since names reach the
    database as parameters only; control characters and outer white space will not.

    Raises
    ------
    InvalidName
        Says what is wrong with it.

    Example
    -------
    >>> valid_name("it's `fine`")
    "it's `fine`"
    """
    if not name:
        raise InvalidName(f"A {what} needs a name that is not empty.")
    if len(name) > LONGEST_NAME:
        raise InvalidName(
            f"The {what} name has {len(name)} characters; at most {LONGEST_NAME} are allowed."
        )
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        raise InvalidName(f"The {what} name {name!r} holds a control character or line break.")
    if name in (".", ".."):
        # Browsers and other clients take them out of an address, even percent-encoded.
        raise InvalidName(f"A {what} cannot be called {name!r}.")
    if name != name.strip():
        raise InvalidName(f"The {what} name {name!r} begins or ends with white space.")
    return name


def valid_snapshot(run: str | None, step: int | None) -> None:
    """Refuses a place in a run that a network cannot have.

    Raises
    ------
    InvalidName, InvalidArgument
        If the run's name cannot be used, one of the two is missing, or the step has more than 64
        bits.

    Example
    -------
    >>> valid_snapshot("training", 100)
    """
    if run is not None:
        valid_name(run, "run")
    if step is not None and run is None:
        raise InvalidArgument("A step says when in a run a snapshot was taken: name the run too.")
    if step is not None and not -(2**63) <= step < 2**63:
        raise InvalidArgument("A step has at most 64 bits.")
    if run is not None and step is None:
        raise InvalidArgument("A snapshot of a run needs a step.")
