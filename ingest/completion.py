"""The end of an ingest: a network gets its name, and is visible from then on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ingest import lease, statements
from ingest.claim import Claim
from ingest.network import Network
from store import schema, views
from store.database import Database
from store.errors import Conflict, ConstraintViolated, InvalidArgument, VerificationFailed
from store.query import Query

COMPLETED = Query(
    "completed_network",
    "The network of an id, if it is complete.",
    "MATCH (network:Network {id: $id, status: 'complete'}) RETURN network.name AS name",
    ("name",),
)


def complete(
    database: Database,
    claim: Claim,
    name: str,
    run: str | None,
    step: int | None,
    properties: Mapping[str, Any],
    replaces: int | None,
) -> None:
    """Gives a network that was verified its name and its run.

    Parameters
    ----------
    properties
        As :func:`properties_of` gives them.
    replaces
        The id of a complete network of that name, which loses it.

    Raises
    ------
    Conflict
        If another network took the name meanwhile.
    VerificationFailed
        If the network is no longer the caller's.
    """
    try:
        completed = database.write(
            statements.COMPLETE,
            id=claim.network,
            name=name,
            run=run,
            step=step,
            properties=properties,
            replaces=replaces,
            writer=claim.writer,
            seconds=lease.SECONDS,
        )
    except ConstraintViolated as error:
        raise Conflict(f"Another network took the name {name!r} meanwhile.") from error
    if not completed.rows:
        raise VerificationFailed(f"The store lost {name!r} while it was being written.")


def properties_of(
    network: Network,
    name: str,
    run: str | None,
    step: int | None,
    metrics: Mapping[str, float],
) -> dict[str, Any]:
    """What ``(:Network)`` holds when it is complete, beside its name.

    Raises
    ------
    InvalidName, InvalidArgument
        If a name cannot be used, a metric is not finite, or a step has no run.
    """
    schema.valid_name(name)
    schema.valid_snapshot(run, step)
    for metric, value in metrics.items():
        schema.valid_name(metric, "metric")
        if not math.isfinite(value):
            raise InvalidArgument(f"The metric {metric!r} is {value}; only finite values are kept.")
    return {
        "view": network.view,
        "source": network.source,
        "layers": len(network.layers),
        "neurons": network.neuron_count,
        "links": network.link_count,
        "wires": network.wire_count,
        "outputs": views.dumps(network.outputs),
        "parameters": sum(parameter.size for parameter in network.parameters),
        "step": step,
        **{f"metric_{metric}": float(value) for metric, value in metrics.items()},
    }


def is_complete(database: Database, network: int) -> bool:
    """Whether the network of that id is complete: who was killed at the end cannot know.

    Example
    -------
    >>> is_complete(database, 7)                                        # doctest: +SKIP
    """
    return bool(database.read(COMPLETED, id=network).rows)
