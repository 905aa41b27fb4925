"""The plan of a network's links: blocks that can be listed, saved and written anywhere.

A plan says which links go together into one transaction, which of these transactions share no
neuron, and what each writes, by checksum. :func:`ingest.ingest` writes its blocks in threads of
this process; any other executor can write the same ones (:func:`ingest.writer.begun`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ingest.content import Content, Rectangle, contents
from ingest.network import Network
from ingest.parallel import meet
from ingest.sums import LinkSums
from store import views
from store.errors import UnreadableModel, VerificationFailed
from store.files import whole_file
from store.query import Table

VERSION = 1
COLUMNS = (
    "block", "round", "source", "target", "sources", "targets", "tensor", "rows", "columns",
    "links", "checksum",
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """Links that one transaction writes.

    Parameters
    ----------
    number
        Its place in the plan.
    round
        Blocks of one round share no neuron and can be written at once.
    of, part
        Which of the network's blocks of links it is of, and which part of it.
    source, target
        Names of the layers; `source` is empty where the sources are of several.
    sources, targets
        Ranges of neurons that hold all of its ends, numbered through the network.
    tensor, rows, columns
        Where it takes its weights from: a rectangle of a tensor; empty where links that each
        name their own ends take them from here and there.
    checksum
        Of its links and weights.
    sums
        What the store must hold of it.
    """

    number: int
    round: int
    of: int
    part: int
    source: str
    target: str
    sources: range
    targets: range
    tensor: str
    rows: range
    columns: range
    checksum: str
    sums: LinkSums

    @property
    def count(self) -> int:
        """Number of links."""
        return self.sums.links

    def to_json(self) -> dict[str, Any]:
        """As a line of a saved plan."""
        ranges = ("sources", "targets", "rows", "columns")
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            **{name: [getattr(self, name).start, getattr(self, name).stop] for name in ranges},
            "sums": asdict(self.sums),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Block:
        """Of a line of a saved plan."""
        ranges = {name: range(*fields[name]) for name in ("sources", "targets", "rows", "columns")}
        return cls(**{**fields, **ranges, "sums": LinkSums(**fields["sums"])})


@dataclass(frozen=True)
class Plan:
    """All links of a network, cut into blocks.

    Parameters
    ----------
    block_links, workers
        How it was cut: most links of a block, and how many shall be found at a time that share no
        neuron.
    fingerprint
        Of the network with all its weights and of how it was cut: equal plans have equal ones.
    blocks
        In the order to write them in.

    Example
    -------
    >>> from ingest.network import DenseLinks, Layer
    >>> from ingest.operations import Parameter
    >>> weight = Parameter.of("fc.weight", np.ones((2, 3)))
    >>> network = Network(
    ...     (Layer("input", "input", (3,)), Layer("fc", "linear", (2,))),
    ...     (DenseLinks(0, 1, weight, 0, True),), (weight,))
    >>> [(block.source, block.target, block.count) for block in Plan.of(network).blocks]
    [('input', 'fc', 6)]
    """

    block_links: int
    workers: int
    fingerprint: str
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, network: Network, *, block_links: int = 25_000, workers: int = 2) -> Plan:
        """The plan of a network; reads all weights once, a block at a time."""
        blocks = tuple(_blocks(network, block_links, workers))
        return cls(block_links, workers, _fingerprint(network, blocks), blocks)

    @property
    def link_count(self) -> int:
        """Number of links, fixed ones included."""
        return sum(block.count for block in self.blocks)

    def sums(self, network: Network) -> dict[tuple[int, bool], LinkSums]:
        """What the store must hold, by the index of the target layer and whether learned."""
        totals: dict[tuple[int, bool], LinkSums] = {}
        for block in self.blocks:
            links = network.links[block.of]
            totals.setdefault((links.target, links.learned), LinkSums()).add(block.sums)
        return totals

    def table(self) -> Table:
        """A row per block."""
        return Table(
            COLUMNS,
            [
                [
                    block.number,
                    block.round,
                    block.source,
                    block.target,
                    _text(block.sources),
                    _text(block.targets),
                    block.tensor,
                    _text(block.rows),
                    _text(block.columns),
                    block.count,
                    block.checksum,
                ]
                for block in self.blocks
            ],
        )

    def save(self, file: Path) -> None:
        """Writes it as lines of JSON: what it is, then a line per block."""
        head = {
            "weightome_plan": VERSION,
            "block_links": self.block_links,
            "workers": self.workers,
            "fingerprint": self.fingerprint,
        }
        lines = (head, *(block.to_json() for block in self.blocks))
        with whole_file(file) as unfinished:
            unfinished.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    @classmethod
    def load(cls, file: Path) -> Plan:
        """Reads what :meth:`save` wrote.

        Raises
        ------
        UnreadableModel
            If the file is missing or no plan.
        """
        try:
            head, *lines = map(json.loads, file.read_text("utf-8").splitlines())
            if head["weightome_plan"] != VERSION:
                raise ValueError(f"version {head['weightome_plan']}")
            return cls(
                head["block_links"],
                head["workers"],
                head["fingerprint"],
                tuple(map(Block.from_json, lines)),
            )
        except OSError as error:
            raise UnreadableModel(f"{str(file)!r} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableModel(f"{str(file)!r} is no plan that this Weightome wrote.") from error


def _blocks(network: Network, block_links: int, workers: int) -> Iterator[Block]:
    number, turn = 0, 0
    together: list[tuple[range, range]] = []
    for of, links in enumerate(network.links):
        made = 0
        for part, content in enumerate(contents(network, of, block_links, workers)):
            ends = content.sources, content.targets
            if any(meet(ends, other) for other in together):
                turn += 1
                together = []
            together.append(ends)
            yield _block(network, number, turn, of, part, content)
            number += 1
            made += content.count
        if made != links.count:
            raise VerificationFailed(
                f"{made} links were made where {links.count} were promised: this is an error of "
                "Weightome's."
            )


def _block(network: Network, number: int, turn: int, of: int, part: int, content: Content) -> Block:
    tensor, rows, columns = "", range(0), range(0)
    if isinstance(content, Rectangle):
        tensor = content.links.weights.name
        rows, columns = content.tile.sources, content.tile.targets
        if content.links.target_first:
            rows, columns = columns, rows
    return Block(
        number,
        turn,
        of,
        part,
        _layer_of(network, content.sources),
        network.layers[network.links[of].target].name,
        content.sources,
        content.targets,
        tensor,
        rows,
        columns,
        content.checksum(),
        content.sums(),
    )


def _layer_of(network: Network, neurons: range) -> str:
    first, last = np.searchsorted(network.firsts, [neurons[0], neurons[-1]], side="right") - 1
    return network.layers[first].name if first == last else ""


def _fingerprint(network: Network, blocks: Iterable[Block]) -> str:
    """Of all that is written."""
    digest = hashlib.sha256()

    def add(*values: object) -> None:
        digest.update(json.dumps(values, default=str).encode())

    add(network.view, views.dumps(network.outputs), network.kept)
    for layer in network.layers:
        add(
            layer.name, layer.kind, layer.shape, layer.neuron_axes, layer.activation,
            layer.attributes, views.dumps(layer.takes), layer.sources, layer.recurrent_sources,
            layer.roles, layer.heads, layer.coordinates,
        )  # fmt: skip
        for name, scalars in layer.scalars.items():
            add(name)
            digest.update(np.ascontiguousarray(scalars.values).data)
            digest.update(np.ascontiguousarray(scalars.params).data)
    for parameter in network.parameters:
        add(parameter.name, parameter.shape, parameter.dtype, parameter.aliases)
    for index in network.kept:
        digest.update(np.ascontiguousarray(network.parameters[index].array()).tobytes())
    for block in blocks:
        add(block.of, block.part, block.count, block.checksum)
    return digest.hexdigest()


def _text(neurons: range) -> str:
    return f"{neurons.start}-{neurons.stop - 1}" if neurons else ""
