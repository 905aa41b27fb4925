"""Matrices, arithmetic, reductions and views, as torch computes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ingest.operations import OperationGraph
from ingest.readers.module import read_module
from store.errors import UnsupportedOperation
from tests.agreement import agreed
from tests.modelling import Function, parameter, prepared

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

Compute = Callable[[Any, Tensor], Any]

TABLE = (4, 8)


def of_function(compute: Compute, *shape: int, **members: Any) -> OperationGraph:
    """The graph of a function of the input, which has the shape of a table by default."""
    return agreed(*prepared(Function(compute, **members), *(shape or TABLE)))


def kinds(graph: OperationGraph) -> list[str]:
    """The kinds of a graph's operations behind the input."""
    return [operation.kind for operation in graph.operations[1:]]


# -- matrices ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compute", "weight", "layout"),
    [
        (lambda m, x: x @ m.w, (8, 3), "source_target"),
        (lambda m, x: x @ m.w.T, (3, 8), "target_source"),
        (lambda m, x: x.matmul(m.w.transpose(0, 1)), (3, 8), "target_source"),
        (lambda m, x: functional.linear(x, m.w), (3, 8), "target_source"),
        (lambda m, x: functional.linear(x, m.w.t()), (8, 3), "source_target"),
        (lambda m, x: torch.einsum("bnd,de->bne", x, m.w), (8, 3), "source_target"),
        (lambda m, x: torch.einsum("bnd,ed->bne", x, m.w), (3, 8), "target_source"),
        (lambda m, x: torch.einsum("...d,ed->...e", x, m.w), (3, 8), "target_source"),
        (lambda m, x: (m.w @ x[:, 0].T).T, (3, 8), "target_source"),
        (lambda m, x: x[:, 0].mm(m.w), (8, 3), "source_target"),
    ],
)
def test_products_with_a_parameter_are_layers(
    compute: Compute, weight: tuple[int, int], layout: str
) -> None:
    graph = of_function(compute, w=parameter(*weight))
    (operation,) = (each for each in graph.operations if each.kind == "linear")
    assert operation.attributes == {"layout": layout}
    assert operation.name == "w"


@pytest.mark.parametrize("shape", [(4, 3), (3, 4)])
def test_addmm_has_a_bias(shape: tuple[int, int]) -> None:
    turned = shape == (3, 4)

    def compute(model: Any, x: Tensor) -> Any:
        return torch.addmm(model.b, x, model.w.T if turned else model.w)

    graph = of_function(compute, 4, w=parameter(*shape), b=parameter(3))
    assert kinds(graph) == ["linear"]
    assert set(graph.operations[1].parameters) == {"weight", "bias"}


@pytest.mark.parametrize(
    ("compute", "members"),
    [
        (lambda m, x: m.w @ x, {"w": parameter(3, 4)}),
        (lambda m, x: x @ m.w, {"w": parameter(8)}),
        (lambda m, x: x @ m.w[2:5].T, {"w": parameter(9, 8)}),
        (lambda m, x: x[..., :3] @ m.w[2:5], {"w": parameter(9, 8)}),
        (lambda m, x: x @ (m.a @ m.b), {"a": parameter(8, 2), "b": parameter(2, 8)}),
        (lambda m, x: x[:, 0] @ (m.a @ m.b), {"a": parameter(8, 2), "b": parameter(2, 8)}),
        (lambda m, x: x.bmm(x.transpose(1, 2)) + m.w, {"w": parameter(4, 4)}),
        (lambda m, x: torch.baddbmm(m.w, x, x.mT), {"w": parameter(4, 4)}),
        (lambda m, x: torch.einsum("bnd,bmd->bnm", x, x) * m.w, {"w": parameter(1)}),
        (lambda m, x: torch.einsum("...nd,...md->...nm", x, x) * m.w, {"w": parameter(1)}),
        (lambda m, x: torch.einsum("bnd,bnd->b", x, x) * m.w, {"w": parameter(1)}),
        (lambda m, x: torch.einsum("mn,bnd->bmd", m.w, x), {"w": parameter(3, 4)}),
        (lambda m, x: torch.einsum("bnd,hde->bhne", x, m.w), {"w": parameter(5, 8, 3)}),
        (lambda m, x: torch.einsum("bn,bd->bnd", x[:, :, 0], x[:, 0]) * m.w, {"w": parameter(8)}),
    ],
)
def test_products_of_what_is_computed(compute: Compute, members: dict[str, Any]) -> None:
    of_function(compute, **members)


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        (lambda m, x: functional.linear(x, m.w.abs()), "linear (outside any layer) whose weight"),
        (lambda m, x: functional.linear(x, m.w, m.b * 2), "whose bias is computed"),
        (lambda m, x: torch.einsum("bnd,de->be", x, m.w), "einsum (outside any layer) that sums"),
        (lambda m, x: torch.einsum("bnd,de,ef->bnf", x, m.w, m.w), "of 'bnd,de,ef->bnf'"),
        (lambda m, x: torch.einsum("bnn,nd->bd", x @ m.w[:, :4], m.w[:4]), "of 'bnn,nd->bd'"),
        (lambda m, x: x.flatten(1).T @ x.flatten(1) + m.b[0], "over the batch axis"),
        (lambda m, x: torch.div(x @ m.w, 0.3, rounding_mode="floor"), "with rounding_mode=floor"),
        (lambda m, x: m.normed(x), "weight_norm (layer 'normed.parametrizations.weight.0')"),
    ],
)
def test_products_that_are_refused(compute: Compute, says: str) -> None:
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 2))
    members = {"w": parameter(8, 8), "b": parameter(8), "normed": normed}
    model, _ = prepared(Function(compute, **members), *TABLE)
    with pytest.raises(UnsupportedOperation, match=re.escape(says)):
        read_module(model, TABLE)


