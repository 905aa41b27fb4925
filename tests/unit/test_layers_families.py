"""What each family makes of its operations: neurons, links, wires, roles, in both views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ingest.check import check_finite
from ingest.estimate import estimate
from ingest.layers.build import build
from ingest.layers.building import LONGEST_VIEW
from ingest.layers.tensors import MOST_KEPT
from ingest.network import DenseLinks, Layer, LinkBlock, Network, SparseLinks
from ingest.operations import Operation, OperationGraph, Parameter
from store import views
from store.errors import InvalidArgument, ShapeMismatch, UnsupportedOperation
from tests.graphs import GRAPHS, Graph


def layer(network: Network, name: str) -> Layer:
    (found,) = (each for each in network.layers if each.name == name)
    return found


def links(network: Network, name: str, *, learned: bool = True) -> list[LinkBlock]:
    """All links into a layer, in coordinate form."""
    index = [each.name for each in network.layers].index(name)
    found: list[LinkBlock] = []
    for block in network.links:
        if block.target != index or isinstance(block, DenseLinks):
            continue
        if block.learned == learned:
            found += block.blocks()
    return found


def dense(network: Network, name: str) -> DenseLinks:
    index = [each.name for each in network.layers].index(name)
    (found,) = (
        block for block in network.links if isinstance(block, DenseLinks) and block.target == index
    )
    return found


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("view", ["shared", "unrolled"])
def test_links_are_as_many_as_promised_and_lie_within_layers(name: str, view: str) -> None:
    graph = GRAPHS[name]()
    network = build(graph, view)
    total = sum(parameter.size for parameter in graph.parameters)
    ends = [*network.firsts[1:], network.neuron_count]
    for block in network.links:
        if isinstance(block, DenseLinks):
            continue
        made = list(block.blocks())
        assert sum(each.count for each in made) == block.count > 0
        for each in made:
            assert ((each.sources >= 0) & (each.sources < network.neuron_count)).all()
            assert (each.targets >= network.firsts[block.target]).all()
            assert (each.targets < ends[block.target]).all()
            assert (each.params is not None) == block.learned
            if each.params is not None:
                assert ((each.params >= 0) & (each.params < total)).all()
    for one in network.layers:
        for scalars in one.scalars.values():
            assert scalars.values.shape == scalars.params.shape == (one.size,)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_shared_view_has_one_link_per_weight(name: str) -> None:
    """But for tensors that are used twice, or not as weights."""
    graph = GRAPHS[name]()
    network = build(graph, "shared")
    weights = {
        parameter.name: parameter.size
        for operation in graph.operations
        for role, parameter in operation.parameters.items()
        if role.startswith("weight")
    }
    offsets = np.cumsum([0, *(parameter.size for parameter in graph.parameters)])
    counted = dict.fromkeys(weights, 0)
    for block in network.links:
        if isinstance(block, DenseLinks):
            counted[block.weights.name] += block.count
            continue
        for each in block.blocks():
            if each.params is None:
                continue
            places = np.searchsorted(offsets, each.params, side="right") - 1
            for place, number in zip(*np.unique(places, return_counts=True), strict=True):
                parameter = graph.parameters[place]
                if parameter.name in counted:
                    counted[parameter.name] += int(number)
    assert counted == weights


def test_kernel_elements_tell_themselves_apart() -> None:
    network = build(GRAPHS["convolutions"](), "shared")
    (first, *_) = links(network, "conv1")
    assert (first.sources.tolist(), set(first.targets.tolist())) == ([0] * 9 + [1] * 9, {2})
    assert first.positions is not None
    assert first.positions.tolist() == [*range(9), *range(9)]
    # After flattening, one channel stands at several places before the matrix.
    (last,) = links(network, "linear6")
    assert last.positions is not None
    assert last.positions[:6].tolist() == [0, 1, 2, 3, 4, 5]
    assert last.count == 3 * 6 * 6


def test_an_unrolled_convolution_leaves_padding_out() -> None:
    g = Graph()
    x = g.add("input", (1, 3, 3), name="input")
    y = g.conv(x, (1, 3, 3), 1, 3, padding=((1, 1), (1, 1)))
    network = build(g.done(), "unrolled")
    joined = links(network, y)
    targets = np.concatenate([block.targets for block in joined]) - 9
    # A corner sees 4 of 9 places, an edge 6, the middle all.
    assert np.bincount(targets).tolist() == [4, 6, 4, 6, 9, 6, 4, 6, 4]
    assert layer(network, y).coordinates == ("channel", "row", "col")


def test_a_kernel_element_that_only_sees_padding_is_kept() -> None:
    g = Graph()
    x = g.add("input", (1, 1, 1), name="input")
    y = g.conv(x, (1, 1, 1), 2, 3, padding=((1, 1), (1, 1)))
    network = build(g.done(), "unrolled")
    assert sum(block.count for block in links(network, y)) == 2
    assert [network.parameters[index].name for index in network.kept] == [f"{y}.weight"]
    assert not build(g.done(), "shared").kept


@pytest.mark.parametrize(
    ("shape", "kind", "attributes", "axes"),
    [
        ((3, 4, 4), "conv", {}, (0,)),
        ((1, 4, 4), "conv", {}, ()),
        ((5, 4), "linear", {}, (1,)),
        ((5, 4), "reduce", {"function": "mean", "axes": (-2,), "keep": True}, (1,)),
    ],
)
def test_neurons_of_an_input_stand_where_its_first_reader_tells_them_apart(
    shape: tuple[int, ...], kind: str, attributes: dict[str, Any], axes: tuple[int, ...]
) -> None:
    g = Graph()
    x = g.add("input", shape, name="input")
    s = g.add("sigmoid", shape, x)
    if kind == "conv":
        g.conv(s, shape, 2, 3)
    elif kind == "linear":
        g.linear(s, 2)
    else:
        g.linear(g.add(kind, (1, shape[1]), s, **attributes), 2)
    network = build(g.done(), "shared")
    assert network.layers[0].neuron_axes == axes
    assert build(g.done(), "unrolled").layers[0].size == np.prod(shape)


def test_attention_tells_roles_and_heads() -> None:
    network = build(GRAPHS["grouped_queries"](), "shared")
    assert layer(network, "q").roles == ("q",) * 8
    assert layer(network, "q").heads == (0, 0, 1, 1, 2, 2, 3, 3)
    assert layer(network, "k").roles == ("k",) * 4
    assert layer(network, "k").heads == (0, 0, 2, 2), "the first head that shares them"
    assert layer(network, "v").roles == ("v",) * 4
    assert layer(network, "o").roles == ("o",) * 8
    (scores,) = (each for each in network.layers if each.kind == "attention_scores")
    assert (scores.size, scores.activation) == (4, "softmax")


def test_gates_tell_their_letters_and_states_lead_back() -> None:
    for view, steps in (("shared", 1), ("unrolled", 4)):
        network = build(GRAPHS["lstm"](), view)
        (gates, *_) = (each for each in network.layers if each.kind == "gates")
        index = network.layers.index(gates)
        assert gates.roles == tuple("iiifffgggooo") * steps
        assert gates.recurrent_sources == (index + 2,)
        back = [
            (source, target)
            for block in links(network, gates.name)
            for source, target in zip(block.sources, block.targets, strict=True)
            if source >= network.firsts[index + 2]
        ]
        assert len(back) == 36 * max(1, steps - 1)
        if view == "unrolled":
            places = {
                (
                    int(source - network.firsts[index + 2]) // 3,
                    int(target - network.firsts[index]) // 12,
                )
                for source, target in back
            }
            assert places == {(0, 1), (1, 2), (2, 3)}


def test_a_position_table_is_links_from_positions() -> None:
    network = build(GRAPHS["transformer"](), "shared")
    (shift,) = (each for each in network.layers if each.kind == "shift")
    (position,) = (each for each in network.layers if each.kind == "position")
    assert (position.size, shift.size) == (5, 8)
    assert sum(block.count for block in links(network, shift.name)) == 40
    # Two rows of the table are for longer texts than this.
    assert [network.parameters[index].name for index in network.kept] == ["wpe.value"]
    unrolled = build(GRAPHS["transformer"](), "unrolled")
    (shift,) = (each for each in unrolled.layers if each.kind == "shift")
    assert shift.bias is not None
    assert shift.bias.shape == (40,)


def test_residual_sums_are_wires_and_norms_are_links() -> None:
    network = build(GRAPHS["residual"](), "shared")
    (block,) = links(network, "add6", learned=False)[:1]
    assert (block.weights == 1).all()
    assert sum(each.count for each in links(network, "add6", learned=False)) == 8
    assert not links(network, "add6")
    norm = layer(network, "batch_norm2")
    assert set(norm.scalars) == {"bias", "mean", "variance"}
    assert sum(each.count for each in links(network, "batch_norm2")) == 4


def test_an_average_weighs_its_wires() -> None:
    network = build(GRAPHS["deep_sets"](), "unrolled")
    (mean, *_) = (each for each in network.layers if each.kind == "reduce")
    (block,) = links(network, mean.name, learned=False)
    np.testing.assert_allclose(block.weights, 1 / 6)
    (shared, *_) = (
        each for each in build(GRAPHS["deep_sets"](), "shared").layers if each.kind == "reduce"
    )
    (block,) = links(build(GRAPHS["deep_sets"](), "shared"), shared.name, learned=False)
    np.testing.assert_allclose(block.weights, 1.0)


def opaque(operator: str = "aten.strange") -> Graph:
    g = Graph()
    x = g.add("input", (4,), name="input")
    y = g.linear(x, 3)
    z = g.add("opaque", (3,), y, operator=operator, module="mystery", name="mystery")
    g.linear(z, 2)
    return g


def test_what_is_not_understood_is_refused_by_name_or_kept() -> None:
    with pytest.raises(
        UnsupportedOperation,
        match=r"The model holds aten\.strange \(layer 'mystery'\), which Weightome cannot ingest",
    ):
        build(opaque().done())
    network = build(opaque().done(), allow_opaque=True)
    kept = layer(network, "mystery")
    assert (kept.kind, kept.attributes, kept.sources) == (
        "opaque", {"operator": "aten.strange"}, (1,),
    )  # fmt: skip
    assert not links(network, "mystery")
    assert not links(network, "mystery", learned=False)


def test_a_view_is_one_of_two() -> None:
    with pytest.raises(InvalidArgument, match="There is no view 'rolled'"):
        build(GRAPHS["residual"](), "rolled")


def test_a_tensor_without_use_is_kept_unless_it_is_long() -> None:
    g = Graph()
    g.linear(g.add("input", (4,), name="input"), 3)
    g.parameters.append(Parameter.of("steps", np.array(17)))
    network = build(g.done())
    assert [network.parameters[index].name for index in network.kept] == ["steps"]
    g.parameters.append(Parameter.of("long", np.zeros(MOST_KEPT + 1, dtype=np.float32)))
    with pytest.raises(UnsupportedOperation, match=r"The tensor 'long' \(2,000,001 values\)"):
        build(g.done())


def test_an_estimate_counts_fixed_links_too() -> None:
    network = build(GRAPHS["residual"](), "unrolled")
    expected = estimate(network)
    assert (expected.links, expected.wires) == (network.link_count, network.wire_count)
    assert expected.wires == sum(
        block.count
        for block in network.links
        if isinstance(block, SparseLinks) and not block.learned
    )


def test_shapes_that_do_not_fit_are_refused() -> None:
    g = Graph()
    x = g.add("input", (3, 4, 4), name="input")
    g.add(
        "conv", (2, 2, 2), x, tensors={"weight": (2, 2, 3, 3)}, stride=(1, 1), dilation=(1, 1),
        padding=((0, 0), (0, 0)), groups=1, layout="target_source",
    )  # fmt: skip
    with pytest.raises(ShapeMismatch, match=r"The kernel 'conv1.weight' \(2, 2, 3, 3\)"):
        build(g.done())
    g = Graph()
    x = g.add("input", (4,), name="input")
    wrong = Operation("fc", "identity", (x,), (5,))
    with pytest.raises(ShapeMismatch, match="gives the shape"):
        build(OperationGraph((*g.operations, wrong), (), "test"))


def integers(g: Graph, name: str, values: list[Any]) -> str:
    """A constant of integers (or of floats that no link can hold) as an operand."""
    tensor = Parameter.of(name, np.array(values))
    g.parameters.append(tensor)
    g.operations.append(Operation(name, "parameter", (), tensor.shape, {"value": tensor}))
    return name


@pytest.mark.parametrize("values", [[2, 0, 1], [0.0, -np.inf, 1.0]])
def test_neurons_hold_no_integers_and_no_infinities(values: list[Any]) -> None:
    g = Graph()
    x = g.add("input", (3,), name="input")
    both = g.add("concat", (6,), x, integers(g, "given", values), axis=-1)
    g.linear(both, 2)
    network = build(g.done())
    (constant,) = (each for each in network.layers if each.kind == "constant")
    assert (constant.takes, constant.bias) == ((("parameter", 0),), None)
    assert network.kept == (0,)
    check_finite(network)


def test_a_constant_output_is_kept() -> None:
    g = Graph()
    y = g.linear(g.add("input", (2,), name="input"), 2)
    network = build(g.done(y, integers(g, "given", [1, 2])))
    assert network.outputs == (("layer", 1), ("parameter", 2))
    assert network.kept == (2,)


def test_a_long_view_of_a_constant_becomes_neurons() -> None:
    g = Graph()
    x = g.add("input", (4,), name="input")
    one = g.add("parameter", (2,), tensors={"value": (2,)}, name="one")
    for _ in range(LONGEST_VIEW // 2 + 1):
        one = g.add("take", (2,), one, axis=-1, indices=(1, 0))
        one = g.add("pad", (4,), one, padding=((1, 1),), mode="replicate")
        one = g.add("slice", (2,), one, axis=-1, start=1, stop=3, step=1)
    g.linear(g.add("maximum", (2,), g.linear(x, 2), one), 2)
    network = build(g.done())
    assert "parameter" in [each.kind for each in network.layers]
    assert max(views.size(view) for each in network.layers for view in each.takes) <= LONGEST_VIEW


def test_links_of_an_unrolled_convolution_with_the_same_ends_are_told_apart() -> None:
    g = Graph()
    x = g.add("input", (2, 2), name="input")
    p = g.add("pad", (2, 4), x, padding=((0, 0), (1, 1)), mode="replicate")
    c = g.add(
        "conv", (1, 2), p, tensors={"weight": (1, 2, 3)}, stride=(1,), dilation=(1,),
        padding=((0, 0),), groups=1, layout="target_source",
    )  # fmt: skip
    ends = [
        end
        for block in links(build(g.done(), "unrolled"), c)
        for end in zip(block.sources, block.targets, np.asarray(block.positions), strict=True)
    ]
    assert len({*ends}) == len(ends) == 12
    assert {position for _, _, position in ends} == {0, 1, 2}


def test_states_that_are_part_of_the_sequence_are_copied_where_links_would_be_confused() -> None:
    g = Graph()
    x = g.add("input", (3, 2), name="input")
    first = g.add("slice", (1, 2), x, axis=-2, start=0, stop=1, step=1)
    start = g.add("reshape", (2,), first)
    g.add(
        "rnn", (3, 2), x, start, tensors={"weight_ih": (2, 2), "weight_hh": (2, 2)},
        layout="target_source", reverse=False, activation="tanh", name="rnn",
    )  # fmt: skip
    network = build(g.done(), "unrolled")
    assert [each.name for each in network.layers] == ["input", "rnn.copy", "rnn"]
    assert sum(block.count for block in links(network, "rnn")) == 3 * 4 + 3 * 4


@pytest.mark.parametrize("view", ["shared", "unrolled"])
def test_layers_are_fed_by_all_that_is_wired_into_them(view: str) -> None:
    network = build(GRAPHS["with_states"](), view)
    for one in network.layers:
        index = network.layers.index(one)
        blocks = links(network, one.name) + links(network, one.name, learned=False)
        found = {
            int(np.searchsorted(network.firsts, source, side="right"))
            for block in blocks
            for source in block.sources
        }
        fed = {index, *one.sources, *one.recurrent_sources}
        assert {each - 1 for each in found} <= fed, one.name


def test_a_computed_mask_is_wired_into_the_scores() -> None:
    g = Graph()
    x = g.add("input", (2, 3, 4), name="input")
    mask = g.linear(g.linear(x, 5), 3, name="mask")
    g.add("attention", (2, 3, 4), x, x, x, mask, scale=1.0, causal=False, name="attention")
    network = build(g.done(), "unrolled")
    wires = links(network, "attention.scores", learned=False)
    positions = np.concatenate([np.asarray(block.positions) for block in wires])
    assert np.count_nonzero(positions == 2) == 2 * 3 * 3
