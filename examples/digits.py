"""Trains a small network on handwritten digits, stores five snapshots of it, and asks about them.

``make demo`` runs it. Everything it needs of Weightome is in the imports below.
"""

from __future__ import annotations

import copy
import sys
from collections import OrderedDict
from collections.abc import Iterator

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from ingest import ingest
from queries.catalogue import networks
from queries.links import links
from queries.paths import paths
from queries.strength import layer_strength, strength
from store.connection import connect
from store.database import Database
from store.errors import WeightomeError

RUN = "digits"
EPOCHS = (0, 1, 5, 20, 60)
LAST = f"{RUN}-{EPOCHS[-1]:03d}"
DIGIT = 3

NEXT = f"""\
Next, try:
  .venv/bin/weightome networks
  .venv/bin/weightome layer-strength {LAST}
  .venv/bin/weightome dynamics {RUN} --statistic fluctuation
  .venv/bin/weightome paths {LAST} input output/7 -k 5 --cost nearest
  .venv/bin/weightome cypher "MATCH ()-[l:LINK]->() RETURN count(l) AS links, avg(l.weight) AS mean"
  make serve                    # the same questions over HTTP
  .venv/bin/weightome down      # stop Neo4j, which keeps running until then; nothing is lost"""


def train() -> Iterator[tuple[int, nn.Module, float]]:
    """Epoch, model and its accuracy on unseen digits, at each of the EPOCHS."""
    # Seeds, one thread and float64: every machine prints the same numbers.
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    images, digits = load_digits(return_X_y=True)
    inputs, unseen, labels, expected = (
        torch.from_numpy(part)
        for part in train_test_split(images / 16, digits, random_state=0, stratify=digits)
    )
    model = nn.Sequential(
        OrderedDict(
            hidden1=nn.Linear(64, 32),
            relu1=nn.ReLU(),
            hidden2=nn.Linear(32, 16),
            relu2=nn.ReLU(),
            output=nn.Linear(16, 10),
        )
    )
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(EPOCHS[-1] + 1):
        if epoch in EPOCHS:
            with torch.no_grad():
                accuracy = (model(unseen).argmax(dim=1) == expected).double().mean().item()
            yield epoch, copy.deepcopy(model).float(), accuracy
        for batch in torch.randperm(len(inputs)).split(128):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(inputs[batch]), labels[batch]).backward()
            optimiser.step()


def table(*columns: str, right: int) -> Table:
    """An empty table whose last `right` columns are numbers."""
    grid = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for position, column in enumerate(columns):
        numeric = position >= len(columns) - right
        grid.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    return grid


def show_snapshots(console: Console, database: Database) -> None:
    """How the layers change while the network learns."""
    console.print("\n[bold]Layers of each snapshot")
    grid = table(
        *("step", "accuracy", "layer", "link mean", "link std", "strength mean", "fluctuation"),
        right=4,
    )
    for snapshot in networks(database, run=RUN).records():
        name = snapshot["network"]
        # Links belong to the layer that they lead to, so the input has none.
        weights = {row["layer"]: row for row in links(database, name).records()}
        first = [str(snapshot["step"]), f"{snapshot['metrics']['accuracy']:.3f}"]
        for row in layer_strength(database, name).records():
            into = weights.get(row["layer"])
            grid.add_row(
                *first,
                row["layer"],
                f"{into['mean']:+.4f}" if into else "",
                f"{into['std']:.4f}" if into else "",
                f"{row['mean']:+.3f}",
                f"{row['fluctuation']:.3f}",
            )
            first = ["", ""]
        grid.add_section()
    console.print(grid)


def show_hidden_neurons(console: Console, database: Database, network: str) -> None:
    """The hidden neurons whose links, in and out, sum to most and to least."""
    rows = strength(database, network).records()
    hidden = [row for row in rows if row["layer"].startswith("hidden")]
    hidden.sort(key=lambda row: row["total"], reverse=True)
    console.print(f"[bold]Strongest and weakest hidden neurons of {network}")
    grid = table("neuron", "in", "out", "total strength", right=3)
    for group in (hidden[:5], hidden[-5:]):
        for row in group:
            values = (f"{row[key]:+.3f}" for key in ("in", "out", "total"))
            grid.add_row(f"{row['layer']}/{row['neuron']}", *values)
        grid.add_section()
    console.print(grid)


def show_paths(console: Console, database: Database, network: str) -> None:
    """Through which neurons a pixel has most say in one digit."""
    found = paths(database, network, "input", f"output/{DIGIT}", k=10)
    console.print(f"[bold]Strongest paths from a pixel to the digit {DIGIT} in {network}")
    grid = table("rank", "pixel (row, column)", "through", "product of weights", right=1)
    for row in found.records():
        pixel, *through, _ = row["path"]
        position = divmod(int(pixel.removeprefix("input/")), 8)
        ends = str(row["rank"]), str(position)
        grid.add_row(*ends, " > ".join(through), f"{row['product']:+.4f}")
    console.print(grid)


def main() -> None:
    console = Console(highlight=False)
    with connect() as database:
        for epoch, model, accuracy in train():
            report = ingest(
                model,
                name=f"{RUN}-{epoch:03d}",
                run=RUN,
                step=epoch,
                metrics={"accuracy": accuracy},
                replace=True,
                input_shape=(64,),
                database=database,
            )
            size = f"{report.neurons} neurons and {report.links:,} links"
            console.print(f"{report.name}: {size} in {report.seconds:.1f} s")
        show_snapshots(console, database)
        show_hidden_neurons(console, database, LAST)
        show_paths(console, database, LAST)
    console.print(NEXT, soft_wrap=True, markup=False)


if __name__ == "__main__":
    try:
        main()
    except WeightomeError as error:
        sys.exit(f"digits: {error}")
