"""The client of a real service: what it gives is what the question itself gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.network import Network
from ingest.removal import delete
from ingest.writer import write
from queries import catalogue, cypher
from queries.architecture import architecture
from queries.matching import match
from queries.neuron_measures import neuron_measures
from queries.paths import paths
from queries.question import Question
from queries.registry import questions
from queries.strength import strength
from service.client import Client
from store import errors
from store.database import Database
from store.query import Table
from tests.http.conftest import Service, Start
from tests.http.envelope import close
from tests.networks import dense_network

QUESTIONS = list(questions().values())


@pytest.fixture(scope="module")
def asking(service: Service) -> Iterator[Client]:
    with Client(str(service.client.base_url)) as client:
        yield client


def _plain(table: Table) -> Table:
    """The table as a client has it: through JSON."""
    return Table.from_json(json.loads(json.dumps(table.to_json())))


def _same(found: Table, expected: Table) -> None:
    for table in (found, expected):
        # Of a projection, whose name is new each time.
        parameters = dict(table.parameters)
        parameters.pop("graph", None)
        table.__dict__.update(parameters=parameters, took_ms=0.0)
    assert found.rows == close(expected.rows)
    found.__dict__.update(rows=expected.rows)
    assert found == expected


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_every_question(
    asking: Client, database: Database, examples: None, question: Question
) -> None:
    """Asked as in Python, with the example's arguments by name."""
    plain: dict[str, Any] = {}
    grouped: dict[str, dict[str, Any]] = {}
    for argument in question.arguments:
        if argument.name in question.example:
            value = question.example[argument.name]
            value = tuple(value) if argument.many else value
            into = grouped.setdefault(argument.group, {}) if argument.group else plain
            into[argument.name] = value
    given = plain | {name: question.groups[name](**part) for name, part in grouped.items()}
    expected = question.ask(database, **given)
    assert expected.rows
    found = asking.ask(question.ask, **given)
    if question.page is not None:
        # Kept in the graph, so that every float is the same to the last bit.
        assert repr(found.rows) == repr(expected.rows)
    _same(found, _plain(expected))


def test_as_in_the_documentation(asking: Client, tiny: str) -> None:
    table = asking.ask(strength, "tiny", convention="cnt")
    assert table.column("total") == pytest.approx([3, 4, 8.1, 4.2, -3.7, 4.5, 0.5], abs=1e-12)
    assert table.notes[0].startswith("Symmetries: ")
    assert table.to_pandas()["total"].sum() == pytest.approx(20.6, abs=1e-12)
    assert asking.ask(architecture, "tiny").rows == [[1, 2.0, 0.5]]


def test_what_the_store_holds(asking: Client, database: Database, tiny: str) -> None:
    _same(asking.runs(), _plain(catalogue.runs(database)))
    _same(asking.networks(), _plain(catalogue.networks(database)))
    _same(asking.networks("tiny-run"), _plain(catalogue.networks(database, "tiny-run")))
    _same(asking.layers("tiny"), _plain(catalogue.layers(database, "tiny")))
    _same(asking.neurons("tiny", "fc1"), _plain(catalogue.neurons(database, "tiny", "fc1")))
    neuron = catalogue.neuron(database, "tiny", "fc1", 2, k=1)
    _same(asking.neuron("tiny", "fc1", 2, k=1), _plain(neuron))


