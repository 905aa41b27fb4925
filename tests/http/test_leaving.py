"""Clients that break off: what ran for them in Neo4j ends, and their place is free again."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable

from store.database import Database
from tests.graph.test_cancelling import LONG, running
from tests.http.conftest import Start


def until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that within 30 s")


def ask_and_stay(port: int) -> socket.socket:
    body = json.dumps({"cypher": LONG.cypher}).encode()
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(
        b"POST /v1/cypher HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    return connection


def test_the_query_of_a_client_that_left_is_ended(start: Start, database: Database) -> None:
    with start("--enable-cypher") as service:
        # As many as may run at once, and two that wait.
        connections = [ask_and_stay(service.port) for _ in range(10)]
        until(lambda: running(database) == 8)
        assert service.client.get("/health").status_code == 200
        for connection in connections[:3]:
            connection.close()
        # Two have left for good, those who waited have their places.
        until(lambda: running(database) == 7)
        for connection in connections[3:]:
            connection.close()
        until(lambda: running(database) == 0)
        assert service.client.get("/v1/runs").status_code == 200
        assert "Traceback" not in service.log()