# -- functions and arithmetic --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x * 2, [("times", {"factor": 2.0})]),
        (lambda x: 2 * x, [("times", {"factor": 2.0})]),
        (lambda x: x / 4, [("times", {"factor": 0.25})]),
        (lambda x: -x, [("times", {"factor": -1.0})]),
        (lambda x: x + 3, [("plus", {"amount": 3.0})]),
        (lambda x: x - 3, [("plus", {"amount": -3.0})]),
        (lambda x: 3 - x, [("times", {"factor": -1.0}), ("plus", {"amount": 3.0})]),
        (lambda x: 2 / (3 + x), [("plus", {"amount": 3.0}), ("reciprocal", {}),
                                 ("times", {"factor": 2.0})]),
        (lambda x: torch.add(x, 2, alpha=3), [("plus", {"amount": 6.0})]),
        (lambda x: x**3, [("to_power", {"exponent": 3.0})]),
        (lambda x: x.square(), [("to_power", {"exponent": 2.0})]),
        (lambda x: x.clamp(min=0), [("clip", {"low": 0.0, "high": np.inf})]),
        (lambda x: x.clamp(-1, 0.5), [("clip", {"low": -1.0, "high": 0.5})]),
        (lambda x: x.clamp_max(1), [("clip", {"low": -np.inf, "high": 1.0})]),
        (lambda x: x.maximum(torch.tensor(0.5)), [("clip", {"low": 0.5, "high": np.inf})]),
        (lambda x: x.minimum(torch.tensor(0.5)), [("clip", {"low": -np.inf, "high": 0.5})]),
        (lambda x: x + torch.ones(8), [("plus", {"amount": 1.0})]),
        (lambda x: x + torch.zeros_like(x), []),
        (lambda x: x * 1 - 0, []),
    ],
)  # fmt: skip
def test_arithmetic_with_a_number_is_a_function(
    function: Callable[[Tensor], Tensor], expected: list[tuple[str, dict[str, float]]]
) -> None:
    graph = of_function(lambda m, x: function(m.fc(x)), fc=nn.Linear(8, 8))
    assert [(o.kind, dict(o.attributes)) for o in graph.operations[2:]] == expected


@pytest.mark.parametrize(
    "function",
    [
        torch.abs, torch.ceil, torch.cos, torch.erf, torch.exp, torch.exp2, torch.expm1,
        torch.floor, torch.reciprocal, torch.sgn, torch.sign, torch.sin,
        lambda x: (x * x + 1).rsqrt(),
        lambda x: (x * x + 1).sqrt(),
        lambda x: (x * x + 1).log() + (x * x).log1p() + (x.exp()).log2() + x.exp().log10(),
        lambda x: torch.add(x, x, alpha=2) - x / (x.abs() + 1) + x * x,
        lambda x: x.abs() ** x + 2**x,
        lambda x: torch.maximum(x, 2 * x) + torch.minimum(x, -x) + torch.max(x, -x),
        lambda x: x / (x * x).sum(-1, keepdim=True).add(1e-3).sqrt(),
        lambda x: functional.glu(x) + functional.logsigmoid(x)[..., :4],
    ],
)  # fmt: skip
def test_functions(function: Callable[[Tensor], Tensor]) -> None:
    of_function(lambda m, x: function(m.fc(x)), fc=nn.Linear(8, 8))


