"""Keras' HDF5 without HDF5 in this process: a child lists the tensors, we map their bytes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.operations import Parameter
from ingest.readers.mapped import BFLOAT16, itemsize, rows
from ingest.readers.wording import check_tensor, damaged, reason
from store import schema
from store.errors import UnreadableModel

# A sound file takes well under a second; a crafted one could keep HDF5 busy for ever.
SECONDS = 60

# Floats and integers in NumPy's words, which the child gives.
_NUMBERS = re.compile("[<>]f[248]|[<>|][iu][1248]")

_INDEX = Path(__file__).with_name("hdf5_index.py")


@dataclass(frozen=True)
class Contents:
    """What a Keras file holds.

    Parameters
    ----------
    groups
        Tensors, in the file's order, of each layer by its name, or of whatever has some by its
        path, such as ``layers/lstm/cell``.
    by_path
        Which of the two.
    config
        The JSON of the architecture, None where the file holds weights only.
    version
        Of the Keras that wrote it.
    """

    groups: dict[str, tuple[Parameter, ...]]
    by_path: bool
    config: str | None
    version: str

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All tensors."""
        return tuple(tensor for tensors in self.groups.values() for tensor in tensors)


def contents(path: Path, part: tuple[int, int] | None = None) -> Contents:
    """Reads which tensors a Keras file has; their numbers are read later, in slices.

    Parameters
    ----------
    path
        Of the file, which stays mapped while its parameters are in use.
    part
        First byte and length of HDF5 in the file. Default: all of it.

    Raises
    ------
    UnreadableModel
        If the file is damaged, is not Keras', or its data lies outside it.
    InvalidName, InvalidWeights
        If a tensor's name cannot be shown, or it holds neither floats, integers nor truth values.
    """
    answer = _answer(path, part)
    content: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
    if part is not None:
        content = content[part[0] : sum(part)]
    groups: dict[str, tuple[Parameter, ...]] = {}
    for name, tensors in answer["groups"]:
        if name in groups:
            raise damaged(path, "two layers have one name")
        groups[name] = tuple(_parameter(tensor, content, path) for tensor in tensors)
    names = [tensor.name for tensors in groups.values() for tensor in tensors]
    if len(set(names)) != len(names):
        raise damaged(path, "two tensors have one name")
    return Contents(groups, answer["by_path"], answer["config"], answer["version"] or "2")


def _answer(path: Path, part: tuple[int, int] | None) -> dict[str, Any]:
    """The index of a file, from a child that a crafted file may crash."""
    try:
        # -P: the child's folder is full of modules called like packages.
        done = subprocess.run(
            [sys.executable, "-P", str(_INDEX), os.path.abspath(path), *map(str, part or ())],
            # NumPy's threads would reserve much of the address space that the child allows itself.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise damaged(path, f"HDF5 found no end of it within {SECONDS} seconds") from error
    if done.returncode < 0:
        raise damaged(path, f"HDF5 crashes on it (signal {-done.returncode})")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise UnreadableModel(f"HDF5 cannot be run to read {path.name!r}: {reason(lines[-1])}.")
    answer = json.loads(done.stdout)
    if "refused" in answer:
        raise UnreadableModel(f"The file {path.name!r} cannot be read: {answer['refused']}.")
    if "damaged" in answer:
        raise damaged(path, answer["damaged"])
    index: dict[str, Any] = answer["index"]
    return index


def _parameter(tensor: dict[str, Any], content: NDArray[np.uint8], path: Path) -> Parameter:
    place, stored, offset = tensor["place"], tensor["dtype"], tensor["offset"]
    shape = tuple(tensor["shape"])
    known = stored == BFLOAT16 or _NUMBERS.fullmatch(stored) is not None
    dtype = np.dtype(stored).name if known and stored != BFLOAT16 else stored
    if not known:
        check_tensor(place, dtype)
    schema.valid_name(place, "tensor")
    end = (offset or 0) + prod(shape) * itemsize(stored)
    # What was never stored has no place, and would read as zeros.
    if (offset is None and prod(shape)) or end > content.size:
        raise damaged(path, f"the data of {place!r} is missing")
    return Parameter(place, shape, dtype, _reading(content[offset or 0 : end], stored, shape))


def _reading(
    content: NDArray[np.uint8], stored: str, shape: tuple[int, ...]
) -> Callable[[int, int], NDArray[Any]]:
    """A reader of a tensor's entries along its first axis; integers come as int64."""
    if stored == BFLOAT16 or np.dtype(stored).kind == "f":
        return rows(content, stored, shape)
    row = shape[1:]
    width = prod(row) * itemsize(stored)

    def read(start: int, stop: int) -> NDArray[Any]:
        block = np.array(content[start * width : stop * width], subok=False)
        return block.view(stored).astype(np.int64).reshape(stop - start, *row)

    return read
