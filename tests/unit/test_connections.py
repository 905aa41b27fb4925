"""Clients that trickle, stall or crowd: raw sockets before a real server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from service import failures, serving
from service.access_log import line
from service.connections import BoundedConnection
from service.doorway import STREAMED, Doorway
from service.options import Options
from service.visits import Visit, Visits


def _addresses() -> FastAPI:
    """Two addresses that tell how many bytes came, and two others."""
    app = FastAPI()
    failures.install(app)

    @app.post("/whole")
    async def whole(request: Request) -> int:
        return len(await request.body())

    @app.post("/v1/networks")
    async def streamed(request: Request) -> list[int]:
        pieces = [len(piece) async for piece in request.stream() if piece]
        # What follows the body is that the client is gone, for which nobody hurries.
        return [len(pieces), sum(pieces)]

    @app.get("/health")
    async def health() -> str:
        return "ok"

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        return StreamingResponse(_endless(app.state.ended))

    app.state.ended = threading.Event()
    return app


class _Visitors:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.ended_visits: list[Visit] = []
        self.there = 0

    def begun(self, visit: Visit) -> None:
        self.there += 1

    def ended(self, visit: Visit) -> None:
        self.there -= 1
        self.ended_visits.append(visit)


def _application(**options: Any) -> FastAPI:
    """The doorway before these addresses."""
    app = _addresses()
    app.state.visitors = _Visitors()
    app.add_middleware(Doorway, options=Options(**options))
    app.add_middleware(Visits, observers=(app.state.visitors,))
    return app


async def _endless(ended: threading.Event) -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"x" * 65536
            # Else it would never let the server do anything else.
            await asyncio.sleep(0)
    finally:
        ended.set()


@contextmanager
def _served(app: FastAPI, **limits: float) -> Iterator[tuple[str, int]]:
    kind = type("Bounded", (BoundedConnection,), {"head_seconds": 30.0, **limits})
    server = uvicorn.Server(uvicorn.Config(app, http=kind, ws="none", log_config=None))
    with serving.bind("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def _connected(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=20)


def _head(method: str, path: str, **headers: object) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _answer(client: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Status, headers and content of an answer after which the server closes."""
    raw = b""
    while piece := client.recv(65536):
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    return int(first.split()[1]), headers, json.loads(body)


def _code(answer: tuple[int, dict[str, str], Any]) -> tuple[int, str]:
    return answer[0], answer[2]["error"]["code"]


