"""Every question as a form, and Cypher of one's own."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS, Visit, Visitor
from tests.serving import Start

expect.set_options(timeout=PATIENCE_MS)


def test_every_question_has_a_form_with_its_parameters(visitor: Visitor) -> None:
    page = visitor.open("#/questions")
    questions = visitor.rows("/v1/queries")
    assert len(questions) > 50
    listed = page.get_by_role("navigation", name="Questions").get_by_role("link").all_inner_texts()
    assert sorted(listed) == sorted(question["title"] for question in questions)
    for question in questions:
        page.evaluate("hash => location.hash = hash", f"#/questions?question={question['name']}")
        form = page.get_by_role("form", name=question["title"], exact=True)
        expect(form).to_be_visible()
        fields = form.locator("[name]").evaluate_all("all => all.map(one => one.name)")
        expected = {*question["parameters"]["properties"], "limit"} - {"after"}
        assert set(fields) == expected, question["name"]


def test_a_question_is_asked_and_its_link_asks_again(visitor: Visitor) -> None:
    page = visitor.open("#/questions")
    page.get_by_role("searchbox", name="Find a question").fill("strength of every")
    page.get_by_role("link", name="strength", exact=True).click()
    form = page.get_by_role("form", name="strength", exact=True)
    form.get_by_label("network (needed)").fill("tiny")
    form.locator("[name=convention]").select_option("cnt")
    form.get_by_role("button", name="Ask").click()
    table = page.get_by_role("region", name="Answer of strength")
    expect(table.locator("tbody tr")).to_have_count(7)
    # Of the design: [3, 4] / [8.1, 4.2, -3.7] / [4.5, 0.5].
    expect(table.locator("tbody tr td:last-child")).to_have_text(
        ["3", "4", "8.1", "4.2", "-3.7", "4.5", "0.5"]
    )
    table.get_by_role("button", name="total").click()
    expect(table.locator("tbody tr td:last-child").first).to_have_text("8.1")
    page.reload()
    expect(table.locator("tbody tr")).to_have_count(7)
    expect(form.locator("[name=convention]")).to_have_value("cnt")


def test_a_question_without_rows_or_with_a_wrong_name_says_so(visitor: Visitor) -> None:
    visitor.expected.append(r"status of 404")
    page = visitor.open("#/questions?question=strength&about=network&asked=true&p.name=nobody")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("nobody")
    expect(alert).to_contain_text("Choose another in the list of networks.")


def test_names_are_offered(visitor: Visitor) -> None:
    page = visitor.open("#/questions?question=carrying_counts&about=network&p.name=tiny")
    page.locator(".question-form [name=layer]").focus()
    offered = page.locator("#suggested-layer option")
    expect(offered).to_have_count(3)
    assert [option.get_attribute("value") for option in offered.all()] == ["input", "fc1", "fc2"]


def test_cypher_is_asked(visitor: Visitor) -> None:
    page = visitor.open("#/cypher")
    page.get_by_role("textbox", name="Cypher").fill(
        "MATCH (network:Network {name: $name}) RETURN network.links AS links"
    )
    page.get_by_role("textbox", name="Parameters as JSON").fill('{"name": "tiny"}')
    page.keyboard.press("Control+Enter")
    answer = page.get_by_role("region", name="Answer")
    expect(answer.locator("tbody td")).to_have_text(["12"])
    page.reload()
    expect(answer.locator("tbody td")).to_have_text(["12"])


@pytest.mark.parametrize(
    ("cypher", "status", "said"),
    [
        ("MATCH (n) DETACH DELETE n", 403, "read"),
        ("RETURN", 400, "Invalid"),
    ],
)
def test_what_cypher_may_not_do_is_said_below_it(
    visitor: Visitor, cypher: str, status: int, said: str
) -> None:
    visitor.expected.append(rf"status of {status}")
    page = visitor.open(f"#/cypher?text={quote(cypher)}")
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_role("textbox", name="Cypher")).to_have_value(cypher)


def test_a_service_without_cypher_says_how_to_have_it(start: Start, visit: Visit) -> None:
    with start() as running:
        visitor = visit(running)
        visitor.expected.append(r"status of 403")
        page = visitor.open("#/cypher?text=RETURN+1")
        expect(page.get_by_role("alert")).to_contain_text("weightome serve --enable-cypher")
