"""Network -> Neo4j, over Bolt: all of it or, to every reader, nothing.

A network is written with status ``writing`` and no name, so no query finds it; once its counts
and weight sums were read back and agree, one transaction gives it its name. A writer that crashed
leaves its network ``writing``, and the next ingest or delete removes it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from ingest import lease, statements
from ingest.link_writer import write_links
from ingest.network import Layer, Network
from ingest.removal import clean_up, discard, remove
from ingest.room import Room
from ingest.verification import verify
from store import schema, views
from store.database import Database
from store.errors import (
    Conflict,
    ConstraintViolated,
    InvalidArgument,
    StoreError,
    StoreUnreachable,
    VerificationFailed,
)

NEURONS_PER_TRANSACTION = 10_000


@dataclass(frozen=True)
class Report:
    """What an ingest wrote.

    Parameters
    ----------
    name
        The network's name.
    layers, neurons, links, wires
        Counts, which the store was found to hold: learned links, and fixed ones.
    opaque
        Layers that were not understood and are kept without links, with their operators.
    seconds
        Time from begin to complete; removing what it replaces comes after.
    """

    name: str
    layers: int
    neurons: int
    links: int
    wires: int
    opaque: tuple[str, ...]
    seconds: float


def write(
    database: Database,
    network: Network,
    *,
    name: str,
    run: str | None = None,
    step: int | None = None,
    metrics: Mapping[str, float] | None = None,
    replace: bool = False,
    workers: int = 2,
    block_links: int = 25_000,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Writes every neuron and every link of a network into the store.

    Parameters
    ----------
    network
        What to write.
    name
        What it shall be called; must be free unless `replace`.
    run, step
        The run that it is a snapshot of, and when in the training it was taken.
    metrics
        Finite values to keep with it, such as ``{"accuracy": 0.97}``.
    replace
        Takes the place of the network of that name, which stays visible until this one is
        complete.
    workers
        Concurrent transactions.
    block_links
        Most links of one transaction.
    progress
        Called with the number of links, fixed ones included, of each transaction that was
        committed.

    Returns
    -------
    Report

    Raises
    ------
    InvalidName, InvalidArgument
        If a name cannot be used, a metric is not finite, or a step has no run.
    Conflict
        If the name is taken, or another process is writing a network of that name.
    VerificationFailed
        If what was read back is not what was written; nothing of it stays then.
    StoreError
        When the server is lost, what was written stays hidden until the next ingest or delete
        removes it.

    Example
    -------
    >>> write(database, network, name="mnist").links                    # doctest: +SKIP
    199210
    """
    started = time.perf_counter()
    properties = _properties(network, name, run, step, metrics or {})
    schema.prepare(database)
    clean_up(database)
    replaces = _free(database, name, replace)
    with lease.held() as writer:
        identity, first = database.write(
            statements.CLAIM,
            name=name,
            neurons=network.neuron_count,
            writer=writer,
            seconds=lease.SECONDS,
        ).rows[0]
        try:
            replaces = _free(database, name, replace, identity)
            with lease.renewed(database, identity, writer):
                firsts = [first + number for number in network.firsts]
                _write_layers(database, network, identity, firsts)
                room = Room(NEURONS_PER_TRANSACTION)
                for index, layer in enumerate(network.layers):
                    _write_neurons(database, layer, identity, index, room)
                sums = write_links(
                    database,
                    network,
                    first,
                    workers=workers,
                    block_links=block_links,
                    progress=progress or _no_progress,
                )
                verify(database, network, identity, first, sums)
            _complete(database, identity, name, run, step, properties, replaces, writer)
        except StoreUnreachable:
            # Nothing can be removed now; the next ingest or delete does it.
            raise
        except BaseException:
            discard(database, identity, writer, writer)
            raise
        seconds = time.perf_counter() - started
        if replaces is not None:
            # It is hidden already; what cannot be removed now goes with the next ingest.
            with suppress(StoreError):
                remove(database, replaces, writer)
    return Report(
        name,
        len(network.layers),
        network.neuron_count,
        network.link_count,
        network.wire_count,
        tuple(
            f"{layer.name} ({layer.attributes['operator']})"
            for layer in network.layers
            if layer.kind == "opaque"
        ),
        seconds,
    )


def _no_progress(links: int) -> None:
    """Nobody wants to know."""


def _complete(
    database: Database,
    identity: int,
    name: str,
    run: str | None,
    step: int | None,
    properties: Mapping[str, Any],
    replaces: int | None,
    writer: str,
) -> None:
    try:
        completed = database.write(
            statements.COMPLETE,
            id=identity,
            name=name,
            run=run,
            step=step,
            properties=properties,
            replaces=replaces,
            writer=writer,
            seconds=lease.SECONDS,
        )
    except ConstraintViolated as error:
        raise Conflict(f"Another network took the name {name!r} meanwhile.") from error
    if not completed.rows:
        raise VerificationFailed(f"The store lost {name!r} while it was being written.")


