"""A service whose database goes away and comes back: cut off by a relay that stands between."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from store.settings import Settings
from tests.http.conftest import Start
from tests.http.envelope import check


class Relay:
    """Passes connections on to a server, unless it is cut."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._open: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                if self.cut:
                    client.close()
                    continue
                server = socket.create_connection(self._server)
                self._open += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_copy, args=(source, target), daemon=True).start()

    def disconnect(self) -> None:
        """Cuts all connections, and those to come until `cut` is False."""
        self.cut = True
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()

    def close(self) -> None:
        """Ends it."""
        self.disconnect()
        self._door.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def _relay(uri: str) -> Iterator[Relay]:
    address = urlsplit(uri)
    relay = Relay(address.hostname or "127.0.0.1", address.port or 7687)
    try:
        yield relay
    finally:
        relay.close()


@pytest.fixture
def server(settings: Settings) -> tuple[str, str]:
    """Address and password of the session's Neo4j."""
    if settings.uri is not None and settings.password is not None:
        return settings.uri, settings.password.get_secret_value()
    from store.local.server import up

    local = up(settings)
    return local.uri, local.password.get_secret_value()


def test_503_while_it_is_gone_and_answers_when_it_is_back(
    start: Start, server: tuple[str, str], tiny: str
) -> None:
    uri, password = server
    with (
        _relay(uri) as relay,
        start(
            WEIGHTOME_URI=f"bolt://127.0.0.1:{relay.port}", WEIGHTOME_PASSWORD=password
        ) as running,
    ):
        ask = running.client.get
        assert ask(f"/v1/networks/{tiny}/layers").status_code == 200
        relay.disconnect()
        check(ask(f"/v1/networks/{tiny}/layers"), 503, "store_unreachable")
        check(ask("/health"), 503, "store_unreachable")
        started = time.monotonic()
        check(ask("/v1/runs"), 503, "store_unreachable")
        assert time.monotonic() - started < 5
        relay.cut = False
        assert ask(f"/v1/networks/{tiny}/layers").status_code == 200
        assert ask("/health").json() == {"status": "ok"}
        assert "Traceback" not in running.log()
