"""``.safetensors``: a JSON header and raw tensors, read in place.

The header is checked whole before anything is believed: what it says must cover the file's bytes
exactly once. The format's own library reads no bfloat16 into NumPy, so the bytes are read here.

Format: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ingest.operations import OperationGraph, Parameter
from ingest.readers.chain import chain, paired
from ingest.readers.mapped import BFLOAT16, itemsize, rows
from ingest.readers.wording import check_tensor, damaged
from store.errors import UnreadableModel

LONGEST_HEADER = 100_000_000

_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32",
    "I32": "int32", "U64": "uint64", "I64": "int64", "C64": "complex64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip

_STORED = {"float16": "<f2", "bfloat16": BFLOAT16, "float32": "<f4", "float64": "<f8"}


@dataclass(frozen=True)
class _Entry:
    """A tensor as the header tells it; bytes begin..end are counted from the header's end."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


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
    size = path.stat().st_size
    with path.open("rb") as file:
        header, start = _header(file, size, path)
    entries = sorted(
        (_entry(key, value, path) for key, value in header.items() if key != "__metadata__"),
        key=lambda entry: (entry.begin, entry.end),
    )
    _check_cover(entries, size - start, path)
    content = np.memmap(path, np.uint8, "r")
    parameters = [
        Parameter(
            entry.key,
            entry.shape,
            entry.dtype,
            rows(
                content[start + entry.begin : start + entry.end], _STORED[entry.dtype], entry.shape
            ),
        )
        for entry in entries
    ]
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


def _header(file: BinaryIO, size: int, path: Path) -> tuple[dict[str, Any], int]:
    """The JSON header, and where the tensors begin."""
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise damaged(path, f"it is {size} bytes long, shorter than the header that it announces")
    if length > LONGEST_HEADER:
        raise UnreadableModel(
            f"The header of {path.name!r} is {length} bytes long; at most {LONGEST_HEADER} are "
            "allowed."
        )
    try:
        header = json.loads(file.read(length).decode(), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise damaged(path, "its header is not a JSON object")
    return header, 8 + length


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _entry(key: str, value: Any, path: Path) -> _Entry:
    match value:
        case {"dtype": str(stored), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            dtype = _DTYPES.get(stored, stored)
            check_tensor(key, dtype)
        case _:
            raise damaged(path, f"the header's entry {key[:80]!r} describes no tensor")
    if any(type(length) is not int or length < 0 for length in shape):
        raise damaged(path, f"the shape of {key!r} is not one")
    if end - begin != prod(shape) * itemsize(_STORED[dtype]):
        raise damaged(path, f"the header gives {key!r} {end - begin} bytes for {tuple(shape)}")
    return _Entry(key, dtype, tuple(shape), begin, end)


def _check_cover(entries: list[_Entry], size: int, path: Path) -> None:
    """Refuses entries that overlap, leave bytes out or reach beyond the file."""
    reached = 0
    for entry in entries:
        if entry.begin != reached:
            raise damaged(
                path, f"{entry.key!r} begins at byte {entry.begin} of the data, not {reached}"
            )
        reached = entry.end
    if reached != size:
        raise damaged(path, f"its header describes {reached} bytes of data, it holds {size}")
