"""Networks as the CSV files that Neo4j's import tool reads."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as arrow
from pyarrow import csv

from ingest.content import Content, contents
from ingest.layer_writer import neuron_properties
from ingest.network import Network
from ingest.parallel import Piece, in_parallel
from ingest.sums import LinkSums

# Links held at a time by each worker, 60 bytes each.
LINKS_AT_ONCE = 200_000
_TYPES = {int: "long", float: "double", str: "string"}

Progress = Callable[[int], None]
Sums = dict[tuple[int, bool], LinkSums]


@dataclass(frozen=True)
class Placed:
    """A network and the ids that it gets.

    Parameters
    ----------
    identity
        ``Network.id``: its place among the networks.
    first
        Id of its first neuron.
    hidden
        What ``(:Network)`` holds until it is complete.
    """

    network: Network
    identity: int
    first: int
    hidden: Mapping[str, Any]


class ImportFiles:
    """CSV files in a folder, and the tool's arguments that name them from beside the folder.

    Parameters
    ----------
    folder
        Empty.
    workers
        Threads that write links.
    progress
        Called with numbers of links that were written.
    """

    def __init__(self, folder: Path, workers: int, progress: Progress) -> None:
        self._folder = folder
        self._workers = workers
        self._progress = progress
        self._nodes = 0
        self.arguments: list[str] = []

    def write(self, store: Mapping[str, Any], placed: Sequence[Placed]) -> list[Sums]:
        """Writes all networks.

        Parameters
        ----------
        store
            What ``(:Store)`` holds.

        Returns
        -------
        list
            For each network what the store must hold of its links, by target layer and whether
            learned.
        """
        self._write_nodes("Store", [store])
        network_nodes = self._write_nodes("Network", [each.hidden for each in placed])
        layers = [
            {
                "network": each.identity,
                "index": index,
                "first": each.first + each.network.firsts[index],
                "size": layer.size,
            }
            for each in placed
            for index, layer in enumerate(each.network.layers)
        ]
        layer_nodes = self._write_nodes("Layer", layers)
        of_layers = [network_nodes[layer["network"]] for layer in layers]
        have = self._file("has-layer", {"network": of_layers, "layer": layer_nodes})
        self._add("relationships", "HAS_LAYER", [":START_ID", ":END_ID"], [have])
        first_neuron = self._nodes
        coming = iter(layer_nodes)
        belongs = [
            self._write_neurons(each, index, next(coming))
            for each in placed
            for index in range(len(each.network.layers))
        ]
        self._add("relationships", "HAS_NEURON", [":START_ID", ":END_ID"], belongs)
        return self._write_links(placed, first_neuron)

    def _write_nodes(self, label: str, rows: Sequence[Mapping[str, Any]]) -> range:
        nodes = self._take(len(rows))
        columns: dict[str, Any] = {":ID": nodes}
        for name in rows[0]:
            values = [row[name] for row in rows]
            columns[name if ":" in name else f"{name}:{_type(values)}"] = values
        self._add("nodes", label, list(columns), [self._file(label, columns)])
        return nodes

    def _write_neurons(self, placed: Placed, index: int, layer_node: int) -> Path:
        layer = placed.network.layers[index]
        nodes = self._take(layer.size)
        first = placed.first + placed.network.firsts[index]
        columns: dict[str, Any] = {
            ":ID": nodes,
            "id:long": range(first, first + layer.size),
            "index:long": range(layer.size),
        }
        for name, values in neuron_properties(layer, range(layer.size)).items():
            columns[f"{name}:{_type(values)}"] = values
        name = f"neurons-{placed.identity}-{index}"
        self._add("nodes", "Neuron", list(columns), [self._file(name, columns)])
        return self._file(
            f"belongs-{placed.identity}-{index}",
            {"layer": np.full(layer.size, layer_node), "neuron": nodes},
        )

    def _write_links(self, placed: Sequence[Placed], first_neuron: int) -> list[Sums]:
        """Neurons' nodes are numbered as their ids are, from `first_neuron` on."""
        sums: list[Sums] = [{} for _ in placed]
        with ExitStack() as opened:
            pool = _Files(self._folder, self._workers, opened)

            def work(task: _Task) -> tuple[_Task, LinkSums]:
                first = first_neuron + placed[task.number].first
                pool.append(task.content, first, learned=task.key[1])
                return task, task.content.sums()

            def done(result: tuple[_Task, LinkSums]) -> None:
                task, of_content = result
                sums[task.number].setdefault(task.key, LinkSums()).add(of_content)
                self._progress(of_content.links)

            # Rows of a file share nothing: no two pieces are in each other's way.
            pieces = (Piece(task, range(0), range(0)) for task in _tasks(placed))
            in_parallel(pieces, work, workers=self._workers, done=done)
        for kind, files in pool.files().items():
            header = [":START_ID", ":END_ID", "weight:double", "position:long"]
            if kind == "LINK":
                header.append("param:long")
            self._add("relationships", kind, header, files)
        return sums

    def _take(self, count: int) -> range:
        taken = range(self._nodes, self._nodes + count)
        self._nodes += count
        return taken

    def _file(self, name: str, columns: Mapping[str, Any]) -> Path:
        file = self._folder / f"{name}.csv"
        with file.open("wb") as stream:
            _append(stream, list(columns.values()))
        return file

    def _add(self, what: str, label: str, header: Sequence[str], files: Sequence[Path]) -> None:
        head = self._folder / f"header-{len(self.arguments)}.csv"
        head.write_text(",".join(header) + "\n", "ascii")
        named = ",".join(f"{file.parent.name}/{file.name}" for file in (head, *files))
        self.arguments.append(f"--{what}={label}={named}")


