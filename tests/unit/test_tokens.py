"""Tokens: who may do what, and what is said of those that cannot be used."""

from __future__ import annotations

import traceback

import pytest
from pydantic import SecretStr

from service.tokens import SCOPES, Token, Tokens, configured, scope_needed
from store.errors import SettingsError
from store.settings import Settings, load

A, B, C = (letter * 16 for letter in "abc")


def _configured(tokens: str | None, token: str | None = None) -> Tokens | None:
    return configured(
        Settings(
            token=None if token is None else SecretStr(token),
            tokens=None if tokens is None else SecretStr(tokens),
        )
    )


def _known(tokens: str | None, secret: str, token: str | None = None) -> Token | None:
    found = _configured(tokens, token)
    assert found is not None
    return found.bearer(secret.encode())


def test_without_any_nobody_is_asked_for_one() -> None:
    assert _configured(None) is None


@pytest.mark.parametrize("between", [" ", ",", ", ", "\n", " ,\t"])
def test_several_are_told_apart_by_space_or_comma(between: str) -> None:
    text = between.join([f"read:{A}", f"write+read:{B}", f"cypher:{C}"])
    for secret, label, scopes in (
        (A, "token 1", {"read"}),
        (B, "token 2", {"read", "write"}),
        (C, "token 3", {"cypher"}),
    ):
        token = _known(text, secret)
        assert token is not None
        assert token.label == label
        assert token.scopes == scopes
    assert _known(text, "d" * 16) is None
    assert _known(text, "") is None


def test_a_secret_may_hold_a_colon_and_a_plus() -> None:
    secret = "a+b:c/d=0123456789"
    assert _known(f"read:{secret}", secret) is not None


def test_the_one_token_has_every_scope_beside_others() -> None:
    token = _known(f"read:{A}", "right", token="right")
    assert token is not None
    assert token.scopes == set(SCOPES)
    assert token.label == "token"
    other = _known(f"read:{A}", A, token="right")
    assert other is not None
    assert other.scopes == {"read"}


def test_a_token_beyond_ascii_is_its_utf8() -> None:
    tokens = Tokens([Token.of("s3cret-ü")])
    assert tokens.bearer("s3cret-ü".encode()) is not None
    assert tokens.bearer("s3cret-ü".encode("latin-1")) is None


@pytest.mark.parametrize(
    ("tokens", "token", "says"),
    [
        ("", None, "WEIGHTOME_TOKENS is empty"),
        (" , ", None, "WEIGHTOME_TOKENS is empty"),
        (None, "", "WEIGHTOME_TOKEN is empty"),
        (f"read:{A} {B}", None, "Entry 2 "),
        (f"raed:{A}", None, "Entry 1 "),
        (f"READ:{A}", None, "Entry 1 "),
        (f":{A}", None, "Entry 1 "),
        (f"read+:{A}", None, "Entry 1 "),
        (f"{A}:read", None, "Entry 1 "),
        (f"read:{A} read :{B}", None, "Entry 2 "),
        ("read:short-secret", None, "entry 1 .* too short: it needs 16 "),
        (f"read:{A},write:{A}", None, "the same"),
        (f"read:{A}", A, "the same"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_place_alone(
    tokens: str | None, token: str | None, says: str
) -> None:
    with pytest.raises(SettingsError, match=says) as raised:
        _configured(tokens, token)
    told = "".join(traceback.format_exception(raised.value))
    for secret in (A, B, "short-secret"):
        assert secret not in str(raised.value)
        assert repr(secret) not in told


def test_no_secret_shows_in_what_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTOME_TOKEN", A)
    monkeypatch.setenv("WEIGHTOME_TOKENS", f"read:{B}")
    settings = load()
    found = configured(settings)
    assert found is not None
    held = f"{settings!r} {found!r} {found.bearer(B.encode())!r} {vars(found)!r}"
    for secret in (A, B):
        assert secret not in held


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/", None),
        ("GET", "/page/app.js", None),
        ("GET", "/page/panels/matrix.js", None),
        ("HEAD", "/docs", None),
        ("GET", "/openapi.json", None),
        ("GET", "/health", None),
        ("GET", "/ready", None),
        ("GET", "/metrics", "read"),
        ("GET", "/v1/networks", "read"),
        ("GET", "/v1/networks/a%2Fpage%2F/links", "read"),
        ("GET", "/v1/jobs/1/events", "read"),
        ("OPTIONS", "/v1/networks", "read"),
        ("POST", "/v1/cypher", "cypher"),
        ("GET", "/v1/cypher", "read"),
        ("POST", "/v1/cypher/", "write"),
        ("POST", "/v1/networks", "write"),
        ("DELETE", "/v1/networks/tiny", "write"),
        ("DELETE", "/v1/jobs/1", "write"),
        ("POST", "/", "write"),
        ("PUT", "/health", "write"),
        ("POST", "/page/app.js", "write"),
        ("INVENTED", "/v1/networks", "write"),
        ("GET", "/docs/", "read"),
        ("GET", "/%64ocs", "read"),
        ("GET", "//docs", "read"),
        ("GET", "/docs\n", "read"),
        ("GET", "/page", "read"),
    ],
)
def test_what_an_address_needs(method: str, path: str, scope: str | None) -> None:
    assert scope_needed(method, path) == scope
