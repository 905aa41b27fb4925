"""``.safetensors`` without an architecture beside it: matrices that chain."""

from __future__ import annotations

from pathlib import Path

from ingest.operations import OperationGraph
from ingest.readers.chain import chain, paired
from ingest.readers.safetensors_tensors import safetensors
from ingest.readers.wording import check_tensor


def read_safetensors(
    path: Path, input_shape: tuple[int, ...] | None, activation: str | None
) -> OperationGraph:
    """Reads a ``.safetensors`` file whose matrices chain.

    Parameters
    ----------
    path
        The file; it stays mapped while its parameters are in use.
    input_shape, activation
        As for :func:`ingest.readers.read`.

    Returns
    -------
    OperationGraph
        Parameters in the order of their bytes in the file.

    Raises
    ------
    UnreadableModel
        If the header is not one, or does not describe the file's bytes.
    InvalidWeights
        If a tensor is not of floats.
    ShapeMismatch
        If the matrices do not chain.
    """
    parameters = safetensors(path)
    for parameter in parameters:
        check_tensor(parameter.name, parameter.dtype)
    return chain(
        paired(parameters, path),
        parameters,
        path,
        source="safetensors",
        # Writers sort the keys, so the file's order tells nothing.
        ordered=False,
        input_shape=input_shape,
        activation=activation,
    )
