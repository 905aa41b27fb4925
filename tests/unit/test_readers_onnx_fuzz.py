"""Garbled ONNX files: nothing but a graph or an error of ours comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, defs

from ingest.readers.onnx.file import read_onnx
from ingest.readers.onnx.wire import is_onnx
from store.errors import WeightomeError
from tests.unit.test_readers_onnx import Array, array, model, node


def several() -> list[bytes]:
    """Small models of all tables."""
    lstm = {"w": array(2, 8, 3), "r": array(2, 8, 2), "b": array(2, 16)}
    models = [
        model(
            [node("Conv", ["x", "k", "b"], "c", pads=[1, 1], strides=[2]),
             node("MaxPool", ["c"], "p", kernel_shape=[2]), node("Flatten", ["p"], "f"),
             node("Reshape", ["f", "t"], "r"), node("Softmax", ["r"], axis=-1)],
            {"x": ("N", 2, 8)},
            {"k": array(3, 2, 3), "b": array(3), "t": np.array([0, 3, 3])},
        ),
        model(
            [node("LSTM", ["x", *lstm], "s h", hidden_size=2, direction="bidirectional"),
             node("Transpose", ["s"], "t", perm=[0, 2, 1, 3]), node("Reshape", ["t", "j"])],
            {"x": (4, "batch", 3)}, {**lstm, "j": np.array([0, 0, -1])},
        ),
        model(
            [node("Shape", ["x"], "s"), node("Gather", ["s", "i"], "n"),
             node("Concat", ["n", "m"], "t", axis=0), node("Expand", ["c", "t"], "e"),
             node("Slice", ["x", "i", "m"], "l"), node("Add", ["l", "e"], "a"),
             node("LayerNormalization", ["a", "g"], axis=1), ],
            {"x": ("N", 4)},
            {"i": np.array([0]), "m": np.array([4]), "c": array(1), "g": array(4)},
        ),
    ]  # fmt: skip
    return [made.SerializeToString() for made in models]


SEVERAL = several()

BOUNDED = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def only_our_errors(content: bytes, folder: Path) -> None:
    path = folder / "fuzzed.onnx"
    path.write_bytes(content)
    is_onnx(path)
    try:
        graph = read_onnx(path, None, None)
        for parameter in graph.parameters:
            parameter.array()
    except WeightomeError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000


@given(
    which=st.sampled_from(SEVERAL),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
    ),
)
@BOUNDED
def test_changed_bytes(which: bytes, changes: list[tuple[float, int]], tmp_path: Path) -> None:
    found = bytearray(which)
    for place, value in changes:
        found[int(place * len(found))] = value
    only_our_errors(bytes(found), tmp_path)


@given(which=st.sampled_from(SEVERAL), share=st.floats(0, 1, exclude_max=True))
@settings(BOUNDED, max_examples=60)
def test_truncated_files(which: bytes, share: float, tmp_path: Path) -> None:
    only_our_errors(which[: int(share * len(which))], tmp_path)


@given(content=st.binary(max_size=200))
@settings(BOUNDED, max_examples=60)
def test_random_bytes(content: bytes, tmp_path: Path) -> None:
    only_our_errors(b"\x08\x0a" + content, tmp_path)


NUMBERS = st.sampled_from([0, 1, -1, 2, 3, -2, 7, 2**31, 2**62, -(2**63)])
OPERATORS = sorted({schema.name for schema in defs.get_all_schemas() if schema.domain == ""})


def altered(made: onnx.ModelProto, data: st.DataObject) -> None:
    """One thing in the message that is valid by itself and wrong where it is."""
    graph = made.graph
    names = sorted({name for each in graph.node for name in (*each.input, *each.output)})
    chosen = data.draw(st.sampled_from(list(graph.node)))
    tensor = data.draw(st.sampled_from(list(graph.initializer)))
    match data.draw(st.integers(0, 7)):
        case 0:
            for attribute in chosen.attribute:
                attribute.i = data.draw(NUMBERS)
                if attribute.ints:
                    place = data.draw(st.integers(0, len(attribute.ints) - 1))
                    attribute.ints[place] = data.draw(NUMBERS)
        case 1:
            place = data.draw(st.integers(0, len(tensor.dims) - 1))
            tensor.dims[place] = data.draw(NUMBERS)
        case 2:
            tensor.data_type = data.draw(st.integers(0, 30))
        case 3:
            place = data.draw(st.integers(0, len(chosen.input) - 1))
            chosen.input[place] = data.draw(st.sampled_from([*names, "", "nothing"]))
        case 4:
            chosen.op_type = data.draw(st.sampled_from(OPERATORS))
        case 5:
            dims = graph.input[0].type.tensor_type.shape.dim
            dims[data.draw(st.integers(0, len(dims) - 1))].dim_value = data.draw(NUMBERS)
        case 6:
            if tensor.data_type == TensorProto.INT64 and len(tensor.raw_data) % 8 == 0:
                numbers: Array = np.frombuffer(tensor.raw_data, np.int64).copy()
                numbers[data.draw(st.integers(0, len(numbers) - 1))] = data.draw(NUMBERS)
                tensor.raw_data = numbers.tobytes()
        case _:
            made.opset_import[0].version = data.draw(st.sampled_from([11, 13, 18, 21, 24]))


@given(which=st.sampled_from(SEVERAL), data=st.data())
@settings(BOUNDED, max_examples=250)
def test_altered_messages(which: bytes, data: st.DataObject, tmp_path: Path) -> None:
    made = onnx.ModelProto.FromString(which)
    for _ in range(data.draw(st.integers(1, 3))):
        altered(made, data)
    only_our_errors(made.SerializeToString(), tmp_path)
