"""The service around a database that fails: plumbing only, so the database is a stand-in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from service import serving
from service.application import create
from service.options import Options
from service.tokens import Token, Tokens
from store import errors
from store.cancelling import Cancelling
from store.database import Answer, Database

Run = Callable[[str], list[list[Any]]]


class StandIn:
    """A connection that answers what a function says."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.closed = 0

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
        assert not write
        assert seconds is not None
        assert row_cap is not None
        assert isinstance(parameters, dict)
        # The two questions of the health check.
        if "dbms.components" in cypher:
            return Answer(("version", "edition"), [["2026.08.1", "community"]])
        if "gds.version" in cypher:
            return Answer(("version",), [["2.26.0"]])
        return Answer(("run", "snapshots", "first_step", "last_step"), self._run(cypher))

    def close(self) -> None:
        self.closed += 1


@contextmanager
def served(run: Run, **options: Any) -> Iterator[httpx.Client]:
    with _client(lambda: Database(StandIn(run)), **options) as client:
        yield client


@contextmanager
def _client(open_database: Callable[[], Database], **options: Any) -> Iterator[httpx.Client]:
    """A client of the application, which a real server runs in a thread."""
    config = uvicorn.Config(create(open_database, Options(**options)), http="h11", log_config=None)
    server = uvicorn.Server(config)
    with serving.bind("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            with httpx.Client(base_url=serving.url(listening), timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def _raise(error: Exception) -> Any:
    raise error


def test_a_database_that_is_not_there_gives_503_until_it_is() -> None:
    there = threading.Event()

    def open_database() -> Database:
        if not there.is_set():
            raise errors.StoreUnreachable("No Neo4j answers at bolt://secret-host:7687.")
        return Database(StandIn(lambda _: [["r", 1, 0, 0]]))

    with _client(open_database) as client:
        for address in ("/v1/runs", "/ready"):
            answer = client.get(address)
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "store_unreachable"
            assert "secret-host" not in answer.text
        assert client.get("/health").json() == {"status": "ok"}
        there.set()
        assert client.get("/v1/runs").json()["rows"] == [["r", 1, 0, 0]]
        assert client.get("/ready").json() == {"status": "ok"}


def test_a_lost_database_is_opened_again_and_the_old_one_closed() -> None:
    opened: list[StandIn] = []

    def open_database() -> Database:
        first = not opened
        gone = errors.StoreUnreachable("Gone.")
        opened.append(StandIn(lambda _: _raise(gone) if first else [["r", 1, 0, 0]]))
        return Database(opened[-1])

    with _client(open_database) as client:
        assert client.get("/v1/runs").status_code == 503
        assert client.get("/v1/runs").status_code == 200
        assert [connection.closed for connection in opened] == [1, 0]
    assert [connection.closed for connection in opened] == [1, 1]


def test_another_error_keeps_the_database() -> None:
    opened: list[StandIn] = []

    def open_database() -> Database:
        opened.append(StandIn(lambda _: _raise(errors.TimeLimitExceeded("Too long."))))
        return Database(opened[-1])

    with _client(open_database) as client:
        assert [client.get("/v1/runs").status_code for _ in range(3)] == [504] * 3
    assert len(opened) == 1


def test_those_who_wait_for_a_failing_open_share_its_outcome() -> None:
    attempts: list[int] = []
    all_wait = threading.Event()

    def open_database() -> Database:
        attempts.append(len(attempts))
        assert all_wait.wait(60)
        raise errors.StoreUnreachable("Not there.")

    with _client(open_database, concurrent=6) as client, ThreadPoolExecutor(6) as threads:
        asking = [threads.submit(client.get, "/v1/runs") for _ in range(6)]
        while "weightome_questions_running 6.0" not in client.get("/metrics").text:
            assert not all_wait.wait(0.05)
        all_wait.set()
        assert [each.result(60).status_code for each in asking] == [503] * 6
        # Their threads have places, of which one or two may only now come to ask.
        assert len(attempts) <= 3


def test_an_unexpected_error_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.ERROR, "weightome.service"),
        served(lambda _: _raise(RuntimeError("password is hunter2"))) as client,
    ):
        answer = client.get("/v1/runs")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "hunter2" in caplog.text


