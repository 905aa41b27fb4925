"""What the paper's construction leaves open, on operation graphs built by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.layers.build import build
from ingest.network import Network
from ingest.operations import OperationGraph
from ingest.removal import delete
from ingest.writer import write
from queries.metanetwork import (
    BIAS,
    FIXED,
    NEURON,
    POSITION,
    RESIDUAL,
    ROLES,
    SCALE,
    SHIFT,
    SLOPE,
    WEIGHT,
    Metanetwork,
    metanetwork,
)
from store.database import Database
from tests.graphs import GRAPHS, Graph
from tests.metanetworks import check, components

Form = Callable[[OperationGraph], tuple[Network, Metanetwork]]


@pytest.fixture
def form(database: Database, stored: Callable[..., str]) -> Form:
    """Stores an operation graph, and gives the network and its metanetwork."""

    def made(graph: OperationGraph) -> tuple[Network, Metanetwork]:
        network = build(graph)
        return network, metanetwork(database, stored(network))

    return made


def nodes(network: Network, found: Metanetwork) -> Counter[tuple[str, int]]:
    """How many nodes there are of each layer's name and kind."""
    names = [network.layers[layer].name for layer in found.node_layer]
    return Counter(zip(names, found.node_kind.tolist(), strict=True))


def fixed(network: Network, found: Metanetwork, kind: int) -> Counter[tuple[str, str, str]]:
    """How many edges of a kind lead from layer to layer, by the layer that makes them."""
    names = [layer.name for layer in network.layers]
    among = found.edge_kind == kind
    sources, targets = found.node_layer[found.edge_index[:, among]]
    return Counter(
        (names[source], names[target], names[layer])
        for source, target, layer in zip(sources, targets, found.edge_layer[among], strict=True)
    )


@pytest.mark.parametrize("name", GRAPHS)
def test_every_family(form: Form, name: str) -> None:
    network, found = form(GRAPHS[name]())
    check(network, found)
    recurrent = any(layer.recurrent_sources for layer in network.layers)
    without_cycle = components(found, "strong") == found.node_kind.size
    assert without_cycle != recurrent
    assert not (found.edge_index[0] == found.edge_index[1]).any() or recurrent


def test_matrices_alone(form: Form) -> None:
    g = Graph(20)
    x = g.add("input", (3,), name="input")
    for targets in (4, 2):
        x = g.linear(x, targets, bias=False)
    network, found = form(g.done(x))
    check(network, found)
    assert (found.node_kind == NEURON).all()
    assert (found.node_kind.size, found.edge_kind.size) == (9, 20)


def test_a_residual_block(form: Form) -> None:
    network, found = form(GRAPHS["residual"]())
    assert nodes(network, found) == {
        ("input", NEURON): 1, ("conv1", NEURON): 4, ("conv1", BIAS): 1,
        ("batch_norm2", SCALE): 1, ("batch_norm2", SHIFT): 1,
        ("conv4", NEURON): 4, ("conv4", BIAS): 1,
        ("batch_norm5", SCALE): 1, ("batch_norm5", SHIFT): 1,
        ("prelu8", SLOPE): 1, ("linear11", NEURON): 3, ("linear11", BIAS): 1,
    }  # fmt: skip
    assert fixed(network, found, RESIDUAL) == {("conv1", "conv4", "add6"): 4}
    slopes = found.edge_kind == SLOPE
    assert (found.node_layer[found.edge_index[1, slopes]] == found.node_layer[5]).all()
    assert found.omitted == tuple(
        f"batch_norm{number}.{name}" for number in (2, 5) for name in ("mean", "variance")
    )


def test_tokens_and_positions(form: Form) -> None:
    network, found = form(GRAPHS["transformer"]())
    counted = nodes(network, found)
    assert counted["wte.one_hot", NEURON] == 11
    assert counted["input", NEURON] == 0
    assert counted["add4.position", POSITION] == 5
    assert fixed(network, found, FIXED) == {}
    tensors = {tensor.name: tensor.array() for tensor in network.parameters}
    names = [layer.name for layer in network.layers]
    # Both tables end in the same nodes, and hold a row for each token or position.
    table = found.edge_kind == POSITION
    sources, targets = found.edge_index[:, table]
    assert {names[layer] for layer in found.node_layer[targets]} == {"wte"}
    rebuilt = np.zeros((5, 8))
    rebuilt[found.node_index[sources], found.node_index[targets]] = found.edge_weight[table]
    np.testing.assert_array_equal(rebuilt, tensors["wpe.value"][:5])
    assert found.omitted == ("wpe.value",), "two of its rows are not used"


