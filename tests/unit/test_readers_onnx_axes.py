"""ONNX's operators that move values, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from store.errors import UnsupportedOperation
from tests.unit.test_readers_onnx import Array, array, compare, ints, kinds, model, node, read


@pytest.mark.parametrize(
    ("shape", "target", "sample"),
    [
        ((6, 4), (-1, 24), (24,)),
        ((6, 4), (0, 3, 8), (3, 8)),
        ((6, 4), (0, 0, 2, -1), (6, 2, 2)),
        ((6, 4), (-1, 4), (6, 4)),
        ((1, 24), (-1, 1, 3, 8), (1, 3, 8)),
    ],
)
def test_reshape(
    shape: tuple[int, ...], target: tuple[int, ...], sample: tuple[int, ...], tmp_path: Path
) -> None:
    made = model([node("Reshape", ["x", "t"])], {"x": ("N", *shape)}, {"t": ints(*target)})
    graph = read(made, tmp_path)
    assert graph.operations[-1].shape == sample
    # Where samples are joined the function is that of one sample.
    batch = 1 if target == (-1, 4) else 2
    values = array(batch, *shape)
    axes = {"y": 0}
    if batch == 1:
        made.graph.node.append(node("Unsqueeze", ["y", "first"], "z"))
        made.graph.initializer.append(onnx.numpy_helper.from_array(ints(0), "first"))
        made.graph.output[0].name = "z"
    compare(made, tmp_path, {"x": values}, axes=axes)


def test_reshapes_in_a_row_are_one_and_back_are_none(tmp_path: Path) -> None:
    made = model(
        [node("Reshape", ["x", "a"], "p"), node("Flatten", ["p"], "q"),
         node("Reshape", ["q", "b"], "r"), node("Relu", ["r"], "s"),
         node("Flatten", ["s"], "t"), node("Reshape", ["t", "b"], "u"), node("Tanh", ["u"])],
        {"x": ("N", 4, 6)}, {"a": ints(-1, 12, 2), "b": ints(-1, 3, 8)},
    )  # fmt: skip
    assert kinds(compare(made, tmp_path, {"x": array(2, 4, 6)})) == [
        "input", "reshape", "relu", "tanh",
    ]  # fmt: skip


def test_samples_joined_and_parted_again(tmp_path: Path) -> None:
    made = model(
        [node("Reshape", ["x", "a"], "p"), node("MatMul", ["p", "w"], "q"),
         node("Reshape", ["q", "b"], "r"), node("Conv", ["r", "k"])],
        {"x": ("N", 3, 4)},
        {"a": ints(-1, 4), "w": array(4, 5), "b": ints(-1, 3, 5), "k": array(2, 3, 2)},
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(2, 3, 4)})
    assert kinds(graph) == ["input", "linear", "conv"]


@pytest.mark.parametrize(
    ("axis", "sample"), [(1, (12,)), (2, (12,)), (-1, (12,)), (0, (12,)), (3, (12,))]
)
def test_flatten(axis: int, sample: tuple[int, ...], tmp_path: Path) -> None:
    made = model([node("Flatten", ["x"], axis=axis)], {"x": (1, 3, 4)})
    graph = read(made, tmp_path)
    assert int(np.prod(graph.operations[-1].shape)) == int(np.prod(sample))
    if axis == 1:
        assert kinds(compare(made, tmp_path, {"x": array(1, 3, 4)}))[-1] == "flatten"


@pytest.mark.parametrize("perm", [[0, 2, 1, 3], [1, 0, 2, 3], [3, 1, 0, 2], None, [2, 3, 1, 0]])
def test_transpose(perm: list[int] | None, tmp_path: Path) -> None:
    told: dict[str, Any] = {} if perm is None else {"perm": perm}
    made = model([node("Transpose", ["x"], **told)], {"x": ("N", 3, 4, 5)})
    place = (perm or [3, 2, 1, 0]).index(0)
    compare(made, tmp_path, {"x": array(2, 3, 4, 5)}, axes={"y": place})


@pytest.mark.parametrize("opset", [11, 17])
def test_squeeze_and_unsqueeze(opset: int, tmp_path: Path) -> None:
    told: dict[str, Any] = {"axes": [0, 3]} if opset < 13 else {}
    back: dict[str, Any] = {"axes": [0, 3]} if opset < 13 else {}
    more = [] if opset < 13 else ["a"]
    made = model(
        [node("Unsqueeze", ["x", *more], "u", **told), node("Relu", ["u"], "r"),
         node("Squeeze", ["r", *more], "s", **back), node("Squeeze", ["s"])],
        {"x": ("N", 3, 1, 4)}, {} if opset < 13 else {"a": ints(0, 3)}, opset=opset,
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(2, 3, 1, 4)})
    assert graph.operations[-1].shape == (3, 4)


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps", "found"),
    [
        ([1], [3], [1], [1], ["slice"]),
        ([-2], [2**63 - 1], [-1], [1], ["slice"]),
        ([0, 1], [3, 7], [1, 2], [2, 3], ["slice", "slice"]),
        ([-1], [-(2**63)], [2], [-1], ["take"]),
        ([4], [0], [2], [-2], ["take"]),
        ([0, 0], [2**31, 6], [0, 1], [1, 1], []),
    ],
)
def test_slice(
    starts: list[int],
    ends: list[int],
    axes: list[int],
    steps: list[int],
    found: list[str],
    tmp_path: Path,
) -> None:
    tensors = {
        "s": ints(*starts), "e": ints(*ends), "a": ints(*axes), "p": ints(*steps),
    }  # fmt: skip
    made = model([node("Slice", ["x", *tensors])], {"x": ("N", 6, 7)}, tensors)
    assert kinds(compare(made, tmp_path, {"x": array(2, 6, 7)})) == ["input", *found]


@pytest.mark.parametrize(
    ("opset", "inputs", "told"),
    [
        (11, ["x"], {"axis": 1, "split": [1, 2, 3]}),
        (13, ["x", "s"], {"axis": 1}),
        (18, ["x"], {"axis": -2, "num_outputs": 3}),
    ],
)
def test_split(opset: int, inputs: list[str], told: dict[str, Any], tmp_path: Path) -> None:
    made = model(
        [node("Split", inputs, "a b c", **told), node("Concat", ["c", "a", "b"], "y", axis=1)],
        {"x": ("N", 6, 2)}, {"s": ints(1, 2, 3)} if "s" in inputs else {}, opset=opset,
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(2, 6, 2)})
    assert kinds(graph) == ["input", "slice", "slice", "slice", "concat"]


@pytest.mark.parametrize(
    ("axis", "indices"),
    [
        (1, np.array(2)),
        (2, np.array(-1)),
        (1, ints(1, 2)),
        (1, ints(3, 0, 0)),
        (2, np.array([[1, 0], [2, 3]])),
    ],
)
def test_gather(axis: int, indices: Array, tmp_path: Path) -> None:
    made = model([node("Gather", ["x", "i"], axis=axis)], {"x": ("N", 4, 5)}, {"i": indices})
    compare(made, tmp_path, {"x": array(2, 4, 5)})


def test_gather_before_the_batch_axis(tmp_path: Path) -> None:
    made = model(
        [node("Gather", ["s", "i"], "g", axis=0), node("Add", ["x", "g"])],
        {"x": ("batch", 4), "s": (2, "batch", 4)}, {"i": np.array(1)},
    )  # fmt: skip
    compare(made, tmp_path, {"x": array(3, 4), "s": array(2, 3, 4)}, axes={"s": 1})


def test_concat_with_a_constant(tmp_path: Path) -> None:
    made = model([node("Concat", ["c", "x"], axis=1)], {"x": (1, 3, 4)}, {"c": array(1, 2, 4)})
    graph = compare(made, tmp_path, {"x": array(1, 3, 4)})
    assert kinds(graph) == ["input", "parameter", "concat"]
    assert graph.operations[1].shape == (2, 4)
    with pytest.raises(UnsupportedOperation, match="mixes samples"):
        read(model([node("Concat", ["x", "x"], axis=0)]), tmp_path)


def test_expand_and_tile(tmp_path: Path) -> None:
    made = model(
        [node("Expand", ["x", "e"], "p"), node("Tile", ["p", "r"])],
        {"x": ("N", 1, 4)}, {"e": ints(1, 3, 1), "r": ints(1, 2, 2)},
    )  # fmt: skip
    compare(made, tmp_path, {"x": array(2, 1, 4)})


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pad(mode: str, tmp_path: Path) -> None:
    made = model(
        [node("Pad", ["x", "p"], mode=mode)],
        {"x": ("N", 3, 5)}, {"p": ints(0, 1, 2, 0, 0, 3)}, opset=19,
    )  # fmt: skip
    compare(made, tmp_path, {"x": array(2, 3, 5)})


def test_pad_that_cuts_and_of_some_axes(tmp_path: Path) -> None:
    made = model(
        [node("Pad", ["x", "p", "", "a"])],
        {"x": ("N", 3, 5)}, {"p": ints(-1, 2), "a": ints(-1)}, opset=18,
    )  # fmt: skip
    assert kinds(compare(made, tmp_path, {"x": array(2, 3, 5)})) == ["input", "slice", "pad"]
    made = model(
        [node("Pad", ["x", "p", "v"])],
        {"x": ("N", 5)}, {"p": ints(0, 1, 0, 1), "v": np.array(1, np.float32)},
    )  # fmt: skip
    with pytest.raises(UnsupportedOperation, match="another value than 0"):
        read(made, tmp_path)


PLACES = ["asymmetric", "half_pixel", "pytorch_half_pixel"]
ROUNDINGS = ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("sized", [True, False])
def test_resize(place: str, rounding: str, sized: bool, tmp_path: Path) -> None:
    tensors: dict[str, Array] = (
        {"n": ints(1, 2, 6, 20)} if sized else {"s": np.array([1, 1, 2, 4], np.float32)}
    )
    inputs = ["x", "", "", "n"] if sized else ["x", "", "s"]
    told = {"coordinate_transformation_mode": place, "nearest_mode": rounding}
    made = model([node("Resize", inputs, mode="nearest", **told)], {"x": (1, 2, 3, 5)}, tensors)
    assert kinds(compare(made, tmp_path, {"x": array(1, 2, 3, 5)})) == ["input", "take", "take"]


@pytest.mark.parametrize(
    ("scales", "mode", "says"),
    [
        ([1, 1, 2, 2], "linear", "mode 'linear'"),
        ([1, 1, 1.5, 2], "nearest", "no whole multiple"),
        ([1, 1, 1.2, 2], "nearest", "no whole multiple"),
        ([1, 1, 0.5, 2], "nearest", "no whole multiple"),
    ],
)
def test_resize_of_another_kind(scales: list[float], mode: str, says: str, tmp_path: Path) -> None:
    made = model(
        [node("Resize", ["x", "", "s"], mode=mode)],
        {"x": ("N", 2, 4, 4)}, {"s": np.array(scales, np.float32)},
    )  # fmt: skip
    with pytest.raises(UnsupportedOperation, match=f"holds Resize .*{says}"):
        read(made, tmp_path)


@pytest.mark.parametrize(
    ("operator", "told", "shape"),
    [
        ("DepthToSpace", {"blocksize": 2, "mode": "DCR"}, (8, 3, 5)),
        ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}, (8, 3, 5)),
        ("SpaceToDepth", {"blocksize": 2}, (3, 4, 6)),
    ],
)
def test_blocks(
    operator: str, told: dict[str, Any], shape: tuple[int, ...], tmp_path: Path
) -> None:
    made = model([node(operator, ["x"], **told)], {"x": ("N", *shape)})
    compare(made, tmp_path, {"x": array(2, *shape)})
