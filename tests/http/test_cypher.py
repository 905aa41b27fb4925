"""The client's own Cypher over HTTP. What may run is the guard's: ``tests/graph`` has its table."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.http.envelope import check


def _post(client: httpx.Client, cypher: str, address: str = "/v1/cypher", **parameters: Any) -> Any:
    return client.post(address, json={"cypher": cypher, "parameters": parameters})


def test_off_unless_enabled(client: httpx.Client) -> None:
    message = check(_post(client, "RETURN 1 AS x"), 403, "cypher_disabled")
    assert "--enable-cypher" in message


def test_on(open_client: httpx.Client) -> None:
    text = "MATCH (n:Network) WHERE n.name = $name RETURN n.name AS name, n.links AS links"
    answer = _post(open_client, text, name="tiny")
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert content["columns"] == ["name", "links"]
    assert content["rows"] == [["tiny", 12]]
    assert content["truncated"] is False
    assert content["cypher"] == text
    assert content["parameters"] == {"name": "tiny"}


def test_parameters_come_back_as_they_were(open_client: httpx.Client) -> None:
    value: dict[str, Any] = {
        "a": [1, -(2**63), 0.1, 1e308, True, None, "é\u2028\U0001f9e0", {"": []}]
    }
    assert _post(open_client, "RETURN $x AS x", x=value).json()["rows"] == [[value]]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE (n:Intruder) RETURN n",
        "MATCH (n) DETACH DELETE n",
        "LOAD CSV FROM 'file:///etc/passwd' AS row RETURN row",
        "CALL dbms.listConfig()",
        "SHOW TRANSACTIONS",
    ],
)
def test_refused(open_client: httpx.Client, text: str) -> None:
    check(_post(open_client, text), 403, "query_refused")


def test_not_cypher(open_client: httpx.Client) -> None:
    check(_post(open_client, "SELECT * FROM weights"), 400, "invalid_query")


def test_a_missing_parameter(open_client: httpx.Client) -> None:
    check(_post(open_client, "RETURN $x AS x"), 400, "invalid_query")


def test_limit(open_client: httpx.Client) -> None:
    content = _post(open_client, "UNWIND range(1, 9) AS x RETURN x", "/v1/cypher?limit=4").json()
    assert content["rows"] == [[1], [2], [3], [4]]
    assert content["truncated"] is True


SLOW = "UNWIND range(1, 100000000) AS x UNWIND range(1, 1000) AS y RETURN sum(x % y) AS s"


def test_time_limit(open_client: httpx.Client) -> None:
    started = time.monotonic()
    check(_post(open_client, SLOW, "/v1/cypher?seconds=0.5"), 504, "time_limit_exceeded")
    assert time.monotonic() - started < 20


def test_a_client_that_goes_away_leaves_nothing_behind(open_client: httpx.Client) -> None:
    for _ in range(3):
        with pytest.raises(httpx.ReadTimeout):
            open_client.post("/v1/cypher?seconds=3", json={"cypher": SLOW}, timeout=0.3)
    assert open_client.get("/health").status_code == 200
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        statuses = [_post(open_client, "RETURN 1 AS x").status_code for _ in range(10)]
        if statuses == [200] * 10:
            break
    else:
        raise AssertionError("the places of those who went away are still taken")
