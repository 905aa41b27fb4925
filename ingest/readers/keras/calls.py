"""Calls of layers in a Keras configuration, in the notations of Keras 2 and 3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.readers.wording import damaged

# In the place of a value's name, in Keras 2.
_CONSTANT = "_CONSTANT_VALUE"


@dataclass(frozen=True)
class Ref:
    """A value: what a layer gave when it was called for the n-th time.

    Parameters
    ----------
    layer, call, tensor
        Name of the layer, number of the call, and number among the values that it gives.
    shape
        As the file tells it, with None for the batch and where it is open.
    """

    layer: str
    call: int = 0
    tensor: int = 0
    shape: tuple[int | None, ...] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Call:
    """Arguments of one call of a layer.

    Parameters
    ----------
    inputs
        Values given by position, flat.
    named
        Values given by name, flat.
    options
        Arguments that are no values and not None; those given by position are called by it.
    """

    inputs: tuple[Ref, ...] = ()
    named: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def refs(self) -> tuple[Ref, ...]:
        """All values that it takes."""
        return (*self.inputs, *(ref for refs in self.named.values() for ref in refs))


def calls_of(entry: Mapping[str, Any], path: Path) -> Iterator[Call]:
    """One for each time that a functional model's layer is called.

    Parameters
    ----------
    entry
        The layer in the configuration.
    path
        The file, for errors.

    Raises
    ------
    UnreadableModel
        If it is not as Keras writes it.
    """
    nodes = entry.get("inbound_nodes") or []
    if not isinstance(nodes, list):
        raise damaged(path, "its configuration describes calls wrongly")
    for node in nodes:
        match node:
            case {"args": list(positional), "kwargs": dict(named)}:
                yield _call(positional, named)
            case [[*_], *_]:
                # The fourth entry of each value has the arguments by name.
                named = {}
                for one in node:
                    named |= _named_of_2(one)
                yield _call([_value_of_2(one) for one in node], named)
            case [str(), *_]:
                yield _call([_value_of_2(node)], _named_of_2(node))
            case dict():
                yield _call([_value_of_2(one) for _, one in sorted(node.items())], {})
            case _:
                raise damaged(path, "its configuration describes a call wrongly")


def has_arguments(entry: Mapping[str, Any]) -> bool:
    """Whether calls of a layer are written as Keras 3 does."""
    match entry:
        case {"inbound_nodes": [{"args": list()}, *_]}:
            return True
    return False


def _call(positional: list[Any], named: Mapping[str, Any]) -> Call:
    arguments = {f"argument {number}": argument for number, argument in enumerate(positional)}
    return Call(
        tuple(ref for argument in positional for ref in refs_in(argument)),
        {name: refs for name, argument in named.items() if (refs := tuple(refs_in(argument)))},
        {
            name: argument
            for name, argument in {**arguments, **named}.items()
            if any(True for _ in _others(argument))
        },
    )


def _named_of_2(entry: Any) -> dict[str, Any]:
    match entry:
        case [str(), int(), _, dict(arguments), *_]:
            return arguments
    return {}


def _value_of_2(entry: Any) -> Any:
    match entry:
        case [str(name), _, constant, *_] if name == _CONSTANT:
            # A text may be a constant too, which no number is.
            return constant if isinstance(constant, int | float) else repr(constant)
        case [str(), int(), int(), *_]:
            return entry[:3]
    return entry


def refs_in(told: Any) -> Iterator[Ref]:
    """The values in an argument, in order."""
    ref = _ref(told)
    if ref is not None:
        yield ref
    else:
        for part in _parts(told):
            yield from refs_in(part)


def _others(told: Any) -> Iterator[object]:
    """What an argument holds beside values and None."""
    if told is None or _ref(told) is not None:
        return
    if not isinstance(told, dict | list):
        yield told
    for part in _parts(told):
        yield from _others(part)


def _ref(told: Any) -> Ref | None:
    match told:
        case {
            "class_name": "__keras_tensor__",
            "config": {"keras_history": [str(name), int(call), int(tensor)]} as config,
        }:
            return Ref(name, call, tensor, _open_shape(config.get("shape")))
        case [str(name), int(call), int(tensor)]:
            return Ref(name, call, tensor)
    return None


def _parts(told: Any) -> Iterator[Any]:
    if isinstance(told, list):
        yield from told
    elif isinstance(told, dict):
        # Keras takes the entries of a dict in the order of their keys.
        yield from (told[key] for key in sorted(told))


def _open_shape(told: Any) -> tuple[int | None, ...] | None:
    if isinstance(told, list) and all(size is None or type(size) is int for size in told):
        return tuple(told)
    return None
