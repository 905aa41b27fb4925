"""Network -> Neo4j, over Bolt: all of it or, to every reader, nothing.

A network is written with status ``writing`` and no name, so no query finds it; once its counts
and weight sums were read back and agree, one transaction gives it its name. A writer that crashed
leaves its network ``writing``, and the next ingest or delete removes it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ingest import lease
from ingest.network import DenseLinks, Layer, Network
from ingest.removal import clean_up, discard, remove
from ingest.tiles import Tile, in_parallel, tiles
from ingest.verification import LinkSums, verify
from store import schema
from store.database import Database
from store.errors import (
    Conflict,
    ConstraintViolated,
    InvalidArgument,
    StoreError,
    StoreUnreachable,
    VerificationFailed,
)
from store.query import Query

NEURONS_PER_TRANSACTION = 10_000


@dataclass(frozen=True)
class Report:
    """What an ingest wrote.

    Parameters
    ----------
    name
        The network's name.
    layers, neurons, links
        Counts, which the store was found to hold.
    seconds
        Time from begin to complete; removing what it replaces comes after.
    """

    name: str
    layers: int
    neurons: int
    links: int
    seconds: float


CLAIM = Query(
    "claim_network",
    "Takes a network id and a range of neuron ids, and marks the network as being written.",
    # Setting a property locks the store node before its counters are read: two writers that
    # begin at once get different numbers.
    """
MATCH (store:Store {key: 'weightome'})
SET store.locked = true
WITH store, store.next_network AS id, store.next_neuron AS first
SET store.next_network = id + 1, store.next_neuron = first + $neurons
REMOVE store.locked
CREATE (:Network {
    id: id, status: 'writing', wanted_name: $name, writer: $writer,
    lease: datetime() + duration({seconds: $seconds})
})
RETURN id, first
""",
    ("id", "first"),
)

RIVALS = Query(
    "rival_writers",
    "Whether the name belongs to a complete network or to one that is being written.",
    """
MATCH (network:Network)
WHERE network.name = $name OR (network.status = 'writing' AND network.wanted_name = $name)
RETURN network.id AS id, network.status AS status
ORDER BY id
""",
    ("id", "status"),
)

WRITE_LAYERS = Query(
    "write_layers",
    "Creates the layers and parameters of a network, and what feeds what.",
    """
MATCH (network:Network {id: $id})
CALL (network) {
    UNWIND $layers AS properties
    CREATE (network)-[:HAS_LAYER]->(layer:Layer)
    SET layer = properties
}
CALL (network) {
    UNWIND $parameters AS properties
    CREATE (network)-[:HAS_PARAMETER]->(parameter:Parameter)
    SET parameter = properties
}
UNWIND $feeds AS edge
MATCH (source:Layer {network: $id, index: edge[0]})
MATCH (target:Layer {network: $id, index: edge[1]})
CREATE (source)-[:FEEDS]->(target)
""",
)

WRITE_NEURONS = Query(
    "write_neurons",
    "Creates a range of a layer's neurons.",
    """
MATCH (layer:Layer {network: $id, index: $layer})
UNWIND range($start, $stop - 1) AS index
CREATE (layer)-[:HAS_NEURON]->(neuron:Neuron {id: layer.first + index, index: index})
SET neuron.bias = $biases[index - $start]
""",
)

WRITE_LINKS = Query(
    "write_links",
    "Creates a rectangle of links, every source with every target.",
    # Targets are looked up once and weights come as one flat list: twice as fast as one map per
    # link (bench/ingest_links.py).
    """
MATCH (target:Neuron) WHERE $target_first <= target.id < $target_end
WITH target ORDER BY target.id
WITH collect(target) AS targets
MATCH (source:Neuron) WHERE $source_first <= source.id < $source_end
WITH targets, source, source.id - $source_first AS row
UNWIND range(0, size(targets) - 1) AS column
WITH source, targets[column] AS target, $weights[row * size(targets) + column] AS weight,
     $param + row * $source_stride + column * $target_stride AS param
CREATE (source)-[:LINK {weight: weight, param: param}]->(target)
""",
)

COMPLETE = Query(
    "complete_network",
    "Gives a written network its name and its run, and takes the name from the one it replaces.",
    # Locked before it is looked at: nobody may take it over between the look and the change.
    """
