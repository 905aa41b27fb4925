"""Normalizations and learned slopes against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

from queries.evaluation import evaluate


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def random(*shape: int) -> Tensor:
    return 3 * torch.randn(*shape, dtype=torch.float64) + 1


def randomized(module: nn.Module) -> nn.Module:
    """In float64, with other weights and statistics than the ones and zeros of a new module."""
    module = module.double().eval()
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data = torch.rand_like(tensor) + 0.5
    return module


def tensors_of(module: nn.Module) -> dict[str, Any]:
    names = {"running_mean": "mean", "running_var": "variance"}
    return {
        names.get(key, key): tensor.numpy()
        for key, tensor in module.state_dict().items()
        if tensor.is_floating_point()
    }


def check(kind: str, attributes: dict[str, Any], module: nn.Module, x: Tensor) -> None:
    got = evaluate(kind, attributes, [x.numpy()], tensors_of(module))
    assert_allclose(got, module(x).detach(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape", "axis"),
    [
        (nn.BatchNorm1d, (5, 4), -1),
        (nn.BatchNorm1d, (5, 4, 6), -2),
        (nn.BatchNorm2d, (5, 4, 3, 2), -3),
        (nn.BatchNorm3d, (5, 4, 3, 2, 3), -4),
    ],
)
def test_batch_norm(kind: Any, shape: tuple[int, ...], axis: int, affine: bool) -> None:
    module = randomized(kind(4, eps=0.01, affine=affine))
    check("batch_norm", {"epsilon": 0.01, "axis": axis}, module, random(*shape))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("over", [(6,), (4, 6), (3, 4, 6)])
def test_layer_norm(over: tuple[int, ...], affine: bool) -> None:
    module = randomized(nn.LayerNorm(over, eps=0.1, elementwise_affine=affine))
    attributes = {"epsilon": 0.1, "axes": tuple(range(-len(over), 0))}
    check("layer_norm", attributes, module, random(5, 3, 4, 6))


@pytest.mark.parametrize("axes", [(-3,), (-3, -1), (-1, -3)])
@pytest.mark.parametrize("kind", ["layer_norm", "rms_norm"])
def test_a_norm_over_any_axes(kind: str, axes: tuple[int, ...]) -> None:
    """Those that torch cannot take are moved to the end for it."""
    x = random(5, 3, 4, 6)
    shape = tuple(x.shape[axis] for axis in axes)
    module = randomized(
        nn.LayerNorm(shape, eps=0.1) if kind == "layer_norm" else nn.RMSNorm(shape, eps=0.1)
    )
    last = tuple(range(-len(axes), 0))
    expected = module(x.movedim(axes, last)).movedim(last, axes)
    got = evaluate(kind, {"epsilon": 0.1, "axes": axes}, [x.numpy()], tensors_of(module))
    assert_allclose(got, expected.detach(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("over", [(6,), (4, 6)])
def test_rms_norm(over: tuple[int, ...], affine: bool) -> None:
    module = randomized(nn.RMSNorm(over, eps=0.1, elementwise_affine=affine))
    attributes = {"epsilon": 0.1, "axes": tuple(range(-len(over), 0))}
    check("rms_norm", attributes, module, random(5, 3, 4, 6))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 4), (5, 6, 4, 3)])
def test_group_norm(shape: tuple[int, ...], groups: int, affine: bool) -> None:
    module = randomized(nn.GroupNorm(groups, 6, eps=0.1, affine=affine))
    check("group_norm", {"epsilon": 0.1, "groups": groups}, module, random(*shape))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (nn.InstanceNorm1d, (5, 4, 6)),
        (nn.InstanceNorm2d, (5, 4, 3, 2)),
        (nn.InstanceNorm3d, (5, 4, 3, 2, 3)),
    ],
)
def test_instance_norm(kind: Any, shape: tuple[int, ...], affine: bool) -> None:
    module = randomized(kind(4, eps=0.01, affine=affine))
    check("instance_norm", {"epsilon": 0.01}, module, random(*shape))


@pytest.mark.parametrize("slopes", [1, 4])
@pytest.mark.parametrize(("shape", "axis"), [((5, 4), -1), ((5, 4, 3), -2), ((5, 4, 3, 2), -3)])
def test_prelu(shape: tuple[int, ...], axis: int, slopes: int) -> None:
    check("prelu", {"axis": axis}, randomized(nn.PReLU(slopes)), random(*shape))


def test_prelu_along_the_last_axis() -> None:
    got = evaluate("prelu", {"axis": -1}, [-np.ones((1, 2, 2))], {"weight": np.array([2.0, 3.0])})
    assert got.tolist() == [[[-2.0, -3.0], [-2.0, -3.0]]]
