"""A table of bad files with the one sentence that each gives; no code in them runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from safetensors.torch import save
from torch import nn

import ingest
from store.errors import WeightomeError

STATE = {
    "fc1.weight": torch.arange(12.0).reshape(4, 3),
    "fc1.bias": torch.ones(4),
    "fc2.weight": torch.ones(2, 4),
}


def pt(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def legacy(value: Any) -> bytes:
    return pt(value, _use_new_zipfile_serialization=False)


def h5(**attributes: Any) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [b"fc1", b"fc2"]
        for name, shape in (("fc1", (3, 4)), ("fc2", (4, 2))):
            group = file.create_group(name)
            group.attrs["weight_names"] = [b"kernel:0"]
            group["kernel:0"] = np.ones(shape, "f4")
        file.attrs.update(attributes)
    return buffer.getvalue()


def tensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(begin: int, end: int, *shape: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def archive(files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def graph(shape: tuple[str | int, ...] = ("batch", 3), *, opset: int = 17, **second: str) -> bytes:
    """An ONNX file of a matrix and one further node."""
    weight = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="fc"),
        helper.make_node(second.pop("op", "Relu"), ["h"], ["y"], name="act", **second),
    ]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    imports = [helper.make_opsetid("", opset)]
    if "domain" in second:
        imports.append(helper.make_opsetid(second["domain"], 1))
    made = helper.make_graph(nodes, "g", inputs, outputs, [weight])
    content: bytes = helper.make_model(
        made, opset_imports=imports, ir_version=9
    ).SerializeToString()
    return content


class Danger:
    """Would make a file when it is unpickled."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


INSTEAD = "ingest the live module instead, which knows its graph."
SAVE = "save model.state_dict() with torch.save and ingest that, or ingest the live module."
DAMAGED = "is damaged or truncated: "

ZIP, LEGACY, SAFE, H5 = pt(STATE), legacy(STATE), save(STATE), h5()

