"""Pages with their answers in them: opened from the disk by a browser that reaches nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request, expect

from ingest.layers.build import build
from queries.catalogue import networks
from queries.paths import paths
from queries.strength import strength
from service import standalone
from service.panels import PANELS
from store.connection import connect
from store.database import Database
from store.settings import Settings
from tests.browser.conftest import HOSTILE, PATIENCE_MS
from tests.graphs import GRAPHS

OF_NETWORKS = [name for name, panel in PANELS.items() if panel.about == "network"]
Open = Callable[..., Page]


@pytest.fixture
def open_file(chromium: Browser, settings: Settings, tmp_path: Path) -> Iterator[Open]:
    """Writes a network or a run as a file and opens it; the browser must have nothing to say."""
    heard: list[str] = []
    context = chromium.new_context(offline=True, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)

    def opened(name: str, *panels: str) -> Page:
        # Playwright has a loop in this thread.
        page_of = standalone.standalone(lambda: connect(settings), name, panels)
        with ThreadPoolExecutor(1) as elsewhere:
            made = elsewhere.submit(asyncio.run, page_of).result()
        file = tmp_path / "net.html"
        file.write_text(made.html, "utf-8")
        page = context.new_page()
        _listen(page, file, heard)
        page.goto(file.as_uri())
        _settled(page)
        return page

    yield opened
    context.close()
    assert heard == []


def _listen(page: Page, file: Path, heard: list[str]) -> None:
    def dialog(shown: Dialog) -> None:
        heard.append(f"dialog: {shown.message}")
        shown.dismiss()

    def asked(request: Request) -> None:
        own = request.url.split("#", maxsplit=1)[0] == file.as_uri()
        if not own and not request.url.startswith(("data:", "blob:")):
            heard.append(f"request: {request.url}")

    page.on("pageerror", lambda error: heard.append(f"error: {error}"))
    page.on("console", lambda message: heard.append(f"console: {message.text}"))
    page.on("dialog", dialog)
    page.on("request", asked)


def _settled(page: Page) -> None:
    page.wait_for_selector("main > .body:not([aria-busy])", state="attached")


def _choose(page: Page, panel: str) -> None:
    page.locator(f'nav a[href*="/{panel}"]').click()
    page.wait_for_selector(f'main[data-panel="{panel}"]')
    _settled(page)


def _pick(page: Page, control: str, value: str) -> None:
    page.locator(f'form.controls select[name="{control}"]').select_option(value)
    page.wait_for_function("text => location.hash.includes(text)", arg=f"{control}={value}")
    _settled(page)


@pytest.mark.parametrize("network", ["tiny", HOSTILE, "residual"])
@pytest.mark.parametrize("room", [0, standalone.FURTHER_BYTES])
def test_every_panel_opens_and_misses_nothing(
    open_file: Open,
    crowd: None,
    stored: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    network: str,
    room: int,
) -> None:
    monkeypatch.setattr(standalone, "FURTHER_BYTES", room)
    if network == "residual":
        network = stored(build(GRAPHS["residual"](), "shared", allow_opaque=False))
    page = open_file(network)
    assert unquote(page.url).endswith(f"/{OF_NETWORKS[0]}")
    assert page.locator("nav h2 .name").all_inner_texts() == [network]
    shown = [link.get_attribute("href") or "" for link in page.locator("nav a").all()]
    assert sorted(href.split("/")[-1] for href in shown) == sorted(OF_NETWORKS)
    for panel in OF_NETWORKS:
        _choose(page, panel)
        expect(page.locator("main h1")).not_to_be_empty()
        assert page.locator(".problem").all_inner_texts() == []
        assert "not in this file" not in page.locator("main").inner_text()


def test_it_shows_what_the_store_has(open_file: Open, database: Database, tiny: str) -> None:
    page = open_file(tiny)
    facts = page.locator("aside.beside dl")
    counts = networks(database, "tiny-run").records()[0]
    expect(facts).to_contain_text(f"Learned links\n{counts['links']}", use_inner_text=True)
    page.locator('.card[data-path="fc2"]').click()
    expect(page.locator("aside.beside svg.histogram")).to_have_count(1)
    expect(page.locator("aside.beside")).to_contain_text("Weights of the links into it")

    _choose(page, "matrix")
    canvas = page.locator("canvas[data-cells]")
    expect(canvas).to_have_attribute("data-cells", "6")
    expect(canvas).to_have_attribute("data-greatest", "6")

    _choose(page, "paths")
    best = paths(database, tiny, "input", "fc2", k=10).records()
    expect(page.locator("main table tbody tr")).to_have_count(len(best))
    for neuron in best[0]["path"]:
        expect(page.locator("main table tbody tr").first).to_contain_text(neuron)

    page.get_by_role("button", name="Show the Cypher").click()
    expect(page.locator("#answers pre").first).to_contain_text("MATCH")


def test_a_reader_can_choose(open_file: Open, database: Database, tiny: str) -> None:
    page = open_file(tiny, "neurons", "distributions")
    page.get_by_label("Find a neuron").fill("fc1/2")
    page.get_by_label("Find a neuron").press("Enter")
    card = page.locator('section[data-neuron="fc1/2"]')
    (about,) = [
        row
        for row in strength(database, tiny).records()
        if (row["layer"], row["neuron"]) == ("fc1", 2)
    ]
    expect(card).to_contain_text(f"Total strength{about['total']:g}")
    card.get_by_role("link", name="fc2/1").click()
    expect(page.locator('section[data-neuron="fc2/1"]')).to_be_visible()
    _pick(page, "measure", "bias")
    expect(page.locator("main canvas").first).to_be_visible()
    expect(page.locator(".problem")).to_have_count(0)

    _choose(page, "distributions")
    _pick(page, "layer", "fc2")
    expect(page.get_by_role("img", name="Histogram of the weights of links of fc2")).to_be_visible()
    strengths = {"total": "total strength of neurons", "in": "incoming strength"}
    for value, label in {**strengths, "out": "outgoing strength"}.items():
        _pick(page, "of", value)
        expect(page.get_by_role("img", name=f"Histogram of the {label} of fc2")).to_be_visible()
    expect(page.locator(".problem")).to_have_count(0)
    page.get_by_label("Bins").fill("17")
    page.get_by_label("Bins").press("Enter")
    # What the file does not hold is said, not shown wrongly.
    expect(page.locator(".problem")).to_contain_text("This is not in this file")


def test_a_run_has_its_snapshots(open_file: Open, examples: None) -> None:
    page = open_file("two-steps")
    assert unquote(page.url).endswith("#/runs/two-steps/dynamics")
    expect(page.locator(".snapshot")).to_contain_text("step-1")
    slider = page.get_by_label("Snapshot")
    slider.focus()
    slider.press("Home")
    expect(page.locator(".snapshot")).to_contain_text("step-0")
    _pick(page, "statistic", "link_max")
    _pick(page, "layer", "fc2")
    expect(page.locator(".snapshot .small")).to_have_count(1)
    expect(page.locator(".problem")).to_have_count(0)
