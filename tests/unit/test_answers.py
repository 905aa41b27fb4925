"""Kept answers, where the server allows no writing; and which arguments make which key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from queries import answers
from queries.answers import FIND_ANSWER, kept
from store.cancelling import Cancelling
from store.database import Answer, Database
from store.errors import PermissionDenied, StoreUnreachable
from store.query import Table

TABLE = Table(("x",), [[0.1], [float("inf")]], "RETURN $x AS x", {"x": 1}, notes=("A note.",))


class ReadersAccount:
    """A connection that finds a network, and fails to write."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    def run(
        self,
        cypher: str,
        parameters: Mapping[str, Any],
        *,
        write: bool,
        seconds: float | None,
        row_cap: int | None,
        cancelling: Cancelling | None = None,
    ) -> Answer:
        if write:
            raise self.failure
        assert cypher == FIND_ANSWER.cypher
        return Answer(FIND_ANSWER.columns, [[7, None]])

    def close(self) -> None:
        pass


def test_without_the_right_to_write_the_answer_comes_all_the_same() -> None:
    database = Database(ReadersAccount(PermissionDenied("Read only.")))
    assert kept(database, "tiny", "one", {}, lambda _: TABLE) is TABLE


def test_a_lost_server_is_not_hidden() -> None:
    database = Database(ReadersAccount(StoreUnreachable("Gone.")))
    with pytest.raises(StoreUnreachable, match="Gone"):
        kept(database, "tiny", "one", {}, lambda _: TABLE)


@dataclass(frozen=True)
class Part:
    """Options that stand together."""

    layers: tuple[str, ...] = ()
    least: float = 0.0


def test_keys() -> None:
    given: list[tuple[str, dict[str, Any]]] = [
        ("strength", {"bias": True}),
        ("strength", {"bias": False}),
        ("links", {"bias": True}),
        ("links", {"bias": 1.5}),
        ("pagerank", {"of": Part()}),
        ("pagerank", {"of": Part(("fc1",))}),
        ("pagerank", {"of": Part(least=1e-300)}),
    ]
    keys = [answers._key(question, arguments) for question, arguments in given]
    assert len(set(keys)) == len(given)
    assert keys == [answers._key(question, arguments) for question, arguments in given]
    assert answers._key("q", {"a": 1, "b": 2}) == answers._key("q", {"b": 2, "a": 1})


def test_a_body_holds_every_value() -> None:
    bodies: list[str] = []

    class Keeps(ReadersAccount):
        def run(self, cypher: str, parameters: Mapping[str, Any], **limits: Any) -> Answer:
            if limits["write"]:
                bodies.append(parameters["body"])
                return Answer((), [])
            return Answer(FIND_ANSWER.columns, [[7, None]])

    kept(Database(Keeps(PermissionDenied("Not reached."))), "tiny", "one", {}, lambda _: TABLE)
    found = answers._page(bodies[0], 2.0, None, 10)
    assert found == Table(
        ("x",), [[0.1], [float("inf")]], "RETURN $x AS x", {"x": 1}, False, 2.0, ("A note.",)
    )