def test_limits_and_pages(
    asking: Client, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    name = stored(random_network(3, 50, 4))
    whole = asking.ask(strength, name)
    assert (len(whole.rows), whole.truncated) == (57, False)
    few = asking.limited(row_cap=20)
    cut = few.ask(strength, name)
    assert (cut.rows, cut.truncated) == (whole.rows[:20], True)
    pages = list(few.pages(strength, name))
    assert [len(page.rows) for page in pages] == [20, 20, 17]
    assert [row for page in pages for row in page.rows] == whole.rows
    found = few.pages(catalogue.neurons, name, "fc1")
    assert [row[0] for page in found for row in page.rows] == list(range(50))
    with pytest.raises(errors.InvalidArgument, match="seconds cannot be"):
        asking.limited(seconds=1e6).runs()


@pytest.mark.parametrize("name", ["a/b", "...", "100% é#?&+", "{name}", "x y"])
def test_names(asking: Client, database: Database, name: str) -> None:
    layers = ["..", "a/neurons", "{layer}"]
    write(database, dense_network([np.eye(2, dtype=np.float32)] * 3, names=layers), name=name)
    try:
        assert asking.layers(name).column("layer") == ["input", *layers]
        for layer in layers:
            assert asking.neurons(name, layer).column("in_degree") == [2, 2]
        assert len(asking.ask(strength, name, bias=True).rows) == 8
    finally:
        delete(database, name)


def test_errors_are_those_of_the_question(asking: Client, tiny: str) -> None:
    with pytest.raises(errors.NotFound, match=r"^There is no network 'nothing'\.$"):
        asking.ask(strength, "nothing")
    with pytest.raises(errors.InvalidArgument, match="k cannot be 0"):
        asking.ask(paths, "tiny", "input", "fc2", k=0)
    with pytest.raises(errors.InvalidArgument, match="measure"):
        asking.ask(neuron_measures, "tiny", measure=("beauty",))  # type: ignore[arg-type]
    with pytest.raises(errors.PermissionDenied, match="--enable-cypher"):
        asking.cypher("RETURN 1 AS x")
    with pytest.raises(errors.NotFound):
        asking.job("no-such-job")


def test_what_is_no_question_or_no_call(asking: Client) -> None:
    with pytest.raises(TypeError, match="is no question"):
        asking.ask(match, "a", "b")
    with pytest.raises(TypeError, match="unexpected keyword"):
        asking.ask(strength, "tiny", wrong=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing"):
        asking.ask(paths, "tiny")  # type: ignore[call-arg]


def test_own_cypher(start: Start, database: Database, tiny: str) -> None:
    text = "MATCH (n:Network {name: $name}) RETURN n.links AS links, 0.0/0.0 AS nan, $x AS x"
    given = {"name": "tiny", "x": [0.1, -0.0, 2**62, "é", None]}
    with start("--enable-cypher") as running, Client(str(running.client.base_url)) as client:
        found = client.cypher(text, given)
        _same(found, _plain(cypher.cypher(database, text, given)))
        assert found.rows == [[12, "NaN", [0.1, -0.0, 2**62, "é", None]]]
        with pytest.raises(errors.QueryRefused):
            client.cypher("MATCH (n) DETACH DELETE n")
        assert client.limited(row_cap=2).cypher("UNWIND range(1, 9) AS x RETURN x").truncated


def test_the_token(start: Start, tiny: str) -> None:
    with start(WEIGHTOME_TOKEN="s3cret") as running:
        url = str(running.client.base_url)
        with Client(url, "s3cret") as client:
            assert "tiny" in client.networks().column("network")
        for wrong in ("other", None):
            with Client(url, wrong) as client, pytest.raises(errors.AuthenticationFailed):
                client.networks()
        running.process.terminate()
        running.process.wait(30)
        with Client(url, "s3cret") as client, pytest.raises(errors.StoreUnreachable):
            client.networks()


def test_upload_and_delete(start: Start, tmp_path: Path, tiny: str, service: Service) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    layer = torch.nn.Linear(3, 2)
    file = tmp_path / "model.safetensors"
    save_file({f"fc.{key}": value for key, value in layer.state_dict().items()}, file)
    with start() as running, Client(str(running.client.base_url)) as client:
        job = client.upload(file, name="sent", run="sendings", step=4)
        assert job.name == "sent"
        ended = client.wait(job, seconds=240)
        assert (ended.state, ended.id) == ("done", job.id)
        assert client.job(job.id).finished is not None
        try:
            record: Any = client.networks("sendings").records()[0]
            assert (record["network"], record["step"], record["parameters"]) == ("sent", 4, 8)
            with pytest.raises(errors.Conflict):
                client.upload(file, name="sent")
        finally:
            client.delete("sent")
        with pytest.raises(errors.NotFound):
            client.delete("sent")
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(b"no model at all")
        with pytest.raises(errors.UnreadableModel):
            client.wait(client.upload(broken, name="broken"), seconds=240)
        with pytest.raises(errors.InvalidArgument, match="cannot be read"):
            client.upload(tmp_path / "nothing.onnx", name="x")
