"""Every address answers as the question in :mod:`queries` does, which the oracle tests check."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from queries import catalogue, dynamics, links, paths, strength
from store.database import Database
from store.query import Table
from tests.http.conftest import ROOT
from tests.http.envelope import close

Ask = Callable[[Database], Table]

CASES: list[tuple[str, Ask]] = [
    ("/v1/runs", catalogue.runs),
    ("/v1/networks", catalogue.networks),
    ("/v1/networks?run=tiny-run", lambda db: catalogue.networks(db, "tiny-run")),
    ("/v1/networks/tiny/layers", lambda db: catalogue.layers(db, "tiny")),
    (
        "/v1/networks/tiny/layers/fc1/neurons",
        lambda db: catalogue.neurons(db, "tiny", "fc1"),
    ),
    (
        "/v1/networks/tiny/layers/fc1/neurons/2",
        lambda db: catalogue.neuron(db, "tiny", "fc1", 2),
    ),
    (
        "/v1/networks/tiny/layers/fc1/neurons/2?k=1",
        lambda db: catalogue.neuron(db, "tiny", "fc1", 2, k=1),
    ),
    ("/v1/networks/tiny/strength", lambda db: strength.strength(db, "tiny")),
    ("/v1/networks/tiny/strength?bias=true", lambda db: strength.strength(db, "tiny", bias=True)),
    (
        "/v1/networks/tiny/strength?convention=cnt",
        lambda db: strength.strength(db, "tiny", convention="cnt"),
    ),
    (
        "/v1/networks/tiny/layer-strength?convention=cnt",
        lambda db: strength.layer_strength(db, "tiny", convention="cnt"),
    ),
    ("/v1/networks/tiny/links", lambda db: links.links(db, "tiny")),
    (
        "/v1/networks/tiny/links?bias=true&near_zero=0.25",
        lambda db: links.links(db, "tiny", bias=True, near_zero=0.25),
    ),
    ("/v1/networks/tiny/histogram", lambda db: links.histogram(db, "tiny")),
    (
        "/v1/networks/tiny/histogram?layer=fc2&bins=3&bias=true",
        lambda db: links.histogram(db, "tiny", layer="fc2", bins=3, bias=True),
    ),
    (
        "/v1/networks/tiny/paths?source=input&target=fc2/1",
        lambda db: paths.paths(db, "tiny", "input", "fc2/1"),
    ),
    (
        "/v1/networks/tiny/paths?source=input/0&target=fc2&k=3&cost=nearest",
        lambda db: paths.paths(db, "tiny", "input/0", "fc2", k=3, cost="nearest"),
    ),
    ("/v1/runs/tiny-run/dynamics", lambda db: dynamics.dynamics(db, "tiny-run")),
    (
        "/v1/runs/tiny-run/dynamics?statistic=metric:accuracy",
        lambda db: dynamics.dynamics(db, "tiny-run", "metric:accuracy"),
    ),
    (
        "/v1/runs/tiny-run/dynamics?statistic=link_std&layer=fc1&bias=true",
        lambda db: dynamics.dynamics(db, "tiny-run", "link_std", layer="fc1", bias=True),
    ),
]


def _comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """All but the rows, and what differs from one run of a question to the next."""
    parameters = {key: value for key, value in answer["parameters"].items() if key != "graph"}
    return {**answer, "parameters": parameters, "took_ms": None, "rows": None}


@pytest.mark.parametrize(("address", "ask"), CASES, ids=[case[0] for case in CASES])
def test_as_the_question(client: httpx.Client, database: Database, address: str, ask: Ask) -> None:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    expected = json.loads(json.dumps(ask(database).to_json()))
    assert _comparable(answer.json()) == _comparable(expected)
    assert answer.json()["rows"] == close(expected["rows"])
    assert answer.json()["took_ms"] > 0


def test_the_hand_checkable_strengths(client: httpx.Client) -> None:
    """The design, section 3: not what the queries say, but what the paper's formula gives."""
    answer = client.get("/v1/networks/tiny/strength", params={"convention": "cnt"}).json()
    assert answer["columns"] == ["layer", "layer_index", "neuron", "in", "out", "total"]
    totals = [row[5] for row in answer["rows"]]
    assert totals == pytest.approx([3, 4, 8.1, 4.2, -3.7, 4.5, 0.5], abs=1e-12)
    layers = client.get("/v1/networks/tiny/layer-strength", params={"convention": "cnt"}).json()
    place = layers["columns"].index("fluctuation")
    assert [row[place] for row in layers["rows"]] == pytest.approx(
        [0.5, 4.908722395446248, 2.0], rel=1e-12
    )


def test_as_the_command_line(client: httpx.Client, command_environment: dict[str, str]) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "queries", "strength", "tiny", "--bias", "--format", "json"],
        cwd=ROOT,
        env=command_environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    answer = client.get("/v1/networks/tiny/strength?bias=true").json()
    expected = json.loads(printed)
    assert _comparable(answer) == _comparable(expected)
    assert answer["rows"] == close(expected["rows"])


def test_ids_are_text(client: httpx.Client) -> None:
    answer = client.get("/v1/networks/tiny/layers/fc1/neurons").json()
    place = answer["columns"].index("id")
    assert all(isinstance(row[place], str) and row[place].isdigit() for row in answer["rows"])


def test_limit_cuts_and_says_so(client: httpx.Client) -> None:
    whole = client.get("/v1/networks/tiny/strength").json()
    for limit in (1, 3, 6):
        cut = client.get("/v1/networks/tiny/strength", params={"limit": limit}).json()
        assert cut["truncated"] is True
        assert cut["rows"] == close(whole["rows"][:limit])
    exact = client.get("/v1/networks/tiny/strength", params={"limit": len(whole["rows"])}).json()
    assert exact["truncated"] is False
    assert exact["rows"] == close(whole["rows"])


def test_many_at_once(client: httpx.Client) -> None:
    """More than may run at once: each is answered rightly, or told to come again."""
    expected = client.get("/v1/networks/tiny/links").json()["rows"]
    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(lambda _: client.get("/v1/networks/tiny/links"), range(96)))
    assert {answer.status_code for answer in answers} <= {200, 503}
    served = [answer for answer in answers if answer.status_code == 200]
    assert len(served) >= 8
    assert all(answer.json()["rows"] == close(expected) for answer in served)
    assert all(
        answer.json()["error"]["code"] == "busy" and answer.headers["retry-after"]
        for answer in answers
        if answer.status_code == 503
    )
