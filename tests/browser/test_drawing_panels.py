"""The drawn network, the weight matrix and paths: what is drawn is what the service says."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import Page, expect

from ingest import ingest
from ingest.removal import delete
from ingest.writer import write
from store.database import Database
from tests import models, sequence_models
from tests.browser.conftest import DEEP, HOSTILE, PATIENCE_MS, Visit, Visitor, of_network
from tests.networks import dense_network

expect.set_options(timeout=PATIENCE_MS)

SVG = "{http://www.w3.org/2000/svg}"
CANVAS = "main canvas"
WEIGHTS = [[[1, -2, 3], [4, 5, -6]], [[1, 2], [-3, 4], [5, -6]]]
# Lines that the legend has: one for each sign.
LEGEND = 2


@pytest.fixture(scope="module")
def gallery(database: Database) -> Iterator[None]:
    """Networks of every form: wide, residual with feature maps, recurrent."""
    random = np.random.default_rng(4)
    sizes = (100, 150, 150, 10)
    matrices = [random.normal(size=shape).astype("f4") / 9 for shape in itertools.pairwise(sizes)]
    write(database, dense_network(matrices), name="drawn wide", replace=True)
    for name, (module, inputs) in {
        "drawn maps": models.resnet(), "drawn loops": sequence_models.lstm(),
    }.items():  # fmt: skip
        view = "unrolled" if name == "drawn maps" else "shared"
        ingest(
            module, name=name, view=view, input_shape=inputs.shape[1:], replace=True,
            database=database,
        )  # fmt: skip
    yield
    for name in ("drawn wide", "drawn maps", "drawn loops"):
        delete(database, name)


def _drawn(page: Page, what: str) -> int:
    return int(page.locator(CANVAS).get_attribute(f"data-{what}") or "0")


def _picture(page: Page, kind: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=kind, exact=True).click()
    path = folder / f"picture.{kind.lower()}"
    download.value.save_as(path)
    return path


def _svg(page: Page, folder: Path) -> ET.Element:
    return ET.parse(_picture(page, "SVG", folder)).getroot()  # noqa: S314


def _places(picture: ET.Element) -> list[tuple[float, float]]:
    """Where the neurons of columns are on the canvas."""
    circles = picture.findall(f"{SVG}circle")
    return [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in circles]


def _facts(page: Page) -> dict[str, str]:
    facts = page.locator("aside .facts")
    names = facts.locator("dt").all_inner_texts()
    return dict(zip(names, facts.locator("dd").all_inner_texts(), strict=True))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tiny", {}),
        ("tiny", {"k": "3", "evenly": "false", "sign": "negative"}),
        ("drawn wide", {"per_layer": "20", "k": "90"}),
        ("drawn wide", {"per_layer": "9", "pick": "strongest", "measure": "out"}),
        ("drawn maps", {"k": "500"}),
        ("drawn loops", {}),
        (DEEP, {"per_layer": "2"}),
    ],
)
def test_draws_what_the_service_picked(
    visitor: Visitor, gallery: None, tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    query = "&".join(f"{key}={value}" for key, value in options.items())
    page = visitor.open(of_network(name, "neurons", query))
    asked = {"per_layer": "64", "k": "300", "evenly": "true", "wires": "true", **options}
    column = asked.pop("measure", "total")
    picking = "&".join(
        f"{key}={value}"
        for key, value in {**asked, "measure": "strength", "column": column}.items()
        if key in {"per_layer", "pick", "measure", "column"}
    )
    linking = "&".join(
        f"{key}={value}" for key, value in asked.items() if key in {"k", "evenly", "wires", "sign"}
    )
    where = f"/v1/networks/{name.replace(' ', '%20')}"
    neurons = visitor.rows(f"{where}/drawn-neurons?limit=20000&{picking}")
    links = visitor.rows(f"{where}/drawn-links?limit=20000&{picking}&{linking}")
    assert _drawn(page, "neurons") == len(neurons) > 0
    assert _drawn(page, "links") == len(links)
    picture = _svg(page, tmp_path)
    curves = picture.findall(f"{SVG}path")
    fixed = [link for link in links if link["kind"] == "WIRE"]
    assert len(curves) == len(links) + (LEGEND + bool(fixed)) * bool(links)
    dashed = [curve for curve in curves if "stroke-dasharray" in curve.attrib]
    assert len(dashed) == len(fixed) + bool(fixed)
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    if name == "drawn wide":
        size = 150 if "per_layer" in options else 0
        assert texts.count(f"{options['per_layer']} of {size}") == 2
    assert f"{len(neurons):,} neurons" in page.locator(".bar").inner_text()


def test_the_card_has_what_the_service_says(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "neurons", "neuron=fc1/1"))
    expect(page.locator("aside h2")).to_have_text("fc1/1")
    expect(page.locator("aside .facts")).to_be_visible()
    facts = _facts(page)
    matrix, following = (np.array(weights) for weights in WEIGHTS)
    received, sent = matrix[:, 1].sum(), following[1].sum()
    assert float(facts["Bias"]) == 0.2
    assert float(facts["Strength in"]) == received
    assert float(facts["Strength out"]) == sent
    assert float(facts["Total strength"]) == received + sent
    assert facts["Links in, out"] == "2, 2"
    rows = page.get_by_role("table", name="Strongest links in").locator("tr").all_inner_texts()
    assert [row.split() for row in rows] == [["input/1", "5"], ["input/0", "-2"]]
    rows = page.get_by_role("table", name="Strongest links out").locator("tr").all_inner_texts()
    assert [row.split() for row in rows] == [["fc2/1", "4"], ["fc2/0", "-3"]]
    assert page.locator(CANVAS).get_attribute("data-chosen") == "1/1"
    # Each link leads to the card at its other end, and the back button back.
    page.get_by_role("link", name="fc2/1", exact=True).click()
    expect(page.locator("aside h2")).to_have_text("fc2/1")
    assert "neuron=fc2%2F1" in visitor.place
    page.go_back()
    expect(page.locator("aside h2")).to_have_text("fc1/1")
    page.get_by_role("button", name="Close the card").click()
    expect(page.locator("aside")).to_be_hidden()
    assert "neuron=" not in visitor.place


def test_a_click_on_a_neuron_opens_its_card(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.open(of_network("tiny", "neurons"))
    places = sorted(_places(_svg(page, tmp_path)))
    assert len(places) == 7
    names = [*(f"input/{i}" for i in range(2)), *(f"fc1/{i}" for i in range(3)), "fc2/0", "fc2/1"]
    box = page.locator(CANVAS).bounding_box()
    assert box
    for name, (x, y) in zip(names, places, strict=True):
        page.mouse.move(box["x"] + x, box["y"] + y)
        expect(page.locator("main div[aria-hidden=true]", has_text=name).first).to_be_visible()
    x, y = places[3]
    page.locator(CANVAS).click(position={"x": x, "y": y})
    expect(page.locator("aside h2")).to_have_text("fc1/1")
    assert "neuron=fc1%2F1" in visitor.place


def test_neurons_can_be_reached_by_keyboard(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "neurons"))
    page.locator(CANVAS).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("aside h2")).to_have_text("fc1/1")
    page.locator(CANVAS).focus()
    page.keyboard.press("Escape")
    expect(page.locator("aside")).to_be_hidden()


def test_the_threshold_leaves_out_weak_links(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "neurons"))
    weights = np.abs(np.concatenate([np.ravel(each) for each in WEIGHTS]))
    assert _drawn(page, "links") == weights.size
    slider = page.get_by_role("slider")
    counts = []
    for least in (1.5, 3.0, 4.5, 6.0):
        slider.fill(str(least))
        counts.append(_drawn(page, "links"))
    assert counts == [int((weights >= least).sum()) for least in (1.5, 3.0, 4.5, 6.0)]
    slider.fill("4.5")
    slider.dispatch_event("change")
    assert "least=4.5" in visitor.place
    expect(page.locator(".bar")).to_contain_text("4 of 12 links")
    # The address brings the same picture back.
    again = visitor.open(f"#{visitor.place}")
    again.reload()
    visitor.settled()
    assert _drawn(again, "links") == 4


def test_only_some_layers(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "neurons"))
    page.get_by_text("Layers: 3 of 3").click()
    page.get_by_role("checkbox", name="input").uncheck()
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_text("Layers: 2 of 3")).to_be_visible()
    visitor.settled()
    assert (_drawn(page, "neurons"), _drawn(page, "links")) == (5, 6)
    assert "layers=1%2C2" in visitor.place


def test_colour_by_another_question(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.open(of_network("tiny", "neurons"))
    colour = page.get_by_role("combobox", name="Colour")
    expect(colour.locator("option", has_text=re.compile("^pagerank$"))).to_have_count(1)
    assert {"Bias", "Total strength"} <= set(colour.locator("option").all_inner_texts())
    colour.select_option(label="pagerank")
    expect(page.locator(f"{CANVAS}[aria-label*='7 neurons']")).to_be_visible()
    visitor.settled()
    picture = _svg(page, tmp_path)
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert "pagerank" in texts
    values = [row["value"] for row in visitor.rows("/v1/networks/tiny/pagerank")]
    # All are above 0: the darkest is the greatest, and none is the colour of a negative value.
    greatest = f"{max(values):.4g}"
    assert greatest in texts
    by_fill = dict(zip(_places(picture), picture.findall(f"{SVG}circle"), strict=True))
    fills = [by_fill[place].attrib["fill"] for place in sorted(by_fill)]
    lightness = [sum(int(fill[at : at + 2], 16) for at in (1, 3, 5)) for fill in fills]
    assert int(np.argmin(lightness)) == int(np.argmax(values))


def test_pictures_are_not_empty(visitor: Visitor, gallery: None, tmp_path: Path) -> None:
    addresses = ["neurons", "matrix", "paths?source=input/3&target=fc3/1"]
    for address in addresses:
        page = visitor.open(of_network("drawn wide", address))
        pixels = imread(_picture(page, "PNG", tmp_path))
        height, width = pixels.shape[:2]
        size = page.locator(CANVAS).evaluate("canvas => [canvas.clientWidth, canvas.clientHeight]")
        assert [width, height] == [2 * length for length in size]
        paper = pixels[0, 0]
        assert (np.abs(pixels - paper).max(axis=2) > 0.05).mean() > 0.01, address
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50, address


def test_the_matrix_shows_every_cell(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.open(of_network("tiny", "matrix"))
    rows = visitor.rows("/v1/networks/tiny/weight-matrix?source=input&target=fc1")
    assert _drawn(page, "cells") == len(rows) == 6
    assert float(page.locator(CANVAS).get_attribute("data-greatest") or 0) == 6
    expect(page.locator(".bar")).to_contain_text("6 links from input (2) to fc1 (3)")
    # Arrow keys go from cell to cell: here to row 1, column 2.
    page.locator(CANVAS).focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("aside h2")).to_have_text("Cell 1, 2")
    assert _facts(page) == {"From": "input/1", "To": "fc1/2", "Weight": "-6"}
    assert "cell=1-2" in visitor.place
    page.get_by_role("combobox", name="Layers").select_option(label="fc1 → fc2")
    expect(page.locator(".bar")).to_contain_text("6 links from fc1 (3) to fc2 (2)")
    page.locator(CANVAS).focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("link", name="fc1/1").click()
    expect(page.locator("aside h2")).to_have_text("fc1/1")
    assert "/neurons?neuron=fc1%2F1" in visitor.place


def test_a_large_matrix_is_gathered(visitor: Visitor, gallery: None) -> None:
    page = visitor.open(of_network("drawn wide", "matrix", "pair=1-2&cells=10&cell=0-9"))
    (row,) = [
        row
        for row in visitor.rows(
            "/v1/networks/drawn%20wide/weight-matrix?source=fc1&target=fc2&rows=10&columns=10"
        )
        if (row["row"], row["column"]) == (0, 9)
    ]
    facts = _facts(page)
    assert facts["From"] == "fc1/0 to fc1/14"
    assert facts["To"] == "fc2/135 to fc2/149"
    assert facts["Links"] == "225"
    assert float(facts["mean weight"]) == pytest.approx(row["value"], rel=1e-3)
    assert float(facts["Least"]) == pytest.approx(row["least"], rel=1e-3)


def test_paths_as_picture_and_table(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.open(of_network("tiny", "paths", "source=input/0&target=fc2&k=4"))
    rows = visitor.rows("/v1/networks/tiny/paths?source=input/0&target=fc2&k=4")
    table = page.get_by_role("region", name="Paths from input/0 to fc2").locator("tbody tr")
    shown = [row.locator("td").all_inner_texts() for row in table.all()]
    assert [int(each[0]) for each in shown] == [row["rank"] for row in rows]
    products = [row["product"] for row in rows]
    assert [float(each[1]) for each in shown] == pytest.approx(products, rel=1e-3)
    assert [each[4] for each in shown] == [" → ".join(row["path"]) for row in rows]
    links = {pair for row in rows for pair in itertools.pairwise(row["path"])}
    neurons = {neuron for row in rows for neuron in row["path"]}
    assert (_drawn(page, "links"), _drawn(page, "neurons")) == (len(links), len(neurons))
    assert len(_svg(page, tmp_path).findall(f"{SVG}path")) == len(links) + LEGEND
    # The path under the pointer is the one that is lit.
    table.nth(0).hover()
    lit = _svg(page, tmp_path).findall(f"{SVG}path")
    assert sum(curve.attrib.get("opacity") == "0.95" for curve in lit) in (0, rows[0]["hops"])
    page.get_by_role("link", name=rows[0]["path"][1], exact=True).first.click()
    expect(page.locator("aside h2")).to_have_text(rows[0]["path"][1])


def test_paths_between_two_picked_sets(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "neurons", "neuron=input/0"))
    card = page.locator("aside section")

    def pick(neuron: str, side: str) -> None:
        page.get_by_label("Find a neuron").fill(neuron)
        page.get_by_label("Find a neuron").press("Enter")
        expect(card.locator("h2")).to_have_text(neuron)
        button = card.get_by_role("button", name=f"Pick as {side} of paths")
        expect(button).to_have_attribute("aria-pressed", "false")
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")

    pick("fc1/2", "start")
    pick("fc1/0", "start")
    pick("fc2/1", "end")
    way = page.locator(".picks a")
    expect(way).to_have_text("Paths from fc1/0,2 to fc2/1")
    page.reload()
    visitor.settled()
    expect(way).to_have_text("Paths from fc1/0,2 to fc2/1")
    way.click()
    expect(page.locator(".bar")).to_contain_text("from fc1/0,2 to fc2/1 through")
    rows = visitor.rows("/v1/networks/tiny/paths?source=fc1/0,2&target=fc2/1")
    assert {row["path"][0] for row in rows} == {"fc1/0", "fc1/2"}
    shown = page.locator("table tbody tr").all_inner_texts()
    assert len(shown) == len(rows)

    page.go_back()
    visitor.settled()
    card.get_by_role("button", name="Pick as end of paths").click()
    expect(way).to_have_text("Paths from fc1/0,2 to the last layer")
    page.get_by_role("button", name="Pick none").click()
    expect(way).to_be_hidden()
    assert "source=" not in visitor.place


def test_paths_without_ends_lead_through_the_whole_network(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "paths"))
    expect(page.locator(".bar")).to_contain_text("paths from input to fc2")
    page.get_by_role("combobox", name="Paths").select_option("inhibitory")
    visitor.settled()
    products = page.locator("tbody td:nth-child(2)").all_inner_texts()
    assert products
    assert all(float(product) < 0 for product in products)


def test_ends_that_are_not_there(visitor: Visitor) -> None:
    visitor.expected.append("404")
    page = visitor.open(of_network("tiny", "paths", "source=input/9&target=fc2"))
    expect(page.get_by_role("alert")).to_contain_text("there is no neuron 9")
    page = visitor.open(of_network("tiny", "neurons", "neuron=fc9/0"))
    expect(page.get_by_role("alert")).to_contain_text("There is no layer 'fc9'")


@pytest.mark.parametrize("panel", ["neurons?neuron=fc1/1", "matrix", "paths"])
def test_names_are_only_words(visitor: Visitor, panel: str, tmp_path: Path) -> None:
    page = visitor.open(of_network(HOSTILE, panel))
    expect(page.locator(CANVAS)).to_be_visible()
    assert page.locator("main img").count() == 0
    assert _svg(page, tmp_path).findall(f".//{SVG}image") == []


SKIPPING = """
async () => {
  const { placed, keyOf } = await import("weightome/placing.js");
  const layer = (layer_index, layer, fed_by, size) => (
    { layer_index, layer, fed_by, size, kind: layer_index ? "linear" : "input" });
  const layers = [
    layer(0, "a", [], 3), layer(1, "b", ["a"], 40), layer(2, "c", ["b", "a", "c"], 3),
    layer(3, "d", ["c", "d"], 2), layer(4, "e", ["d", "e"], 1),
  ];
  layers[1].fed_by.push("d");
  const empty = { step: null, channel: null, depth: null, row: null, col: null };
  const neurons = layers.flatMap(({ layer_index, size }) => (
    Array.from({ length: size }, (_, neuron) => ({ layer_index, neuron, ...empty }))));
  const { spots, curve, bounds } = placed(layers, neurons, 2);
  return {
    bounds,
    spots: layers.map(({ layer_index, size }) => Array.from({ length: size }, (_, neuron) => {
      const { x, y } = spots.get(keyOf(layer_index, neuron));
      return [x, y];
    })),
    next: curve([0, 0], [1, 0]), skip: curve([0, 0], [2, 0]), own: curve([2, 0], [2, 1]),
    back: curve([3, 0], [1, 0]),
  };
}
"""


def test_layers_stand_from_left_to_right(visitor: Visitor) -> None:
    """Links that skip a layer run around it, those that lead back below all, inner ones beside."""
    found = visitor.open("#/").evaluate(SKIPPING)
    layers = [np.array(spots) for spots in found["spots"]]
    for before, after in itertools.pairwise(layers):
        assert before[:, 0].max() < after[:, 0].min()
    every = np.concatenate(layers)
    apart = np.linalg.norm(every[:, None] - every[None], axis=2)
    assert apart[~np.eye(len(every), dtype=bool)].min() > 9
    curves = {
        name: np.array(found[name]).reshape(-1, 2) for name in ("next", "skip", "own", "back")
    }
    assert len(curves["next"]) == 4
    np.testing.assert_allclose(curves["next"][0], layers[0][0])
    np.testing.assert_allclose(curves["next"][-1], layers[1][0])
    # Over or under the layer between.
    assert len(curves["skip"]) == 7
    middle = curves["skip"][3]
    between = layers[1]
    assert between[:, 0].min() <= middle[0] <= between[:, 0].max()
    assert not between[:, 1].min() <= middle[1] <= between[:, 1].max()
    assert curves["own"][1][0] > layers[2][:, 0].max()
    assert curves["back"][:, 1].max() > every[:, 1].max()
    assert curves["back"][:, 1].max() <= found["bounds"]["height"]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_looks(
    visit: Visit, gallery: None, shoot: Callable[[Page, str], None], theme: Any, width: int
) -> None:
    visitor = visit(width=width, color_scheme=theme)
    for name, network, panel in (
        ("neurons", "drawn wide", "neurons?neuron=fc2/0"),
        ("maps", "drawn maps", "neurons"),
        ("loops", "drawn loops", "neurons"),
        ("deep", DEEP, "neurons"),
        ("matrix", "drawn wide", "matrix?cell=3-5"),
        ("paths", "drawn wide", "paths?source=input&target=fc3/1"),
    ):
        page = visitor.open(of_network(network, panel))
        if "neuron=" in panel:
            expect(page.locator("aside .facts")).to_be_visible()
        # Nothing is wider than the window.
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, name
        shoot(page, f"drawing-{name}-{width}-{theme}")
