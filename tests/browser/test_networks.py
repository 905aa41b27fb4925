"""The panel that opens first: what is in the store."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from playwright.sync_api import Route, expect

from ingest.writer import write
from store.database import Database
from tests.browser.conftest import HOSTILE, PATIENCE_MS, Visit, Visitor, of_network, of_run
from tests.networks import dense_network

expect.set_options(timeout=PATIENCE_MS)


def test_the_page_opens_with_every_network(visitor: Visitor) -> None:
    page = visitor.open("")
    expected = {row["network"]: row for row in visitor.rows("/v1/networks")}
    assert {"tiny", "step-0", "step-1", HOSTILE} <= set(expected)
    shown = page.locator("tr[data-network]")
    assert {row.get_attribute("data-network") for row in shown.all()} == set(expected)
    for row in shown.all():
        name = row.get_attribute("data-network") or ""
        numbers = row.locator("td.number").all_inner_texts()
        counts = [f"{expected[name][column]:,}" for column in ("layers", "neurons", "links")]
        step = expected[name]["step"]
        metrics = [f"{value:.4g}" for value in expected[name]["metrics"].values()]
        assert numbers == ["" if step is None else str(step), *counts, *metrics], name


def test_runs_stand_together_with_their_metrics(visitor: Visitor) -> None:
    page = visitor.open()
    group = page.locator("details.group", has=page.get_by_role("heading", name="two-steps"))
    assert group.locator("tr[data-network]").count() == 2
    expect(group.locator("summary")).to_contain_text("2 snapshots, steps 0 to 1")
    expect(group.locator(".progress")).to_contain_text("accuracy 1")
    group.get_by_role("link", name="Dynamics").click()
    page.wait_for_url(f"**/{of_run('two-steps', 'dynamics')}")


def test_choosing_a_network_opens_its_architecture(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_role("link", name="tiny", exact=True).click()
    expect(page.locator("h1")).to_have_text("Architecture")
    assert visitor.place == of_network("tiny", "architecture")[1:]
    expect(page.locator(".card")).to_have_count(3)


def test_the_filter_finds_names_runs_and_formats(visitor: Visitor) -> None:
    page = visitor.open()
    names = page.locator("tr[data-network] th")
    page.get_by_label("Filter").fill("two-st")
    page.keyboard.press("Enter")
    expect(names).to_have_text(["step-0", "step-1"])
    assert visitor.place == "/?filter=two-st"
    page.get_by_label("Filter").fill("nothing like it")
    page.keyboard.press("Enter")
    expect(
        page.get_by_text("No network, run or format has “nothing like it” in its name.")
    ).to_be_visible()


def test_two_networks_are_compared(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_label("Compare step-0").check()
    page.get_by_label("Compare tiny").check()
    # A third takes the place of the first.
    page.get_by_label("Compare step-1").check()
    expect(page.get_by_label("Compare step-0")).not_to_be_checked()
    page.get_by_role("link", name="Compare tiny with step-1").click()
    expect(page.locator("h1")).to_have_text("Compare")
    assert visitor.place == of_network("tiny", "compare", "other=step-1")[1:]


def test_a_hostile_name_is_text_everywhere(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_role("link", name=HOSTILE, exact=True).click()
    expect(page.locator("aside h2")).to_have_text(HOSTILE)
    for panel in ("distributions", "compare", "neurons", "matrix", "paths"):
        visitor.open(of_network(HOSTILE, panel))
        expect(page.locator("nav").get_by_title(HOSTILE).first).to_have_text(HOSTILE)
        assert page.locator("img[src=x]").count() == 0
    visitor.open(of_run(HOSTILE, "dynamics"))
    expect(page.locator(".snapshot h2 a")).to_have_text(HOSTILE)
    page.get_by_role("combobox", name="Search").fill(HOSTILE)
    expect(page.locator("#found [role=option]")).to_have_count(2)
    assert page.locator("img[src=x]").count() == 0


def test_deleting_asks_first(database: Database, visitor: Visitor) -> None:
    write(database, dense_network([np.eye(2, dtype=np.float32)]), name="unwanted", replace=True)
    page = visitor.open()
    row = page.locator('tr[data-network="unwanted"]')
    page.get_by_role("button", name="Delete unwanted").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("unwanted goes from the store with all its links")
    dialog.get_by_role("button", name="Keep it").click()
    expect(row).to_have_count(1)
    page.get_by_role("button", name="Delete unwanted").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)
    expect(dialog).to_have_count(0)
    assert "unwanted" not in {each["network"] for each in visitor.rows("/v1/networks")}


def test_an_empty_store_says_what_to_do(visitor: Visitor) -> None:
    """The service's own answer with its rows taken out: the tests share one store."""

    def emptied(route: Route) -> None:
        response = route.fetch()
        answer: dict[str, Any] = response.json()
        route.fulfill(response=response, body=json.dumps(answer | {"rows": []}))

    visitor.page.route("**/v1/networks", emptied)
    page = visitor.open()
    expect(page.locator(".empty")).to_contain_text("The store is empty.")
    assert page.locator(".empty code").all_inner_texts() == ["make demo", "weightome ingest FILE"]
    expect(page.get_by_role("heading", name="Add a network")).to_be_visible()


def test_a_token_is_asked_for_and_kept_in_the_tab(start: Any, crowd: None, visit: Visit) -> None:
    assert crowd is None
    with start(WEIGHTOME_TOKEN="open sesame, open sesame") as running:
        visitor = visit(running)
        visitor.expected.append(r"status of 401")
        page = visitor.page
        page.goto(visitor.origin)
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("This service wants its token")
        dialog.get_by_label("Token").fill("wrong")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("The token was not the right one")
        dialog.get_by_label("Token").fill("open sesame, open sesame")
        page.keyboard.press("Enter")
        expect(page.locator('tr[data-network="tiny"]')).to_have_count(1)
        expect(dialog).to_have_count(0)
        assert page.evaluate("localStorage.length") == 0
        assert "sesame" not in page.url
        page.reload()
        expect(page.locator('tr[data-network="tiny"]')).to_have_count(1)
        # Whoever declines sees why there is nothing, and can think again.
        page.evaluate("sessionStorage.clear()")
        page.reload()
        dialog.get_by_role("button", name="Not now").click()
        expect(page.get_by_role("alert")).to_contain_text("This service wants its token.")
        page.get_by_role("button", name="Try again").click()
        expect(dialog).to_contain_text("This service wants its token")
