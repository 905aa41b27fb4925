"""The files of a Hugging Face checkpoint: its configuration, and its weights in one or more files.

A file of weights may be a link, as in the library's own cache; what an index names may not lie
outside the index's folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ingest.operations import Parameter
from ingest.readers.huggingface.config import Config, load_object
from ingest.readers.paths import check_regular
from ingest.readers.safetensors_tensors import safetensors
from ingest.readers.wording import damaged
from store.errors import UnreadableModel

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def config_of(path: Path) -> Path:
    """Where the configuration of a checkpoint lies, given its folder or one of its files."""
    if path.is_dir():
        return path / CONFIG
    return path if path.name == CONFIG else path.with_name(CONFIG)


def load_config(path: Path) -> Config:
    """The configuration of a checkpoint, given its folder or one of its files.

    Raises
    ------
    UnreadableModel
        If it is missing or not JSON.
    """
    found = config_of(path)
    return Config(load_object(found), found)


def load_tensors(path: Path) -> list[Parameter]:
    """All tensors of a checkpoint, in the order of its files and of their bytes.

    Parameters
    ----------
    path
        Of its folder, its configuration or one file of weights; the last is read alone.

    Raises
    ------
    UnreadableModel
        If there is no file of weights, one is damaged, or the index and its files contradict.
    InvalidName, InvalidWeights
        If a tensor cannot be kept.
    """
    if path.suffix.lower() == ".safetensors" and not path.is_dir():
        return _read(path)
    folder = config_of(path).parent
    if (folder / WEIGHTS).exists():
        return _read(folder / WEIGHTS)
    if (folder / INDEX).exists():
        return _sharded(folder / INDEX)
    raise UnreadableModel(
        f"The folder {str(folder)!r} holds neither {WEIGHTS!r} nor {INDEX!r}: save the model with "
        "save_pretrained, which writes safetensors."
    )


def _read(path: Path) -> list[Parameter]:
    check_regular(path)
    return safetensors(path)


def _sharded(index: Path) -> list[Parameter]:
    weight_map = load_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise damaged(index, "it has no 'weight_map'")
    names = set(map(str, weight_map.values()))
    for name in sorted(names):
        if name in ("", ".", "..") or any(character in name for character in "/\\\0"):
            raise UnreadableModel(
                f"The index {index.name!r} names the file {name[:80]!r}, which does not lie in its "
                "folder."
            )
    shards = {name: _read(index.with_name(name)) for name in sorted(names)}
    _check_agreement(index, {key: str(name) for key, name in weight_map.items()}, shards)
    return [tensor for shard in shards.values() for tensor in shard]


def _check_agreement(
    index: Path, weight_map: Mapping[str, str], shards: Mapping[str, Sequence[Parameter]]
) -> None:
    """Refuses an index that gives a tensor another file than the one that holds it."""
    holder: dict[str, str] = {}
    for name, shard in shards.items():
        for tensor in shard:
            if tensor.name in holder:
                raise damaged(
                    index, f"{holder[tensor.name]!r} and {name!r} both hold {tensor.name!r}"
                )
            holder[tensor.name] = name
    for key, name in weight_map.items():
        if holder.get(key) != name:
            raise damaged(
                index, f"it says that {name[:80]!r} holds {key[:80]!r}, which it does not"
            )
