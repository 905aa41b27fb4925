"""What ingest leaves in the store: every neuron and link, and nothing of what failed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ingest import lease, statements
from ingest.network import Network
from ingest.operations import Parameter
from ingest.removal import delete
from ingest.writer import write
from queries import catalogue
from queries.strength import strength
from store.database import Database
from store.errors import (
    Conflict,
    InvalidArgument,
    InvalidName,
    NotFound,
    TransactionFailed,
    VerificationFailed,
)
from store.query import Query
from tests.networks import dense_network, hand_checkable

LINKS = Query(
    "all_links",
    "",
    "MATCH (:Network {name: $network})-[:HAS_LAYER]->(layer)-[:HAS_NEURON]->(target)"
    "<-[link:LINK]-(source) RETURN collect(layer.index) AS layer, collect(source.index) AS source, "
    "collect(target.index) AS target, collect(link.weight) AS weight, collect(link.param) AS param",
    ("layer", "source", "target", "weight", "param"),
)
COUNTS = Query(
    "counts",
    "",
    "RETURN COUNT { (n) } AS nodes, COUNT { ()-->() } AS relationships",
    ("nodes", "relationships"),
)


def counts(database: Database) -> list[int]:
    return database.read(COUNTS).rows[0]


@pytest.mark.parametrize("block_links", [1, 7, 100, 25_000])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_link_is_there(
    database: Database,
    stored: Callable[..., str],
    random_network: Callable[..., Network],
    block_links: int,
    workers: int,
) -> None:
    network = random_network(11, 7, 5, seed=block_links)
    name = stored(network, block_links=block_links, workers=workers)
    read = database.columns(LINKS, network=name)
    assert len(read["weight"]) == network.link_count == 11 * 7 + 7 * 5
    flat = np.concatenate([parameter.array().ravel() for parameter in network.parameters])
    for block in network.dense:
        matrix = np.full((block.sources, block.targets), np.nan)
        of_block = read["layer"] == block.target
        matrix[read["source"][of_block], read["target"][of_block]] = read["weight"][of_block]
        np.testing.assert_array_equal(matrix, block.weights.array().T.astype(np.float64))
    np.testing.assert_array_equal(flat[read["param"]].astype(np.float64), read["weight"])
    assert len(set(read["param"].tolist())) == network.link_count


def test_source_first_weights(database: Database, stored: Callable[..., str]) -> None:
    """Keras keeps matrices as sources x targets."""
    from dataclasses import replace

    network = dense_network([np.arange(6, dtype=np.float32).reshape(2, 3)])
    block = replace(
        network.dense[0],
        weights=Parameter.of("kernel", np.arange(6, dtype=np.float32).reshape(2, 3)),
        target_first=False,
    )
    name = stored(replace(network, links=(block,), parameters=(block.weights,)))
    read = database.columns(LINKS, network=name)
    assert read["param"].tolist() == [int(w) for w in read["weight"]]
    np.testing.assert_array_equal(read["weight"], read["source"] * 3 + read["target"])


def test_a_name_is_taken(database: Database, stored: Callable[..., str]) -> None:
    name = stored(hand_checkable())
    before = counts(database)
    with pytest.raises(Conflict, match=r"There is a network .* already: .*--replace"):
        write(database, hand_checkable(), name=name)
    assert counts(database) == before


def test_replace(
    database: Database, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    name = stored(hand_checkable(), run="replaced run", step=1)
    before = counts(database)
    report = write(database, random_network(4, 3), name=name, run="other run", step=2, replace=True)
    assert (report.layers, report.neurons, report.links) == (2, 7, 12)
    assert catalogue.layers(database, name).column("size") == [4, 3]
    runs = catalogue.runs(database).column("run")
    assert "other run" in runs
    assert "replaced run" not in runs, "a run without snapshots is no run"
    nodes, _ = counts(database)
    assert nodes == before[0] - 1 - 2, "one layer and two parameters fewer"


def test_delete_removes_one_network_and_nothing_else(
    database: Database, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    kept = stored(random_network(5, 4), run="shared run", step=0)
    answers = strength(database, kept).rows
    before = counts(database)
    write(database, random_network(6, 5, 4), name="to delete", run="shared run", step=1)
    assert counts(database)[0] > before[0]
    delete(database, "to delete")
    assert counts(database) == before
    assert strength(database, kept).rows == answers
    assert ["shared run", 1, 0, 0] in catalogue.runs(database).rows
    with pytest.raises(NotFound, match="There is no network 'to delete'"):
        delete(database, "to delete")


@pytest.mark.parametrize(
    "name",
    [
        'it\'s "quoted" `ticked`',
        "x'}) DETACH DELETE n //",
        "$network",
        "\\u0027 OR 1=1",
        "naïve 网络 🧠",
        "[bold]markup[/bold]",
        "a/b?c#d%2F",
        "x" * 200,
    ],
)
def test_any_text_can_be_a_name(database: Database, name: str) -> None:
    before = counts(database)
    write(database, hand_checkable(), name=name, run=name, step=0, metrics={name: 1.0})
    try:
        assert len(strength(database, name).rows) == 7
        record = next(r for r in catalogue.networks(database, name).records())
        assert (record["network"], record["run"], record["metrics"]) == (name, name, {name: 1.0})
    finally:
        delete(database, name)
    assert counts(database) == before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "not empty"),
        ("x" * 10_240, "has 10240 characters; at most 200"),
        ("a\nb", "control character or line break"),
        ("a\0b", "control character"),
        (" a", "begins or ends with white space"),
        ("\ud800", "control character"),
    ],
)
def test_names_that_are_refused(database: Database, tiny: str, name: str, says: str) -> None:
    before = counts(database)
    for options in (
        {"name": name},
        {"name": "fine", "run": name, "step": 0},
        {"name": "fine", "metrics": {name: 1.0}},
    ):
        with pytest.raises(InvalidName, match=says):
            write(database, hand_checkable(), **options)
    assert counts(database) == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"step": 3}, "name the run too"),
        ({"run": "r"}, "needs a step"),
        ({"metrics": {"accuracy": float("nan")}}, "'accuracy' is nan"),
    ],
)
def test_options_that_are_refused(
    database: Database, tiny: str, options: dict[str, object], says: str
) -> None:
    before = counts(database)
    with pytest.raises(InvalidArgument, match=says):
        write(database, hand_checkable(), name="options", **options)  # type: ignore[arg-type]
    assert counts(database) == before


def test_a_failure_leaves_nothing(
    database: Database, tiny: str, random_network: Callable[..., Network]
) -> None:
    before = counts(database)

    def fail(links: int) -> None:
        raise RuntimeError("the disk of the model file went away")

    with pytest.raises(RuntimeError, match="went away"):
        write(database, random_network(9, 9), name="fails", block_links=10, progress=fail)
    assert counts(database) == before


# Links that changed places: the plain sum of the weights stays.
SWAP = """
WITH a, b, link MATCH (a)-[other:LINK]->(c) WHERE c <> b
WITH link, other, link.weight AS weight LIMIT 1
SET link.weight = other.weight, other.weight = weight
"""


class Losing(Database):
    """Loses the last link of a tile, or changes it, as a faulty server might."""

    def __init__(self, database: Database, fault: str) -> None:
        super().__init__(database._connection)
        self.fault = fault

    def write(self, query: Query, /, **parameters: object) -> object:  # type: ignore[override]
        answer = super().write(query, **parameters)
        if query is statements.WRITE_RECTANGLE:
            super().write(
                Query(
                    "fault",
                    "",
                    "MATCH (a:Neuron {id: $a})-[link:LINK]->(b:Neuron {id: $b}) " + self.fault,
                ),
                a=parameters["source_first"],
                b=parameters["target_first"],
            )
        return answer


@pytest.mark.parametrize(
    "fault",
    [
        "DELETE link",
        "SET link.weight = link.weight + 0.001",
        "SET link.param = link.param + 1",
        SWAP,
        "WITH b SET b.bias = 0.25",
        "WITH a DETACH DELETE a",
    ],
)
def test_verification_sees_a_fault(
    database: Database, tiny: str, random_network: Callable[..., Network], fault: str
) -> None:
    before = counts(database)
    with pytest.raises(VerificationFailed):
        write(Losing(database, fault), random_network(9, 8, 7), name="faulty")
    assert counts(database) == before


def test_leftovers_of_an_ended_writer_are_removed(
    database: Database, tiny: str, stored: Callable[..., str]
) -> None:
    before = counts(database)
    with lease.held() as failed:
        machine, _, process = failed.rpartition("/")
        _, started, _ = process.split("|")
    claim = {"name": "leftover", "neurons": 10, "seconds": 3600}
    claim |= {"plan": "", "block_links": 1, "workers": 1}
    for crashed in (f"{machine}/999999999|{started}|serial", failed):
        database.write(statements.CLAIM, writer=crashed, **claim)
    database.write(statements.CLAIM, writer="elsewhere/1|2|3", **{**claim, "seconds": -1})
    assert counts(database)[0] == before[0] + 3
    delete(database, stored(hand_checkable()))
    assert counts(database) == before


def test_a_live_writer_keeps_its_claim(database: Database, tiny: str) -> None:
    elsewhere = {"name": "claimed", "neurons": 10, "plan": "", "block_links": 1, "workers": 1}
    database.write(statements.CLAIM, writer="another-host/1|2|3", seconds=3600, **elsewhere)
    with pytest.raises(Conflict, match="Another process is writing a network 'claimed'"):
        write(database, hand_checkable(), name="claimed")
    database.write(
        Query(
            "expire",
            "",
            "MATCH (n:Network {wanted_name: 'claimed'}) "
            "SET n.lease = datetime() - duration({seconds: 1})",
        )
    )
    write(database, hand_checkable(), name="claimed")
    delete(database, "claimed")


def test_failed_transactions_surface(database: Database, tiny: str) -> None:
    """An error of a worker thread is the caller's."""

    class Failing(Database):
        def write(self, query: Query, /, **parameters: object) -> object:  # type: ignore[override]
            if query is statements.WRITE_RECTANGLE:
                raise TransactionFailed("rolled back")
            return super().write(query, **parameters)

    before = counts(database)
    with pytest.raises(TransactionFailed, match="rolled back"):
        write(Failing(database._connection), hand_checkable(), name="failing")
    assert counts(database) == before


def test_a_commit_whose_outcome_is_unknown_loses_nothing(
    database: Database, tiny: str, random_network: Callable[..., Network]
) -> None:
    """The connection may break after the server committed and before the writer hears of it."""

    class Deaf(Database):
        def write(self, query: Query, /, **parameters: object) -> object:  # type: ignore[override]
            answer = super().write(query, **parameters)
            if query is statements.COMPLETE:
                raise TransactionFailed("its outcome is unknown")
            return answer

    with pytest.raises(TransactionFailed, match="outcome is unknown"):
        write(Deaf(database._connection), random_network(5, 4), name="unheard")
    assert len(strength(database, "unheard").rows) == 9
    delete(database, "unheard")
