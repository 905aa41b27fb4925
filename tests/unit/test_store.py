"""Names, identifiers, settings, schema version: the store's own rules, without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from store import schema, settings
from store.cancelling import Cancelling
from store.connection import connect
from store.database import Answer, Database
from store.errors import SchemaMismatch, SettingsError
from store.query import Query, Table


class Recorder:
    """A connection that keeps what it is asked and gives prepared answers."""

    def __init__(self, answers: Mapping[str, list[list[Any]]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any], bool]] = []

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
        self.asked.append((cypher, dict(parameters), write))
        rows = self.answers.get(cypher, [])
        return Answer(("version",), rows[:row_cap], len(rows) > (row_cap or len(rows)))

    def close(self) -> None:
        pass


def test_a_store_of_another_version_is_refused_and_not_touched() -> None:
    recorder = Recorder({schema.STORE_VERSION.cypher: [[schema.VERSION + 1]]})
    with pytest.raises(
        SchemaMismatch, match=r"schema version 4, .* version 3: use .* ingest again"
    ):
        schema.prepare(Database(recorder))
    assert [write for _, _, write in recorder.asked] == [False]


def test_an_empty_store_gets_constraints_then_its_node() -> None:
    recorder = Recorder({})
    schema.prepare(Database(recorder))
    written = [cypher for cypher, _, write in recorder.asked if write]
    assert written == [*(c.cypher for c in schema.CONSTRAINTS), schema.CREATE_STORE.cypher]
    assert recorder.asked[-1][1] == {"version": schema.VERSION}


def test_a_prepared_store_is_left_alone() -> None:
    recorder = Recorder({schema.STORE_VERSION.cypher: [[schema.VERSION]]})
    schema.prepare(Database(recorder))
    assert not any(write for _, _, write in recorder.asked)


@pytest.mark.parametrize("version", schema.OLDER)
def test_an_older_store_is_read_and_gets_what_it_lacks(version: int) -> None:
    recorder = Recorder({schema.STORE_VERSION.cypher: [[version]]})
    assert schema.check(Database(recorder)) == version
    assert not any(write for _, _, write in recorder.asked)
    schema.prepare(Database(recorder))
    assert recorder.asked[-1][1] == {"version": schema.VERSION}


def test_limited_changes_limits_only() -> None:
    query = Query("q", "Q.", "RETURN 1 AS version", ("version",))
    recorder = Recorder({query.cypher: [[1], [2], [3]]})
    database = Database(recorder, read_seconds=9, row_cap=3)
    assert not database.read(query).truncated
    cut = database.limited(row_cap=2).read(query)
    assert (cut.rows, cut.truncated) == ([[1], [2]], True)
    assert (database.limited().row_cap, database.limited().read_seconds) == (3, 9)


def test_settings_name_the_variable_and_never_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTOME_READ_SECONDS", "hunter2")
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert "WEIGHTOME_READ_SECONDS cannot be used" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_password_is_not_in_the_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTOME_PASSWORD", "hunter2")
    chosen = settings.load()
    assert "hunter2" not in f"{chosen!r} {chosen} {chosen.model_dump_json()}"
    assert chosen.password is not None
    assert chosen.password.get_secret_value() == "hunter2"


def test_table_json_shape() -> None:
    table = Table(("a", "b"), [[1, None]], "RETURN 1", {"x": 2}, True, 1.23456)
    assert table.to_json() == {
        "columns": ["a", "b"],
        "rows": [[1, None]],
        "truncated": True,
        "took_ms": 1.235,
        "cypher": "RETURN 1",
        "parameters": {"x": 2},
    }
    assert list(table.to_json()) == [
        "columns", "rows", "truncated", "took_ms", "cypher", "parameters",
    ]  # fmt: skip


def test_query_parameters_are_read_from_its_text() -> None:
    assert Query("q", "Q.", "MATCH (n {id: $id}) LIMIT $k").parameters == {"id", "k"}


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    chosen = settings.Settings(uri="bolt://neo4j:hunter2@host", password="x")
    with pytest.raises(SettingsError, match="WEIGHTOME_URI holds a user or password") as caught:
        connect(chosen)
    assert "hunter2" not in str(caught.value)


def test_table_json_holds_what_json_can() -> None:
    table = Table(("a",), [[float("nan")]], parameters={"x": float("inf")})
    assert json.loads(json.dumps(table.to_json(), allow_nan=False))["rows"] == [["NaN"]]
