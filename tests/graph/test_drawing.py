"""What a picture shows, against NumPy: which neurons, which links, one neuron's card."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import neo4j
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples_of
from hypothesis import strategies as st
from torch import nn

from ingest import ingest
from ingest.removal import delete
from ingest.writer import write
from queries import scope
from queries.drawing import DRAWN_LINKS, DRAWN_NEURONS, drawn_links, drawn_neurons, neuron_card
from queries.picking import MOST_DRAWN, Drawn, on_grid, spaced
from queries.question import Question
from queries.registry import questions
from queries.weights import layer_links, layer_wires
from store.database import Database
from store.errors import InvalidArgument, NotFound
from store.local.server import up
from store.settings import Settings
from tests import models, oracle, sequence_models
from tests.networks import dense_network

SIZES = (70, 40, 23, 9)
LAYERS = ("input", "fc1", "fc2", "fc3")


@dataclass(frozen=True)
class Stored:
    """A dense network in the store, and what it was made of."""

    name: str
    matrices: list[np.ndarray[Any, Any]]
    biases: list[np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def dense(database: Database) -> Iterator[Stored]:
    random = np.random.default_rng(5)
    shapes = list(pairwise(SIZES))
    matrices = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    matrices[0][:, :5] = 0.0
    biases = [random.normal(size=shape[1]).astype(np.float32) for shape in shapes]
    write(database, dense_network(matrices, biases), name="drawn dense", replace=True)
    yield Stored("drawn dense", matrices, biases)
    delete(database, "drawn dense")


def _by_layer(table: Any, column: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in table.records():
        found.setdefault(row["layer"], []).append(row[column])
    return found


def test_even_neurons(database: Database, dense: Stored) -> None:
    table = drawn_neurons(database, dense.name, of=Drawn(per_layer=16))
    drawn = _by_layer(table, "neuron")
    for layer, size in zip(LAYERS, SIZES, strict=True):
        indices = drawn[layer]
        assert len(indices) == min(16, size)
        assert indices[0] == 0
        assert indices[-1] == size - 1
        assert len(set(np.diff(indices))) <= 2, "evenly spaced"
    strengths = oracle.strengths(dense.matrices, None)
    for row in table.records():
        received, sent = (side[row["neuron"]] for side in strengths[row["layer_index"]])
        assert row["size"] == SIZES[row["layer_index"]]
        assert row["layer"] == LAYERS[row["layer_index"]]
        np.testing.assert_allclose(
            [row["in"], row["out"], row["total"], row["value"]],
            [received, sent, received + sent, received + sent],
            rtol=1e-11, atol=1e-12,
        )  # fmt: skip
        at = row["layer_index"]
        bias = None if at == 0 else float(dense.biases[at - 1][row["neuron"]])
        assert row["bias"] == bias
        assert row["in_degree"] == (SIZES[at - 1] if at > 0 else 0)
        assert row["out_degree"] == (SIZES[at + 1] if at < len(SIZES) - 1 else 0)
    first = {layer.name: layer.first for layer in scope.places(database, dense.name)}
    assert table.column("id") == [str(first[row[0]] + row[3]) for row in table.rows]


@pytest.mark.parametrize("column", ["in", "out", "total"])
def test_strongest_neurons(database: Database, dense: Stored, column: str) -> None:
    of = Drawn(per_layer=7, pick="strongest", column=column)
    table = drawn_neurons(database, dense.name, of=of)
    drawn = _by_layer(table, "neuron")
    for name, sides in zip(LAYERS, oracle.strengths(dense.matrices, None), strict=True):
        values = {"in": sides[0], "out": sides[1], "total": sides[0] + sides[1]}[column]
        greatest = sorted(range(len(values)), key=lambda index: (-abs(values[index]), index))[:7]
        assert drawn[name] == sorted(greatest)
    np.testing.assert_allclose(table.column("value"), table.column(column), rtol=1e-11, atol=1e-12)


def test_only_some_layers(database: Database, dense: Stored) -> None:
    of = Drawn(layers=("fc3", "fc1"), per_layer=3)
    assert _by_layer(drawn_neurons(database, dense.name, of=of), "neuron") == {
        "fc1": [0, 20, 39],
        "fc3": [0, 4, 8],
    }
    # Nothing leads from the one to the other.
    assert drawn_links(database, dense.name, of=of).rows == []


def _of_a_neuron(question: Question) -> bool:
    wants = {argument.name for argument in question.arguments if argument.positional}
    return (
        question.about == "network"
        and {"layer", "neuron"} <= set(question.columns)
        and "other_neuron" not in question.columns
        and wants == {"network"}
    )


MEASURES = [each for each in questions().values() if _of_a_neuron(each)]


@pytest.mark.parametrize("question", MEASURES, ids=lambda question: question.name)
def test_any_measure(database: Database, examples: None, question: Question) -> None:
    """The value is what the question itself answers, for each column that it has."""
    network = "observed" if "observation" in question.columns else "tiny"
    answer = question.answer(database, {question.about: network})
    for column in set(question.columns) - {"layer", "layer_index", "neuron"}:
        expected = {(row["layer"], row["neuron"]): row[column] for row in answer.records()}
        of = Drawn(measure=question.title, column=column)
        for row in drawn_neurons(database, network, of=of).records():
            assert row["value"] == expected.get((row["layer"], row["neuron"])), column


def test_an_option_of_a_measure(database: Database, tiny: str) -> None:
    of = Drawn(column="in", option=("convention=cnt",))
    table = drawn_neurons(database, tiny, of=of)
    assert table.column("value")[2:5] == pytest.approx([5.1, 3.2, -2.7])


def _expected_links(
    dense: Stored,
    drawn: Mapping[str, list[int]],
    *,
    k: int,
    least: float = 0.0,
    sign: str = "both",
    evenly: bool = False,
) -> list[tuple[str, int, str, int, float]]:
    pairs = []
    for at, matrix in enumerate(dense.matrices):
        before, after = LAYERS[at], LAYERS[at + 1]
        links = [
            (before, i, after, j, float(matrix[i, j])) for i in drawn[before] for j in drawn[after]
        ]
        wanted = {"both": 0, "positive": 1, "negative": -1}[sign]
        kept = [
            link
            for link in links
            if link[4] != 0 and abs(link[4]) >= least and link[4] * wanted >= 0
        ]
        pairs.append(sorted(kept, key=lambda link: -abs(link[4])))
    if evenly:
        pairs = [links[: max(1, k // len(pairs))] for links in pairs]
    return sorted(chain.from_iterable(pairs), key=lambda link: -abs(link[4]))[:k]


@examples_of(max_examples=12, deadline=None)
@given(
    per_layer=st.integers(1, 80),
    k=st.integers(1, 400),
    least=st.sampled_from([0.0, 0.5, 1.5]),
    sign=st.sampled_from(["both", "positive", "negative"]),
    evenly=st.booleans(),
    pick=st.sampled_from(["even", "strongest"]),
)
def test_links_of_what_is_drawn(
    database: Database,
    dense: Stored,
    per_layer: int,
    k: int,
    least: float,
    sign: Any,
    evenly: bool,
    pick: Any,
) -> None:
    of = Drawn(per_layer=per_layer, pick=pick)
    drawn = _by_layer(drawn_neurons(database, dense.name, of=of), "neuron")
    table = drawn_links(database, dense.name, of=of, k=k, least=least, sign=sign, evenly=evenly)
    expected = _expected_links(dense, drawn, k=k, least=least, sign=sign, evenly=evenly)
    found = [(row[0], row[2], row[3], row[5], row[6]) for row in table.rows]
    assert found == expected
    for row in table.records():
        assert row["source_index"] == LAYERS.index(row["source"])
        assert row["target_index"] == LAYERS.index(row["target"])
        assert row["kind"] == "LINK"


FAMILIES: dict[str, tuple[Callable[[], tuple[nn.Module, Any]], str]] = {
    "residual": (models.residual_mlp, "unrolled"),
    "convolutions": (models.lenet, "unrolled"),
    "shared kernels": (models.lenet, "shared"),
    "recurrent": (sequence_models.lstm, "shared"),
    "recurrent, unrolled": (sequence_models.lstm, "unrolled"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_links_of_every_kind_of_network(database: Database, family: str) -> None:
    """Residual, shared and recurrent links, and fixed ones: as they are stored."""
    make, view = FAMILIES[family]
    module, inputs = make()
    name = f"drawn {family}"
    ingest(
        module, name=name, view=view, input_shape=inputs.shape[1:], replace=True, database=database
    )
    try:
        of = Drawn(per_layer=20)
        neurons = drawn_neurons(database, name, of=of).records()
        drawn = {int(row["id"]) for row in neurons}
        layers = scope.places(database, name)
        first = {layer.index: layer.first for layer in layers}
        table = drawn_links(database, name, of=of, k=50, wires=True).records()
        for kind, read in (("LINK", layer_links), ("WIRE", layer_wires)):
            edges = [read(database, layer) for layer in layers]
            every = [
                (-abs(weight), source, target, position, weight)
                for part in edges
                for source, target, weight, position in zip(
                    part.sources.tolist(),
                    part.targets.tolist(),
                    part.weights.tolist(),
                    part.positions.tolist(),
                    strict=True,
                )
                if source in drawn and target in drawn and weight != 0
            ]
            expected = [(each[1], each[2], each[4]) for each in sorted(every)[:50]]
            found = [
                (
                    first[row["source_index"]] + row["source_neuron"],
                    first[row["target_index"]] + row["target_neuron"],
                    row["weight"],
                )
                for row in table
                if row["kind"] == kind
            ]
            assert found == expected, kind
        place = {"step", "channel", "row", "col"}
        if family == "convolutions":
            image = [row for row in neurons if row["layer_index"] == 0]
            # Of 10 x 10 pixels at most 20 are drawn: whole rows and columns of them.
            assert {row["row"] for row in image} == {0, 2, 5, 7, 9}
            assert {row["col"] for row in image} == {0, 3, 6, 9}
            assert len(image) == 20
        if family == "shared kernels":
            assert all(row[name] is None for row in neurons for name in place - {"channel"})
    finally:
        delete(database, name)


def _hits(settings: Settings, cypher: str, parameters: Mapping[str, Any]) -> int:
    server = settings if settings.uri else up(settings)
    assert server.uri
    assert server.password

    def total(plan: Mapping[str, Any]) -> int:
        own = plan["args"].get("DbHits", 0)
        return int(own) + sum(total(child) for child in plan.get("children", []))

    with (
        neo4j.GraphDatabase.driver(
            server.uri, auth=(server.user, server.password.get_secret_value())
        ) as driver,
        driver.session() as session,
    ):
        profile = session.run(f"PROFILE {cypher}", dict(parameters)).consume().profile
    assert profile is not None
    return total(profile)


def test_a_wide_layer_is_not_gone_through(
    database: Database, settings: Settings, stored: Callable[..., str]
) -> None:
    """Twice the width has four times the links: what is looked at only doubles."""
    hits: dict[str, list[int]] = {}
    for width in (60, 120):
        random = np.random.default_rng(1)
        matrices = [random.normal(size=(width, width)).astype(np.float32) for _ in range(2)]
        name = stored(dense_network(matrices))
        of = Drawn(per_layer=6)
        for table, query in (
            (drawn_neurons(database, name, of=of), DRAWN_NEURONS),
            (drawn_links(database, name, of=of, k=20), DRAWN_LINKS),
        ):
            hits.setdefault(query.name, []).append(_hits(settings, query.cypher, table.parameters))
        links = 2 * width * width
        assert hits["drawn_links"][-1] < links, "fewer than the network has"
    for name, (narrow, wide) in hits.items():
        assert wide < 2.2 * narrow, name


def test_card(database: Database, tiny: str) -> None:
    (card,) = neuron_card(database, tiny, "fc1/1").records()
    assert card["in"] == pytest.approx(3.0)
    assert card["out"] == pytest.approx(1.0)
    assert card["total"] == pytest.approx(4.0)
    assert card["bias"] == pytest.approx(0.2)
    assert (card["in_degree"], card["out_degree"]) == (2, 2)
    assert (card["wires_in"], card["wires_out"]) == (0, 0)
    assert (card["layer"], card["layer_index"], card["neuron"]) == ("fc1", 1, 1)
    assert (card["kind"], card["activation"], card["place"]) == ("linear", "identity", [])


@pytest.mark.parametrize("size", [1, 2, 5, 28, 784, 3464])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 28])
def test_spaced(size: int, count: int) -> None:
    count = min(count, size)
    places = spaced(size, count)
    assert len(places) == count
    if count > 1:
        expected = np.arange(count) * (size - 1) / (count - 1)
        assert np.abs(np.array(places) - expected).max() <= 0.5
        assert np.diff(places).min() >= 1


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4), most=st.integers(1, 600))
def test_on_grid(lengths: list[int], most: int) -> None:
    positions = on_grid(lengths, most)
    assert 1 <= len(positions) <= most
    assert positions == sorted(set(positions))
    along = [set(axis.tolist()) for axis in np.unravel_index(positions, lengths)]
    # All that lie on the same lines: a whole small grid.
    assert math.prod(map(len, along)) == len(positions)
    if math.prod(lengths) <= most:
        assert len(positions) == math.prod(lengths)
    else:
        assert len(positions) * 2 ** len(lengths) > most, "no more is left out than must be"


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (Drawn(per_layer=0), "per_layer cannot be 0"),
        (Drawn(pick="best"), "pick cannot be 'best'"),  # type: ignore[arg-type]
        (Drawn(measure="nothing"), "question cannot be 'nothing'"),
        (Drawn(column="nothing"), "column cannot be 'nothing'"),
        (Drawn(measure="links", column="mean"), "'links' does not answer for each neuron"),
        (Drawn(option=("convention",)), "option wants NAME=VALUE"),
    ],
)
def test_bad_choices(database: Database, tiny: str, of: Drawn, said: str) -> None:
    for ask in (drawn_neurons, drawn_links):
        with pytest.raises(InvalidArgument, match=said):
            ask(database, tiny, of=of)


def test_bad_options(database: Database, tiny: str, stored: Callable[..., str]) -> None:
    with pytest.raises(InvalidArgument, match="k cannot be 0"):
        drawn_links(database, tiny, k=0)
    with pytest.raises(InvalidArgument, match="least cannot be -1"):
        drawn_links(database, tiny, least=-1.0)
    with pytest.raises(InvalidArgument, match="sign cannot be 'plus'"):
        drawn_links(database, tiny, sign="plus")  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="There is no layer 'fc9'"):
        drawn_links(database, tiny, of=Drawn(layers=("fc9",)))
    with pytest.raises(NotFound, match="There is no network 'nothing'"):
        drawn_neurons(database, "nothing")
    with pytest.raises(InvalidArgument, match="'fc1' names no neuron"):
        neuron_card(database, tiny, "fc1")
    with pytest.raises(NotFound, match="there is no neuron 3"):
        neuron_card(database, tiny, "fc1/3")
    wide = stored(dense_network([np.ones((MOST_DRAWN, 1), dtype=np.float32)]))
    with pytest.raises(InvalidArgument, match="20001 neurons are too many for a picture"):
        drawn_neurons(database, wide, of=Drawn(per_layer=MOST_DRAWN))


def test_a_row_cap_cuts(database: Database, tiny: str) -> None:
    capped = database.limited(row_cap=3)
    assert drawn_neurons(capped, tiny).truncated
    assert len(drawn_links(capped, tiny).rows) == 3
