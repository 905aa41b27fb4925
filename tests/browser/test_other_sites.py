"""Pages of other sites in a real browser: what it lets them do, and what the service does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from store.database import Database
from store.query import Query
from tests.browser.conftest import PATIENCE_MS
from tests.http.envelope import check
from tests.serving import Service, Start

SECRET = "0123456789abcdef"
NETWORKS = Query("networks", "Networks.", "MATCH (n:Network) RETURN count(n) AS n", ("n",))

# What a request gave: an answer that the page can read, or none ("blocked"), sent or not.
ASK = """async ([address, options]) => {
    try {
        const answer = await fetch(address, options);
        const id = answer.headers.get("X-Request-ID");
        return {outcome: "read", status: answer.status, id, content: await answer.json()};
    } catch (error) {
        return {outcome: "blocked"};
    }
}"""


class _Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>Another site</title><link rel=icon href=data:,>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The origin of another site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(chromium: Browser, elsewhere: str) -> Iterator[Page]:
    """Its page."""
    with chromium.new_context() as context:
        context.set_default_timeout(PATIENCE_MS)
        opened = context.new_page()
        opened.goto(elsewhere)
        yield opened


def _ask(page: Page, service: Service, address: str, **options: Any) -> dict[str, Any]:
    target = f"http://127.0.0.1:{service.port}{address}"
    result: dict[str, Any] = page.evaluate(ASK, [target, options])
    return result


def _refused(service: Service) -> int:
    """How many requests were refused with 403."""
    lines = service.client.get("/metrics").text.splitlines()
    return sum(
        int(float(line.split()[-1]))
        for line in lines
        if line.startswith("weightome_requests_total{") and 'status="403"' in line
    )


def test_a_page_of_another_site_reads_nothing_and_changes_nothing(
    start: Start, tiny: str, database: Database, page: Page
) -> None:
    before = database.read(NETWORKS).rows
    with start("--enable-cypher") as service:
        assert _ask(page, service, f"/v1/networks/{tiny}/links") == {"outcome": "blocked"}
        # What is sent without asking first, the kinds of body that a form has: the service must
        # refuse it itself.
        address = "/v1/networks?name=planted&file=planted.onnx"
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            sent = {"method": "POST", "mode": "no-cors", "headers": {"Content-Type": kind}}
            assert _ask(page, service, address, body="x", **sent) == {"outcome": "blocked"}
        assert _refused(service) == 2
        # What asks before it is sent, and is never sent.
        address = f"/v1/networks/{tiny}"
        assert _ask(page, service, address, method="DELETE") == {"outcome": "blocked"}
        assert _refused(service) == 2
        # A form takes its visitor along, to the refusal.
        page.evaluate(
            """target => {
                const form = document.createElement("form");
                Object.assign(form, {method: "POST", action: target});
                document.body.append(form);
                form.submit();
            }""",
            f"http://127.0.0.1:{service.port}/v1/networks?name=planted&file=planted.onnx",
        )
        page.wait_for_url(f"http://127.0.0.1:{service.port}/**")
        assert "foreign_origin" in (page.text_content("body") or "")
        check(service.client.get("/v1/networks/planted/links"), 404, "not_found")
    assert database.read(NETWORKS).rows == before


def test_a_page_of_an_allowed_origin_may_what_its_token_may(
    start: Start, tiny: str, page: Page, elsewhere: str
) -> None:
    options = ("--enable-cypher", "--allow-origin", elsewhere)
    with start(*options, WEIGHTOME_TOKENS=f"read+cypher:{SECRET}") as service:
        token = {"Authorization": f"Bearer {SECRET}"}
        address = f"/v1/networks/{tiny}/links"
        found = _ask(page, service, address, headers={**token, "X-Request-ID": "mine"})
        base = f"http://127.0.0.1:{service.port}"
        wanted = httpx.get(f"{base}{address}", headers=token, timeout=120).json()
        assert (found["outcome"], found["status"], found["id"]) == ("read", 200, "mine")
        assert found["content"]["columns"] == wanted["columns"]
        # Errors can be read as well.
        for given, method, status, code in (
            ({}, "GET", 401, "unauthorized"),
            (token, "DELETE", 403, "scope_missing"),
        ):
            found = _ask(page, service, f"/v1/networks/{tiny}", headers=given, method=method)
            assert (found["outcome"], found["status"]) == ("read", status)
            assert found["content"]["error"]["code"] == code
        body = '{"cypher": "RETURN 1 AS one"}'
        kind = {"Content-Type": "application/json"}
        asked = {"method": "POST", "headers": {**token, **kind}, "body": body}
        found = _ask(page, service, "/v1/cypher", **asked)
        assert found["content"]["rows"] == [[1]]
