"""A service on a port of this machine, until a signal ends it."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.connections import BoundedConnection
from store.errors import PortTaken, SettingsError

# How long answers that are under way may take to finish after Ctrl-C, in seconds. What is cut off
# then may leave a projected graph in the memory of Neo4j.
_PATIENCE = 5


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to that host and port, not yet listening.

    Parameters
    ----------
    host
        A name or an IP address of this machine.
    port
        0 takes any free port.

    Raises
    ------
    PortTaken
        If another program has it.
    SettingsError
        If the host is none of this machine's, or the port needs rights.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise SettingsError(f"There is no host {host!r} to serve at.") from None
    failure = OSError(errno.EADDRNOTAVAIL, "no address")
    for family, kind, protocol, _, address in found:
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            # Binding a port that another program merely bound succeeds; listening does not.
            bound.listen(128)
        except OSError as error:
            bound.close()
            failure = error
        else:
            return bound
    if failure.errno == errno.EADDRINUSE:
        raise PortTaken(
            f"Port {port} at {host} belongs to another program; choose one with --port, or 0 for "
            "any free one."
        )
    reason = (failure.strerror or str(failure)).lower()
    raise SettingsError(f"Nothing can be served at {host!r}, port {port}: {reason}.")


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine reaches the socket. What was bound counts, not what was asked."""
    address = ipaddress.ip_address(listening.getsockname()[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def url(listening: socket.socket) -> str:
    """The address of the socket.

    Example
    -------
    >>> with bind("127.0.0.1", 0) as listening:
    ...     url(listening)
    'http://127.0.0.1:...'
    """
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: FastAPI, listening: socket.socket) -> None:
    """Serves until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        # service.access_log has its own.
        access_log=False,
        server_header=False,
        # Who asks is nobody's business here, so no header is trusted to say it.
        proxy_headers=False,
        timeout_graceful_shutdown=_PATIENCE,
    )
    asyncio.run(_Server(config, app.state.before_stop).serve([listening]))


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, before_stop: list[Callable[[], None]]) -> None:
        super().__init__(config)
        self._before_stop = before_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends first what would otherwise go on until our patience with it is over."""
        for end in self._before_stop:
            end()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets and self.started:
            print(
                f"Weightome answers at {url(sockets[0])} (docs at /docs). Ctrl-C stops it.",
                flush=True,
            )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn raises the signal again when it is done; to be asked to stop is no failure."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield
