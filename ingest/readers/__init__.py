"""One reader per format, all yielding the same operation graph.

A reader is chosen by what a file holds, not by what it is called, and is imported only then: a
``.safetensors`` or ``.h5`` file needs no torch. No reader runs code from a file.
"""

from __future__ import annotations

import os
import stat
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from ingest.layers.activation import PLAIN
from ingest.operations import OperationGraph
from ingest.readers.huggingface.checkpoint import has_config
from ingest.readers.keras.zip import is_keras
from ingest.readers.onnx.wire import is_onnx
from ingest.readers.paths import check_regular, opening
from ingest.readers.pt2 import is_archive
from store.errors import InvalidArgument, UnreadableModel

if TYPE_CHECKING:
    import torch

    Model: TypeAlias = str | os.PathLike[str] | torch.nn.Module


# A binary pickle tells its protocol first.
_PICKLES = tuple(bytes((0x80, protocol)) for protocol in (2, 3, 4, 5))


class Reader(Protocol):
    """Reads one file format."""

    def __call__(
        self, path: Path, input_shape: tuple[int, ...] | None, activation: str | None
    ) -> OperationGraph: ...


def read(
    model: Model,
    input_shape: tuple[int, ...] | None = None,
    activation: str | None = None,
    factory: str | None = None,
) -> OperationGraph:
    """Reads a model as a graph of operations; its weights are read later, in slices.

    Parameters
    ----------
    model
        A live ``torch.nn.Module``, or the path of a file: ONNX, a PyTorch state dict (``.pt``,
        ``.pth``), a ``.pt2`` of ``torch.export``, ``.safetensors``, a Keras ``.h5`` or
        ``.keras``, or a folder with a Hugging Face ``config.json``.
    input_shape
        Of one sample, without the batch axis. Default: as the model tells it, else as many values
        as the first linear layer takes, in one row.
    activation
        What stands between the layers, for a file that holds weights and no graph; one of
        :data:`ingest.layers.activation.PLAIN`. Default: ``unknown``. What follows the last
        layer stays unknown.
    factory
        ``package.module:function`` that gives the module whose weights a file holds; this code of
        the user's is run.

    Returns
    -------
    OperationGraph

    Raises
    ------
    UnreadableModel
        If there is no such file, it is damaged, it would run code, or it is no model.
    UnsupportedOperation
        If the model holds an operation that cannot be ingested.
    ShapeMismatch
        If a file without a graph holds matrices that do not chain.
    InvalidWeights
        If a tensor is not of floats.
    InvalidArgument
        If `input_shape` or `activation` cannot be used.

    Example
    -------
    >>> read("mnist.safetensors", activation="relu").operations[1].name  # doctest: +SKIP
    'fc1'
    """
    if input_shape is not None:
        input_shape = _checked(input_shape)
    if activation is not None and activation not in PLAIN:
        raise InvalidArgument(
            f"There is no activation {activation!r}: choose one of {', '.join(PLAIN)}."
        )
    if factory is not None:
        if not isinstance(model, str | os.PathLike) or activation is not None:
            raise InvalidArgument(
                "A factory gives the module of a file of weights: pass a path, and no activation."
            )
        from ingest.readers.factory import read_with_factory

        return read_with_factory(Path(os.fsdecode(model)), factory, input_shape)
    if isinstance(model, str | os.PathLike):
        path = Path(os.fsdecode(model))
        return _reader(path)(path, input_shape, activation)
    loaded = sys.modules.get("torch")
    if loaded is None or not isinstance(model, loaded.nn.Module):
        raise UnreadableModel(
            f"A model is a path or a torch.nn.Module, not an object of {type(model).__name__}."
        )
    if activation is not None:
        raise InvalidArgument("A live module tells its activations itself: pass none.")
    from ingest.readers.module import read_module

    return read_module(model, input_shape)


def _checked(input_shape: tuple[int, ...]) -> tuple[int, ...]:
    shape = tuple(input_shape)
    if not shape or any(type(size) is not int or size < 1 for size in shape):
        raise InvalidArgument(
            f"An input shape is one or more positive whole numbers, without the batch axis, "
            f"not {shape}."
        )
    return shape


def _reader(path: Path) -> Reader:
    name, function = _format(path)
    return cast(Reader, getattr(import_module(f"ingest.readers.{name}"), function))


def _format(path: Path) -> tuple[str, str]:
    """Module and function that read the file: by its first bytes, else by its name."""
    if has_config(path):
        return "huggingface.checkpoint", "read_pretrained"
    head = _head(path)
    suffix = path.suffix.lower()
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras.h5", "read_keras"
    if head.startswith(b"PK") and is_archive(path):
        return "pt2", "read_pt2"
    if head.startswith(b"PK") and is_keras(path):
        return "keras.zip", "read_keras_archive"
    if head.startswith(b"PK"):
        return "state_dict", "read_state_dict"
    # A safetensors file begins with the length of its header, eight bytes of any value.
    if head[8:9] == b"{":
        return "safetensors", "read_safetensors"
    if head[:2] in _PICKLES or suffix in {".pt", ".pth", ".ckpt"}:
        return "state_dict", "read_state_dict"
    if is_onnx(path):
        return "onnx.file", "read_onnx"
    if suffix == ".safetensors":
        return "safetensors", "read_safetensors"
    if suffix in {".h5", ".hdf5"}:
        return "keras.h5", "read_keras"
    raise UnreadableModel(
        f"The file {path.name!r} is no model that Weightome knows: it reads ONNX, PyTorch "
        "state dicts (.pt, .pth), exported programs (.pt2), .safetensors and Keras .h5 and .keras."
    )


def _head(path: Path) -> bytes:
    with opening(path):
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableModel(f"{str(path)!r} is a folder, not a model file.")
        check_regular(path)
        if status.st_size == 0:
            raise UnreadableModel(f"The file {path.name!r} is empty.")
        with path.open("rb") as file:
            return file.read(9)