# Content, suffix, and the sentence: `...` stands for what torch, zipfile or HDF5 say.
BAD: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", ".pt", "The file 'bad.pt' is empty."),
    "text": (
        b"Dear reader, this is no model.",
        ".txt",
        "The file 'bad.txt' is no model that Weightome knows: it reads ONNX, PyTorch state dicts "
        "(.pt, .pth), exported programs (.pt2), .safetensors and Keras .h5 and .keras.",
    ),
    "text called pt": (b"Dear reader", ".pt", f"The file 'bad.pt' {DAMAGED}..."),
    "text called safetensors": (
        b"Dear reader",
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}it is 11 bytes long, shorter than the header that it "
        "announces.",
    ),
    "text called h5": (b"Dear reader", ".h5", f"The file 'bad.h5' {DAMAGED}..."),
    "truncated pt": (ZIP[: len(ZIP) // 2], ".pt", f"The file 'bad.pt' {DAMAGED}..."),
    "pt without its directory": (ZIP[:-22], ".pt", f"The file 'bad.pt' {DAMAGED}..."),
    "truncated legacy pt": (LEGACY[:-8], ".pth", f"The file 'bad.pth' {DAMAGED}..."),
    "truncated h5": (H5[:800], ".h5", f"The file 'bad.h5' {DAMAGED}..."),
    "h5 of something else": (
        h5(layer_names=[b"other"]),
        ".h5",
        "The file 'bad.h5' cannot be read: it holds no 'other'.",
    ),
    "h5 without layers": (
        h5(layer_names=[]),
        ".h5",
        "The file 'bad.h5' holds no dense layer.",
    ),
    "h5 with a broken architecture": (
        h5(model_config="{"),
        ".h5",
        f"The file 'bad.h5' {DAMAGED}its configuration is not JSON ...",
    ),
    "zip of something else": (
        archive({"folder/notes.txt": b"hello"}),
        ".pt",
        "The file 'bad.pt' is a zip archive that torch.save did not write.",
    ),
    "compressed zip": (
        archive({"model/data.pkl": b"0" * 9999}, zipfile.ZIP_DEFLATED),
        ".pt",
        "The file 'bad.pt' holds compressed entries, which torch.save does not write.",
    ),
    "TorchScript": (
        archive({"m/data.pkl": b"", "m/constants.pkl": b"", "m/code/a.py": b""}),
        ".pt",
        f"The file 'bad.pt' is a TorchScript program: {SAVE}",
    ),
    "exported program": (
        archive({"m/models/model.json": b""}),
        ".pt2",
        f"The file 'bad.pt2' is an exported program: {SAVE}",
    ),
    "keras archive": (
        archive({"config.json": b"", "model.weights.h5": b""}),
        ".keras",
        f"The file 'bad.keras' {DAMAGED}...",
    ),
    "whole module": (
        pt(nn.Sequential(nn.Linear(2, 2))),
        ".pt",
        "The file 'bad.pt' is no plain state dict, as it would run code when loaded "
        f"(torch.nn.modules.container.Sequential): {SAVE}",
    ),
    "numpy arrays": (
        pt({"a.weight": np.ones((2, 2))}),
        ".pt",
        "The file 'bad.pt' is no plain state dict, as it would run code when loaded (numpy...): "
        f"{SAVE}",
    ),
    "a list": (pt([1, 2]), ".pt", f"The file 'bad.pt' holds a list, not a state dict: {SAVE}"),
    "an empty state dict": (pt({}), ".pt", "The state dict in 'bad.pt' is empty."),
    "two state dicts": (
        pt({"model": STATE, "state_dict": STATE}),
        ".pt",
        "The file 'bad.pt' holds more than one state dict ('state_dict' and 'model'): save the one "
        "that is meant.",
    ),
    "a number among tensors": (
        pt({**STATE, "epoch": 3}),
        ".pt",
        "The entry 'epoch' is a int, not a tensor.",
    ),
    "a key that is no text": (
        pt({7: torch.ones(2, 2)}),
        ".pt",
        "A key of the state dict is '7', not a text.",
    ),
    "a key of many lines": (
        pt({"a\nb.weight": torch.ones(2, 2)}),
        ".pt",
        "The tensor name 'a\\nb.weight' holds a control character or line break.",
    ),
    "a key of 10 kB": (
        pt({"a" * 10_000 + ".weight": torch.ones(2, 2)}),
        ".pt",
        "The tensor name has 10007 characters; at most 200 are allowed.",
    ),
    "a tensor of one value and many entries": (
        pt({"a.weight": torch.ones(1, 1).expand(1 << 20, 1 << 20)}),
        ".pt",
        "The tensor 'a.weight' has more entries than stored values.",
    ),
    "a sparse tensor": (
        pt({"a.weight": torch.sparse_coo_tensor(torch.zeros((2, 1), dtype=torch.int64),
                                                torch.ones(1), (2, 2), check_invariants=True)}),
        ".pt",
        "The tensor 'a.weight' is sparse, quantized or nested, not dense.",
    ),
    "integers": (
        pt({"a.weight": torch.ones(2, 2, dtype=torch.int64)}),
        ".pt",
        "The tensor 'a.weight' holds int64, but weights must be float16, bfloat16, float32 or "
        "float64.",
    ),
    "booleans": (
        save({"a.weight": torch.ones(2, 2, dtype=torch.bool)}),
        ".safetensors",
        "The tensor 'a.weight' holds bool, but weights must be float16, bfloat16, float32 or "
        "float64.",
    ),
    "complex numbers": (
        pt({"a.weight": torch.ones(2, 2, dtype=torch.complex64)}),
        ".pt",
        "The tensor 'a.weight' holds complex64, but weights must be float16, bfloat16, float32 or "
        "float64.",
    ),
    "three axes": (
        save({"conv.weight": torch.ones(8, 3, 5)}),
        ".safetensors",
        "The tensor 'conv.weight' of 'bad.safetensors' has the shape (8, 3, 5), but without a "
        f"graph only matrices can be chained: {INSTEAD}",
    ),
    "matrices that do not chain": (
        save({"a.weight": torch.ones(4, 3), "b.weight": torch.ones(2, 5)}),
        ".safetensors",
        "The matrices of 'bad.safetensors' do not chain: 'a.weight' (4, 3) gives 4 values and "
        f"'b.weight' (2, 5) takes 5; {INSTEAD}",
    ),
    "a bias without a weight": (
        save({"a.bias": torch.ones(4)}),
        ".safetensors",
        "The tensor 'a.bias' of 'bad.safetensors' is neither weight nor bias of a dense layer: "
        f"{INSTEAD}",
    ),
    "a bias of another size": (
        save({"a.weight": torch.ones(4, 3), "a.bias": torch.ones(3)}),
        ".safetensors",
        "The bias 'a.bias' has the shape (3,), but 'a.weight' (4, 3) has 4 outputs.",
    ),
    "a matrix without entries": (
        save({"a.weight": torch.ones(0, 3)}),
        ".safetensors",
        "Layer 'a' has the shape (0,), which holds no neuron.",
    ),
    "NaN": (
        save({"a.weight": torch.tensor([[1.0, 2.0], [3.0, torch.nan]])}),
        ".safetensors",
        "The weight from neuron 1 of layer 'input' to neuron 1 of layer 'a' is nan.",
    ),
    "infinity in a bias": (
        pt({"a.weight": torch.ones(2, 2), "a.bias": torch.tensor([0, -torch.inf])}),
        ".pt",
        "The bias of neuron 1 of layer 'a' is -inf.",
    ),
    "truncated safetensors": (
        SAFE[:-4],
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}its header describes 96 bytes of data, it holds 92.",
    ),
    "safetensors with more data": (
        SAFE + b"more",
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}its header describes 96 bytes of data, it holds 100.",
    ),
    "safetensors of eight bytes": (
        b"\0" * 8,
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}its header is not JSON (...).",
    ),
    "a header longer than the file": (
        tensors({}, length=1 << 62),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}it is 10 bytes long, shorter than the header that it "
        "announces.",
    ),
    "a header that is no JSON": (
        tensors(b"{nothing}"),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}its header is not JSON (...).",
    ),
    "a header too deep": (
        tensors(b'{"a":' + b"[" * 100_000),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}its header is not JSON (...).",
    ),
    "a header that is a list": (
        tensors([1]),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}its header is not a JSON object.",
    ),
    "a header without tensors": (
        tensors({}),
        ".safetensors",
        "The file 'bad.safetensors' holds no dense layer.",
    ),
    "a key that occurs twice": (
        tensors(b'{"a": 1, "a": 2}'),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}its header is not JSON (a key occurs twice).",
    ),
    "an entry that is none": (
        tensors({"a.weight": {"dtype": "F32"}}),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}the header's entry 'a.weight' describes no tensor.",
    ),
    "an unknown type": (
        tensors({"a.weight": entry(0, 4, 2, 2, dtype="F8_E4M3")}, bytes(4)),
        ".safetensors",
        "The tensor 'a.weight' holds F8_E4M3, but weights must be float16, bfloat16, float32 or "
        "float64.",
    ),
    "a negative shape": (
        tensors({"a.weight": entry(0, 16, -2, -2)}, bytes(16)),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}the shape of 'a.weight' is not one.",
    ),
    "offsets that lie about the size": (
        tensors({"a.weight": entry(0, 12, 2, 2)}, bytes(12)),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}the header gives 'a.weight' 12 bytes for (2, 2).",
    ),
    "offsets that overlap": (
        tensors({"a.weight": entry(0, 16, 2, 2), "b.weight": entry(8, 24, 2, 2)}, bytes(24)),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}'b.weight' begins at byte 8 of the data, not 16.",
    ),
    "offsets with a hole": (
        tensors({"a.weight": entry(4, 20, 2, 2)}, bytes(20)),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}'a.weight' begins at byte 4 of the data, not 0.",
    ),
    "offsets beyond the file": (
        tensors({"a.weight": entry(0, 1 << 42, 1 << 20, 1 << 20)}, bytes(16)),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}its header describes {1 << 42} bytes of data, it "
        "holds 16.",
    ),
    "truncated ONNX": (
        graph()[:-7],
        ".onnx",
        f"The file 'bad.onnx' {DAMAGED}it is no protocol buffer (...).",
    ),
    "ONNX of an unknown domain": (
        graph(op="Frobnicate", domain="com.acme"),
        ".onnx",
        "The model holds com.acme.Frobnicate (layer 'act'), which Weightome cannot ingest.",
    ),
    "ONNX of an unknown operator": (
        graph(op="Nonsense"),
        ".onnx",
        "The model holds Nonsense (layer 'act'), which Weightome cannot ingest.",
    ),
    "ONNX of dynamic shapes": (
        graph(("batch", "time", 3)),
        ".onnx",
        "The input 'x' has the shape (batch, time, 3), and dynamic shapes must be told: pass "
        "--input-shape (input_shape), without the batch axis.",
    ),
    "old ONNX": (
        graph(opset=9),
        ".onnx",
        "The file 'bad.onnx' uses version 9 of the ONNX operators (opset), and Weightome reads 11 "
        "to ...: export the model with one of these.",
    ),
    "negative offsets": (
        tensors({"a.weight": entry(-16, 0, 2, 2)}, bytes(16)),
        ".safetensors",
        f"The file 'bad.safetensors' {DAMAGED}'a.weight' begins at byte -16 of the data, not 0.",
    ),
}  # fmt: skip


