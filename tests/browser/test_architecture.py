"""The layers and what feeds what."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import DEEP, DEEP_LAYERS, PATIENCE_MS, Visitor, of_network

expect.set_options(timeout=PATIENCE_MS)


def cards(page: Page) -> list[str]:
    """The names on the cards, from top to bottom."""
    return [card.get_attribute("data-path") or "" for card in page.locator(".card").all()]


def facts(page: Page) -> dict[str, str]:
    """The facts beside the drawing."""
    names = page.locator("aside .facts dt").all_inner_texts()
    return dict(zip(names, page.locator("aside .facts dd").all_inner_texts(), strict=True))


def test_layers_and_links_are_those_of_the_network(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "architecture"))
    layers = visitor.rows("/v1/networks/tiny/layers")
    assert cards(page) == [layer["layer"] for layer in layers] == ["input", "fc1", "fc2"]
    drawn = {
        (line.get_attribute("data-source"), line.get_attribute("data-target"))
        for line in page.locator("path.link").all()
    }
    assert drawn == {(source, layer["layer"]) for layer in layers for source in layer["fed_by"]}
    expect(page.locator('.card[data-path="fc1"] .size')).to_have_text("6 links")
    expect(page.locator("aside h2")).to_have_text("tiny")
    assert facts(page) | {"Stored": ""} == {
        "Run": "tiny-run", "Step": "0", "accuracy": "0.5", "Layers": "3", "Neurons": "7",
        "Learned links": "12", "Parameters": "17", "View": "shared", "Format": "test", "Stored": "",
    }  # fmt: skip


def test_a_layer_shows_its_facts_and_leads_on(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "architecture"))
    page.locator('.card[data-path="fc1"]').click()
    expect(page.locator("aside h2")).to_have_text("fc1")
    assert visitor.place.endswith("?layer=fc1")
    expect(page.locator("aside h3")).to_be_visible()
    (statistics,) = [
        row for row in visitor.rows("/v1/networks/tiny/links") if row["layer"] == "fc1"
    ]
    told = facts(page)
    # [[1, -2, 3], [4, 5, -6]] by hand: mean 5 / 6.
    assert told["Mean"] == "0.8333" == f"{statistics['mean']:.4f}"
    assert told["Neurons"] == "3"
    assert told["Learned links into it"] == "6"
    assert told["Fed by"] == "input"
    assert page.locator("path.link.near").count() == 2
    page.get_by_role("button", name="input", exact=True).click()
    expect(page.locator("aside h2")).to_have_text("input")
    for text, place in (
        ("Neurons", of_network("tiny", "neurons", "layers=0")),
        ("Weights", of_network("tiny", "matrix", "pair=0-1")),
        ("Distributions", of_network("tiny", "distributions", "layer=fc1")),
    ):
        if text == "Weights":
            page.locator('.card[data-path="fc1"]').click()
        expect(page.locator("aside").get_by_role("link", name=text)).to_have_attribute(
            "href", place
        )


def test_two_hundred_layers_open_as_blocks(visitor: Visitor) -> None:
    page = visitor.open(of_network(DEEP, "architecture"))
    expect(page.locator(".bar .quiet")).to_have_text(f"{DEEP_LAYERS} layers")
    closed = cards(page)
    assert closed[:2] == ["input", "encoder.layer"]
    assert closed[-1] == "head"
    page.locator(".card.block").dblclick()
    assert len(cards(page)) == 2 + (DEEP_LAYERS - 2 + 4) // 5
    page.get_by_role("button", name="Open all blocks").click()
    layers = [row["layer"] for row in visitor.rows(f"/v1/networks/{DEEP}/layers")]
    assert cards(page) == layers
    assert len(layers) == DEEP_LAYERS
    # The drawing of a chain is one column without two cards at one place.
    places = page.eval_on_selector_all(
        ".card", "all => all.map(one => one.getAttribute('transform'))"
    )
    assert len(set(places)) == DEEP_LAYERS
    assert len({place.split()[0] for place in places}) == 1


def test_blocks_open_and_close_by_keyboard_and_stay_in_the_address(visitor: Visitor) -> None:
    page = visitor.open(of_network(DEEP, "architecture", "open=-"))
    assert cards(page) == ["input", "encoder.layer", "head"]
    page.locator(".card").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert "encoder.layer.0" in cards(page)
    expect(page.locator('.card[data-path="encoder.layer.0"]')).to_be_focused()
    page.keyboard.press("Enter")
    opened = cards(page)
    assert opened[:3] == ["input", "encoder.layer.0.part0", "encoder.layer.0.part1"]
    expect(page.locator('.card[data-path="encoder.layer.0.part0"]')).to_be_focused()
    page.reload()
    visitor.settled()
    assert cards(page) == opened
    page.get_by_role("button", name="Close encoder.layer.0", exact=True).press("Enter")
    assert "encoder.layer.0" in cards(page)


def test_a_link_to_a_layer_opens_the_blocks_around_it(visitor: Visitor) -> None:
    page = visitor.open(of_network(DEEP, "architecture", "layer=encoder.layer.7.part3"))
    expect(page.locator("aside h2")).to_have_text("encoder.layer.7.part3")
    card = page.locator('.card[data-path="encoder.layer.7.part3"]')
    expect(card).to_have_attribute("aria-pressed", "true")


def test_the_picture_is_an_svg_with_its_looks(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "architecture"))
    with page.expect_download() as downloading:
        page.get_by_role("button", name="SVG", exact=True).click()
    download = downloading.value
    assert download.suggested_filename == "architecture-tiny.svg"
    text = download.path().read_text("utf-8")
    assert text.startswith("<svg")
    assert re.findall(r"<text[^>]*class=\"name\"[^>]*>([^<]*)<", text) == ["input", "fc1", "fc2"]
    assert "var(" not in text
    with page.expect_download() as downloading:
        page.get_by_role("button", name="PNG", exact=True).click()
    content = downloading.value.path().read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    width, height = (int.from_bytes(content[start : start + 4], "big") for start in (16, 20))
    assert width > 500
    assert height > 500
