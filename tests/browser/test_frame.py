"""What every panel has: its place in the address, the Cypher, keyboard, themes, narrow windows."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DEEP, PATIENCE_MS, Visit, Visitor, of_network, of_run

expect.set_options(timeout=PATIENCE_MS)

PANELS = {
    "networks": "#/",
    "questions": "#/questions?question=strength&about=network&asked=true&p.name=tiny",
    "cypher": "#/cypher?text=RETURN+1+AS+one",
    "architecture": of_network("tiny", "architecture", "layer=fc1"),
    "architecture of many layers": of_network(DEEP, "architecture"),
    "neurons": of_network("tiny", "neurons"),
    "matrix": of_network("tiny", "matrix"),
    "paths": of_network("tiny", "paths", "source=input&target=fc2"),
    "distributions": of_network("tiny", "distributions"),
    "distribution of a layer": of_network("tiny", "distributions", "of=total&layer=fc1"),
    "compare": of_network("step-0", "compare", "other=step-1"),
    "dynamics": of_run("two-steps", "dynamics"),
}
GROUND = {"light": "rgb(244, 246, 248)", "dark": "rgb(12, 15, 19)"}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_fits_the_window_in_both_themes(
    visit: Visit, shoot: Callable[[Page, str], None], panel: str, scheme: str, width: int
) -> None:
    visitor = visit(width=width, color_scheme=scheme, reduced_motion="reduce")
    page = visitor.open(PANELS[panel])
    expect(page.get_by_role("alert")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == GROUND[scheme]
    page.wait_for_load_state("networkidle")
    shoot(page, f"{panel.replace(' ', '-')}-{scheme}-{width}")


@pytest.mark.parametrize("panel", PANELS)
def test_a_link_and_a_reload_show_the_same(visitor: Visitor, panel: str) -> None:
    page = visitor.open(PANELS[panel])
    page.wait_for_load_state("networkidle")
    place, text = visitor.place, page.locator("main").inner_text()
    controls = page.locator(".controls [name]").evaluate_all("all => all.map(one => one.value)")
    page.reload()
    visitor.settled()
    page.wait_for_load_state("networkidle")
    assert visitor.place == place
    # How long a question took is not the same twice.
    plain = re.compile(r"\d+ ms")
    expect(page.locator("main")).to_have_js_property("tagName", "MAIN")
    again = page.locator("main").inner_text()
    assert plain.sub("", again) == plain.sub("", text)
    assert controls == page.locator(".controls [name]").evaluate_all(
        "all => all.map(one => one.value)"
    )


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_shows_its_cypher(visitor: Visitor, panel: str) -> None:
    page = visitor.open(PANELS[panel])
    button = page.get_by_role("button", name="Show the Cypher")
    button.click()
    entries = page.locator("#answers article")
    expect(entries.first).to_be_visible()
    assert (
        page.get_by_role("button", name="Hide the Cypher").get_attribute("aria-expanded") == "true"
    )
    # The list of questions comes from the service's own code.
    for entry in entries.filter(has_not_text="/v1/queries").all():
        assert re.search(r"\b(?:MATCH|RETURN)\b", entry.locator("pre").first.inner_text())


def test_the_cypher_is_copied_with_its_parameters(visitor: Visitor) -> None:
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.open(of_network("tiny", "architecture"))
    page.get_by_role("button", name="Show the Cypher").click()
    entry = page.locator("#answers article").first
    entry.get_by_role("button", name="Copy").click()
    expect(entry.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    answer = visitor.service.client.get("/v1/networks/tiny/layers").json()
    assert copied.startswith(answer["cypher"].strip())
    assert '//   "network": "tiny"' in copied


def test_the_back_button_goes_to_where_one_was(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_role("link", name="tiny", exact=True).click()
    expect(page.locator("h1")).to_have_text("Architecture")
    page.get_by_role("link", name="Distributions", exact=True).click()
    expect(page.locator("h1")).to_have_text("Distributions")
    page.locator(".controls [name=layer]").select_option("fc2")
    visitor.settled()
    page.go_back()
    expect(page.locator(".controls [name=layer]")).to_have_value("")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Architecture")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Networks")
    page.go_forward()
    expect(page.locator("h1")).to_have_text("Architecture")
    assert page.title() == "Architecture · tiny · Weightome"


def test_what_does_not_exist_says_what_to_do(visitor: Visitor) -> None:
    visitor.expected.append(r"status of 404")
    page = visitor.open(of_network("nobody", "architecture"))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("nobody")
    expect(alert).to_contain_text("Choose another in the list of networks.")
    alert.get_by_role("link", name="All networks").click()
    expect(page.locator("h1")).to_have_text("Networks")
    page.goto(f"{visitor.origin}/#/nonsense")
    expect(page.locator(".empty")).to_contain_text("This page has no panel “nonsense”.")
    page.goto(f"{visitor.origin}/#/networks/tiny")
    expect(page.locator("h1")).to_have_text("Architecture")


def test_a_service_that_went_away_says_so_and_comes_back(visitor: Visitor) -> None:
    visitor.expected.append(r"ERR_INTERNET_DISCONNECTED")
    page = visitor.open(of_network("tiny", "architecture"))
    page.context.set_offline(True)
    page.get_by_role("link", name="Distributions", exact=True).click()
    alert = page.get_by_role("alert").first
    expect(alert).to_contain_text("The service does not answer")
    page.context.set_offline(False)
    alert.get_by_role("button", name="Try again").click()
    expect(page.locator(".small strong")).to_have_text(["fc1", "fc2"])


def test_everything_is_reached_without_a_mouse(visitor: Visitor) -> None:
    page = visitor.open()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the panel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    expect(page.locator("h1")).to_have_text("Networks")
    page.keyboard.press("/")
    expect(page.get_by_role("combobox", name="Search")).to_be_focused()
    page.keyboard.type("tiny")
    expect(page.locator("#found [role=option]")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Architecture")
    expect(page.locator("h1")).to_be_focused()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
              const at = document.activeElement;
              const box = at.getBoundingClientRect();
              const name = at.getAttribute("aria-label") || at.textContent.trim() || at.name;
              return [name, box.width > 0 && at.matches(":focus-visible")];
            }"""
        )
        assert (
            focused[1]
            or focused[0] in reached
            or page.evaluate("document.activeElement === document.body")
        )
        reached.add(focused[0])
    for name in ("Show the Cypher", "PNG", "SVG", "CSV", "Networks", "Distributions", "Dynamics"):
        assert name in reached
    page.locator(".card").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("aside h2")).to_have_text("fc1")
    page.keyboard.press("End")
    page.keyboard.press(" ")
    expect(page.locator("aside h2")).to_have_text("fc2")


def test_the_theme_follows_the_system_until_it_is_chosen(visit: Visit) -> None:
    visitor = visit(color_scheme="dark")
    page = visitor.open(of_network("tiny", "distributions"))
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.evaluate(ground) == GROUND["dark"]
    page.get_by_role("button", name="Use the light theme").click()
    visitor.settled()
    assert page.evaluate(ground) == GROUND["light"]
    page.reload()
    visitor.settled()
    assert page.evaluate(ground) == GROUND["light"]
    expect(page.get_by_role("button", name="Use the dark theme")).to_be_visible()


def test_the_search_finds_networks_runs_and_panels(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "architecture"))
    search = page.get_by_role("combobox", name="Search")
    for text, found in (
        ("two-steps", ["two-steps run"]),
        ("step-", ["step-0 network", "step-1 network"]),
        ("distrib", ["Distributions panel of tiny"]),
        ("no such thing", []),
    ):
        search.fill(text)
        options = page.locator("#found [role=option]")
        expect(options).to_have_count(len(found))
        assert [" ".join(one.inner_text().split()) for one in options.all()] == found
    expect(page.locator("#found")).to_have_text("Nothing of that name")
    page.keyboard.press("Escape")
    expect(page.locator("#found")).to_be_hidden()
