"""``/v1/queries`` lists every question, and what it says of each is what the service does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import jsonschema_rs
import pytest

from queries.question import Question
from queries.registry import questions
from service.asking import EVERYWHERE
from service.places import example_target

QUESTIONS = list(questions().values())


@pytest.fixture(scope="module")
def listed(service: Any) -> dict[str, dict[str, Any]]:
    answer = service.client.get("/v1/queries").json()
    rows = [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]
    return {row["name"]: row for row in rows}


def test_every_question_is_there_once(listed: dict[str, dict[str, Any]]) -> None:
    assert list(listed) == [question.name for question in QUESTIONS]
    assert {"runs", "networks", "layers", "neurons", "neuron", "strength", "paths"} <= set(listed)
    addresses = [row["address"] for row in listed.values()]
    assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_what_it_says(listed: dict[str, dict[str, Any]], question: Question) -> None:
    row = listed[question.name]
    assert (row["doc"], row["about"]) == (question.summary, question.about)
    assert row["columns"] == list(question.columns)
    assert row["method"] == "GET"
    survives = question.survives
    assert row["survives"] == (None if survives is None else list(survives))
    assert jsonschema_rs.meta.is_valid(row["parameters"])


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_its_schema_takes_the_example_and_nothing_else(
    listed: dict[str, dict[str, Any]], question: Question
) -> None:
    row = listed[question.name]
    parts = urlsplit(example_target(question))
    pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", row["address"])
    matched = re.fullmatch(pattern, parts.path)
    assert matched is not None
    properties = row["parameters"]["properties"]
    given: dict[str, Any] = {name: unquote(text) for name, text in matched.groupdict().items()}
    for name, text in parse_qsl(parts.query):
        if properties[name]["type"] == "array":
            given.setdefault(name, []).append(text)
        else:
            given[name] = text
    validator = jsonschema_rs.Draft202012Validator(row["parameters"])
    validator.validate({name: _read(properties[name], value) for name, value in given.items()})
    assert not validator.is_valid({**given, "no_such": 1})
    for name in row["parameters"]["required"]:
        assert not validator.is_valid({key: part for key, part in given.items() if key != name})
    for name, schema in properties.items():
        assert schema["description"].endswith("."), name
        if "enum" in schema:
            assert not validator.is_valid({**given, name: "no such choice"})


def _read(schema: dict[str, Any], value: Any) -> Any:
    if schema["type"] == "array":
        return [_read(schema["items"], each) for each in value]
    kinds: dict[str, Callable[[str], Any]] = {
        "integer": int,
        "number": float,
        "boolean": "true".__eq__,
        "string": str,
    }
    return kinds[schema["type"]](value)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_as_the_openapi_document(
    client: httpx.Client, listed: dict[str, dict[str, Any]], question: Question
) -> None:
    row = listed[question.name]
    operation = _document(client)["paths"][row["address"]]["get"]
    assert operation["operationId"] == question.name
    there = {each["name"]: each for each in operation["parameters"]}
    assert set(there) == set(row["parameters"]["properties"]) | EVERYWHERE
    required = {name for name, each in there.items() if each["required"]}
    assert required == set(row["parameters"]["required"])


_DOCUMENTS: dict[str, Any] = {}


def _document(client: httpx.Client) -> Any:
    """The document, which is long, once."""
    address = str(client.base_url)
    if address not in _DOCUMENTS:
        _DOCUMENTS[address] = client.get("/openapi.json").json()
    return _DOCUMENTS[address]


def test_in_other_formats(client: httpx.Client) -> None:
    lines = client.get("/v1/queries?format=ndjson").text.splitlines()
    assert len(lines) == len(QUESTIONS)
    assert client.get("/v1/queries?format=arrow").status_code == 200
    assert client.get("/v1/queries?format=csv").text.startswith("name,title,doc,about,method,")
