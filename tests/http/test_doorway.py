"""Tokens with scopes, other sites' pages, and what is recorded of a request: on real services."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.http.conftest import ROOT, Service, Start
from tests.http.envelope import check

READER, WRITER, CYPHERER, ALL = (f"{word}-0123456789abcdef" for word in ("r", "w", "c", "all"))
SECRETS = {
    "WEIGHTOME_TOKEN": ALL,
    "WEIGHTOME_TOKENS": f"read:{READER} write:{WRITER},cypher:{CYPHERER}",
}
ORIGIN = "https://models.example"


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def guarded(start: Start, tiny: str) -> Iterator[Service]:
    """A service with several tokens that logs, takes Cypher and shares itself with one origin."""
    assert tiny == "tiny"
    options = ("--enable-cypher", "--access-log", "--allow-origin", ORIGIN)
    with start(*options, **SECRETS) as running:
        yield running


# -- scopes --------------------------------------------------------------------------------------

ONE = {"cypher": "RETURN 1 AS one"}
ADDRESSES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "read": ("GET", "/v1/networks/tiny/links", {}),
    "write": ("DELETE", "/v1/networks/no-such-network", {}),
    "cypher": ("POST", "/v1/cypher", {"json": ONE}),
}


@pytest.mark.parametrize("scope", ADDRESSES)
@pytest.mark.parametrize(
    ("secret", "scopes"),
    [
        (READER, {"read"}),
        (WRITER, {"write"}),
        (CYPHERER, {"cypher"}),
        (ALL, {"read", "write", "cypher"}),
    ],
    ids=["reader", "writer", "cypherer", "all"],
)
def test_a_token_may_what_its_scopes_say(
    guarded: Service, scope: str, secret: str, scopes: set[str]
) -> None:
    method, address, content = ADDRESSES[scope]
    answer = guarded.client.request(method, address, headers=_bearer(secret), **content)
    if scope not in scopes:
        message = check(answer, 403, "scope_missing")
        assert repr(scope) in message
        assert f'scope="{scope}"' in answer.headers["www-authenticate"]
    elif scope == "write":
        # The doorway let it through, to where it is found that there is no such network.
        check(answer, 404, "not_found")
    else:
        assert answer.status_code == 200, answer.text


def test_metrics_need_the_scope_read(guarded: Service) -> None:
    check(guarded.client.get("/metrics"), 401, "unauthorized")
    check(guarded.client.get("/metrics", headers=_bearer(WRITER)), 403, "scope_missing")
    assert guarded.client.get("/metrics", headers=_bearer(READER)).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", f"Basic {READER}", READER, f"Bearer {READER}x", "Bearer \xe9"],
)
def test_what_is_no_token_is_401(guarded: Service, header: str) -> None:
    sent = {b"Authorization": header.encode()}
    for address in ("/v1/runs", "/metrics", "/nothing"):
        answer = guarded.client.get(address, headers=sent)
        check(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("address", ["/", "/health", "/ready", "/docs", "/openapi.json"])
def test_what_tells_nothing_is_open(guarded: Service, address: str) -> None:
    assert guarded.client.get(address).status_code == 200


def test_tokens_with_scopes_let_it_listen_beyond_this_machine(start: Start, tiny: str) -> None:
    assert tiny == "tiny"
    tokens = SECRETS["WEIGHTOME_TOKENS"]
    with start("--host", "0.0.0.0", WEIGHTOME_TOKENS=tokens) as running:  # noqa: S104
        address = f"http://127.0.0.1:{running.port}/v1/runs"
        check(httpx.get(address), 401, "unauthorized")
        assert httpx.get(address, headers=_bearer(READER)).status_code == 200


@pytest.mark.parametrize(
    ("options", "variables", "says"),
    [
        ((), {"WEIGHTOME_TOKENS": f"read:{READER} {WRITER}"}, "Entry 2 of WEIGHTOME_TOKENS"),
        ((), {"WEIGHTOME_TOKENS": "read:too-short"}, "16 characters"),
        ((), {"WEIGHTOME_TOKENS": ""}, "WEIGHTOME_TOKENS is empty"),
        (("--allow-origin", "*"), {}, "'*' is no origin"),
        (("--allow-origin", "https://a.example/x"), {}, "'https://a.example/x' is no origin"),
    ],
)
def test_what_cannot_be_is_said_at_the_start_without_a_secret(
    command_environment: dict[str, str],
    options: tuple[str, ...],
    variables: dict[str, str],
    says: str,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", "--port", "0", *options],
        cwd=ROOT,
        env={**command_environment, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert says in done.stderr
    for secret in (READER, WRITER, "too-short"):
        assert secret not in done.stderr


# -- other sites' pages --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": ORIGIN},
    ],
)
def test_another_sites_page_changes_nothing(service: Service, headers: dict[str, str]) -> None:
    for method, address in (
        ("POST", "/v1/cypher"),
        ("POST", "/v1/networks?name=x&file=x.onnx"),
        ("DELETE", "/v1/networks/tiny"),
    ):
        answer = service.client.request(method, address, headers=headers, content=b"{}")
        check(answer, 403, "foreign_origin")
    # Reading is what its browser keeps it from.
    answer = service.client.get("/v1/runs", headers=headers)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_its_own_page_and_programs_may(service: Service) -> None:
    own = f"http://127.0.0.1:{service.port}"
    for headers in (
        {},
        {"Origin": own},
        {"Origin": own, "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        check(service.client.post("/v1/cypher", headers=headers, json=ONE), 403, "cypher_disabled")


def _preflight(client: httpx.Client, origin: str, method: str, headers: str) -> httpx.Response:
    sent = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    return client.options("/v1/cypher", headers=sent)


def test_a_preflight_is_answered_without_a_token(guarded: Service) -> None:
    answer = _preflight(guarded.client, ORIGIN, "POST", "authorization,content-type")
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://evil.example", "POST", "authorization"),
        ("https://models.example.evil.example", "GET", "authorization"),
        ("http://models.example", "GET", "authorization"),
        ("null", "GET", "authorization"),
        (ORIGIN, "PUT", "authorization"),
        (ORIGIN, "GET", "x-invented"),
    ],
)
def test_a_preflight_of_others_or_for_more_is_refused(
    guarded: Service, origin: str, method: str, headers: str
) -> None:
    answer = _preflight(guarded.client, origin, method, headers)
    check(answer, 400, "preflight_refused")
    if origin != ORIGIN:
        assert "access-control-allow-origin" not in answer.headers


def test_answers_and_errors_are_marked_for_the_allowed_origin_alone(guarded: Service) -> None:
    for address, headers, status in (
        ("/v1/runs", _bearer(READER), 200),
        ("/v1/runs", {}, 401),
        ("/metrics", _bearer(WRITER), 403),
        ("/v1/networks/no-such/links", _bearer(READER), 404),
        ("/v1/networks/%FF/links", _bearer(READER), 400),
        ("/health", {"Host": "evil.example"}, 400),
    ):
        answer = guarded.client.get(address, headers={**headers, "Origin": ORIGIN})
        assert answer.status_code == status, address
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        others = {**headers, "Origin": "https://evil.example"}
        answer = guarded.client.get(address, headers=others)
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers


def test_the_allowed_origin_may_change_things_where_no_token_is_asked_for(start: Start) -> None:
    with start("--allow-origin", ORIGIN) as running:
        sent = {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}
        answer = running.client.post("/v1/cypher", headers=sent, json=ONE)
        check(answer, 403, "cypher_disabled")
        sent["Origin"] = "https://evil.example"
        check(running.client.post("/v1/cypher", headers=sent, json=ONE), 403, "foreign_origin")


# -- the access log ------------------------------------------------------------------------------


def _logged(service: Service, number: str) -> dict[str, Any]:
    """The line of a request, by its id."""
    # A line is written once its answer is sent: this request comes after that.
    service.client.get("/health")
    (line,) = [line for line in service.log().splitlines() if number in line]
    entry: dict[str, Any] = json.loads(line)
    return entry


def test_a_line_tells_what_was_asked_and_no_value_and_no_secret(guarded: Service) -> None:
    before = datetime.now(UTC)
    address = "/v1/networks/tiny/links?near_zero=0.25&limit=7&hunter2"
    sent = {**_bearer(READER), "X-Request-ID": "line-1"}
    answer = guarded.client.get(address, headers=sent)
    entry = _logged(guarded, "line-1")
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(entry.pop("time"))
    assert entry.pop("ms") > 0
    assert entry == {
        "id": "line-1",
        "method": "GET",
        "path": "/v1/networks/tiny/links",
        "query": ["limit", "near_zero"],
        "status": answer.status_code,
        "bytes": len(answer.content),
        "who": "token 1",
    }


@pytest.mark.parametrize(
    ("secret", "who"),
    [(ALL, "token"), (WRITER, "token 2"), (CYPHERER, "token 3"), ("no-token-of-ours", None)],
)
def test_a_line_tells_who_by_position(guarded: Service, secret: str, who: str | None) -> None:
    number = f"who-{who or 'nobody'}".replace(" ", "-")
    guarded.client.get("/v1/runs", headers={**_bearer(secret), "X-Request-ID": f"{number}."})
    assert _logged(guarded, f'"{number}."')["who"] == who


def test_every_line_is_json_and_none_has_a_secret(guarded: Service) -> None:
    for address in (
        "/v1/networks/%0A%22%7B/links",
        "/v1/networks/%FF/links",
        f"/v1/runs?token={READER}&{READER}",
        f"/{'x' * 5000}",
    ):
        guarded.client.get(address, headers=_bearer(READER))
    guarded.client.get("/health")
    lines = guarded.log().splitlines()
    assert len(lines) >= 5
    for line in lines:
        assert isinstance(json.loads(line), dict)
        assert len(line) < 3000
        for secret in (READER, WRITER, CYPHERER, ALL):
            assert secret not in line


@pytest.mark.parametrize("sent", ["a", "A-z_0.9", "x" * 64])
def test_a_clients_own_id_is_taken(guarded: Service, sent: str) -> None:
    answer = guarded.client.get("/nothing", headers={"X-Request-ID": sent})
    assert answer.headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", '"', "a\tb", "{}", "é", "<script>"])
def test_an_id_that_could_break_something_is_replaced(guarded: Service, sent: str) -> None:
    given = [
        guarded.client.get("/health", headers={b"X-Request-ID": sent.encode()}).headers[
            "x-request-id"
        ]
        for _ in range(2)
    ]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in given)
    assert given[0] != given[1]


# -- metrics -------------------------------------------------------------------------------------


def _samples(client: httpx.Client, **headers: str) -> dict[tuple[str, frozenset[str]], float]:
    """Values by name and label values."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def _counted(*labels: str) -> tuple[str, frozenset[str]]:
    return "weightome_requests_total", frozenset(labels)


