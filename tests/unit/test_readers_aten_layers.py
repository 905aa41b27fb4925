"""Layers of images: convolutions, pooling, norms, padding, upsampling, as torch computes them."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from ingest.operations import OperationGraph
from ingest.readers.module import read_module
from store.errors import UnsupportedOperation
from tests.agreement import agreed
from tests.modelling import Function, prepared

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

IMAGE = (4, 8, 9)


def after_a_convolution(module: nn.Module, shape: tuple[int, ...]) -> OperationGraph:
    """The graph of a module behind a convolution of its input."""
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(shape) - 2]
    first: nn.Module = conv(shape[0], shape[0], 1)
    return agreed(*prepared(nn.Sequential(first, module), *shape))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv1d(4, 6, 3, stride=2), (4, 9)),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), IMAGE),
        (nn.Conv2d(4, 6, (3, 4), padding="same", dilation=(1, 2)), IMAGE),
        (nn.Conv2d(4, 6, (3, 4), padding="valid", bias=False), IMAGE),
        (nn.Conv2d(4, 8, 3, groups=4), IMAGE),
        (nn.Conv3d(2, 6, (1, 2, 3), padding=(0, 1, 2)), (2, 4, 5, 6)),
        (nn.ConvTranspose1d(4, 6, 3, stride=3, output_padding=2, groups=2), (4, 5)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), IMAGE),
        (nn.ConvTranspose2d(4, 6, (3, 2), (3, 2), (1, 0), (2, 1), dilation=(1, 2)), IMAGE),
        (nn.ConvTranspose2d(4, 2, 3, padding=2, bias=False), IMAGE),
        (nn.ConvTranspose3d(2, 3, 2, stride=2), (2, 3, 3, 4)),
    ],
    ids=str,
)
def test_convolutions(module: nn.Module, shape: tuple[int, ...]) -> None:
    graph = agreed(*prepared(module, *shape))
    assert len(graph.operations) == 2


def test_a_convolution_says_what_it_is() -> None:
    conv = nn.Conv2d(4, 6, (3, 4), padding="same", stride=1, dilation=(1, 3), groups=2)
    graph = read_module(*prepared(nn.Sequential(conv), *IMAGE)[:1], IMAGE)
    operation = graph.operations[1]
    assert (operation.name, operation.kind, operation.shape) == ("0", "conv", (6, 8, 9))
    assert {role: tensor.name for role, tensor in operation.parameters.items()} == {
        "weight": "0.weight",
        "bias": "0.bias",
    }
    assert operation.attributes == {
        "stride": (1, 1),
        "dilation": (1, 3),
        "padding": ((1, 1), (4, 5)),
        "groups": 2,
        "layout": "target_source",
    }


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "zeros"])
@pytest.mark.parametrize("padding", ["same", (2, 1)])
def test_padding_of_convolutions(mode: Any, padding: Any) -> None:
    agreed(*prepared(nn.Conv2d(4, 6, (3, 4), padding=padding, padding_mode=mode), *IMAGE))


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(3, 2, 0, 1), ((3, 2), (2, 3), 1, 1), (2, 2, 1, 2), (3, None, 1, (2, 1)), (4, 3, 2, 1)],
)
def test_max_pools(kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> None:
    pool = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil)
    after_a_convolution(pool, IMAGE)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 0), (2, 3, 0), ((3, 4), 2, 1)])
def test_average_pools(kernel: Any, stride: Any, padding: Any, counts: bool, ceil: bool) -> None:
    pool = nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil, count_include_pad=counts)
    if ceil and counts and padding:
        with pytest.raises(UnsupportedOperation, match="ceil_mode=True and count_include_pad=True"):
            after_a_convolution(pool, IMAGE)
    else:
        after_a_convolution(pool, IMAGE)


@pytest.mark.parametrize(
    ("module", "shape", "kind"),
    [
        (nn.MaxPool1d(3), (4, 8), "max_pool"),
        (nn.MaxPool3d(2), (2, 4, 4, 4), "max_pool"),
        (nn.AvgPool1d(3, 2, 1), (4, 8), "average_pool"),
        (nn.AvgPool3d(2), (2, 4, 4, 4), "average_pool"),
        (nn.AdaptiveAvgPool1d(2), (4, 8), "average_pool"),
        (nn.AdaptiveAvgPool2d((4, 3)), IMAGE, "average_pool"),
        (nn.AdaptiveAvgPool2d((None, 1)), IMAGE, "average_pool"),
        (nn.AdaptiveAvgPool2d(1), IMAGE, "reduce"),
        (nn.AdaptiveAvgPool3d((2, 1, 2)), (2, 4, 4, 4), "average_pool"),
        (nn.AdaptiveMaxPool1d(1), (4, 8), "reduce"),
        (nn.AdaptiveMaxPool2d((2, 3)), IMAGE, "max_pool"),
        (nn.BatchNorm1d(4), (4, 8), "batch_norm"),
        (nn.BatchNorm2d(4, affine=False), IMAGE, "batch_norm"),
        (nn.BatchNorm3d(2, eps=0.1), (2, 3, 3, 3), "batch_norm"),
        (nn.LayerNorm((8, 9)), IMAGE, "layer_norm"),
        (nn.LayerNorm(9, bias=False), IMAGE, "layer_norm"),
        (nn.LayerNorm(9, elementwise_affine=False), IMAGE, "layer_norm"),
        (nn.GroupNorm(2, 4), IMAGE, "group_norm"),
        (nn.InstanceNorm2d(4, affine=True), IMAGE, "instance_norm"),
        (nn.InstanceNorm1d(4), (4, 8), "instance_norm"),
        (nn.InstanceNorm2d(4, track_running_stats=True), IMAGE, "batch_norm"),
        (nn.RMSNorm(9), IMAGE, "rms_norm"),
        (nn.RMSNorm((8, 9), eps=1e-3), IMAGE, "rms_norm"),
        (nn.PReLU(4), IMAGE, "prelu"),
        (nn.PReLU(), IMAGE, "prelu"),
        (nn.Softmax2d(), IMAGE, "softmax"),
        (nn.RReLU(), IMAGE, "leaky_relu"),
        (nn.Dropout2d(), IMAGE, "dropout"),
        (nn.ReflectionPad2d((1, 2, 0, 1)), IMAGE, "pad"),
        (nn.ReplicationPad1d(2), (4, 8), "pad"),
        (nn.CircularPad2d((2, 1, 1, 0)), IMAGE, "pad"),
    ],
    ids=str,
)
def test_layers_of_one_operation(module: nn.Module, shape: tuple[int, ...], kind: str) -> None:
    graph = after_a_convolution(module, shape)
    assert [(o.name, o.kind) for o in graph.operations[1:]] == [("0", "conv"), ("1", kind)]


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.GLU(1), IMAGE),
        (nn.GLU(-2), IMAGE),
        (nn.Softmin(1), IMAGE),
        (nn.LocalResponseNorm(2), IMAGE),
        (nn.LPPool2d(2, 3), IMAGE),
        (nn.PixelShuffle(2), IMAGE),
        (nn.PixelUnshuffle(2), (4, 8, 10)),
        (nn.ChannelShuffle(2), IMAGE),
        (nn.ZeroPad2d((-1, 2, 0, -2)), IMAGE),
        (nn.Flatten(2), IMAGE),
        (nn.Upsample(scale_factor=2), IMAGE),
        (nn.Upsample(size=(11, 5)), IMAGE),
        (nn.Upsample(size=12, mode="nearest-exact"), IMAGE),
        (nn.Upsample(scale_factor=2), (2, 3, 3, 2)),
    ],
    ids=str,
)
def test_layers_of_several_operations(module: nn.Module, shape: tuple[int, ...]) -> None:
    after_a_convolution(module, shape)


@pytest.mark.parametrize("size", [5, 11, 13, 20])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_the_nearest_entry_is_torchs(size: int, mode: str) -> None:
    after_a_convolution(nn.Upsample(size=size, mode=mode), (2, 8))
    after_a_convolution(nn.Upsample(scale_factor=size / 8 + 0.01, mode=mode), (2, 8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_what_rms_norm_adds_by_itself(dtype: torch.dtype) -> None:
    model = nn.RMSNorm(4).to(dtype)
    (operation,) = read_module(model, (4,)).operations[1:]
    small = torch.full((1, 4), 1e-6, dtype=torch.float64).to(dtype)
    with torch.no_grad():
        expected = model(small).double()
    given = small.double()
    ours = given / (given**2 + operation.attributes["epsilon"]).sqrt()
    # The types that are not so fine round what they give.
    torch.testing.assert_close(ours, expected, rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (nn.AdaptiveAvgPool2d(5), "adaptive_avg_pool2d (layer '1') from (8, 9) to (5, 5)"),
        (nn.AvgPool2d(2, divisor_override=3), "avg_pool2d (layer '1') with divisor_override=3"),
        (nn.BatchNorm2d(4, track_running_stats=False), "batch_norm (layer '1') with training=True"),
        (nn.ConstantPad2d(1, 3.0), "pad (layer '1') with value=3.0"),
        (nn.MaxPool2d(2, return_indices=True), "with its indices"),
    ],
    ids=str,
)
def test_what_is_not_exact_is_refused(module: nn.Module, says: str) -> None:
    with pytest.raises(UnsupportedOperation, match=re.escape(says)):
        after_a_convolution(module, IMAGE)


def test_what_is_not_understood_is_opaque() -> None:
    model = nn.Sequential(nn.Conv2d(4, 3, 1), nn.Upsample(scale_factor=2, mode="bilinear"))
    graph = read_module(model.eval(), IMAGE)
    operation = graph.operations[-1]
    assert (operation.name, operation.kind, operation.inputs) == ("1", "opaque", ("0",))
    assert operation.shape == (3, 16, 18)
    assert operation.attributes == {"operator": "upsample_bilinear2d", "module": "1"}


def test_an_opaque_operation_has_its_tensors() -> None:
    model = Function(lambda m, x: m.both(x[:, :3], x[:, 3:]), both=nn.Bilinear(3, 4, 5))
    operation = read_module(model.eval(), (7,)).operations[-1]
    assert (operation.kind, operation.shape) == ("opaque", (5,))
    assert len(operation.inputs) == 2
    assert {role: tensor.name for role, tensor in operation.parameters.items()} == {
        "weight": "both.weight",
        "bias": "both.bias",
    }


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: m.fc(x).topk(2).values,
        lambda m, x: m.fc(x).cumsum(0)[0],
        lambda m, x: m.fc(x).sort(-1)[0],
        lambda m, x: m.fc(x) * torch.randn(8),
    ],
)
def test_what_cannot_even_be_opaque_is_refused(compute: Any) -> None:
    model = Function(compute, fc=nn.Linear(8, 8))
    with pytest.raises(UnsupportedOperation, match="which Weightome cannot ingest"):
        read_module(model.eval(), (8,))
