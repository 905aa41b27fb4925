"""Keras ``.h5`` without HDF5 in this process: a child lists the tensors, we map their bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ingest.operations import Parameter
from ingest.readers.mapped import rows
from ingest.readers.wording import check_tensor, damaged, reason
from store.errors import UnreadableModel

# A sound file takes well under a second; a crafted one could keep HDF5 busy for ever.
SECONDS = 60

_INDEX = Path(__file__).with_name("hdf5_index.py")


@dataclass(frozen=True)
class Contents:
    """What a Keras file holds.

    Parameters
    ----------
    layers
        Tensors of each layer by the last part of their name, such as ``kernel``, in the file's
        order.
    config
        The JSON of the architecture, None where the file holds weights only.
    version
        Of the Keras that wrote it.
    """

    layers: dict[str, dict[str, Parameter]]
    config: str | None
    version: str


def contents(path: Path) -> Contents:
    """Reads a Keras file's layers; their numbers are read later, in slices.

    Raises
    ------
    UnreadableModel
        If the file is damaged, is not Keras', or its data lies outside it.
    InvalidWeights
        If a tensor is not of floats.
    """
    answer = _answer(path)
    content = np.memmap(path, np.uint8, "r")
    layers: dict[str, dict[str, Parameter]] = {}
    for name, tensors in answer["layers"]:
        if name in layers:
            raise damaged(path, "two layers have one name")
        layers[name] = {}
        for tensor in tensors:
            role = tensor["place"].rpartition("/")[2].partition(":")[0]
            if role in layers[name]:
                raise damaged(path, f"layer {name[:80]!r} has two tensors called {role[:80]!r}")
            layers[name][role] = _parameter(tensor, content, path)
    return Contents(layers, answer["config"], answer["version"] or "2")


def _answer(path: Path) -> dict[str, Any]:
    """The index of a file, from a child that a crafted file may crash."""
    try:
        # -P: the child's folder is full of modules called like packages.
        done = subprocess.run(
            [sys.executable, "-P", str(_INDEX), os.path.abspath(path)],
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


def _parameter(tensor: dict[str, Any], content: Any, path: Path) -> Parameter:
    place, shape, offset = tensor["place"], tuple(tensor["shape"]), tensor["offset"]
    stored = np.dtype(tensor["dtype"] if tensor["dtype"][:2] in ("<f", ">f") else "V1")
    check_tensor(place, stored.name if stored.kind == "f" else tensor["dtype"])
    end = (offset or 0) + prod(shape) * stored.itemsize
    # What was never stored has no place, and would read as zeros.
    if (offset is None and prod(shape)) or end > content.size:
        raise damaged(path, f"the data of {place!r} is missing")
    return Parameter(place, shape, stored.name, rows(content[offset or 0 : end], stored.str, shape))
