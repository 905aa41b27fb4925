"""The client against a service whose database is a stand-in: errors, attempts and exact values."""

from __future__ import annotations

import ast
import math
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.calls import error_of
from service.client import Client
from store import errors
from tests.unit.test_service_application import served

ROOT = Path(__file__).parents[2]


def _subclasses(kind: type[errors.WeightomeError]) -> Iterator[type[errors.WeightomeError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


ALL = sorted(set(_subclasses(errors.WeightomeError)), key=lambda kind: kind.__name__)


def _raise(error: Exception) -> Any:
    raise error


def _url(client: httpx.Client) -> str:
    return str(client.base_url)


def test_every_error_comes_back_as_itself() -> None:
    failing: list[errors.WeightomeError] = []
    with served(lambda _: _raise(failing[-1])) as http, Client(_url(http)) as client:
        for kind in ALL:
            failing.append(kind("One sentence."))
            with pytest.raises(errors.WeightomeError) as caught:
                client.runs()
            assert type(caught.value) is kind
            assert str(caught.value).endswith(".")


def test_codes_are_told_apart() -> None:
    codes = [kind.code for kind in ALL if "code" in vars(kind)]
    assert len(set(codes)) == len(codes) == len(ALL)


def test_every_refusal_of_the_service_becomes_one_of_our_errors() -> None:
    expected = {
        "busy": errors.StoreUnreachable, "stopping": errors.StoreUnreachable,
        "unauthorized": errors.AuthenticationFailed, "scope_missing": errors.PermissionDenied,
        "cypher_disabled": errors.PermissionDenied, "uploads_disabled": errors.PermissionDenied,
        "foreign_origin": errors.PermissionDenied, "not_acceptable": errors.InvalidArgument,
        "body_too_large": errors.InvalidArgument, "no_room": errors.DiskUnusable,
        "client_left": errors.Cancelled, "internal_error": errors.StoreError,
    }  # fmt: skip
    found = dict(_refusals())
    assert set(expected) <= set(found)
    for code, status in found.items():
        error = error_of(code, "One.", status)
        assert type(error) is not errors.WeightomeError
        if code in expected:
            assert type(error) is expected[code], code


def _refusals() -> Iterator[tuple[str, int]]:
    """Code and status of each ``Refusal`` that the source of the service names."""
    for path in sorted((ROOT / "service").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name(id="Refusal"),
                    args=[ast.Constant(value=int(status)), ast.Constant(value=str(code)), *_],
                ):
                    yield code, status


def test_floats_arrive_as_they_are() -> None:
    words = random.Random(7)
    floats = [struct.unpack("<d", words.randbytes(8))[0] for _ in range(2000)]
    floats += [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 2**53 + 1.0]
    rows = [[f"NaN{k}", value, 2**62 + k, [value, None]] for k, value in enumerate(floats)]
    rows.append(["NaN", None, -(2**63), []])
    with served(lambda _: [list(row) for row in rows]) as http, Client(_url(http)) as client:
        found = client.limited(row_cap=10_000).runs().rows
    assert [row[0] for row in found] == [row[0] for row in rows]
    assert [row[2] for row in found] == [row[2] for row in rows]
    for (_, value, _, _), (_, again, _, listed) in zip(rows[:-1], found[:-1], strict=True):
        for each in (again, listed[0]):
            assert isinstance(each, float)
            if math.isnan(value):
                assert math.isnan(each)
            else:
                assert struct.pack("<d", each) == struct.pack("<d", value)
    assert found[-1] == rows[-1]


class _Script(BaseHTTPRequestHandler):
    """Answers what its server's list says, one after the other, and the last again and again."""

    def do_GET(self) -> None:
        script: list[tuple[int, dict[str, str], bytes]] = self.server.script  # type: ignore[attr-defined]
        self.server.asked.append(self.headers)  # type: ignore[attr-defined]
        status, headers, body = script[0] if len(script) == 1 else script.pop(0)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def scripted() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Script)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


BUSY = b'{"error":{"code":"busy","message":"Come again."}}'
RUNS = (
    b'{"columns":["run"],"rows":[["a"]],"truncated":false,"took_ms":1.5,"cypher":"x",'
    b'"parameters":{}}'
)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again(scripted: Any, status: int) -> None:
    scripted.script = [(status, {"Retry-After": "0"}, BUSY)] * 3 + [(200, {}, RUNS)]
    with Client(scripted.url, "t0ken") as client:
        assert client.runs().rows == [["a"]]
    assert [asked["Authorization"] for asked in scripted.asked] == ["Bearer t0ken"] * 4


def test_but_not_for_ever(scripted: Any) -> None:
    scripted.script = [(503, {"Retry-After": "0"}, BUSY)]
    with (
        Client(scripted.url) as client,
        pytest.raises(errors.StoreUnreachable, match="Come again"),
    ):
        client.runs()
    assert len(scripted.asked) == 5


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}, {"Retry-After": "-1"}])
def test_and_not_where_that_would_not_help(scripted: Any, headers: dict[str, str]) -> None:
    scripted.script = [(503, headers, BUSY)]
    with Client(scripted.url) as client, pytest.raises(errors.StoreUnreachable):
        client.runs()
    assert len(scripted.asked) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>", errors.StoreError),
        (200, b"[]", errors.StoreError),
        (200, b'{"columns": ["a"]}', errors.StoreError),
        (200, b"\xff", errors.StoreError),
        (302, b"", errors.InvalidArgument),
        (404, b"<html>", errors.NotFound),
        (500, b'{"error": 1}', errors.StoreError),
        (502, b"Bad Gateway", errors.StoreUnreachable),
    ],
)
def test_what_is_no_answer_of_ours(
    scripted: Any, status: int, body: bytes, kind: type[Exception]
) -> None:
    scripted.script = [(status, {}, body)]
    with Client(scripted.url) as client, pytest.raises(kind) as caught:
        client.runs()
    assert type(caught.value) is kind


def test_a_service_that_takes_too_long(scripted: Any) -> None:
    scripted.script = [(200, {"Content-Length": "999"}, RUNS)]
    # Half an answer: the connection stays or breaks, but nothing is made of it.
    with (
        Client(scripted.url, timeout=0.3) as client,
        pytest.raises((errors.TimeLimitExceeded, errors.StoreUnreachable)),
    ):
        client.runs()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://x", "http://", "http://[::"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        Client(url)


def test_a_token_is_in_no_message() -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        Client("http://127.0.0.1", "geheim-ü")
    assert "geheim" not in str(caught.value)


def test_without_httpx() -> None:
    script = """
import sys
sys.modules["httpx"] = None
from service.client import Client
try:
    Client("http://127.0.0.1")
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("SettingsError The client needs httpx")
    assert "weightome[client]" in done.stdout
