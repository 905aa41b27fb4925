"""Every question is asked in Python, on the command line and over HTTP, and answers the same."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from queries.mounting import mount
from queries.question import Question
from queries.registry import questions
from service.places import example_target
from store.commandline import application, run
from store.database import Database
from tests.http.envelope import check, close

QUESTIONS = list(questions().values())


def _stable(answer: dict[str, Any]) -> dict[str, Any]:
    """All but the rows, the time, and the names of projections, which are new each time."""
    parameters = {key: value for key, value in answer["parameters"].items() if key != "graph"}
    return {**answer, "parameters": parameters, "took_ms": None, "rows": None}


def _words(question: Question) -> list[str]:
    """The example as words of a command line."""
    positional, options = [], []
    for argument in question.arguments:
        if argument.name not in question.example:
            continue
        value = question.example[argument.name]
        if argument.positional:
            positional.append(str(value))
            continue
        short = len(argument.name) == 1
        flag = f"-{argument.name}" if short else f"--{argument.name.replace('_', '-')}"
        if argument.kind is bool:
            options += [flag] if value else [flag.replace("--", "--no-")]
            continue
        for each in value if argument.many else (value,):
            options += [flag, str(each)]
    return [question.title, *options, "--format", "json", "--", *positional]


@pytest.fixture
def expected(database: Database, examples: None, question: Question) -> dict[str, Any]:
    answer = question.answer(database, question.example)
    assert answer.rows, "an example has rows"
    assert answer.columns == question.columns
    assert all(len(row) == len(answer.columns) for row in answer.rows)
    assert answer.cypher, "an answer shows its Cypher"
    wanted = set(re.findall(r"\$(\w+)", answer.cypher))
    assert wanted <= set(answer.parameters), "and everything to run it again"
    found: dict[str, Any] = json.loads(json.dumps(answer.to_json()))
    return found


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_over_http(client: httpx.Client, question: Question, expected: dict[str, Any]) -> None:
    answer = client.get(example_target(question))
    assert answer.status_code == 200, answer.text
    assert _stable(answer.json()) == _stable(expected)
    assert answer.json()["rows"] == close(expected["rows"])


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_on_the_command_line(
    question: Question,
    expected: dict[str, Any],
    store_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in store_environment.items():
        monkeypatch.setenv(name, value)
    app = application("Questions.")
    mount(app, QUESTIONS)
    app.command("other")(lambda: None)
    assert run(app, "queries", _words(question)) == 0
    printed = json.loads(capsys.readouterr().out)
    assert _stable(printed) == _stable(expected)
    assert printed["rows"] == close(expected["rows"])


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_it_says_what_it_is(question: Question) -> None:
    documented = question.ask.__doc__ or ""
    assert question.summary.endswith(".")
    assert len(question.summary) < 200
    for section in ("Returns\n-------", "Raises\n------", "Example\n-------"):
        assert section in "\n".join(line.strip() for line in documented.splitlines()), section
    for column in question.columns:
        assert f"``{column}``" in documented, f"{column} is not explained"
    for argument in question.arguments:
        assert argument.help.endswith("."), argument.name
        assert not argument.help.lower().startswith("as in"), argument.name


def test_an_option_given_several_times(client: httpx.Client, examples: None) -> None:
    assert examples is None
    address = "/v1/networks/tiny/pagerank"
    one = client.get(f"{address}?layers=fc1").json()
    both = client.get(f"{address}?layers=fc1&layers=fc2").json()
    assert [row[0] for row in one["rows"]] == ["fc1"] * 3
    assert [row[0] for row in both["rows"]] == ["fc1"] * 3 + ["fc2"] * 2


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("networks/tiny/pagerank?sign=plus", 400, "invalid_argument"),
        ("networks/tiny/pagerank?top=0", 400, "invalid_argument"),
        ("networks/tiny/pagerank?top=few", 400, "invalid_argument"),
        ("networks/tiny/pagerank?sign=positive&sign=negative", 400, "invalid_argument"),
        ("networks/tiny/pagerank?layer=fc1", 400, "invalid_argument"),
        ("networks/tiny/pagerank?layers=fc9", 404, "not_found"),
        ("networks/nothing/pagerank", 404, "not_found"),
        ("networks/tiny/path-mass?source=input", 400, "invalid_argument"),
        ("networks/tiny/spectra?limit=0", 400, "invalid_argument"),
        ("populations/population", 400, "invalid_argument"),
        ("populations/population?networks=nothing-*", 404, "not_found"),
        ("runs/nothing/run-statistic", 404, "not_found"),
    ],
)
def test_bad_requests(
    client: httpx.Client, examples: None, address: str, status: int, code: str
) -> None:
    assert examples is None
    check(client.get(f"/v1/{address}"), status, code)
