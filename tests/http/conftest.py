"""Real services: each is a process of its own, on a port of its own, before the real database."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from store.settings import Settings
from tests.serving import ROOT, Service, Start, start

# For the tests beside this file; `start` is a fixture.
__all__ = ["ROOT", "Service", "Start", "start"]


@pytest.fixture(scope="session")
def service(start: Start, tiny: str) -> Iterator[Service]:
    """A service as it is without any option, for as long as the session lasts."""
    assert tiny == "tiny"
    with start() as running:
        yield running


@pytest.fixture
def client(service: Service) -> httpx.Client:
    """A client of that service."""
    return service.client


@pytest.fixture(scope="session")
def open_client(start: Start, tiny: str) -> Iterator[httpx.Client]:
    """A client of a service that takes Cypher."""
    assert tiny == "tiny"
    with start("--enable-cypher") as running:
        yield running.client


@pytest.fixture
def server(settings: Settings) -> tuple[str, str]:
    """Address and password of the session's Neo4j."""
    if settings.uri is not None and settings.password is not None:
        return settings.uri, settings.password.get_secret_value()
    from store.local.server import up

    local = up(settings)
    return local.uri, local.password.get_secret_value()
