"""Networks that others published, from their files into the store: what was checked, how long.

Each is ingested in the shared view, computed from the store and compared with an independent
program, and exported and compared byte by byte. Options choose networks by name; without any, all
are measured, the whole of MiniLM (22.7 million parameters, minutes) at last.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

# The definitions are the tests', which are no package that is installed.
sys.path.insert(0, str(Path(__file__).parent.parent))

import ingest
from queries.export import export
from queries.forward import outputs
from store import settings
from store.commandline import Format, print_table
from store.connection import connect
from store.database import Database
from store.query import Table
from tests import published
from tests.published import PUBLISHED, NotInstalled, Published

# All words and layers. Of the position table 8 rows of 512 are used; the rest is kept whole.
MINILM = replace(
    next(each for each in PUBLISHED if each.name == "minilm-slice"),
    name="minilm",
    what="transformer, sentences (safetensors)",
    weights=22_489_728,
    prepare=lambda path, folder: path,
)

COLUMNS = (
    "network", "what", "parameters", "neurons", "links", "wires", "seconds", "links_per_second",
    "difference", "computed_by", "tensors_back",
)  # fmt: skip


def measured(database: Database, network: Published, folder: Path) -> list[object]:
    """One row of the table."""
    file = network.prepare(network.path(), folder)
    name = f"bench {network.name}"
    report = ingest.ingest(file, name=name, replace=True, database=database, **network.options)
    try:
        samples = network.samples()
        pairs = zip(outputs(database, name, samples), network.compute(file, samples), strict=True)
        difference = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
        back = folder / "back.safetensors"
        table = export(database, name, back, replace=True)
        expected, found = published.tensors(file), published.tensors(back)
        same = sum(found[key] == content for key, content in expected.items())
        return [
            network.name,
            network.what,
            sum(table.column("values")),
            report.neurons,
            report.links,
            report.wires,
            round(report.seconds, 1),
            round((report.links + report.wires) / report.seconds),
            float(f"{difference:.1e}"),
            network.oracle,
            f"{same}/{len(expected)}",
        ]
    finally:
        ingest.delete(database, name)


def main() -> None:
    """Measures and prints."""
    chosen = [
        network
        for network in (*PUBLISHED, MINILM)
        if not sys.argv[1:] or network.name in sys.argv[1:]
    ]
    rows = []
    with connect(settings.load()) as database:
        for network in chosen:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    rows.append(measured(database, network, Path(folder)))
                except NotInstalled as why:
                    print(f"{network.name}: left out, since {why}", file=sys.stderr)
                    continue
            print(f"{network.name}: done", file=sys.stderr)
    print_table(Table(COLUMNS, rows), Format.TABLE)


if __name__ == "__main__":
    main()