def test_query_heads_that_share_keys_share_nodes(form: Form) -> None:
    network, found = form(GRAPHS["grouped_queries"]())
    counted = nodes(network, found)
    assert [counted[name, NEURON] for name in ("q", "k", "v", "attention15")] == [4, 0, 0, 0]
    assert [counted[name, BIAS] for name in ("q", "k", "v")] == [1, 1, 1]
    weights = found.edge_kind == WEIGHT
    for role, heads in (("q", {0, 1, 2, 3}), ("k", {0, 2}), ("v", {0, 2}), ("o", {0, 1, 2, 3})):
        of_role = weights & (found.edge_role == ROLES.index(role))
        assert set(found.edge_head[of_role]) == heads
    # Output weights come back from a node and a head: two heads of 2 stand on each pair of nodes.
    outgoing = weights & (found.edge_role == ROLES.index("o"))
    first = np.flatnonzero(found.node_layer == found.node_layer[found.edge_index[0, outgoing]][0])
    place = found.edge_index[0, outgoing] - first[0]
    column = found.edge_head[outgoing] * 2 + place % 2
    rebuilt = np.zeros((8, 8))
    rebuilt[found.node_index[found.edge_index[1, outgoing]], column] = found.edge_weight[outgoing]
    expected = next(tensor for tensor in network.parameters if tensor.name == "o.weight")
    np.testing.assert_array_equal(rebuilt, expected.array())


def test_a_class_token_is_a_bias(form: Form) -> None:
    network, found = form(GRAPHS["class_token"]())
    counted = nodes(network, found)
    assert counted["cls.value", BIAS] == 1
    assert counted["cls.value", NEURON] == counted["concat5", NEURON] == 0
    assert counted["product11", SCALE] == 1
    names = [layer.name for layer in network.layers]
    token = found.edge_layer == names.index("cls.value")
    targets = found.edge_index[1, token]
    assert [names[layer] for layer in found.node_layer[targets]] == ["conv1"] * 6


def test_units_of_recurrent_layers(form: Form) -> None:
    network, found = form(GRAPHS["lstm"]())
    counted = nodes(network, found)
    assert [count for (name, _), count in counted.items() if name == "lstm5.gates"] == [2, 8]
    assert not any(name in ("lstm5", "lstm5.cell") for name, _ in counted)
    layer = [each.name for each in network.layers].index("lstm5.gates")
    back = np.isin(found.edge_index[0], np.flatnonzero(found.node_layer == layer))
    among = back & (found.edge_layer == layer) & (found.edge_kind == WEIGHT)
    rebuilt = np.zeros((4, 2, 2))
    gate = found.edge_role[among] - ROLES.index("i")
    gate = np.where(gate < 0, 3, gate)
    sources, targets = found.node_index[found.edge_index[:, among]]
    rebuilt[gate, targets, sources] = found.edge_weight[among]
    expected = next(each for each in network.parameters if each.name == "lstm5.weight_hh")
    np.testing.assert_array_equal(rebuilt.reshape(8, 2), expected.array())


def test_first_states_lead_in(form: Form) -> None:
    network, found = form(GRAPHS["with_states"]())
    assert fixed(network, found, FIXED) == {
        ("h", "rnn3", "rnn3"): 4, ("c", "lstm4.gates", "lstm4.cell"): 4,
        ("h", "lstm4.gates", "lstm4"): 4,
    }  # fmt: skip


def test_mixed_features_are_nodes_of_their_own(form: Form) -> None:
    network, found = form(GRAPHS["mixer"]())
    assert fixed(network, found, FIXED) == {
        ("linear1", "linear3.copy", "linear3.copy"): 20,
        ("linear3", "linear6.copy", "linear6.copy"): 30,
    }
    assert not (found.edge_kind == RESIDUAL).any()


