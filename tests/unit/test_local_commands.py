"""The commands when no server runs, and what they tell of one that does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from store.local import commands
from store.local.commands import facts
from store.local.server import LocalServer, Status
from store.settings import Settings

application = typer.Typer()
for command in (commands.up, commands.down, commands.status):
    application.command()(command)

SERVER = LocalServer(
    uri="bolt://127.0.0.1:7687",
    user="neo4j",
    password=SecretStr("hidden-word"),
    pid=4711,
    port=7687,
    home=Path("/home/[red]me/a folder"),
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("WEIGHTOME_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(application, arguments)
        return result.exit_code, result.stdout

    return invoke


def record(output: str) -> dict[str, object]:
    """The one row of an answer in JSON."""
    answer = json.loads(output)
    (row,) = answer["rows"]
    return dict(zip(answer["columns"], row, strict=True))


def test_status_without_a_server(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    assert run("status") == (3, "No local Neo4j runs; `weightome up` starts it.\n")
    code, output = run("status", "--format", "json")
    assert code == 3
    assert record(output) == {
        **dict.fromkeys(("uri", "user", "password_file", "pid", "port", "data")),
        "state": "stopped",
        "neo4j": "2026.08.1",
        "gds": "2.26.0",
    }
    assert run("status", "--format", "csv")[1].splitlines()[1] == "stopped,,,,,,,2026.08.1,2.26.0"
    assert not (tmp_path / "home").exists()


def test_down_without_a_server(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    assert run("down") == (0, "No local Neo4j runs.\n")
    assert record(run("down", "--format", "json")[1])["state"] == "stopped"
    assert not (tmp_path / "home").exists()


def test_status_of_a_server(
    run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.local.server.status", lambda settings: Status("running", SERVER))
    code, output = run("status", "--format", "json")
    assert code == 0
    assert record(output) == {
        "state": "running",
        "uri": "bolt://127.0.0.1:7687",
        "user": "neo4j",
        "password_file": "/home/[red]me/a folder/password",
        "pid": 4711,
        "port": 7687,
        "data": "/home/[red]me/a folder/data",
        "neo4j": "2026.08.1",
        "gds": "2.26.0",
    }
    code, table = run("status")
    assert code == 0
    assert "/home/[red]me/a folder/password" in table
    assert "hidden-word" not in output + table + repr(SERVER)


def test_a_starting_server_is_not_a_running_one(
    run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.local.server.status", lambda settings: Status("starting", SERVER))
    assert run("status")[0] == 3


def test_up_hands_on_the_port_and_prints_where_the_server_is(
    run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[Path, int | None]] = []

    def up(settings: Settings, *, port: int | None) -> LocalServer:
        asked.append((settings.home, port))
        return SERVER

    monkeypatch.setattr("store.local.server.up", up)
    code, output = run("up", "--port", "7687")
    assert (code, asked) == (0, [(tmp_path / "home", 7687)])
    assert "bolt://127.0.0.1:7687" in output
    assert "hidden-word" not in output
    assert run("up")[0] == 0
    assert asked[1][1] is None


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_an_impossible_port_is_refused(run: Callable[..., tuple[int, str]], port: str) -> None:
    assert run("up", "--port", port)[0] == 2


def test_facts_never_hold_the_password() -> None:
    assert "hidden-word" not in str(facts(Status("running", SERVER)))