def test_requests_are_counted_by_route_and_never_by_path(start: Start, tiny: str) -> None:
    assert tiny == "tiny"
    with start("--allow-origin", ORIGIN) as running:
        client = running.client
        for number in range(5):
            check(client.get(f"/v1/networks/missing-{number}/layers"), 404, "not_found")
            check(client.get(f"/nothing/{number}"), 404, "unknown_address")
            check(client.request(f"METHOD{number}", "/v1/runs"), 405, "method_not_allowed")
        check(client.get("/v1/networks/%FF/layers"), 400, "invalid_address")
        check(client.post("/v1/cypher", headers={"Origin": "null"}), 403, "foreign_origin")
        for _ in range(3):
            assert client.get("/v1/networks/tiny/layers").status_code == 200
        found = _samples(client)
        layers = "/v1/networks/{name}/layers"
        assert found[_counted("GET", layers, "404")] == 5
        assert found[_counted("GET", layers, "200")] == 3
        assert found[_counted("GET", "other", "404")] == 5
        assert found[_counted("GET", "other", "400")] == 1
        assert found[_counted("POST", "other", "403")] == 1
        assert found["weightome_request_seconds_count", frozenset({"GET", layers})] == 8
        total = sum(value for (name, _), value in found.items() if name == _counted()[0])
        assert total == 5 * 3 + 2 + 3
        labels = {label for name, labels in found for label in labels}
        assert not [label for label in labels if "missing" in label or "METHOD" in label]
        # The scrape itself is the one that is under way.
        assert found["weightome_requests_open", frozenset()] == 1
        assert found["process_resident_memory_bytes", frozenset()] > 1e6
        assert found["process_open_fds", frozenset()] > 3
        (build,) = [labels for name, labels in found if name == "weightome_build_info"]
        assert ".".join(map(str, sys.version_info[:3])) in build
        again = _samples(client)
        assert again[_counted("GET", "/metrics", "200")] == 1


def test_questions_under_way_and_refused_are_seen(start: Start, tiny: str) -> None:
    assert tiny == "tiny"
    slow = {"cypher": "UNWIND range(1, 100000) AS x UNWIND range(1, 100000) AS y RETURN count(*)"}
    with start("--enable-cypher") as running, ThreadPoolExecutor(1) as threads:
        client = running.client
        idle = _samples(client)
        places = idle["weightome_questions_places", frozenset()]
        assert places >= 1
        for name in ("running", "waiting", "refused_total"):
            assert idle[f"weightome_questions_{name}", frozenset()] == 0
        answer = threads.submit(client.post, "/v1/cypher?seconds=20", json=slow)
        seen = 0.0
        while not seen:
            assert not answer.done()
            seen = _samples(client)["weightome_questions_running", frozenset()]
        assert seen == 1
        check(answer.result(), 504, "time_limit_exceeded")
        after = _samples(client)
        assert after[_counted("POST", "/v1/cypher", "504")] == 1


def test_a_scraper_may_ask_for_openmetrics(client: httpx.Client) -> None:
    plain = client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    sent = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = client.get("/metrics", headers=sent)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
