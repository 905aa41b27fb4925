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
    if run is not None:
        schema.valid_name(run, "run")
    if step is not None and run is None:
        raise InvalidArgument("A step says when in a run a snapshot was taken: name the run too.")
    if step is not None and not -(2**63) <= step < 2**63:
        raise InvalidArgument("A step has at most 64 bits.")
    if run is not None and step is None:
        raise InvalidArgument("A snapshot of a run needs a step.")
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