MASK = torch.tensor([True, False, False, True, False, False, True, True])


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: m.fc(x) * m.scale + m.shift,
        lambda m, x: m.shift - m.fc(x) / (m.scale * m.scale + 1),
        lambda m, x: m.fc(x) * torch.sigmoid(m.scale),
        lambda m, x: m.fc(x) + torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8]),
        lambda m, x: m.fc(x) * torch.arange(8) + torch.eye(8)[0] + torch.full((8,), 2.0),
        lambda m, x: m.fc(x).masked_fill(m.mask, -1e9),
        lambda m, x: torch.where(m.mask, m.fc(x), x) + torch.where(m.mask, 2.0, x),
        lambda m, x: (m.fc(x).masked_fill(m.mask, float("-inf"))).softmax(-1),
        lambda m, x: m.fc(x) * m.mask + torch.where(~m.mask, x, torch.tensor(3.0)),
        lambda m, x: m.fc(x) * torch.tril(torch.ones(8, 8))[:4],
        lambda m, x: m.fc(x) + torch.outer(torch.arange(4.0), m.steps).cos().repeat(1, 2),
    ],
)
def test_tensors_as_operands(compute: Compute) -> None:
    of_function(
        compute,
        fc=nn.Linear(8, 8),
        scale=parameter(8),
        shift=parameter(1),
        mask=MASK,
        steps=torch.tensor([1.0, 0.5, 0.25, 0.125]),
    )


def test_constants_stand_after_the_state_dict() -> None:
    def compute(model: Any, x: Tensor) -> Any:
        return model.fc(x) + torch.tensor([1.0, 2.0]) + torch.arange(2)

    model, _ = prepared(Function(compute, fc=nn.Linear(3, 2)), 3)
    graph = read_module(model, (3,))
    assert [tensor.name for tensor in graph.parameters] == [
        "fc.weight",
        "fc.bias",
        "lifted_tensor_0",
        "arange",
    ]
    assert graph.parameters[3].array().tolist() == [0, 1]


# -- reductions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.mean(1),
        lambda x: x.mean((1, 2), keepdim=True),
        lambda x: x.sum(-1, keepdim=True),
        lambda x: x.amax(1) + x.amin(1),
        lambda x: x.max(2)[0] + x.min(2).values,
        lambda x: x.prod(1),
        lambda x: x.norm(dim=1) + x.norm(p=1, dim=1),
        lambda x: torch.linalg.vector_norm(x, float("inf"), dim=2),
        lambda x: x.var(1) + x.std(1),
        lambda x: x.var(-1, unbiased=False) + x.std(-1, correction=0),
        lambda x: functional.normalize(x, dim=1),
    ],
)
def test_reductions(function: Callable[[Tensor], Tensor]) -> None:
    of_function(lambda m, x: function(m.fc(x)), fc=nn.Linear(8, 8))


def test_the_axes_of_a_reduction_are_negative() -> None:
    graph = of_function(lambda m, x: m.fc(x).mean((2, 1)), fc=nn.Linear(8, 8))
    assert graph.operations[-1].attributes == {
        "function": "mean",
        "axes": (-2, -1),
        "keep": False,
    }