def test_gates_of_channels(form: Form) -> None:
    """A squeeze-and-excitation block, in a sum with what it weighs."""
    g = Graph(22)
    x = g.add("input", (2, 4, 4), name="input")
    c = g.conv(x, (2, 4, 4), 4, 3, padding=((1, 1), (1, 1)))
    m = g.add("reduce", (4,), c, function="mean", axes=(-2, -1), keep=False)
    squeezed = g.add("relu", (2,), g.linear(m, 2, name="squeeze"))
    gate = g.add("sigmoid", (4,), g.linear(squeezed, 4, name="excite"))
    p = g.add("product", (4, 4, 4), c, g.add("reshape", (4, 1, 1), gate), name="gate")
    y = g.add("add", (4, 4, 4), p, c, name="sum")
    network, found = form(g.done(g.conv(y, (4, 4, 4), 3, 1)))
    check(network, found)
    assert components(found, "strong") == found.node_kind.size
    assert fixed(network, found, FIXED) == {("conv1", "excite", "gate"): 4}
    assert fixed(network, found, RESIDUAL) == {("conv1", "excite", "sum"): 4}


def test_sums_that_meet_again_have_no_cycle(form: Form) -> None:
    g = Graph(25)
    x = g.add("input", (4,), name="input")
    a, b = (g.linear(g.linear(x, 4, name=f"{name}0"), 4, name=name) for name in "ab")
    one, other = g.add("add", (4,), a, b, name="one"), g.add("add", (4,), b, a, name="other")
    three = g.add("add", (4,), one, g.linear(x, 4, name="c"), other, name="three")
    twice = g.add("subtract", (4,), g.add("add", (4,), three, three), x, name="twice")
    network, found = form(g.done(twice))
    check(network, found)
    assert components(found, "strong") == found.node_kind.size
    assert fixed(network, found, RESIDUAL) == {
        ("a", "b", "one"): 4, ("a", "b", "other"): 4, ("c", "b", "three"): 4,
        ("input", "b", "twice"): 4,
    }  # fmt: skip
    taken_away = found.node_layer[found.edge_index[0]] == 0
    weights = found.edge_weight[taken_away & (found.edge_kind == RESIDUAL)]
    assert weights.tolist() == [-1.0] * 4


def test_a_shortcut_of_fewer_channels(form: Form) -> None:
    """ResNet's shortcut without parameters: every second place, and zeros in new channels."""
    g = Graph(26)
    x = g.add("input", (1, 4, 4), name="input")
    s = stem = g.conv(x, (1, 4, 4), 2, 3, padding=((1, 1), (1, 1)))
    c = g.conv(stem, (2, 4, 4), 4, 3, stride=(2, 2), padding=((1, 1), (1, 1)))
    for axis, shape in ((-2, (2, 2, 4)), (-1, (2, 2, 2))):
        s = g.add("slice", shape, s, axis=axis, start=0, stop=4, step=2)
    p = g.add("pad", (4, 2, 2), s, padding=((1, 1), (0, 0), (0, 0)), mode="zeros")
    y = g.add("add", (4, 2, 2), c, p, name="sum")
    network, found = form(g.done(g.conv(y, (4, 2, 2), 2, 1)))
    check(network, found)
    assert fixed(network, found, RESIDUAL) == {("conv1", "conv2", "sum"): 2}
    residual = found.edge_kind == RESIDUAL
    sources, targets = found.node_index[found.edge_index[:, residual]]
    assert (sources.tolist(), targets.tolist()) == ([0, 1], [1, 2])
    assert (found.edge_weight[residual] == 1).all()


def test_tied_weights_are_edges_of_one_parameter(form: Form) -> None:
    g = Graph(27)
    ids = g.add("input", (3,), name="input", integers=True)
    e = g.add("embedding", (3, 4), ids, tensors={"weight": (7, 4)}, name="wte")
    h = g.add("tanh", (3, 4), g.linear(e, 4, name="inner"))
    g.linear(h, 7, bias=False, name="head")
    untied = g.done()
    table = untied.operations[1].parameters["weight"]
    head = replace(untied.operations[-1], parameters={"weight": table})
    network, found = form(
        replace(
            untied, operations=(*untied.operations[:-1], head), parameters=untied.parameters[:-1]
        )
    )
    check(network, found)
    uses = Counter(found.edge_param[found.edge_param < table.size].tolist())
    assert uses == Counter(dict.fromkeys(range(table.size), 2))


def _attention(g: Graph, x: str, *, values: int) -> str:
    """Two heads of 3 features, with values of any width."""
    steps = g.shape(x)[0]

    def split(name: str, width: int) -> str:
        shaped = g.add("reshape", (steps, 2, width), g.linear(x, 2 * width, name=name))
        return g.add("permute", (2, steps, width), shaped, axes=(-2, -3, -1))

    q, k, v = split("q", 3), split("k", 3), split("v", values)
    mixed = g.add("attention", (2, steps, values), q, k, v, scale=0.5, causal=False, name="mix")
    back = g.add("permute", (steps, 2, values), mixed, axes=(-2, -3, -1))
    return g.linear(g.add("reshape", (steps, 2 * values), back), 4, name="o")


