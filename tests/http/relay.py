"""Stands between a service and its database, and cuts them off from each other."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


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
def relayed(uri: str) -> Iterator[Relay]:
    """A relay before the server at that address."""
    address = urlsplit(uri)
    relay = Relay(address.hostname or "127.0.0.1", address.port or 7687)
    try:
        yield relay
    finally:
        relay.close()
