"""PyTorch state dicts, ``.pt`` and ``.pth``: loaded as weights only, so no code in them runs.

Parameters keep the file's keys, those of a wrapped model included, so that an export gives the
same state dict back; layers are called without the wrapper's prefix.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from ingest.operations import OperationGraph
from ingest.readers.chain import chain, paired
from ingest.readers.torch_tensors import check_floats, parameters, trusted_torch
from ingest.readers.wording import damaged, reason
from store.errors import UnreadableModel

# Where checkpoints keep the state dict beside the epoch, the optimizer, ...
NESTED = ("state_dict", "model_state_dict", "model")

SAVE_INSTEAD = "save model.state_dict() with torch.save and ingest that, or ingest the live module"


def read_state_dict(
    path: Path, input_shape: tuple[int, ...] | None, activation: str | None
) -> OperationGraph:
    """Reads a state dict whose matrices chain.

    Parameters
    ----------
    path
        Written by ``torch.save``; a file of the zip format stays mapped, one of the legacy format
        is read into memory. A checkpoint may keep the state dict under one of :data:`NESTED`.
    input_shape, activation
        As for :func:`ingest.readers.read`.

    Returns
    -------
    OperationGraph

    Raises
    ------
    UnreadableModel
        If the file is damaged, would run code when loaded, or holds no state dict.
    InvalidWeights
        If a tensor is not of floats.
    ShapeMismatch
        If the matrices do not chain.
    """
    with path.open("rb") as file:
        # As torch tells its own zip format from the legacy one.
        archive = file.read(4) == b"PK\x03\x04"
    if archive:
        check_archive(path)
    found = parameters(tensors_of(load(path, mapped=archive), path))
    check_floats(found)
    return chain(
        paired(found, path),
        found,
        path,
        source="state dict",
        ordered=True,
        input_shape=input_shape,
        activation=activation,
    )


def check_archive(path: Path) -> None:
    """Refuses zip files that are something else than a state dict."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise damaged(path, error) from error
    # torch puts all entries into one folder.
    names = {entry.filename.partition("/")[2] for entry in entries}
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise UnreadableModel(f"The file {path.name!r} is a TorchScript program: {SAVE_INSTEAD}.")
    if "models/model.json" in names:
        raise UnreadableModel(f"The file {path.name!r} is an exported program: {SAVE_INSTEAD}.")
    if any(entry.filename == "model.weights.h5" for entry in entries):
        raise UnreadableModel(
            f"The file {path.name!r} holds the weights of a Keras model and not its layers: save "
            "the whole of it as .keras."
        )
    if "data.pkl" not in names:
        raise UnreadableModel(
            f"The file {path.name!r} is a zip archive that torch.save did not write."
        )
    # torch compresses nothing, so what is compressed may unpack to any size.
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise UnreadableModel(
            f"The file {path.name!r} holds compressed entries, which torch.save does not write."
        )


def load(path: Path, *, mapped: bool) -> object:
    """What the file holds, by torch's unpickler that builds tensors and containers only."""
    torch = trusted_torch()
    reading = partial(torch.load, map_location="cpu", weights_only=True)
    try:
        with warnings.catch_warnings():
            # torch warns of unusual pickle protocols before it refuses them.
            warnings.simplefilter("ignore")
            # Given a name, torch maps the file, but also believes the name.
            if mapped and path.suffix.lower() != ".safetensors":
                return reading(path, mmap=True)
            with path.open("rb") as file:
                return reading(file)
    except UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named is None:
            raise damaged(path, _reason(error)) from error
        raise UnreadableModel(
            f"The file {path.name!r} is no plain state dict, as it would run code when loaded "
            f"({reason(named[1])}): {SAVE_INSTEAD}."
        ) from error
    except Exception as error:
        # A damaged pickle raises whatever the operation that it garbles raises.
        raise damaged(path, error) from error


def _reason(error: UnpicklingError) -> str:
    """torch's reason, from the end of its advice to load the file in an unsafe way."""
    found = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
    return found[1] if found else "its pickle cannot be read"


def tensors_of(loaded: object, path: Path) -> Mapping[Any, Any]:
    """The state dict in what a file holds, which may be a checkpoint around it."""
    if isinstance(loaded, Mapping):
        nested = [key for key in NESTED if isinstance(loaded.get(key), Mapping)]
        if len(nested) > 1:
            raise UnreadableModel(
                f"The file {path.name!r} holds more than one state dict "
                f"({' and '.join(map(repr, nested))}): save the one that is meant."
            )
        found: Mapping[Any, Any] = loaded[nested[0]] if nested else loaded
        if found:
            return found
        raise UnreadableModel(f"The state dict in {path.name!r} is empty.")
    raise UnreadableModel(
        f"The file {path.name!r} holds a {type(loaded).__name__}, not a state dict: {SAVE_INSTEAD}."
    )
