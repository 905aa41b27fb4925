"""Keras ``.h5``, of a whole model or of its weights: read by HDF5 and JSON, without Keras.

Only names of layers and functions are taken from the file, never code: a Lambda layer is refused
like any other layer that is not known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ingest.operations import OperationGraph, Parameter
from ingest.readers.chain import Matrix, chain
from ingest.readers.keras.config import parse
from ingest.readers.keras.graph import graph
from ingest.readers.keras.hdf5 import contents
from ingest.readers.wording import check_tensor
from store.errors import InvalidArgument, ShapeMismatch, UnsupportedOperation

# As Keras 3 calls the dense layers of a list, counted in the order of the list.
_DENSE = re.compile(r"layers/dense(_\d+)?")


def read_keras(
    path: Path, input_shape: tuple[int, ...] | None, activation: str | None
) -> OperationGraph:
    """Reads a Keras model.

    Parameters
    ----------
    path
        Written by Keras 2 or 3 as ``.h5``: ``model.save``, or ``save_weights`` of dense layers.
        The file stays mapped while its parameters are in use.
    input_shape, activation
        As for :func:`ingest.readers.read`; a whole model tells both itself.

    Returns
    -------
    OperationGraph
        Parameters are called by their places below the group of all weights, such as
        ``dense_1/dense_1/kernel:0``, in weights of Keras 3 ``layers/dense_1/vars/0``. Values have
        the order of axes that they have in Keras, but between convolutions. What Keras keeps for
        training only (the optimizer, metrics, random generators) is no part of the model.

    Raises
    ------
    UnreadableModel
        If the file is damaged, is not Keras', or its data lies outside it.
    UnsupportedOperation
        Names the first layer that cannot be ingested.
    ShapeMismatch
        If there are weights only, and they do not chain.
    """
    found = contents(path)
    if found.config is not None:
        refuse_activation(activation, path)
        return graph(
            parse(found.config, path),
            found,
            input_shape,
            path,
            keras_2=found.version.startswith(("1", "2")),
        )
    matrix = _by_path if found.by_path else _by_name
    return chain(
        [matrix(name, tensors, path) for name, tensors in found.groups.items() if tensors],
        found.parameters,
        path,
        source="keras weights",
        ordered=not found.by_path or all(_DENSE.fullmatch(name) for name in found.groups),
        input_shape=input_shape,
        activation=activation,
    )


def refuse_activation(activation: str | None, path: Path) -> None:
    """A whole model tells its activations.

    Raises
    ------
    InvalidArgument
        If one is given.
    """
    if activation is not None:
        raise InvalidArgument(
            f"The model in {path.name!r} tells its activations itself: pass none."
        )


def _by_name(name: str, tensors: Sequence[Parameter], path: Path) -> Matrix:
    """A dense layer of Keras 2's weights, whose tensors are called by their roles."""
    roles = {tensor.name.rpartition("/")[2].partition(":")[0]: tensor for tensor in tensors}
    if not roles.keys() <= {"kernel", "bias"} or "kernel" not in roles:
        raise _not_dense(name, ", ".join(roles), path)
    return _matrix(name, roles["kernel"], roles.get("bias"), path)


def _by_path(name: str, tensors: Sequence[Parameter], path: Path) -> Matrix:
    """A dense layer of Keras 3's weights: a matrix and perhaps a bias, which have no names."""
    ranks = [len(tensor.shape) for tensor in tensors]
    if not (_DENSE.fullmatch(name) and ranks[1:] in ([], [1])) and not (
        # What a class of the user's own calls by a name that says nothing.
        not name.startswith("layers/")
        and ranks == [2, 1]
        and tensors[0].shape[1:] == tensors[1].shape
    ):
        told = ", ".join(str(tensor.shape) for tensor in tensors)
        raise _not_dense(name, f"tensors of the shapes {told}", path)
    return _matrix(
        name.removeprefix("layers/"), tensors[0], tensors[1] if len(tensors) > 1 else None, path
    )


def _not_dense(name: str, told: str, path: Path) -> UnsupportedOperation:
    return UnsupportedOperation(
        f"Layer {name!r} of {path.name!r} is not dense (it has {told}): save the whole model as "
        ".h5 or .keras."
    )


def _matrix(name: str, kernel: Parameter, bias: Parameter | None, path: Path) -> Matrix:
    for tensor in (kernel, bias):
        if tensor is not None:
            check_tensor(tensor.name, tensor.dtype)
    if len(kernel.shape) != 2:
        raise ShapeMismatch(
            f"The tensor {kernel.name!r} of {path.name!r} has the shape {kernel.shape}, but "
            "without a graph only matrices can be chained: save the whole model as .h5 or .keras."
        )
    return Matrix(name, kernel, bias, target_first=False)