def test_an_unexpected_error_can_be_found_in_the_log_also_by_an_allowed_page(
    caplog: pytest.LogCaptureFixture,
) -> None:
    origin = "https://models.example"
    with (
        caplog.at_level(logging.ERROR, "weightome.service"),
        served(lambda _: _raise(RuntimeError()), origins=frozenset({origin})) as client,
    ):
        answer = client.get("/v1/runs", headers={"Origin": origin})
    assert answer.status_code == 500
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["x-request-id"] in caplog.text


def test_values_that_json_cannot_hold_are_text() -> None:
    with served(lambda _: [["r", float("nan"), 0, 0]]) as client:
        answer = client.get("/v1/runs")
    assert answer.status_code == 200
    assert answer.json()["rows"] == [["r", "NaN", 0, 0]]


def test_one_question_too_many_is_busy_while_watchers_still_get_an_answer() -> None:
    release, running = threading.Event(), threading.Semaphore(0)

    def slow(_: str) -> list[list[Any]]:
        running.release()
        assert release.wait(20)
        return [["r", 1, 0, 0]]

    with served(slow, concurrent=2, waiting=0) as client, ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(client.get, "/v1/runs") for _ in range(2)]
        for _ in waiting:
            assert running.acquire(timeout=20)
        refused = client.get("/v1/runs")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "busy"
        assert int(refused.headers["retry-after"]) >= 1
        for address in ("/health", "/ready"):
            assert client.get(address).status_code == 200
        release.set()
        assert [one.result(20).status_code for one in waiting] == [200, 200]
        assert client.get("/v1/runs").status_code == 200


def test_ready_does_not_wait_for_a_database_that_hangs() -> None:
    release, given_up = threading.Event(), threading.Event()

    def open_database() -> Database:
        release.wait(120)
        given_up.set()
        raise errors.StoreUnreachable("Late.")

    with _client(open_database, health_seconds=0.2) as client:
        answers = [client.get("/ready") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [503] * 3
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        assert client.get("/health").status_code == 200
        assert not given_up.is_set()
        release.set()


def test_the_token_is_asked_for_everywhere_but_where_nothing_is_told() -> None:
    with served(lambda _: [], tokens=Tokens([Token.of("s3cret-ü")])) as client:
        for address in ("/v1/runs", "/v1/networks", "/metrics", "/nothing", "/docs/", "/%64ocs"):
            answer = client.get(address)
            assert answer.status_code == 401, address
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for header in (
            "s3cret-ü",
            "Basic s3cret-ü",
            "Bearer",
            "Bearer s3cret",
            "bearer x",
        ):
            sent = {b"Authorization": header.encode()}
            assert client.get("/v1/runs", headers=sent).status_code == 401, header
        for scheme in ("Bearer", "bearer"):
            sent = {b"Authorization": f"{scheme} s3cret-ü".encode()}
            assert client.get("/v1/runs", headers=sent).status_code == 200
        for address in ("/health", "/ready", "/docs", "/openapi.json"):
            assert client.get(address).status_code == 200


def test_a_host_that_is_not_ours_is_refused_everywhere() -> None:
    with served(lambda _: [], hosts=frozenset({"localhost"})) as client:
        for host in (
            "evil.example",
            "localhost.evil.example",
            "localhost@evil",
            "",
            "[::",
            "a:b:c",
        ):
            for address in ("/v1/runs", "/health", "/docs"):
                answer = client.get(address, headers={"Host": host})
                assert answer.status_code == 400, (host, address)
                assert answer.json()["error"]["code"] == "invalid_host"
        for host in ("localhost", "LOCALHOST:8080"):
            assert client.get("/health", headers={"Host": host}).status_code == 200
    with served(lambda _: [], hosts=None) as client:
        assert client.get("/health", headers={"Host": "any.example"}).status_code == 200
