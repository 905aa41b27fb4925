"""The tensors of a ``.safetensors`` file as parameters, integers included, read in place.

The header is checked whole before anything is believed: what it says must cover the file's bytes
exactly once. The format's own library reads no bfloat16 into NumPy, so the bytes are read here.

Format: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ingest.operations import Parameter
from ingest.readers.mapped import BFLOAT16, itemsize, rows
from ingest.readers.wording import FLOATS, check_tensor, damaged
from store import schema
from store.errors import UnreadableModel

LONGEST_HEADER = 100_000_000

# The format's word, the parameter's and NumPy's for the bytes.
_DTYPES = {
    "BOOL": ("bool", "|u1"), "U8": ("uint8", "|u1"), "I8": ("int8", "|i1"),
    "U16": ("uint16", "<u2"), "I16": ("int16", "<i2"), "U32": ("uint32", "<u4"),
    "I32": ("int32", "<i4"), "I64": ("int64", "<i8"),
    "F16": ("float16", "<f2"), "BF16": ("bfloat16", BFLOAT16), "F32": ("float32", "<f4"),
    "F64": ("float64", "<f8"),
}  # fmt: skip


@dataclass(frozen=True)
class _Entry:
    """A tensor as the header tells it; bytes begin..end are counted from the header's end."""

    key: str
    dtype: str
    stored: str
    shape: tuple[int, ...]
    begin: int
    end: int


def safetensors(path: Path) -> list[Parameter]:
    """The tensors of a file, in the order of their bytes.

    Parameters
    ----------
    path
        A regular file; it stays mapped while its parameters are in use.

    Raises
    ------
    UnreadableModel
        If the header is not one, or does not describe the file's bytes.
    InvalidName, InvalidWeights
        If a tensor's name cannot be shown, or it holds neither floats, integers nor truth values.
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
    return [
        Parameter(
            entry.key,
            entry.shape,
            entry.dtype,
            _reading(entry, content[start + entry.begin : start + entry.end]),
        )
        for entry in entries
    ]


def _reading(entry: _Entry, content: NDArray[np.uint8]) -> Callable[[int, int], NDArray[Any]]:
    if entry.dtype in FLOATS:
        return rows(content, entry.stored, entry.shape)
    row, wide = entry.shape[1:], np.dtype(bool if entry.dtype == "bool" else np.int64)
    width = prod(row) * itemsize(entry.stored)

    def read(start: int, stop: int) -> NDArray[Any]:
        block = np.array(content[start * width : stop * width], subok=False)
        return block.view(entry.stored).astype(wide).reshape(stop - start, *row)

    return read


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
        case {"dtype": str(word), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            dtype, stored = _DTYPES.get(word, (word, ""))
        case _:
            raise damaged(path, f"the header's entry {key[:80]!r} describes no tensor")
    if not stored:
        check_tensor(key, dtype)
    schema.valid_name(key, "tensor")
    if any(type(length) is not int or length < 0 for length in shape):
        raise damaged(path, f"the shape of {key!r} is not one")
    if end - begin != prod(shape) * itemsize(stored):
        raise damaged(path, f"the header gives {key!r} {end - begin} bytes for {tuple(shape)}")
    return _Entry(key, dtype, stored, tuple(shape), begin, end)


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
