"""ONNX tensors as parameters: from the file itself, from its message, or from a file beside it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ingest.operations import Parameter
from ingest.readers.mapped import BFLOAT16, itemsize, rows
from ingest.readers.onnx.wire import Span
from ingest.readers.wording import FLOATS, check_tensor, damaged, reason
from store import schema
from store.errors import InvalidWeights, UnreadableModel

Type = onnx.TensorProto

MOST_AXES = 32

# ONNX's number of a type: the parameter's word, and NumPy's for its bytes.
TYPES: dict[int, tuple[str, str]] = {
    Type.FLOAT: ("float32", "<f4"), Type.DOUBLE: ("float64", "<f8"),
    Type.FLOAT16: ("float16", "<f2"), Type.BFLOAT16: ("bfloat16", BFLOAT16),
    Type.INT8: ("int8", "|i1"), Type.INT16: ("int16", "<i2"), Type.INT32: ("int32", "<i4"),
    Type.INT64: ("int64", "<i8"), Type.UINT8: ("uint8", "|u1"), Type.UINT16: ("uint16", "<u2"),
    Type.UINT32: ("uint32", "<u4"), Type.UINT64: ("uint64", "<u8"), Type.BOOL: ("bool", "|u1"),
}  # fmt: skip
FLOATING = frozenset(number for number, (word, _) in TYPES.items() if word in FLOATS)

# Where the message keeps the entries of a tensor that has no raw bytes.
_FIELDS: dict[int, str] = {
    Type.FLOAT: "float_data", Type.DOUBLE: "double_data", Type.INT64: "int64_data",
    Type.UINT32: "uint64_data", Type.UINT64: "uint64_data",
}  # fmt: skip


class Tensors:
    """Gives the tensors of one ONNX file as parameters that are read in slices.

    Parameters
    ----------
    path
        Of the file; tensors outside of it must lie in its folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = np.memmap(path, np.uint8, "r")
        self._outside: dict[Path, NDArray[np.uint8]] = {}

    def parameter(self, tensor: onnx.TensorProto, name: str, span: Span | None = None) -> Parameter:
        """A tensor as a parameter.

        Parameters
        ----------
        tensor
            From the parsed message.
        name
            The parameter's.
        span
            Where its bytes lie in the file, if they were left out of the message.

        Raises
        ------
        UnreadableModel
            If the tensor does not hold what its shape says, or lies where it must not.
        InvalidName, InvalidWeights
            If its name cannot be shown, or its type is not one that Weightome keeps.
        """
        word, stored = TYPES.get(tensor.data_type, ("", ""))
        if not stored:
            # Refuses it by the name of its type.
            check_tensor(name, _type_name(tensor.data_type))
        schema.valid_name(name, "tensor")
        shape = tuple(tensor.dims)
        if len(shape) > MOST_AXES or any(length < 0 for length in shape):
            raise damaged(self._path, f"the shape of {name[:80]!r} is not one")
        if tensor.HasField("segment"):
            raise UnreadableModel(
                f"The tensor {name!r} of {self._path.name!r} is stored in segments, which "
                "Weightome does not read."
            )
        if tensor.data_location == Type.EXTERNAL:
            content = self._external(tensor, name, prod(shape) * itemsize(stored))
        elif span is not None:
            content = self._content[slice(*span)]
        elif tensor.HasField("raw_data"):
            content = np.frombuffer(tensor.raw_data, np.uint8)
        else:
            content = self._typed(tensor, name, stored)
        if content.size != prod(shape) * itemsize(stored):
            raise damaged(
                self._path, f"the tensor {name[:80]!r} has {content.size} bytes for {shape}"
            )
        return Parameter(name, shape, word, _reading(name, word, content, stored, shape))

    def _typed(self, tensor: onnx.TensorProto, name: str, stored: str) -> NDArray[np.uint8]:
        """The entries of a tensor that are numbers in the message, as bytes."""
        entries = np.asarray(getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data")))
        if tensor.data_type in (Type.FLOAT16, Type.BFLOAT16):
            # Its bits, in a number.
            stored = "<u2"
        limits = None if entries.dtype.kind == "f" else np.iinfo(stored)
        if (
            limits
            and entries.size
            and not limits.min <= entries.min() <= entries.max() <= limits.max
        ):
            raise damaged(self._path, f"an entry of {name[:80]!r} is outside of its type")
        return np.ascontiguousarray(entries.astype(stored)).reshape(-1).view(np.uint8)

    def _external(self, tensor: onnx.TensorProto, name: str, length: int) -> NDArray[np.uint8]:
        """The bytes of a tensor that lies in a file beside the model."""
        told = {entry.key: entry.value for entry in tensor.external_data}
        content = self._file(told.get("location", ""), name)
        begin = self._number(told.get("offset", "0"), name)
        size = self._number(told.get("length", str(length)), name)
        if begin + size > content.size:
            raise damaged(
                self._path,
                f"the bytes {begin} to {begin + size} of the tensor {name[:80]!r} are not in a "
                f"file of {content.size} bytes",
            )
        return content[begin : begin + size]

    def _number(self, text: str, name: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise damaged(self._path, f"{text[:40]!r} is no place of the tensor {name[:80]!r}")
        return int(text)

    def _file(self, location: str, name: str) -> NDArray[np.uint8]:
        """A file that holds tensors; nothing outside of the model's folder is opened."""
        folder = self._path.resolve().parent
        relative = Path(location)
        if "\0" in location or not location or relative.is_absolute() or ".." in relative.parts:
            raise UnreadableModel(
                f"The tensor {name!r} lies in {reason(location)!r}, which is no path within the "
                "folder of the model."
            )
        try:
            file = (folder / relative).resolve()
            if not file.is_relative_to(folder):
                raise UnreadableModel(
                    f"The tensor {name!r} lies in {reason(location)!r}, which leads out of the "
                    "folder of the model."
                )
            if file not in self._outside:
                status = os.stat(file)
                # A pipe or a device would block, or never end.
                if not stat.S_ISREG(status.st_mode):
                    raise UnreadableModel(f"{reason(location)!r} is not a regular file.")
                empty = np.empty(0, np.uint8)
                self._outside[file] = np.memmap(file, np.uint8, "r") if status.st_size else empty
        except (OSError, RuntimeError) as error:
            raise UnreadableModel(
                f"The tensor {name!r} lies in {reason(location)!r}, which cannot be read beside "
                f"{self._path.name!r}: {reason(getattr(error, 'strerror', None) or error)}."
            ) from error
        return self._outside[file]


def _type_name(number: int) -> str:
    known = number in Type.DataType.values()
    return Type.DataType.Name(number) if known else f"the unknown type {number}"


def _reading(
    name: str, word: str, content: NDArray[np.uint8], stored: str, shape: tuple[int, ...]
) -> Callable[[int, int], NDArray[Any]]:
    """Reads rows of a tensor: integers as int64 and truth values as bool."""
    if word in FLOATS:
        return rows(content, stored, shape)
    row = shape[1:]
    width = prod(row) * itemsize(stored)

    def read(start: int, stop: int) -> NDArray[Any]:
        block = np.array(content[start * width : stop * width], subok=False).view(stored)
        if word == "uint64" and block.size and block.max() > np.iinfo(np.int64).max:
            raise InvalidWeights(f"The tensor {name!r} holds integers of more than 63 bits.")
        wide = block.astype(bool if word == "bool" else np.int64)
        return wide.reshape(stop - start, *row)

    return read
