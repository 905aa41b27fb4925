"""A real browser before a real service; whatever it complains of fails the test."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, sync_playwright

from ingest.removal import delete
from ingest.writer import write
from store.database import Database
from tests.networks import dense_network, hand_checkable
from tests.serving import Service, Start, start

__all__ = ["start"]

# A name that would be a picture if it were taken for markup, and break an address that is not
# encoded.
HOSTILE = "<img src=x onerror=alert(1)>/#?%\u00e4"
DEEP = "deep"
DEEP_LAYERS = 200
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# The machine may be busy: what hangs is noticed all the same.
PATIENCE_MS = 60_000


# One for each file: Playwright keeps an event loop running in this thread, and beside that loop
# no other test can run one.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium. Where there is none tests are skipped, but not in CI."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        if "CI" in os.environ:
            pytest.fail(f"CI needs a browser: none of {', '.join(_PROGRAMS)} is installed")
        pytest.skip(f"none of {', '.join(_PROGRAMS)} is installed")
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root, as whom containers run.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        with playwright.chromium.launch(executable_path=program, args=options) as browser:
            yield browser


@pytest.fixture(scope="session")
def crowd(database: Database, examples: None) -> Iterator[None]:
    """What the page has to cope with besides the examples: many layers, a hostile name."""
    assert examples is None
    names = [f"encoder.layer.{number // 5}.part{number % 5}" for number in range(DEEP_LAYERS - 2)]
    matrices: list[NDArray[np.float32]] = [np.full((2, 2), 0.5, np.float32)] * (DEEP_LAYERS - 1)
    write(database, dense_network(matrices, names=[*names, "head"]), name=DEEP, replace=True)
    write(database, hand_checkable(), name=HOSTILE, run=HOSTILE, step=0, replace=True)
    yield
    for name in (DEEP, HOSTILE):
        delete(database, name)


@pytest.fixture(scope="session")
def site(start: Start, crowd: None) -> Iterator[Service]:
    """A service that takes Cypher, with networks in its store."""
    assert crowd is None
    with start("--enable-cypher") as running:
        yield running


@dataclass
class Visitor:
    """Somebody at the page.

    Parameters
    ----------
    service
        Whose page it is.
    page
        The tab.
    expected
        What the browser's console may say; anything else fails the test.
    """

    service: Service
    page: Page
    expected: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, place: str = "#/") -> Page:
        """Loads the page at that address, and waits until its panel is there."""
        self.page.goto(f"{self.origin}/{place}")
        self.settled()
        return self.page

    def settled(self) -> None:
        """Waits until the panel has rendered."""
        self.page.wait_for_selector("main > .body:not([aria-busy])", state="attached")

    def rows(self, address: str) -> list[dict[str, Any]]:
        """The records of what the service answers at an address."""
        answer = self.service.client.get(address).raise_for_status().json()
        return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]

    @property
    def origin(self) -> str:
        """Scheme, host and port of the service."""
        return str(self.service.client.base_url).rstrip("/")

    @property
    def place(self) -> str:
        """What stands behind the # of the address."""
        return str(urlsplit(self.page.url).fragment)


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(chromium: Browser, site: Service) -> Iterator[Visit]:
    """Makes visitors; looks afterwards at what their browsers complained of."""
    contexts: list[BrowserContext] = []
    visitors: list[Visitor] = []

    def visitor(service: Service = site, *, width: int = 1280, **options: Any) -> Visitor:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        made = Visitor(service, context.new_page())
        visitors.append(made)
        _listen(made)
        return made

    yield visitor
    for context in contexts:
        context.close()
    for made in visitors:
        unexpected = [
            complaint
            for complaint in made.complaints
            if not any(re.search(pattern, complaint) for pattern in made.expected)
        ]
        assert unexpected == []


def _listen(visitor: Visitor) -> None:
    page, heard = visitor.page, visitor.complaints
    page.on("pageerror", lambda error: heard.append(f"error: {error}"))

    def asked_back(dialog: Dialog) -> None:
        heard.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", asked_back)
    page.on(
        "console",
        lambda message: (
            heard.append(f"console: {message.text} ({message.location.get('url')})")
            if message.type in {"error", "warning"}
            else None
        ),
    )

    def asked(url: str) -> None:
        if not url.startswith((f"{visitor.origin}/", "blob:", "data:")):
            heard.append(f"foreign request: {url}")

    page.on("request", lambda request: asked(request.url))


@pytest.fixture
def visitor(visit: Visit) -> Visitor:
    """Somebody at the page, with a wide window."""
    return visit()


@pytest.fixture
def shoot() -> Callable[[Page, str], None]:
    """Keeps a picture of the page where ``WEIGHTOME_SCREENSHOTS`` names a folder."""
    folder = os.environ.get("WEIGHTOME_SCREENSHOTS")

    def kept(page: Page, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    return kept


def of_network(name: str, panel: str, query: str = "") -> str:
    """Address of a panel about a network."""
    return f"#/networks/{quote(name, safe='')}/{panel}{query and '?'}{query}"


def of_run(name: str, panel: str, query: str = "") -> str:
    """Address of a panel about a run."""
    return f"#/runs/{quote(name, safe='')}/{panel}{query and '?'}{query}"