def _properties(
    network: Network,
    name: str,
    run: str | None,
    step: int | None,
    metrics: Mapping[str, float],
) -> dict[str, Any]:
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


def _free(database: Database, name: str, replace: bool, identity: int | None = None) -> int | None:
    """The id of the complete network to replace, if any; refuses a name that is not free.

    Of two writers of one name that begin at once, both see both claims, and the earlier goes on.
    """
    replaces = None
    for rival, status in database.read(statements.RIVALS, name=name).rows:
        if status == schema.COMPLETE:
            replaces = rival
        elif identity is None or rival < identity:
            raise Conflict(f"Another process is writing a network {name!r} at this moment.")
    if replaces is not None and not replace:
        raise Conflict(
            f"There is a network {name!r} already: choose another name, or pass --replace "
            "(replace=True)."
        )
    return replaces


def _write_layers(database: Database, network: Network, identity: int, firsts: list[int]) -> None:
    offsets = accumulate((parameter.size for parameter in network.parameters), initial=0)
    links, wires = [0] * len(network.layers), [0] * len(network.layers)
    for block in network.links:
        (links if block.learned else wires)[block.target] += block.count
    database.write(
        statements.WRITE_LAYERS,
        id=identity,
        layers=[
            {
                "network": identity,
                "index": index,
                "name": layer.name,
                "kind": layer.kind,
                "activation": layer.activation,
                "attributes": json.dumps(layer.attributes, separators=(",", ":")),
                "takes": views.dumps(layer.takes),
                "size": layer.size,
                "shape": list(layer.shape),
                "axes": list(layer.neuron_axes),
                "first": firsts[index],
                "biased": layer.bias is not None,
                "links": links[index],
                "wires": wires[index],
            }
            for index, layer in enumerate(network.layers)
        ],
        parameters=[
            {
                "network": identity,
                "index": index,
                "name": parameter.name,
                "shape": list(parameter.shape),
                "aliases": list(parameter.aliases),
                "dtype": parameter.dtype,
                "first": offset,
            }
            for index, (parameter, offset) in enumerate(
                zip(network.parameters, offsets, strict=False)
            )
        ],
        feeds=[
            [source, index, {"recurrent": True} if recurrent else {}]
            for index, layer in enumerate(network.layers)
            for recurrent, sources in ((False, layer.sources), (True, layer.recurrent_sources))
            for source in sources
        ],
    )
    for index in network.kept:
        values = network.parameters[index].array().reshape(-1)
        database.write(statements.KEEP_TENSOR, id=identity, index=index, values=values.tolist())


@dataclass(frozen=True)
class _Span:
    """Neighbouring neurons of a layer."""

    neurons: range

    @property
    def count(self) -> int:
        return len(self.neurons)

    def halves(self) -> tuple[_Span, _Span]:
        middle = -(-self.count // 2)
        return _Span(self.neurons[:middle]), _Span(self.neurons[middle:])


def _write_neurons(database: Database, layer: Layer, identity: int, index: int, room: Room) -> None:
    def write_part(span: _Span) -> None:
        start, stop = span.neurons.start, span.neurons.stop
        database.write(
            statements.WRITE_NEURONS,
            id=identity,
            layer=index,
            start=start,
            stop=stop,
            rows=_neuron_properties(layer, start, stop),
        )

    for start in range(0, layer.size, NEURONS_PER_TRANSACTION):
        span = _Span(range(start, min(start + NEURONS_PER_TRANSACTION, layer.size)))
        for _ in room.parts(span, write_part):
            pass


def _neuron_properties(layer: Layer, start: int, stop: int) -> list[dict[str, Any]] | None:
    """What each neuron of a range has beside its number; None where none has anything."""
    columns: dict[str, list[Any]] = {}
    for name, scalars in layer.scalars.items():
        columns[name] = scalars.values[start:stop].tolist()
        columns[f"{name}_param"] = scalars.params[start:stop].tolist()
    if layer.roles is not None:
        columns["role"] = [role or None for role in layer.roles[start:stop]]
    if layer.heads is not None:
        columns["head"] = [None if head < 0 else head for head in layer.heads[start:stop]]
    if layer.coordinates and len(layer.neuron_axes) == len(layer.shape):
        places = np.unravel_index(np.arange(start, stop), layer.shape)
        columns |= {
            name: along.tolist() for name, along in zip(layer.coordinates, places, strict=True)
        }
    if not columns:
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
