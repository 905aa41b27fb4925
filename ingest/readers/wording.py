"""What the readers' errors and names have in common."""

from __future__ import annotations

from pathlib import Path

from store import schema
from store.errors import InvalidWeights, UnreadableModel

FLOATS = ("float16", "bfloat16", "float32", "float64")

_LONGEST_REASON = 160


def damaged(path: Path, why: object) -> UnreadableModel:
    """The error for a file that is truncated, corrupted or crafted."""
    return UnreadableModel(f"The file {path.name!r} is damaged or truncated: {reason(why)}.")


def reason(why: object) -> str:
    """What somebody else says as part of one sentence: their first one, printable, not long."""
    lines = str(why).strip().splitlines() or [type(why).__name__]
    first = lines[0].partition(". ")[0]
    text = "".join(character for character in first if character.isprintable())
    return text[:_LONGEST_REASON].rstrip(" .:")


def check_tensor(key: object, dtype: str) -> None:
    """Refuses a tensor whose name cannot be shown or that holds no floats.

    Raises
    ------
    InvalidName, InvalidWeights
    """
    schema.valid_name(str(key), "tensor")
    if dtype not in FLOATS:
        raise InvalidWeights(
            f"The tensor {key!r} holds {reason(dtype)}, but weights must be "
            f"{', '.join(FLOATS[:-1])} or {FLOATS[-1]}."
        )


class Names:
    """Gives each operation a name of its own: the second ``fc`` is called ``fc#2``.

    ``input`` is taken from the start: it is the input layer's.

    Example
    -------
    >>> names = Names()
    >>> [names.take(name) for name in ("fc", "fc", "input")]
    ['fc', 'fc#2', 'input#2']
    """

    INPUT = "input"

    def __init__(self) -> None:
        self._uses: dict[str, int] = {self.INPUT: 1}

    def take(self, wanted: str) -> str:
        """The wanted name, with a number where it is taken."""
        name = wanted
        while name in self._uses:
            self._uses[wanted] += 1
            name = f"{wanted}#{self._uses[wanted]}"
        self._uses[name] = 1
        return name