# -- views ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.view(x.shape[0], -1),
        lambda x: x.flatten(1).view_as(x),
        lambda x: x.unflatten(2, (2, 4)).permute(0, 3, 1, 2),
        lambda x: x.reshape(-1, 8).mul(2).reshape(x.shape),
        lambda x: x.transpose(1, 2).contiguous().view(x.shape[0], 4, -1),
        lambda x: x.swapaxes(1, 2).mT,
        lambda x: x[:, None].movedim(1, 3),
        lambda x: x[:, None].movedim((1, 2), (3, 1)),
        lambda x: x[:, 0] + x[:, -1],
        lambda x: x[:, 1:3, ::2],
        lambda x: x[..., None].squeeze(-1)[:, :1].squeeze(1),
        lambda x: x.narrow(1, 1, 2),
        lambda x: torch.cat([x, 2 * x], 1),
        lambda x: torch.stack([x, 2 * x], 1) + torch.stack([x, x], dim=1),
        lambda x: torch.stack([x, 2 * x], -1),
        lambda x: torch.hstack([x, x]),
        lambda x: x.chunk(3, 2)[2],
        lambda x: x.split([1, 3], 1)[1] + x.split(3, 1)[0],
        lambda x: x.tensor_split(3, 2)[0],
        lambda x: x.unbind(1)[2],
        lambda x: x.unsqueeze(1).expand(-1, 3, -1, -1),
        lambda x: x[:, :1].expand_as(x) + x[:, :1].broadcast_to(x.shape),
        lambda x: x.repeat(1, 2, 3),
        lambda x: x[:, :1].repeat(1, 2, 3),
        lambda x: x.tile((1, 2, 1)),
        lambda x: x.repeat_interleave(2, 1),
        lambda x: x.flip(1, 2),
        lambda x: x.roll((1, -2), (1, 2)),
        lambda x: x[:, [0, 3]],
        lambda x: x.index_select(1, torch.tensor([2, 0, 2])),
        lambda x: functional.pad(x, (1, 2, 0, 1)),
        lambda x: functional.pad(x, (-1, 2)),
    ],
)
def test_views(function: Callable[[Tensor], Tensor]) -> None:
    of_function(lambda m, x: function(m.fc(x)), fc=nn.Linear(8, 8))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[0],
        lambda x: x[:2],
        lambda x: x.flatten(),
        lambda x: x.reshape(-1, 8),
        lambda x: torch.cat([x, x]),
        lambda x: x.flip(0),
        lambda x: x.roll(1, 0),
        lambda x: x.repeat(2, 1, 1),
        lambda x: x.permute(1, 0, 2).reshape(4, -1),
        lambda x: x.mean(0),
        lambda x: x.sum(),
        lambda x: x.softmax(0),
        lambda x: functional.softmin(x.permute(1, 2, 0), -1),
        lambda x: x.unbind(0)[0] + x.split(1, 0)[1],
        lambda x: x + x.transpose(0, 1)[:2, :2].repeat(1, 2, 1),
        lambda x: x[:, None] * x[None],
    ],
)
def test_what_mixes_samples_is_refused(function: Callable[[Tensor], Tensor]) -> None:
    model, _ = prepared(Function(lambda m, x: function(m.fc(x)), fc=nn.Linear(8, 8)), *TABLE)
    with pytest.raises(UnsupportedOperation, match=r"mixes samples|over the batch axis"):
        read_module(model, TABLE)


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: torch.cat([m.one.expand(x.shape[0], -1, -1), x], 1) + m.places,
        lambda m, x: torch.cat([m.one.repeat(x.shape[0], 1, 1), x], 1) + m.many[:, :5],
        lambda m, x: torch.cat([m.flat.expand(x.shape[0], 2, 8), m.fc(x)], 1),
        lambda m, x: torch.cat([torch.cat([m.one, m.one], 1).expand(x.shape[0], -1, -1), x], 1),
        lambda m, x: m.fc(m.places.expand(x.shape[0], -1, -1)[:, 1:] + x),
        lambda m, x: m.fc(m.one.squeeze(0)) + x,
        lambda m, x: (m.places[0, 1:].T @ m.fc(x)).softmax(-1),
    ],
)
def test_tensors_that_are_the_same_for_all_samples(compute: Compute) -> None:
    of_function(
        compute,
        fc=nn.Linear(8, 8),
        one=parameter(1, 1, 8),
        flat=parameter(8),
        places=parameter(1, 5, 8),
        many=parameter(1, 9, 8),
    )


def inside_without_gradients(model: Any, x: Tensor) -> Any:
    with torch.no_grad():
        doubled = x * 2
        one, other = doubled.chunk(2, -1)
    with torch.autocast("cpu", enabled=False):
        hidden = model.fc(doubled)
    return hidden + torch.cat([other, one], -1)


def test_parts_without_gradients() -> None:
    of_function(inside_without_gradients, fc=nn.Linear(8, 8))


def test_several_outputs_in_their_order() -> None:
    graph = of_function(lambda m, x: (x, (m.fc(x), m.fc(x).relu())), fc=nn.Linear(8, 8))
    assert graph.outputs == ("input", "fc", "relu")
