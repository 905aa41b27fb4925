"""Distributions, dynamics and comparison: the panels show what the service says."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE_MS, Visitor, of_network, of_run

expect.set_options(timeout=PATIENCE_MS)

# The weights of the hand-checkable network, sources x targets.
WEIGHTS = {"fc1": [[1, -2, 3], [4, 5, -6]], "fc2": [[1, 2], [-3, 4], [5, -6]]}


def titles(page: Page, place: str) -> list[str]:
    """What the bars of the histogram in a card say, from the least on."""
    texts: list[str] = page.locator(place).locator("rect title").all_text_contents()
    return texts


def cells(page: Page, caption: str) -> list[list[str]]:
    """The texts of a table's rows."""
    rows = page.get_by_role("region", name=caption).locator("tbody tr")
    return [row.locator("td").all_inner_texts() for row in rows.all()]


def control(page: Page, name: str) -> Locator:
    """One of the controls above the panel."""
    return page.locator(f".controls [name={name}]")


def test_histograms_count_the_weights(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "distributions", "bins=4"))
    shown = page.locator(".small strong").all_inner_texts()
    assert shown == ["fc1", "fc2"]
    for number, layer in enumerate(shown):
        counts, edges = np.histogram(np.ravel(WEIGHTS[layer]), 4)
        expected = [
            f"{low:.4g} to {high:.4g}: {count}"
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
        assert titles(page, f".small >> nth={number}") == expected


def test_statistics_of_the_weights_are_a_table(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "distributions"))
    by_layer = {row[0]: row for row in cells(page, "Statistics of the weights")}
    for layer, weights in WEIGHTS.items():
        values = np.ravel(np.asarray(weights, dtype=np.float64))
        mean, std = float(by_layer[layer][2]), float(by_layer[layer][3])
        assert math.isclose(mean, values.mean(), rel_tol=1e-3)
        assert math.isclose(std, values.std(), rel_tol=1e-3)


def test_one_layer_is_a_chart_and_strengths_too(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "distributions"))
    page.locator(".small", has_text="fc2").click()
    visitor.settled()
    assert visitor.place.endswith("distributions?layer=fc2")
    expect(page.get_by_role("img", name="Histogram of the weights of links of fc2")).to_be_visible()
    control(page, "of").select_option("total")
    chart = page.get_by_role("img", name="Histogram of the total strength of neurons of fc2")
    expect(chart).to_be_visible()
    visitor.settled()
    # Total strengths by hand: [2, 3], [8, 4, -4], [3, 0].
    by_layer = {row[0]: row for row in cells(page, "Statistics of the strengths")}
    assert [by_layer[name][3] for name in ("input", "fc1", "fc2")] == ["0.5", "4.989", "1.5"]
    page.go_back()
    visitor.settled()
    expect(control(page, "of")).to_have_value("links")


def test_dynamics_show_each_step(visitor: Visitor) -> None:
    page = visitor.open(of_run("two-steps", "dynamics"))
    expect(page.locator(".slider output")).to_have_text("step 1, snapshot 2 of 2")
    bars = page.locator(".bars .row")
    for step in (1, 0):
        if step == 0:
            page.get_by_role("slider", name="Snapshot").press("ArrowLeft")
        expect(page.locator(".snapshot h2")).to_have_text(f"Step {step}: step-{step}")
        matrix = np.array([[1, -2], [3, 4 + step]])
        sums = [matrix.sum(1), matrix.sum(0) + matrix.sum(1), matrix.sum(0)]
        values = [float(text) for text in bars.locator(".value").all_inner_texts()]
        assert values == pytest.approx([each.std() for each in sums], rel=1e-3)
        assert bars.locator(".name").all_inner_texts() == ["input", "fc1", "fc2"]
    assert visitor.place.endswith("dynamics?step=0")
    page.reload()
    expect(page.locator(".slider output")).to_have_text("step 0, snapshot 1 of 2")
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".slider output")).to_have_text("step 1, snapshot 2 of 2")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_dynamics_know_metrics_and_every_statistic(visitor: Visitor) -> None:
    page = visitor.open(of_run("two-steps", "dynamics", "statistic=metric:accuracy"))
    expect(page.locator(".snapshot p")).to_have_text("accuracy 1")
    choice = control(page, "statistic")
    expect(choice.locator("option")).to_have_count(9)
    choice.select_option("link_max")
    expect(page.locator(".bars .value")).to_have_text(["5", "5"])
    control(page, "layer").select_option("fc2")
    expect(page.locator(".bars .name")).to_have_text(["fc2"])


def test_two_networks_differ_where_they_do(visitor: Visitor) -> None:
    page = visitor.open(of_network("step-0", "compare", "other=step-1"))
    expect(page.locator(".verdict")).to_have_text(
        "step-0 and step-1. 2 of 3 layers differ; 8 links were compared."
    )
    by_layer = {row[0]: row for row in cells(page, "Differences of the layers")}
    assert by_layer["input"][1] == "the same"
    # One of four weights is greater by 1; the norm of the others with it is sqrt(30).
    assert by_layer["fc1"][1:7] == ["changed", "4", "0.25", "1", "1", f"{30**-0.5:.4g}"]
    page.get_by_role("link", name="fc1").click()
    visitor.settled()
    assert cells(page, "Links into fc1 that differ most") == [["input/1", "fc1/1", "4", "5", "1"]]


def test_the_same_network_does_not_differ(visitor: Visitor) -> None:
    page = visitor.open(of_network("tiny", "compare", "other=observed"))
    expect(page.locator(".verdict")).to_contain_text("Both networks are the same")
    page = visitor.open(of_network("tiny", "compare"))
    expect(page.locator(".empty")).to_contain_text("Choose the network that tiny is compared with.")
    page.locator(".choices").get_by_role("link", name="observed").click()
    expect(page.locator(".verdict")).to_contain_text("Both networks are the same")


def test_csv_is_what_the_service_would_send(visitor: Visitor) -> None:
    page = visitor.open(of_run("two-steps", "dynamics", "statistic=link_std"))
    expect(page.locator(".snapshot h3")).to_be_visible()
    page.get_by_text("CSV", exact=True).click()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="CSV of two-steps dynamics statistic=link_std").click()
    assert downloading.value.suggested_filename == (
        "dynamics-two-steps-two-steps-dynamics-statistic-link_std.csv"
    )
    sent = visitor.service.client.get(
        "/v1/runs/two-steps/dynamics", params={"statistic": "link_std", "format": "csv"}
    ).text
    saved = downloading.value.path().read_text("utf-8")
    assert saved == sent
    assert len(list(csv.DictReader(io.StringIO(saved)))) == 4


def test_a_chart_is_given_as_picture(visitor: Visitor) -> None:
    page = visitor.open(of_run("two-steps", "dynamics"))
    for kind, begins in (("PNG", b"\x89PNG\r\n"), ("SVG", b"<svg")):
        with page.expect_download() as downloading:
            page.get_by_role("button", name=kind, exact=True).click()
        content = downloading.value.path().read_bytes()
        assert content.startswith(begins)
        assert len(content) > 2_000
