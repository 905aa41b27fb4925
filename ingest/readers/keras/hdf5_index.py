"""Lists the weights of a Keras HDF5 file as JSON; run as a program of its own by ``hdf5.py``.

HDF5's C library can be crashed, and made to follow links to other files, by a crafted file. So it
runs here, in a process that may die, and gives only where in the file the numbers lie. Imports
h5py and the standard library alone, to start quickly.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from collections.abc import Iterator
from typing import Any

import h5py

# Of Keras' own groups; a file with more is no network that anybody trained.
MOST_TENSORS = 100_000
DEEPEST_GROUP = 100
LONGEST_TEXT = 1 << 26
MEMORY = 4 << 30

_NOT_A_LAYER = "top_level_model_weights"

_STORED = {
    "<f2": h5py.h5t.IEEE_F16LE, ">f2": h5py.h5t.IEEE_F16BE,
    "<f4": h5py.h5t.IEEE_F32LE, ">f4": h5py.h5t.IEEE_F32BE,
    "<f8": h5py.h5t.IEEE_F64LE, ">f8": h5py.h5t.IEEE_F64BE,
    "|i1": h5py.h5t.STD_I8LE, "|u1": h5py.h5t.STD_U8LE,
    "<i2": h5py.h5t.STD_I16LE, "<u2": h5py.h5t.STD_U16LE,
    "<i4": h5py.h5t.STD_I32LE, "<u4": h5py.h5t.STD_U32LE,
    "<i8": h5py.h5t.STD_I64LE, "<u8": h5py.h5t.STD_U64LE,
}  # fmt: skip
_BFLOAT16 = "bfloat16"

_VARIABLES = "vars"
# What Keras 3 keeps beside a model's own weights, and beside a layer's.
_TRAINING = ("optimizer", "metrics")
_GENERATOR = "seed_generator"


class Refused(Exception):
    """The file is readable, but not one that we read; the text tells why."""


class Window(io.RawIOBase):
    """A part of a file as a file of its own: HDF5 within a zip.

    Parameters
    ----------
    path
        Of the whole file.
    begin, size
        The part, in bytes.
    """

    def __init__(self, path: str, begin: int, size: int) -> None:
        super().__init__()
        self._file = open(path, "rb")  # noqa: SIM115  (closed in close)
        self._begin, self._size, self._at = begin, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._at))
        self._file.seek(self._begin + self._at)
        count = self._file.readinto(memoryview(buffer)[:wanted])
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def index(source: str | Window) -> dict[str, Any]:
    """What a Keras file holds.

    Returns
    -------
    dict
        ``config`` and ``version``, texts or None; ``by_path``, whether tensors are found by their
        paths, as Keras 3 writes weights, and not by the names of layers; and ``groups``: pairs of
        a name and its tensors, each a dict with ``place``, ``dtype`` (``<f4``, or a word for what
        is not known), ``shape`` and ``offset`` in bytes from the begin of the file.

    Raises
    ------
    Refused
        If it is no Keras file, or its data does not lie in one piece in this file.
    """
    with h5py.File(source, "r") as file:
        if file.userblock_size:
            raise Refused("it begins with a block that is not HDF5's")
        weights = _member(file, "model_weights") if "model_weights" in file else file
        names = _texts(weights, "layer_names")
        if names is None and _VARIABLES in file:
            return {"config": None, "version": "3", "by_path": True, "groups": _by_path(file)}
        if names is None:
            raise Refused("it holds no Keras model with layer names: save the whole model as .h5")
        return {
            "config": _text(file, "model_config"),
            "version": _text(file, "keras_version") or _text(weights, "keras_version"),
            "by_path": False,
            "groups": _by_name(weights, names),
        }


def _by_name(weights: h5py.Group, names: list[str]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Tensors of layers as ``model.save`` of an ``.h5`` and ``save_weights`` of Keras 2 do."""
    if _NOT_A_LAYER in weights and _NOT_A_LAYER not in names:
        names.append(_NOT_A_LAYER)
    groups, count = [], 0
    for name in names:
        places = _texts(_member(weights, name), "weight_names") or []
        count += 1 + len(places)
        _check_count(count)
        groups.append((name, [_tensor(weights, f"{name}/{place}") for place in places]))
    return groups


def _by_path(file: h5py.File) -> list[tuple[str, list[dict[str, Any]]]]:
    """Tensors of a ``.weights.h5``, by the path of what has them, such as ``layers/dense``."""
    groups, count = [], 0
    for path in _holders(file, ""):
        place = f"{path}/{_VARIABLES}".lstrip("/")
        names = sorted(_member(file, place), key=_numbered)
        count += 1 + len(names)
        _check_count(count)
        if names:
            groups.append((path, [_tensor(file, f"{place}/{name}") for name in names]))
    return groups


def _holders(file: h5py.File, path: str, depth: int = 0) -> Iterator[str]:
    """Paths of all groups with variables; a random generator's state is no weight."""
    group = _member(file, path) if path else file
    if depth > DEEPEST_GROUP:
        raise Refused(f"its groups lie more than {DEEPEST_GROUP} deep in each other")
    if not isinstance(group, h5py.Group):
        return
    if _VARIABLES in group:
        yield path
    for number, name in enumerate(sorted(group, key=_numbered)):
        _check_count(number)
        if name not in (_VARIABLES, _GENERATOR) and (path or name not in _TRAINING):
            yield from _holders(file, f"{path}/{name}".lstrip("/"), depth + 1)


def _numbered(name: str) -> tuple[str, int]:
    """Sort key in which ``dense`` stands before ``dense_1``, and 2 before 10."""
    stem, _, number = name.rpartition("_")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        stem, number = name, "-1"
    return stem, int(number)


def _check_count(count: int) -> None:
    if count > MOST_TENSORS:
        raise Refused(f"it holds more than {MOST_TENSORS} layers and tensors")


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
    return {
        "place": place,
        "dtype": _dtype(dataset),
        "shape": [int(length) for length in dataset.shape],
        "offset": dataset.id.get_offset(),
    }


def _dtype(dataset: h5py.Dataset) -> str:
    stored = dataset.id.get_type()
    # HDF5 has no bfloat16: Keras writes two bytes that it says nothing about, and this attribute.
    if dataset.dtype.str == "|V2" and _text(dataset, "dtype") == _BFLOAT16:
        return _BFLOAT16
    known = (name for name, one in _STORED.items() if stored.equal(one))
    return next(known, str(dataset.dtype))


def _text(group: h5py.Group | h5py.Dataset, name: str) -> str | None:
    return next(iter(_texts(group, name) or []), None)


def _texts(group: h5py.Group | h5py.Dataset, name: str) -> list[str] | None:
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
    """Prints ``{"index": ...}``, ``{"refused": why}`` or ``{"damaged": why}``.

    Arguments are a path and perhaps the first byte and the length of HDF5 in that file.
    """
    # A lie about a size shall not take this machine's memory, nor a crash its disk.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        path, *part = sys.argv[1:]
        source = Window(path, *map(int, part)) if part else path
        answer: dict[str, Any] = {"index": index(source)}
    except Refused as refused:
        answer = {"refused": str(refused)}
    except Exception as error:
        # h5py raises nearly every built-in exception for bytes that it cannot make sense of.
        answer = {"damaged": f"{error}" or type(error).__name__}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
