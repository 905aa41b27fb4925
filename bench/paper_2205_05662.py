"""Effective depth and width of architectures (arXiv 2205.05662), from real modules in the store.

Each architecture is a graph of nodes, written as for each node the kind of its edges from the nodes
before it: 0 none, 1 a skip, 2 a linear layer. It is built as a torch module, ingested, and asked;
beside the answer stands the count of all its paths, one by one.
"""

from __future__ import annotations

import sys
from typing import cast

import torch

import ingest
from queries.architecture import architecture
from store.commandline import print_table
from store.database import Database
from store.errors import WeightomeError
from store.local.temporary import temporary_database
from store.query import Table

ARCHITECTURES = (
    "2_02_002", "1_01_222", "2_21_112", "2_22_222", "2_12_112", "2_02_202", "2_12_012",
)  # fmt: skip
WIDTH = 8
COLUMNS = (
    "architecture",
    "paths",
    "depth",
    "width",
    "paths_counted",
    "depth_counted",
    "width_counted",
)


class Graph(torch.nn.Module):
    """Nodes that sum up what their edges bring, with a ReLU behind each linear layer."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self.edges = [[int(kind) for kind in node] for node in code.split("_")]
        self.linear = torch.nn.ModuleDict(
            {
                f"{source}-{target}": torch.nn.Linear(WIDTH, WIDTH)
                for target, kinds in enumerate(self.edges, start=1)
                for source, kind in enumerate(kinds)
                if kind == 2
            }
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The last node's value."""
        values: list[torch.Tensor | None] = [x]
        for target, kinds in enumerate(self.edges, start=1):
            total: torch.Tensor | None = None
            for source, kind in enumerate(kinds):
                given = values[source]
                if kind == 0 or given is None:
                    continue
                if kind == 2:
                    given = torch.relu(self.linear[f"{source}-{target}"](given))
                total = given if total is None else total + given
            values.append(total)
        return cast(torch.Tensor, values[-1])


def counted(code: str) -> tuple[int, float, float]:
    """Paths, depth and width by following every path."""
    edges = [[int(kind) for kind in node] for node in code.split("_")]
    depths: list[int] = []
    waiting = [(len(edges), 0)]
    while waiting:
        node, linear = waiting.pop()
        if node == 0:
            depths.append(linear)
            continue
        waiting += [
            (source, linear + (kind == 2)) for source, kind in enumerate(edges[node - 1]) if kind
        ]
    depth = sum(depths) / len(depths)
    return len(depths), depth, sum(each > 0 for each in depths) / depth


def measured(database: Database, code: str) -> list[object]:
    """One row of the table."""
    ingest.ingest(Graph(code), name=code, database=database, input_shape=(WIDTH,))
    (answer,) = architecture(database, code).rows
    return [code, *answer, *counted(code)]


def main() -> None:
    """Builds, asks and prints."""
    torch.manual_seed(0)
    with temporary_database() as database:
        rows = [measured(database, code) for code in ARCHITECTURES]
    print_table(Table(COLUMNS, rows), title="effective depth and width, from the store and counted")


if __name__ == "__main__":
    try:
        main()
    except WeightomeError as error:
        sys.exit(f"paper_2205_05662: {error}")
