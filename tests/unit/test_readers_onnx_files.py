"""ONNX files: where tensors lie, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ingest.readers.onnx.file import read_onnx
from ingest.readers.onnx.wire import is_onnx, without_tensors
from store.errors import (
    InvalidArgument,
    InvalidName,
    InvalidWeights,
    ShapeMismatch,
    UnreadableModel,
    UnsupportedOperation,
)
from tests.unit.test_readers_onnx import array, compare, model, node, read


def mlp() -> onnx.ModelProto:
    return model(
        [node("Gemm", ["x", "w", "b"], "h", name="fc1"), node("Relu", ["h"])],
        None, {"w": array(4, 300), "b": array(300)},
    )  # fmt: skip


# -- recognition ---------------------------------------------------------------------------------


def test_recognition(tmp_path: Path) -> None:
    content = mlp().SerializeToString()
    path = tmp_path / "file"
    for whole in (content, content[:40], content[:-7]):
        path.write_bytes(whole)
        assert is_onnx(path)
    others = [
        b"", b"\x08", b"\x08\x09", b":" * 40, b"PK\x03\x04" + content, b"\x80\x02}q\x00.",
        b"\x89HDF\r\n\x1a\n", b"\x08\x0a\x12\x00\x00\x00\x00\x00{" + b" " * 99, b"\x08" * 99,
    ]  # fmt: skip
    for other in others:
        path.write_bytes(other)
        assert not is_onnx(path)
    assert not is_onnx(tmp_path / "nothing")
    assert not is_onnx(tmp_path)


# -- tensors -------------------------------------------------------------------------------------

TYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64", TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16", TensorProto.INT8: "int8", TensorProto.INT16: "int16",
    TensorProto.INT32: "int32", TensorProto.INT64: "int64", TensorProto.UINT8: "uint8",
    TensorProto.UINT16: "uint16", TensorProto.UINT32: "uint32", TensorProto.UINT64: "uint64",
    TensorProto.BOOL: "bool",
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("shape", [(), (5,), (3, 2), (40, 30), (0, 3)])
def test_tensors_of_all_types(kind: int, raw: bool, shape: tuple[int, ...], tmp_path: Path) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    signed = np.dtype(dtype).kind not in "ub"
    numbers = np.random.default_rng(1).integers(-9 if signed else 0, 9, shape).astype(dtype)
    if raw:
        tensor = numpy_helper.from_array(numbers, "t")
    else:
        tensor = helper.make_tensor("t", kind, shape, numbers.reshape(-1).tolist())
    made = model([node("Relu", ["x"])])
    made.graph.initializer.append(tensor)
    (parameter,) = read(made, tmp_path).parameters
    assert (parameter.name, parameter.shape, parameter.dtype) == ("t", shape, TYPES[kind])
    found = parameter.array()
    assert found.dtype in (np.float32, np.float64, np.int64, np.bool_)
    np.testing.assert_array_equal(found, numbers.astype(found.dtype))
    if shape and shape[0] > 2:
        np.testing.assert_array_equal(parameter.read(1, 3), numbers[1:3].astype(found.dtype))


def test_large_tensors_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(mlp().SerializeToString())
    message, spans = without_tensors(path)
    assert len(message) < path.stat().st_size - 5000
    assert [span is not None for span in spans] == [True, True]
    graph = read_onnx(path, None, None)
    expected = numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    np.testing.assert_array_equal(graph.parameters[0].read(1, 3), expected[1:3])


def test_integers_of_more_than_63_bits(tmp_path: Path) -> None:
    made = model([node("Relu", ["x"])], None, {"t": np.array([2**63], np.uint64)})
    (parameter,) = read(made, tmp_path).parameters
    with pytest.raises(InvalidWeights, match="more than 63 bits"):
        parameter.array()


# -- external data -------------------------------------------------------------------------------


def outside(folder: Path, **told: str) -> Path:
    """A model whose first tensor lies in ``weights.bin``, after 16 other bytes."""
    made = mlp()
    tensor = made.graph.initializer[0]
    (folder / "weights.bin").write_bytes(bytes(16) + tensor.raw_data)
    entries = {
        "location": "weights.bin", "offset": "16", "length": str(len(tensor.raw_data)), **told,
    }  # fmt: skip
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def test_external_data(tmp_path: Path) -> None:
    path = outside(tmp_path)
    expected = numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    graph = read_onnx(path, None, None)
    np.testing.assert_array_equal(graph.parameters[0].array(), expected)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes((tmp_path / "weights.bin").read_bytes())
    graph = read_onnx(outside(tmp_path, location="sub/w.bin"), None, None)
    np.testing.assert_array_equal(graph.parameters[0].array(), expected)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"location": "/etc/passwd"}, "no path within the folder"),
        ({"location": "../weights.bin"}, "no path within the folder"),
        ({"location": "sub/../../weights.bin"}, "no path within the folder"),
        ({"location": ""}, "no path within the folder"),
        ({"location": "a\0b"}, "no path within the folder"),
        ({"location": "."}, "is not a regular file"),
        ({"location": "nothing.bin"}, "cannot be read beside"),
        ({"location": "link.bin"}, "leads out of the folder"),
        ({"location": "pipe"}, "is not a regular file"),
        ({"location": "loop"}, "cannot be read beside"),
        ({"location": "x" * 300}, "cannot be read beside"),
        ({"offset": "20"}, "are not in a file of"),
        ({"offset": "99999999999999999"}, "are not in a file of"),
        ({"offset": "-4"}, "is no place of the tensor"),
        ({"offset": "1e3"}, "is no place of the tensor"),
        ({"length": "8"}, "has 8 bytes for"),
        ({"length": "9" * 19}, "are not in a file of"),
    ],
)
def test_external_data_that_lies(told: dict[str, str], says: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = outside(folder, **told)
    (tmp_path / "other.bin").write_bytes((folder / "weights.bin").read_bytes())
    (folder / "link.bin").symlink_to(tmp_path / "other.bin")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    with pytest.raises(UnreadableModel, match=says):
        read_onnx(path, None, None)


# -- what is refused -----------------------------------------------------------------------------

Change = Callable[[onnx.ModelProto], object]


def initializer(change: Callable[[onnx.TensorProto], object]) -> Change:
    return lambda made: change(made.graph.initializer[0])


def first_node(**told: Any) -> Change:
    return lambda made: made.graph.node[0].MergeFrom(onnx.NodeProto(**told))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda m: setattr(m.opset_import[0], "version", 10), UnsupportedOperation,
         "uses version 10 of the ONNX operators"),
        (lambda m: setattr(m.opset_import[0], "version", 99), UnsupportedOperation, "version 99"),
        (lambda m: m.ClearField("opset_import"), UnreadableModel, "does not say which ONNX"),
        (first_node(domain="com.microsoft", op_type="FusedGemm"), UnsupportedOperation,
         r"holds com\.microsoft\.FusedGemm \(layer 'fc1'\)"),
        (first_node(op_type="Loop"), UnreadableModel, "not as ONNX has it"),
        (first_node(op_type="Nonsense"), UnsupportedOperation, r"holds Nonsense \(layer 'fc1'\)"),
        (first_node(op_type="Upsample"), UnsupportedOperation, r"holds Upsample \(layer 'fc1'\)"),
        (lambda m: m.graph.node[0].input.append("x"), UnreadableModel, "not as ONNX has it"),
        (lambda m: m.graph.node.reverse(), UnreadableModel, "takes 'h', which no node before"),
        (lambda m: m.graph.node[0].input.__setitem__(0, "y"), UnreadableModel, "takes 'y'"),
        (lambda m: m.graph.node[1].output.__setitem__(0, "h"), UnreadableModel,
         "gives two values the name 'h'"),
        (lambda m: setattr(m.graph.output[0], "name", "z"), UnreadableModel, "the output 'z'"),
        (lambda m: setattr(m.graph.output[0], "name", "w"), UnsupportedOperation,
         "depends on an input"),
        (lambda m: m.graph.ClearField("input"), UnsupportedOperation, "takes no tensor"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 8),
         UnsupportedOperation, "neither floats nor integers"),
        (lambda m: m.graph.sparse_initializer.add(), UnsupportedOperation, "sparse tensors"),
        (lambda m: setattr(m.graph.initializer[1], "name", "w"), UnreadableModel,
         "two of its tensors have one name"),
        (initializer(lambda t: setattr(t, "name", "w" * 201)), InvalidName, "201 characters"),
        (initializer(lambda t: setattr(t, "data_type", TensorProto.STRING)), InvalidWeights,
         "'w' holds STRING"),
        (initializer(lambda t: setattr(t, "data_type", TensorProto.COMPLEX64)), InvalidWeights,
         "'w' holds COMPLEX64"),
        (initializer(lambda t: setattr(t, "data_type", 77)), InvalidWeights, "unknown type 77"),
        (initializer(lambda t: setattr(t, "data_type", TensorProto.DOUBLE)), UnreadableModel,
         r"'w' has 4800 bytes for \(4, 300\)"),
        (initializer(lambda t: t.dims.append(2**40)), UnreadableModel, "has 4800 bytes for"),
        (initializer(lambda t: t.dims.__setitem__(0, -4)), UnreadableModel, "the shape of 'w'"),
        (initializer(lambda t: t.dims.extend([1] * 40)), UnreadableModel, "the shape of 'w'"),
        (initializer(lambda t: t.segment.CopyFrom(TensorProto.Segment(begin=0, end=1))),
         UnreadableModel, "is stored in segments"),
        (initializer(lambda t: t.dims.__setitem__(slice(0, 2), [300, 4])), ShapeMismatch,
         r"The node 'fc1' \(Gemm\) does not fit"),
        (lambda m: m.graph.input[0].type.tensor_type.shape.dim[1].__setattr__("dim_value", 2**60),
         UnreadableModel, "has an axis of"),
    ],
)  # fmt: skip
def test_what_is_refused(change: Change, error: type[Exception], says: str, tmp_path: Path) -> None:
    made = mlp()
    change(made)
    with pytest.raises(error, match=says):
        read(made, tmp_path)


def test_activations_are_told_by_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="tells its activations itself"):
        read_onnx(tmp_path / "model.onnx", None, "relu")


def test_files_that_are_too_large_or_empty(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x0a")
    os.truncate(path, 2**31)
    with pytest.raises(UnreadableModel, match="save the model with its weights as external data"):
        read_onnx(path, None, None)
    path.write_bytes(b"")
    with pytest.raises(UnreadableModel, match="it is empty"):
        read_onnx(path, None, None)


def test_arrays_that_a_few_bytes_describe(tmp_path: Path) -> None:
    big = np.array([2**33], np.int64)
    made = model(
        [node("ConstantOfShape", ["n"], "c"), node("ReduceSum", ["c"], "s"),
         node("Add", ["x", "s"])],
        None, {"n": big},
    )  # fmt: skip
    with pytest.raises(UnsupportedOperation, match="more than such a small file should hold"):
        read(made, tmp_path)
    made = model([node("Tile", ["x", "r"])], None, {"r": np.array([1, 10**9])})
    with pytest.raises(UnsupportedOperation, match="of 4000000000 indices"):
        read(made, tmp_path)
    made = model([node("Pad", ["x", "p"])], None, {"p": np.array([0, 0, 0, 2**50])})
    with pytest.raises(UnsupportedOperation, match="gives 1125899906842628 values"):
        read(made, tmp_path)


def test_what_leads_to_no_output_is_not_looked_at(tmp_path: Path) -> None:
    made = mlp()
    made.graph.node.append(helper.make_node("Nonsense", ["x"], ["z"], domain="nowhere"))
    assert [o.name for o in read(made, tmp_path).operations] == ["input", "fc1", "relu_y"]


def test_loops(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Relu", ["v"], ["w2"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("c", TensorProto.BOOL, []),
         helper.make_tensor_value_info("v", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, []),
         helper.make_tensor_value_info("w2", TensorProto.FLOAT, None)],
    )  # fmt: skip
    made = model([node("Loop", ["n", "", "x"], body=body, name="again")], None, {"n": np.array(3)})
    with pytest.raises(UnsupportedOperation, match=r"holds Loop \(layer 'again'\)"):
        read(made, tmp_path)


def test_unknown_operators_are_opaque(tmp_path: Path) -> None:
    made = model(
        [node("GridSample", ["x", "grid"], "g", name="sampled"), node("Flatten", ["g"])],
        {"x": ("N", 2, 3, 3)}, {"grid": array(1, 4, 5, 2)},
    )  # fmt: skip
    graph = read(made, tmp_path)
    _, opaque, flat = graph.operations
    assert (opaque.kind, opaque.name, opaque.shape) == ("opaque", "sampled", (2, 4, 5))
    assert opaque.attributes == {"operator": "GridSample", "module": "sampled"}
    assert {role: p.name for role, p in opaque.parameters.items()} == {"grid": "grid"}
    assert flat.inputs == ("sampled",)


# -- functions -----------------------------------------------------------------------------------


def function(name: str, nodes: list[onnx.NodeProto]) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    made: onnx.FunctionProto = helper.make_function("mine", name, ["a"], ["z"], nodes, imports)
    return made


def with_functions(functions: list[onnx.FunctionProto]) -> onnx.ModelProto:
    made = model(
        [helper.make_node("f0", ["x"], ["h"], domain="mine"), node("Gemm", ["h", "w"])],
        None, {"w": array(4, 300)}, outside=[helper.make_opsetid("mine", 1)],
    )  # fmt: skip
    made.functions.extend(functions)
    return made


def test_local_functions_stand_for_their_nodes(tmp_path: Path) -> None:
    inner = function("f1", [helper.make_node("Tanh", ["a"], ["z"])])
    outer = function("f0", [
        helper.make_node("f1", ["a"], ["b"], domain="mine"),
        helper.make_node("f1", ["b"], ["z"], domain="mine"),
    ])  # fmt: skip
    graph = compare(with_functions([outer, inner]), tmp_path, {"x": array(2, 4)})
    assert [o.kind for o in graph.operations] == ["input", "tanh", "tanh", "linear"]


def test_functions_without_end(tmp_path: Path) -> None:
    itself = function("f0", [helper.make_node("f0", ["a"], ["z"], domain="mine")])
    with pytest.raises(UnreadableModel, match="'f0' calls itself"):
        read(with_functions([itself]), tmp_path)
    doubling = [
        function(f"f{n}", [
            helper.make_node(f"f{n + 1}", ["a"], ["b"], domain="mine"),
            helper.make_node(f"f{n + 1}", ["b"], ["z"], domain="mine"),
        ])
        for n in range(40)
    ]  # fmt: skip
    last = function("f40", [helper.make_node("Tanh", ["a"], ["z"])])
    with pytest.raises(UnsupportedOperation, match="more than 200000 nodes"):
        read(with_functions([*doubling, last]), tmp_path)