def sentence(path: Path) -> str:
    """The error that reading gives."""
    with pytest.raises(WeightomeError) as caught:
        ingest.read(path)
    return str(caught.value)


def matches(expected: str, told: str) -> bool:
    return bool(re.fullmatch(re.escape(expected).replace(r"\.\.\.", ".+"), told))


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_gives_its_sentence(case: str, tmp_path: Path) -> None:
    content, suffix, expected = BAD[case]
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    given_sentence = sentence(path)
    assert matches(expected, given_sentence), given_sentence
    assert "\n" not in given_sentence
    assert given_sentence.endswith(".")


def test_what_is_no_file(tmp_path: Path) -> None:
    absent, pipe = tmp_path / "absent.pt", tmp_path / "pipe.pt"
    os.mkfifo(pipe)
    assert sentence(absent) == f"There is no file {str(absent)!r}."
    assert sentence(tmp_path) == f"{str(tmp_path)!r} is a folder, not a model file."
    assert sentence(pipe) == f"{str(pipe)!r} is not a regular file."
    assert sentence(Path("/dev/zero")) == "'/dev/zero' is not a regular file."
    assert sentence(Path("a\0b")) == "'a\\x00b' is not a path: embedded null byte."
    assert sentence(Path("a" * 5000)).endswith("cannot be read: File name too long.")


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda danger: pt({"a.weight": danger}),
        lambda danger: legacy({"a.weight": danger}),
        lambda danger: pt({"state_dict": STATE, "extra": danger}),
        lambda danger: pickle.dumps(danger, protocol=0),
        pickle.dumps,
        lambda danger: pickle.dumps({"a": danger}, protocol=2),
        lambda danger: archive({"m/data.pkl": pickle.dumps(danger, 2), "m/version": b"3"}),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors", ".h5"])
def test_a_pickle_with_code_is_refused_and_does_not_run(
    wrapped: Callable[[Danger], bytes], suffix: str, tmp_path: Path
) -> None:
    marker = tmp_path / "it-ran"
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(wrapped(Danger(str(marker))))
    assert f"bad{suffix}" in sentence(path)
    assert not marker.exists()


def test_the_code_would_have_run(tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    pickle.loads(pickle.dumps(Danger(str(marker))))  # noqa: S301
    assert marker.exists()


def test_a_refused_pickle_names_what_it_calls(tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    path.write_bytes(pt({"a.weight": Danger("never")}))
    assert sentence(path) == (
        "The file 'bad.pt' is no plain state dict, as it would run code when loaded "
        f"(posix.system): {SAVE}"
    )