def test_values_that_are_wider_than_keys(form: Form) -> None:
    g = Graph(28)
    x = g.add("input", (4, 5), name="input")
    network, found = form(g.done(_attention(g, x, values=2)))
    check(network, found)
    assert components(found, "strong") == found.node_kind.size
    assert fixed(network, found, FIXED) == {
        ("q", "mix.scores", "mix.scores"): 6, ("k", "mix.scores", "mix.scores"): 6,
        ("mix.scores", "mix", "mix"): 4, ("v", "mix", "mix"): 4,
    }  # fmt: skip


def test_scores_that_are_an_output_are_nodes(
    form: Form, database: Database, stored: Callable[..., str]
) -> None:
    g = Graph(29)
    x = g.add("input", (4, 5), name="input")
    network, found = form(g.done(_attention(g, x, values=3)))
    assert nodes(network, found)["mix.scores", NEURON] == 0
    scores = [layer.name for layer in network.layers].index("mix.scores")
    network = replace(network, outputs=(*network.outputs, ("layer", scores)))
    found = metanetwork(database, stored(network))
    check(network, found)
    assert nodes(network, found)["mix.scores", NEURON] == 2
    # All that the attention mixes is one set of nodes: from each a query and a key lead in.
    assert fixed(network, found, FIXED) == {("q", "mix.scores", "mix.scores"): 12}


@st.composite
def chains(draw: st.DrawFn) -> tuple[OperationGraph, int, int]:
    """A chain of convolutions or matrices, norms and shortcuts; with its nodes and edges."""
    g = Graph(draw(st.integers(0, 99)))
    image = draw(st.booleans())
    width = draw(st.integers(1, 3))

    def matrix(source: str, targets: int) -> str:
        if not image:
            return g.linear(source, targets)
        return g.conv(source, g.shape(source), targets, 3, padding=((1, 1), (1, 1)))

    x = matrix(g.add("input", (width, 4, 4) if image else (width,), name="input"), 2)
    count, extra = width + 3, 0
    for _ in range(draw(st.integers(1, 4))):
        part = draw(st.sampled_from(("matrix", "norm", "block", "set", "relu")))
        shape = g.shape(x)
        wide = shape[0]
        if part == "relu":
            x = g.add("relu", shape, x)
        elif part == "norm" and image:
            roles = ("weight", "bias", "mean", "variance")
            tensors = dict.fromkeys(roles, shape[:1])
            x = g.add("batch_norm", shape, x, tensors=tensors, epsilon=1e-5, axis=-3)
            count += 2
        elif part == "norm":
            tensors = dict.fromkeys(("weight", "bias"), shape)
            x = g.add("layer_norm", shape, x, tensors=tensors, epsilon=1e-5, axes=(-1,))
            count += 2
        else:
            many = wide if part == "block" else draw(st.integers(1, 3))
            made = matrix(x, many)
            count += many + 1
            if part == "block":
                made = matrix(g.add("relu", g.shape(made), made), many)
                made = g.add("add", shape, made, x)
                count, extra = count + many + 1, extra + many
            elif part == "set":
                made = g.add("add", g.shape(made), made, matrix(x, many))
                count += 1
            x = made
    x = g.add("flatten", (int(np.prod(g.shape(x))),), x)
    x = g.linear(x, 2)
    graph = g.done(x)
    running = ("mean", "variance")
    parameters = sum(
        tensor.size for tensor in graph.parameters if not tensor.name.endswith(running)
    )
    return graph, count + 3, parameters + extra


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chains())
def test_the_law(database: Database, made: tuple[OperationGraph, int, int]) -> None:
    """Edges = parameters + residual edges; nodes = neurons + 1 for each bias + 2 for each norm."""
    graph, expected_nodes, expected_edges = made
    network = build(graph)
    name = "metanetwork of a chain"
    write(database, network, name=name, replace=True)
    try:
        found = metanetwork(database, name)
    finally:
        delete(database, name)
    check(network, found)
    assert (found.node_kind.size, found.edge_param.size) == (expected_nodes, expected_edges)
    assert not (found.edge_kind == FIXED).any()
    assert components(found, "strong") == found.node_kind.size
