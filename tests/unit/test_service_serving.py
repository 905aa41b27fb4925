"""Where a service listens, and what it wants for that."""

from __future__ import annotations

import socket

import pytest
from pydantic import SecretStr

from service import serving
from service.options import LOOPBACK_HOSTS
from service.starting import options_for
from store.errors import PortTaken, SettingsError
from store.settings import Settings


def test_any_free_port_is_a_real_one() -> None:
    with serving.bind("127.0.0.1", 0) as listening:
        assert listening.getsockname()[1] > 0


def test_a_taken_port_is_named() -> None:
    with serving.bind("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(PortTaken, match=f"^Port {port} at 127.0.0.1 .*--port"):
            serving.bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a" * 300, "127.0.0.1/x"])
def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    with pytest.raises(SettingsError):
        serving.bind(host, 0)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("localhost", True), ("0.0.0.0", False)],  # noqa: S104
)
def test_what_was_bound_decides_whether_it_is_loopback(host: str, loopback: bool) -> None:
    with serving.bind(host, 0) as listening:
        assert serving.is_loopback(listening) is loopback


@pytest.mark.parametrize(("host", "loopback"), [("::1", True), ("::", False)])
def test_ipv6(host: str, loopback: bool) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listening = serving.bind(host, 0)
    except SettingsError:
        pytest.skip("no IPv6 here")
    with listening:
        assert serving.is_loopback(listening) is loopback
        assert serving.url(listening).startswith(f"http://[{host}]:")


def test_beyond_this_machine_a_token_is_required() -> None:
    with serving.bind("0.0.0.0", 0) as listening:  # noqa: S104
        with pytest.raises(SettingsError, match="WEIGHTOME_TOKEN"):
            options_for(Settings(token=None), listening)
        options = options_for(Settings(token=SecretStr("t")), listening)
        assert options.hosts is None
        several = Settings(token=None, tokens=SecretStr("read:0123456789abcdef"))
        assert options_for(several, listening).tokens is not None
        assert options_for(
            Settings(token=SecretStr("t")), listening, hosts=["Models.Example"]
        ).hosts == frozenset({"models.example"})


def test_on_loopback_only_loopback_names_are_answered_to() -> None:
    with serving.bind("127.0.0.2", 0) as listening:
        options = options_for(Settings(token=None), listening, hosts=["Models.Example"])
        assert options.hosts == LOOPBACK_HOSTS | {"127.0.0.2", "models.example"}
        assert options.tokens is None
        assert not options.cypher


def test_an_origin_that_cannot_be_is_refused_at_the_start() -> None:
    with serving.bind("127.0.0.1", 0) as listening:
        options = options_for(Settings(), listening, origins=["https://A.example:443"])
        assert options.origins == frozenset({"https://a.example"})
        with pytest.raises(SettingsError, match="no origin"):
            options_for(Settings(), listening, origins=["*"])
