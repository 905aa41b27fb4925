"""A ``.pt2`` archive of ``torch.export.save``: a zip of JSON and raw tensors, never unpickled.

``torch.export.load`` unpickles, so it is never called on a file. The program stands in
``models/*.json``, the tensors in ``data/weights``; what the archive pickles is refused.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.operations import OperationGraph, Parameter
from ingest.readers.aten import operations
from ingest.readers.calls import Call, Ref
from ingest.readers.mapped import BFLOAT16, itemsize, rows
from ingest.readers.wording import check_tensor, damaged, reason
from store.errors import InvalidArgument, UnreadableModel, UnsupportedOperation

LONGEST_JSON = 64 * 1024 * 1024

# torch's schema numbers its types.
_TYPES = {6: "float16", 7: "float32", 8: "float64", 13: "bfloat16"}
_STORED = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "bfloat16": BFLOAT16}

# The file leaves out arguments that have their default, which tests compare with torch's own.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "add": {"alpha": 1},
    "celu": {"alpha": 1.0},
    "elu": {"alpha": 1, "scale": 1, "input_scale": 1},
    "gelu": {"approximate": "none"},
    "hardshrink": {"lambd": 0.5},
    "hardtanh": {"min_val": -1, "max_val": 1},
    "leaky_relu": {"negative_slope": 0.01},
    "softplus": {"beta": 1, "threshold": 20},
    "softshrink": {"lambd": 0.5},
    "sub": {"alpha": 1},
}


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
        If a tensor is not of floats.
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
            folder = listing.rpartition("/")[0]
            found = _tensors(archive, path, folder, _json(archive, listing)["config"])
        return _graph(model["graph_module"], found)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
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


def _tensors(
    archive: zipfile.ZipFile, path: Path, folder: str, config: Mapping[str, Any]
) -> dict[str, Parameter]:
    """Every tensor of the state dict by its key; keys of one tensor share one parameter."""
    content = np.memmap(path, np.uint8, "r")
    by_file: dict[str, Parameter] = {}
    keys: dict[str, str] = {}
    for key, entry in config.items():
        if entry["use_pickle"]:
            raise UnreadableModel(
                f"The tensor {key!r} of {path.name!r} is pickled, and Weightome unpickles nothing."
            )
        meta, file = entry["tensor_meta"], str(entry["path_name"])
        dtype = _TYPES.get(meta["dtype"], f"torch's type {meta['dtype']}")
        check_tensor(key, dtype)
        shape = _whole(meta["sizes"])
        strides = _whole(meta["strides"])
        if strides != _row_major(shape) or _whole([meta["storage_offset"]]) != (0,):
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
        by_file[file] = Parameter(key, shape, dtype, rows(data, _STORED[dtype], shape))
    return {key: by_file[file] for key, file in keys.items()}


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


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _whole(sizes: list[Mapping[str, Any]]) -> tuple[int, ...]:
    if any(list(size) != ["as_int"] or type(size["as_int"]) is not int for size in sizes):
        raise _dynamic()
    return tuple(size["as_int"] for size in sizes)


def _dynamic() -> UnsupportedOperation:
    return UnsupportedOperation(
        "The model was exported with dynamic shapes, which Weightome cannot ingest: export it with "
        "fixed ones."
    )


def _graph(module: Mapping[str, Any], found: Mapping[str, Parameter]) -> OperationGraph:
    graph, values = module["graph"], module["graph"]["tensor_values"]
    held: dict[str, Parameter] = {}
    inputs: list[Call] = []
    for spec in module["signature"]["input_specs"]:
        ((kind, entry),) = spec.items()
        if kind == "user_input":
            name = entry["arg"]["as_tensor"]["name"]
            inputs.append(Call(name, "input", **_value(values, name)))
        elif kind in ("parameter", "buffer"):
            held[entry["arg"]["name"]] = found[entry[f"{kind}_name"]]
        else:
            raise UnsupportedOperation(
                f"The model takes a {reason(kind)}, which Weightome cannot ingest."
            )
    if not inputs or not inputs[0].shape:
        raise UnsupportedOperation("The model takes no tensor, so there is nothing to ingest.")
    made = operations(
        [_call(node, values) for node in graph["nodes"]],
        inputs=inputs,
        parameters=held,
        outputs=[output["as_tensor"]["name"] for output in graph["outputs"]],
        batch=inputs[0].shape[0],
    )
    return OperationGraph(made, tuple({p.name: p for p in found.values()}.values()), "pt2")


def _value(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    meta = values[name]
    dtype = _TYPES.get(meta["dtype"], f"type {meta['dtype']}")
    return {"shape": _whole(meta["sizes"]), "dtype": dtype}


def _call(node: Mapping[str, Any], values: Mapping[str, Any]) -> Call:
    target = str(node["target"]).removeprefix("torch.ops.")
    outputs = node["outputs"]
    name = str(outputs[0].get("as_tensor", {}).get("name", "")) if outputs else ""
    name = name or str(node.get("name") or target)
    path, kind = _module(node.get("metadata", {}).get("nn_module_stack", ""))
    arguments = {entry["name"]: _argument(entry["arg"]) for entry in node["inputs"]}
    call = Call(
        name,
        target,
        arguments,
        path,
        kind.startswith("torch.nn.modules.") and ".container." not in kind,
        **(_value(values, name) if name in values else {}),
    )
    return replace(call, arguments={**arguments, **_missing(call.operator, arguments)})


def _missing(operator: str, given: Mapping[str, Any]) -> dict[str, Any]:
    known = DEFAULTS.get(operator, {})
    return {name: value for name, value in known.items() if name not in given}


def _module(stack: str) -> tuple[str, str]:
    """Path and class of the innermost module, from ``key,path,class;key,path,class``."""
    if not stack:
        return "", ""
    _, path, kind = stack.rpartition(";")[2].split(",", 2)
    return path, kind


def _argument(argument: Mapping[str, Any]) -> object:
    ((kind, value),) = argument.items()
    if kind == "as_tensor":
        return Ref(value["name"])
    if kind in ("as_tensors", "as_optional_tensors"):
        return [_argument(part) if "as_tensor" in part else Ref(part["name"]) for part in value]
    if kind.startswith("as_sym_"):
        raise _dynamic()
    return None if kind == "as_none" else value
