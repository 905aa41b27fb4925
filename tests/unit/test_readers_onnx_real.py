"""Published ONNX models, against onnxruntime.

The packages are only looked for, never imported: what is read are the files that they bring.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

from ingest.operations import OperationGraph
from ingest.readers.onnx.file import is_onnx, read_onnx
from store.errors import InvalidArgument, UnsupportedOperation
from tests.interpreter import interpret
from tests.unit.test_readers_onnx import Array, agree, runtime, separate

RANDOM = np.random.default_rng(11)


def file(package: str, *parts: str) -> Path:
    """A file of an installed package."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"the package {package} is not installed")
    path = Path(found.submodule_search_locations[0]).joinpath(*parts)
    if not path.is_file():
        pytest.skip(f"this version of {package} brings no {path.name}")
    return path


def same(
    path: Path,
    feeds: Mapping[str, Array],
    input_shape: tuple[int, ...] | None,
    axes: Mapping[str, int] | None = None,
) -> OperationGraph:
    """Reads the file and compares all outputs, which are of the order of 1 or less."""
    assert is_onnx(path)
    graph = read_onnx(path, input_shape, None)
    assert agree(onnx.load(path), graph, feeds, axes or {}) < 1e-5
    return graph


def counts(graph: OperationGraph) -> tuple[int, int]:
    return len(graph.operations), len(graph.parameters)


def test_magika() -> None:
    """Kinds of files from 2048 of their bytes; 256 stands for none."""
    path = file("magika", "models", "standard_v3_3", "model.onnx")
    given = RANDOM.integers(0, 257, (2, 2048)).astype(np.int32)
    graph = same(path, {"bytes": given}, None)
    assert graph.operations[0].attributes == {"integers": True}
    kinds = {operation.kind for operation in graph.operations}
    # It writes the first layer as the product of a matrix with one-hot rows.
    assert {"embedding", "conv", "linear"} <= kinds
    assert counts(graph) == (81, 36)


def test_tinyocr_detection() -> None:
    path = file("tinyocr", "assets", "PP-OCRv6_det_tiny.onnx")
    with pytest.raises(InvalidArgument, match="pass --input-shape"):
        read_onnx(path, None, None)
    given = RANDOM.normal(size=(2, 3, 64, 96)).astype(np.float32)
    graph = same(path, {"x": given}, (3, 64, 96))
    assert counts(graph) == (416, 213)


def test_tinyocr_recognition() -> None:
    """Its weights are integers that the graph multiplies by scales: both are kept, and products."""
    path = file("tinyocr", "assets", "PP-OCRv6_rec_tiny.onnx")
    given = RANDOM.uniform(-0.1, 0.1, size=(2, 3, 48, 64)).astype(np.float32)
    graph = same(path, {"x": given}, (3, 48, 64))
    assert counts(graph) == (193, 198)
    assert graph.parameters[0].dtype == "int8"


def test_silero_of_one_sampling_rate() -> None:
    """Speech in 576 samples of sound; the sampling rate is an input that changes nothing."""
    path = file("silero_vad", "data", "silero_vad_16k_op15.onnx")
    feeds = {
        "input": 0.1 * RANDOM.normal(size=(2, 576)).astype(np.float32),
        "state": 0.1 * RANDOM.normal(size=(2, 2, 128)).astype(np.float32),
        "sr": np.array(16000),
    }
    graph = same(path, feeds, (576,), {"state": 1, "stateN": 1})
    names = [operation.name for operation in graph.operations if operation.kind == "input"]
    assert names == ["input", "state"]
    assert counts(graph) == (35, 18)


def test_silero_without_a_batch_axis() -> None:
    """Its first axis is time: with the shape of the whole input nothing is a batch."""
    path = file("silero_vad", "data", "silero_vad_16k_sequence.onnx")
    with pytest.raises(UnsupportedOperation, match=r"LSTM .* that mixes samples"):
        read_onnx(path, (576,), None)
    graph = read_onnx(path, (1, 576), None)
    assert graph.operations[0].shape == (1, 576)
    assert counts(graph) == (33, 14)
    shapes = {"input": (1, 576), "h": (1, 1, 128), "c": (1, 1, 128)}
    feeds = {
        name: 0.1 * RANDOM.normal(size=size).astype(np.float32) for name, size in shapes.items()
    }
    found = interpret(separate(graph), {name: value[None] for name, value in feeds.items()})
    for ours, theirs in zip(found, runtime(onnx.load(path), feeds), strict=True):
        assert ours[0].shape == theirs.shape
        assert np.abs(ours[0] - theirs).max() < 1e-5


@pytest.mark.parametrize("name", ["silero_vad.onnx", "silero_vad_op18_ifless.onnx"])
def test_silero_that_chooses_by_an_input(name: str) -> None:
    path = file("silero_vad", "data", name)
    with pytest.raises(UnsupportedOperation, match=r"holds If .* whose condition depends on an"):
        read_onnx(path, (576,), None)
