"""Low against high accuracy (arXiv 2110.02628): thirty small networks of handwritten digits.

They are trained on scikit-learn's digits with different seeds, scales of the first weights and
numbers of epochs, so that their accuracies spread; ingested; and compared: link weights, strengths
and layers fluctuation of the low and the high half, and how well each statistic tells them apart,
with link weights alone as a baseline.
"""

from __future__ import annotations

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import ingest
from queries.layer_values import Statistic
from queries.population_statistics import population_auc, population_table
from store.commandline import print_table
from store.database import Database
from store.errors import WeightomeError
from store.local.temporary import temporary_database
from store.query import Table

STATISTICS = (
    Statistic("layer-strength", "fluctuation"),
    Statistic("layer-strength", "mean"),
    Statistic("strength", "in", "std"),
    Statistic("spectra", "stable_rank"),
    Statistic("moments", "kurtosis"),
)
PATTERN = "digits-mlp-*"


def trained(number: int) -> tuple[torch.nn.Module, float]:
    """A network and its accuracy on digits that it has not seen."""
    digits = load_digits()
    split = train_test_split(
        digits.data / 16, digits.target, test_size=0.3, random_state=0, stratify=digits.target
    )
    x, unseen, y, truth = (torch.tensor(part) for part in split)
    torch.manual_seed(number)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 16), torch.nn.ReLU(),
        torch.nn.Linear(16, 10),
    ).double()  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5 + 0.25 * (number % 5))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(2 + 3 * (number % 10)):
        for rows in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    accuracy = (model(unseen).argmax(1) == truth).double().mean().item()
    return model.float(), accuracy


def measure(database: Database, networks: int) -> None:
    """Trains, asks and prints."""
    accuracies = []
    for number in range(networks):
        model, accuracy = trained(number)
        ingest.ingest(
            model,
            name=f"digits-mlp-{number:03}",
            input_shape=(64,),
            metrics={"accuracy": accuracy},
            database=database,
        )
        accuracies.append(accuracy)
        print(f"{number + 1} of {networks}: accuracy {accuracy:.3f}", file=sys.stderr)
    print(f"{networks} networks, accuracies {min(accuracies):.3f} to {max(accuracies):.3f}\n")
    rows: list[list[object]] = []
    columns: tuple[str, ...] = ()
    seen = set()
    for statistic in STATISTICS:
        answer = population_auc(database, PATTERN, of=statistic)
        columns = answer.columns
        for row in answer.rows:
            if (row[0], row[1]) not in seen:
                seen.add((row[0], row[1]))
                rows.append(row)
    print_table(Table(columns, rows), title="low against high accuracy (split at the median)")
    print()
    fluctuation = population_table(database, PATTERN).to_pandas()
    print("layers fluctuation: rank correlation with accuracy")
    for layer, group in fluctuation.groupby("layer", sort=False):
        print(f"  {layer:<8} {group['metric'].corr(group['value'], method='spearman'):+.3f}")


def main() -> None:
    """Measures in a database of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=30, help="how many are trained")
    options = parser.parse_args()
    with temporary_database() as database:
        measure(database, options.networks)


if __name__ == "__main__":
    try:
        main()
    except WeightomeError as error:
        sys.exit(f"paper_2110_02628: {error}")