MATCH (network:Network {id: $id})
SET network.locked = true
REMOVE network.locked
WITH network WHERE network.status = 'writing' AND network.writer = $writer
CALL () {
    MATCH (old:Network {id: $replaces, status: 'complete'})
    SET old.status = 'deleting', old.wanted_name = old.name, old.writer = $writer,
        old.lease = datetime() + duration({seconds: $seconds})
    REMOVE old.name
    WITH old
    OPTIONAL MATCH (run:Run)-[snapshot:SNAPSHOT]->(old)
    DELETE snapshot
    WITH run
    WHERE run IS NOT NULL AND NOT run.name = coalesce($run, '')
      AND NOT EXISTS { (run)-[:SNAPSHOT]->() }
    DELETE run
}
CALL (network) {
    WITH network WHERE $run IS NOT NULL
    MERGE (run:Run {name: $run})
    CREATE (run)-[:SNAPSHOT {step: $step}]->(network)
}
SET network += $properties, network.name = $name, network.status = 'complete',
    network.created = toString(datetime.truncate('second', datetime()))
REMOVE network.wanted_name, network.writer, network.lease
RETURN network.id AS id
""",
    ("id",),
)


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
        Called with the number of links of each transaction that was committed.

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
            CLAIM,
            name=name,
            neurons=network.neuron_count,
            writer=writer,
            seconds=lease.SECONDS,
        ).rows[0]
        try:
            replaces = _free(database, name, replace, identity)
            with lease.renewed(database, identity, writer):
                sizes = [layer.size for layer in network.layers]
                firsts = list(accumulate(sizes[:-1], initial=first))
                _write_layers(database, network, identity, firsts)
                for index, layer in enumerate(network.layers):
                    _write_neurons(database, layer, identity, index)
                sums = [
                    _write_links(
                        database, block, firsts, workers, block_links, progress or _no_progress
                    )
                    for block in network.links
                ]
                verify(database, network, identity, sums)
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
    return Report(name, len(network.layers), network.neuron_count, network.link_count, seconds)


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
            COMPLETE,
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
        "parameters": sum(parameter.size for parameter in network.parameters),
        "step": step,
        **{f"metric_{metric}": float(value) for metric, value in metrics.items()},
    }


def _free(database: Database, name: str, replace: bool, identity: int | None = None) -> int | None:
    """The id of the complete network to replace, if any; refuses a name that is not free.

    Of two writers of one name that begin at once, both see both claims, and the earlier goes on.
    """
    replaces = None
    for rival, status in database.read(RIVALS, name=name).rows:
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
    links_in = [0] * len(network.layers)
    for block in network.links:
        links_in[block.target] += block.count
    database.write(
        WRITE_LAYERS,
        id=identity,
        layers=[
            {
                "network": identity,
                "index": index,
                "name": layer.name,
                "kind": layer.kind,
                "activation": layer.activation,
                "size": layer.size,
                "shape": list(layer.shape),
                "first": firsts[index],
                "biased": layer.bias is not None,
                "bias_param": layer.bias_param,
                "links": links_in[index],
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
            [source, index]
            for index, layer in enumerate(network.layers)
            for source in layer.sources
        ],
    )


def _write_neurons(database: Database, layer: Layer, identity: int, index: int) -> None:
    for start in range(0, layer.size, NEURONS_PER_TRANSACTION):
        stop = min(start + NEURONS_PER_TRANSACTION, layer.size)
        database.write(
            WRITE_NEURONS,
            id=identity,
            layer=index,
            start=start,
            stop=stop,
            biases=None if layer.bias is None else layer.bias[start:stop].tolist(),
        )


def _write_links(
    database: Database,
    block: DenseLinks,
    firsts: list[int],
    workers: int,
    block_links: int,
    progress: Callable[[int], None],
) -> LinkSums:
    sums = LinkSums()
    source_first, target_first = firsts[block.source], firsts[block.target]

    def write_tile(tile: Tile) -> LinkSums:
        weights = block.tile(tile.sources, tile.targets)
        written = database.write(
            WRITE_LINKS,
            source_first=source_first + tile.sources.start,
            source_end=source_first + tile.sources.stop,
            target_first=target_first + tile.targets.start,
            target_end=target_first + tile.targets.stop,
            weights=weights.ravel().tolist(),
            param=block.first
            + tile.sources.start * block.source_stride
            + tile.targets.start * block.target_stride,
            source_stride=block.source_stride,
            target_stride=block.target_stride,
        )
        if (written.counters or {})["relationships_created"] != tile.count:
            raise VerificationFailed(
                "Neurons of this network vanished while its links were written."
            )
        return LinkSums.of(block, tile, weights)

    def add(tile: Tile, of_tile: LinkSums) -> None:
        sums.add(of_tile)
        progress(tile.count)

    in_parallel(tiles(block, block_links, workers), write_tile, workers=workers, done=add)
    return sums
