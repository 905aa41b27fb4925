"""Lists the weights of a Keras ``.h5`` as JSON; run as a program of its own by ``hdf5.py``.

HDF5's C library can be crashed, and made to follow links to other files, by a crafted file. So it
runs here, in a process that may die, and gives only where in the file the numbers lie. Imports
h5py and the standard library alone, to start quickly.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

import h5py

# Of Keras' own groups; a file with more is no network that anybody trained.
MOST_TENSORS = 100_000
LONGEST_TEXT = 1 << 26
MEMORY = 4 << 30

_NOT_A_LAYER = "top_level_model_weights"

_FLOATS = {
    "<f2": h5py.h5t.IEEE_F16LE, ">f2": h5py.h5t.IEEE_F16BE,
    "<f4": h5py.h5t.IEEE_F32LE, ">f4": h5py.h5t.IEEE_F32BE,
    "<f8": h5py.h5t.IEEE_F64LE, ">f8": h5py.h5t.IEEE_F64BE,
}  # fmt: skip


class Refused(Exception):
    """The file is readable, but not one that we read; the text tells why."""


def index(path: str) -> dict[str, Any]:
    """What a Keras file holds.

    Returns
    -------
    dict
        ``config`` and ``version``, texts or None, and ``layers``: pairs of a name and its tensors,
        each a dict with ``place``, ``dtype`` (``<f4``, or a word for what is no float), ``shape``
        and ``offset`` in bytes from the begin of the file.

    Raises
    ------
    Refused
        If it is no Keras file, or its data does not lie in one piece in this file.
    """
    with h5py.File(path, "r") as file:
        if file.userblock_size:
            raise Refused("it begins with a block that is not HDF5's")
        weights = _member(file, "model_weights") if "model_weights" in file else file
        names = _texts(weights, "layer_names")
        if names is None:
            raise Refused("it holds no Keras model with layer names: save the whole model as .h5")
        if _NOT_A_LAYER in weights and _NOT_A_LAYER not in names:
            names.append(_NOT_A_LAYER)
        layers, count = [], 0
        for name in names:
            places = _texts(_member(weights, name), "weight_names") or []
            count += 1 + len(places)
            if count > MOST_TENSORS:
                raise Refused(f"it holds more than {MOST_TENSORS} layers and tensors")
            layers.append((name, [_tensor(weights, f"{name}/{place}") for place in places]))
        return {
            "config": _text(file, "model_config"),
            "version": _text(file, "keras_version") or _text(weights, "keras_version"),
            "layers": layers,
        }


def _member(group: h5py.Group, place: str) -> h5py.Group | h5py.Dataset:
    """What lies at a place below a group, reached through the file's own links only."""
    found = group
    for part in place.split("/"):
        if not isinstance(found, h5py.Group) or part not in found:
            raise Refused(f"it holds no {place[:120]!r}")
        # Asked before it is followed: an external link opens any other file of this machine.
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            raise Refused(
                f"there is a link at {place[:120]!r}, and none is followed: copy the weights into "
                "the file"
            )
        found = found[part]
    return found


def _tensor(weights: h5py.Group, place: str) -> dict[str, Any]:
    dataset = _member(weights, place)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise Refused(f"{place[:120]!r} is not an array")
    layout = dataset.id.get_create_plist()
    if layout.get_external_count() or layout.get_layout() == h5py.h5d.VIRTUAL:
        raise Refused(
            f"the data of {place[:120]!r} lies outside it, and no other file is read: copy the "
            "weights into it"
        )
    # As Keras writes. Chunks would have to be unpacked here, to any size.
    if layout.get_layout() != h5py.h5d.CONTIGUOUS:
        raise Refused(
            f"the data of {place[:120]!r} is compressed or in chunks: save it in one piece, "
            "as Keras does"
        )
    stored = dataset.id.get_type()
    return {
        "place": place,
        "dtype": next(
            (name for name, known in _FLOATS.items() if stored.equal(known)), str(dataset.dtype)
        ),
        "shape": [int(length) for length in dataset.shape],
        "offset": dataset.id.get_offset(),
    }


def _text(group: h5py.Group, name: str) -> str | None:
    return next(iter(_texts(group, name) or []), None)


def _texts(group: h5py.Group, name: str) -> list[str] | None:
    """The texts in an attribute; Keras keeps a long list in several: name0, name1, ..."""
    if name in group.attrs:
        return _decoded(group.attrs[name])
    found: list[str] = []
    number = 0
    while f"{name}{number}" in group.attrs:
        found += _decoded(group.attrs[f"{name}{number}"])
        number += 1
    return found if number else None


def _decoded(value: Any) -> list[str]:
    """An attribute's texts: bytes or str, alone or in an array."""
    entries = value.tolist() if hasattr(value, "tolist") else value
    entries = entries if isinstance(entries, list) else [entries]
    texts = [entry.decode() if isinstance(entry, bytes) else str(entry) for entry in entries]
    if sum(map(len, texts)) > LONGEST_TEXT:
        raise Refused(f"an attribute is longer than {LONGEST_TEXT} characters")
    return texts


def main() -> None:
    """Prints ``{"index": ...}``, ``{"refused": why}`` or ``{"damaged": why}``."""
    # A lie about a size shall not take this machine's memory, nor a crash its disk.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer: dict[str, Any] = {"index": index(sys.argv[1])}
    except Refused as refused:
        answer = {"refused": str(refused)}
    except Exception as error:
        # h5py raises nearly every built-in exception for bytes that it cannot make sense of.
        answer = {"damaged": f"{error}" or type(error).__name__}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
