"""OpenAPI and its page: complete, true, and without anything from elsewhere."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from service.examples import EXAMPLES, Example
from tests.http.envelope import close

WITHOUT_ROWS = {
    "post /v1/networks",
    "delete /v1/networks/{name}",
    "get /v1/jobs",
    "get /v1/jobs/{id}",
    "delete /v1/jobs/{id}",
    "get /v1/jobs/{id}/events",
}
VOLATILE = {"networks": {"created"}, "neurons": {"id"}}


@pytest.fixture
def document(client: httpx.Client) -> Any:
    return client.get("/openapi.json").json()


def _operations(document: Any) -> list[tuple[str, Any]]:
    return [
        (f"{method} {address}", operation)
        for address, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_address_of_the_issue_is_there(document: Any) -> None:
    assert {
        "get /v1/networks",
        "get /v1/networks/{name}/layers",
        "get /v1/networks/{name}/strength",
        "get /v1/networks/{name}/links",
        "get /v1/networks/{name}/paths",
        "get /v1/runs/{name}/dynamics",
        *WITHOUT_ROWS,
        "post /v1/cypher",
        "get /health",
        "get /ready",
    } <= {name for name, _ in _operations(document)}


def test_everything_is_described_and_has_an_example(document: Any) -> None:
    for name, operation in _operations(document):
        assert operation["description"].strip().endswith("."), name
        for parameter in operation.get("parameters", []):
            assert parameter["description"].strip().endswith("."), (name, parameter["name"])
            assert parameter["schema"].get("examples"), (name, parameter["name"])
        if operation["tags"] == ["operation"]:
            continue
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                failure = response["content"]["application/json"]
                assert failure["schema"] == {"$ref": "#/components/schemas/Failure"}
                assert list(failure["example"]) == ["error"]
        if name in WITHOUT_ROWS:
            continue
        content = operation["responses"]["200"]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Answer"}, name
        if operation["operationId"] in EXAMPLES:
            required = document["components"]["schemas"]["Answer"]["required"]
            assert set(content["example"]) >= set(required)
        else:
            # tests/http/test_questions.py asks it.
            assert "For example `/v1/" in operation["description"], name
    for name, schema in document["components"]["schemas"].items():
        for key, field in schema.get("properties", {}).items():
            assert "description" in field or "$ref" in field, (name, key)


def test_422_is_not_promised(document: Any) -> None:
    """FastAPI documents its own validation errors, which ours are not."""
    assert "422" not in json.dumps(document)
    assert "HTTPValidationError" not in json.dumps(document)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_example_is_true(open_client: httpx.Client, name: str) -> None:
    example: Example = EXAMPLES[name]
    answer = (
        open_client.post(example.address, json=example.body)
        if example.body
        else open_client.get(example.address)
    )
    assert answer.status_code == 200, answer.text
    said, found = example.answer, answer.json()
    assert found["columns"] == list(said.columns)
    assert found["cypher"] == said.cypher
    assert set(said.parameters) <= set(found["parameters"])
    assert found.get("notes", []) == list(said.notes)
    if name in {"runs", "cypher"}:
        # Other tests may have networks of their own in the store.
        assert said.rows[0] in found["rows"]
        return
    stable = [
        position
        for position, column in enumerate(said.columns)
        if column not in VOLATILE.get(name, set())
    ]
    assert [[row[position] for position in stable] for row in found["rows"]] == close(
        [[row[position] for position in stable] for row in said.rows]
    )


def test_the_page_shows_every_address_and_loads_nothing(
    client: httpx.Client, document: Any
) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    for name, operation in _operations(document):
        method, address = name.split()
        assert f"<b>{method.upper()}</b> {address}</h2>" in answer.text
        for parameter in operation.get("parameters", []):
            assert f"<code>{parameter['name']}</code>" in answer.text
    assert not re.search(r"<script|<link|<img|<iframe|\bon\w+=|src=|@import|url\(", answer.text)
    assert not re.search(r"https?://", answer.text)
