"""The page as the service sends it: its files, their types, and what a browser may do with them."""

from __future__ import annotations

import base64
import hashlib
import re
import socket

import httpx
import pytest

from service.site import FOLDER, files
from tests.serving import Service, Start


def test_the_root_is_the_page(client: httpx.Client) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (FOLDER / "index.html").read_bytes()


def test_its_policy_allows_the_import_map_and_nothing_else_inline(client: httpx.Client) -> None:
    answer = client.get("/")
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    (written,) = re.findall(r'<script type="importmap">(.*?)</script>', answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(written.encode()).digest()).decode()
    assert policy == {
        "default-src": "'none'",
        "script-src": f"'self' 'sha256-{digest}'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", sorted(files()))
def test_every_file_is_sent_whole_with_its_type(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 200
    assert answer.content == (FOLDER / name).read_bytes()
    ending = name.rpartition(".")[2]
    expected = {
        "js": "text/javascript; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "html": "text/html; charset=utf-8",
        "json": "application/json",
        "svg": "image/svg+xml",
        "txt": "text/plain; charset=utf-8",
    }
    assert answer.headers["content-type"] == expected[ending]
    assert answer.headers["cache-control"] == "no-cache"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("address", ["/", "/page/app.js"])
def test_what_a_browser_has_is_not_sent_again(client: httpx.Client, address: str) -> None:
    tag = client.get(address).headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    for known in (tag, f'"other", W/{tag}'):
        again = client.get(address, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/nothing.js",
        "/page/panels",
        "/page/../site.py",
        "/page/%2e%2e/site.py",
        "/page/..%2fsite.py",
        "/page/..%5csite.py",
        "/page/panels/../../site.py",
        "/page//etc/passwd",
        "/page/%2Fetc%2Fpasswd",
        "/page/app.js%00",
        "/page/./app.js",
    ],
)
def test_nothing_but_its_files_can_be_had(service: Service, path: str) -> None:
    """Sent as it stands: clients tidy such paths up."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split(b" ", 2)[1] == b"404"
    assert b'"unknown_address"' in answer


def test_the_page_needs_no_token_and_its_answers_do(start: Start, tiny: str) -> None:
    assert tiny == "tiny"
    with start(WEIGHTOME_TOKEN="open sesame, open sesame") as running:
        for address in ("/", "/page/app.js", "/page/vendor/echarts.js"):
            assert running.client.get(address).status_code == 200, address
        assert running.client.get("/v1/networks").status_code == 401
