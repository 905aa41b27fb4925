"""The form of Graph Metanetworks, against the paper's construction of the same models."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from torch import nn

import ingest
from queries.metanetwork import (
    BIAS,
    FIXED,
    NEURON,
    RESIDUAL,
    ROLES,
    SCALE,
    SHIFT,
    WEIGHT,
    Metanetwork,
    metanetwork,
)
from store.database import Database
from store.errors import InvalidArgument, NotFound
from tests.metanetworks import KNOWN, Construction, model

Known = tuple[str, nn.Sequential, Metanetwork]
Form = Callable[[str], Metanetwork]


@pytest.fixture(scope="module")
def form(database: Database) -> Form:
    """The metanetwork of a known model, as the store gives it after an ingest of the module."""

    @cache
    def made(known: str) -> Metanetwork:
        name = f"metanetwork of {known}"
        shape = KNOWN[known].input_shape
        ingest.ingest(model(known), name=name, input_shape=shape, database=database, replace=True)
        try:
            return metanetwork(database, name)
        finally:
            ingest.delete(database, name)

    return made


@pytest.fixture(params=KNOWN)
def known(request: pytest.FixtureRequest, form: Form) -> Known:
    """A known model and its metanetwork."""
    return request.param, model(request.param), form(request.param)


def test_counts(known: Known) -> None:
    name, module, found = known
    expected = KNOWN[name]
    assert sum(parameter.numel() for parameter in module.parameters()) == expected.parameters
    assert found.node_layer.shape == found.node_index.shape == found.node_kind.shape
    assert found.node_kind.shape == (expected.nodes,)
    assert found.edge_index.shape == (2, expected.edges)
    for each in (
        found.edge_weight, found.edge_kind, found.edge_layer, found.edge_position, found.edge_role,
        found.edge_head, found.edge_param,
    ):  # fmt: skip
        assert each.shape == (expected.edges,)
    # The law: each parameter is one edge, and residual ones come on top.
    assert (found.edge_kind == RESIDUAL).sum() == expected.edges - expected.parameters
    assert not (found.edge_kind == FIXED).any()
    params = found.edge_param[found.edge_kind != RESIDUAL]
    assert (np.unique(params).size, params.size) == (expected.parameters, expected.parameters)
    assert (found.edge_param[found.edge_kind == RESIDUAL] == -1).all()


def test_the_same_graph_as_the_papers(known: Known) -> None:
    """Values are distinct: they say which edge is which, and the edges which node is which."""
    _, module, found = known
    expected = Construction().of(module)
    assert found.node_kind.size == expected.nodes
    by_value = {value: (source, target) for source, target, value in expected.edges}
    assert len(by_value) == len(expected.edges)
    learned = found.edge_kind != RESIDUAL
    values = found.edge_weight[learned].tolist()
    assert sorted(values) == sorted(by_value)
    theirs: dict[int, int] = {}
    for edge, value in zip(found.edge_index.T[learned].tolist(), values, strict=True):
        for ours, other in zip(edge, by_value[value], strict=True):
            assert theirs.setdefault(ours, other) == other
    assert len(set(theirs.values())) == len(theirs) == expected.nodes
    residual = [(theirs[a], theirs[b]) for a, b in found.edge_index.T[~learned].tolist()]
    assert sorted(residual) == sorted(expected.residual)
    assert (found.edge_weight[~learned] == 1).all()


def test_kinds(known: Known) -> None:
    """Each kind of edge carries the values of the parameters of its kind, and no others."""
    _, module, found = known
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
    expected: dict[int, list[float]] = {WEIGHT: [], BIAS: [], SCALE: [], SHIFT: []}
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            biased = "bias" in name
            kind = (SHIFT if biased else SCALE) if isinstance(part, norms) else int(biased)
            expected[kind] += parameter.flatten().tolist()
    for kind, values in expected.items():
        assert sorted(found.edge_weight[found.edge_kind == kind]) == sorted(values)
    sources = found.node_kind[found.edge_index[0]]
    learned = found.edge_kind != RESIDUAL
    np.testing.assert_array_equal(sources[learned], found.edge_kind[learned])
    assert (sources[~learned] == NEURON).all()
    assert (found.node_kind[found.edge_index[1]] == NEURON).all()


def test_parameters_come_back_from_the_edges_ends(known: Known) -> None:
    _, module, found = known
    buffers = [name for name, _ in module.named_buffers()]
    assert sorted(found.omitted) == sorted(buffers)
    first = 0
    for name, tensor in module.state_dict().items():
        size = tensor.numel()
        if name not in buffers:
            among = (found.edge_param >= first) & (found.edge_param < first + size)
            rebuilt = rebuild(found, among, tuple(tensor.shape))
            np.testing.assert_array_equal(rebuilt, tensor.detach().numpy(), err_msg=name)
        first += size


def rebuild(found: Metanetwork, among: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter from its edges' ends, roles and positions; their place in it is not looked at."""
    sources, targets = found.edge_index[:, among]
    role, position = found.edge_role[among], found.edge_position[among]
    rows, row = np.unique(targets, return_inverse=True)
    # Queries, keys and values are one tensor of three parts.
    parts = shape[0] // rows.size
    part = np.where(np.isin(role, (0, 1, 2)) & (parts == 3), role, 0)
    values = np.zeros(shape)
    if len(shape) == 1:
        values[part * rows.size + row] = found.edge_weight[among]
        return values
    columns, column = np.unique(sources, return_inverse=True)
    assert (rows.size * parts, columns.size) == shape[:2]
    places = np.zeros_like(position) if len(shape) == 2 else position
    assert len(shape) > 2 or (position == -1).all()
    flat = values.reshape(*shape[:2], -1)
    flat[part * rows.size + row, column, places] = found.edge_weight[among]
    return values


