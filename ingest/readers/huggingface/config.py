"""A checkpoint's ``config.json``: its options by type, with the library's own defaults."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.readers.paths import check_regular
from ingest.readers.wording import damaged
from store.errors import UnreadableModel, UnsupportedOperation

# Labels of classes make the longest ones; an index of shards names every tensor.
LONGEST_JSON = 16_000_000


@dataclass(frozen=True)
class Config:
    """The options; ``null`` and an absent one mean the default.

    Parameters
    ----------
    values
        As the file has them.
    path
        The file, for errors.

    Example
    -------
    >>> config = Config({"n_head": 4, "num_attention_heads": None}, Path("config.json"))
    >>> config.size("n_head", "num_attention_heads", default=12), config.flag("is_decoder", False)
    (4, False)
    """

    values: Mapping[str, Any]
    path: Path

    @property
    def architectures(self) -> tuple[str, ...]:
        """Names of the classes that the checkpoint was saved from."""
        found = self.values.get("architectures") or []
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise self._unusable("architectures", found, "a list of names")
        return tuple(found)

    def size(self, *keys: str, default: int, least: int = 1) -> int:
        """A count, under the one of its names that is given."""
        value = self._given(*keys)
        if value is None:
            return default
        if type(value) is not int or value < least:
            raise self._unusable(keys[0], value, f"a whole number of at least {least}")
        return value

    def number(self, key: str, default: float) -> float:
        """A small positive number, such as an epsilon."""
        value = self._given(key)
        if value is None:
            return default
        if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
            raise self._unusable(key, value, "a number that is not negative")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """A truth value."""
        value = self._given(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._unusable(key, value, "true or false")
        return value

    def text(self, key: str, default: str) -> str:
        """A word."""
        value = self._given(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._unusable(key, value, "a text")
        return value

    def pair(self, key: str, default: int) -> tuple[int, int]:
        """Height and width, given by one number where they are equal."""
        value = self._given(key)
        match default if value is None else value:
            case int(height), int(width):
                sizes = (height, width)
            case int(side):
                sizes = (side, side)
            case _:
                sizes = (0, 0)
        if any(type(size) is not int or size < 1 for size in sizes):
            raise self._unusable(key, value, "one or two positive whole numbers")
        return sizes

    def refuse(self, *options: str) -> None:
        """Refuses a checkpoint in which one of the options is set."""
        for option in options:
            if self._given(option):
                raise self.unsupported(option)

    def unsupported(self, option: str) -> UnsupportedOperation:
        """The error for an option whose effect Weightome does not know how to build."""
        value = str(self.values[option])
        return UnsupportedOperation(
            f"The model holds {option}={value[:80]!r} (in {self.path.name!r}), which Weightome "
            "cannot ingest."
        )

    def _given(self, *keys: str) -> Any:
        found = {key: self.values[key] for key in keys if self.values.get(key) is not None}
        values = list(found.values())
        if any(value != values[0] for value in values[1:]):
            raise UnreadableModel(
                f"The file {self.path.name!r} contradicts itself: "
                f"{' and '.join(map(repr, found))} mean the same, but have different values."
            )
        return values[0] if values else None

    def _unusable(self, key: str, value: object, wanted: str) -> UnreadableModel:
        return UnreadableModel(
            f"The file {self.path.name!r} gives {key!r} as {str(value)[:80]!r}, which is not "
            f"{wanted}."
        )


def load_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds one object.

    Raises
    ------
    UnreadableModel
        If there is no such file, or it is not that.
    """
    check_regular(path)
    if path.stat().st_size > LONGEST_JSON:
        raise UnreadableModel(
            f"The file {path.name!r} is longer than the {LONGEST_JSON} bytes that are allowed."
        )
    try:
        loaded = json.loads(path.read_bytes().decode())
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"it is not JSON ({error})") from error
    if not isinstance(loaded, dict):
        raise damaged(path, "it is not a JSON object")
    return loaded
