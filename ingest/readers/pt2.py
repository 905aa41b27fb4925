"""A ``.pt2`` archive of ``torch.export.save``: a zip of JSON and raw tensors, never unpickled.

``torch.export.load`` unpickles, so it is never called on a file. The program stands in
``models/*.json``, the tensors in ``data/weights`` and ``data/constants``; what the archive pickles
is refused.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.operations import OperationGraph, Parameter
from ingest.readers.aten.archived import TYPES, archived_program, whole
from ingest.readers.aten.table import graph_of
from ingest.readers.mapped import BFLOAT16, itemsize, rows
from ingest.readers.wording import FLOATS, check_tensor, damaged
from store import schema
from store.errors import InvalidArgument, UnreadableModel

LONGEST_JSON = 64 * 1024 * 1024

_STORED = {
    "bfloat16": BFLOAT16, "bool": "|u1", "float16": "<f2", "float32": "<f4", "float64": "<f8",
    "int8": "|i1", "int16": "<i2", "int32": "<i4", "int64": "<i8", "uint8": "|u1",
}  # fmt: skip


def is_archive(path: Path) -> bool:
    """Whether a zip is an archive of ``torch.export`` rather than of ``torch.save``."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/archive_format") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        # The reader of state dicts says what is wrong with it.
        return False


def read_pt2(
    path: Path, input_shape: tuple[int, ...] | None, activation: str | None
) -> OperationGraph:
    """Reads an exported program.

    Parameters
    ----------
    path
        Of the archive.
    input_shape, activation
        None: the program tells them.

    Returns
    -------
    OperationGraph
        Layers are called by their ``named_modules()`` path; parameters by their keys in the
        state dict, tied ones once with the further keys as aliases.

    Raises
    ------
    UnreadableModel
        If the archive is damaged, compressed, or holds its tensors as pickles.
    UnsupportedOperation
        If an operation cannot be ingested, or the program has dynamic shapes but for the batch.
    InvalidWeights
        If a tensor is neither of floats nor of integers.
    InvalidArgument
        If an input shape or an activation is given.

    Example
    -------
    >>> read_pt2(Path("model.pt2"), None, None).source                  # doctest: +SKIP
    'pt2'
    """
    if input_shape is not None or activation is not None:
        raise InvalidArgument(
            "A .pt2 archive tells the shape of its input and its activations: pass none."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            model = _json(archive, _one(archive, "/models/", ".json", path))
            listing = _one(archive, "/data/weights/", "_weights_config.json", path)
            found = _tensors(archive, path, listing)
            others: dict[str, Parameter] = {}
            if any(name.endswith("_constants_config.json") for name in archive.namelist()):
                listing = _one(archive, "/data/constants/", "_constants_config.json", path)
                others = _tensors(archive, path, listing)
        program = archived_program(model["graph_module"], found, others)
        return graph_of(program, {p.name: p for p in found.values()}.values(), "pt2")
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise damaged(path, f"its program is not as torch writes it ({error})") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise damaged(path, error) from error


def _one(archive: zipfile.ZipFile, folder: str, ending: str, path: Path) -> str:
    names = [n for n in archive.namelist() if folder in f"/{n}" and n.endswith(ending)]
    if len(names) != 1:
        raise UnreadableModel(
            f"The file {path.name!r} holds {len(names)} exported programs; Weightome reads "
            "archives of one."
        )
    return names[0]


def _json(archive: zipfile.ZipFile, name: str) -> Any:
    """A member of the archive as JSON; a member that would unpack without end is refused."""
    size = archive.getinfo(name).file_size
    if size > LONGEST_JSON:
        raise ValueError(f"{name} would unpack to {size} bytes")
    with archive.open(name) as member:
        # What the directory says of the size need not be true.
        content = member.read(LONGEST_JSON + 1)
    if len(content) > LONGEST_JSON:
        raise ValueError(f"{name} unpacks to more than {LONGEST_JSON} bytes")
    return json.loads(content)


def _tensors(archive: zipfile.ZipFile, path: Path, listing: str) -> dict[str, Parameter]:
    """The tensors of a listing by their keys; keys of one tensor share one parameter."""
    folder = listing.rpartition("/")[0]
    content = np.memmap(path, np.uint8, "r")
    by_file: dict[str, Parameter] = {}
    keys: dict[str, str] = {}
    for key, entry in _json(archive, listing)["config"].items():
        if entry["use_pickle"]:
            raise UnreadableModel(
                f"The tensor {key!r} of {path.name!r} is pickled, and Weightome unpickles nothing."
            )
        meta, file = entry["tensor_meta"], str(entry["path_name"])
        dtype = TYPES.get(meta["dtype"], f"torch's type {meta['dtype']}")
        if dtype not in _STORED or dtype in FLOATS:
            check_tensor(key, dtype)
        schema.valid_name(key, "tensor")
        shape = whole(meta["sizes"])
        if not _row_major(shape, whole(meta["strides"])) or whole([meta["storage_offset"]]) != (0,):
            raise UnreadableModel(
                f"The tensor {key!r} of {path.name!r} is a view of another one: export a model "
                "whose tensors are contiguous."
            )
        keys[key] = file
        if file in by_file:
            first = by_file[file]
            by_file[file] = replace(first, aliases=(*first.aliases, key))
            continue
        data = _data(archive.getinfo(f"{folder}/{file}"), content, path)
        if data.size != prod(shape) * itemsize(_STORED[dtype]):
            raise damaged(path, f"{key!r} has {data.size} bytes for {shape}")
        read = rows(data, _STORED[dtype], shape)
        by_file[file] = Parameter(
            key, shape, dtype, read if dtype in FLOATS else _integers(data, dtype, shape)
        )
    return {key: by_file[file] for key, file in keys.items()}


def _integers(
    content: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]
) -> Callable[[int, int], NDArray[Any]]:
    """A reader of integers, or of truth values, along the first axis."""
    width = prod(shape[1:]) * itemsize(_STORED[dtype])

    def read(start: int, stop: int) -> NDArray[Any]:
        block = np.array(content[start * width : stop * width], subok=False)
        entries = block.view(_STORED[dtype]).reshape(stop - start, *shape[1:])
        return entries.astype(np.bool_ if dtype == "bool" else np.int64)

    return read


def _data(info: zipfile.ZipInfo, content: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """Where the bytes of a member lie in the file; they are read later."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise UnreadableModel(f"The tensors of {path.name!r} are compressed, as torch never does.")
    header = content[info.header_offset : info.header_offset + 30].tobytes()
    if header[:4] != b"PK\x03\x04":
        raise damaged(path, f"{info.filename} is not where its directory says")
    begin = (
        info.header_offset
        + 30
        + int.from_bytes(header[26:28], "little")
        + int.from_bytes(header[28:30], "little")
    )
    if begin + info.file_size > content.size:
        raise damaged(path, f"{info.filename} reaches beyond the end of the file")
    return content[begin : begin + info.file_size]


def _row_major(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether entries lie one after another; how an axis of 1 strides says nothing."""
    expected = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return len(strides) == len(shape) and all(
        size == 1 or given == wanted
        for size, given, wanted in zip(shape, strides, expected, strict=True)
    )