class _Files:
    """As many files per kind of links as there are workers, each used by one at a time."""

    def __init__(self, folder: Path, workers: int, opened: ExitStack) -> None:
        self._free: dict[str, queue.LifoQueue[IO[bytes]]] = {}
        self._all: dict[str, list[Path]] = {}
        for kind in ("LINK", "WIRE"):
            self._free[kind] = queue.LifoQueue()
            self._all[kind] = [folder / f"{kind}-{worker}.csv" for worker in range(workers)]
            for file in self._all[kind]:
                self._free[kind].put(opened.enter_context(file.open("wb")))

    def append(self, content: Content, first: int, *, learned: bool) -> None:
        links = content.listed()
        columns = [
            first + links.sources,
            first + links.targets,
            links.weights,
            arrow.nulls(links.count) if links.positions is None else links.positions,
        ]
        if links.params is not None:
            columns.append(links.params)
        free = self._free["LINK" if learned else "WIRE"]
        stream = free.get()
        try:
            _append(stream, columns)
        finally:
            free.put(stream)

    def files(self) -> dict[str, list[Path]]:
        """Those that hold anything."""
        held = {
            kind: [file for file in files if file.stat().st_size]
            for kind, files in self._all.items()
        }
        return {kind: files for kind, files in held.items() if files}


@dataclass(frozen=True)
class _Task:
    """Links of one of the networks, into which layer, and whether learned."""

    number: int
    key: tuple[int, bool]
    content: Content


def _tasks(placed: Sequence[Placed]) -> Iterator[_Task]:
    for number, each in enumerate(placed):
        for of, links in enumerate(each.network.links):
            for content in contents(each.network, of, LINKS_AT_ONCE, 1):
                yield _Task(number, (links.target, links.learned), content)


def _append(stream: IO[bytes], columns: Sequence[Any]) -> None:
    arrays = [
        arrow.array(np.arange(column.start, column.stop) if isinstance(column, range) else column)
        for column in columns
    ]
    table = arrow.Table.from_arrays(arrays, names=[str(place) for place in range(len(arrays))])
    csv.write_csv(table, stream, csv.WriteOptions(include_header=False))


def _type(values: Sequence[Any]) -> str:
    return _TYPES[type(next((value for value in values if value is not None), 0))]
