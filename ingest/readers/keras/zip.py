"""A ``.keras`` archive: a zip of JSON and HDF5, read in place, without Keras.

Keras stores its members as they are, so the HDF5 in the zip is read where it lies: nothing is
unpacked. As in an ``.h5``, only names of layers and functions are taken from the file.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from ingest.operations import OperationGraph
from ingest.readers.keras.config import parse
from ingest.readers.keras.graph import graph
from ingest.readers.keras.h5 import refuse_activation
from ingest.readers.keras.hdf5 import contents
from ingest.readers.wording import damaged
from store.errors import UnreadableModel

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
LONGEST_JSON = 64 << 20

_HEADER = 30


def is_keras(path: Path) -> bool:
    """Whether a zip is an archive of Keras: one of an architecture and its weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {CONFIG, WEIGHTS} <= set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        # The reader of state dicts says what is wrong with it.
        return False


def read_keras_archive(
    path: Path, input_shape: tuple[int, ...] | None, activation: str | None
) -> OperationGraph:
    """Reads a Keras model.

    Parameters
    ----------
    path
        Written by ``model.save`` of Keras 3, or of Keras 2 from its release 2.13 on. The file
        stays mapped while its parameters are in use.
    input_shape, activation
        As for :func:`ingest.readers.read`; the model tells its activations.

    Returns
    -------
    OperationGraph
        Parameters are called by their places in the HDF5 file, such as ``layers/dense/vars/0``;
        else as :func:`ingest.readers.keras.h5.read_keras` gives it.

    Raises
    ------
    UnreadableModel
        If the archive is damaged or its weights are compressed.
    UnsupportedOperation
        Names the first layer that cannot be ingested.
    InvalidArgument
        If an activation is given.

    Example
    -------
    >>> read_keras_archive(Path("model.keras"), None, None).source      # doctest: +SKIP
    'keras'
    """
    refuse_activation(activation, path)
    try:
        with zipfile.ZipFile(path) as archive:
            config = _text(archive, CONFIG, path)
            version = _version(archive, path)
            part = _part(archive.getinfo(WEIGHTS), path)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, KeyError) as error:
        raise damaged(path, error) from error
    found = contents(path, part)
    if not found.by_path:
        raise damaged(path, f"its {WEIGHTS} is not as Keras writes it")
    return graph(parse(config, path), found, input_shape, path, keras_2=version.startswith("2"))


def _text(archive: zipfile.ZipFile, name: str, path: Path) -> str:
    """A member as text; one that would unpack without end is refused."""
    with archive.open(name) as member:
        # What the directory says of the size need not be true.
        content = member.read(LONGEST_JSON + 1)
    if len(content) > LONGEST_JSON:
        raise damaged(path, f"its {name} is longer than {LONGEST_JSON} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise damaged(path, f"its {name} is no text") from error


def _version(archive: zipfile.ZipFile, path: Path) -> str:
    """Of the Keras that wrote it."""
    if METADATA not in archive.namelist():
        return "3"
    try:
        match json.loads(_text(archive, METADATA, path)):
            case {"keras_version": str(version)}:
                return version
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its {METADATA} is not JSON ({error})") from error
    return "3"


def _part(info: zipfile.ZipInfo, path: Path) -> tuple[int, int]:
    """First byte and length of a member in the file."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise UnreadableModel(
            f"The weights in {path.name!r} are compressed, as Keras never does: save the model "
            "with Keras again."
        )
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(info.header_offset)
        header = file.read(_HEADER)
    if header[:4] != b"PK\x03\x04" or len(header) != _HEADER:
        raise damaged(path, f"its {info.filename} is not where its directory says")
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    begin = info.header_offset + _HEADER + names
    if info.flag_bits & 1 or begin + info.file_size > size:
        raise damaged(path, f"its {info.filename} is encrypted or cut off")
    return begin, info.file_size
