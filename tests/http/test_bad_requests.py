"""Whatever is wrong, the answer is the one error envelope: a status, a code and one sentence."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.http.envelope import check

TINY = "/v1/networks/tiny"

BAD: list[tuple[str, str, int, str]] = [
    ("GET", "/nothing", 404, "unknown_address"),
    ("GET", "/v1", 404, "unknown_address"),
    ("GET", "/v1/networks/", 404, "unknown_address"),
    ("GET", "//v1/networks", 404, "unknown_address"),
    ("GET", "/redoc", 404, "unknown_address"),
    ("GET", "/v1/networks/../../etc/passwd", 404, "unknown_address"),
    ("POST", "/v1/runs", 405, "method_not_allowed"),
    ("PUT", "/v1/networks", 405, "method_not_allowed"),
    ("DELETE", f"{TINY}/layers", 405, "method_not_allowed"),
    ("PUT", "/health", 405, "method_not_allowed"),
    ("OPTIONS", "/v1/runs", 405, "method_not_allowed"),
    ("GET", "/v1/cypher", 405, "method_not_allowed"),
    ("GET", "/v1/networks/no-such/layers", 404, "not_found"),
    ("GET", "/v1/networks/no-such/strength", 404, "not_found"),
    ("GET", "/v1/networks/%00/links", 404, "not_found"),
    ("GET", f"/v1/networks/{'x' * 20_000}/links", 404, "not_found"),
    ("GET", "/v1/networks/%0A%0Dx/links", 404, "not_found"),
    ("GET", "/v1/networks?run=no-such", 404, "not_found"),
    ("GET", "/v1/runs/no-such/dynamics", 404, "not_found"),
    ("GET", "/v1/runs/tiny-run/dynamics?layer=no-such", 404, "not_found"),
    ("GET", "/v1/runs/tiny-run/dynamics?statistic=metric:no-such", 404, "not_found"),
    ("GET", f"{TINY}/layers/no-such/neurons", 404, "not_found"),
    ("GET", f"{TINY}/layers/fc1/neurons/3", 404, "not_found"),
    ("GET", f"{TINY}/histogram?layer=no-such", 404, "not_found"),
    ("GET", f"{TINY}/paths?source=input/9&target=fc2", 404, "not_found"),
    ("GET", "/v1/networks/%FF/links", 400, "invalid_address"),
    ("GET", f"{TINY}/histogram?layer=%C3%28", 400, "invalid_address"),
    ("GET", f"{TINY}/strength?convention=cmt", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?convention=", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?conventoin=cnt", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?bias=perhaps", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?bias=true&bias=false", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?limit=0", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?limit=-1", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?limit=1e3", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?limit=100001", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?limit={'9' * 5000}", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?seconds=0", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?seconds=nan", 400, "invalid_argument"),
    ("GET", f"{TINY}/strength?seconds=1e9", 400, "invalid_argument"),
    ("GET", f"{TINY}/links?near_zero=-1", 400, "invalid_argument"),
    ("GET", f"{TINY}/links?near_zero=nan", 400, "invalid_argument"),
    ("GET", f"{TINY}/links?near_zero=inf", 400, "invalid_argument"),
    ("GET", f"{TINY}/histogram?bins=0", 400, "invalid_argument"),
    ("GET", f"{TINY}/histogram?bins=100000", 400, "invalid_argument"),
    ("GET", f"{TINY}/layers/fc1/neurons/-1", 400, "invalid_argument"),
    ("GET", f"{TINY}/layers/fc1/neurons/one", 400, "invalid_argument"),
    ("GET", f"{TINY}/layers/fc1/neurons/1?k=0", 400, "invalid_argument"),
    ("GET", f"{TINY}/layers/fc1/neurons/{10**30}", 404, "not_found"),
    ("GET", f"{TINY}/paths", 400, "invalid_argument"),
    ("GET", f"{TINY}/paths?source=input", 400, "invalid_argument"),
    ("GET", f"{TINY}/paths?source=input&target=input", 400, "invalid_argument"),
    ("GET", f"{TINY}/paths?source=input&target=fc2&k=0", 400, "invalid_argument"),
    ("GET", f"{TINY}/paths?source=input&target=fc2&cost=cheap", 400, "invalid_argument"),
    ("GET", f"{TINY}/paths?source=input&target=fc2/x", 400, "invalid_argument"),
    ("GET", "/v1/runs/tiny-run/dynamics?statistic=mood", 400, "invalid_argument"),
    ("GET", "/v1/runs?run=tiny-run", 400, "invalid_argument"),
]


@pytest.mark.parametrize(
    ("method", "address", "status", "code"), BAD, ids=[f"{row[0]} {row[1][:60]}" for row in BAD]
)
def test_bad_request(
    client: httpx.Client, method: str, address: str, status: int, code: str
) -> None:
    check(client.request(method, address), status, code)


def test_a_405_says_what_is_allowed(client: httpx.Client) -> None:
    assert client.post("/v1/runs").headers["allow"] == "GET"


def test_a_misspelt_parameter_is_named_with_those_that_exist(client: httpx.Client) -> None:
    message = check(client.get(f"{TINY}/links?near=1"), 400, "invalid_argument")
    assert "'near'" in message
    assert "near_zero" in message


def _with(value: bytes) -> bytes:
    return b'{"cypher": "RETURN $x AS x", "parameters": {"x": ' + value + b"}}"


BODIES: list[tuple[str, Any]] = [
    ("nothing", b""),
    ("no JSON", b"RETURN 1"),
    ("half a JSON", b'{"cypher": "RETURN 1"'),
    ("a list", []),
    ("no query", {}),
    ("an empty query", {"cypher": ""}),
    ("a number", {"cypher": 1}),
    ("a further key", {"cypher": "RETURN 1 AS x", "write": True}),
    ("parameters in a list", {"cypher": "RETURN 1 AS x", "parameters": [1]}),
    ("a huge integer", _with(b"9223372036854775808")),
    ("a number of 5000 digits", _with(b"9" * 5000)),
    ("NaN", _with(b"NaN")),
    ("infinity", _with(b"[1e999]")),
    ("half a surrogate pair", _with(b'"\\ud800"')),
    ("half a pair in a key", _with(b'{"\\ud800": 1}')),
    ("half a pair in the query", b'{"cypher": "RETURN \'\\ud800\' AS x"}'),
    ("not UTF-8", _with(b'"\xff"')),
    ("a deep nest", _with(b"[" * 5000 + b"]" * 5000)),
]


@pytest.mark.parametrize("body", [row[1] for row in BODIES], ids=[row[0] for row in BODIES])
def test_bad_body(open_client: httpx.Client, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = open_client.post(
        "/v1/cypher", content=content, headers={"Content-Type": "application/json"}
    )
    check(answer, 400, "invalid_argument")


def test_a_body_that_is_too_long(open_client: httpx.Client) -> None:
    answer = open_client.post("/v1/cypher", json={"cypher": " " * 1_000_000})
    check(answer, 413, "body_too_large")
    assert open_client.get("/health").status_code == 200


def test_a_body_without_a_length_is_counted(open_client: httpx.Client) -> None:
    answer = open_client.post("/v1/cypher", content=(b" " * 100_000 for _ in range(11)))
    check(answer, 413, "body_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_what_a_form_of_another_site_can_send_is_not_taken(
    open_client: httpx.Client, kind: str
) -> None:
    """A browser sends these without asking us first (no CORS preflight)."""
    answer = open_client.post(
        "/v1/cypher", content=b'{"cypher": "RETURN 1 AS x"}', headers={"Content-Type": kind}
    )
    check(answer, 400, "invalid_argument")
