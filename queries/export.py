"""A network back as a file: the state dict that was ingested, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, TensorSpec, serialize_file

from queries.weights import Tensor, tensors
from store.database import Database
from store.errors import InvalidArgument
from store.files import refuse_existing, whole_file
from store.query import Table

_SUFFIX = ".safetensors"


def export(database: Database, network: str, path: Path, *, replace: bool = False) -> Table:
    """Writes a network's tensors to a ``.safetensors`` file, with their keys, types and bits.

    Parameters
    ----------
    path
        Where to; the file appears whole or not at all.
    replace
        Overwrites a file that is there.

    Returns
    -------
    Table
        ``tensor`` (key), ``dtype``, ``shape``, ``values`` (count) of what was written.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    Conflict
        If the file exists and `replace` is False.
    InvalidArgument
        If the path is no ``.safetensors`` file or cannot be written.
    VerificationFailed
        If the store lacks a value.

    Example
    -------
    >>> export(database, "mnist", Path("mnist.safetensors")).rows       # doctest: +SKIP
    [['fc1.weight', 'float32', [200, 784], 156800], ...]
    """
    if path.suffix != _SUFFIX:
        raise InvalidArgument(f"A network is exported to a {_SUFFIX} file, not to {path.name!r}.")
    refuse_existing(path, replace=replace)
    found = list(tensors(database, network))
    bits = {key: _bits(tensor) for tensor in found for key in _keys(tensor)}
    with whole_file(path) as unfinished:
        try:
            serialize_file(_specifications(bits, found), str(unfinished))
        except SafetensorError as error:
            raise InvalidArgument(f"{str(path)!r} cannot be written: {error}.") from error
    return Table(
        ("tensor", "dtype", "shape", "values"),
        [
            [key, tensor.dtype, list(tensor.values.shape), tensor.values.size]
            for tensor in found
            for key in _keys(tensor)
        ],
    )


def _keys(tensor: Tensor) -> tuple[str, ...]:
    return (tensor.name, *tensor.aliases)


def _specifications(
    bits: dict[str, NDArray[np.generic]], found: list[Tensor]
) -> dict[str, TensorSpec]:
    return {
        key: TensorSpec(
            dtype=tensor.dtype,
            shape=list(tensor.values.shape),
            # `bits` keeps the memory alive that this points to.
            data_ptr=bits[key].ctypes.data,
            data_len=bits[key].nbytes,
        )
        for tensor in found
        for key in _keys(tensor)
    }


def _cast(values: NDArray[Any], dtype: str) -> NDArray[np.generic]:
    return values.astype(np.dtype(dtype).newbyteorder("<"))


def _bfloat16(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    # The upper half of a float32; the lower half of a value that was bfloat16 is zero.
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2")


_INTEGERS = ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")

_ENCODERS: dict[str, Callable[[NDArray[Any]], NDArray[np.generic]]] = {
    **{name: partial(_cast, dtype=name) for name in _INTEGERS},
    "float64": lambda values: values.astype("<f8"),
    "float32": lambda values: values.astype("<f4"),
    "float16": lambda values: values.astype("<f2"),
    "bfloat16": _bfloat16,
}


def _bits(tensor: Tensor) -> NDArray[np.generic]:
    """The values as the file had them, in C order."""
    encode = _ENCODERS.get(tensor.dtype)
    if encode is None:
        raise InvalidArgument(f"The tensor {tensor.name!r} has the unknown type {tensor.dtype!r}.")
    return np.ascontiguousarray(encode(np.ascontiguousarray(tensor.values)))
