"""The page in a real browser: how long its panels take to open, and what the service sends them.

A network of 200 layers as its architecture; one of 12 million links neuron by neuron, as weights
and as paths: at first, when nothing is kept and nothing compiled, and again in a new tab. Needs
Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from playwright.sync_api import Browser, Request, sync_playwright
from rich.console import Console

import ingest
from bench._serving import service
from ingest import bulk
from ingest.network import Network
from store.commandline import Format, print_table
from store.errors import WeightomeError
from store.local.server import down
from store.query import Table
from store.settings import Settings, load

DEEP_LAYERS = 200
AGAIN = 5
# What of a page can be seen is there when its panel is no longer busy.
READY = "main > .body:not([aria-busy])"
COLUMNS = ("panel", "first_s", "again_s", "kilobytes")


@dataclass(frozen=True)
class View:
    """A panel that is opened, by its address."""

    title: str
    address: str


def perceptron(*sizes: int) -> Network:
    """Linear layers of these sizes."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(*(torch.nn.Linear(*ends) for ends in pairwise(sizes)))
    return ingest.read(model, input_shape=(sizes[0],))


def opened(browser: Browser, url: str, view: View) -> tuple[float, float]:
    """Seconds until the panel is there, and bytes of the answers that it was sent."""
    page = browser.new_page()
    finished: list[Request] = []
    # A function of our own, for Playwright marks it.
    page.on("requestfinished", lambda request: finished.append(request))  # noqa: PLW0108
    started = time.perf_counter()
    page.goto(f"{url}/{view.address}")
    page.wait_for_selector(READY, state="attached", timeout=300_000)
    seconds = time.perf_counter() - started
    said = page.locator("main > .body").inner_text()
    if page.locator("main > .body .problem").count():
        sys.exit(f"page: {view.title}: {said}")
    # Of those that have finished by now; what comes after has no part in the panel.
    answers = [request for request in list(finished) if "/v1/" in request.url]
    received = sum(request.sizes()["responseBodySize"] for request in answers)
    page.close()
    return seconds, received


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=2450, help="of the large network's 3 layers")
    width = parser.parse_args().width
    program = shutil.which("chromium")
    if program is None:
        print("page: left out, for there is no chromium", file=sys.stderr)
        return
    large = perceptron(width, width, width)
    networks = [
        bulk.Named(perceptron(*[2] * DEEP_LAYERS), "deep"),
        bulk.Named(large, "large"),
    ]
    views = [
        View(f"architecture of {DEEP_LAYERS} layers", "#/networks/deep/architecture"),
        *(
            View(f"{panel} of {large.link_count:,} links", f"#/networks/large/{address}")
            for panel, address in (
                ("neurons", "neurons"),
                ("a neuron's card", "neurons?neuron=1/7"),
                ("weights", "matrix"),
                ("paths between some", "paths?source=input/0-9&target=1/0-9"),
            )
        ),
    ]
    rows = []
    with tempfile.TemporaryDirectory(prefix="weightome-") as home:
        settings = Settings(uri=None, home=Path(home), cache=load().cache_folder, port=0)
        try:
            bulk.build(settings, networks, console=Console(quiet=True))
            with (
                service(settings) as url,
                sync_playwright() as playwright,
                playwright.chromium.launch(
                    executable_path=program, args=["--no-sandbox"]
                ) as browser,
            ):
                for view in views:
                    (first, sent), *others = [opened(browser, url, view) for _ in range(1 + AGAIN)]
                    again = statistics.median(seconds for seconds, _ in others)
                    rows.append([view.title, round(first, 2), round(again, 2), round(sent / 1000)])
        finally:
            down(settings)
    print_table(Table(COLUMNS, rows), Format.TABLE)


if __name__ == "__main__":
    try:
        main()
    except WeightomeError as error:
        sys.exit(f"page: {error}")
