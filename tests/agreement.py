"""Whether a reader's operation graph computes what the torch module computes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ingest.operations import OperationGraph
from ingest.readers.module import read_module
from ingest.readers.pt2 import read_pt2
from tests.interpreter import interpret


def agreed(module: nn.Module, example: NDArray[Any], tolerance: float = 1e-9) -> OperationGraph:
    """The operation graph of a module, once it gave the module's outputs in float64.

    Parameters
    ----------
    module
        In eval mode.
    example
        Its input, of several samples.
    tolerance
        Relative and absolute.
    """
    module = copy.deepcopy(module).double()
    graph = read_module(module, example.shape[1:])
    compare(interpret(graph, example), outputs(module, example), tolerance)
    return graph


def agreed_archive(module: nn.Module, example: NDArray[Any], folder: Path) -> OperationGraph:
    """The operation graph of an archive of a module, once it gave the module's outputs."""
    path = folder / "model.pt2"
    torch.export.save(torch.export.export(module, (torch.as_tensor(example),)), path)
    graph = read_pt2(path, None, None)
    compare(interpret(graph, example), outputs(copy.deepcopy(module).double(), example), 1e-5)
    return graph


def outputs(module: nn.Module, example: NDArray[Any]) -> list[NDArray[Any]]:
    """What a module gives, flat and in order."""
    given = torch.as_tensor(example)
    with torch.no_grad():
        return _flat(module(given.double() if given.is_floating_point() else given))


def _flat(output: Any) -> list[NDArray[Any]]:
    if isinstance(output, Tensor):
        return [output.numpy()]
    return [tensor for part in output for tensor in _flat(part)]


def compare(ours: list[NDArray[Any]], theirs: list[NDArray[Any]], tolerance: float) -> None:
    """Fails where outputs differ; torch's may have their samples along another axis."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        moved = [np.moveaxis(other, axis, 0) for axis in range(other.ndim)]
        fitting = [array for array in moved if array.shape == one.shape]
        assert fitting, (one.shape, other.shape)
        nearest = min(fitting, key=lambda array: np.abs(one - array).max(initial=0.0))
        np.testing.assert_allclose(one, nearest, rtol=tolerance, atol=tolerance)
