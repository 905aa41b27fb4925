"""Programs of torch as operation graphs: they compute what the models compute, or are refused."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ingest.readers.aten.layout import Factor, Role, batch_first, own, reshaped, shape_of
from ingest.readers.module import read_module
from store.errors import UnsupportedOperation
from tests.agreement import agreed, agreed_archive, compare, outputs
from tests.interpreter import interpret
from tests.modelling import Function, parameter, prepared
from tests.models import MODELS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_it_computes_what_the_model_computes(name: str) -> None:
    model, example = MODELS[name]()
    # float32 angles are what the model has, also where the rest is float64.
    graph = agreed(model, example, 1e-6 if name == "llama" else 1e-9)
    assert all(axis < 0 for o in graph.operations for axis in _axes(o.attributes))
    names = [operation.name for operation in graph.operations]
    assert len(set(names)) == len(names)
    assert set(graph.outputs) <= set(names)
    known = {tensor.name for tensor in graph.parameters}
    assert {tensor.name for o in graph.operations for tensor in o.parameters.values()} <= known


def _axes(attributes: Any) -> list[int]:
    return [*attributes.get("axes", ()), *([attributes["axis"]] if "axis" in attributes else [])]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models_are_small_enough_to_be_written(name: str) -> None:
    model, example = MODELS[name]()
    graph = read_module(model, example.shape[1:])
    assert sum(prod(operation.shape) for operation in graph.operations) < 5_000


@pytest.mark.parametrize("name", ["resnet", "vit", "llama", "gru"])
def test_an_archive_computes_what_the_model_computes(name: str, tmp_path: Path) -> None:
    model, example = MODELS[name]()
    agreed_archive(model, example, tmp_path)


def refusal(compute: Callable[..., Any], *shape: int, **members: Any) -> str:
    """Why a model is refused whose linear layer ``fc`` has 8 features."""
    model, example = prepared(Function(compute, fc=nn.Linear(8, 8), **members), *(shape or (4, 8)))
    with pytest.raises(UnsupportedOperation) as caught:
        read_module(model, example.shape[1:])
    return str(caught.value)


# -- calls in place ------------------------------------------------------------------------------


def changed(model: Any, x: Tensor) -> Tensor:
    hidden = model.fc(x)
    hidden.add_(x).relu_()
    return hidden * 2  # type: ignore[no-any-return]


def changed_copy(model: Any, x: Tensor) -> Tensor:
    hidden = model.fc(x)
    hidden.flip(1).relu_()
    hidden.clone().zero_()
    return hidden  # type: ignore[no-any-return]


def changed_other_shape(model: Any, x: Tensor) -> Tensor:
    hidden = model.fc(x).flatten(1)
    hidden.relu_()
    return hidden  # type: ignore[no-any-return]


def changed_constant(model: Any, x: Tensor) -> Tensor:
    mask = torch.zeros(4, 8)
    part = mask[1:3]
    part[:, ::2] = 2.0
    part.mul_(0.5).masked_fill_(torch.eye(2, 8) == 1, 3.0)
    mask.t()[0].fill_(-1.0)
    return model.fc(x) * mask + mask[2]  # type: ignore[no-any-return]


def changed_constant_and_part(model: Any, x: Tensor) -> Tensor:
    mask = torch.zeros(4, 8)
    part = mask[1:3]
    part.add_(torch.arange(8))
    return model.fc(x)[:, :2] * part + mask[:2]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "compute",
    [
        changed,
        changed_copy,
        changed_other_shape,
        changed_constant,
        changed_constant_and_part,
    ],
)
def test_calls_in_place(compute: Callable[..., Any]) -> None:
    agreed(*prepared(Function(compute, fc=nn.Linear(8, 8)), 4, 8))


def changed_view(model: Any, x: Tensor) -> Tensor:
    hidden = model.fc(x)
    hidden.transpose(1, 2).relu_()
    return hidden  # type: ignore[no-any-return]


def changed_part(model: Any, x: Tensor) -> Tensor:
    hidden = model.fc(x)
    hidden[:, 0].relu_()
    return hidden  # type: ignore[no-any-return]


def assigned(model: Any, x: Tensor) -> Tensor:
    hidden = model.fc(x)
    hidden[:, 0] = 1.0
    return hidden  # type: ignore[no-any-return]


def test_what_changes_another_view_is_refused() -> None:
    says = "The model holds relu (outside any layer) that changes another view of a tensor"
    assert refusal(changed_view).startswith(says)
    assert refusal(changed_part).startswith(says)
    assert refusal(assigned).startswith(says.replace("relu", "fill"))


def test_what_changes_a_stored_tensor_is_refused() -> None:
    counter = torch.zeros(8)
    said = refusal(lambda m, x: m.fc(x) + m.counter.add_(1), counter=counter)
    assert said.startswith("The model holds add (outside any layer) that changes a stored tensor")
    renormed = prepared(nn.Sequential(nn.Embedding(7, 4, max_norm=1.0)), 5, vocabulary=7)
    with pytest.raises(UnsupportedOperation, match="embedding_renorm"):
        read_module(renormed[0], (5,))


# -- random programs -----------------------------------------------------------------------------

SAMPLES = 2

Views: TypeAlias = list[tuple[str, tuple[int, ...]]]

KINDS = ("permute", "merge", "split", "unsqueeze", "flip", "sum", "cut")


@st.composite
def steps(draw: st.DrawFn) -> Views:
    """Views in a row, some of which mix samples."""
    shape = [SAMPLES, 2, 3, 2]
    found: Views = []
    for _ in range(draw(st.integers(1, 6))):
        rank = len(shape)
        axis = draw(st.integers(0, rank - 1))
        kind = draw(
            st.sampled_from(["permute", "merge", "split", "unsqueeze", "flip", "sum", "cut"])
        )
        if kind == "permute":
            order = draw(st.permutations(range(rank)))
            found.append((kind, tuple(order)))
            shape = [shape[number] for number in order]
        elif kind == "merge" and rank > 2:
            axis = min(axis, rank - 2)
            shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
            found.append(("reshape", tuple(shape)))
        elif kind == "split":
            factor = draw(st.sampled_from([n for n in (1, 2, 3) if shape[axis] % n == 0]))
            shape[axis : axis + 1] = [factor, shape[axis] // factor]
            found.append(("reshape", tuple(shape)))
        elif kind == "unsqueeze":
            shape.insert(axis, 1)
            found.append((kind, (axis,)))
        elif kind == "flip":
            found.append((kind, (axis,)))
        elif kind == "sum" and rank > 2:
            del shape[axis]
            found.append((kind, (axis,)))
        elif kind == "cut" and shape[axis] > 1:
            shape[axis] -= 1
            found.append((kind, (axis,)))
    return found


class Steps(nn.Module):
    """A learned scale, and then views."""

    def __init__(self, program: Views) -> None:
        super().__init__()
        self.program = program
        self.scale = parameter(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale
        for kind, numbers in self.program:
            match kind:
                case "permute":
                    x = x.permute(numbers)
                case "reshape":
                    x = x.reshape(numbers)
                case "unsqueeze":
                    x = x.unsqueeze(numbers[0])
                case "flip":
                    x = x.flip(numbers)
                case "sum":
                    x = x.sum(numbers[0])
                case "cut":
                    x = x.narrow(numbers[0], 1, x.shape[numbers[0]] - 1)
        return x


@settings(max_examples=80, deadline=None)
@given(program=steps())
def test_views_in_any_order_are_exact_or_refused(
    program: Views,
) -> None:
    model, _ = prepared(Steps(program), 2, 3, 2)
    example = np.random.default_rng(0).normal(size=(SAMPLES, 2, 3, 2))
    try:
        graph = read_module(model.double(), (2, 3, 2))
    except UnsupportedOperation as error:
        assert "mixes samples" in str(error) or "over the batch axis" in str(error)
        return
    compare(interpret(graph, example), outputs(model, example), 1e-12)


@given(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4), st.data())
def test_reshaped_axes_have_the_shape(sizes: list[int], data: st.DataObject) -> None:
    axes = batch_first((5, *sizes))
    rest = prod(sizes)
    shape: list[int] = []
    while rest > 1:
        shape.append(data.draw(st.sampled_from([n for n in range(2, rest + 1) if rest % n == 0])))
        rest //= shape[-1]
    at = data.draw(st.integers(0, len(shape)))
    shape.insert(at, 5)
    found = reshaped(axes, shape)
    if at == 0:
        assert found is not None
    if found is not None:
        assert shape_of(found) == tuple(shape)
        assert prod(own(found)) == prod(sizes)
        # The samples stay the outermost, so they never change places with another axis.
        assert next(f for axis in found for f in axis if f.size > 1) == Factor(5, Role.BATCH)
