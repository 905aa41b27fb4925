"""Answers are kept with their network, and go with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ingest.network import Network
from ingest.removal import delete
from ingest.writer import write
from queries import answers
from queries.strength import STRENGTH, strength
from store.database import Database
from store.errors import NotFound, TimeLimitExceeded
from store.query import Query, Table
from tests.networks import hand_checkable

KEPT = Query(
    "kept_answers",
    "How many answers are kept, with a network or without.",
    """
MATCH (answer:Answer) WHERE answer.body CONTAINS $network
RETURN count(answer) AS answers
""",
    ("answers",),
)
SPOIL = Query(
    "spoil_answers",
    "Marks kept answers, so that they are known when they come back.",
    """
MATCH (:Network {name: $network})-[:HAS_ANSWER]->(answer:Answer)
SET answer.body = replace(answer.body, '"input"', '"kept"')
""",
)


def _count(database: Database, network: str) -> int:
    found: int = database.read(KEPT, network=f'"network": "{network}"').rows[0][0]
    return found


def _first_layer(answer: Table) -> str:
    found: str = answer.rows[0][0]
    return found


@pytest.fixture
def name(stored: Callable[..., str]) -> str:
    return stored(hand_checkable())


def test_the_second_answer_is_the_first(database: Database, name: str) -> None:
    first = strength(database, name, convention="cnt")
    assert _count(database, name) == 1
    second = strength(database, name, convention="cnt")
    assert replace(second, took_ms=0.0) == replace(first, took_ms=0.0)
    assert second.cypher == STRENGTH.cypher.strip()
    assert first.notes[-1].startswith("Symmetries: ")
    # And it was not computed again.
    database.write(SPOIL, network=name)
    assert _first_layer(strength(database, name, convention="cnt")) == "kept"


def test_defaults_and_positions_are_the_same_question(database: Database, name: str) -> None:
    strength(database, name)
    strength(database, name, convention="plain", bias=False)
    assert _count(database, name) == 1


def test_those_who_ask_the_same_at_once_have_one_answer_made(database: Database, name: str) -> None:
    made, everyone = [], threading.Barrier(6)

    def ask(asked: Database) -> Table:
        made.append(threading.get_ident())
        return asked.read(
            Query("slow", "", "UNWIND range(1, 1000000) AS i RETURN sum(i) AS n", ("n",))
        )

    def caller(_: int) -> Table:
        everyone.wait(20)
        return answers.kept(database, name, "slow", {}, ask)

    with ThreadPoolExecutor(6) as pool:
        tables = list(pool.map(caller, range(6), timeout=60))
    assert [table.rows for table in tables] == [[[500_000_500_000]]] * 6
    assert len(made) == 1


def test_whoever_waits_for_another_keeps_their_own_time_limit(
    database: Database, name: str
) -> None:
    begun, release = threading.Event(), threading.Event()

    def ask(asked: Database) -> Table:
        begun.set()
        assert release.wait(60)
        return asked.read(Query("one", "", "RETURN 1 AS x", ("x",)))

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(answers.kept, database, name, "one", {}, ask)
        assert begun.wait(60)
        with pytest.raises(TimeLimitExceeded, match="Another caller asks the same"):
            answers.kept(database.limited(seconds=0.2), name, "one", {}, ask)
        release.set()
        assert first.result(60).rows == [[1]]
    assert answers.kept(database, name, "one", {}, ask).rows == [[1]], "its turn is over"


def test_other_arguments_have_their_own_answer(database: Database, name: str) -> None:
    plain = strength(database, name)
    database.write(SPOIL, network=name)
    with_bias = strength(database, name, bias=True)
    assert _first_layer(with_bias) == "input"
    assert with_bias.column("total") != plain.column("total")


def test_whoever_wants_few_rows_makes_an_answer_for_all(database: Database, name: str) -> None:
    cut = strength(database.limited(row_cap=3), name)
    assert (len(cut.rows), cut.truncated) == (3, True)
    assert _count(database, name) == 1
    whole = strength(database, name)
    assert (len(whole.rows), whole.truncated) == (7, False)
    assert cut.rows == whole.rows[:3]
    cut_again = strength(database.limited(row_cap=3), name)
    assert (cut_again.rows, cut_again.truncated) == (whole.rows[:3], True)
    exact = strength(database.limited(row_cap=len(whole.rows)), name)
    assert (exact.rows, exact.truncated) == (whole.rows, False)


def test_an_answer_of_too_many_rows_is_not_kept(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MOST_ROWS", 5)
    cut = strength(database.limited(row_cap=3), name)
    assert (len(cut.rows), cut.truncated) == (3, True)
    assert _count(database, name) == 0


def test_they_go_with_the_network(
    database: Database, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    name = stored(hand_checkable())
    strength(database, name)
    write(database, random_network(2, 3, 2), name=name, replace=True)
    assert _count(database, name) == 0
    assert _first_layer(strength(database, name)) == "input"
    assert _count(database, name) == 1
    delete(database, name)
    assert _count(database, name) == 0
    with pytest.raises(NotFound, match="There is no network"):
        strength(database, name)


def test_another_edition_of_the_queries_asks_anew(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strength(database, name)
    database.write(SPOIL, network=name)
    monkeypatch.setattr(answers, "_edition", lambda: "another")
    assert _first_layer(strength(database, name)) == "input"


def test_a_long_answer_is_not_kept(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LONGEST", 100)
    assert strength(database, name).rows
    assert _count(database, name) == 0