@pytest.mark.parametrize("sent", [b"", b"GET /he", b"GET /health HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(sent: bytes) -> None:
    with _served(_application(), head_seconds=0.3) as address, _connected(address) as client:
        client.sendall(sent)
        assert client.recv(1) == b""


def test_bytes_that_trickle_in_win_no_time() -> None:
    with _served(_application(), head_seconds=0.5) as address, _connected(address) as client:
        client.sendall(b"GET /health HTTP/1.1\r\n")
        client.settimeout(0.05)
        # Far more than the server should wait for; it ends before.
        for _ in range(400):
            try:
                client.sendall(b"x: y\r\n")
                assert client.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                pass
            break
        else:
            raise AssertionError("the server still listens")


def test_the_second_head_of_a_connection_has_a_limit_too() -> None:
    with _served(_application(), head_seconds=0.3) as address, _connected(address) as client:
        client.sendall(_head("GET", "/health") + b"GET /he")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        assert answer.count(b"HTTP/1.1 200 OK") == 1


def test_an_answer_may_take_longer_than_a_head() -> None:
    app = _application(body_seconds=20)
    with _served(app, head_seconds=0.2) as address, _connected(address) as client:
        client.sendall(_head("POST", "/whole", Content_Length=2, Connection="close") + b"a")
        client.settimeout(0.6)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(20)
        client.sendall(b"b")
        assert _answer(client)[::2] == (200, 2)


def test_a_body_that_stalls_is_answered_with_408() -> None:
    with _served(_application(body_seconds=0.3)) as address:
        for head in (
            _head("POST", "/whole", Content_Length=5),
            _head("POST", "/whole", Transfer_Encoding="chunked"),
            _head("POST", "/v1/networks", Content_Length=5),
        ):
            with _connected(address) as client:
                client.sendall(head)
                assert _code(_answer(client)) == (408, "body_too_slow")


def test_a_streamed_body_has_its_time_piece_by_piece_and_no_limit_of_ours() -> None:
    assert ("POST", "/v1/networks") in STREAMED
    app = _application(body_seconds=4.0, body_bytes=10)
    with _served(app) as address, _connected(address) as client:
        client.sendall(_head("POST", "/v1/networks", Content_Length=6000, Connection="close"))
        # Together longer than what one piece may take.
        pause = threading.Event()
        for _ in range(6):
            pause.wait(0.8)
            client.sendall(b"x" * 1000)
        status, _, (pieces, total) = _answer(client)
        assert (status, total) == (200, 6000)
        assert pieces > 1
    with _served(app) as address, _connected(address) as client:
        client.sendall(_head("POST", "/whole", Content_Length=6000))
        assert _code(_answer(client)) == (413, "body_too_large")


def test_a_client_that_does_not_read_is_left() -> None:
    app = _application()
    with _served(app, unread_seconds=0.3) as address, _connected(address) as client:
        client.sendall(_head("GET", "/endless"))
        assert app.state.ended.wait(30)
    assert app.state.visitors.there == 0
    (visit,) = app.state.visitors.ended_visits
    assert (visit.route, visit.status, visit.complete) == ("/endless", 200, False)
    assert visit.bytes > 0
    assert json.loads(line(visit))["aborted"] is True


def test_a_client_that_reads_is_not_left() -> None:
    app = _application()
    with _served(app, unread_seconds=0.5) as address, _connected(address) as client:
        client.sendall(_head("GET", "/endless"))
        # Far more than fits into the buffers between us.
        read = 0
        while read < 50_000_000:
            piece = client.recv(1_000_000)
            assert piece
            read += len(piece)
        assert not app.state.ended.is_set()


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"\0\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_the_envelope_too(sent: bytes) -> None:
    with _served(_application()) as address, _connected(address) as client:
        client.sendall(sent + b"\r\n\r\n")
        answer = _answer(client)
        assert _code(answer) == (400, "invalid_request")
        assert answer[1]["content-type"] == "application/json"
        assert answer[1]["cache-control"] == "no-store"


def test_nonsense_in_a_body_whose_answer_is_under_way_fails_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Without the doorway, which waits for the body.
    app = _addresses()
    with _served(app) as address, _connected(address) as client:
        client.sendall(_head("GET", "/endless", Transfer_Encoding="chunked"))
        client.sendall(b"5\r\nhello\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        client.sendall(b"nonsense\r\n")
        assert app.state.ended.wait(30)
    assert "Traceback" not in caplog.text
    assert "Fatal error" not in caplog.text


def test_one_connection_too_many_is_told_to_come_again_but_not_that_we_are_dead() -> None:
    # Who owes the rest of a body holds a connection; they are taken in the order they come.
    with _served(_application(), most=3) as address, ExitStack() as stack:
        holding = [stack.enter_context(_connected(address)) for _ in range(3)]
        for client in holding:
            client.sendall(_head("POST", "/whole", Content_Length=2) + b"a")
        with _connected(address) as client:
            client.sendall(_head("POST", "/whole", Content_Length=0))
            status, headers, content = _answer(client)
            assert (status, content["error"]["code"]) == (503, "busy")
            assert int(headers["retry-after"]) > 0
        with _connected(address) as client:
            client.sendall(_head("GET", "/health", Connection="close"))
            assert _answer(client)[::2] == (200, "ok")
        holding[0].close()
        for _ in range(100):
            with _connected(address) as client:
                client.sendall(_head("POST", "/whole", Content_Length=0, Connection="close"))
                if _answer(client)[::2] == (200, 0):
                    break
            threading.Event().wait(0.05)
        else:
            raise AssertionError("the place is never free again")
