"""Origins: which can be allowed, and which pages are another site's."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from service.origins import is_foreign, origin
from store.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("https://models.example", "https://models.example"),
        ("HTTPS://Models.Example:443", "https://models.example"),
        ("http://models.example:80", "http://models.example"),
        ("http://models.example:443", "http://models.example:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(text: str, sent: str) -> None:
    assert origin(text) == sent


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "",
        "models.example",
        "//models.example",
        "https://",
        "https://*.example",
        "https://models.example/",
        "https://models.example/path",
        "https://models.example?x",
        "https://models.example#x",
        "https://user@models.example",
        "https://models.example:",
        "https://models.example:x",
        "https://models.example:99999",
        "https://modèles.example",
        "https://models.example, https://other.example",
        "https://models.example\r\nX: y",
        " https://models.example",
        "ftp://models.example",
        "file:///home",
        "http://[::1",
    ],
)
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        origin(text)
    assert "\n" not in str(raised.value)
    assert "\r" not in str(raised.value)


ALLOWED = frozenset({"https://allowed.example"})


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"origin": "http://localhost:8080"}, False),
        ({"origin": "http://localhost:8080", "sec-fetch-site": "same-origin"}, False),
        # A proxy that speaks TLS: the browser knows better than we whether it is the same site.
        ({"origin": "https://models.example", "sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "https://allowed.example"}, False),
        ({"origin": "https://allowed.example", "sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, True),
        # Another port is the same site, but not the same origin.
        ({"origin": "http://localhost:9999", "sec-fetch-site": "same-site"}, True),
        ({"origin": "http://localhost:9999"}, True),
        ({"origin": "http://localhost"}, True),
        ({"origin": "https://localhost:8080"}, True),
        ({"origin": "null"}, True),
        ({"origin": ""}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "invented"}, True),
        ({"origin": "http://localhost:8080", "sec-fetch-site": "cross-site"}, True),
        ({"origin": "https://allowed.example.evil.example"}, True),
    ],
)
def test_whose_page_sent_it(headers: dict[str, str], foreign: bool) -> None:
    sent = Headers({"host": "localhost:8080", **headers})
    assert is_foreign(sent, "http", ALLOWED) is foreign