def test_order_and_identity(known: Known) -> None:
    """Edges stand by layer, target and source, and no two are the same in all they say."""
    _, _, found = known
    said = np.stack(
        [
            found.edge_layer, found.edge_kind, found.edge_index[1], found.edge_index[0],
            found.edge_role, found.edge_head, found.edge_position,
        ]
    )  # fmt: skip
    assert np.unique(said, axis=1).shape == said.shape
    assert (np.diff(found.edge_layer) >= 0).all()
    assert (np.diff(np.flatnonzero(found.node_kind == NEURON)) == 1).all()
    for layer in np.unique(found.edge_layer):
        for kind in np.unique(found.edge_kind):
            among = (found.edge_layer == layer) & (found.edge_kind == kind)
            ends = found.edge_index[1, among] * found.node_kind.size + found.edge_index[0, among]
            assert (np.diff(ends) >= 0).all()


def test_roles_and_heads_of_attention(form: Form) -> None:
    found = form("transformer")
    values = model("transformer")[2].get_submodule("attn").state_dict()
    weights = dict(zip("qkv", values["in_proj_weight"].chunk(3), strict=True))
    weights["o"] = values["out_proj.weight"]
    for role, tensor in weights.items():
        of_role = found.edge_role == ROLES.index(role)
        for head in range(4):
            among = of_role & (found.edge_head == head) & (found.edge_kind == WEIGHT)
            part = slice(4 * head, 4 * head + 4)
            inside = tensor[:, part] if role == "o" else tensor[part]
            got = set(found.edge_weight[among].tolist())
            assert set(inside.flatten().tolist()) <= got
            assert len(got) == 2 * inside.numel(), "two layers have this role"
    mixed = np.unique(found.edge_index[1, (found.edge_role >= 0) & (found.edge_role < 3)])
    assert mixed.size == 2 * 16
    outgoing = found.edge_role == ROLES.index("o")
    assert set(found.edge_index[0, outgoing & (found.edge_kind == WEIGHT)]) == set(mixed)


@pytest.mark.filterwarnings(
    "ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning"
)
def test_a_graph_for_pytorch_geometric(form: Form) -> None:
    import torch
    from torch_geometric.data import Batch

    found = form("resnet")
    data = found.to_pyg()
    assert data.validate()
    assert data.num_nodes == 75
    assert data.edge_index.dtype == data.x.dtype == data.edge_attr.dtype == torch.int64
    assert data.edge_weight.dtype == torch.float32
    np.testing.assert_array_equal(data.edge_index.numpy(), found.edge_index)
    np.testing.assert_array_equal(data.edge_weight.numpy(), found.edge_weight.astype(np.float32))
    np.testing.assert_array_equal(
        data.x.numpy(), np.stack([found.node_layer, found.node_index, found.node_kind], axis=1)
    )
    np.testing.assert_array_equal(
        data.edge_attr.numpy(),
        np.stack(
            [
                found.edge_kind, found.edge_layer, found.edge_position, found.edge_role,
                found.edge_head,
            ],
            axis=1,
        ),
    )  # fmt: skip
    # In a batch only the ends of edges are counted on.
    two = Batch.from_data_list([data, data])
    assert two.edge_index.max() == 149
    np.testing.assert_array_equal(two.edge_param.numpy(), np.tile(found.edge_param, 2))
    data.edge_weight.zero_()
    assert found.edge_weight.any()


def test_without_pytorch_geometric(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_geometric.data", None)
    with pytest.raises(InvalidArgument, match="pip install torch_geometric"):
        form("mlp").to_pyg()


def test_what_cannot_be_given(database: Database) -> None:
    with pytest.raises(NotFound):
        metanetwork(database, "nothing")
    name = "metanetwork unrolled"
    ingest.ingest(
        model("conv1d"), name=name, input_shape=(1, 5), view="unrolled", database=database,
        replace=True,
    )  # fmt: skip
    try:
        with pytest.raises(InvalidArgument, match="unrolled"):
            metanetwork(database, name)
    finally:
        ingest.delete(database, name)
